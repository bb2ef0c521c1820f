"""Prices by the size of the input."""

from __future__ import annotations

from vmloom.kernel import inline, u64


@inline
def by_words(size: u64, base: u64, word: u64) -> u64:
    """`base` and `word` gas for each 32 bytes, or part of that, of `size` bytes."""
    return base + word * (size + 31 >> 5)
