"""All rows, in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from . import blocks, calls, computing, contracts, memory, precompiles, storage
from .work import Row

ROWS: Final[tuple[Row, ...]] = (
    *computing.ROWS,
    *memory.ROWS,
    *storage.ROWS,
    *calls.ROWS,
    *precompiles.ROWS,
    *contracts.ROWS,
    *blocks.ROWS,
)


def chosen(words: Sequence[str]) -> list[Row]:
    """The rows whose name or group contains one of `words`, or matches it as a file name would; all without words.

    Raises `ValueError` for a word that is in none.
    """
    wanted = [word.lower() for word in words]
    for word in wanted:
        if not any(_matches(row, word) for row in ROWS):
            raise ValueError(f"no row is called like {word!r}")
    return [row for row in ROWS if not wanted or any(_matches(row, word) for word in wanted)]


def _matches(row: Row, word: str) -> bool:
    return any(word in text or fnmatchcase(text, word) for text in (row.name.lower(), row.group.lower()))
