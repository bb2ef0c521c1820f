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
    u8,
    u32,
    u64,
)
from vmloom.kernel.sha256 import BLOCK, CONSTANTS, INITIAL

LANES: Final = 16
"""Of 32 bits: one vector of AVX-512, two of AVX2."""
SCHEDULE: Final = 8 * LANES
"""Where in `room` the words of the schedule begin."""


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
