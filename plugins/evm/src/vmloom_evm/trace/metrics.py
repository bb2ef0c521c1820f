"""What instructions cost: counts, gas and time by opcode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from ..table import OpRow
from .hooks import TracedFrame, Tracer


@dataclass(slots=True)
class InstructionMetric:
    """Totals of one instruction: how often it ran, gas that it used (passing on gas is not use), nanoseconds."""

    count: int = 0
    gas: int = 0
    nanoseconds: int = 0


class InstructionMetrics(Tracer):
    """Counts every instruction. `by_opcode` maps opcodes to their totals; instructions that halt are counted too."""

    opcodes = None

    def __init__(self) -> None:
        self.by_opcode: dict[int, InstructionMetric] = {}
        self._gas = 0
        self._started = 0

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Note gas and time."""
        self._gas = frame.gas
        self._started = perf_counter_ns()

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """Add what was used since."""
        elapsed = perf_counter_ns() - self._started
        metric = self.by_opcode.setdefault(opcode, InstructionMetric())
        child = frame.run.frame
        passed_on = child.gas if child.parent is frame else 0
        metric.count += 1
        metric.gas += max(0, self._gas - frame.gas - passed_on)
        metric.nanoseconds += elapsed

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """The whole gas is gone, which is the frame's loss, not the instruction's price."""
        metric = self.by_opcode.setdefault(opcode, InstructionMetric())
        metric.count += 1
        metric.nanoseconds += perf_counter_ns() - self._started

    def named(self, rows: Mapping[int, OpRow]) -> dict[str, dict[str, Any]]:
        """JSON-ready, by instruction name, most gas first."""
        ordered = sorted(self.by_opcode.items(), key=lambda item: (-item[1].gas, item[0]))
        return {
            rows[opcode].name if opcode in rows else f"INVALID_{opcode:02X}": {
                "count": metric.count,
                "gas": metric.gas,
                "nanoseconds": metric.nanoseconds,
            }
            for opcode, metric in ordered
        }
