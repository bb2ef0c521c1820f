"""The trie of all accounts with the tries of their storage, over the store that holds the accounts themselves.

Roots follow from what a block has changed, not from all there is. Yellow paper, section 4.1.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vmloom import Account
from vmloom.hashing import keccak256
from vmloom.state import StateDiff
from vmloom.store import ACCOUNT, TRIE, Changes, StoreView
from vmloom.store.encoding import StoredAccount, code_hash, decode_account

from .. import rlp
from .nodes import EMPTY_TRIE_ROOT, list_of, string, string_in
from .tree import Item, Trie

ACCOUNTS: Final = TRIE + b"a"
"""Followed by the path in hexadecimal digits: a node of the trie of accounts."""
STORAGE: Final = TRIE + b"s"
"""Followed by the address and the path in hexadecimal digits: a node of the trie of that account's storage."""


@dataclass(frozen=True, slots=True)
class StorageProof:
    """The word in `slot`, 0 if there is none, and the nodes that prove it."""

    slot: int
    value: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccountProof:
    """An account as the state root commits to it, and the nodes that prove it. EIP-1186.

    `balance` is in wei; hashes have 32 bytes. An account that does not exist is all zeros, its code and storage empty.
    """

    address: bytes
    nonce: int
    balance: int
    code_hash: bytes
    storage_hash: bytes
    proof: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


class StateTrie:
    """The tries of the state in `view`, as they were committed there with it."""

    def __init__(self, view: StoreView) -> None:
        self._view = view

    def root(self) -> bytes:
        """The state root, 32 bytes."""
        return Trie(self._view.get, ACCOUNTS).root()

    def storage_root(self, address: bytes) -> bytes:
        """Root of the trie of the account's storage, 32 bytes."""
        return Trie(self._view.get, STORAGE + address).root()

    def update(self, diff: StateDiff) -> tuple[bytes, Changes]:
        """The state root after `diff`, 32 bytes, and the nodes to be committed with it. Commits nothing itself.

        Raises `BrokenTrie` for a store whose nodes do not fit together.
        """
        changes: dict[bytes, bytes | None] = {}
        roots: dict[bytes, bytes] = {}
        for address in diff.cleared_storage:
            for key, _ in self._view.scan(STORAGE + address):
                changes[key] = None
            roots[address] = EMPTY_TRIE_ROOT
        for address, words in diff.storage.items():
            trie = Trie(self._view.get, STORAGE + address, changes)
            if words:
                roots[address] = trie.update_paths(
                    [(_slot_path(slot), _encoded_word(word) if word else None) for slot, word in words.items()]
                )
        items: list[Item] = []
        for address in diff.accounts.keys() | roots.keys():
            account = self.account(address, diff.accounts)
            root = roots.get(address)
            if account is not None and root is None:
                root = self.storage_root(address)
            items.append((_address_path(address), None if account is None else encode_account(account, root or b"")))
        return Trie(self._view.get, ACCOUNTS, changes).update_paths(items), changes

    def settle(self) -> None:
        """The last changes have been committed: nothing to do, since the store is asked each time."""

    def forget(self) -> None:
        """They will not be: nothing to do either."""

    def account(self, address: bytes, changed: Mapping[bytes, Account | None]) -> StoredAccount | None:
        """The account as it is in `changed`, or else in the store."""
        if address in changed:
            account = changed[address]
            if account is None:
                return None
            return StoredAccount(account.nonce, account.balance, account.vm, code_hash(account.code))
        data = self._view.get(ACCOUNT + address)
        return None if data is None else decode_account(data)

    def account_proof(self, address: bytes, slots: Iterable[int] = ()) -> AccountProof:
        """The account and the words in `slots`, each with its proof, also of what is not there."""
        data = self._view.get(ACCOUNT + address)
        account = None if data is None else decode_account(data)
        storage = Trie(self._view.get, STORAGE + address)
        return AccountProof(
            address=address,
            nonce=0 if account is None else account.nonce,
            balance=0 if account is None else account.balance,
            code_hash=code_hash(b"") if account is None else account.code_hash,
            storage_hash=EMPTY_TRIE_ROOT if account is None else storage.root(),
            proof=tuple(Trie(self._view.get, ACCOUNTS).prove(keccak256(address))),
            storage=tuple(self._storage_proof(storage, slot, account is not None) for slot in slots),
        )

    def _storage_proof(self, trie: Trie, slot: int, exists: bool) -> StorageProof:
        if not exists:  # the empty trie of no account, whatever the store has for its address
            return StorageProof(slot, 0, ())
        key = keccak256(slot.to_bytes(32, "big"))
        value = trie.get(key)
        word = 0 if value is None else int.from_bytes(string_in(value), "big")
        return StorageProof(slot, word, tuple(trie.prove(key)))


def encode_account(account: StoredAccount, storage_root: bytes) -> bytes:
    """The leaf of an account: RLP of nonce, balance, root of its storage and hash of its code."""
    return list_of(
        b"%b%b\xa0%b\xa0%b"
        % (
            string(rlp.integer(account.nonce)),
            string(rlp.integer(account.balance)),
            storage_root,
            account.code_hash,
        )
    )


@lru_cache(maxsize=1 << 14)
def _address_path(address: bytes) -> bytes:
    return hexlify(keccak256(address))


@lru_cache(maxsize=1 << 16)
def _slot_path(slot: int) -> bytes:
    return hexlify(keccak256(slot.to_bytes(32, "big")))


def _encoded_word(word: int) -> bytes:
    return string(rlp.integer(word))
