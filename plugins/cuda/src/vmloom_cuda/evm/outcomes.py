"""What came of a batch, for the readers of the native engine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import layout
from vmloom_evm.native.changes import Names
from vmloom_evm.native.packing import OUTCOME
from vmloom_evm.native.reading import CHANGE_SIZE, Header

from .telling import host_bodies

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.native.reading import Blob
    from vmloom_evm.native.state import NativeState

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]

SIZE: Final = np.uint64((1 << 32) - 1)
"""The bits of a summary that are a size."""
SIZE_BITS: Final = np.uint64(32)
BITS_OF_WORDS: Final = np.uint64(3)
"""By which bytes become words of 8."""
WORD: Final = Struct("<Q")
CODE_ROWS: Final = Struct("<32s32s")
FORMER: Final = fields_of(layout.Change)["former"].offset


class OutcomeCodes:
    """What readers of outcomes ask a state for: codes by their rows, names of VMs, and what is in its source.

    Codes of results are kept here and not in the state, of which each new one would make another image.
    """

    def __init__(self, state: NativeState) -> None:
        self.names = Names(state.names.vms)
        self.source = state.source
        self._rows: dict[bytes, int] = {b"": 0}
        self._lock = Lock()

    def code_row(self, code: bytes) -> int:
        """A row for `code`. Devices may ask at the same time."""
        with self._lock:
            row = self._rows.setdefault(code, len(self._rows))
            self.names.codes[row] = code
            return row

    def code_of_row(self, row: int) -> bytes:
        """The code in `row`."""
        return self.names.codes[row]

    def load_slots(self, address: bytes) -> Iterable[int]:
        """Of the source."""
        return () if self.source is None else self.source.get_slots(address)

    def as_state(self) -> NativeState:
        """This, for readers, which ask no more of a state than it has."""
        return cast("NativeState", self)


class Executions:
    """What became of each of `count` executions: u64 (n) each, in the order in which they ran.

    `stopped` is 0, or the need for which it escapes. Its outcome is at `places` of all outcomes, and in this process at
    `addresses`, 0 for none.
    """

    def __init__(self, count: int, need: int = 0) -> None:
        self.stopped: Words = np.full(count, need, np.uint64)
        self.places: Words = np.zeros(count, np.uint64)
        self.addresses: Words = np.zeros(count, np.uint64)

    def summarise(self, first: int, summaries: Words) -> tuple[Words, NDArray[np.uint32]]:
        """Take what `lanes.summarise` wrote of a launch, whose outcomes stand one behind the other.

        Returns the sizes of outcomes in bytes, and where each begins in words.
        """
        part = slice(first, first + len(summaries))
        np.right_shift(summaries, SIZE_BITS, out=self.stopped[part])
        sizes = summaries & SIZE
        sizes <<= BITS_OF_WORDS
        begins = np.cumsum(sizes, out=self.places[part])
        begins -= sizes
        return sizes, (begins >> BITS_OF_WORDS).astype(np.uint32)

    def locate(self, first: int, sizes: Words, before: int, part: Bytes, codes: OutcomeCodes) -> None:
        """The outcomes of a launch, of these sizes, are in `part`, behind `before` bytes of others.

        From now on changes of code name rows of `codes`: the lane's are gone, but its codes stand behind the outcome.
        """
        rows = slice(first, first + len(sizes))
        places, addresses = self.places[rows], self.addresses[rows]
        np.add(places, np.uint64(part.ctypes.data), out=addresses)
        places += np.uint64(before)
        gone = self.stopped[rows] != 0
        if gone.any():
            addresses[gone] = 0
        has_codes = np.zeros(len(sizes), np.uint8)
        columns = addresses, places, sizes, has_codes
        host_bodies().run("find_codes", len(sizes), *(column.ctypes.data for column in columns))
        for number in np.flatnonzero(has_codes).tolist():
            _adopt_codes(part, int(places[number]) - before, before, codes)

    def put_back(self, order: NDArray[np.integer[Any]] | None) -> Executions:
        """In the order in which they were given, of which `order` names one after the other; None for this one."""
        if order is None:
            return self
        found = Executions(len(self))
        for name in ("stopped", "places", "addresses"):
            getattr(found, name)[order] = getattr(self, name)
        return found

    def __len__(self) -> int:
        return len(self.stopped)


class Outcomes:
    """The outcomes of launches, one part behind the other as if they were one piece. A slice of it is a copy.

    `parts` are u8 (size,), each a multiple of 8 bytes.
    """

    def __init__(self, parts: Sequence[Bytes] = ()) -> None:
        self.parts = [part for part in parts if len(part)]
        self._ends = list(accumulate(map(len, self.parts)))

    def at(self, place: int) -> tuple[Bytes, int]:
        """The part in which byte `place` is, and where in it."""
        number = bisect_right(self._ends, place)
        return self.parts[number], place - self._ends[number] + len(self.parts[number])

    def __getitem__(self, wanted: slice) -> bytes:
        if wanted.start == wanted.stop:
            return b""
        part, begin = self.at(wanted.start)
        return part[begin : begin + wanted.stop - wanted.start].tobytes()

    def as_blob(self) -> Blob:
        """This, for readers, which make slices of it and nothing else."""
        return cast("Blob", self)


def _adopt_codes(part: Bytes, begin: int, before: int, codes: OutcomeCodes) -> None:
    """See `Executions.locate`, for the outcome that begins there."""
    header = Header._make(OUTCOME.unpack_from(part.data, begin))
    at = end = header.end - before
    for change in range(end - CHANGE_SIZE * header.change_count, end, CHANGE_SIZE):
        if WORD.unpack_from(part.data, change)[0] == layout.CODE:
            rows = []
            for _ in range(2):
                (size,) = WORD.unpack_from(part.data, at)
                code = part[at + 8 : at + 8 + size].tobytes()
                at += 8 + (size + 7 & ~7)
                rows.append(codes.code_row(code).to_bytes(32, "little"))
            CODE_ROWS.pack_into(part.data, change + FORMER, *rows)
