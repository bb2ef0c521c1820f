"""A store in memory: gone with the process, and the measure of all others.

Beside the values, each key has the values that it had before the commits that changed it, as far back as the history
goes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Container, Iterable, Iterator
from itertools import filterfalse, islice
from operator import itemgetter
from threading import Lock
from typing import TypeAlias

from sortedcontainers import SortedList

from ..errors import StateError
from .interface import EMPTY, KEY_LIMIT, Changes, Store, StoreView, check_key

_VERSION = itemgetter(0)
_Replaced: TypeAlias = tuple[tuple[bytes, ...], tuple[bytes | None, ...]]
"""Keys, and the values that they had: in two thirds of the memory of a dict."""


class MemoryStore(Store):
    """All in memory. The `history` versions before the last can be read, None being all of them."""

    def __init__(self, *, history: int | None = None) -> None:
        if history is not None and history < 0:
            raise ValueError(f"history of {history} versions")
        self._history = history
        self._values: dict[bytes, bytes] = {}
        self._keys = _Keys()
        self._replaced: deque[_Replaced] = deque()
        """What each version after `oldest` replaced."""
        self._past: dict[bytes, list[tuple[int, bytes | None]]] = {}
        """The same by key, up to the version `_indexed`: the versions that changed it, and the values before them."""
        self._indexed = EMPTY
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
        return self._version - len(self._replaced)

    def get(self, key: bytes) -> bytes | None:
        """See `StoreView.get`."""
        return self._values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `StoreView.scan`."""
        with self._lock:
            self._keys.put_in_order(prefix, self._values)
        for key in self._keys.beginning_with(prefix):
            yield key, self._values[key]

    def close(self) -> None:
        """Nothing to give back."""

    def commit(self, changes: Changes) -> int:
        """See `Store.commit`."""
        sizes = set(map(len, changes))
        if 0 in sizes or max(sizes, default=0) > KEY_LIMIT:
            for key in changes:
                check_key(key)
        with self._lock:
            self._replaced.append(self._set(changes))
            self._version += 1
            if self._history is not None:
                self._forget(self._history)
            return self._version

    def _set(self, changes: Changes) -> _Replaced:
        """Give keys their values, None removing them; returns those that they had."""
        former = tuple(changes), tuple(map(self._values.get, changes))
        self._keys.changed.update(filterfalse(self._values.__contains__, changes))
        self._values.update(changes)  # type: ignore[arg-type]  # what is removed has None for a moment
        if None in changes.values():
            removed = [key for key, value in changes.items() if value is None]
            self._keys.changed.update(removed)
            for key in removed:
                del self._values[key]
        return former

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
                keys, values = self._replaced.pop()
                if self._indexed == self._version:
                    self._drop(keys, last=True)
                    self._indexed -= 1
                self._set(dict(zip(keys, values, strict=True)))
                self._version -= 1

    def prune(self, keep: int) -> None:
        """See `Store.prune`."""
        with self._lock:
            self._forget(keep)

    def _forget(self, keep: int) -> None:
        while len(self._replaced) > keep:
            version = self.oldest + 1
            keys, _ = self._replaced.popleft()
            if version <= self._indexed:
                self._drop(keys, last=False)
            else:
                self._indexed = version

    def _drop(self, keys: Iterable[bytes], *, last: bool) -> None:
        """Take the last or the first version that changed each of `keys` out of the index."""
        for key in keys:
            entries = self._past[key]
            del entries[-1 if last else 0]
            if not entries:
                del self._past[key]

    def _index(self) -> None:
        """Bring the index up to date: who reads only the last version, as most do, need not pay for it."""
        past, begin = self._past, max(self._indexed, self.oldest)
        for version, (keys, values) in enumerate(islice(self._replaced, begin - self.oldest, None), begin + 1):
            for key, old in zip(keys, values, strict=True):
                past.setdefault(key, []).append((version, old))
        self._indexed = self._version

    def value_at(self, version: int, key: bytes) -> bytes | None:
        """The value that `key` had at `version`."""
        with self._lock:
            self.check_version(version)
            if version == self._version:
                return self._values.get(key)
            self._index()
            return self._value_at(version, key)

    def items_at(self, version: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """What `scan` gives, at `version`."""
        with self._lock:
            self.check_version(version)
            self._index()
            self._keys.put_in_order(prefix, self._values)
            found = {key: self._values[key] for key in self._keys.beginning_with(prefix)}
            for keys, _ in islice(self._replaced, version - self.oldest, None):
                for key in keys:
                    if key.startswith(prefix):
                        value = self._value_at(version, key)
                        if value is None:
                            found.pop(key, None)
                        else:
                            found[key] = value
        return sorted(found.items())

    def _value_at(self, version: int, key: bytes) -> bytes | None:
        entries = self._past.get(key, ())
        place = bisect_right(entries, version, key=_VERSION)
        return entries[place][1] if place < len(entries) else self._values.get(key)


class _Keys:
    """Keys, put in order where somebody asks for that: most are never scanned, and what is asked for lies together."""

    def __init__(self) -> None:
        self.changed: set[bytes] = set()
        """Keys that came or went since they were looked at last."""
        self._sorted: dict[int, SortedList] = {}
        self._unsorted: dict[int, set[bytes]] = {}
        """Both by first byte: keys in order, and those of `changed` that have been looked at but not put in order."""

    def put_in_order(self, prefix: bytes, values: Container[bytes]) -> None:
        """Have the keys with that beginning in order: those that are in `values`."""
        for key in self.changed:
            self._unsorted.setdefault(key[0], set()).add(key)
        self.changed.clear()
        for first in [prefix[0]] if prefix else list(self._unsorted):
            unsorted = self._unsorted.pop(first, None)
            if unsorted:
                in_order = self._sorted.setdefault(first, SortedList())
                known = {key for key in unsorted if key in in_order}
                in_order.update(key for key in unsorted if key in values and key not in known)
                for key in known:
                    if key not in values:
                        in_order.remove(key)

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
