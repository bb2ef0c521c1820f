"""The world that contracts change: accounts, storage, and what belongs to the running transaction.

`StateAccess` journals every change in one undo log that all VMs of a transaction share, so a revert in one
of them takes back what the others did inside it. A store supplies the loads and persists on commit;
`MemoryState` is the embedded default and needs neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from .errors import StateError
from .journal import ABSENT, Journal
from .result import Event, StateChange


class Account(NamedTuple):
    """An account. `balance` is in wei; `vm` names the VM that runs `code`, empty for the state's default VM."""

    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    vm: str = ""

    @property
    def is_empty(self) -> bool:
        """EIP-161: nonce 0, balance 0 and no code."""
        return self.nonce == 0 and self.balance == 0 and not self.code


NO_ACCOUNT = Account()
_FIELDS_OF_CHANGE = attrgetter("address", "field", "key", "old", "new")


class StateDiff(NamedTuple):
    """What has changed since the last commit, as it is to be written: what stands there now.

    Storage and records of the *cleared* addresses were removed before the words and records given here were written;
    those of an account that exists no more, which is None, always are.
    """

    accounts: dict[bytes, Account | None]
    storage: dict[bytes, dict[int, int]]
    records: dict[bytes, dict[bytes, bytes | None]]
    cleared_storage: set[bytes]
    cleared_records: set[bytes]


class Slots(dict[Any, Any]):
    """What is known of one account's storage or records. `complete`: what is not here is zero, so no store is asked."""

    __slots__ = ("address", "complete", "field")

    def __init__(self, field: str, address: bytes, complete: bool) -> None:
        super().__init__()
        self.field = field
        self.address = address
        self.complete = complete


class StateAccess(ABC):
    """Accounts and storage behind one undo log.

    Addresses are 20 bytes. *Storage* maps 256-bit slots to 256-bit words, both integers, absent ones being 0;
    *records* map byte keys to byte values, for VMs whose data are not words. Reads load on demand.

    A transaction's own data (marks, transient words, events, original values) begin anew with
    `begin_transaction`. Marks are sets of anything hashable, by kind, that VMs need journaled for the length of a
    transaction: warm accounts, created accounts.
    """

    def __init__(self) -> None:
        self.journal = Journal()
        self._accounts: dict[bytes, Account | None] = {}
        self._storage: dict[bytes, Slots] = {}
        self._records: dict[bytes, Slots] = {}
        self.begin_transaction()

    # What a store supplies

    @abstractmethod
    def load_account(self, address: bytes) -> Account | None:
        """The committed account, None if there is none."""

    @abstractmethod
    def load_storage(self, address: bytes, slot: int) -> int:
        """The committed word, 0 if there is none."""

    @abstractmethod
    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        """The committed record, None if there is none."""

    @abstractmethod
    def load_slots(self, address: bytes) -> Iterable[int]:
        """The slots of the account whose committed word is not zero, in any order."""

    @abstractmethod
    def get_block_hash(self, number: int) -> bytes:
        """Hash of the block `number`, 32 bytes; zeros if it is unknown. Which numbers may be asked is the VM's rule."""

    @abstractmethod
    def persist(self, changes: Iterable[StateChange]) -> None:
        """Write `changes`, made since the last commit, durably and as one."""

    # Snapshots

    def snapshot(self) -> int:
        """A checkpoint for `revert`. Costs nothing; checkpoints nest."""
        return self.journal.checkpoint()

    def revert(self, checkpoint: int) -> None:
        """Undo everything since `checkpoint`. Raises `StateError` if it lies before the last commit."""
        try:
            self.journal.revert(checkpoint)
        except ValueError as error:
            raise StateError(str(error)) from None

    def commit(self) -> None:
        """Make all changes durable. Checkpoints taken before can no longer be reverted to."""
        self.persist(self.changes_since(0))
        self.settle()

    def settle(self) -> None:
        """Take the changes as committed, for a caller who has written what `diff` tells."""
        self.journal.clear()

    def diff(self) -> StateDiff:
        """What has changed since the last commit, account by account; what was changed back may be told, too."""
        storage, records = self._cleared()
        return self._diff(self.changes_since(0), storage, records)

    def _cleared(self) -> tuple[set[bytes], set[bytes]]:
        """The addresses whose storage, and those whose records, have been removed as a whole since the last commit."""
        storage: set[bytes] = set()
        records: set[bytes] = set()
        for mapping, key, _ in self.journal.changes_since(0):
            if mapping is self._storage:
                storage.add(key)
            elif mapping is self._records:
                records.add(key)
        return storage, records

    def _diff(self, changes: Iterable[StateChange], storage: set[bytes], records: set[bytes]) -> StateDiff:
        """`changes` put in order; `storage` and `records` are the addresses that were cleared."""
        found = StateDiff({}, {}, {}, storage, records)
        for address, field, key, _, new in map(_FIELDS_OF_CHANGE, changes):
            if field == "storage":
                found.storage.setdefault(address, {})[key] = new
            elif field == "record":
                found.records.setdefault(address, {})[key] = new
            elif address not in found.accounts:
                account = found.accounts[address] = self.get_account(address)
                if account is None:
                    storage.add(address)
                    records.add(address)
        # A word that was cleared and then set to what it was is no change, but has to be written again.
        for address in storage:
            found.storage[address] = self._words_known(address)
        for address in records:
            found.records[address] = dict(self._records.get(address, {}))
        return found

    def _words_known(self, address: bytes) -> dict[int, int]:
        """The account's words that are not zero and were loaded or set."""
        return {slot: word for slot, word in self._storage.get(address, {}).items() if word}

    def begin_transaction(self) -> None:
        """Drop the former transaction's marks, transient words, events and original values."""
        # New containers, not cleared ones: older entries of the undo log still point at the former.
        self._marks: dict[str, dict[Hashable, bool]] = {}
        self._transient: dict[tuple[bytes, int], int] = {}
        self._originals: dict[tuple[bytes, int], int] = {}
        self.events: list[Event] = []

    def changes_since(self, checkpoint: int) -> Iterator[StateChange]:
        """What differs from the state at `checkpoint`, field by field; nothing for what was changed back."""
        before: dict[tuple[str, bytes], dict[Any, Any]] = {}
        for mapping, key, old in self.journal.changes_since(checkpoint):
            if mapping is self._accounts:
                yield from _account_changes(key, None if old is ABSENT else old, self._accounts.get(key))
            elif isinstance(mapping, Slots):
                before.setdefault((mapping.field, mapping.address), {}).setdefault(key, old)
            elif isinstance(old, Slots):  # cleared: what the log has not told yet stood in it all the time
                words = before.setdefault((old.field, old.address), {})
                for slot, word in old.items():
                    words.setdefault(slot, word)
        for (field, address), words in before.items():
            missing = 0 if field == "storage" else None
            now: Mapping[Any, Any] = (self._storage if field == "storage" else self._records).get(address, {})
            for slot, old in words.items():
                old_word, new_word = missing if old is ABSENT else old, now.get(slot, missing)
                if old_word != new_word:
                    yield StateChange(address, field, slot, old_word, new_word)

    # Accounts

    def get_account(self, address: bytes) -> Account | None:
        """The account, None if it does not exist. An existing account may be empty."""
        try:
            return self._accounts[address]
        except KeyError:
            account = self._accounts[address] = self.load_account(address)
            return account

    def set_account(self, address: bytes, account: Account) -> None:
        """Create the account or replace its fields; its storage stays."""
        self.get_account(address)
        self.journal.set(self._accounts, address, account)

    def delete_account(self, address: bytes) -> None:
        """Remove the account with its storage and records."""
        # The account goes last: a store is asked for the storage of one that is there, and a revert may bring it back.
        self.clear_storage(address)
        records = self._open_records(address)
        if records or not records.complete:
            self.journal.set(self._records, address, Slots("record", address, complete=True))
        if self.get_account(address) is not None:
            self.journal.set(self._accounts, address, None)

    def account_exists(self, address: bytes) -> bool:
        """Whether the account is in the state, be it empty."""
        return self.get_account(address) is not None

    def is_empty(self, address: bytes) -> bool:
        """EIP-161: the account is absent, or has nonce 0, balance 0 and no code."""
        account = self.get_account(address)
        return account is None or account.is_empty

    def get_balance(self, address: bytes) -> int:
        """wei"""
        return (self.get_account(address) or NO_ACCOUNT).balance

    def set_balance(self, address: bytes, balance: int) -> None:
        """Set the balance in wei, 0 and up; creates the account if there is none."""
        if balance < 0:
            raise ValueError(f"balance of 0x{address.hex()} would be {balance} wei")
        self.set_account(address, (self.get_account(address) or NO_ACCOUNT)._replace(balance=balance))

    def get_nonce(self, address: bytes) -> int:
        """Transactions sent, or contracts created, by the account."""
        return (self.get_account(address) or NO_ACCOUNT).nonce

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Set the nonce; creates the account if there is none."""
        self.set_account(address, (self.get_account(address) or NO_ACCOUNT)._replace(nonce=nonce))

    def get_code(self, address: bytes) -> bytes:
        """The account's code, empty if it has none."""
        return (self.get_account(address) or NO_ACCOUNT).code

    def get_vm(self, address: bytes) -> str:
        """Name of the VM that runs the account's code; empty for the default VM."""
        return (self.get_account(address) or NO_ACCOUNT).vm

    def set_code(self, address: bytes, code: bytes, vm: str = "") -> None:
        """Set the code and the VM that runs it; creates the account if there is none."""
        self.set_account(address, (self.get_account(address) or NO_ACCOUNT)._replace(code=code, vm=vm))

    # Storage and records

    def _open_storage(self, address: bytes) -> Slots:
        slots = self._storage.get(address)
        if slots is None:
            slots = self._storage[address] = Slots("storage", address, self.is_complete(address))
        return slots

    def _open_records(self, address: bytes) -> Slots:
        records = self._records.get(address)
        if records is None:
            records = self._records[address] = Slots("record", address, self.is_complete(address))
        return records

    def is_complete(self, address: bytes) -> bool:
        """Whether a store has nothing for the account, so that it need not be asked."""
        return self.get_account(address) is None

    def get_storage(self, address: bytes, slot: int) -> int:
        """The word in `slot`, 0 if it was never set."""
        slots = self._storage.get(address)
        if slots is None:
            slots = self._open_storage(address)
        value: int | None = slots.get(slot)
        if value is None:
            if slots.complete:
                return 0
            value = slots[slot] = self.load_storage(address, slot)
        return value

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Set the word in `slot`; both are in 0 .. 2**256 - 1."""
        current = self.get_storage(address, slot)
        self._originals.setdefault((address, slot), current)
        if value != current:
            self.journal.set(self._storage[address], slot, value)

    def get_original_storage(self, address: bytes, slot: int) -> int:
        """The word in `slot` when the transaction began."""
        original = self._originals.get((address, slot))
        return self.get_storage(address, slot) if original is None else original

    def has_storage(self, address: bytes) -> bool:
        """Whether any word of the account is not zero."""
        slots = self._open_storage(address)
        if any(slots.values()):
            return True
        # What is known here goes before what was committed: a slot may have been set to zero since.
        return not slots.complete and any(slot not in slots for slot in self.load_slots(address))

    def get_slots(self, address: bytes) -> list[int]:
        """The slots of the account whose word is not zero, in any order."""
        slots = self._open_storage(address)
        found = [slot for slot, word in slots.items() if word]
        if not slots.complete:
            found += [slot for slot in self.load_slots(address) if slot not in slots]
        return found

    def clear_storage(self, address: bytes) -> None:
        """Set every word of the account to zero."""
        slots = self._open_storage(address)
        if slots or not slots.complete:
            self.journal.set(self._storage, address, Slots("storage", address, complete=True))

    def get_record(self, address: bytes, key: bytes) -> bytes | None:
        """The record under `key`, None if there is none."""
        slots = self._open_records(address)
        if key not in slots and not slots.complete:
            slots[key] = self.load_record(address, key)
        value: bytes | None = slots.get(key)
        return value

    def set_record(self, address: bytes, key: bytes, value: bytes | None) -> None:
        """Set the record under `key`; None removes it."""
        if value != self.get_record(address, key):
            self.journal.set(self._open_records(address), key, value)

    # The running transaction

    def get_transient(self, address: bytes, slot: int) -> int:
        """The transient word in `slot` (EIP-1153), 0 if it was never set."""
        return self._transient.get((address, slot), 0)

    def set_transient(self, address: bytes, slot: int, value: int) -> None:
        """Set the transient word in `slot` until the transaction ends."""
        self.journal.set(self._transient, (address, slot), value)

    def marks(self, kind: str) -> dict[Hashable, bool]:
        """The transaction's marks of `kind`, to be read; change them with `mark`."""
        found = self._marks.get(kind)
        if found is None:
            found = self._marks[kind] = {}
        return found

    def mark(self, kind: str, key: Hashable) -> None:
        """Put `key` among the marks of `kind`; undone by a revert."""
        marks = self.marks(kind)
        if key not in marks:
            self.journal.set(marks, key, True)

    def emit(self, event: Event) -> None:
        """Append to the transaction's events; undone by a revert."""
        self.journal.append(self.events, event)


class MemoryState(StateAccess):
    """All in memory. `block_hashes` maps block numbers to 32-byte hashes."""

    def __init__(
        self, accounts: Mapping[bytes, Account] | None = None, block_hashes: Mapping[int, bytes] | None = None
    ) -> None:
        super().__init__()
        self._accounts.update(accounts or {})
        self.block_hashes = dict(block_hashes or {})

    def load_account(self, address: bytes) -> Account | None:
        """None: what is not in memory does not exist."""
        return None

    def load_storage(self, address: bytes, slot: int) -> int:
        """0: what is not in memory does not exist."""
        return 0

    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        """None: what is not in memory does not exist."""
        return None

    def load_slots(self, address: bytes) -> Iterable[int]:
        """None: what is not in memory does not exist."""
        return ()

    def is_complete(self, address: bytes) -> bool:
        """Always: memory is all there is."""
        return True

    def get_block_hash(self, number: int) -> bytes:
        """From `block_hashes`; zeros if it is not there."""
        return self.block_hashes.get(number, bytes(32))

    def persist(self, changes: Iterable[StateChange]) -> None:
        """Nothing to write: the changes are where they belong."""

    def accounts(self) -> Iterator[tuple[bytes, Account]]:
        """Every account that exists, in order of address."""
        for address in sorted(self._accounts):
            account = self._accounts[address]
            if account is not None:
                yield address, account

    def storage_of(self, address: bytes) -> dict[int, int]:
        """The account's words that are not zero, by slot, in order."""
        return {slot: word for slot, word in sorted(self._storage.get(address, {}).items()) if word}

    def records_of(self, address: bytes) -> dict[bytes, bytes]:
        """The account's records by key, in order."""
        return {key: value for key, value in sorted(self._records.get(address, {}).items()) if value is not None}


def _account_changes(address: bytes, old: Account | None, new: Account | None) -> Iterator[StateChange]:
    if (old is None) != (new is None):
        yield StateChange(address, "exists", None, old is not None, new is not None)
    before, after = old or NO_ACCOUNT, new or NO_ACCOUNT
    for name in Account._fields:
        if getattr(before, name) != getattr(after, name):
            yield StateChange(address, name, None, getattr(before, name), getattr(after, name))
