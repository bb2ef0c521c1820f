"""Why compiled code stopped, and where."""

from __future__ import annotations

from ctypes import POINTER, cast
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import wasmtime
from wasmtime import _ffi as ffi

_FRAMES: Final = 20
"""Frames that are reported, the innermost first: as many as wasmtime keeps now, whatever a later one does."""


class TrapKind(StrEnum):
    """The reasons that the WebAssembly specification knows, and the one of the machine."""

    UNREACHABLE = "unreachable"
    MEMORY_OUT_OF_BOUNDS = "memory out of bounds"
    TABLE_OUT_OF_BOUNDS = "table out of bounds"
    INDIRECT_CALL_TO_NULL = "indirect call to null"
    BAD_SIGNATURE = "indirect call type mismatch"
    INTEGER_OVERFLOW = "integer overflow"
    INTEGER_DIVISION_BY_ZERO = "integer division by zero"
    BAD_CONVERSION_TO_INTEGER = "invalid conversion to integer"
    STACK_OVERFLOW = "stack overflow"
    """The limit of this machine: where it comes before the one of the instrumentation, results are not portable."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TrapFrame:
    """A function that was running: its index, its name in the name section, and offsets of the instruction in bytes.

    Index and offsets are those of the module that was compiled, instrumented or not.
    """

    function: int
    name: str | None
    module_offset: int
    function_offset: int


class WasmTrap(Exception):
    """Compiled code trapped: `kind` says why, and `frames` where, the innermost first, at most 20."""

    def __init__(self, kind: TrapKind, message: str, frames: tuple[TrapFrame, ...]) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.frames = frames


def taken_trap(pointer: int) -> WasmTrap:
    """What a trap says. It belongs to us, and is deleted."""
    trap = wasmtime.Trap._from_ptr(cast(pointer, POINTER(ffi.wasm_trap_t)))
    code = ffi.wasmtime_trap_code_t()
    kind = TrapKind.OTHER
    if ffi.wasmtime_trap_code(trap.ptr(), code):
        # Not `trap.trap_code`, which raises an error for codes that a newer library brings.
        kind = _KINDS.get(code.value, TrapKind.OTHER)
    frames = tuple(
        TrapFrame(frame.func_index, frame.func_name, frame.module_offset, frame.func_offset)
        for frame in trap.frames[:_FRAMES]
    )
    message = kind.value if kind is not TrapKind.OTHER else trap.message.partition("\n")[0]
    return WasmTrap(kind, message, frames)


_KINDS: Final = {
    wasmtime.TrapCode[kind.name].value: kind for kind in TrapKind if kind.name in wasmtime.TrapCode.__members__
}
