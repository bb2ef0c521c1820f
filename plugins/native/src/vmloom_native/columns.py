"""Columns: what a batch is made of, and what of it is refused. Accelerators that take the same columns share this.

Words are u64 (n, 4), least significant first. Rows of bytes are one column u8 (n, size), or u8 (total) and u64 (n + 1),
where each row begins and the last one ends. Nothing from outside is believed: offsets lead into their data, or raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

WORD: Final = (4,)


def packed(column: Any, kind: str, row: tuple[int, ...]) -> Column:
    """The column without gaps, copied only if it has some. Raises `ValueError` for another type or shape."""
    if not isinstance(column, np.ndarray) or column.dtype != kind or column.shape[1:] != row or column.ndim == 0:
        given = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
        raise ValueError(f"a column should be {kind} (n{''.join(f', {size}' for size in row)}), not {given}")
    return np.require(column, requirements=["C", "A"])


def words(name: str, columns: Sequence[Any], operands: int) -> list[Column]:
    """As many columns of words as the operation `name` takes, of one length. Raises `ValueError`."""
    if len(columns) != operands:
        raise ValueError(f"{name} takes {operands} columns, not {len(columns)}")
    found = [packed(column, "uint64", WORD) for column in columns]
    if len({len(column) for column in found}) != 1:
        raise ValueError(f"columns differ in length: {', '.join(str(len(column)) for column in found)}")
    return found


def rows_of_one_size(column: Any) -> Column:
    """Rows of bytes as u8 (n, size). Raises `ValueError`."""
    if not isinstance(column, np.ndarray) or column.ndim != 2:
        raise ValueError("rows of bytes are one column of two dimensions, or bytes and offsets")
    return packed(column, "uint8", column.shape[1:])


def byte_rows(columns: Sequence[Any]) -> tuple[Column, Column]:
    """Bytes, and where in them each row begins and the last one ends. Raises `ValueError`."""
    if len(columns) == 1:
        data = rows_of_one_size(columns[0])
        return data.reshape(-1), np.arange(len(data) + 1, dtype=np.uint64) * np.uint64(data.shape[1])
    if len(columns) != 2:
        raise ValueError(f"rows of bytes are one column, or bytes and offsets, not {len(columns)} columns")
    data = packed(columns[0], "uint8", ())
    return data, rising(columns[1], len(data), "offsets")


def trees(columns: Sequence[Any]) -> tuple[Column, Column, Column]:
    """Bytes, offsets of the leaves of any tree, and how many leaves each tree has, i64 (n). Raises `ValueError`."""
    check_trees(columns)
    data = packed(columns[0], "uint8", ())
    return data, *leaves_of(columns[1], columns[2], len(data))


def check_trees(columns: Sequence[Any]) -> None:
    """Raises `ValueError` unless there are as many columns as trees have."""
    if len(columns) != 3:
        raise ValueError(f"trees are bytes, offsets of leaves and where trees begin, not {len(columns)} columns")


def leaves_of(offsets: Any, begins: Any, size: int) -> tuple[Column, Column]:
    """Of trees over `size` bytes: the offsets of leaves, and how many leaves each has. Raises `ValueError`."""
    checked = rising(offsets, size, "offsets")
    places = rising(begins, len(checked) - 1, "trees")
    # Leaves of no tree are nobody's.
    return checked[int(places[0]) : int(places[-1]) + 1], np.diff(places).astype(np.int64)


def rising(column: Any, most: int, name: str) -> Column:
    """Where each row begins and the last one ends, in what has `most` elements. Raises `ValueError`."""
    places = packed(column, "uint64", ()).copy()  # ours: nobody may change them once they are checked
    if len(places) == 0 or places[-1] > most or bool(np.any(places[1:] < places[:-1])):
        raise ValueError(f"{name} should rise, n + 1 of them for n rows, to at most {most}")
    return places


def after(byte: int, data: Column, offsets: Column) -> tuple[Column, Column]:
    """The rows with a byte before each."""
    first, end = int(offsets[0]), int(offsets[-1])
    starts = (offsets[:-1] - offsets[0]).astype(np.int64)
    number = np.arange(len(offsets), dtype=np.uint64)
    return np.insert(data[first:end], starts, np.uint8(byte)), offsets - offsets[0] + number
