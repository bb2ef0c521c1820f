"""What came of a batch, for the readers of the native engine."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import lanes, layout
from vmloom_evm.native.changes import Names
from vmloom_evm.native.packing import OUTCOME, set_column
from vmloom_evm.native.reading import CHANGE_SIZE, CallOutcomes, Header

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.native.packing import PackedCalls
    from vmloom_evm.native.state import NativeState

    Words = NDArray[np.uint64]

RESULT: Final = {name: one.offset // 8 for name, one in fields_of(lanes.LaneResult).items()}
WORD: Final = Struct("<Q")
CODE_ROWS: Final = Struct("<32s32s")
END: Final = fields_of(layout.Outcome)["end"].offset // 8
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


def outcomes_of(blob: bytes, packed: PackedCalls, results: Words, codes: OutcomeCodes) -> CallOutcomes:
    """Results of calls. Those in the places of executions that escaped are not to be looked at."""
    for name, source in (("status", "status"), ("gas_left", "gas_left"), ("outcome_offset", "place")):
        set_column(packed.batch, name, [array("Q", results[:, RESULT[source]].tolist())])
    return CallOutcomes(blob, packed.batch, codes.as_state(), packed.calls.gas_limits)


def adopt_codes(blob: bytearray, results: Words, codes: OutcomeCodes) -> None:
    """Let changes of code name rows of `codes`: the lane's are gone, but its codes stand behind the outcome."""
    ran = results[results[:, RESULT["stopped"]] == 0]
    places = ran[:, RESULT["place"]]
    ends = places + ran[:, RESULT["outcome_end"]] - ran[:, RESULT["outcome_offset"]]
    words = np.frombuffer(bytes(blob), np.uint64)
    for place in places[words[places // np.uint64(8) + np.uint64(END)] != ends]:
        _adopt(blob, Header._make(OUTCOME.unpack_from(blob, int(place))), codes)


def _adopt(blob: bytearray, header: Header, codes: OutcomeCodes) -> None:
    """`adopt_codes` for one outcome."""
    at = header.end
    for change in range(header.end - CHANGE_SIZE * header.change_count, header.end, CHANGE_SIZE):
        if WORD.unpack_from(blob, change)[0] == layout.CODE:
            rows = []
            for _ in range(2):
                (size,) = WORD.unpack_from(blob, at)
                code = bytes(blob[at + 8 : at + 8 + size])
                at += 8 + (size + 7 & ~7)
                rows.append(codes.code_row(code).to_bytes(32, "little"))
            CODE_ROWS.pack_into(blob, change + FORMER, *rows)
