"""What a tracer may watch. An opcode that no tracer asked for costs nothing, and a run without tracers knows none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from vmloom import StateAccess

from ..rules import Rules

Prices: TypeAlias = tuple[int, int, int, *tuple[Any, ...]]
"""Of an opcode: least and greatest stack depth before it, static gas; more is the engine's own."""


class TracedRun(Protocol):
    """A run, as tracers see it."""

    @property
    def frame(self) -> TracedFrame:
        """The current frame."""

    @property
    def status(self) -> int:
        """How the last frame ended or why it was declined: one of `halts`."""

    @property
    def table(self) -> Sequence[Prices]:
        """The 256 opcodes."""


class TracedFrame(Protocol):
    """A frame, as tracers see it. Nothing of it may be changed, and nothing kept but copies.

    Names are those of `machine.Machine`, where addresses are integers; `account` is `address` as 20 bytes.
    """

    @property
    def run(self) -> TracedRun:
        """What it is a frame of."""

    @property
    def parent(self) -> TracedFrame | None:
        """The frame above it; the root frame above the first has none."""

    @property
    def state(self) -> StateAccess:
        """Accounts and storage as they stand, to be read."""

    @property
    def rules(self) -> Rules:
        """The fork's."""

    @property
    def depth(self) -> int:
        """Frames above it, the root not counted."""

    @property
    def account(self) -> bytes:
        """The account whose storage it uses."""

    @property
    def address(self) -> int:
        """The same as an integer."""

    @property
    def caller(self) -> int:
        """Who called."""

    @property
    def code_address(self) -> int:
        """Whose code runs."""

    @property
    def code(self) -> bytes:
        """What runs; empty for precompiles and accounts without code."""

    @property
    def input(self) -> bytes:
        """Call data."""

    @property
    def value(self) -> int:
        """wei"""

    @property
    def is_static(self) -> bool:
        """Whether it may not change the state."""

    @property
    def is_create(self) -> bool:
        """Whether it creates the contract at `address`."""

    @property
    def gas(self) -> int:
        """Gas left."""

    @property
    def refund(self) -> int:
        """What it has gathered; may be below zero."""

    @property
    def pc(self) -> int:
        """Offset of the instruction."""

    @property
    def stack(self) -> list[int]:
        """Words, the top last."""

    @property
    def memory(self) -> bytes | bytearray:
        """All of it."""

    @property
    def memory_words(self) -> int:
        """Its size in words."""

    @property
    def return_data(self) -> bytes:
        """Output of the last frame that it opened."""


class OpcodeHook(Protocol):
    """Called around single instructions. `frame.pc`, `frame.gas` and the stack are those before the instruction."""

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """The instruction is about to run."""

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """It has run: `frame.gas` is what it left. A frame it opened is `frame.run.frame`."""

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """It halted the frame with `status`, one of `halts`."""


class Tracer:
    """Base of tracers: override what you need.

    `opcodes` are those whose instructions it watches; None is all of them, an empty set only frames.
    """

    opcodes: frozenset[int] | None = frozenset()

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """An instruction is about to run."""

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """An instruction has run."""

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """An instruction halted its frame."""

    def enter(self, frame: TracedFrame) -> None:
        """A frame begins. Its value has not been moved yet."""

    def leave(self, frame: TracedFrame, status: int, output: bytes) -> None:
        """A frame has ended with `status`; its changes are undone unless that is SUCCESS."""


class _Several:
    """Passes on to several hooks, in order."""

    def __init__(self, hooks: Sequence[OpcodeHook]) -> None:
        self.hooks = hooks

    def before(self, frame: TracedFrame, opcode: int) -> None:
        for hook in self.hooks:
            hook.before(frame, opcode)

    def after(self, frame: TracedFrame, opcode: int) -> None:
        for hook in self.hooks:
            hook.after(frame, opcode)

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        for hook in self.hooks:
            hook.fault(frame, opcode, status)


def hook_table(tracers: Sequence[Tracer]) -> list[OpcodeHook | None]:
    """For each of the 256 opcodes, what is to be called around it; None for nothing."""

    def hooks_of(opcode: int) -> OpcodeHook | None:
        watching = [tracer for tracer in tracers if tracer.opcodes is None or opcode in tracer.opcodes]
        if len(watching) > 1:
            return _Several(watching)
        return watching[0] if watching else None

    return [hooks_of(opcode) for opcode in range(256)] if tracers else [None] * 256
