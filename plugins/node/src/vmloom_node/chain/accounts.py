"""Accounts whose keys the node has: those of a mnemonic, others that are added, and any that are impersonated.

Keys are for development. They never appear in messages or representations.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterator
from threading import Lock
from typing import Final

from coincurve import PrivateKey
from vmloom.errors import InputError
from vmloom_evm.transaction.signing import CURVE_ORDER, address_of

DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""What all development nodes begin with, so that scripts may know its keys."""
DEV_PATH: Final = "m/44'/60'/0'/0"
"""BIP-44, Ethereum; the account's number follows."""
DEV_ACCOUNTS: Final = 10
DEV_BALANCE: Final = 10_000 * 10**18
"""wei"""
_HARDENED = 1 << 31


def seed_of(mnemonic: str, passphrase: str = "") -> bytes:
    """The 64-byte seed of a mnemonic. BIP-39; its words are not looked up. Raises `InputError` for an empty one."""
    words = unicodedata.normalize("NFKD", mnemonic).split()
    if not words:
        raise InputError("mnemonic: no words")
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase).encode()
    return hashlib.pbkdf2_hmac("sha512", " ".join(words).encode(), salt, 2048)


def derive_key(seed: bytes, path: str) -> bytes:
    """The 32-byte private key that a seed has at `path`, such as `m/44'/60'/0'/0/0`. BIP-32. Raises `InputError`."""
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    key, chain = digest[:32], digest[32:]
    for number in _numbers(path):
        data = b"\0" + key if number >= _HARDENED else PrivateKey(key).public_key.format()
        digest = hmac.digest(chain, data + number.to_bytes(4, "big"), "sha512")
        # That the sum is 0 or the digest too large has odds of 1 in 2**127; no path can be made for which it is so.
        key = ((int.from_bytes(digest[:32], "big") + int.from_bytes(key, "big")) % CURVE_ORDER).to_bytes(32, "big")
        chain = digest[32:]
    return key


def derive_keys(mnemonic: str = DEV_MNEMONIC, count: int = DEV_ACCOUNTS, path: str = DEV_PATH) -> list[bytes]:
    """The keys of the first `count` accounts below `path`. Raises `InputError`."""
    seed = seed_of(mnemonic)
    return [derive_key(seed, f"{path}/{number}") for number in range(count)]


def _numbers(path: str) -> Iterator[int]:
    head, *steps = path.split("/")
    if head != "m":
        raise InputError(f"path {path!r}: must begin with m/")
    for step in steps:
        digits = step.rstrip("'hH")
        if not digits.isascii() or not digits.isdigit() or len(step) - len(digits) > 1 or int(digits) >= _HARDENED:
            raise InputError(f"path {path!r}: {step!r} is no number below 2**31, with ' behind it if it is hardened")
        yield int(digits) + (_HARDENED if step != digits else 0)


class Accounts:
    """The accounts that the node signs for, in the order in which they were added, and those it impersonates.

    Safe to share by threads.
    """

    def __init__(self, keys: list[bytes] | None = None) -> None:
        self._keys: dict[bytes, bytes] = {}
        self._impersonated: set[bytes] = set()
        self._lock = Lock()
        self.impersonates_all = False
        """Whether transactions of any sender are taken without a signature (`anvil_autoImpersonateAccount`)."""
        for key in keys or ():
            self.add(key)

    def __repr__(self) -> str:
        return f"<Accounts: {len(self._keys)} keys>"

    def add(self, private_key: bytes) -> bytes:
        """Sign for the account of a 32-byte key from now on; returns its address. Raises `InputError`."""
        address = address_of(private_key)
        with self._lock:
            self._keys[address] = private_key
        return address

    @property
    def addresses(self) -> list[bytes]:
        """The accounts with keys, 20 bytes each."""
        return list(self._keys)

    def key_of(self, address: bytes) -> bytes | None:
        """The 32-byte private key of an account, None if the node has none."""
        return self._keys.get(address)

    def impersonate(self, address: bytes) -> None:
        """Take transactions of this account without a signature."""
        with self._lock:
            self._impersonated.add(address)

    def stop_impersonating(self, address: bytes) -> bool:
        """Take them no more; False if they were not taken."""
        with self._lock:
            if address not in self._impersonated:
                return False
            self._impersonated.remove(address)
            return True

    def is_impersonated(self, address: bytes) -> bool:
        """Whether transactions of this account need no signature."""
        return self.impersonates_all or address in self._impersonated
