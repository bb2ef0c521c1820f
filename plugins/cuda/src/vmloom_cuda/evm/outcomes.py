"""What came of a batch, for the readers of the native engine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.native.reading import Blob
    from vmloom_evm.native.state import NativeState

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]

FIELD: Final = {name: np.uint64(one.offset) for name, one in fields_of(layout.Outcome).items()}
"""Where the fields of an outcome are, in bytes."""
SIZE: Final = np.uint64((1 << 32) - 1)
"""The bits of a summary that are a size."""
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


@dataclass(frozen=True, slots=True)
class Executions:
    """What became of each execution: u64 (n) each.

    `stopped` is 0, or the need for which it escapes. Its outcome is `sizes` bytes at `places`, with the codes that its
    changes name.
    """

    stopped: Words
    sizes: Words
    places: Words

    @classmethod
    def all_stopped(cls, count: int, need: int) -> Executions:
        """None has come to anything."""
        nothing = np.zeros(count, np.uint64)
        return cls(np.full(count, need, np.uint64), nothing, nothing)

    @classmethod
    def summarised(cls, summaries: Words, before: int) -> Executions:
        """From what `lanes.summarise` wrote; the outcomes stand one behind the other, behind `before` bytes."""
        sizes = (summaries & SIZE) * np.uint64(8)
        return cls(summaries >> np.uint64(32), sizes, np.cumsum(sizes, dtype=np.uint64) - sizes + np.uint64(before))

    @classmethod
    def concatenated(cls, parts: Sequence[Executions]) -> Executions:
        """Those of several launches."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))

    def put_back(self, order: NDArray[np.integer[Any]] | None) -> Executions:
        """In the order in which they were given, of which `order` names one after the other; None for this one."""
        if order is None:
            return self
        found = Executions(*(np.empty_like(getattr(self, name)) for name in COLUMNS))
        for name in COLUMNS:
            getattr(found, name)[order] = getattr(self, name)
        return found

    def headers(self, outcomes: Outcomes, field: str) -> Words:
        """A word of the header of each outcome; 0 where there is none."""
        found = np.zeros(len(self.stopped), np.uint64)
        ran = self.stopped == 0
        if ran.all():
            return outcomes.words(self.places + FIELD[field], 1)[:, 0]
        found[ran] = outcomes.words(self.places[ran] + FIELD[field], 1)[:, 0]
        return found

    def __len__(self) -> int:
        return len(self.stopped)


COLUMNS: Final = ("stopped", "sizes", "places")


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

    def words(self, places: Words, count: int) -> Words:
        """So many words from each place on, which are multiples of 8: u64 (n, count)."""
        return self.bytes(places, 8 * count).view(np.uint64)

    def bytes(self, places: Words, size: int) -> Bytes:
        """So many bytes from each place on: u8 (n, size)."""
        if not size or not len(places):
            return np.zeros((len(places), size), np.uint8)
        if len(self.parts) == 1:
            return _items(self.parts[0], places, size).view(np.uint8).reshape(-1, size)
        found = np.empty(len(places), f"V{size}")
        owners = np.searchsorted(np.array(self._ends, np.uint64), places, side="right")
        for number, part in enumerate(self.parts):
            rows = np.flatnonzero(owners == number)
            if len(rows):
                found[rows] = _items(part, places[rows] - np.uint64(self._ends[number] - len(part)), size)
        return found.view(np.uint8).reshape(-1, size)


def _items(part: Bytes, places: Words, size: int) -> NDArray[np.void]:
    """So many bytes of `part` from each place on. At even distances nothing has to be looked up."""
    first = int(places[0])
    distance = int(places[1]) - first if len(places) > 1 else size
    if distance > 0 and (np.diff(places) == np.uint64(distance)).all():
        return np.ndarray(len(places), f"V{size}", part.data, first, (distance,)).copy()
    every = np.ndarray(len(part) - size + 1, f"V{size}", part.data, 0, (1,))
    return every[places.view(np.int64)]


def adopt_codes(outcomes: Outcomes, ran: Executions, codes: OutcomeCodes) -> None:
    """Let changes of code name rows of `codes`: the lane's are gone, but its codes stand behind the outcome."""
    ends = ran.places + ran.sizes
    for number in np.flatnonzero((ran.headers(outcomes, "end") != ends) & (ran.stopped == 0)):
        part, place = outcomes.at(int(ran.places[number]))
        header = Header._make(OUTCOME.unpack_from(part.data, place))
        _adopt(part, place + header.end - int(ran.places[number]), header.change_count, codes)


def _adopt(part: Bytes, end: int, changes: int, codes: OutcomeCodes) -> None:
    """`adopt_codes` for one outcome, which ends there in a part."""
    at = end
    for change in range(end - CHANGE_SIZE * changes, end, CHANGE_SIZE):
        if WORD.unpack_from(part.data, change)[0] == layout.CODE:
            rows = []
            for _ in range(2):
                (size,) = WORD.unpack_from(part.data, at)
                code = part[at + 8 : at + 8 + size].tobytes()
                at += 8 + (size + 7 & ~7)
                rows.append(codes.code_row(code).to_bytes(32, "little"))
            CODE_ROWS.pack_into(part.data, change + FORMER, *rows)
