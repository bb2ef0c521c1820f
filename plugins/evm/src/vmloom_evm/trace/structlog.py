"""Struct logs: what geth's debug_traceTransaction answers by default, and the text of `evm --trace.format struct`.

Storage is what the contract's SLOAD and SSTORE have met so far, shown where one of them runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from ..table import OPS
from .hooks import TracedFrame
from .steps import FrameExit, Step, StepTracer

_SLOAD = OPS["SLOAD"].code
_SSTORE = OPS["SSTORE"].code
_WORD = 32


class StructLogger(StepTracer):
    """Base of the two forms: keeps the storage that was met, and how the first frame ended.

    The options choose what is kept of each instruction, with geth's defaults.
    """

    def __init__(
        self, *, memory: bool = False, stack: bool = True, storage: bool = True, return_data: bool = False
    ) -> None:
        super().__init__()
        self.wants_memory = memory
        self._with_stack = stack
        self._with_storage = storage
        self._with_return_data = return_data
        self._storage: dict[bytes, dict[int, int]] = {}
        self._met: dict[int, int] = {}
        self.end: FrameExit | None = None
        """How the first frame ended; None until it has."""

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Take down the slot that the instruction reads or writes."""
        super().before(frame, opcode)
        self._met = {}
        if not self._with_storage or opcode not in (_SLOAD, _SSTORE):
            return
        words = self._storage.setdefault(frame.account, {})
        stack = frame.stack
        if opcode == _SLOAD and stack:
            words[stack[-1]] = frame.state.get_storage(frame.account, stack[-1])
        elif opcode == _SSTORE and len(stack) > 1:
            words[stack[-1]] = stack[-2]
        else:
            return
        self._met = dict(sorted(words.items()))

    def on_exit(self, leaving: FrameExit) -> None:
        """Keep how the first frame ended."""
        if leaving.depth == 0:
            self.end = leaving


class StructLogTracer(StructLogger):
    """Gathers struct logs; `result` is the answer of debug_traceTransaction."""

    def __init__(
        self, *, memory: bool = False, stack: bool = True, storage: bool = True, return_data: bool = False
    ) -> None:
        super().__init__(memory=memory, stack=stack, storage=storage, return_data=return_data)
        self.logs: list[dict[str, Any]] = []
        """One object for each instruction."""

    def on_step(self, step: Step) -> None:
        """Keep the instruction."""
        log: dict[str, Any] = {
            "pc": step.pc,
            "op": step.name,
            "gas": step.gas,
            "gasCost": step.cost,
            "depth": step.depth,
        }
        if step.error:
            log["error"] = step.error
        if self._with_stack:
            log["stack"] = [hex(word) for word in step.stack]
        if self._with_return_data and step.return_data:
            log["returnData"] = "0x" + step.return_data.hex()
        if step.memory:
            log["memory"] = [
                "0x" + step.memory[start : start + _WORD].hex() for start in range(0, len(step.memory), _WORD)
            ]
        if self._met:
            log["storage"] = {f"{slot:#066x}": f"{word:#066x}" for slot, word in self._met.items()}
        if step.refund:
            log["refund"] = step.refund
        self.logs.append(log)

    def result(self, gas_used: int) -> dict[str, Any]:
        """JSON-ready: `gas`, `failed`, `returnValue` and `structLogs`. `gas_used` is the transaction's."""
        failed = self.end is not None and bool(self.end.error)
        kept = self.end is not None and (not failed or self.end.reverted)
        return {
            "gas": gas_used,
            "failed": failed,
            "returnValue": "0x" + (self.end.output.hex() if self.end is not None and kept else ""),
            "structLogs": self.logs,
        }


class StructTextTracer(StructLogger):
    """Writes each instruction to `sink` as a few lines for people, with dumps of what is asked for."""

    def __init__(
        self,
        sink: TextIO,
        *,
        memory: bool = False,
        stack: bool = True,
        storage: bool = True,
        return_data: bool = False,
    ) -> None:
        super().__init__(memory=memory, stack=stack, storage=storage, return_data=return_data)
        self._sink = sink

    def on_step(self, step: Step) -> None:
        """Write the instruction."""
        error = f" ERROR: {step.error}" if step.error else ""
        lines = [f"{step.name:<16}pc={step.pc:08d} gas={step.gas} cost={step.cost}{error}"]
        if self._with_stack and step.stack:
            lines.append("Stack:")
            lines += [f"{depth:08d}  {word:#x}" for depth, word in enumerate(reversed(step.stack))]
        if step.memory:
            lines += ["Memory:", *hex_dump(step.memory)]
        if self._met:
            lines += ["Storage:", *(f"{slot:064x}: {word:064x}" for slot, word in self._met.items())]
        if self._with_return_data and step.return_data:
            lines += ["ReturnData:", *hex_dump(step.return_data)]
        self._sink.write("\n".join(lines) + "\n\n")


def hex_dump(data: bytes) -> Iterator[str]:
    """Lines of 16 bytes with their offset and their ASCII, in the form of `hexdump -C`."""
    for start in range(0, len(data), 16):
        line = data[start : start + 16]
        left, right = line[:8].hex(" "), line[8:].hex(" ")
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{start:08x}  {left:<23}  {right:<23}  |{text}|"
