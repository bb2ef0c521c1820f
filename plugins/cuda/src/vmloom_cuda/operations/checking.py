"""Columns that may be on a device, held to what `vmloom_native.columns` holds arrays to.

What leads into other columns, such as offsets, is checked, so it has to be where this can be done: on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vmloom_native import columns as host
from vmloom_native.columns import WORD

from ..device.column import DeviceColumn
from ..device.interface import Array
from .batch import Column


def packed(column: Any, kind: str, row: tuple[int, ...]) -> Column:
    """See `vmloom_native.columns.packed`."""
    if not isinstance(column, DeviceColumn):
        return host.packed(column, kind, row)
    if column.dtype != kind or column.shape[1:] != row:
        wanted = "".join(f", {size}" for size in row)
        raise ValueError(f"a column should be {kind} (n{wanted}), not {column.dtype} {column.shape}")
    return column


def words(name: str, columns: Sequence[Any], operands: int) -> list[Column]:
    """See `vmloom_native.columns.words`."""
    if not any(isinstance(column, DeviceColumn) for column in columns):
        return list(host.words(name, columns, operands))
    if len(columns) != operands:
        raise ValueError(f"{name} takes {operands} columns, not {len(columns)}")
    found = [packed(column, "uint64", WORD) for column in columns]
    if len({len(column) for column in found}) != 1:
        raise ValueError(f"columns differ in length: {', '.join(str(len(column)) for column in found)}")
    return found


def rows_of_one_size(column: Any) -> Column:
    """See `vmloom_native.columns.rows_of_one_size`."""
    if isinstance(column, DeviceColumn):
        if column.ndim != 2:
            raise ValueError("rows of bytes are one column of two dimensions, or bytes and offsets")
        return packed(column, "uint8", column.shape[1:])
    return host.rows_of_one_size(column)


def byte_rows(columns: Sequence[Any]) -> tuple[Column, Array]:
    """Bytes and offsets, of which there are two columns. Raises `ValueError`."""
    if len(columns) != 2 or not isinstance(columns[0], DeviceColumn):
        return host.byte_rows(columns)
    data = packed(columns[0], "uint8", ())
    return data, host.rising(columns[1], len(data), "offsets")


def trees(columns: Sequence[Any]) -> tuple[Column, Array, Array]:
    """See `vmloom_native.columns.trees`."""
    host.check_trees(columns)
    data = packed(columns[0], "uint8", ())
    return data, *host.leaves_of(columns[1], columns[2], len(data))
