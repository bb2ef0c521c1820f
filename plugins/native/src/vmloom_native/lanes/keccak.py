"""Keccak-256, eight messages at once. Its rounds and its padding are those of `vmloom.kernel.keccak`."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, inline, outline, store, u8, u64
from vmloom.kernel.keccak import RATE, absorb, two_rounds

LANES: Final = 8
"""Of 64 bits: one vector of AVX-512, two of AVX2."""


@inline
def lanes() -> u64:
    """See `rows`."""
    return LANES


@inline
def blocks(size: u64) -> u64:
    """Full ones, and one of what is left and the padding."""
    return size // RATE + 1


@inline
def begin(room: Ptr[u64], lane: u64) -> None:
    """All zeros."""
    for word in range(25):
        room[LANES * word + lane] = 0


@inline
def take(room: Ptr[u64], lane: u64, row: Ptr[u8], size: u64, number: u64) -> None:
    """Add it to the lane's state."""
    absorb(room + lane, LANES, row + RATE * number, size - RATE * number)


@outline
def mix(room: Ptr[u64]) -> None:
    """Keccak-f[1600]."""
    for pair in range(12):
        for lane in range(LANES):
            two_rounds(room + lane, LANES, pair)


@inline
def end(room: Ptr[u64], lane: u64, digest: Ptr[u8]) -> None:
    """The first 256 bits."""
    for word in range(4):
        store(u64, digest + 8 * word, room[LANES * word + lane])
