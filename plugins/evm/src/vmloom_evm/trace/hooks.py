"""What a tracer may watch. An opcode that no tracer asked for costs nothing, and a run without tracers knows none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..reference.frame import EvmFrame


class OpcodeHook(Protocol):
    """Called around single instructions. `frame.pc`, `frame.gas` and the stack are those before the instruction."""

    def before(self, frame: EvmFrame, opcode: int) -> None:
        """The instruction is about to run."""

    def after(self, frame: EvmFrame, opcode: int) -> None:
        """It has run: `frame.gas` is what it left. A frame it opened is `frame.run.frame`."""

    def fault(self, frame: EvmFrame, opcode: int, status: int) -> None:
        """It halted the frame with `status`, one of `halts`."""


class Tracer:
    """Base of tracers: override what you need.

    `opcodes` are those whose instructions it watches; None is all of them, an empty set only frames.
    """

    opcodes: frozenset[int] | None = frozenset()

    def before(self, frame: EvmFrame, opcode: int) -> None:
        """An instruction is about to run."""

    def after(self, frame: EvmFrame, opcode: int) -> None:
        """An instruction has run."""

    def fault(self, frame: EvmFrame, opcode: int, status: int) -> None:
        """An instruction halted its frame."""

    def enter(self, frame: EvmFrame) -> None:
        """A frame begins. Its value has not been moved yet."""

    def leave(self, frame: EvmFrame, status: int, output: bytes) -> None:
        """A frame has ended with `status`; its changes are undone unless that is SUCCESS."""


class _Several:
    """Passes on to several hooks, in order."""

    def __init__(self, hooks: Sequence[OpcodeHook]) -> None:
        self.hooks = hooks

    def before(self, frame: EvmFrame, opcode: int) -> None:
        for hook in self.hooks:
            hook.before(frame, opcode)

    def after(self, frame: EvmFrame, opcode: int) -> None:
        for hook in self.hooks:
            hook.after(frame, opcode)

    def fault(self, frame: EvmFrame, opcode: int, status: int) -> None:
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
