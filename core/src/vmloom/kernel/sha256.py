"""SHA-256. FIPS 180-4."""

from __future__ import annotations

from typing import Final

from . import (
    Ptr,
    byteswap,
    copy,
    inline,
    intrinsic,
    load,
    local,
    rotate_right,
    sha256_instructions,
    store,
    table,
    u8,
    u32,
    u64,
)

BLOCK: Final = 64
"""bytes"""
DIGEST: Final = 32
INITIAL: Final = table(
    u32,
    (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
)
"""FIPS 180-4, section 5.3.3."""
CONSTANTS: Final = table(u32, sha256_instructions.CONSTANTS)


def sha256(data: Ptr[u8], size: u64, digest: Ptr[u8]) -> None:
    """Write the 32 bytes of the SHA-256 of `size` bytes at `data` to `digest`."""
    state = local(u32, 8)
    for i in range(8):
        state[i] = INITIAL[i]
    blocks = size >> 6
    compress(state, data, blocks)
    rest = size & (BLOCK - 1)
    padded = local(u8, 2 * BLOCK)
    copy(padded, data + (size - rest), rest)
    padded[rest] = 0x80
    last = u64(1 if rest < BLOCK - 8 else 2)
    store(u64, padded + (BLOCK * last - 8), byteswap(u64, u64(size << 3)))
    compress(state, padded, last)
    for i in range(8):
        put_word(digest, i, byteswap(u32, state[i]))


@inline
def word_at(data: Ptr[u8], index: u64) -> u32:
    """Word `index` of `data`. Builds whose data are aligned replace this, and `put_word`."""
    return load(u32, data + 4 * index)


@inline
def put_word(data: Ptr[u8], index: u64, word: u32) -> None:
    """Write word `index` of `data`."""
    store(u32, data + 4 * index, word)


@intrinsic("sha,sse4.1,ssse3", sha256_instructions.COMPRESS)
def compress(state: Ptr[u32], data: Ptr[u8], blocks: u64) -> None:
    """Change `state`, 8 words, by that many blocks of 64 bytes. FIPS 180-4, section 6.2.2."""
    words = local(u32, 64)
    for block in range(blocks):
        for i in range(16):
            words[i] = byteswap(u32, word_at(data, 16 * block + i))
        for i in range(16, 64):
            words[i] = u32(words[i - 16] + spread(words[i - 15]) + words[i - 7] + spread_late(words[i - 2]))
        a = state[0]
        b = state[1]
        c = state[2]
        d = state[3]
        e = state[4]
        f = state[5]
        g = state[6]
        h = state[7]
        for i in range(64):
            first = u32(h + sum_1(e) + (e & f ^ (e ^ 0xFFFFFFFF) & g) + CONSTANTS[i] + words[i])
            second = u32(sum_0(a) + (a & b ^ a & c ^ b & c))
            h = g
            g = f
            f = e
            e = u32(d + first)
            d = c
            c = b
            b = a
            a = u32(first + second)
        state[0] = u32(state[0] + a)
        state[1] = u32(state[1] + b)
        state[2] = u32(state[2] + c)
        state[3] = u32(state[3] + d)
        state[4] = u32(state[4] + e)
        state[5] = u32(state[5] + f)
        state[6] = u32(state[6] + g)
        state[7] = u32(state[7] + h)


# The functions of FIPS 180-4, section 4.1.2


@inline
def sum_0(x: u32) -> u32:
    """Of the first working variable."""
    return rotate_right(u32, x, 2) ^ rotate_right(u32, x, 13) ^ rotate_right(u32, x, 22)


@inline
def sum_1(x: u32) -> u32:
    """Of the fifth working variable."""
    return rotate_right(u32, x, 6) ^ rotate_right(u32, x, 11) ^ rotate_right(u32, x, 25)


@inline
def spread(x: u32) -> u32:
    """Of the message word 15 before."""
    return rotate_right(u32, x, 7) ^ rotate_right(u32, x, 18) ^ x >> 3


@inline
def spread_late(x: u32) -> u32:
    """Of the message word 2 before."""
    return rotate_right(u32, x, 17) ^ rotate_right(u32, x, 19) ^ x >> 10
