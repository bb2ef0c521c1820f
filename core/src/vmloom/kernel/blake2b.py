"""BLAKE2b with digests of 256 bits and no key. RFC 7693.

States and blocks may lie side by side, those of several messages at once: word i is at `i * stride`.
"""

from __future__ import annotations

from typing import Final

from . import U64_MAX, Ptr, inline, load, local, outline, rotate_right, store, table, u8, u64

SIZE: Final = 128
"""Bytes of a block."""
PARAMETERS: Final = 0x01010020
"""Section 2.5: a digest of 32 bytes, no key, no tree."""
INITIAL: Final = table(
    u64,
    (
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ),
)
"""Section 2.6."""
ORDER: Final = table(
    u64,
    (
        0xFEDCBA9876543210,
        0x357B20C16DF984AE,
        0x491763EADF250C8B,
        0x8F04A562EBCD1397,
        0xD386CB1EFA427509,
        0x91EF57D438B0A6C2,
        0xB8293670A4DEF15C,
        0xA2684F05931CE7BD,
        0x5A417D2C803B9EF6,
        0x0DC3E9BF5167482A,
        0xFEDCBA9876543210,
        0x357B20C16DF984AE,
    ),
)
"""Section 2.7: which word of the block comes when, for each round in 16 digits, the last one first."""


def blake2b_256(data: Ptr[u8], size: u64, digest: Ptr[u8]) -> None:
    """Write the 32 bytes of the digest of `size` bytes at `data` to `digest`."""
    state = local(u64, 8)
    block = local(u64, 16)
    start_state(state, 1)
    for number in range(blocks(size)):
        done = SIZE * number
        fill_block(block, 1, data, size, done)
        mix(state, block, min(done + SIZE, size), 0 if size > done + SIZE else U64_MAX)
    for i in range(4):
        put_word(digest, i, state[i])


@inline
def word_at(data: Ptr[u8], index: u64) -> u64:
    """Word `index` of `data`. Builds whose data are aligned replace this, and `put_word`."""
    return load(u64, data + 8 * index)


@inline
def put_word(data: Ptr[u8], index: u64, word: u64) -> None:
    """Write word `index` of `data`."""
    store(u64, data + 8 * index, word)


@inline
def blocks(size: u64) -> u64:
    """Nothing is one block too."""
    return max((size + SIZE - 1) // SIZE, 1)


@inline
def start_state(state: Ptr[u64], stride: u64) -> None:
    """The initial state, with the parameters in it."""
    for i in range(8):
        state[i * stride] = INITIAL[i]
    state[0] ^= PARAMETERS


@inline
def fill_block(block: Ptr[u64], stride: u64, data: Ptr[u8], size: u64, done: u64) -> None:
    """The block after `done` bytes of `size`, filled up with zeros."""
    if size >= done + SIZE:
        for i in range(16):
            block[i * stride] = word_at(data + done, i)
        return
    for i in range(16):
        block[i * stride] = 0
    whole = (size - done) >> 3
    for i in range(whole):
        block[i * stride] = word_at(data + done, i)
    for i in range(done + 8 * whole, size):
        block[whole * stride] |= u64(data[i]) << 8 * (i & 7)


@outline
def mix(state: Ptr[u64], block: Ptr[u64], counted: u64, last: u64) -> None:
    """The function F, section 3.2, after `counted` bytes; `last` is all ones for the last block."""
    v = local(u64, 16)
    for i in range(8):
        v[i] = state[i]
        v[8 + i] = INITIAL[i]
    v[12] ^= counted
    v[14] ^= last
    for number in range(12):
        one_round(v, block, 1, ORDER[number])
    for i in range(8):
        state[i] ^= v[i] ^ v[8 + i]


@inline
def one_round(v: Ptr[u64], block: Ptr[u64], stride: u64, order: u64) -> None:
    """A round with the words of the block in this order."""
    mix_words(v, stride, 0, 4, 8, 12, word(block, stride, order), word(block, stride, order >> 4))
    mix_words(v, stride, 1, 5, 9, 13, word(block, stride, order >> 8), word(block, stride, order >> 12))
    mix_words(v, stride, 2, 6, 10, 14, word(block, stride, order >> 16), word(block, stride, order >> 20))
    mix_words(v, stride, 3, 7, 11, 15, word(block, stride, order >> 24), word(block, stride, order >> 28))
    mix_words(v, stride, 0, 5, 10, 15, word(block, stride, order >> 32), word(block, stride, order >> 36))
    mix_words(v, stride, 1, 6, 11, 12, word(block, stride, order >> 40), word(block, stride, order >> 44))
    mix_words(v, stride, 2, 7, 8, 13, word(block, stride, order >> 48), word(block, stride, order >> 52))
    mix_words(v, stride, 3, 4, 9, 14, word(block, stride, order >> 56), word(block, stride, order >> 60))


@inline
def word(block: Ptr[u64], stride: u64, order: u64) -> u64:
    """The word that the last digit names."""
    return block[stride * (order & 15)]


@inline
def mix_words(v: Ptr[u64], stride: u64, a: u64, b: u64, c: u64, d: u64, x: u64, y: u64) -> None:
    """The function G, section 3.1."""
    v_a = u64(v[stride * a] + v[stride * b] + x)
    v_d = rotate_right(u64, v[stride * d] ^ v_a, 32)
    v_c = u64(v[stride * c] + v_d)
    v_b = rotate_right(u64, v[stride * b] ^ v_c, 24)
    v_a = u64(v_a + v_b + y)
    v_d = rotate_right(u64, v_d ^ v_a, 16)
    v_c = u64(v_c + v_d)
    v[stride * a] = v_a
    v[stride * b] = rotate_right(u64, v_b ^ v_c, 63)
    v[stride * c] = v_c
    v[stride * d] = v_d
