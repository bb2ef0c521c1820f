"""Tracers on a native run: frames as Python sees them, and the events of a traced build passed on."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

from vmloom.kernel.memory import address_of

from ..reference.loop import Entry, build_table
from ..rules import Rules
from ..specification import Specification
from ..trace.hooks import Tracer, hook_table
from . import layout
from .pages import refer

if TYPE_CHECKING:
    from vmloom import BlockContext

    from .session import Session
    from .state import NativeState

BEFORE, AFTER, FAULT, ENTER, LEAVE = range(5)
TRACE = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
POINTER = Struct("<Q")


class WatchedRun:
    """What a tracer may ask of a run: the parts of `reference.execution.Execution` that concern it."""

    def __init__(self, session: Session, state: NativeState, watch: Watch) -> None:
        self.specification: Specification = session.specification
        self.rules: Rules = self.specification.rules
        self.state: NativeState = state
        self.table: list[Entry] = loop_table(self.specification)
        self._watch = watch
        self._memory = session.memory
        self._session = session

    @property
    def block(self) -> BlockContext:
        """That of the run."""
        assert self._session.block is not None
        return self._session.block

    @property
    def frame(self) -> WatchedFrame:
        """The current frame."""
        return self._watch.frame_at(self._memory.get("frame"))

    @property
    def status(self) -> int:
        """How the last frame ended or was declined."""
        return self._memory.get("status")

    @property
    def origin(self) -> int:
        """Sender of the transaction."""
        return int.from_bytes(ctypes.string_at(self._memory.field("origin"), 20), "little")

    @property
    def gas_price(self) -> int:
        """wei per gas."""
        return int.from_bytes(ctypes.string_at(self._memory.field("gas_price"), 32), "little")


def loop_table(specification: Specification) -> list[Entry]:
    """Stack needs, rooms and prices by opcode."""
    fork = specification.fork
    return build_table(specification.rows.values(), fork.gas, fork.rules.stack_limit, specification.disabled_opcodes)


class WatchedFrame:
    """A native frame with the attributes of `reference.frame.EvmFrame` that tracers read."""

    def __init__(self, run: WatchedRun, watch: Watch, address: int) -> None:
        self.run = run
        self.state = run.state
        self.rules = run.rules
        self._watch = watch
        self._native: Any = refer(layout.Frame, address)
        native = self._native
        self.address: int = native.address
        self.account: bytes = self.address.to_bytes(20, "big")
        self.caller: int = native.caller
        self.code_address: int = native.code_address
        self.value: int = native.value
        self.depth: int = native.depth
        self.is_static: bool = native.is_static
        self.is_create: bool = native.is_create
        self.code: bytes = ctypes.string_at(native.code.address, native.code_size)
        self.input: bytes = ctypes.string_at(native.input.address, native.input_size) if native.input_size else b""
        self.output_offset: int = native.output_offset
        self.output_size: int = native.output_size

    @property
    def parent(self) -> WatchedFrame | None:
        """The frame that opened this one; None for the root."""
        return None if self.depth < 0 else self._watch.frame_at(address_of(self._native.parent))

    @property
    def gas(self) -> int:
        """Gas left."""
        return int(self._native.gas)

    @property
    def refund(self) -> int:
        """Gas to be refunded."""
        return int(self._native.refund)

    @property
    def pc(self) -> int:
        """Offset of the instruction in code."""
        return int(self._native.pc)

    @property
    def memory_words(self) -> int:
        """Size of memory in words."""
        return int(self._native.memory_words)

    @property
    def memory(self) -> bytes:
        """The bytes of memory."""
        return ctypes.string_at(self._native.memory.address, 32 * self.memory_words)

    @property
    def stack(self) -> list[int]:
        """Items, the top last."""
        bottom = self._native.bottom.address
        data = ctypes.string_at(bottom, self._native.top.address - bottom)
        return [int.from_bytes(data[at : at + 32], "little") for at in range(0, len(data), 32)]

    @property
    def return_data(self) -> bytes:
        """Output of the last frame that this one opened."""
        memory = self.state.memory
        return ctypes.string_at(memory.get("return_data"), memory.get("return_size"))


class Watch:
    """Passes the events of a traced run on to its tracers; an error of theirs aborts the run."""

    def __init__(self, session: Session, state: NativeState, tracers: Sequence[Tracer]) -> None:
        self.tracers = tracers
        self.hooks = hook_table(tracers)
        self.error: BaseException | None = None
        """What a tracer has raised. Native code looks only around instructions whether it is to go on."""
        self.run = WatchedRun(session, state, self)
        self._frames: dict[int, WatchedFrame] = {}
        self._callback = TRACE(self._event)
        memory = session.memory
        marks = bytes(hook is not None for hook in self.hooks)
        ctypes.memmove(memory.get("hooks"), marks, 256)
        memory.set("trace", ctypes.cast(self._callback, ctypes.c_void_p).value or 0)
        memory.set("watched", 0)
        memory.set("resumed", 0)

    def frame_at(self, address: int) -> WatchedFrame:
        """The frame at an address of the arena."""
        found = self._frames.get(address)
        if found is None:
            found = self._frames[address] = WatchedFrame(self.run, self, address)
        return found

    def _event(self, event: int, address: int, opcode: int, status: int) -> int:
        if self.error is None:
            try:
                self._pass_on(event, address, opcode, status)
            except BaseException as error:  # raised again where Python is in charge
                self.error = error
        return 0 if self.error is None else layout.ABORTED

    def _pass_on(self, event: int, address: int, opcode: int, status: int) -> None:
        if event == ENTER:
            self._frames.pop(address, None)
        frame: Any = self.frame_at(address)
        hook: Any = self.hooks[opcode]
        if event == BEFORE:
            hook.before(frame, opcode)
        elif event == AFTER:
            hook.after(frame, opcode)
        elif event == FAULT:
            hook.fault(frame, opcode, status)
        else:
            for tracer in self.tracers:
                if event == ENTER:
                    tracer.enter(frame)
                else:
                    memory = self.run.state.memory
                    output = ctypes.string_at(memory.get("return_data"), memory.get("return_size"))
                    tracer.leave(frame, status, output)
