"""Keeps the handlers of signals by which compiled code traps.

wasmtime lets the processor find divisions by zero, memory out of bounds and `unreachable`, and turns the signals into
traps. It sets its handlers once for the process; a library that is imported later may set others, which end the process
at the next trap: gmpy2 does so for SIGFPE, and so does `faulthandler.enable()` for all of them. So they are looked at
before compiled code is entered, and set again. wasmtime's own hand on what is none of its business.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from collections import Counter
from ctypes import addressof, c_int, c_void_p
from typing import Final

_ACTION_BYTES: Final = 256
"""More than `struct sigaction` has on any system; the handler comes first in it."""
_NEEDED: Final = sys.platform not in ("win32", "darwin")
"""Elsewhere exceptions of the processor take another way."""
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGSEGV", "SIGILL", "SIGFPE") if _NEEDED and hasattr(signal, name)
)


class _Action:
    """A `struct sigaction`."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_ACTION_BYTES)
        self.place = addressof(self.buffer)
        self.handler = c_void_p.from_buffer(self.buffer)


_found: Final = _Action()
"""Where handlers are read to. That another thread does so as well does no harm: at worst one is set again."""
_wanted: _Action | None = None


def remember_handlers() -> None:
    """Note which handler wasmtime has set: to be called once an engine has been made.

    It is the same for all signals; one of them may have been replaced already.
    """
    global _wanted
    if _wanted is not None or not _SIGNALS:
        return
    actions = [_Action() for _ in _SIGNALS]
    for number, action in zip(_SIGNALS, actions, strict=True):
        _sigaction(number, None, action.place)
    handler, count = Counter(action.handler.value for action in actions).most_common(1)[0]
    if handler and count > 1:
        _wanted = next(action for action in actions if action.handler.value == handler)


def restore_handlers() -> None:
    """Set wasmtime's handlers again where others have been set. Takes less than a microsecond where none have."""
    if _wanted is None:
        return
    wanted = _wanted.handler.value
    for number in _SIGNALS:
        _sigaction(number, None, _found.place)
        if _found.handler.value != wanted:
            _sigaction(number, _wanted.place, None)


def _prototype() -> ctypes._FuncPointer:
    function = ctypes.CDLL(None).sigaction
    function.argtypes, function.restype = (c_int, c_void_p, c_void_p), c_int
    return function


if _NEEDED:
    _sigaction: Final = _prototype()
