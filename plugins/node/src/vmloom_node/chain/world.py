"""The state at the head of the chain, kept warm between blocks, and how it gets into the store; states to be read.

One thread at a time works on `World.state`. Readers get states of their own from `Readers`, each over a view of the
store that later commits do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from threading import Lock
from typing import Final

from vmloom import StateAccess
from vmloom.errors import StateError, VmloomError
from vmloom.state import StateDiff
from vmloom.store import Changes, StateSource, Store, StoredState, StoreView
from vmloom_evm.native.state import NativeState
from vmloom_evm.trie import StateTrie
from vmloom_evm.trie.native import NativeTries

KEPT_ROWS: Final = 1 << 18
"""Accounts and slots that a state keeps beyond a block or a call."""
KEPT_CODE_BYTES: Final = 1 << 25
SPARE_READERS: Final = 8

BlockHash = Callable[[int], "bytes | None"]


class World:
    """The state after the last commit, and what a block in the making has changed of it.

    `is_native` keeps it where native code works on it. Everything that changes the state goes through `state`.
    """

    def __init__(self, store: Store, block_hash: BlockHash, *, is_native: bool) -> None:
        self.store = store
        self.stored = (StateSource if is_native else StoredState)(store, block_hash=block_hash)
        self._native = NativeState(source=self.stored) if is_native else None
        self._tries: StateTrie | NativeTries = NativeTries(store) if is_native else StateTrie(store)
        self._pending: tuple[StateDiff | None, dict[bytes, bytes | None]] | None = None
        """What is to be committed: with a diff nodes alone, without one accounts and words, too."""

    @property
    def state(self) -> StateAccess:
        """What blocks run on."""
        return self.stored if self._native is None else self._native

    def root(self, _: object = None) -> bytes:
        """The state root as things stand, 32 bytes."""
        if self._native is not None and isinstance(self._tries, NativeTries):
            found = self._tries.update_from(self._native)
            if found is not None:
                root, self._pending = found[0], (None, found[1])
                return root
        diff = self.state.diff()
        root, nodes = self._tries.update(diff)
        self._pending = diff, dict(nodes)
        return root

    def commit(self, records: Changes) -> int:
        """Write what has changed and `records` as one; `root` has to be asked for after the last change.

        Returns the version. Raises `StateError` if the store cannot be written; then nothing has changed.
        """
        if self._pending is None:
            raise StateError("a commit without the root of what is committed")
        diff, changes = self._pending
        self._pending = None
        changes.update(records)
        if self._native is None:
            version = self.stored.commit_with(changes)
        else:
            version = self.store.commit(changes) if diff is None else self.stored.commit_with(changes, diff=diff)
            self._native.settle()
        self._tries.settle()
        self._trim()
        return version

    def discard(self, checkpoint: int = 0) -> None:
        """Take back what has changed since `checkpoint`, 0 being the last commit."""
        if self._pending is not None:
            self._tries.forget()
        self._pending = None
        self.state.revert(checkpoint)
        self.state.begin_transaction()

    def rollback(self, version: int) -> None:
        """Take back all commits after `version`. Raises `StateError` for one that is not kept."""
        self.discard()
        self._tries.forget()
        self.store.rollback(version)
        self._forget()

    def _trim(self) -> None:
        """Keep what is in memory within bounds."""
        if self.stored.loaded > KEPT_ROWS:
            self.stored.forget()
        if self._native is not None and is_large(self._native):
            self._forget()

    def _forget(self) -> None:
        self.stored.forget()
        if self._native is not None:
            if not self._native.reuse(self.stored):
                self._native = NativeState(source=self.stored)
            self._native.begin_transaction()


def is_large(native: NativeState) -> bool:
    """Whether a state holds more than it should keep: rows, or codes, of which every call of a creation brings one."""
    memory = native.memory
    if memory.get("account_count") + memory.get("slot_count") > KEPT_ROWS:
        return True
    return sum(chunk.size for chunk in memory.chunks) > KEPT_CODE_BYTES


@dataclass
class _Reader:
    version: int
    view: StoreView
    block_hash: BlockHash
    is_native: InitVar[bool]
    stored: StoredState = field(init=False)
    native: NativeState | None = field(init=False)
    hashes: Mapping[int, bytes] = field(init=False)

    def __post_init__(self, is_native: bool) -> None:
        self.stored = StoredState(self.view, block_hash=self.hash_of)
        self.native = NativeState(source=self.stored) if is_native else None

    @property
    def is_large(self) -> bool:
        return self.stored.loaded > KEPT_ROWS or (self.native is not None and is_large(self.native))

    def hash_of(self, number: int) -> bytes | None:
        return self.hashes.get(number) or self.block_hash(number)

    @property
    def state(self) -> StateAccess:
        return self.stored if self.native is None else self.native


class Readers:
    """Lends states to be read, or run on and taken back. Any thread may ask."""

    def __init__(self, store: Store, block_hash: BlockHash, *, is_native: bool) -> None:
        self._store = store
        self._block_hash = block_hash
        self._is_native = is_native
        self._spare: list[_Reader] = []
        self._latest = store.version
        self._lock = Lock()

    @contextmanager
    def lend(self, version: int, hashes: Mapping[int, bytes]) -> Iterator[StateAccess]:
        """The state of `version` of the store. What is changed of it is taken back.

        `hashes` are those of blocks that it knows beside those of the chain. Raises `StateError` for a version that is
        not kept.
        """
        reader = self._take(version)
        reader.hashes = hashes
        try:
            yield reader.state
        except VmloomError:
            self._settle(reader)
            raise
        except BaseException:
            reader.view.close()  # it may be half done: nobody is to read it again
            raise
        self._settle(reader)

    def advance(self, version: int) -> None:
        """`version` is the last one now: views of others are given back, so that a store can use their room."""
        with self._lock:
            self._latest = version
            spare, self._spare = self._spare, []
        for reader in spare:
            reader.view.close()

    def close(self) -> None:
        """Give back all that is lent to nobody."""
        self.advance(self._latest)

    def _take(self, version: int) -> _Reader:
        with self._lock:
            for place, reader in enumerate(self._spare):
                if reader.version == version:
                    return self._spare.pop(place)
        view = self._store.at(version)
        return _Reader(version, view, self._block_hash, self._is_native)

    def _settle(self, reader: _Reader) -> None:
        """Take back what was changed, and keep the state for the next one who asks for it."""
        reader.state.revert(0)
        reader.state.begin_transaction()
        with self._lock:
            if reader.version == self._latest and len(self._spare) < SPARE_READERS and not reader.is_large:
                self._spare.append(reader)
                return
        reader.view.close()
