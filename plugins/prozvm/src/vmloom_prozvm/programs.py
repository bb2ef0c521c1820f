"""Programs that are ready to run, by their code. Which code may run, and what running means, is not known here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from vmloom.errors import CodeError, CodeTooLarge, InvalidCode

Entry = TypeVar("Entry")

_FAILURE_BYTES: Final = 256
"""Counted for the reason why code was refused, which is kept as well: hostile code is not to be read twice."""
_LONGEST_REASON: Final = 400
"""Characters. A reason may quote the program."""


class ProgramCache(Generic[Entry]):
    """Makes an `Entry` of code with `make`, and keeps those last used whose code has up to `max_bytes` bytes together.

    Safe to share by threads; two that ask for the same new code at once may both make it.
    """

    def __init__(self, make: Callable[[bytes], Entry], max_bytes: int) -> None:
        self._make: Final = make
        self._max_bytes: Final = max_bytes
        self._entries: OrderedDict[bytes, Entry | str] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, code: bytes) -> Entry:
        """The entry for `code`. Raises `CodeTooLarge` if `make` does, and `InvalidCode` for any other `CodeError`."""
        with self._lock:
            found = self._entries.get(code)
            if found is not None:
                self._entries.move_to_end(code)
        if found is None:
            found = self._made(code)
        if isinstance(found, str):
            raise InvalidCode(found)
        return found

    def _made(self, code: bytes) -> Entry | str:
        made: Entry | str
        try:
            made = self._make(code)
        except CodeTooLarge:  # which is cheap to see, and too large to keep
            raise
        except CodeError as error:
            made = str(error)[:_LONGEST_REASON]
        with self._lock:
            if code not in self._entries:
                self._bytes += _size(code)
            self._entries[code] = made
            while self._bytes > self._max_bytes and self._entries:
                oldest, _ = self._entries.popitem(last=False)
                self._bytes -= _size(oldest)
        return made


def _size(code: bytes) -> int:
    return len(code) + _FAILURE_BYTES
