"""Functions of the host that modules import.

They are defined once and linked to any number of modules. What a run does in them concerns that run alone: an
exception ends it, and comes out of the call into the module as the same object.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, byref, c_char, c_size_t, c_void_p, cast
from typing import TYPE_CHECKING, Any, Final

import wasmtime
from vmloom.errors import ProhibitedImport
from wasmtime import _ffi as ffi

from vmloom_wasm.engine.compiled import Compiled
from vmloom_wasm.engine.config import Engine
from vmloom_wasm.engine.ending import closed_at_exit
from vmloom_wasm.engine.signature import Signature, SignatureMismatch, signature

if TYPE_CHECKING:
    from vmloom_wasm.engine.instance import Instance

HostFunction = Callable[..., Any]
"""Called with the instance and the parameters. Returns None, the result, or a tuple of several."""

_CALLBACK: Final = CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)
"""As `wasmtime_func_unchecked_callback_t`, with plain integers for pointers, which ctypes converts faster."""
_NO_FINALIZER: Final = CFUNCTYPE(None, c_void_p)(0)
_TYPES: Final = {
    "i": wasmtime.ValType.i32,
    "I": wasmtime.ValType.i64,
    "f": wasmtime.ValType.f32,
    "F": wasmtime.ValType.f64,
}
_MESSAGE: Final = b"host function raised an exception"


class _Current(threading.local):
    """The instance whose code this thread runs. wasmtime's functions never change threads on their way."""

    instance: Instance | None = None
    position: int = 0
    """Where its stack was when the last host function began: wasmtime's `Caller` is a local variable."""


current: Final = _Current()


def position() -> int:
    """Where this thread's stack is, below the host function that runs now; 0 if none does."""
    return current.position if current.instance is not None else 0


class HostFunctions:
    """What a host offers to modules, by module and name. Define all of it before the first module is linked."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._linker = closed_at_exit(wasmtime.Linker(engine.handle))
        self._signatures: dict[tuple[str, str], Signature] = {}
        self._callbacks: list[Any] = []

    def define(self, module: str, name: str, types: str, function: HostFunction) -> None:
        """Offer `function` as `module`.`name`, with types such as `"iiI:i"`.

        It is called with the instance, then the parameters: integers unsigned, floats as their bits.
        Raises `ValueError` for types that are none and for a name that is taken.
        """
        kind = signature(types)
        if (module, name) in self._signatures:
            raise ValueError(f"{module}.{name} is defined already")
        callback = _CALLBACK(_callback(function, kind))
        parameters, results = ([_TYPES[letter]() for letter in side] for side in (kind.parameters, kind.results))
        described = wasmtime.FuncType(parameters, results)
        first, second = module.encode(), name.encode()
        error = ffi.wasmtime_linker_define_func_unchecked(
            self._linker.ptr(), first, len(first), second, len(second), described.ptr(),
            cast(callback, ffi.wasmtime_func_unchecked_callback_t), None, _NO_FINALIZER,
        )  # fmt: skip
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        # Python frees them with the last of the functions and of what was linked: wasmtime is given no reference to
        # count, so functions that refer to their own host are a cycle that the collector sees.
        self._callbacks.append(callback)
        self._signatures[module, name] = kind

    def resolve(self, compiled: Compiled) -> tuple[wasmtime.InstancePre, tuple[Any, ...]]:
        """wasmtime's linked module, and what must live as long as it.

        Raises `ProhibitedImport` for what is not offered and `SignatureMismatch` for other types than offered.
        """
        for module, name in sorted(compiled.other_imports):
            raise ProhibitedImport(f"import {module}.{name}: only functions can be imported")
        for (module, name), wanted in compiled.imports.items():
            offered = self._signatures.get((module, name))
            if offered is None:
                raise ProhibitedImport(f"import {module}.{name}: there is no such host function")
            if offered != wanted:
                raise SignatureMismatch(f"import {module}.{name} is {wanted}, but the host function is {offered}")
        if compiled.engine is not self.engine:
            raise ValueError("module and host functions are of different engines")
        pointer = POINTER(ffi.wasmtime_instance_pre_t)()
        error = ffi.wasmtime_linker_instantiate_pre(self._linker.ptr(), compiled.handle.ptr(), byref(pointer))
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        return closed_at_exit(wasmtime.InstancePre._from_ptr(pointer)), tuple(self._callbacks)


def _callback(function: HostFunction, kind: Signature) -> Callable[[Any, Any, int | None, int], int]:
    """What wasmtime calls: parameters are read from, and results written to, the area at an address."""
    area_at = (c_char * (16 * kind.slots)).from_address
    unpack, pack = kind.parameter_layout.unpack_from, kind.result_layout.pack_into
    results, takes = len(kind.results), bool(kind.parameters)

    def enter(_data: Any, caller: int, address: int | None, _slots: int) -> int:
        instance = current.instance
        current.position = caller
        try:
            area = area_at(address) if address else None
            returned = function(instance, *unpack(area)) if takes else function(instance)  # type: ignore[arg-type]
            if results == 1:
                try:
                    pack(area, 0, returned)  # type: ignore[arg-type]
                except struct.error:
                    kind.put_results(area, (returned,))  # type: ignore[arg-type]
            elif results:
                kind.put_results(area, returned)  # type: ignore[arg-type]
            elif returned is not None:
                raise TypeError(f"a host function without results returned {type(returned).__name__}")
        except BaseException as cause:  # an exception must not pass through frames that are not Python's
            if instance is not None:
                instance.raised = cause
            return cast(ffi.wasmtime_trap_new(_MESSAGE, len(_MESSAGE)), c_void_p).value or 0
        return 0

    return enter
