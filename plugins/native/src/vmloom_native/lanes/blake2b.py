"""BLAKE2b with digests of 256 bits and no key, eight messages at once. RFC 7693.

In `room` are the state, the block, how many bytes were taken in, and all ones in the last block.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, Ptr, inline, load, local, outline, rotate_right, store, table, u8, u64

LANES: Final = 8
"""Of 64 bits: one vector of AVX-512, two of AVX2."""
SIZE: Final = 128
"""Bytes of a block."""
BLOCK: Final = 8 * LANES
COUNTED: Final = BLOCK + 16 * LANES
LAST: Final = COUNTED + LANES
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


@inline
def lanes() -> u64:
    """See `rows`."""
    return LANES


@inline
def blocks(size: u64) -> u64:
    """Nothing is one block too."""
    return max((size + SIZE - 1) // SIZE, 1)


@inline
def begin(room: Ptr[u64], lane: u64) -> None:
    """The initial state, with the parameters in it."""
    for i in range(8):
        room[LANES * i + lane] = INITIAL[i]
    room[lane] ^= PARAMETERS


@inline
def take(room: Ptr[u64], lane: u64, row: Ptr[u8], size: u64, number: u64) -> None:
    """The block, filled up with zeros."""
    block = room + (BLOCK + lane)
    done = SIZE * number
    room[LAST + lane] = 0 if size > done + SIZE else U64_MAX
    if size >= done + SIZE:
        room[COUNTED + lane] = done + SIZE
        for i in range(16):
            block[LANES * i] = load(u64, row + (done + 8 * i))
        return
    room[COUNTED + lane] = size
    for i in range(16):
        block[LANES * i] = 0
    whole = (size - done) >> 3
    for i in range(whole):
        block[LANES * i] = load(u64, row + (done + 8 * i))
    for i in range(done + 8 * whole, size):
        block[LANES * whole] |= u64(row[i]) << 8 * (i & 7)


@outline
def mix(room: Ptr[u64]) -> None:
    """The function F, section 3.2."""
    v = local(u64, 16 * LANES)
    for lane in range(LANES):
        for i in range(8):
            v[LANES * i + lane] = room[LANES * i + lane]
            v[LANES * (8 + i) + lane] = INITIAL[i]
        v[LANES * 12 + lane] ^= room[COUNTED + lane]
        v[LANES * 14 + lane] ^= room[LAST + lane]
    for number in range(12):
        for lane in range(LANES):
            one_round(v + lane, room + (BLOCK + lane), ORDER[number])
    for at in range(8 * LANES):
        room[at] ^= v[at] ^ v[8 * LANES + at]


@inline
def end(room: Ptr[u64], lane: u64, digest: Ptr[u8]) -> None:
    """Half of the state."""
    for i in range(4):
        store(u64, digest + 8 * i, room[LANES * i + lane])


@inline
def one_round(v: Ptr[u64], block: Ptr[u64], order: u64) -> None:
    """A round with the words of the block in this order."""
    mix_words(v, 0, 4, 8, 12, word(block, order), word(block, order >> 4))
    mix_words(v, 1, 5, 9, 13, word(block, order >> 8), word(block, order >> 12))
    mix_words(v, 2, 6, 10, 14, word(block, order >> 16), word(block, order >> 20))
    mix_words(v, 3, 7, 11, 15, word(block, order >> 24), word(block, order >> 28))
    mix_words(v, 0, 5, 10, 15, word(block, order >> 32), word(block, order >> 36))
    mix_words(v, 1, 6, 11, 12, word(block, order >> 40), word(block, order >> 44))
    mix_words(v, 2, 7, 8, 13, word(block, order >> 48), word(block, order >> 52))
    mix_words(v, 3, 4, 9, 14, word(block, order >> 56), word(block, order >> 60))


@inline
def word(block: Ptr[u64], order: u64) -> u64:
    """The word that the last digit names."""
    return block[LANES * (order & 15)]


@inline
def mix_words(v: Ptr[u64], a: u64, b: u64, c: u64, d: u64, x: u64, y: u64) -> None:
    """The function G, section 3.1."""
    v_a = u64(v[LANES * a] + v[LANES * b] + x)
    v_d = rotate_right(u64, v[LANES * d] ^ v_a, 32)
    v_c = u64(v[LANES * c] + v_d)
    v_b = rotate_right(u64, v[LANES * b] ^ v_c, 24)
    v_a = u64(v_a + v_b + y)
    v_d = rotate_right(u64, v_d ^ v_a, 16)
    v_c = u64(v_c + v_d)
    v[LANES * a] = v_a
    v[LANES * b] = rotate_right(u64, v_b ^ v_c, 63)
    v[LANES * c] = v_c
    v[LANES * d] = v_d
