"""What came of a batch, for the readers of the native engine."""

from __future__ import annotations

from array import array
from struct import Struct
from typing import TYPE_CHECKING, Final

import numpy as np
from vmloom import ExecutionResult
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import lanes, layout
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


class BatchOutcomes(CallOutcomes):
    """Results of calls. Those that escaped are put in their places by `replace`."""

    __slots__ = ("_replaced",)

    def __init__(self, blob: bytes, packed: PackedCalls, results: Words, state: NativeState) -> None:
        for name, source in (("status", "status"), ("gas_left", "gas_left"), ("outcome_offset", "place")):
            set_column(packed.batch, name, [array("Q", results[:, RESULT[source]].tolist())])
        super().__init__(blob, packed.batch, state, packed.calls.gas_limits)
        self._replaced: dict[int, ExecutionResult] = {}

    def replace(self, place: int, result: ExecutionResult) -> None:
        """Put a result in its place, before anybody has looked."""
        self.states[place] = result.state  # type: ignore[index]
        self.gas_used[place] = result.gas_used  # type: ignore[index]
        self._replaced[place] = result

    def make(self) -> list[ExecutionResult]:
        """See `ResultColumns.make`."""
        results = super().make()
        for place, result in self._replaced.items():
            results[place] = result
        return results


def adopt_codes(blob: bytearray, results: Words, state: NativeState) -> None:
    """Let changes of code name rows of `state`: the lane's are gone, but its codes stand behind the outcome."""
    ran = results[results[:, RESULT["stopped"]] == 0]
    places = ran[:, RESULT["place"]]
    ends = places + ran[:, RESULT["outcome_end"]] - ran[:, RESULT["outcome_offset"]]
    words = np.frombuffer(bytes(blob), np.uint64)
    for place in places[words[places // np.uint64(8) + np.uint64(END)] != ends]:
        _adopt(blob, Header._make(OUTCOME.unpack_from(blob, int(place))), state)


def _adopt(blob: bytearray, header: Header, state: NativeState) -> None:
    """`adopt_codes` for one outcome."""
    at = header.end
    for change in range(header.end - CHANGE_SIZE * header.change_count, header.end, CHANGE_SIZE):
        if WORD.unpack_from(blob, change)[0] == layout.CODE:
            rows = []
            for _ in range(2):
                (size,) = WORD.unpack_from(blob, at)
                code = bytes(blob[at + 8 : at + 8 + size])
                at += 8 + (size + 7 & ~7)
                rows.append(state.code_row(code).to_bytes(32, "little"))
            CODE_ROWS.pack_into(blob, change + FORMER, *rows)
