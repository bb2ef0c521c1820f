"""Operations whose rows need one launch, and share nothing: hash functions, arithmetic, recovery of signers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..device.interface import Array
from ..ptx import PtxModule
from .batch import Batch, Column, Output, Part

_OFFSET = 8
"""Bytes of an offset."""


class RowsOfOneSize(Batch):
    """Columns with a row of one size for each row of the batch; the kernel takes them, `scalars`, and the results."""

    def __init__(
        self,
        module: PtxModule,
        kernel: str,
        columns: Sequence[Column],
        outputs: tuple[Output, ...],
        scalars: Sequence[int] = (),
    ) -> None:
        self._module, self._kernel, self._columns, self._scalars = module, kernel, columns, scalars
        self.rows, self.outputs = len(columns[0]), outputs

    @property
    def columns(self) -> Sequence[Column]:
        """See `Batch`."""
        return self._columns

    def weights(self) -> int:
        """See `Batch`."""
        given = sum(column.nbytes for column in self._columns) // max(1, self.rows)
        return given + sum(output.size(1) for output in self.outputs)

    def issue(self, part: Part, first: int, end: int) -> None:
        """See `Batch`."""
        places = [part.rows_of(column, first, end) for column in self._columns]
        results = (part.result(number) for number in range(len(self.outputs)))
        part.launch(self._module, self._kernel, end - first, *places, *self._scalars, *results)


class RowsOfAnySize(Batch):
    """Rows `data[offsets[i]:offsets[i + 1]]`; the kernel takes bytes, offsets, and the results."""

    def __init__(
        self, module: PtxModule, kernel: str, data: Column, offsets: Array, outputs: tuple[Output, ...]
    ) -> None:
        self._module, self._kernel, self._data, self._offsets = module, kernel, data, offsets
        self.rows, self.outputs = len(offsets) - 1, outputs

    @property
    def columns(self) -> Sequence[Column]:
        """See `Batch`."""
        return self._data, self._offsets

    def weights(self) -> Array:
        """See `Batch`."""
        beside = _OFFSET + sum(output.size(1) for output in self.outputs)
        found: Array = self._offsets + np.arange(len(self._offsets), dtype=np.uint64) * np.uint64(beside)
        return found

    def issue(self, part: Part, first: int, end: int) -> None:
        """See `Batch`."""
        data, offsets = bytes_of(part, self._data, self._offsets[first : end + 1])
        results = (part.result(number) for number in range(len(self.outputs)))
        part.launch(self._module, self._kernel, end - first, data, part.upload(offsets), *results)


def bytes_of(part: Part, data: Column, offsets: Array) -> tuple[int, Array]:
    """The address of the bytes of some rows, and their offsets from there."""
    start, end = int(offsets[0]), int(offsets[-1])
    if isinstance(data, np.ndarray):
        return part.upload(data[start:end]), offsets - offsets[0]
    return part.rows_of(data, 0, len(data)), offsets
