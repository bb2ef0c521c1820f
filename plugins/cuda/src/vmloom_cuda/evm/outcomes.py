"""What came of a batch, for the readers of the native engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import sub
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import layout
from vmloom_evm.native.changes import Names
from vmloom_evm.native.packing import OUTCOME
from vmloom_evm.native.reading import CHANGE_SIZE, CallOutcomes, Header

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.native.packing import PackedCalls
    from vmloom_evm.native.state import NativeState

    Words = NDArray[np.uint64]

HEADER: Final = {name: one.offset // 8 for name, one in fields_of(layout.Outcome).items()}
"""Where the fields of an outcome are, in words."""
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
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS))

    def put_back(self, order: NDArray[np.intp] | None) -> Executions:
        """In the order in which they were given, of which `order` names one after the other; None for this one."""
        if order is None:
            return self
        found = Executions(*(np.empty_like(getattr(self, name)) for name in FIELDS))
        for name in FIELDS:
            getattr(found, name)[order] = getattr(self, name)
        return found

    def headers(self, blob: NDArray[np.uint8] | bytes, field: int) -> Words:
        """A word of the header of each outcome; 0 where there is none."""
        found = np.zeros(len(self.stopped), np.uint64)
        ran = self.stopped == 0
        if ran.all():
            found[:] = _words(blob)[self.places // np.uint64(8) + np.uint64(field)]
        elif ran.any():
            found[ran] = _words(blob)[self.places[ran] // np.uint64(8) + np.uint64(field)]
        return found

    def __len__(self) -> int:
        return len(self.stopped)


FIELDS: Final = ("stopped", "sizes", "places")


def _words(blob: NDArray[np.uint8] | bytes) -> Words:
    return np.frombuffer(blob, np.uint64)


def outcomes_of(blob: bytes, packed: PackedCalls, ran: Executions, codes: OutcomeCodes) -> CallOutcomes:
    """Results of calls. Those in the places of executions that escaped are not to be looked at."""
    gas_left = ran.headers(blob, HEADER["gas_left"]).view(np.int64).tolist()
    gas_used = list(map(sub, packed.calls.gas_limits, gas_left))
    columns = ran.places.tolist(), ran.headers(blob, HEADER["status"]).tolist(), gas_used
    return CallOutcomes(blob, *columns, codes.as_state(), packed.calls.gas_limits)


def adopt_codes(blob: NDArray[np.uint8], ran: Executions, codes: OutcomeCodes) -> None:
    """Let changes of code name rows of `codes`: the lane's are gone, but its codes stand behind the outcome."""
    ends = ran.places + ran.sizes
    for number in np.flatnonzero((ran.headers(blob, HEADER["end"]) != ends) & (ran.stopped == 0)):
        _adopt(blob, Header._make(OUTCOME.unpack_from(blob.data, int(ran.places[number]))), codes)


def _adopt(blob: NDArray[np.uint8], header: Header, codes: OutcomeCodes) -> None:
    """`adopt_codes` for one outcome."""
    at = header.end
    for change in range(header.end - CHANGE_SIZE * header.change_count, header.end, CHANGE_SIZE):
        if WORD.unpack_from(blob.data, change)[0] == layout.CODE:
            rows = []
            for _ in range(2):
                (size,) = WORD.unpack_from(blob.data, at)
                code = blob[at + 8 : at + 8 + size].tobytes()
                at += 8 + (size + 7 & ~7)
                rows.append(codes.code_row(code).to_bytes(32, "little"))
            CODE_ROWS.pack_into(blob.data, change + FORMER, *rows)
