"""A store in memory: gone with the process, and the measure of all others.

Beside the values, each key has the values that it had before the commits that changed it, as far back as the history
goes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from operator import itemgetter
from threading import Lock

from sortedcontainers import SortedList

from ..errors import StateError
from .interface import EMPTY, Changes, Store, StoreView, check_key

_VERSION = itemgetter(0)


class MemoryStore(Store):
    """All in memory. The `history` versions before the last can be read, None being all of them."""

    def __init__(self, *, history: int | None = None) -> None:
        if history is not None and history < 0:
            raise ValueError(f"history of {history} versions")
        self._history = history
        self._values: dict[bytes, bytes] = {}
        self._keys = _Keys()
        self._past: dict[bytes, list[tuple[int, bytes | None]]] = {}
        """By key: the versions that changed it, and the values before them."""
        self._changed: deque[list[bytes]] = deque()
        """The keys that each version after `oldest` changed."""
        self._version = EMPTY
        self._lock = Lock()
        """Held while views read and while commits are made. The store itself is read by the thread that commits."""

    @property
    def version(self) -> int:
        """See `StoreView.version`."""
        return self._version

    @property
    def oldest(self) -> int:
        """See `Store.oldest`. Nothing being committed is a version, too."""
        return self._version - len(self._changed)

    def get(self, key: bytes) -> bytes | None:
        """See `StoreView.get`."""
        return self._values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `StoreView.scan`."""
        with self._lock:
            self._keys.put_in_order(prefix)
        for key in self._keys.beginning_with(prefix):
            yield key, self._values[key]

    def close(self) -> None:
        """Nothing to give back."""

    def commit(self, changes: Changes) -> int:
        """See `Store.commit`."""
        for key in changes:
            check_key(key)
        with self._lock:
            version = self._version + 1
            values, past = self._values, self._past
            for key, value in changes.items():
                old = values.get(key)
                past.setdefault(key, []).append((version, old))
                if value is not None:
                    values[key] = value
                    if old is None:
                        self._keys.add(key)
                elif old is not None:
                    del values[key]
                    self._keys.remove(key)
            self._changed.append(list(changes))
            self._version = version
            if self._history is not None:
                self._forget(self._history)
            return version

    def fill(self, items: Iterable[tuple[bytes, bytes]]) -> int:
        """See `Store.fill`."""
        if self._version != EMPTY:
            raise StateError(f"a store at version {self._version} cannot be filled, only an empty one")
        version = self.commit(dict(items))
        self.prune(0)
        return version

    def at(self, version: int) -> StoreView:
        """See `Store.at`."""
        self.check_version(version)
        return _MemoryView(self, version)

    def rollback(self, version: int) -> None:
        """See `Store.rollback`. Views of versions after it show nothing that ever was."""
        self.check_version(version)
        with self._lock:
            while self._version > version:
                for key in self._changed.pop():
                    entries = self._past[key]
                    value = entries.pop()[1]
                    if not entries:
                        del self._past[key]
                    if value is not None:
                        if key not in self._values:
                            self._keys.add(key)
                        self._values[key] = value
                    elif key in self._values:
                        del self._values[key]
                        self._keys.remove(key)
                self._version -= 1

    def prune(self, keep: int) -> None:
        """See `Store.prune`."""
        with self._lock:
            self._forget(keep)

    def _forget(self, keep: int) -> None:
        while len(self._changed) > keep:
            for key in self._changed.popleft():
                entries = self._past[key]
                del entries[0]
                if not entries:
                    del self._past[key]

    def value_at(self, version: int, key: bytes) -> bytes | None:
        """The value that `key` had at `version`."""
        with self._lock:
            self.check_version(version)
            return self._value_at(version, key)

    def items_at(self, version: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """What `scan` gives, at `version`."""
        with self._lock:
            self.check_version(version)
            self._keys.put_in_order(prefix)
            found = {key: self._values[key] for key in self._keys.beginning_with(prefix)}
            for keys in self._changed_after(version):
                for key in keys:
                    if key.startswith(prefix):
                        value = self._value_at(version, key)
                        if value is None:
                            found.pop(key, None)
                        else:
                            found[key] = value
        return sorted(found.items())

    def _changed_after(self, version: int) -> Iterator[list[bytes]]:
        for number in range(version - self.oldest, len(self._changed)):
            yield self._changed[number]

    def _value_at(self, version: int, key: bytes) -> bytes | None:
        entries = self._past.get(key, ())
        place = bisect_right(entries, version, key=_VERSION)
        return entries[place][1] if place < len(entries) else self._values.get(key)


class _Keys:
    """Keys, put in order where somebody asks for that: most are never scanned, and what is asked for lies together."""

    def __init__(self) -> None:
        self._sorted: dict[int, SortedList] = {}
        self._unsorted: dict[int, set[bytes]] = {}
        """Both by first byte; a key is in one of them."""

    def add(self, key: bytes) -> None:
        """Add a key that is not there."""
        self._unsorted.setdefault(key[0], set()).add(key)

    def remove(self, key: bytes) -> None:
        """Remove a key that is there."""
        unsorted = self._unsorted.get(key[0], ())
        if key in unsorted:
            self._unsorted[key[0]].discard(key)
        else:
            self._sorted[key[0]].remove(key)

    def put_in_order(self, prefix: bytes) -> None:
        """Have the keys with that beginning in order."""
        for first in [prefix[0]] if prefix else list(self._unsorted):
            unsorted = self._unsorted.pop(first, None)
            if unsorted:
                self._sorted.setdefault(first, SortedList()).update(unsorted)

    def beginning_with(self, prefix: bytes) -> Iterator[bytes]:
        """The keys with that beginning, which have been put in order."""
        for first in [prefix[0]] if prefix else sorted(self._sorted):
            for key in self._sorted[first].irange(prefix) if first in self._sorted else ():
                if not key.startswith(prefix):
                    break
                yield key


class _MemoryView(StoreView):
    def __init__(self, store: MemoryStore, version: int) -> None:
        self._store = store
        self._version = version

    @property
    def version(self) -> int:
        return self._version

    def get(self, key: bytes) -> bytes | None:
        return self._store.value_at(self._version, key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._store.items_at(self._version, prefix))

    def close(self) -> None:
        pass
