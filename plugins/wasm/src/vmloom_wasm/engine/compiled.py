"""Modules as machine code: made, kept as bytes, and brought back.

To load such bytes is to execute them, and wasmtime takes altered ones without complaint. So they are sealed with a
secret, and nothing reaches wasmtime before the seal was checked.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import wasmtime
from vmloom.errors import InvalidCode, VmloomError

from vmloom_wasm.engine.config import Engine
from vmloom_wasm.engine.signature import Signature

SECRET_BYTES: Final = 32
"""Bytes that a secret has at least."""
_MAGIC: Final = b"vmloom wasm 1\n\0\0"
_HEAD: Final = struct.Struct("<16s32s32sQ32s")
"""Magic, fingerprint of the engine, SHA-256 of the module, bytes of machine code, seal. The machine code follows."""
_LETTERS: Final = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}


class ArtifactRejected(VmloomError):
    """Machine code that is not loaded: altered, cut short, of another module or engine. Compile the module again."""


@dataclass(frozen=True)
class Compiled:
    """A module that is ready to be linked.

    Attributes:
        engine: What compiled it, and runs it.
        digest: SHA-256 of the module's bytes.
        handle: wasmtime's own object.
        functions: Exported functions.
        globals: Exported globals: the letter of their type, and whether they can be written.
        memories: Names of exported memories.
        imports: Imported functions by module and name.
        other_imports: Imported memories, tables and globals by module and name, which no host here provides.
    """

    engine: Engine
    digest: bytes
    handle: wasmtime.Module = field(repr=False)
    functions: Mapping[str, Signature]
    globals: Mapping[str, tuple[str, bool]]
    memories: frozenset[str]
    imports: Mapping[tuple[str, str], Signature]
    other_imports: frozenset[tuple[str, str]]


def compile_module(engine: Engine, code: bytes) -> Compiled:
    """Machine code for a module in the binary format. Raises `InvalidCode` with the cause that wasmtime names."""
    if not isinstance(code, bytes):
        raise TypeError(f"a module is bytes, not {type(code).__name__}")
    if code[:4] != b"\0asm":
        raise InvalidCode("no WebAssembly module: it does not begin with 00 61 73 6d")  # wasmtime would take text, too
    try:
        module = wasmtime.Module(engine.handle, code)
    except wasmtime.WasmtimeError as cause:
        raise InvalidCode(_one_line(cause)) from None
    return _described(engine, hashlib.sha256(code).digest(), module)


def seal(compiled: Compiled, secret: bytes) -> bytes:
    """The machine code as bytes that only holders of `secret` (at least 32 bytes) can have made."""
    content = bytes(compiled.handle.serialize())
    head = partial(_HEAD.pack, _MAGIC, compiled.engine.fingerprint, compiled.digest, len(content))
    return head(_seal(secret, head(bytes(32)), content)) + content


def unseal(engine: Engine, sealed: bytes, digest: bytes, secret: bytes) -> Compiled:
    """The module whose SHA-256 is `digest`, from what `seal` made. Raises `ArtifactRejected`."""
    if len(sealed) < _HEAD.size:
        raise ArtifactRejected("machine code is cut short")
    magic, fingerprint, sealed_digest, size, code = _HEAD.unpack_from(sealed)
    content = sealed[_HEAD.size :]
    head = sealed[: _HEAD.size - 32] + bytes(32)
    if not hmac.compare_digest(code, _seal(secret, head, content)) or magic != _MAGIC or size != len(content):
        raise ArtifactRejected("machine code was altered, or sealed with another secret")
    if sealed_digest != digest:
        raise ArtifactRejected("machine code is of another module")
    if fingerprint != engine.fingerprint:
        raise ArtifactRejected("machine code is of another release of wasmtime, or was made with other settings")
    try:
        module = wasmtime.Module.deserialize(engine.handle, content)
    except wasmtime.WasmtimeError as cause:  # such as a processor that lacks what the code uses
        raise ArtifactRejected(_one_line(cause)) from None
    return _described(engine, digest, module)


def _seal(secret: bytes, head: bytes, content: bytes) -> bytes:
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"a secret has at least {SECRET_BYTES} bytes, not {len(secret)}")
    code = hmac.new(secret, head, hashlib.sha256)
    code.update(content)
    return code.digest()


def _described(engine: Engine, digest: bytes, module: wasmtime.Module) -> Compiled:
    functions, variables, memories = {}, {}, set()
    for export in module.exports:
        kind = export.type
        if isinstance(kind, wasmtime.FuncType):
            functions[export.name] = _signature(kind)
        elif isinstance(kind, wasmtime.GlobalType):
            variables[export.name] = (_LETTERS.get(str(kind.content), "?"), kind.mutable)
        elif isinstance(kind, wasmtime.MemoryType):
            memories.add(export.name)
    imports, others = {}, set()
    for entry in module.imports:
        kind, place = entry.type, (entry.module, entry.name or "")
        if isinstance(kind, wasmtime.FuncType):
            imports[place] = _signature(kind)
        else:
            others.add(place)
    return Compiled(engine, digest, module, functions, variables, frozenset(memories), imports, frozenset(others))


def _signature(kind: wasmtime.FuncType) -> Signature:
    sides = ("".join(_LETTERS.get(str(value), "?") for value in side) for side in (kind.params, kind.results))
    return Signature(*sides)


def _one_line(cause: Exception) -> str:
    """wasmtime says what it was doing first, and the cause below."""
    lines = [line.strip() for line in str(cause).splitlines()]
    return ": ".join(line for line in lines if line and line != "Caused by:")
