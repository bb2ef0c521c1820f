"""The tree of calls: geth's `callTracer`, and a drawing of it for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmloom import Event

from ..halts import SUCCESS
from .hooks import TracedFrame
from .steps import FRAME_OPCODES, LOGS, UNDEFINED_OPCODES, FrameEntry, FrameExit, FrameTracer

if TYPE_CHECKING:
    from rich.tree import Tree


ERROR_SELECTOR = bytes.fromhex("08c379a0")
"""Error(string)"""
PANIC_SELECTOR = bytes.fromhex("4e487b71")
"""Panic(uint256)"""
PANIC_REASONS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}
"""What solidity's panic codes mean, in geth's words."""
_SHOWN_BYTES = 36
"""Of input and output in a drawing: a selector and a word."""


@dataclass(slots=True)
class CallLog:
    """A log and where it stands: `index` among the transaction's, `position` after how many calls of its frame."""

    event: Event
    index: int
    position: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as geth has it."""
        return {**self.event.to_dict(), "index": hex(self.index), "position": hex(self.position)}


@dataclass(slots=True)
class CallFrame:
    """One call or creation. `gas` is what it was given, `gas_used` what it took; `value` is in wei or None.

    `address` is the account that it acts as, `status` one of `halts`.
    """

    kind: str
    sender: bytes
    to: bytes | None
    """None for a creation that failed."""
    input: bytes
    gas: int
    value: int | None
    gas_used: int = 0
    output: bytes = b""
    error: str = ""
    revert_reason: str = ""
    calls: list[CallFrame] = field(default_factory=list)
    logs: list[CallLog] = field(default_factory=list)
    address: bytes = b""
    status: int = SUCCESS

    def end(self, leaving: FrameExit) -> None:
        """Note how it ended."""
        self.gas_used = leaving.gas_used
        self.error = leaving.error
        self.status = leaving.status
        if leaving.error and self.kind in ("CREATE", "CREATE2"):
            self.to = None
        if not leaving.error or leaving.reverted:
            self.output = leaving.output
        if leaving.reverted:
            self.revert_reason = revert_reason(leaving.output)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, in geth's order of fields; what is empty is left out. Deep trees need no recursion."""
        root: dict[str, Any] = {}
        waiting: list[tuple[CallFrame, dict[str, Any]]] = [(self, root)]
        while waiting:
            frame, fields = waiting.pop()
            children: list[dict[str, Any]] = [{} for _ in frame.calls]
            fields.update(frame._fields(children))
            waiting += zip(frame.calls, children, strict=True)
        return root

    def _fields(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "from": "0x" + self.sender.hex(),
            "gas": hex(self.gas),
            "gasUsed": hex(self.gas_used),
            "to": "0x" + self.to.hex() if self.to is not None else None,
            "input": "0x" + self.input.hex(),
            "output": "0x" + self.output.hex() if self.output else None,
            "error": self.error or None,
            "revertReason": self.revert_reason or None,
            "calls": calls or None,
            "logs": [log.to_dict() for log in self.logs] or None,
            "value": hex(self.value) if self.value is not None else None,
            "type": self.kind,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def walk(self) -> Iterator[CallFrame]:
        """This frame and all below it, each before those that it called."""
        waiting = [self]
        while waiting:
            frame = waiting.pop()
            yield frame
            waiting += reversed(frame.calls)


class CallTreeTracer(FrameTracer):
    """Gathers the tree. `with_log` adds the logs, `only_top_call` leaves all but the first frame out.

    `root` is the first frame, None until it has begun.
    """

    def __init__(self, *, with_log: bool = False, only_top_call: bool = False) -> None:
        super().__init__()
        self.opcodes = FRAME_OPCODES | UNDEFINED_OPCODES | (LOGS if with_log else frozenset())
        self._only_top_call = only_top_call
        self._open: list[CallFrame] = []
        self.root: CallFrame | None = None

    def on_enter(self, entry: FrameEntry) -> None:
        """Hang the frame into the tree."""
        kind, sender, to, address = entry.kind, entry.sender, entry.to, entry.address
        frame = CallFrame(kind, sender, to, entry.input, entry.gas, entry.value, address=address)
        if not self._open:
            self.root = frame
        elif not self._only_top_call:
            self._open[-1].calls.append(frame)
        self._open.append(frame)

    def on_exit(self, leaving: FrameExit) -> None:
        """Note the end. The logs of a frame that failed, and of those below it, are gone."""
        frame = self._open.pop()
        frame.end(leaving)
        if leaving.error:
            for undone in frame.walk():
                undone.logs.clear()

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """Note a log."""
        super().after(frame, opcode)
        if opcode in LOGS and (len(self._open) == 1 or not self._only_top_call):
            events = frame.state.events
            current = self._open[-1]
            current.logs.append(CallLog(events[-1], len(events) - 1, len(current.calls)))

    def result(self, *, gas_limit: int | None = None, gas_used: int | None = None) -> dict[str, Any]:
        """JSON-ready, as geth's `callTracer` answers.

        `gas_limit` and `gas_used` of the transaction stand in the first frame instead of its own, as geth has it.
        """
        if self.root is None:
            return {}
        fields = self.root.to_dict()
        if gas_limit is not None:
            fields["gas"] = hex(gas_limit)
        if gas_used is not None:
            fields["gasUsed"] = hex(gas_used)
        return fields


def revert_reason(output: bytes) -> str:
    """What a revert says, if it says it as solidity does: the text of `Error(string)`, the sense of a panic code."""
    selector, data = output[:4], output[4:]
    if selector == PANIC_SELECTOR and len(data) >= 32:
        code = int.from_bytes(data[:32], "big")
        return PANIC_REASONS.get(code) or f"unknown panic code: {code:#x}"
    if selector != ERROR_SELECTOR or len(data) < 32:
        return ""
    offset = int.from_bytes(data[:32], "big")
    start = offset + 32
    size = int.from_bytes(data[offset:start], "big")
    if start > len(data) or size > len(data) - start:
        return ""
    return data[start : start + size].decode("utf-8", "replace")


def draw(root: CallFrame) -> Tree:
    """The tree for people: one line a call, with gas, value, input, and how it ended."""
    from rich.tree import Tree

    drawing = Tree(_line(root))
    waiting = [(root, drawing)]
    while waiting:
        frame, branch = waiting.pop()
        waiting += [(call, branch.add(_line(call))) for call in frame.calls]
    return drawing


def _line(frame: CallFrame) -> str:
    style = "red" if frame.error else "green"
    to = "0x" + frame.to.hex() if frame.to is not None else "(nothing)"
    value = f" value {frame.value}" if frame.value else ""
    data = f" input {_short(frame.input)}" if frame.input else ""
    end = frame.error or "ok"
    if frame.revert_reason:
        end += f": {frame.revert_reason}"
    elif frame.output:
        end += f" {_short(frame.output)}"
    # Text from contracts must not be read as markup.
    return f"[bold]{frame.kind}[/] {to} [dim]gas {frame.gas_used}/{frame.gas}[/]{value}{data} [{style}]{_plain(end)}[/]"


def _short(data: bytes) -> str:
    return "0x" + data.hex() if len(data) <= _SHOWN_BYTES else f"0x{data[:_SHOWN_BYTES].hex()}... ({len(data)} bytes)"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else "?" for char in text))
