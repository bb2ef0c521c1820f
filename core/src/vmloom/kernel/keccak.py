"""Keccak-256 with the padding that Ethereum uses, that of Keccak's submission to NIST; SHA3-256 pads differently.

The Keccak reference, version 3.0: `permute` is Keccak-f[1600], `keccak256` the sponge with a capacity of 512 bits.
"""

from __future__ import annotations

from typing import Final

from . import U64_MAX, Ptr, inline, load, local, outline, rotate_left, store, table, u8, u64

RATE: Final = 136
"""Bytes of a block."""
RATE_WORDS: Final = 17
LAST_BIT: Final = 1 << 63
"""The end of the padding, in the last word of a block."""
ROUND_CONSTANTS: Final = table(
    u64,
    (
        0x0000000000000001,
        0x0000000000008082,
        0x800000000000808A,
        0x8000000080008000,
        0x000000000000808B,
        0x0000000080000001,
        0x8000000080008081,
        0x8000000000008009,
        0x000000000000008A,
        0x0000000000000088,
        0x0000000080008009,
        0x000000008000000A,
        0x000000008000808B,
        0x800000000000008B,
        0x8000000000008089,
        0x8000000000008003,
        0x8000000000008002,
        0x8000000000000080,
        0x000000000000800A,
        0x800000008000000A,
        0x8000000080008081,
        0x8000000000008080,
        0x0000000080000001,
        0x8000000080008008,
    ),
)
"""The reference, section 1.2: bits of a linear feedback shift register."""


def keccak256(data: Ptr[u8], size: u64, digest: Ptr[u8]) -> None:
    """Write the 32 bytes of the Keccak-256 of `size` bytes at `data` to `digest`."""
    state = local(u64, 25)
    while size >= RATE:
        absorb(state, 1, data, size)
        permute(state)
        data += RATE
        size -= RATE
    absorb(state, 1, data, size)
    permute(state)
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
def absorb(state: Ptr[u64], stride: u64, data: Ptr[u8], size: u64) -> None:
    """Add a block to a state whose words are `stride` apart: of `size` bytes that are left, and the padding if last."""
    if size >= RATE:
        for i in range(RATE_WORDS):
            state[i * stride] ^= word_at(data, i)
    else:
        add_words(state, stride, data, size >> 3, last_word(data, size))
        state[(RATE_WORDS - 1) * stride] ^= LAST_BIT


@inline
def add_words(state: Ptr[u64], stride: u64, data: Ptr[u8], words: u64, last: u64) -> None:
    """Add so many words of `data`, fewer than a block has, and `last` behind them."""
    for i in range(words):
        state[i * stride] ^= word_at(data, i)
    state[words * stride] ^= last


@inline
def last_word(data: Ptr[u8], size: u64) -> u64:
    """The bytes behind the last whole word, and the beginning of the padding, which follows them."""
    last = u64(1)
    words = size >> 3
    while size > 8 * words:
        size -= 1
        last = last << 8 | data[size]
    return last


@outline
def permute(state: Ptr[u64]) -> None:
    """Keccak-f[1600] on 25 words, word x + 5 y in lane (x, y). The reference, section 1.2."""
    for pair in range(12):
        two_rounds(state, 1, pair)


@inline
def two_rounds(state: Ptr[u64], stride: u64, pair: u64) -> None:
    """Rounds 2 `pair` and 2 `pair` + 1 on 25 words that are `stride` apart: of several states side by side, on one.

    Unrolled: from lanes `a` to lanes `e` and back. `c` are the parities of columns and `d` what theta adds to them; `b`
    is a row after rho and pi, which chi turns into new lanes.
    """
    a0 = state[0]
    a1 = state[stride]
    a2 = state[2 * stride]
    a3 = state[3 * stride]
    a4 = state[4 * stride]
    a5 = state[5 * stride]
    a6 = state[6 * stride]
    a7 = state[7 * stride]
    a8 = state[8 * stride]
    a9 = state[9 * stride]
    a10 = state[10 * stride]
    a11 = state[11 * stride]
    a12 = state[12 * stride]
    a13 = state[13 * stride]
    a14 = state[14 * stride]
    a15 = state[15 * stride]
    a16 = state[16 * stride]
    a17 = state[17 * stride]
    a18 = state[18 * stride]
    a19 = state[19 * stride]
    a20 = state[20 * stride]
    a21 = state[21 * stride]
    a22 = state[22 * stride]
    a23 = state[23 * stride]
    a24 = state[24 * stride]
    c0 = a0 ^ a5 ^ a10 ^ a15 ^ a20
    c1 = a1 ^ a6 ^ a11 ^ a16 ^ a21
    c2 = a2 ^ a7 ^ a12 ^ a17 ^ a22
    c3 = a3 ^ a8 ^ a13 ^ a18 ^ a23
    c4 = a4 ^ a9 ^ a14 ^ a19 ^ a24
    d0 = c4 ^ rotate_left(u64, c1, 1)
    d1 = c0 ^ rotate_left(u64, c2, 1)
    d2 = c1 ^ rotate_left(u64, c3, 1)
    d3 = c2 ^ rotate_left(u64, c4, 1)
    d4 = c3 ^ rotate_left(u64, c0, 1)
    b0 = a0 ^ d0
    b1 = rotate_left(u64, a6 ^ d1, 44)
    b2 = rotate_left(u64, a12 ^ d2, 43)
    b3 = rotate_left(u64, a18 ^ d3, 21)
    b4 = rotate_left(u64, a24 ^ d4, 14)
    e0 = b0 ^ ((b1 ^ U64_MAX) & b2) ^ ROUND_CONSTANTS[2 * pair]
    e1 = b1 ^ ((b2 ^ U64_MAX) & b3)
    e2 = b2 ^ ((b3 ^ U64_MAX) & b4)
    e3 = b3 ^ ((b4 ^ U64_MAX) & b0)
    e4 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, a3 ^ d3, 28)
    b1 = rotate_left(u64, a9 ^ d4, 20)
    b2 = rotate_left(u64, a10 ^ d0, 3)
    b3 = rotate_left(u64, a16 ^ d1, 45)
    b4 = rotate_left(u64, a22 ^ d2, 61)
    e5 = b0 ^ ((b1 ^ U64_MAX) & b2)
    e6 = b1 ^ ((b2 ^ U64_MAX) & b3)
    e7 = b2 ^ ((b3 ^ U64_MAX) & b4)
    e8 = b3 ^ ((b4 ^ U64_MAX) & b0)
    e9 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, a1 ^ d1, 1)
    b1 = rotate_left(u64, a7 ^ d2, 6)
    b2 = rotate_left(u64, a13 ^ d3, 25)
    b3 = rotate_left(u64, a19 ^ d4, 8)
    b4 = rotate_left(u64, a20 ^ d0, 18)
    e10 = b0 ^ ((b1 ^ U64_MAX) & b2)
    e11 = b1 ^ ((b2 ^ U64_MAX) & b3)
    e12 = b2 ^ ((b3 ^ U64_MAX) & b4)
    e13 = b3 ^ ((b4 ^ U64_MAX) & b0)
    e14 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, a4 ^ d4, 27)
    b1 = rotate_left(u64, a5 ^ d0, 36)
    b2 = rotate_left(u64, a11 ^ d1, 10)
    b3 = rotate_left(u64, a17 ^ d2, 15)
    b4 = rotate_left(u64, a23 ^ d3, 56)
    e15 = b0 ^ ((b1 ^ U64_MAX) & b2)
    e16 = b1 ^ ((b2 ^ U64_MAX) & b3)
    e17 = b2 ^ ((b3 ^ U64_MAX) & b4)
    e18 = b3 ^ ((b4 ^ U64_MAX) & b0)
    e19 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, a2 ^ d2, 62)
    b1 = rotate_left(u64, a8 ^ d3, 55)
    b2 = rotate_left(u64, a14 ^ d4, 39)
    b3 = rotate_left(u64, a15 ^ d0, 41)
    b4 = rotate_left(u64, a21 ^ d1, 2)
    e20 = b0 ^ ((b1 ^ U64_MAX) & b2)
    e21 = b1 ^ ((b2 ^ U64_MAX) & b3)
    e22 = b2 ^ ((b3 ^ U64_MAX) & b4)
    e23 = b3 ^ ((b4 ^ U64_MAX) & b0)
    e24 = b4 ^ ((b0 ^ U64_MAX) & b1)
    c0 = e0 ^ e5 ^ e10 ^ e15 ^ e20
    c1 = e1 ^ e6 ^ e11 ^ e16 ^ e21
    c2 = e2 ^ e7 ^ e12 ^ e17 ^ e22
    c3 = e3 ^ e8 ^ e13 ^ e18 ^ e23
    c4 = e4 ^ e9 ^ e14 ^ e19 ^ e24
    d0 = c4 ^ rotate_left(u64, c1, 1)
    d1 = c0 ^ rotate_left(u64, c2, 1)
    d2 = c1 ^ rotate_left(u64, c3, 1)
    d3 = c2 ^ rotate_left(u64, c4, 1)
    d4 = c3 ^ rotate_left(u64, c0, 1)
    b0 = e0 ^ d0
    b1 = rotate_left(u64, e6 ^ d1, 44)
    b2 = rotate_left(u64, e12 ^ d2, 43)
    b3 = rotate_left(u64, e18 ^ d3, 21)
    b4 = rotate_left(u64, e24 ^ d4, 14)
    a0 = b0 ^ ((b1 ^ U64_MAX) & b2) ^ ROUND_CONSTANTS[2 * pair + 1]
    a1 = b1 ^ ((b2 ^ U64_MAX) & b3)
    a2 = b2 ^ ((b3 ^ U64_MAX) & b4)
    a3 = b3 ^ ((b4 ^ U64_MAX) & b0)
    a4 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, e3 ^ d3, 28)
    b1 = rotate_left(u64, e9 ^ d4, 20)
    b2 = rotate_left(u64, e10 ^ d0, 3)
    b3 = rotate_left(u64, e16 ^ d1, 45)
    b4 = rotate_left(u64, e22 ^ d2, 61)
    a5 = b0 ^ ((b1 ^ U64_MAX) & b2)
    a6 = b1 ^ ((b2 ^ U64_MAX) & b3)
    a7 = b2 ^ ((b3 ^ U64_MAX) & b4)
    a8 = b3 ^ ((b4 ^ U64_MAX) & b0)
    a9 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, e1 ^ d1, 1)
    b1 = rotate_left(u64, e7 ^ d2, 6)
    b2 = rotate_left(u64, e13 ^ d3, 25)
    b3 = rotate_left(u64, e19 ^ d4, 8)
    b4 = rotate_left(u64, e20 ^ d0, 18)
    a10 = b0 ^ ((b1 ^ U64_MAX) & b2)
    a11 = b1 ^ ((b2 ^ U64_MAX) & b3)
    a12 = b2 ^ ((b3 ^ U64_MAX) & b4)
    a13 = b3 ^ ((b4 ^ U64_MAX) & b0)
    a14 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, e4 ^ d4, 27)
    b1 = rotate_left(u64, e5 ^ d0, 36)
    b2 = rotate_left(u64, e11 ^ d1, 10)
    b3 = rotate_left(u64, e17 ^ d2, 15)
    b4 = rotate_left(u64, e23 ^ d3, 56)
    a15 = b0 ^ ((b1 ^ U64_MAX) & b2)
    a16 = b1 ^ ((b2 ^ U64_MAX) & b3)
    a17 = b2 ^ ((b3 ^ U64_MAX) & b4)
    a18 = b3 ^ ((b4 ^ U64_MAX) & b0)
    a19 = b4 ^ ((b0 ^ U64_MAX) & b1)
    b0 = rotate_left(u64, e2 ^ d2, 62)
    b1 = rotate_left(u64, e8 ^ d3, 55)
    b2 = rotate_left(u64, e14 ^ d4, 39)
    b3 = rotate_left(u64, e15 ^ d0, 41)
    b4 = rotate_left(u64, e21 ^ d1, 2)
    a20 = b0 ^ ((b1 ^ U64_MAX) & b2)
    a21 = b1 ^ ((b2 ^ U64_MAX) & b3)
    a22 = b2 ^ ((b3 ^ U64_MAX) & b4)
    a23 = b3 ^ ((b4 ^ U64_MAX) & b0)
    a24 = b4 ^ ((b0 ^ U64_MAX) & b1)
    state[0] = a0
    state[stride] = a1
    state[2 * stride] = a2
    state[3 * stride] = a3
    state[4 * stride] = a4
    state[5 * stride] = a5
    state[6 * stride] = a6
    state[7 * stride] = a7
    state[8 * stride] = a8
    state[9 * stride] = a9
    state[10 * stride] = a10
    state[11 * stride] = a11
    state[12 * stride] = a12
    state[13 * stride] = a13
    state[14 * stride] = a14
    state[15 * stride] = a15
    state[16 * stride] = a16
    state[17 * stride] = a17
    state[18 * stride] = a18
    state[19 * stride] = a19
    state[20 * stride] = a20
    state[21 * stride] = a21
    state[22 * stride] = a22
    state[23 * stride] = a23
    state[24 * stride] = a24
