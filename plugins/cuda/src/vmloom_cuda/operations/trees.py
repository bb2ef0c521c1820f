"""Merkle trees: leaves, then level by level, all trees of a part at once, without a copy in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..device.interface import Array
from ..kernels.digests import DIGEST
from ..ptx import PtxModule
from .batch import Batch, Column, Output, Part
from .rows import bytes_of

_ROOM = 16
"""Bytes beside its own that a leaf takes where it is put together with what stands before it."""
_LEAF = _ROOM + 8 + 2 * DIGEST
"""Bytes of a leaf beside its own, twice: room, its offset, and nodes of this level and the next."""
_TREE = DIGEST + 16
"""Bytes of a tree: its root, and where it begins on two levels."""


class Trees(Batch):
    """Trees of `sizes` leaves each, one after the other, over rows of bytes."""

    outputs = (Output("uint8", (DIGEST,)),)

    def __init__(self, module: PtxModule, data: Column, offsets: Array, sizes: Array) -> None:
        self._module, self._data, self._offsets = module, data, offsets
        self._leaves = begins_of(sizes)
        self.rows = len(sizes)

    @property
    def columns(self) -> Sequence[Column]:
        """See `Batch`."""
        return self._data, self._offsets, self._leaves

    def weights(self) -> Array:
        """See `Batch`. Leaves are there twice, for they are put together anew."""
        leaves = self._leaves.astype(np.int64)
        beside = self._leaves * np.uint64(_LEAF) + np.arange(len(leaves), dtype=np.uint64) * np.uint64(_TREE)
        found: Array = self._offsets[leaves] * np.uint64(2) + beside
        return found

    def issue(self, part: Part, first: int, end: int) -> None:
        """See `Batch`."""
        begins = self._leaves[first : end + 1]
        offsets = self._offsets[int(begins[0]) : int(begins[-1]) + 1]
        begins = begins - begins[0]
        trees, leaves = end - first, int(begins[-1])
        data, offsets = bytes_of(part, self._data, offsets)
        nodes = part.room(leaves * DIGEST)
        # The kernel finds a leaf's room by its offset, which is that in the whole column where that is on the device.
        room = part.room(int(offsets[-1] - offsets[0]) + _ROOM * leaves) - int(
            offsets[0] >> np.uint64(3) << np.uint64(3)
        )
        part.launch(self._module, "leaf", leaves, data, part.upload(offsets), room, nodes)
        at, spare = part.upload(begins), part.room((leaves + trees) // 2 * DIGEST)
        while trees and int(np.diff(begins).max()) > 1:
            above = begins_of((np.diff(begins) + np.uint64(1)) >> np.uint64(1))
            at_above = part.upload(above)
            part.launch(self._module, "level", int(above[-1]), nodes, at, at_above, trees, spare)
            nodes, spare = spare, nodes
            begins, at = above, at_above
        part.launch(self._module, "root", trees, nodes, at, part.result())


def begins_of(sizes: Array) -> Array:
    """Where each of several begins and the last one ends, u64 (n + 1)."""
    found = np.zeros(len(sizes) + 1, np.uint64)
    np.cumsum(sizes, out=found[1:])
    return found
