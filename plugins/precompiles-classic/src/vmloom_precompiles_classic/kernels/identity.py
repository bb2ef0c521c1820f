"""0x04: a copy. Yellow Paper, appendix E.1."""

from __future__ import annotations

from vmloom.kernel import Ptr, copy, u8, u64

from .prices import by_words


def gas(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given the input)
    """15 and 3 per 32-byte word."""
    return by_words(size, 15, 3)


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The input."""
    copy(output, input, size)
    return size
