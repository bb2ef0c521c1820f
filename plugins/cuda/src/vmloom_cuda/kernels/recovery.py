"""Who has signed: the kernel of an installed ECRECOVER, which a module puts in place of `batches.precompile`."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, inline, local, u8, u64
from vmloom.precompile import OUTPUT_ROOM
from vmloom_native.batches import precompile

INPUT: Final = 128
"""Bytes that the precompile looks at: hash, v, r, s."""
OUTPUT: Final = 32
ADDRESS: Final = 20


def recover(
    row: u64,
    count: u64,  # noqa: ARG001
    data: Ptr[u8],
    offsets: Ptr[u64],
    addresses: Ptr[u8],
    found: Ptr[u8],
) -> None:
    """Rows of any size: row i is `data[offsets[i]:offsets[i + 1]]`."""
    start = offsets[row]
    recover_one(data + start, offsets[row + 1] - start, addresses + ADDRESS * row, found + row)


def recover_of_size(
    row: u64,
    count: u64,  # noqa: ARG001
    data: Ptr[u8],
    size: u64,
    addresses: Ptr[u8],
    found: Ptr[u8],
) -> None:
    """Rows of `size` bytes each."""
    recover_one(data + size * row, size, addresses + ADDRESS * row, found + row)


@inline
def recover_one(data: Ptr[u8], size: u64, address: Ptr[u8], found: Ptr[u8]) -> None:
    """Write an address and whether there is one; where there is none, it is zero."""
    output = local(u8, OUTPUT_ROOM)
    there = precompile(data, min(size, INPUT), output) == OUTPUT
    found[0] = 1 if there else 0
    for at in range(ADDRESS):
        address[at] = output[OUTPUT - ADDRESS + at] if there else 0
