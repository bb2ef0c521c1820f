"""BLAKE2b with digests of 256 bits and no key, eight messages at once. Its rounds are those of `vmloom.kernel.blake2b`.

In `room` are the state, the block, how many bytes were taken in, and all ones in the last block.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, Ptr, inline, local, outline, store, u8, u64
from vmloom.kernel.blake2b import INITIAL, ORDER, SIZE, blocks, fill_block, one_round, start_state

__all__ = ["begin", "blocks", "end", "lanes", "mix", "take"]

LANES: Final = 8
"""Of 64 bits: one vector of AVX-512, two of AVX2."""
BLOCK: Final = 8 * LANES
COUNTED: Final = BLOCK + 16 * LANES
LAST: Final = COUNTED + LANES


@inline
def lanes() -> u64:
    """See `rows`."""
    return LANES


@inline
def begin(room: Ptr[u64], lane: u64) -> None:
    """The initial state, with the parameters in it."""
    start_state(room + lane, LANES)


@inline
def take(room: Ptr[u64], lane: u64, row: Ptr[u8], size: u64, number: u64) -> None:
    """The block, filled up with zeros."""
    done = SIZE * number
    room[LAST + lane] = 0 if size > done + SIZE else U64_MAX
    room[COUNTED + lane] = min(done + SIZE, size)
    fill_block(room + (BLOCK + lane), LANES, row, size, done)


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
            one_round(v + lane, room + (BLOCK + lane), LANES, ORDER[number])
    for at in range(8 * LANES):
        room[at] ^= v[at] ^ v[8 * LANES + at]


@inline
def end(room: Ptr[u64], lane: u64, digest: Ptr[u8]) -> None:
    """Half of the state."""
    for i in range(4):
        store(u64, digest + 8 * i, room[LANES * i + lane])
