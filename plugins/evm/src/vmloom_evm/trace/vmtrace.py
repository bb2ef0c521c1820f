"""Parity's `vmTrace`: every instruction with what came of it, those of a call inside the instruction that made it.

An instruction that could not begin (undefined, or for its stack) is not told; one that failed once it had begun has
null for what came of it, and costs what it was charged until then. The STOP behind the end of code is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..halts import INVALID_OPCODE, STACK_OVERFLOW, STACK_UNDERFLOW
from ..table import OPS
from .hooks import TracedFrame, Tracer
from .steps import opcode_name

_PUSHES: Final = {row.code: row.pushes for row in OPS.values()}
_SSTORE: Final = OPS["SSTORE"].code
_NEVER_BEGAN: Final = frozenset({INVALID_OPCODE, STACK_UNDERFLOW, STACK_OVERFLOW})
_WORDS: Final = {OPS["MLOAD"].code: 32, OPS["MSTORE"].code: 32, OPS["MSTORE8"].code: 1}
"""Bytes at the offset on top of the stack that are told."""
_RANGES: Final = {
    OPS[name].code: places
    for names, places in (
        (("CALLDATACOPY", "CODECOPY", "RETURNDATACOPY", "MCOPY"), (0, 2)),
        (("EXTCODECOPY",), (1, 3)),
        (("CALL", "CALLCODE"), (5, 6)),
        (("DELEGATECALL", "STATICCALL"), (4, 5)),
    )
    for name in names
}
"""Where offset and size of what is written stand in the stack, the top being 0."""


@dataclass(slots=True)
class _Instruction:
    """One on its way: what stood before it, and its JSON."""

    opcode: int
    gas: int
    written: tuple[int, int]
    """Offset and size of the memory that is told; size 0 for none."""
    stored: tuple[int, int] | None
    fields: dict[str, Any]


@dataclass(slots=True)
class _Open:
    """A frame that runs."""

    trace: dict[str, Any]
    depth: int
    current: _Instruction | None = None


class VmTracer(Tracer):
    """Gathers the trace; `root` is its JSON, None until the first frame has begun."""

    opcodes = None

    def __init__(self) -> None:
        self.root: dict[str, Any] | None = None
        self._open: list[_Open] = []

    def on_kept(self, size: int) -> None:
        """An instruction or a frame is kept, with so many bytes of data: override to bound them."""

    def enter(self, frame: TracedFrame) -> None:
        """Open the frame inside the instruction that makes it."""
        trace: dict[str, Any] = {"code": "0x" + frame.code.hex(), "ops": []}
        self.on_kept(len(frame.code))
        above, parent = self._open[-1].current if self._open else None, frame.parent
        if self.root is None:
            self.root = trace
        elif above is not None and parent is not None:  # of another VM's contract no instruction is known
            above.fields["cost"] = above.gas - parent.gas
            above.fields["sub"] = trace
        self._open.append(_Open(trace, frame.depth))

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Note what stands before the instruction; the one before it, if it made a call, is done now."""
        here = self._open[-1]
        self._finish(frame)
        if frame.pc >= len(frame.code):
            return
        stack = frame.stack
        stored = (stack[-1], stack[-2]) if opcode == _SSTORE and len(stack) > 1 else None
        fields = {"cost": 0, "ex": None, "pc": frame.pc, "sub": None, "op": opcode_name(opcode)}
        here.current = _Instruction(opcode, frame.gas, _written(opcode, stack), stored, fields)

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """It has acted. One that opened a frame is told when that has ended, and one that closed its own has been."""
        here = self._open[-1] if self._open else None
        if here is not None and here.depth == frame.depth and here.current is not None:
            here.current.fields["cost"] = here.current.gas - frame.gas
            self._finish(frame)

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """It has failed."""
        here = self._open[-1]
        current, here.current = here.current, None
        if current is not None and status not in _NEVER_BEGAN:
            current.fields["cost"] = max(frame.run.table[opcode][2], current.gas - frame.gas)
            self._keep(here, current)

    def leave(self, frame: TracedFrame, status: int, output: bytes) -> None:
        """Close the frame, by its last instruction."""
        current = self._open[-1].current
        if current is not None:
            current.fields["cost"] = current.gas - frame.gas
            self._finish(frame)
        self._open.pop()

    def _finish(self, frame: TracedFrame) -> None:
        """Tell what came of the current instruction of the innermost frame, if there is one."""
        here = self._open[-1]
        current, here.current = here.current, None
        if current is None:
            return
        count = _PUSHES.get(current.opcode, 0)
        offset, size = current.written
        stored = current.stored
        current.fields["ex"] = {
            "used": frame.gas,
            "push": [hex(word) for word in frame.stack[len(frame.stack) - count :]],
            "mem": {"off": offset, "data": "0x" + bytes(frame.memory[offset : offset + size]).hex()} if size else None,
            "store": None if stored is None else {"key": hex(stored[0]), "val": hex(stored[1])},
        }
        self._keep(here, current, size)

    def _keep(self, here: _Open, current: _Instruction, size: int = 0) -> None:
        self.on_kept(size)
        here.trace["ops"].append(current.fields)


def _written(opcode: int, stack: list[int]) -> tuple[int, int]:
    size = _WORDS.get(opcode)
    if size is not None:
        return (stack[-1], size) if stack else (0, 0)
    places = _RANGES.get(opcode)
    if places is None or len(stack) <= max(places):
        return 0, 0
    return stack[-1 - places[0]], stack[-1 - places[1]]
