"""Recovery of signers in three launches: a thread of the first and of the last inverts for many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..device.interface import Array
from ..kernels.recovery import INPUT
from ..ptx import PtxModule
from .batch import Batch, Column, Output, Part

WORK: Final = 4 * 32
"""Bytes of a row that the passes leave for one another."""
THREADS: Final = 1 << 15
"""That a GPU is kept busy by: fewer rows have a thread each."""
MOST_ROWS: Final = 32
"""Of a thread that inverts: with more of them, what an inverse costs no longer shows."""


class Signatures(Batch):
    """Rows of hash, v, r and s, `INPUT` bytes each."""

    def __init__(self, module: PtxModule, rows: Column, outputs: tuple[Output, ...]) -> None:
        self._module, self._rows = module, rows
        self.rows, self.outputs = len(rows), outputs

    @property
    def columns(self) -> Sequence[Column]:
        """See `Batch`."""
        return (self._rows,)

    def weights(self) -> int:
        """See `Batch`."""
        return INPUT + WORK + sum(output.size(1) for output in self.outputs)

    def issue(self, part: Part, first: int, end: int) -> None:
        """See `Batch`."""
        count = end - first
        if count == 0:
            return
        rows, work = part.rows_of(self._rows, first, end), part.room(WORK * count)
        threads = inverting_threads(count)
        part.launch(self._module, "invert_r", threads, rows, count, work)
        part.launch(self._module, "find_key", count, rows, work)
        part.launch(self._module, "write_signers", threads, count, work, part.result(0), part.result(1))


def inverting_threads(rows: int) -> int:
    """Threads that invert for so many rows: as many as keep a GPU busy, and no more than have rows."""
    return max(min(rows, THREADS), -(-rows // MOST_ROWS))


def as_signatures(data: Column, offsets: Array) -> Column | None:
    """Rows of any size as rows of `INPUT` bytes that begin at multiples of 8, if that is what they are."""
    if not isinstance(data, np.ndarray) or len(offsets) < 2 or not np.all(np.diff(offsets) == INPUT):
        return None
    return data[int(offsets[0]) : int(offsets[-1])].reshape(-1, INPUT)
