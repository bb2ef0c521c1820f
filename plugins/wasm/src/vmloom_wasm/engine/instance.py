"""Modules at work: calls of their functions, their memory and globals.

Calls go through wasmtime's unchecked interface, which believes what it is given: a wrong number of values is a read
beyond an array. So types are compared once, when a function is looked up, and values checked before each call.
An instance may pass from thread to thread, but runs on one at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ctypes import POINTER, Array, addressof, byref, c_bool, c_char, c_char_p, c_size_t, c_uint64, c_void_p, cast
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import get_ident
from typing import Any, Final

import wasmtime
from vmloom.errors import CodeError, MemoryTooLarge, MissingRequiredExport
from wasmtime import _ffi as ffi

from vmloom_wasm.engine.compiled import Compiled
from vmloom_wasm.engine.host import HostFunctions, current
from vmloom_wasm.engine.signals import restore_handlers
from vmloom_wasm.engine.signature import SLOT, Signature, SignatureMismatch, signature
from vmloom_wasm.engine.stack import check_stack
from vmloom_wasm.engine.traps import taken_trap

PAGE: Final = 1 << 16
"""Bytes of a page of memory."""
_VALUES: Final = {letter: struct.Struct("=" + size) for letter, size in zip("ifIF", "IIQQ", strict=True)}
_VALUE_AT: Final = ffi.wasmtime_val_t.of.offset
"""Values of globals: in the byte order of the machine, unlike those of calls, and where in `wasmtime_val_t`."""


def _prototype(name: str, result: Any, *parameters: Any) -> Any:
    """A function of wasmtime's library with types of our own, which leave those of its package alone."""
    function = ffi.dll[name]
    function.restype, function.argtypes = result, parameters
    return function


_call_unchecked: Final = _prototype(
    "wasmtime_func_call_unchecked", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p
)
_instantiate: Final = _prototype("wasmtime_instance_pre_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
_global_get: Final = _prototype("wasmtime_global_get", None, c_void_p, c_void_p, c_void_p)
_global_set: Final = _prototype("wasmtime_global_set", c_void_p, c_void_p, c_void_p, c_void_p)
_export_get: Final = _prototype(
    "wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
_memory_data: Final = _prototype("wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
_memory_size: Final = _prototype("wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an instance may have.

    `memory.grow` and `table.grow` beyond it return -1; a module that begins with more is refused.

    Attributes:
        memory_pages: Pages of 64 KiB, up to 65536.
        table_elements: Elements of each table.
        tables: How many tables.
    """

    memory_pages: int = 512
    table_elements: int = 10_000
    tables: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.memory_pages <= 1 << 16:
            raise ValueError(f"memory_pages: {self.memory_pages} is not within 0 to 65536")
        if self.table_elements < 0 or self.tables < 0:
            raise ValueError("limits are not negative")


class Linked:
    """A module with its host functions, from which instances are made quickly, on any thread.

    Raises `ProhibitedImport` and `SignatureMismatch`.
    """

    def __init__(self, compiled: Compiled, functions: HostFunctions) -> None:
        self.compiled = compiled
        self.handle, self._kept = functions.resolve(compiled)

    def instantiate(self, limits: Limits | None = None, host: Any = None) -> Instance:
        """A new instance, after its start function ran. `host` is whatever its host functions need to know.

        Raises `MemoryTooLarge`, `CodeError`, `WasmTrap`, and what host functions raise.
        """
        return Instance(self, limits or Limits(), host)


class _Function:
    """An exported function with all that calls of it need. Refers to no instance."""

    def __init__(self, exported: ffi.wasmtime_func_t, kind: Signature) -> None:
        self.signature = kind
        self.area: Array[c_char] = (c_char * (SLOT * kind.slots))()
        self.slots = kind.slots
        self.pack = kind.parameter_layout.pack_into
        self.unpack = kind.result_layout.unpack_from
        self.results = len(kind.results)
        self._exported = exported
        self.address = addressof(exported)
        self.area_address = addressof(self.area)


class Instance:
    """A module with its own memory and globals.

    Attributes:
        host: What `Linked.instantiate` was given, for host functions.
        raised: The exception that a host function ended the run with, on its way out.
    """

    def __init__(self, linked: Linked, limits: Limits, host: Any) -> None:
        self.host = host
        self.raised: BaseException | None = None
        self.compiled = linked.compiled
        self._linked = linked  # keeps the callbacks
        self._store = wasmtime.Store(linked.compiled.engine.handle)
        self._context = cast(self._store._context(), c_void_p).value
        self._handle = ffi.wasmtime_instance_t()
        self._trap = c_void_p()
        self._trap_address = addressof(self._trap)
        self._thread = 0
        self._stack_bytes = linked.compiled.engine.settings.stack_bytes
        self._started = False
        self._functions: dict[str, _Function] = {}
        self._memories: dict[str, Memory] = {}
        self._globals: dict[str, Global] = {}
        self._store.set_limits(limits.memory_pages * PAGE, limits.table_elements, 1, limits.tables, 1)
        pre = cast(linked.handle.ptr(), c_void_p)
        self._native(_instantiate, pre, self._context, addressof(self._handle), self._trap_address)
        self._started = True

    # Functions

    def function(self, name: str, types: str) -> Callable[..., Any]:
        """The exported function, to be called with its parameters. Types are as in `"iiI:i"`.

        Raises `MissingRequiredExport`, and `SignatureMismatch` if its types are others. The function returns None,
        the result, or a tuple of several; it raises `WasmTrap`, what host functions raise, and for wrong values
        `TypeError` or `OverflowError`, in which case nothing was run.
        """
        function = self._function(name)
        if function.signature != signature(types):
            raise SignatureMismatch(f"function {name} is {function.signature}, not {signature(types)}")
        return partial(self._run, function)

    def call(self, name: str, *values: int) -> Any:
        """Call an exported function, whatever its types. Returns and raises as what `function` returns."""
        return self._run(self._function(name), *values)

    def _function(self, name: str) -> _Function:
        found = self._functions.get(name)
        if found is None:
            kind = self.compiled.functions.get(name)
            if kind is None:
                raise MissingRequiredExport(f"there is no exported function {name}")
            exported = ffi.wasmtime_func_t.from_buffer_copy(self._export(name).of.func)
            found = self._functions[name] = _Function(exported, kind)
        return found

    def _run(self, function: _Function, *values: int) -> Any:
        area = function.area
        self._check_thread()
        try:
            function.pack(area, 0, *values)
        except struct.error:
            function.signature.put_parameters(area, values)
        self._native(
            _call_unchecked,
            self._context,
            function.address,
            function.area_address,
            function.slots,
            self._trap_address,
        )
        # Calls of the same function from within have written here before this one's results came.
        if function.results == 1:
            return function.unpack(area)[0]
        return function.unpack(area) if function.results else None

    def _check_thread(self) -> None:
        if self._thread and self._thread != get_ident():
            raise RuntimeError("another thread runs this instance: make one for each thread")

    def _native(self, function: Any, *arguments: Any) -> None:
        """Enter compiled code. Raises `WasmTrap`, `CodeError`, and what host functions raise."""
        outer, thread = current.instance, self._thread
        position = current.position if outer is not None else 0
        check_stack(self._stack_bytes, position)
        restore_handlers()
        current.instance, self._thread, self.raised = self, get_ident(), None
        try:
            error = function(*arguments)
        finally:
            current.instance, current.position, self._thread = outer, position, thread
        if error or self._trap.value:
            self._fail(error)

    def _fail(self, error: int | None) -> None:
        trap, raised = self._trap.value, self.raised
        self._trap.value = self.raised = None
        try:
            if raised is not None:
                if trap:
                    ffi.wasm_trap_delete(cast(trap, POINTER(ffi.wasm_trap_t)))
                if error:
                    ffi.wasmtime_error_delete(cast(error, POINTER(ffi.wasmtime_error_t)))
                raise raised
            if trap:
                raise taken_trap(trap)
            raise _refused(error)
        finally:
            raised = None  # its traceback refers to this frame

    # Memory and globals

    @property
    def memory(self) -> Memory:
        """The memory exported as `memory`. Raises `MissingRequiredExport`."""
        found = self._memories.get("memory")
        if found is None:
            if "memory" not in self.compiled.memories:
                raise MissingRequiredExport("there is no exported memory")
            found = self._memories["memory"] = Memory(self._store, self._export("memory").of.memory)
        return found

    def variable(self, name: str) -> Global:
        """An exported global. Raises `MissingRequiredExport`, and `SignatureMismatch` for a reference."""
        found = self._globals.get(name)
        if found is None:
            if name not in self.compiled.globals:
                raise MissingRequiredExport(f"there is no exported global {name}")
            letter, mutable = self.compiled.globals[name]
            if letter == "?":
                raise SignatureMismatch(f"global {name} is a reference")
            found = self._globals[name] = Global(self._store, self._export(name).of.global_, letter, mutable)
        return found

    def _export(self, name: str) -> ffi.wasmtime_extern_t:
        if not self._started:
            raise CodeError(f"export {name} cannot be used before the start function is done")
        item, encoded = ffi.wasmtime_extern_t(), name.encode()
        place = addressof(item)
        if not _export_get(self._context, addressof(self._handle), encoded, len(encoded), place):
            raise MissingRequiredExport(f"there is no export {name}")
        return item


class Memory:
    """Linear memory. Its base never moves, as all of its address space is reserved; only its size changes."""

    def __init__(self, store: wasmtime.Store, exported: ffi.wasmtime_memory_t) -> None:
        self._store = store
        self._context = cast(store._context(), c_void_p).value
        self._exported = ffi.wasmtime_memory_t.from_buffer_copy(exported)
        self._view = memoryview(b"")
        self._refresh()

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.view)

    @property
    def view(self) -> memoryview:
        """All of it as it is now, writable. After growth, ask again: an older view still is of the older part."""
        if _memory_size(self._context, addressof(self._exported)) != len(self._view):
            self._refresh()
        return self._view

    def read(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes. Raises `IndexError` if they are not all within."""
        end = offset + size
        if end > len(self._view) or offset < 0 or size < 0:
            self._check(offset, size)
        return self._view[offset:end].tobytes()

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`. Raises `IndexError` if it does not fit, and then writes nothing."""
        end = offset + len(data)
        if end > len(self._view) or offset < 0:
            self._check(offset, len(data))
        self._view[offset:end] = data

    def grow(self, pages: int) -> bool:
        """Add pages of 64 KiB. False if the limit does not allow it."""
        if not 0 <= pages <= 1 << 16:
            return False
        error = ffi.wasmtime_memory_grow(self._store._context(), byref(self._exported), pages, byref(c_uint64()))
        if error:
            ffi.wasmtime_error_delete(error)
        self._refresh()
        return not error

    def _check(self, offset: int, size: int) -> None:
        """It may have grown since the view was made. Raises `IndexError`."""
        length = len(self.view)
        if offset < 0 or size < 0 or offset + size > length:
            raise IndexError(f"{size} bytes at {offset:#x} are not within the memory of {length} bytes")

    def _refresh(self) -> None:
        place = addressof(self._exported)
        size = _memory_size(self._context, place)
        if not size:
            self._view = memoryview(bytearray())
            return
        array = _array(size).from_address(_memory_data(self._context, place))
        array.store = self._store  # type: ignore[attr-defined]  # views that outlive all else must have their memory
        self._view = memoryview(array).cast("B")


class Global:
    """An exported global. Integers are unsigned, floats are their bits."""

    def __init__(self, store: wasmtime.Store, exported: ffi.wasmtime_global_t, letter: str, mutable: bool) -> None:
        self._store = store
        self._context = cast(store._context(), c_void_p).value
        self._exported = ffi.wasmtime_global_t.from_buffer_copy(exported)
        self._place = addressof(self._exported)
        self._value = ffi.wasmtime_val_t()
        self._value_place = addressof(self._value)
        self._signature = Signature(letter, "")
        layout = _VALUES[letter]
        self._pack, self._unpack = layout.pack_into, layout.unpack_from
        self.mutable = mutable
        self.get()  # which sets the type of `_value`, for good

    def get(self) -> int:
        """Its value now."""
        _global_get(self._context, self._place, self._value_place)
        value: int = self._unpack(self._value, _VALUE_AT)[0]
        return value

    def set(self, value: int) -> None:
        """Change it. Raises `ValueError` if it cannot be, `TypeError`, `OverflowError`."""
        if not self.mutable:
            raise ValueError("the global is immutable")
        try:
            self._pack(self._value, _VALUE_AT, value)
        except struct.error:  # negative, or wrong
            area = (c_char * SLOT)()
            self._signature.put_parameters(area, (value,))
            self._pack(self._value, _VALUE_AT, *self._signature.parameter_layout.unpack_from(area))
        error = _global_set(self._context, self._place, self._value_place)
        if error:
            raise wasmtime.WasmtimeError._from_ptr(cast(error, POINTER(ffi.wasmtime_error_t)))


@lru_cache(maxsize=256)
def _array(size: int) -> type[Array[c_char]]:
    """Types are not cheap to make, and modules have few sizes."""
    return c_char * size


def _refused(error: int | None) -> CodeError:
    """What wasmtime says about a module that it cannot instantiate."""
    message = str(wasmtime.WasmtimeError._from_ptr(cast(error or 0, POINTER(ffi.wasmtime_error_t))))
    line = message.partition("\n")[0]
    return MemoryTooLarge(line) if "memory" in line else CodeError(line)
