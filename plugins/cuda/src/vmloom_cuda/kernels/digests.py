"""The hash of each row. A module puts a hash function of `vmloom.kernel` in place of `hash_bytes`."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, u8, u64

DIGEST: Final = 32
"""bytes"""


def hash_bytes(data: Ptr[u8], size: u64, digest: Ptr[u8]) -> None:
    """Stands for the hash function: it writes the digest of `size` bytes."""
    digest[0] = data[size]


def digest(row: u64, count: u64, data: Ptr[u8], offsets: Ptr[u64], output: Ptr[u8]) -> None:  # noqa: ARG001
    """Rows of any size: row i is `data[offsets[i]:offsets[i + 1]]`."""
    start = offsets[row]
    hash_bytes(data + start, offsets[row + 1] - start, output + DIGEST * row)


def digest_of_size(row: u64, count: u64, data: Ptr[u8], size: u64, output: Ptr[u8]) -> None:  # noqa: ARG001
    """Rows of `size` bytes each."""
    hash_bytes(data + size * row, size, output + DIGEST * row)
