"""EIP-3155: one JSON object a line for each instruction, in geth's field order, and a summary line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from ..halts import HALT_NAMES
from ..table import OPS, OpRow
from .hooks import Tracer

if TYPE_CHECKING:
    from ..reference.frame import EvmFrame

_CREATES = {OPS["CREATE"].code, OPS["CREATE2"].code}


class Eip3155Tracer(Tracer):
    """Writes to `sink`. Memory and return data are left out unless asked for, as in geth; the stack can be.

    Where EIP and geth disagree (`refund` is a number, not a string) it is as in geth, which tools compare with.
    """

    opcodes = None

    def __init__(
        self,
        sink: TextIO,
        rows: Mapping[int, OpRow],
        *,
        memory: bool = False,
        stack: bool = True,
        return_data: bool = False,
    ) -> None:
        self._sink = sink
        self._rows = rows
        self._memory = memory
        self._stack = stack
        self._return_data = return_data
        self._line: dict[str, Any] = {}
        self._gas = 0
        self._refund = 0

    def before(self, frame: EvmFrame, opcode: int) -> None:
        """Take down what stands before the instruction."""
        line: dict[str, Any] = {"pc": frame.pc, "op": opcode, "gas": hex(frame.gas), "gasCost": "0x0"}
        if self._memory:
            line["memory"] = "0x" + frame.memory.hex()
        line["memSize"] = len(frame.memory)
        if self._stack:
            line["stack"] = [hex(word) for word in frame.stack]
        if self._return_data and frame.return_data:
            line["returnData"] = "0x" + frame.return_data.hex()
        line["depth"] = frame.depth + 1
        line["refund"] = self._refund_of(frame)
        row = self._rows.get(opcode)
        line["opName"] = row.name if row is not None else f"opcode 0x{opcode:x} not defined"
        self._line = line
        self._gas = frame.gas

    def after(self, frame: EvmFrame, opcode: int) -> None:
        """Write the line with what the instruction cost; gas passed to a call counts, to a creation not, as in geth."""
        cost = self._gas - frame.gas
        child = frame.run.frame
        if opcode in _CREATES and child.parent is frame:
            cost -= child.gas
        self._write(cost)

    def fault(self, frame: EvmFrame, opcode: int, status: int) -> None:
        """Write the line with the static cost, for the instruction did not get to its end, and the reason."""
        self._line["error"] = HALT_NAMES[status]
        self._write(frame.run.table[opcode][2])

    def finish(self, output: bytes, gas_used: int, error: str) -> None:
        """Write the summary line."""
        summary: dict[str, Any] = {"output": output.hex(), "gasUsed": hex(gas_used)}
        if error:
            summary["error"] = error
        self._sink.write(json.dumps(summary, separators=(",", ":")) + "\n")

    def _write(self, cost: int) -> None:
        self._line["gasCost"] = hex(cost)
        self._sink.write(json.dumps(self._line, separators=(",", ":")) + "\n")

    @staticmethod
    def _refund_of(frame: EvmFrame) -> int:
        total = 0
        current: EvmFrame | None = frame
        while current is not None:
            total += current.refund
            current = current.parent
        return max(0, total)
