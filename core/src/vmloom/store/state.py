"""A state over a store: loads what is asked for, and writes a block's changes in one commit.

Roots of tries, blocks and receipts are the caller's: `commit_with` writes them along, so that a store never holds a
block without its state or a state without its block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ..errors import StateError
from ..result import StateChange
from ..state import Account, StateAccess, StateDiff
from .encoding import (
    ACCOUNT,
    CHAIN,
    CODE,
    EMPTY_CODE_HASH,
    RECORD,
    SLOT,
    TRIE,
    StoredAccount,
    code_hash,
    decode_account,
    encode_account,
    number,
    read_record,
    record_entry,
    record_key,
    slot_key,
)
from .interface import Changes, Store, StoreView

KEPT_CODE_BYTES: Final = 1 << 23
NOTHING: Final[Changes] = {}


class StoredState(StateAccess):
    """Accounts and storage of `view`; a `Store` can be committed to, any other view is read-only.

    `block_hash` tells the hashes of blocks by number, 32 bytes, None for one it does not know. What was loaded is kept
    until `forget`. A state is used by one thread.
    """

    def __init__(self, view: StoreView, *, block_hash: Callable[[int], bytes | None] | None = None) -> None:
        self.view = view
        self._block_hash = block_hash
        self._codes: dict[bytes, bytes] = {}
        self._code_bytes = 0
        super().__init__()

    # Loads

    def load_account(self, address: bytes) -> Account | None:
        """See `StateAccess.load_account`."""
        data = self.view.get(ACCOUNT + address)
        if data is None:
            return None
        stored = decode_account(data)
        code = b"" if stored.code_hash == EMPTY_CODE_HASH else self._load_code(stored.code_hash)
        return Account(stored.nonce, stored.balance, code, stored.vm)

    def _load_code(self, digest: bytes) -> bytes:
        """The same object each time, so that those who look it up need not hash it again."""
        code = self._codes.get(digest)
        if code is None:
            code = self.view.get(CODE + digest)
            if code is None:
                raise StateError(f"the store has no code 0x{digest.hex()}, which an account has").with_fix(
                    "import the state again from a file that `vmloom state export` wrote"
                )
            self._code_bytes += len(code)
            if self._code_bytes > KEPT_CODE_BYTES:
                self._codes.clear()
                self._code_bytes = len(code)
            self._codes[digest] = code
        return code

    def load_storage(self, address: bytes, slot: int) -> int:
        """See `StateAccess.load_storage`."""
        data = self.view.get(slot_key(address, slot))
        return 0 if data is None else int.from_bytes(data, "big")

    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        """See `StateAccess.load_record`."""
        place = record_key(address, key)
        entry = self.view.get(place)
        return None if entry is None else read_record(place, entry)[1]

    def load_slots(self, address: bytes) -> Iterator[int]:
        """See `StateAccess.load_slots`."""
        for key, _ in self.view.scan(SLOT + address):
            yield int.from_bytes(key[21:], "big")

    def get_block_hash(self, number: int) -> bytes:
        """From `block_hash`; zeros for what it does not know."""
        found = None if self._block_hash is None else self._block_hash(number)
        return bytes(32) if found is None else found

    def is_complete(self, address: bytes) -> bool:
        """Whether the store has nothing for the account: one that does not exist may have storage or records."""
        if self.get_account(address) is not None:
            return False
        return not any(any(True for _ in self.view.scan(space + address)) for space in (SLOT, RECORD))

    def has_storage(self, address: bytes) -> bool:
        """See `StateAccess.has_storage`."""
        if address in self._storage:
            return super().has_storage(address)
        return any(True for _ in self.view.scan(SLOT + address))

    # All there is, as committed

    def accounts(self) -> Iterator[tuple[bytes, Account]]:
        """Every committed account, in order of address."""
        for key, _ in self.view.scan(ACCOUNT):
            account = self.load_account(key[1:])
            assert account is not None
            yield key[1:], account

    def storage_of(self, address: bytes) -> dict[int, int]:
        """The account's committed words by slot, in order."""
        return {
            int.from_bytes(key[21:], "big"): int.from_bytes(word, "big") for key, word in self.view.scan(SLOT + address)
        }

    def records_of(self, address: bytes) -> dict[bytes, bytes]:
        """The account's committed records by key, in order."""
        return dict(sorted(read_record(key, entry) for key, entry in self.view.scan(RECORD + address)))

    # Commits

    def persist(self, changes: Iterable[StateChange]) -> None:
        """Commit what has changed, and nothing with it. Raises `StateError` if the store cannot be written."""
        self._write(self.diff(), NOTHING)

    def commit_with(self, extra: Changes = NOTHING, *, diff: StateDiff | None = None) -> int:
        """Commit what has changed together with `extra`; returns the store's new version.

        `extra` has keys in `TRIE` or `CHAIN`. `diff` is given by a caller whose changes were made elsewhere, such as in
        a `NativeState` that loads from here; there must be no changes of this state then.

        Raises `StateError` for a view that is read-only, and where the store cannot be written; nothing has happened
        then.
        """
        for key in extra:
            if key[:1] not in (TRIE, CHAIN):
                raise StateError(f"key 0x{key[:32].hex()}: only tries and chains write to the store beside the state")
        if diff is not None and self.journal.checkpoint():
            raise StateError("changes were made both here and elsewhere; commit those of one before the other's")
        version = self._write(self.diff() if diff is None else diff, extra)
        if diff is not None:
            self._learn(diff)
        self.settle()
        return version

    def _write(self, diff: StateDiff, extra: Changes) -> int:
        if not isinstance(self.view, Store):
            raise StateError(f"version {self.view.version} of the store is read-only")
        return self.view.commit({**dict(self._encoded(diff)), **extra})

    def _encoded(self, diff: StateDiff) -> Iterator[tuple[bytes, bytes | None]]:
        """What the changes do to the store; later ones of a key replace earlier ones."""
        for space, addresses in ((SLOT, diff.cleared_storage), (RECORD, diff.cleared_records)):
            for address in addresses:
                for key, _ in self.view.scan(space + address):
                    yield key, None
        for address, account in diff.accounts.items():
            if account is None:
                yield ACCOUNT + address, None
                continue
            digest = code_hash(account.code)
            yield ACCOUNT + address, encode_account(StoredAccount(account.nonce, account.balance, account.vm, digest))
            if account.code and self.view.get(CODE + digest) is None:
                yield CODE + digest, account.code
        for address, words in diff.storage.items():
            for slot, word in words.items():
                yield slot_key(address, slot), number(word) if word else None
        for address, records in diff.records.items():
            for name, value in records.items():
                yield record_key(address, name), None if value is None else record_entry(name, value)

    def _learn(self, diff: StateDiff) -> None:
        """Have what was loaded before agree with changes that were made elsewhere."""
        for address in diff.cleared_storage:
            self._storage.pop(address, None)
        for address in diff.cleared_records:
            self._records.pop(address, None)
        for address, account in diff.accounts.items():
            if address in self._accounts:
                self._accounts[address] = account
        for address, words in diff.storage.items():
            if address in self._storage:
                self._storage[address].update(words)
        for address, records in diff.records.items():
            if address in self._records:
                self._records[address].update(records)

    def forget(self) -> None:
        """Drop what was loaded, such as after a rollback. Raises `StateError` if there are changes to commit."""
        if self.journal.checkpoint():
            raise StateError("there are changes to commit or revert first")
        self._accounts.clear()
        self._storage.clear()
        self._records.clear()
        self.begin_transaction()

    @property
    def loaded(self) -> int:
        """How much `forget` would drop: accounts and slots that are in memory."""
        return len(self._accounts) + sum(map(len, self._storage.values()))


class StateSource(StoredState):
    """A `StoredState` for another state that loads from it and keeps what it loads: this one keeps nothing itself.

    So there is nothing to bring in step with what is committed, be it by others. It cannot be changed but by commits,
    of what a `diff` of the other state tells.
    """

    def get_account(self, address: bytes) -> Account | None:
        """As the store has it."""
        return self.load_account(address)

    def get_storage(self, address: bytes, slot: int) -> int:
        """As the store has it."""
        data = self.view.get(SLOT + address + slot.to_bytes(32, "big"))
        return 0 if data is None else int.from_bytes(data, "big")

    def get_slots(self, address: bytes) -> list[int]:
        """As the store has them."""
        return list(self.load_slots(address))

    def get_record(self, address: bytes, key: bytes) -> bytes | None:
        """As the store has it."""
        return self.load_record(address, key)

    def set_account(self, address: bytes, account: Account) -> None:
        """Raises `StateError`."""
        raise StateError(_NOT_CHANGED)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Raises `StateError`."""
        raise StateError(_NOT_CHANGED)

    def clear_storage(self, address: bytes) -> None:
        """Raises `StateError`."""
        raise StateError(_NOT_CHANGED)

    def set_record(self, address: bytes, key: bytes, value: bytes | None) -> None:
        """Raises `StateError`."""
        raise StateError(_NOT_CHANGED)


_NOT_CHANGED: Final = "a source of another state is not changed itself; change that one, and commit what it tells"
