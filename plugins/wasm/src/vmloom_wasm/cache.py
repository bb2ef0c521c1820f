"""Modules that are ready to run: from memory, from the disk, or made now.

The machine asks here before each run. To load machine code is to execute it, so whatever comes from the disk was
authenticated by the `ObjectCache` of the core before it gets here. Knows nothing of how modules are validated,
instrumented or linked.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from vmloom.errors import CodeError
from vmloom.object_cache import ObjectCache
from vmloom.object_keys import key_of, source_digest

from .engine import Compiled, Engine, MachineCodeRejected, deserialize, serialize

OBJECT_KIND: Final = "module"
"""The kind of `ObjectCache` for modules: many small files, with a limit of their own."""
ENTRY_BYTES: Final = 24 << 10
"""Counted for each module beside its code and its image: wasmtime's and Python's objects (20 KiB, measured), and room
so that small modules do not use up the mappings that a process may have (two each, of 65,530 on Linux)."""

_FAILURES_KEPT: Final = 1024
_LONGEST_MESSAGE: Final = 4096
"""Characters. Errors that say more are not kept: messages may quote the module."""

Entry = TypeVar("Entry")


def recipe(*parts: str | bytes | int) -> bytes:
    """The `recipe` of a `ModuleCache`: 32 bytes that differ with `parts` and with the source of this package.

    The parts are all settings of what validates and instruments. Those that only validate count, too: what comes from
    the disk is not validated again.
    """
    return bytes.fromhex(key_of(_own_source(), *parts))


@functools.cache
def _own_source() -> bytes:
    return source_digest(__name__.partition(".")[0])


@dataclass(frozen=True, slots=True)
class CacheMetrics:
    """What a cache holds now, and how often it did what since it was made.

    Attributes:
        entries: Modules in memory.
        bytes: What they take by the count that the limit is compared with.
        pinned: Those of them that are pinned.
        hits: Answers from memory: a module, or why there is none.
        misses: Answers that were not there. Each is either a disk hit or a compile.
        disk_hits: Modules taken from the disk.
        compiles: Modules built, whether or not that succeeded.
        failures: Modules that were refused, counted when that was found and not when it was told again.
        rejected: Files that were altered, cut short or not loadable here, deleted and compiled again.
        evictions: Modules that left the memory to make room.
    """

    entries: int
    bytes: int
    pinned: int
    hits: int
    misses: int
    disk_hits: int
    compiles: int
    failures: int
    rejected: int
    evictions: int


class _Turn:
    """A module that is being made: threads that make it or wait for it, one after the other."""

    __slots__ = ("lock", "threads")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0


class ModuleCache(Generic[Entry]):
    """Entries by code, for any number of threads, bounded by what they take in memory.

    Each module is built once however many threads ask for it first, and by one process at a time where there is a
    disk. That it was refused is remembered as well, in memory only, for the last 1024 such modules.
    """

    def __init__(
        self,
        engine: Engine,
        build: Callable[[bytes], Compiled],
        finish: Callable[[bytes, Compiled], Entry],
        *,
        recipe: bytes,
        max_bytes: int,
        disk: ObjectCache | None = None,
    ) -> None:
        """A cache without entries.

        Args:
            engine: What `build` compiles with.
            build: Makes machine code for a module. Raises `CodeError` for one that may not run.
            finish: Makes what runs of it, also of machine code from the disk. May raise `CodeError`, too.
            recipe: A digest of all that the result of `build` depends on besides the module and the engine; see the
                function of this name.
            max_bytes: What the entries may take together, at `ENTRY_BYTES` each beside code and machine code. The
                newest stays even if it takes more, and so do pinned ones, which count.
            disk: Where machine code is kept; None to keep none.
        """
        self._engine = engine
        self._build = build
        self._finish = finish
        self._recipe = recipe
        self._max_bytes = max_bytes
        self._disk = disk
        self._rejected_before = disk.rejected if disk is not None else 0
        # Read without a lock: what is moved from one to the other is in both for a moment, never in none.
        self._recent: OrderedDict[bytes, tuple[Entry, int]] = OrderedDict()
        self._pinned: dict[bytes, tuple[Entry, int]] = {}
        self._failures: OrderedDict[bytes, CodeError] = OrderedDict()
        self._guard = threading.Lock()
        self._making: dict[bytes, _Turn] = {}
        self._bytes = 0
        self._hits = 0
        self._counts: Counter[str] = Counter()

    # What it is for

    def get(self, code: bytes) -> Entry:
        """The entry of a module. Raises `CodeError` for one that may not run, and whatever `build` and `finish` do."""
        held = self._recent.get(code)
        if held is not None:
            try:  # noqa: SIM105 -- `suppress` takes longer than all the rest
                self._recent.move_to_end(code)
            except KeyError:  # another thread has made room in this moment
                pass
        else:
            held = self._pinned.get(code)
            if held is None:
                return self._missed(code)
        self._hits += 1
        return held[0]

    def pin(self, code: bytes) -> None:
        """Keep the entry of a module until `unpin` or `clear`, made now if need be. Raises what `get` does."""
        while True:
            self.get(code)
            with self._guard:
                held = self._recent.get(code)
                if held is not None:
                    self._pinned[code] = held
                    del self._recent[code]
                if code in self._pinned:
                    return

    def unpin(self, code: bytes) -> None:
        """Let a module go when there is need for room. It counts as used now; one that is not pinned is left alone."""
        with self._guard:
            held = self._pinned.get(code)
            if held is None:
                return
            self._recent[code] = held
            del self._pinned[code]
            evicted = self._make_room()
        del evicted

    def clear(self) -> None:
        """Forget all modules, pinned ones and failures included. What is on the disk stays, and counts go on."""
        with self._guard:
            dropped = [*self._recent.values(), *self._pinned.values()]
            self._recent.clear()
            self._pinned.clear()
            self._failures.clear()
            self._bytes = 0
        del dropped  # outside of the lock, as it takes time and may run anything

    @property
    def metrics(self) -> CacheMetrics:
        """What there is and what was done. Where several threads count hits at once, one may be missing."""
        with self._guard:
            return CacheMetrics(
                entries=len(self._recent) + len(self._pinned),
                bytes=self._bytes,
                pinned=len(self._pinned),
                hits=self._hits,
                misses=self._counts["misses"],
                disk_hits=self._counts["disk_hits"],
                compiles=self._counts["compiles"],
                failures=self._counts["failures"],
                rejected=self._disk.rejected - self._rejected_before if self._disk is not None else 0,
                evictions=self._counts["evictions"],
            )

    # What is not in memory

    def _missed(self, code: bytes) -> Entry:
        """Make the entry, or wait for the thread that does."""
        with self._guard:
            turn = self._making.setdefault(code, _Turn())
            turn.threads += 1
        try:
            with turn.lock:
                held = self._recent.get(code) or self._pinned.get(code)
                if held is not None:
                    self._hits += 1
                    return held[0]
                return self._entry(code)
        finally:
            with self._guard:
                turn.threads -= 1
                if not turn.threads:
                    del self._making[code]

    def _entry(self, code: bytes) -> Entry:
        """The entry, from the disk or made now, and kept; or the error that is known already."""
        digest = hashlib.sha256(code).digest()
        with self._guard:
            failure = self._failures.get(digest)
            if failure is not None:
                self._failures.move_to_end(digest)
                self._hits += 1
                raise _copied(failure)
            self._counts["misses"] += 1
        try:
            entry, image = self._made(code, digest)
        except CodeError as error:
            self._remember(digest, error)
            raise
        with self._guard:
            size = len(code) + image + ENTRY_BYTES
            self._recent[code] = entry, size
            self._bytes += size
            evicted = self._make_room()
        del evicted
        return entry

    def _made(self, code: bytes, digest: bytes) -> tuple[Entry, int]:
        """The entry and the bytes of its image."""
        if self._disk is None:
            return self._compiled(code, "", digest)
        key = key_of("vmloom-wasm", self._engine.fingerprint, self._recipe, digest)
        made = self._loaded(code, key)
        if made is None:
            with self._disk.writing(key):
                # While we waited, another process may have made it.
                made = self._loaded(code, key) or self._compiled(code, key, digest)
        return made

    def _loaded(self, code: bytes, key: str) -> tuple[Entry, int] | None:
        """What the disk has, which is only what this user's processes have put there under this key."""
        machine_code = self._disk.get(key) if self._disk is not None else None
        if self._disk is None or machine_code is None:
            return None
        try:
            compiled = deserialize(self._engine, machine_code)
        except MachineCodeRejected as cause:
            self._disk.reject(key, f"wasmtime: {cause}")
            return None
        with self._guard:
            self._counts["disk_hits"] += 1
        return self._finish(code, compiled), compiled.size

    def _compiled(self, code: bytes, key: str, digest: bytes) -> tuple[Entry, int]:
        """What is made now, and put on the disk if it can be used."""
        with self._guard:
            self._counts["compiles"] += 1
        compiled = self._build(code)
        entry = self._finish(code, compiled)
        if self._disk is not None:
            self._disk.put(key, serialize(compiled), f"WebAssembly module {digest.hex()[:16]}")
        return entry, compiled.size

    def _remember(self, digest: bytes, error: CodeError) -> None:
        """Keep a failure by the digest alone: whoever sends bad modules must not fill the memory with them."""
        with self._guard:
            self._counts["failures"] += 1
            if len(str(error)) <= _LONGEST_MESSAGE:
                self._failures[digest] = _copied(error)
                while len(self._failures) > _FAILURES_KEPT:
                    self._failures.popitem(last=False)

    def _make_room(self) -> list[tuple[Entry, int]]:
        """Remove what was used longest ago. Returns it, so that the caller frees it when the lock is released."""
        evicted = []
        while self._bytes > self._max_bytes and len(self._recent) > 1:
            held = self._recent.popitem(last=False)[1]
            self._bytes -= held[1]
            self._counts["evictions"] += 1
            evicted.append(held)
        return evicted


def _copied(error: CodeError) -> CodeError:
    """The error without traceback and causes, which would keep frames alive, and with notes of its own."""
    copied = copy.copy(error)
    if hasattr(error, "__notes__"):
        copied.__notes__ = list(error.__notes__)
    return copied
