"""Memory in which the outcomes of a batch stay: its results read there, and once nobody does it is used again.

A large outcome would take long to copy, and longer still to write where the operating system has to find memory first,
one page after the other: threads wait for one another there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from .pages import Pages

KEPT_BYTES: Final = 1 << 26
"""Of memory that waits to be used again, in the whole process."""
_spare: Final[list[tuple[int, Pages]]] = []
"""How much of them was written at most, and pages.

Used without a lock, for a sheet may come to its end wherever garbage is collected: each step is one of a list.
"""


class Sheet:
    """The first `size` bytes of `pages`, which are its own as long as it lives. A slice of it is a copy.

    `written` tells how many bytes were written before at most, which take up memory.
    """

    __slots__ = ("_data", "_pages", "_written")

    def __init__(self, pages: Pages, size: int, written: int = 0) -> None:
        self._pages = pages
        self._data = pages.view()[:size]
        self._written = max(size, written)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._data[part])

    def __del__(self) -> None:
        with suppress(TypeError, AttributeError):  # at the end of the process nothing is there any more
            if self._written + sum(written for written, _ in _spare) <= KEPT_BYTES:
                _spare.append((self._written, self._pages))


def blank_pages(least: int) -> tuple[int, Pages]:
    """Pages of at least so many bytes, in which anything may stand, and how much of them was written at most."""
    for found in sorted(_spare, key=lambda spare: (spare[1].size, -spare[0])):
        if found[1].size >= least:
            with suppress(ValueError):  # another thread was faster
                _spare.remove(found)
                return found
    return 0, Pages(least)
