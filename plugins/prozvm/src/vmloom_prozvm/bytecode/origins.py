"""Where the instructions of an optimised program were before: what lets errors and source maps name the original.

The optimiser writes it, into the metadata of each body that it changed; who reports a place reads it. Code that was
changed twice names the instructions of the first form.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, cast

from .program import Bytecode

ORIGINS: Final = "origins"
"""The key in `Bytecode.metadata`: index, original index, index, original index and so on.

From each pair to the next both indices grow by 1 together. There is no such key where all indices are the original
ones, or where the list would be larger than a value may be.
"""


def encode_origins(origins: Sequence[int]) -> list[int]:
    """The list for the metadata, empty if nothing has moved.

    `origins` has the original index of each instruction, and last the number of instructions that there were.
    """
    encoded: list[int] = []
    expected = 0
    for index, origin in enumerate(origins):
        if origin != expected:
            encoded += (index, origin)
        expected = origin + 1
    return encoded


def original_index(bytecode: Bytecode, index: int) -> int:
    """The index, in the program or function as it was written, of what is instruction `index` of `bytecode` now.

    The end of the code, an index equal to its length, leads to the end. Metadata that no optimiser wrote change nothing
    unless they have the form of `ORIGINS`.
    """
    return original_indices(bytecode, (index,))[0]


def original_indices(bytecode: Bytecode, indices: Iterable[int]) -> list[int]:
    """`original_index` of each."""
    encoded = bytecode.metadata.get(ORIGINS)
    if type(encoded) is not list or len(encoded) % 2 or not all(type(item) is int for item in encoded):
        return list(indices)
    numbers = cast("list[int]", encoded)
    begins, origins = [0, *numbers[::2]], [0, *numbers[1::2]]
    found = []
    for index in indices:
        pair = max(0, bisect_right(begins, index) - 1)
        found.append(origins[pair] + index - begins[pair])
    return found
