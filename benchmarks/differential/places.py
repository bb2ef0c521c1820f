"""The addresses and keys of the random worlds: always the same, so that programs can be full of them."""

from __future__ import annotations

from functools import cache
from typing import Final

from vmloom.hashing import keccak256
from vmloom_evm.rlp import encode
from vmloom_evm.transaction.signing import address_of, sign_authorization
from vmloom_evm.transaction.types import Authorization, Signature


def place(number: int) -> bytes:
    """The address that is `number`."""
    return number.to_bytes(20, "big")


def created_by(creator: bytes, nonce: int) -> bytes:
    """Where CREATE of `creator` puts a contract."""
    return keccak256(encode([creator, nonce.to_bytes(8, "big").lstrip(b"\0")]))[12:]


KEYS: Final = [bytes([number]) * 32 for number in (1, 2, 3)]
SENDERS: Final = [address_of(key) for key in KEYS]
"""Accounts that sign: transactions, and leave for others to run code as theirs."""
CONTRACTS: Final = [place(0xC0DE00 + number) for number in range(5)]
DELEGATED: Final = [place((0xDE1E << 144) + number) for number in range(4)]
"""Accounts that may have a delegation as their code."""
EMPTY: Final = place(0xE3)
ABSENT: Final = place(0xAB << 152)
COINBASE: Final = place(0xC01B << 80)
PLAIN: Final = place(0x9A1)
"""An account with wei and no code."""
PRECOMPILES: Final = [place(number) for number in (*range(1, 0x13), 0x100)]
CREATED: Final = [created_by(one, nonce) for one in CONTRACTS for nonce in (0, 1, 2)] + [
    created_by(one, nonce) for one in SENDERS for nonce in (0, 1, 2, 3)
]
"""Where contracts will be created, if their creators' nonces are low."""
SYSTEM: Final = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")

TARGETS: Final = [
    *CONTRACTS * 6,
    *DELEGATED * 2,
    *SENDERS,
    *PRECOMPILES,
    *PRECOMPILES[:4] * 2,
    *CREATED,
    *[EMPTY, ABSENT, COINBASE, PLAIN] * 2,
    place(0),
]
"""Whom programs call and look at, as often as they are here."""


@cache
def authorization(signer: int, chain_id: int, target: bytes, nonce: int) -> Authorization:
    """Leave of a sender to run the code of `target`."""
    return sign_authorization(chain_id, target, nonce, KEYS[signer])


UNSIGNED: Final = Authorization(0, CONTRACTS[0], 0, Signature(0, 0, 1))
"""Nobody's: its signature is none."""
FORGED: Final = Authorization(0, CONTRACTS[0], 0, Signature(1, 5, 7))
"""Somebody's whom nobody knows, or nobody's."""
