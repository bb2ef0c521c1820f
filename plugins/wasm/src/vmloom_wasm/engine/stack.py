"""How much of a thread's stack is left: compiled code runs on it, and whoever goes beyond its end ends the process."""

from __future__ import annotations

import ctypes
import sys
import threading
from ctypes import byref, c_size_t, c_void_p
from typing import Final

from vmloom.errors import VmloomError

RESERVE: Final = 1 << 20
"""Bytes kept for wasmtime, Python and what host functions do, on top of what compiled code may use."""
_ATTRIBUTE_BYTES: Final = 256
"""More than `pthread_attr_t` has on any system."""


class StackExhausted(VmloomError):
    """Instances that run each other need more stack than this thread has. Says nothing about the module."""


class _Bounds(threading.local):
    """Lowest address of this thread's stack and its size in bytes, once known."""

    found: tuple[int, int] | None = None


_bounds: Final = _Bounds()


def check_stack(stack_bytes: int, position: int) -> None:
    """Raise `StackExhausted` unless code may use `stack_bytes` below `position` (0 at the beginning of a thread)."""
    lowest, size = bounds()
    left = position - lowest if position else size
    if left < stack_bytes + RESERVE:
        raise StackExhausted(
            f"{max(left, 0) >> 10} KiB of stack are left to this thread, {(stack_bytes + RESERVE) >> 10} KiB needed"
        ).with_fix("run it in a thread that is started after threading.stack_size(...) was set to more")


def bounds() -> tuple[int, int]:
    """Lowest address and size in bytes of this thread's stack."""
    if _bounds.found is None:
        _bounds.found = _found()
    return _bounds.found


def _found() -> tuple[int, int]:
    system = ctypes.CDLL(None) if sys.platform != "win32" else ctypes.CDLL("kernel32")
    if sys.platform == "win32":
        low, high = c_void_p(), c_void_p()
        system.GetCurrentThreadStackLimits(byref(low), byref(high))
        return low.value or 0, (high.value or 0) - (low.value or 0)
    system.pthread_self.restype = c_void_p
    this = c_void_p(system.pthread_self())
    if sys.platform == "darwin":
        system.pthread_get_stackaddr_np.restype, system.pthread_get_stacksize_np.restype = c_void_p, c_size_t
        size = int(system.pthread_get_stacksize_np(this))
        return int(system.pthread_get_stackaddr_np(this)) - size, size
    attributes = ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
    start, length = c_void_p(), c_size_t()
    if system.pthread_getattr_np(this, attributes):
        raise OSError("this thread's stack cannot be found")
    system.pthread_attr_getstack(attributes, byref(start), byref(length))
    system.pthread_attr_destroy(attributes)
    return start.value or 0, length.value
