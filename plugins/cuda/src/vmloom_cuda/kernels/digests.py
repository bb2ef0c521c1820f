"""The hash of each row. A module puts a hash function of `vmloom.kernel` in place of `hash_bytes`."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, inline, u8, u64

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
    known = known_size(size)
    hash_bytes(data + known * row, known, output + DIGEST * row)


@inline
def known_size(size: u64) -> u64:
    """The size of rows; a module for rows of one size puts a function in its place that knows it."""
    return size


@inline
def size_of_32(size: u64) -> u64:  # noqa: ARG001 (whoever launches the kernel says it all the same)
    """Of a word, or a digest."""
    return u64(32)


@inline
def size_of_64(size: u64) -> u64:  # noqa: ARG001
    """Of two words, or digests: the key of a mapping's slot, a node of a tree."""
    return u64(64)


KNOWN_SIZES: Final = {32: size_of_32, 64: size_of_64}
