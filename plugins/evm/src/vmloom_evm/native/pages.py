"""Memory for native tables: zeroed pages of the operating system, which take room only once they are touched."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from typing import Final, TypeVar

from vmloom.kernel import Ptr

T = TypeVar("T")
PAGE: Final = mmap.PAGESIZE
PRIVATE: Final[dict[str, int]] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
"""By default a process and those that it forks would work on the same pages."""


class Pages:
    """At least `size` bytes at `address`, aligned to `alignment`, zeroed.

    `guarded` puts a page without any rights right behind the last byte, so that native code which reads or writes
    beyond it is stopped by the processor: for tests, since it costs pages and time.
    """

    def __init__(self, size: int, *, alignment: int = 64, guarded: bool = False) -> None:
        self.size = size
        self.predecessor: Pages | None = None
        """Pages that must not be freed yet."""
        whole = -(-size // PAGE) * PAGE
        # One page more: where one region ends no other begins, so that an address says which one it belongs to.
        room = whole + (alignment if alignment > PAGE else 0) + PAGE
        self._map = mmap.mmap(-1, room, **PRIVATE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        start = -(-first // alignment) * alignment
        if guarded:
            forbid(start + whole, PAGE)
            if alignment <= PAGE:
                start += (whole - size) & ~7
        self.address = start
        self._offset = start - first

    def view(self) -> memoryview:
        """The bytes."""
        return memoryview(self._map)[self._offset : self._offset + self.size]


def forbid(address: int, size: int) -> None:
    """Take all rights from `size` bytes at `address`, both multiples of a page. Raises `OSError`."""
    if _libc().mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect failed")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def refer(kind: type[T], address: int) -> T:
    """The struct of type `kind` at `address`."""
    return Ptr(kind, address)[0]
