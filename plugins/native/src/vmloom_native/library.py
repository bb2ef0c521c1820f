"""Object code in this process: symbols and their addresses. Imports no part of llvmlite, see `llvm`."""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
import weakref
from collections.abc import Mapping
from typing import Any, Final

from .llvm import shared_library, taken

_LOCK: Final = threading.RLock()
_NUMBERS: Final = itertools.count(1)
_OBJECT: Final = 2
_PROCESS: Final = 3


class _Element(ctypes.Structure):
    """Something to link: an object's bytes, or, with no bytes, the symbols of this process."""

    _fields_ = (("kind", ctypes.c_uint8), ("value", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Symbol(ctypes.Structure):
    """A symbol that stands at an address of this process."""

    _fields_ = (("name", ctypes.c_char_p), ("address", ctypes.c_uint64))


class Library:
    """Loaded object code. Its addresses and functions are valid as long as it lives."""

    def __init__(self, object_bytes: bytes, imports: Mapping[str, int] | None = None) -> None:
        """`imports` are addresses of symbols that the object leaves undefined; what is there must outlive the library.

        Raises `RuntimeError` with LLVM's words for what is no object code.
        """
        llvm, linker = _linker()
        self._name = f"library{next(_NUMBERS)}".encode()
        elements = (_Element * 2)(_Element(_OBJECT, object_bytes, len(object_bytes)), _Element(_PROCESS, b"", 0))
        given = imports or {}
        symbols = (_Symbol * len(given))(*(_Symbol(name.encode(), address) for name, address in given.items()))
        error = ctypes.c_void_p()
        with _LOCK:
            tracker = llvm.LLVMPY_LLJIT_Link(
                linker, self._name, elements, 2, symbols, len(given), None, 0, ctypes.byref(error)
            )
        if not tracker:
            raise RuntimeError(taken(error))
        self._addresses: dict[str, int] = {}
        _kept(self, llvm, tracker)

    def address(self, name: str) -> int:
        """Where a function is. Raises `KeyError` if there is none of that name."""
        if name not in self._addresses:
            llvm, linker = _linker()
            address, error = ctypes.c_uint64(), ctypes.c_void_p()
            with _LOCK:
                places = (ctypes.byref(address), ctypes.byref(error))
                tracker = llvm.LLVMPY_LLJITLookup(linker, self._name, name.encode(), *places)
            if not tracker:
                raise KeyError(f"{name}: {taken(error)}")
            _kept(self, llvm, tracker)
            self._addresses[name] = address.value
        return self._addresses[name]

    def function(self, name: str, restype: Any, *argtypes: Any) -> Any:
        """A ctypes function, which releases the GIL while it runs. It keeps the library alive."""
        function: Any = ctypes.CFUNCTYPE(restype, *argtypes)(self.address(name))
        function.library = self
        return function


def _kept(library: Library, llvm: Any, tracker: int) -> None:
    """Release what LLVM holds for `library` with it, but not at the end of the process: its code may still run then."""
    weakref.finalize(library, _release, llvm, tracker).atexit = False


def _release(llvm: Any, tracker: int) -> None:
    error = ctypes.c_void_p()
    with _LOCK:
        if llvm.LLVMPY_LLJIT_Dylib_Tracker_Dispose(tracker, ctypes.byref(error)):
            taken(error)  # nobody is there to be told, and the code stays


def _linker() -> tuple[Any, Any]:
    """LLVM, and its linker, which lives as long as the process."""
    with _LOCK:
        return _made_linker()


@functools.cache
def _made_linker() -> tuple[Any, Any]:
    llvm = shared_library()
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    llvm.LLVMPY_CreateLLJITCompiler.argtypes = (pointer, ctypes.c_bool, ctypes.c_bool, pointer)
    llvm.LLVMPY_CreateLLJITCompiler.restype = pointer
    llvm.LLVMPY_LLJIT_Link.argtypes = (pointer, text, pointer, size, pointer, size, pointer, size, pointer)
    llvm.LLVMPY_LLJIT_Link.restype = pointer
    llvm.LLVMPY_LLJITLookup.argtypes = (pointer, text, text, pointer, pointer)
    llvm.LLVMPY_LLJITLookup.restype = pointer
    llvm.LLVMPY_LLJIT_Dylib_Tracker_Dispose.argtypes = (pointer, pointer)
    llvm.LLVMPY_LLJIT_Dylib_Tracker_Dispose.restype = ctypes.c_bool
    llvm.LLVMPY_InitializeNativeTarget()
    llvm.LLVMPY_InitializeNativeAsmPrinter()
    error = ctypes.c_void_p()
    linker = llvm.LLVMPY_CreateLLJITCompiler(None, False, True, ctypes.byref(error))
    if not linker:
        raise RuntimeError(taken(error))
    return llvm, linker
