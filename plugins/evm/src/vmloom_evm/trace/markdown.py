"""A trace as a markdown table, as `evm --trace.format md` prints it."""

from __future__ import annotations

from typing import TextIO

from ..dump import checksum_address
from .steps import FrameEntry, FrameExit, Step, StepTracer

_HEAD = """
|  Pc   |      Op     | Cost |   Refund  |   Stack   |
|-------|-------------|------|-----------|-----------|
"""


class MarkdownTracer(StepTracer):
    """Writes the first frame's call, a row for each instruction, and the outcome to `sink`."""

    def __init__(self, sink: TextIO, *, stack: bool = True) -> None:
        super().__init__()
        self._sink = sink
        self._stack = stack

    def on_enter(self, entry: FrameEntry) -> None:
        """Write what is called, for the first frame, and the head of the table."""
        if entry.depth:
            return
        label = "create" if entry.kind == "CREATE" else "to"
        self._sink.write(
            "Pre-execution info:\n"
            f"  - from: `{checksum_address(entry.sender)}`\n"
            f"  - {label}: `{checksum_address(entry.to)}`\n"
            f"  - data: `{_hex(entry.input)}`\n"
            f"  - gas: `{entry.gas}`\n"
            f"  - value: `{entry.value}` wei\n" + _HEAD
        )

    def on_step(self, step: Step) -> None:
        """Write the row."""
        row = f"| {step.pc:4d}  | {step.name:>10}  |  {step.cost:3d} |{step.refund:10d} |"
        if self._stack:
            stack = "[" + ",".join(f"{word:#x}" for word in step.stack) + "]"
            row += f"{stack:>10} |"
        error = f"Error: {step.error}\n" if step.error else ""
        self._sink.write(f"{row}\n{error}")

    def on_fault(self, step: Step) -> None:
        """Write why the instruction failed."""
        self._sink.write(f"\nError: at pc={step.pc}, op={step.opcode}: {step.error}\n")

    def on_exit(self, leaving: FrameExit) -> None:
        """Write the outcome, for the first frame."""
        if leaving.depth:
            return
        self._sink.write(
            "\nPost-execution info:\n"
            f"  - output: `{_hex(leaving.output)}`\n"
            f"  - consumed gas: `{leaving.gas_used}`\n"
            f"  - error: `{leaving.error or '<nil>'}`\n"
        )


def _hex(data: bytes) -> str:
    return "0x" + data.hex() if data else ""
