"""Which keys of a store hold what, and how accounts are written. docs/reference/state-files.md says the same.

The first byte of a key is its namespace. What follows in `RECORD` keys is cut to fit where it is long.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from ..errors import StateError
from ..hashing import keccak256
from .interface import KEY_LIMIT

ACCOUNT: Final = b"a"
"""Followed by the address: nonce, balance, name of the VM, hash of the code."""
SLOT: Final = b"s"
"""Followed by the address and the slot in 32 bytes, big-endian: the word, big-endian without leading zeros."""
RECORD: Final = b"r"
"""Followed by the address, and 0 and the record's key, or else 1 and its keccak256: see `record_entry`."""
CODE: Final = b"c"
"""Followed by the keccak256 of the code: the code. It stays when no account has it any more."""
TRIE: Final = b"t"
"""For tries over accounts and slots, whose keepers say what follows."""
CHAIN: Final = b"x"
"""For blocks and whatever else a chain keeps, which says what follows."""

EMPTY_CODE_HASH: Final = keccak256(b"")
_LONGEST_KEY: Final = KEY_LIMIT - 22
"""Bytes of a record's key that stand in the store's."""


class StoredAccount(NamedTuple):
    """An account as it is written: its code by its hash, 32 bytes, which is `EMPTY_CODE_HASH` if it has none."""

    nonce: int
    balance: int
    vm: str
    code_hash: bytes


@lru_cache(maxsize=1024)
def code_hash(code: bytes) -> bytes:
    """keccak256 of `code`; remembered, since accounts with code change more often than code does."""
    return keccak256(code)


def encode_account(account: StoredAccount) -> bytes:
    """Nonce, balance and VM, each behind a byte with its length, then the code's hash unless there is no code."""
    nonce, balance = number(account.nonce), number(account.balance)
    vm = account.vm.encode()
    if len(vm) > 255:
        raise StateError(f"the name of a VM has at most 255 bytes: {account.vm[:32]}...")
    code = b"" if account.code_hash == EMPTY_CODE_HASH else account.code_hash
    return b"%c%b%c%b%c%b%b" % (len(nonce), nonce, len(balance), balance, len(vm), vm, code)


def decode_account(data: bytes) -> StoredAccount:
    """What `encode_account` wrote. Raises `StateError` for anything else."""
    try:
        middle = 1 + data[0]
        end = middle + 1 + data[middle]
        vm_end = end + 1 + data[end]
    except IndexError:
        raise StateError(f"an account is cut short: 0x{data.hex()}") from None
    code = data[vm_end:]
    if len(code) not in (0, 32) or vm_end > len(data):
        raise StateError(f"an account ends neither with a code's hash nor without: 0x{data.hex()}")
    try:
        vm = data[end + 1 : vm_end].decode()
    except UnicodeDecodeError:
        raise StateError(f"the name of an account's VM is not UTF-8: 0x{data.hex()}") from None
    return StoredAccount(
        int.from_bytes(data[1:middle], "big"),
        int.from_bytes(data[middle + 1 : end], "big"),
        vm,
        code or EMPTY_CODE_HASH,
    )


def number(value: int) -> bytes:
    """Big-endian without leading zeros; 0 is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def slot_key(address: bytes, slot: int) -> bytes:
    """The key of a word."""
    return SLOT + address + slot.to_bytes(32, "big")


def record_key(address: bytes, key: bytes) -> bytes:
    """The store's key of the record under `key`."""
    if len(key) <= _LONGEST_KEY:
        return RECORD + address + b"\0" + key
    return RECORD + address + b"\1" + keccak256(key)


def record_entry(key: bytes, value: bytes) -> bytes:
    """A record's value as it is written: behind the key, with its length in 4 bytes, if that was cut."""
    if len(key) <= _LONGEST_KEY:
        return value
    return len(key).to_bytes(4, "big") + key + value


def read_record(stored_key: bytes, entry: bytes) -> tuple[bytes, bytes]:
    """(key, value) of a record, from the store's key and value. Raises `StateError` if they are none."""
    mark = stored_key[21:22]
    if mark == b"\0" and len(stored_key) <= KEY_LIMIT:
        return stored_key[22:], entry
    size = int.from_bytes(entry[:4], "big")
    key = entry[4 : 4 + size]
    if mark != b"\1" or len(entry) < 4 or len(key) != size or keccak256(key) != stored_key[22:]:
        raise StateError(f"not a record: 0x{stored_key.hex()}")
    return key, entry[4 + size :]
