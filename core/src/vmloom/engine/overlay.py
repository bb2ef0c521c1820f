"""A state over another one, which it reads and never changes: what runs on it stays in it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from ..result import StateChange
from ..state import Account, StateAccess


class OverlayState(StateAccess):
    """What is changed here is seen here alone; all else is read from `source`.

    Any number of overlays, each used by one thread, may have one source if they share a `lock`, under which they read
    it; nothing else may change the source for that long. `commit` only forgets how to go back.
    """

    def __init__(self, source: StateAccess, lock: threading.Lock) -> None:
        self.source = source
        self._lock = lock
        self._absent: set[bytes] = set()
        self.kept: dict[str, Any] = {}
        """What VMs keep with it that holds as long as the source is as it is."""
        super().__init__()

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

    def get_block_hash(self, number: int) -> bytes:
        """The source's."""
        with self._lock:
            return self.source.get_block_hash(number)

    def persist(self, changes: Iterable[StateChange]) -> None:
        """Nothing: what is changed here stays here."""

    def has_cleared(self) -> bool:
        """Whether all storage of an account was emptied at once, which tells less than the source may have."""
        return any(
            slots.complete and slots.address not in self._absent
            for slots in (*self._storage.values(), *self._records.values())
        )

    def forget(self) -> None:
        """Drop all that was changed or read here, for the next run."""
        self._absent.clear()
        self._accounts.clear()
        self._storage.clear()
        self._records.clear()
        self.journal.clear()
        self.begin_transaction()
