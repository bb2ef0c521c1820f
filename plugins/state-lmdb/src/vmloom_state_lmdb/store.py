"""A store in one memory-mapped file. LMDB makes a commit atomic; the history is ours.

Three tables: `values` is the last version; `undo` has for each kept version what its commit replaced; `meta` says which
versions there are and which format this is. docs/reference/state-files.md describes all of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias, TypeVar
from weakref import WeakSet

import lmdb
from vmloom.errors import StateError
from vmloom.store import EMPTY, Changes, Store, StoreView
from vmloom.store.interface import DEFAULT_HISTORY, check_key

from .undo import STAMP_SIZE, Replaced, beginning_with, find, pack, stamp_of, unpack
from .writer import WriterLock

FORMAT: Final = b"vmloom-state-lmdb 1"
"""What `meta` has under `format`; another one is not read."""
DEFAULT_MAP_SIZE: Final = 1 << 30
KEPT_UNDO_BYTES: Final = 1 << 25
"""How much of the history is kept unpacked for views, in packed bytes."""
SCANNED_AT_ONCE: Final = 256
FILLED_AT_ONCE: Final = 10_000
_FORMAT, _VERSION, _OLDEST, _STAMP = b"format", b"version", b"oldest", b"stamp"

Txn: TypeAlias = "lmdb.Transaction[bytes]"
ReadTxn: TypeAlias = "lmdb.Transaction[memoryview]"
"""What it gives is valid until it ends, so that it is copied before the lock is given back."""
T = TypeVar("T")


class LmdbStore(Store):
    """The store in the folder `path`, which is made if it is not there.

    The `history` versions before the last are kept, None being all of them. `map_size` is the address space that the
    file gets at first, in bytes; it doubles when it is full. With `sync` a commit is on the disk when `commit` returns;
    without, it survives the death of the process, but a loss of power may break the file. One process at a time opens a
    store to write, any number `read_only`; these always see the last commit as the store itself, and views stay as they
    are.

    Raises `StateError` for a folder that cannot be opened, one that another process writes, and another format.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        history: int | None = DEFAULT_HISTORY,
        map_size: int = DEFAULT_MAP_SIZE,
        sync: bool = True,
        read_only: bool = False,
    ) -> None:
        if history is not None and history < 0:
            raise ValueError(f"history of {history} versions")
        self.path = Path(path)
        self._history = history
        self._read_only = read_only
        self._lock = Lock()
        """Held for each read of LMDB, and while the map grows, which moves what is read."""
        self._snapshots: WeakSet[Snapshot] = WeakSet()
        """Those that are open, and some that are not."""
        self._undo: OrderedDict[int, Replaced] = OrderedDict()
        self._undo_bytes = 0
        self._writer = None if read_only else WriterLock(self.path)
        try:
            self._env = _opened(self.path, map_size, sync, read_only)
            try:
                self._open_tables()
                self._renew()
            except BaseException:
                self._env.close()
                raise
        except BaseException:
            self._release()
            raise

    def _open_tables(self) -> None:
        try:
            if self._read_only:
                self._read_tables()
            else:
                with self._env.begin(write=True) as txn:
                    self._make_tables(txn)
            self._env.reader_check()  # gives up what readers left that were killed
        except lmdb.Error as error:
            raise StateError(f"{self.path}: not a state store: {error}") from None

    def _read_tables(self) -> None:
        """Without a transaction of ours: LMDB keeps a table that was opened in one which reads only for that one."""
        self._meta = self._env.open_db(b"meta", create=False)
        with self._env.begin() as txn:
            self._check_format(txn)
        self._values = self._env.open_db(b"values", create=False)
        self._past = self._env.open_db(b"undo", create=False)

    def _make_tables(self, txn: Txn) -> None:
        """All in one transaction, which leaves nothing in a file that is not ours."""
        self._meta = self._env.open_db(b"meta", txn)
        if txn.stat()["entries"] == 1 and not txn.stat(self._meta)["entries"]:
            txn.put(_FORMAT, FORMAT, db=self._meta)
            for key in (_VERSION, _OLDEST):
                txn.put(key, _packed(EMPTY), db=self._meta)
        self._check_format(txn)
        self._values = self._env.open_db(b"values", txn)
        self._past = self._env.open_db(b"undo", txn)
        if txn.get(_VERSION, db=self._meta) == _packed(EMPTY):
            txn.drop(self._values, delete=False)  # what a `fill` has left that was interrupted

    def _check_format(self, txn: Txn) -> None:
        found = txn.get(_FORMAT, db=self._meta)
        if found != FORMAT:
            name = "no format at all" if found is None else f"the format '{found.decode(errors='replace')}'"
            raise StateError(f"{self.path}: has {name}, this package reads '{FORMAT.decode()}'").with_fix(
                "export the state with the version that wrote it, and import it into a new folder"
            )

    # Reads

    @property
    def version(self) -> int:
        """See `StoreView.version`."""
        self._renew_if_read_only()
        return self._head.newest

    @property
    def oldest(self) -> int:
        """See `Store.oldest`."""
        self._renew_if_read_only()
        return self._head.oldest

    def get(self, key: bytes) -> bytes | None:
        """See `StoreView.get`. Any thread may ask."""
        self._renew_if_read_only()
        head = self._head
        with self._lock:
            return _copied(head.txn.get(key, db=self._values)) if key else None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `StoreView.scan`."""
        self._renew_if_read_only()
        head = self._head
        return self.scan_values(head, head.moves, prefix, prefix)

    def at(self, version: int) -> StoreView:
        """See `Store.at`."""
        self.check_version(version)
        snapshot = self._begin()
        with self._lock:
            stamp = self._stamp(snapshot.txn, version)
        if not snapshot.oldest <= version <= snapshot.newest:  # pruned or taken back in this moment
            snapshot.txn.abort()
            self._renew()
            self.check_version(version)
        return _LmdbView(self, snapshot, version, stamp)

    def scan_values(self, snapshot: Snapshot, moves: int, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The keys with `prefix` from `start` on that the last version in `snapshot` has, with their values.

        They are read some at a time: a cursor must not be open when the map grows.
        """
        found = True
        while found:
            items: list[tuple[bytes, bytes]] = []
            with self._unmoved(snapshot, moves) as txn, txn.cursor(self._values) as cursor:
                found = cursor.set_range(start) if start else cursor.first()
                while found and len(items) < SCANNED_AT_ONCE:
                    items.append((bytes(cursor.key()), bytes(cursor.value())))
                    found = items[-1][0].startswith(prefix) and cursor.next()
            for key, value in items:
                if not key.startswith(prefix):
                    return
                yield key, value
            if items:
                start = items[-1][0] + b"\0"

    def value(self, snapshot: Snapshot, moves: int, key: bytes) -> bytes | None:
        """What the last version in `snapshot` has under `key`."""
        with self._unmoved(snapshot, moves) as txn:
            return _copied(txn.get(key, db=self._values))

    def replaced(self, snapshot: Snapshot, moves: int, version: int, room: int) -> Replaced | None:
        """What the commit `version` replaced; None if that takes more than `room` packed bytes."""
        with self._unmoved(snapshot, moves) as txn:
            packed = self._undo_of(txn, version)
            if len(packed) > room:
                return None
            stamp = stamp_of(packed)
            found = self._undo.get(stamp)
            if found is None:
                found = self._undo[stamp] = unpack(bytes(packed))
                self._undo_bytes += found.size
                while self._undo_bytes > KEPT_UNDO_BYTES and len(self._undo) > 1:
                    self._undo_bytes -= self._undo.popitem(last=False)[1].size
            return found

    def replaced_value(
        self, snapshot: Snapshot, moves: int, versions: Iterable[int], key: bytes
    ) -> tuple[bytes | None] | None:
        """What the first of the commits `versions` that changed `key` replaced, in a tuple; None if none did."""
        for version in versions:
            with self._unmoved(snapshot, moves) as txn:
                found = find(self._undo_of(txn, version), key)
            if found is not None:
                return found
        return None

    def replaced_items(
        self, snapshot: Snapshot, moves: int, version: int, prefix: bytes
    ) -> list[tuple[bytes, bytes | None]]:
        """What the commit `version` replaced of the keys with that beginning."""
        with self._unmoved(snapshot, moves) as txn:
            return list(beginning_with(self._undo_of(txn, version), prefix))

    def _undo_of(self, txn: ReadTxn, version: int) -> memoryview:
        packed = txn.get(_packed(version), db=self._past)
        if packed is None:
            raise StateError(f"{self.path}: the history lacks version {version}")
        return packed

    @contextmanager
    def _unmoved(self, snapshot: Snapshot, moves: int) -> Iterator[ReadTxn]:
        """The transaction of `snapshot`, to be read alone. Raises `Moved` if it is another one than it was."""
        with self._lock:
            if snapshot.moves != moves:
                raise Moved
            yield snapshot.txn

    def still_shows(self, snapshot: Snapshot, version: int, stamp: bytes | None) -> bool:
        """Whether a moved `snapshot` has the `version` whose commit had that `stamp`."""
        with self._lock:
            return snapshot.oldest <= version <= snapshot.newest and (
                stamp is None or self._stamp(snapshot.txn, version) in (stamp, None)
            )

    def _stamp(self, txn: ReadTxn, version: int) -> bytes | None:
        """What tells the commit `version` from another of that number; None if that is not kept."""
        packed = txn.get(_packed(version), db=self._past)
        return None if packed is None else bytes(packed[:STAMP_SIZE])

    def _begin(self) -> Snapshot:
        with self._lock:
            try:
                snapshot = Snapshot(*self._begun())
            except lmdb.MapResizedError:  # by the process that writes
                self._remap(0)
                snapshot = Snapshot(*self._begun())
            except lmdb.ReadersFullError:
                raise StateError(f"{self.path}: too many views are open; close those that are not needed") from None
            self._snapshots.add(snapshot)
            return snapshot

    def _begun(self) -> tuple[ReadTxn, int, int]:
        """A new transaction, and the last and the oldest version that it has."""
        txn = self._env.begin(buffers=True)
        version, oldest = (txn.get(name, b"", db=self._meta) for name in (_VERSION, _OLDEST))
        return txn, _unpacked(version), _unpacked(oldest)

    def _remap(self, size: int) -> None:
        """Map the file anew, which ends all transactions; those who read go on with new ones. 0: as it is by now."""
        self._env.set_mapsize(size)
        for snapshot in list(self._snapshots):
            if not snapshot.is_closed:
                snapshot.txn, snapshot.newest, snapshot.oldest = self._begun()
                snapshot.moves += 1

    def _renew(self) -> None:
        """See what has been committed."""
        # The former one is not aborted: another thread may be about to read from it. It goes with its last user.
        self._head = self._begin()

    def _renew_if_read_only(self) -> None:
        if self._read_only and self._env.info()["last_txnid"] != self._head.txn.id():
            self._renew()

    # Writes

    def commit(self, changes: Changes) -> int:
        """See `Store.commit`."""
        for key in changes:
            check_key(key)
        return self._write(lambda txn: self._commit(txn, changes))

    def _commit(self, txn: Txn, changes: Changes) -> int:
        version = self._head.newest + 1
        keys = sorted(changes)
        with txn.cursor(self._values) as cursor:
            old = dict(cursor.getmulti(keys))
            replaced = [(key, old.get(key)) for key in keys if old.get(key) != changes[key]]
            cursor.putmulti([(key, value) for key, _ in replaced if (value := changes[key]) is not None])
        for key, _ in replaced:
            if changes[key] is None:
                txn.delete(key, db=self._values)
        txn.put(_packed(version), pack(self._next_stamp(txn), replaced), db=self._past, append=True)
        txn.put(_VERSION, _packed(version), db=self._meta)
        if self._history is not None:
            self._forget(txn, version, self._history)
        return version

    def _next_stamp(self, txn: Txn) -> int:
        """A number that no commit had before, be it one that was taken back."""
        stamp = int.from_bytes(txn.get(_STAMP, b"", db=self._meta), "big") + 1
        txn.put(_STAMP, stamp.to_bytes(8, "big"), db=self._meta)
        return stamp

    def _forget(self, txn: Txn, version: int, keep: int) -> None:
        """Drop the history of all but the `keep` versions before `version`."""
        oldest = max(self._head.oldest, version - keep)
        for number in range(self._head.oldest + 1, oldest + 1):
            txn.delete(_packed(number), db=self._past)
        txn.put(_OLDEST, _packed(oldest), db=self._meta)

    def fill(self, items: Iterable[tuple[bytes, bytes]]) -> int:
        """See `Store.fill`. Fastest for items in order of key."""
        if self.version != EMPTY:
            raise StateError(f"{self.path}: at version {self.version}, only an empty store can be filled")
        # What is written belongs to no version until all of it is there.
        try:
            waiting = iter(items)
            while some := list(islice(waiting, FILLED_AT_ONCE)):
                self._write(partial(self._put, items=some))
        except BaseException:
            self._write(lambda txn: txn.drop(self._values, delete=False))
            raise
        return self._write(self._filled)

    def _put(self, txn: Txn, items: Sequence[tuple[bytes, bytes]]) -> None:
        for key, _ in items:
            check_key(key)
        with txn.cursor(self._values) as cursor:
            cursor.putmulti(items)

    def _filled(self, txn: Txn) -> int:
        for name in (_VERSION, _OLDEST):
            txn.put(name, _packed(EMPTY + 1), db=self._meta)
        return EMPTY + 1

    def rollback(self, version: int) -> None:
        """See `Store.rollback`."""
        self.check_version(version)
        self._write(lambda txn: self._rollback(txn, version))

    def _rollback(self, txn: Txn, version: int) -> None:
        for number in range(self._head.newest, version, -1):
            packed = txn.pop(_packed(number), db=self._past)
            if packed is None:
                raise StateError(f"{self.path}: the history lacks version {number}")
            for key, value in unpack(packed).values.items():
                if value is None:
                    txn.delete(key, db=self._values)
                else:
                    txn.put(key, value, db=self._values)
        txn.put(_VERSION, _packed(version), db=self._meta)

    def prune(self, keep: int) -> None:
        """See `Store.prune`. The file keeps its size: what becomes free is used again. `backup` makes a small one."""
        self._write(lambda txn: self._forget(txn, self._head.newest, keep))

    def _write(self, change: Callable[[Txn], T]) -> T:
        if self._read_only:
            raise StateError(f"{self.path}: opened read-only")
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    outcome = change(txn)
                break
            except lmdb.MapFullError:
                self._grow()
            except lmdb.Error as error:
                raise StateError(f"{self.path}: cannot be written: {error}") from error
        self._renew()
        return outcome

    def _grow(self) -> None:
        size = 2 * self._env.info()["map_size"]
        try:
            with self._lock:
                self._remap(size)
        except (lmdb.Error, OverflowError) as error:
            raise StateError(f"{self.path}: the map is full and cannot grow to {size} bytes: {error}") from error

    # The file

    def backup(self, path: str | Path) -> None:
        """Copy the store as it is now, without unused space, to the folder `path`, which must be empty or not there.

        Commits may go on meanwhile. Raises `StateError` if it cannot be written.
        """
        target = Path(path)
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise StateError(f"{target}: is not empty, so nothing is copied there")
        try:
            self._env.copy(str(target), compact=True)
        except lmdb.Error as error:
            raise StateError(f"{target}: the copy failed: {error}") from error

    def sync(self) -> None:
        """Have what was committed written to the disk, for a store that does not do so with each commit."""
        self._env.sync(True)

    def close(self) -> None:
        """Close the file. Views that are open show nothing any more."""
        if not self._read_only:
            self.sync()
        self._env.close()
        self._release()

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.release()


class Snapshot:
    """A read transaction; `newest` and `oldest` are the versions it has. `moves` counts how often it was begun anew."""

    def __init__(self, txn: ReadTxn, newest: int, oldest: int) -> None:
        self.txn = txn
        self.newest = newest
        self.oldest = oldest
        self.moves = 0
        self.is_closed = False


class Moved(Exception):
    """A transaction was begun anew because the map has grown: begin to read anew, too."""


class _LmdbView(StoreView):
    """The `version` whose commit had the `stamp`, as `snapshot` has it: its last version, less what came between."""

    def __init__(self, store: LmdbStore, snapshot: Snapshot, version: int, stamp: bytes | None) -> None:
        self._store = store
        self._snapshot = snapshot
        self._version = version
        self._stamp = stamp
        self._moves = snapshot.moves
        self._later: tuple[list[Replaced], range] | None = None

    @property
    def version(self) -> int:
        return self._version

    def _replaced(self) -> tuple[list[Replaced], range]:
        """What the commits after this version replaced, oldest first, and those of which it is too much to unpack."""
        snapshot = self._snapshot
        if snapshot.moves != self._moves:
            self._later, self._moves = None, snapshot.moves
            if not self._store.still_shows(snapshot, self._version, self._stamp):
                raise StateError(f"version {self._version} is gone since the store has grown: take another view")
        if self._later is None:
            self._later = self._unpacked(snapshot.newest)
        return self._later

    def _unpacked(self, newest: int) -> tuple[list[Replaced], range]:
        unpacked: list[Replaced] = []
        room = KEPT_UNDO_BYTES // 2
        for number in range(self._version + 1, newest + 1):
            found = self._store.replaced(self._snapshot, self._moves, number, room)
            if found is None:
                break
            unpacked.append(found)
            room -= found.size
        return unpacked, range(self._version + 1 + len(unpacked), newest + 1)

    def get(self, key: bytes) -> bytes | None:
        while True:
            try:
                unpacked, others = self._replaced()
                for replaced in unpacked:
                    if key in replaced.values:
                        return replaced.values[key]
                found = self._store.replaced_value(self._snapshot, self._moves, others, key)
                if found is not None:
                    return found[0]
                return self._store.value(self._snapshot, self._moves, key) if key else None
            except Moved:
                continue

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        start = prefix
        while True:
            try:
                for key, value in self._scan_from(prefix, start):
                    yield key, value
                    start = key + b"\0"
                return
            except Moved:
                continue

    def _scan_from(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        former: dict[bytes, bytes | None] = {}
        unpacked, others = self._replaced()
        for number in reversed(others):
            former.update(self._store.replaced_items(self._snapshot, self._moves, number, prefix))
        for replaced in reversed(unpacked):
            former.update((key, value) for key, value in replaced.values.items() if key.startswith(prefix))
        values = self._store.scan_values(self._snapshot, self._moves, prefix, start)
        return _merged(values, sorted((key, value) for key, value in former.items() if key >= start))

    def close(self) -> None:
        self._snapshot.is_closed = True
        self._snapshot.txn.abort()


def _merged(
    items: Iterator[tuple[bytes, bytes]], former: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    """`items` with the `former` values in their places; both are in order of key."""
    place = 0
    for key, value in items:
        while place < len(former) and former[place][0] < key:
            before, old = former[place]
            place += 1
            if old is not None:
                yield before, old
        if place < len(former) and former[place][0] == key:
            old = former[place][1]
            place += 1
            if old is not None:
                yield key, old
        else:
            yield key, value
    yield from ((key, old) for key, old in former[place:] if old is not None)


def _opened(path: Path, map_size: int, sync: bool, read_only: bool) -> lmdb.Environment:
    if read_only and not (path / "data.mdb").is_file():
        raise StateError(f"{path}: there is no state store to read")
    try:
        return lmdb.open(
            str(path), map_size=map_size, readonly=read_only, sync=sync, max_dbs=3, max_readers=512, max_spare_txns=16
        )
    except lmdb.Error as error:
        raise StateError(f"{path}: cannot be opened: {error}") from None


def _packed(version: int) -> bytes:
    """A version as a key: in order, `EMPTY` being 0."""
    return (version + 1).to_bytes(8, "big")


def _copied(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def _unpacked(data: bytes | memoryview) -> int:
    return int.from_bytes(data, "big") - 1
