"""SHA-256, sixteen messages at once. FIPS 180-4, sections 5 and 6.2.

In `room` are the hash values, then the message schedule, in words of 32 bits.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import (
    Ptr,
    address_of,
    byteswap,
    inline,
    load,
    local,
    outline,
    pointer,
    rotate_right,
    store,
    table,
    u8,
    u32,
    u64,
)

LANES: Final = 16
"""Of 32 bits: one vector of AVX-512, two of AVX2."""
BLOCK: Final = 64
"""bytes"""
SCHEDULE: Final = 8 * LANES
"""Where in `room` the words of the schedule begin."""
INITIAL: Final = table(
    u32,
    (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
)
"""Section 5.3.3."""
CONSTANTS: Final = table(u32, (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
))  # fmt: skip
"""Section 4.2.2."""


@inline
def lanes() -> u64:
    """See `rows`."""
    return LANES


@inline
def blocks(size: u64) -> u64:
    """Of the message, one bit, and its size in 8 bytes."""
    return (size + 8) // BLOCK + 1


@inline
def begin(room: Ptr[u64], lane: u64) -> None:
    """The initial hash values."""
    values = words_of(room) + lane
    for i in range(8):
        values[LANES * i] = INITIAL[i]


@inline
def take(room: Ptr[u64], lane: u64, row: Ptr[u8], size: u64, number: u64) -> None:
    """The first 16 words of the schedule; section 5.1.1 has the padding."""
    words = words_of(room) + (SCHEDULE + lane)
    done = BLOCK * number
    if size >= done + BLOCK:
        for i in range(16):
            words[LANES * i] = byteswap(u32, load(u32, row + (done + 4 * i)))
        return
    for i in range(16):
        words[LANES * i] = 0
    if size >= done:
        whole = (size - done) >> 2
        for i in range(whole):
            words[LANES * i] = byteswap(u32, load(u32, row + (done + 4 * i)))
        last = u64(0)
        for i in range(done + 4 * whole, size):
            last = last << 8 | row[i]
        words[LANES * whole] = u32((last << 8 | 0x80) << 8 * (3 - (size & 3)))
    if size < done + BLOCK - 8:
        words[LANES * 14] = u32(size >> 29)
        words[LANES * 15] = u32(size << 3)


@outline
def mix(room: Ptr[u64]) -> None:
    """Section 6.2.2."""
    values = words_of(room)
    words = values + SCHEDULE
    working = local(u32, 8 * LANES)
    for i in range(16, 64):
        for lane in range(LANES):
            words[LANES * i + lane] = u32(
                words[LANES * (i - 16) + lane]
                + spread(words[LANES * (i - 15) + lane])
                + words[LANES * (i - 7) + lane]
                + spread_late(words[LANES * (i - 2) + lane])
            )
    for at in range(8 * LANES):
        working[at] = values[at]
    for eight in range(8):
        for lane in range(LANES):
            eight_rounds(working + lane, words + (8 * LANES * eight + lane), 8 * eight)
    for at in range(8 * LANES):
        values[at] = u32(values[at] + working[at])


@inline
def end(room: Ptr[u64], lane: u64, digest: Ptr[u8]) -> None:
    """The hash values."""
    values = words_of(room) + lane
    for i in range(8):
        store(u32, digest + 4 * i, byteswap(u32, values[LANES * i]))


@inline
def words_of(room: Ptr[u64]) -> Ptr[u32]:
    """The same memory, in words of 32 bits."""
    return pointer(u32, address_of(room))


@inline
def eight_rounds(working: Ptr[u32], words: Ptr[u32], number: u64) -> None:
    """Rounds `number` to `number` + 7, after which every variable is at its place again."""
    one_round(working, 0, words, number)
    one_round(working, 7, words + LANES, number + 1)
    one_round(working, 6, words + 2 * LANES, number + 2)
    one_round(working, 5, words + 3 * LANES, number + 3)
    one_round(working, 4, words + 4 * LANES, number + 4)
    one_round(working, 3, words + 5 * LANES, number + 5)
    one_round(working, 2, words + 6 * LANES, number + 6)
    one_round(working, 1, words + 7 * LANES, number + 7)


@inline
def one_round(working: Ptr[u32], first: u64, words: Ptr[u32], number: u64) -> None:
    """A round with `a` at place `first` of the eight. No variable moves: the next round has `a` one place before."""
    a = working[LANES * (first & 7)]
    b = working[LANES * (first + 1 & 7)]
    c = working[LANES * (first + 2 & 7)]
    e = working[LANES * (first + 4 & 7)]
    f = working[LANES * (first + 5 & 7)]
    g = working[LANES * (first + 6 & 7)]
    h = working[LANES * (first + 7 & 7)]
    added = u32(h + sum_1(e) + (e & f ^ (e ^ 0xFFFFFFFF) & g) + CONSTANTS[number] + words[0])
    working[LANES * (first + 3 & 7)] = u32(working[LANES * (first + 3 & 7)] + added)
    working[LANES * (first + 7 & 7)] = u32(added + sum_0(a) + (a & b ^ a & c ^ b & c))


# The functions of section 4.1.2


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
