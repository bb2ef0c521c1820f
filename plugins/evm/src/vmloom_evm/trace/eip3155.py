"""EIP-3155: one JSON object a line for each instruction, and one for each frame that ends, exactly as geth writes them.

Where EIP and geth disagree (`refund` is a number, not a string; a line for each frame) it is as in geth, which tools
compare with. geth's words for a write refused in a static call differ from version to version; here it is
`write protection` in all places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from ..dump import go_json
from ..table import OpRow
from .steps import FrameEntry, FrameExit, Step, StepTracer


class Eip3155Tracer(StepTracer):
    """Writes to `sink`. Memory and return data are left out unless asked for, as in geth; the stack can be.

    `call_frames` adds a line for each frame that begins. `rows` names instructions that geth does not know.
    """

    def __init__(
        self,
        sink: TextIO,
        rows: Mapping[int, OpRow],
        *,
        memory: bool = False,
        stack: bool = True,
        return_data: bool = False,
        call_frames: bool = False,
    ) -> None:
        super().__init__()
        self._sink = sink
        self._rows = rows
        self.wants_memory = memory
        self._stack = stack
        self._return_data = return_data
        self._call_frames = call_frames

    def on_step(self, step: Step) -> None:
        """Write the line."""
        row = self._rows.get(step.opcode)
        memory = f'"memory":"0x{step.memory.hex()}",' if step.memory else ""
        stack = "[" + ",".join([f'"{word:#x}"' for word in step.stack]) + "]" if self._stack else "null"
        return_data = f'"returnData":"0x{step.return_data.hex()}",' if self._return_data and step.return_data else ""
        error = f',"error":{go_json(step.error)}' if step.error else ""
        self._sink.write(
            f'{{"pc":{step.pc},"op":{step.opcode},"gas":"{step.gas:#x}","gasCost":"{step.cost:#x}",{memory}'
            f'"memSize":{step.memory_size},"stack":{stack},{return_data}"depth":{step.depth},"refund":{step.refund},'
            f'"opName":"{row.name if row is not None else step.name}"{error}}}\n'
        )

    def on_fault(self, step: Step) -> None:
        """Write the line again, with the reason."""
        self.on_step(step)

    def on_enter(self, entry: FrameEntry) -> None:
        """Write the frame, if that is asked for."""
        if not self._call_frames:
            return
        data = f'"input":"0x{entry.input.hex()}",' if self.wants_memory and entry.input else ""
        value = "null" if entry.value is None else f'"{entry.value:#x}"'
        self._sink.write(
            f'{{"from":"0x{entry.sender.hex()}","to":"0x{entry.to.hex()}",{data}"gas":"{entry.gas:#x}",'
            f'"value":{value},"type":"{entry.kind}"}}\n'
        )

    def on_exit(self, leaving: FrameExit) -> None:
        """Write the frame's end."""
        self._summary(leaving.output, leaving.gas_used, leaving.error)

    def finish(self, output: bytes, gas_used: int, error: str) -> None:
        """End the trace of a run: write its summary, unless the end of its first frame has been written, which is it.

        That is for calls that were declined before any frame. The tracer may then be used for another run.
        """
        if not self.exited:
            self._summary(output, gas_used, error)
        self.exited = False

    def _summary(self, output: bytes, gas_used: int, error: str) -> None:
        reason = f',"error":{go_json(error)}' if error else ""
        self._sink.write(f'{{"output":"{output.hex()}","gasUsed":"{gas_used:#x}"{reason}}}\n')
