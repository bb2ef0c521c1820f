"""Machine code of contracts: in the memory of the process, bounded, and on the disk.

Engines ask through their `tiers`. To load machine code is to execute it, so whatever comes from the disk was
authenticated by the `ObjectCache` of the core. What a state runs is kept alive by the state, be it evicted here.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Final

from vmloom.object_cache import ObjectCache

from .worker import FORKED

if TYPE_CHECKING:
    from .compile import CompiledCode

OBJECT_KIND: Final = "contract"
"""The kind of `ObjectCache` for machine code of contracts, with a limit of their own."""
ENTRY_BYTES: Final = 16 << 10
"""Counted for each contract beside its machine code: what the linker and Python keep of it, in round numbers."""
HELD_FACTOR: Final = 2
"""So many times the limit may be alive: states that run it keep evicted machine code."""


class Entry:
    """Machine code of a contract, alive as long as this is."""

    __slots__ = ("__weakref__", "compiled", "evicted", "size")

    def __init__(self, compiled: CompiledCode) -> None:
        self.compiled = compiled
        self.size = compiled.size + ENTRY_BYTES
        self.evicted = False
        """States should let go of it."""


class CodeCache:
    """Machine code by key, that which was asked for last. `disk` may be none. Safe to share by threads."""

    def __init__(self, limit_bytes: int, disk: ObjectCache | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.disk = disk
        self.evictions = 0
        """How many have been evicted so far."""
        self.drops = 0
        """How many have been replaced by better ones so far."""
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._alive = 0
        self.after_fork()
        FORKED.add(self)

    def after_fork(self) -> None:
        """See `worker.Forked`."""
        self._guard = threading.RLock()  # of one thread: entries may die, and count that, wherever memory is taken

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """What the entries take, at `ENTRY_BYTES` each beside their code."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether so much evicted code is still alive that there should be no more."""
        return self._alive >= HELD_FACTOR * self.limit_bytes

    def get(self, key: str) -> Entry | None:
        """What is in memory."""
        with self._guard:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def add(self, key: str, compiled: CompiledCode) -> Entry:
        """Keep machine code, for which others may have to go. The newest stays even if it is larger than the limit."""
        entry = Entry(compiled)
        weakref.finalize(entry, self._died, entry.size).atexit = False
        evicted = []
        with self._guard:
            self._alive += entry.size
            former = self._entries.pop(key, None)
            if former is not None:
                self._bytes -= former.size
                evicted.append(former)
            self._entries[key] = entry
            self._bytes += entry.size
            while self._bytes > self.limit_bytes and len(self._entries) > 1:
                last = self._entries.popitem(last=False)[1]
                self._bytes -= last.size
                last.evicted = True
                self.evictions += 1
                evicted.append(last)
        del evicted  # outside of the lock: to free code takes time
        return entry

    def drop(self, key: str) -> None:
        """Forget one for which there is a better one; states that run it let go of it in time."""
        with self._guard:
            dropped = self._entries.pop(key, None)
            if dropped is not None:
                self._bytes -= dropped.size
                dropped.evicted = True
                self.drops += 1

    def clear(self) -> None:
        """Forget all that is in memory; states that run it keep it."""
        with self._guard:
            dropped = list(self._entries.values())
            self._entries.clear()
            self._bytes = 0
        for entry in dropped:
            entry.evicted = True

    def _died(self, size: int) -> None:
        with self._guard:
            self._alive -= size


@cache
def shared_cache(limit_bytes: int, on_disk: bool) -> CodeCache:
    """The cache of all engines of this process with these settings."""
    return CodeCache(limit_bytes, ObjectCache(kind=OBJECT_KIND) if on_disk else None)
