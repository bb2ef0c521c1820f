"""LLVM without the Python half of llvmlite, whose import takes longer than all else of a warm start together.

Only what a start from the object cache needs: `library` links with it, `build` asks it which processor this is.
Compiling imports `llvmlite.binding`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any, Final

_FILES: Final = {"win32": "llvmlite.dll", "darwin": "libllvmlite.dylib"}


@functools.cache
def shared_library() -> Any:
    """The shared library of llvmlite, as `llvmlite.binding` would load it; its functions begin with `LLVMPY_`.

    Raises `ModuleNotFoundError` without llvmlite, `OSError` if the library cannot be loaded.
    """
    spec = importlib.util.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("llvmlite is not installed", name="llvmlite")
    path = Path(spec.origin).parent / "binding" / _FILES.get(sys.platform, "libllvmlite.so")
    library = ctypes.CDLL(str(path))
    library.LLVMPY_DisposeString.argtypes = (ctypes.c_void_p,)
    library.LLVMPY_DisposeString.restype = None
    return library


def process_triple() -> str:
    """What this process is compiled for, such as `x86_64-unknown-linux-gnu`."""
    return _text("LLVMPY_GetProcessTriple")


def processor() -> str:
    """The processor's name in LLVM's words, such as `znver5`."""
    return _text("LLVMPY_GetHostCPUName")


def processor_features() -> str:
    """What the processor can and cannot do: `+avx2,-avx512f,...`, in an order that does not change."""
    return ",".join(sorted(_text("LLVMPY_GetHostCPUFeatures").split(",")))


def present_features() -> frozenset[str]:
    """The names of what the processor can do, which is what `Program` takes as `cpu_features`."""
    return frozenset(one[1:] for one in processor_features().split(",") if one.startswith("+"))


def taken(text: ctypes.c_void_p) -> str:
    """The text that LLVM has put behind a pointer, and that is ours to release. Empty for none."""
    if not text.value:
        return ""
    try:
        return ctypes.string_at(text.value).decode(errors="replace")
    finally:
        shared_library().LLVMPY_DisposeString(text)


def _text(function: str) -> str:
    """What an LLVM function writes into the pointer that it is given."""
    out = ctypes.c_void_p()
    getattr(shared_library(), function)(ctypes.byref(out))
    return taken(out)
