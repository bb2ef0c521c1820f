"""A state over another one, which it reads and never changes: what runs on it stays in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..errors import StateError
from ..result import StateChange
from ..state import Account, Slots, StateAccess


class OverlayState(StateAccess):
    """What is changed here is seen here alone; all else is read from `source`.

    Any number of overlays, each used by one thread, may have one source if they share a `lock`, under which they read
    it; nothing else may change the source for that long.
    """

    def __init__(self, source: StateAccess, lock: threading.Lock) -> None:
        self.source = source
        self._lock = lock
        self._absent: set[bytes] = set()
        self._without_storage: set[bytes] = set()
        self.kept: dict[str, Any] = {}
        """What VMs keep with it that holds as long as the source is as it is."""
        self._ending = ExitStack()
        super().__init__()

    @contextmanager
    def source_alone(self) -> Iterator[StateAccess | None]:
        """The source while no other overlay reads it, for what leaves it as it was; None if it is not all that is seen.

        For a VM that has a way of its own to read it, which it prepares here.
        """
        with self._lock:
            yield None if self.snapshot() else self.source

    def when_done(self, call: Callable[[], object]) -> None:
        """Have `call` called by `close`, while no other overlay reads the source."""
        self._ending.callback(call)

    def close(self) -> None:
        """Nothing runs here any more, and the source may be changed again after this."""
        self.kept.clear()
        with self._lock:
            self._ending.close()

    def load_account(self, address: bytes) -> Account | None:
        """The source's."""
        with self._lock:
            account = self.source.get_account(address)
        if account is None:
            self._absent.add(address)
        return account

    def load_storage(self, address: bytes, slot: int) -> int:
        """The source's."""
        with self._lock:
            return self.source.get_storage(address, slot)

    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        """The source's."""
        with self._lock:
            return self.source.get_record(address, key)

    def load_slots(self, address: bytes) -> Iterable[int]:
        """The source's."""
        with self._lock:
            return tuple(self.source.get_slots(address))

    def load_has_storage(self, address: bytes) -> bool:
        """The source's."""
        with self._lock:
            return self.source.has_storage(address)

    def is_complete(self, address: bytes) -> bool:
        """Whether the source has neither the account nor storage for it: one that does not exist may have some.

        What has become of the account here does not matter.
        """
        self.get_account(address)
        if address not in self._absent or self.load_has_storage(address):
            return False
        self._without_storage.add(address)
        return True

    def _open_records(self, address: bytes) -> Slots:
        # A source cannot tell whether it has records for an account that does not exist.
        records = self._records.get(address)
        if records is None:
            self.get_account(address)
            records = self._records[address] = Slots("record", address, complete=False)
        return records

    def get_block_hash(self, number: int) -> bytes:
        """The source's."""
        with self._lock:
            return self.source.get_block_hash(number)

    def persist(self, changes: Iterable[StateChange]) -> None:
        """Raises `StateError`: whoever runs here is not the one to commit."""
        raise StateError("a call may not commit: its changes are not its own until they are told to the caller")

    def has_cleared(self) -> bool:
        """Whether all storage or records of an account were removed at once, which tells less than there may be."""
        return any(
            slots.complete and slots.address not in self._without_storage for slots in self._storage.values()
        ) or any(records.complete for records in self._records.values())

    def restore(self) -> None:
        """Take back all that was changed; what was read is kept."""
        if self.journal.checkpoint():
            self.revert(0)

    def forget(self) -> None:
        """Drop all that was changed or read here, for the next run."""
        self._absent.clear()
        self._without_storage.clear()
        self._accounts.clear()
        self._storage.clear()
        self._records.clear()
        self.journal.clear()
        self.begin_transaction()
