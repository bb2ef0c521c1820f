"""Modules as machine code: made, turned into bytes, and brought back.

Knows nothing of files. Who keeps the bytes must see that nobody alters them.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import byref, c_void_p
from dataclasses import dataclass, field
from typing import Final

import wasmtime
from vmloom.errors import InvalidCode, VmloomError
from wasmtime import _ffi as ffi

from vmloom_wasm.engine.config import Engine
from vmloom_wasm.engine.ending import closed_at_exit
from vmloom_wasm.engine.signature import Signature, SignatureMismatch

_LETTERS: Final = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}


class MachineCodeRejected(VmloomError):
    """Machine code of another release of wasmtime, other settings or another processor. Compile the module again."""


@dataclass(frozen=True)
class Compiled:
    """A module that is ready to be linked.

    Attributes:
        engine: What compiled it, and runs it.
        handle: wasmtime's own object.
        functions: Exported functions.
        globals: Exported globals: the letter of their type, and whether they can be written.
        memories: Names of exported memories.
        imports: Imported functions by module and name.
        other_imports: Imported memories, tables and globals by module and name, which no host here provides.
    """

    engine: Engine
    handle: wasmtime.Module = field(repr=False)
    functions: Mapping[str, Signature]
    globals: Mapping[str, tuple[str, bool]]
    memories: frozenset[str]
    imports: Mapping[tuple[str, str], Signature]
    other_imports: frozenset[tuple[str, str]]

    @property
    def size(self) -> int:
        """Bytes of memory that wasmtime's image of the module takes."""
        first, last = c_void_p(), c_void_p()
        ffi.wasmtime_module_image_range(self.handle.ptr(), byref(first), byref(last))
        return (last.value or 0) - (first.value or 0)


def compile_module(engine: Engine, code: bytes) -> Compiled:
    """Machine code for a module in the binary format. Raises `InvalidCode` with the cause that wasmtime names."""
    if not isinstance(code, bytes):
        raise TypeError(f"a module is bytes, not {type(code).__name__}")
    if code[:4] != b"\0asm":
        raise InvalidCode("no WebAssembly module: it does not begin with 00 61 73 6d")  # wasmtime would take text, too
    try:
        module = closed_at_exit(wasmtime.Module(engine.handle, code))
    except wasmtime.WasmtimeError as cause:
        raise InvalidCode(_one_line(cause)) from None
    return _described(engine, module)


def serialize(compiled: Compiled) -> bytes:
    """The machine code as bytes, for `deserialize` with an engine of the same fingerprint."""
    return bytes(compiled.handle.serialize())


def deserialize(engine: Engine, machine_code: bytes) -> Compiled:
    """The module that `serialize` was given. Raises `MachineCodeRejected` for another release or processor.

    To load these bytes is to execute them, and wasmtime takes altered ones without complaint: give it only what is
    known to come from `serialize`, such as what an `ObjectCache` returns.
    """
    try:
        module = closed_at_exit(wasmtime.Module.deserialize(engine.handle, machine_code))
    except wasmtime.WasmtimeError as cause:
        raise MachineCodeRejected(_one_line(cause)) from None
    return _described(engine, module)


def _described(engine: Engine, module: wasmtime.Module) -> Compiled:
    functions, variables, memories = {}, {}, set()
    for export in module.exports:
        kind = export.type
        if isinstance(kind, wasmtime.FuncType):
            functions[export.name] = _signature(kind)
        elif isinstance(kind, wasmtime.GlobalType):
            variables[export.name] = (_LETTERS.get(str(kind.content), "?"), kind.mutable)
        elif isinstance(kind, wasmtime.MemoryType):
            memories.add(export.name)
    imports: dict[tuple[str, str], Signature] = {}
    others = set()
    for entry in module.imports:
        kind, place = entry.type, (entry.module, entry.name or "")
        if isinstance(kind, wasmtime.FuncType):
            wanted = _signature(kind)
            if imports.setdefault(place, wanted) != wanted:
                raise SignatureMismatch(f"import {place[0]}.{place[1]} is both {imports[place]} and {wanted}")
        else:
            others.add(place)
    return Compiled(engine, module, functions, variables, frozenset(memories), imports, frozenset(others))


def _signature(kind: wasmtime.FuncType) -> Signature:
    sides = ("".join(_LETTERS.get(str(value), "?") for value in side) for side in (kind.params, kind.results))
    return Signature(*sides)


def _one_line(cause: Exception) -> str:
    """wasmtime says what it was doing first, and the cause below."""
    lines = [line.strip() for line in str(cause).splitlines()]
    return ": ".join(line for line in lines if line and line != "Caused by:")
