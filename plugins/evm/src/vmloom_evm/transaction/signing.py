"""Who sent a transaction, and how to sign one: secp256k1 over the hashes of `codec`.

Called when a transaction is applied, and by tools that make transactions. Knows nothing of the state: whether a sender
may send is decided in `validation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from coincurve import PrivateKey, PublicKey
from vmloom.errors import InputError
from vmloom.hashing import keccak256

from ..rules import Rules
from .codec import authorization_hash, signing_hash
from .types import Authorization, Refusal, Signature, Transaction, TransactionRefused, TransactionType

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of the secp256k1 group; r and s lie below it. SEC 2, section 2.4.1."""
HALF_CURVE_ORDER = CURVE_ORDER // 2
"""The largest s of a signature that nobody can turn into another valid one. EIP-2."""
Recover: TypeAlias = Callable[[Signature, bytes], bytes | None]
"""What does as `recover_address`."""


def recover_sender(
    tx: Transaction,
    rules: Rules,
    chain_id: int | None = None,
    *,
    encoded: bytes | None = None,
    digest: bytes | None = None,
    recover: Recover | None = None,
) -> bytes:
    """The 20-byte address that signed `tx`, by the rules of a fork; `chain_id` is the chain's own, None for any.

    `encoded` is what `tx` was decoded from and `digest` its signing hash, where they are known, which saves time;
    `recover` does what `recover_address` does, faster.

    Raises `TransactionRefused`: `INVALID_CHAIN_ID` for a transaction meant for another chain (EIP-155);
    `INVALID_SIGNATURE` without a signature, for r, s or the parity out of range, for a high s from Homestead on
    (EIP-2), for a chain id before Spurious Dragon, and for a signature that no key can have made.
    """
    signature = tx.signature
    if signature is None:
        raise TransactionRefused(Refusal.INVALID_SIGNATURE, "the transaction is not signed")
    if tx.chain_id is not None:
        if tx.type == TransactionType.LEGACY and not rules.chain_id_signatures:
            raise TransactionRefused(Refusal.INVALID_SIGNATURE, "v: this fork knows 27 and 28 only")
        if chain_id is not None and tx.chain_id != chain_id:
            raise TransactionRefused(Refusal.INVALID_CHAIN_ID, f"chain id {tx.chain_id}, but this is chain {chain_id}")
    fault = _fault(signature, HALF_CURVE_ORDER if rules.low_s_signatures else CURVE_ORDER - 1)
    if fault:
        raise TransactionRefused(Refusal.INVALID_SIGNATURE, fault)
    sender = (recover or recover_address)(signature, signing_hash(tx, encoded) if digest is None else digest)
    if sender is None:
        raise TransactionRefused(Refusal.INVALID_SIGNATURE, "r: no point of the curve has this coordinate")
    return sender


def recover_authority(authorization: Authorization) -> bytes | None:
    """The 20-byte address that signed `authorization`, None if its signature is invalid. EIP-7702.

    An invalid authorisation is skipped, it does not spoil the transaction; so this never raises for one that
    `codec.decode_transaction` accepts.
    """
    if _fault(authorization.signature, HALF_CURVE_ORDER):
        return None
    digest = authorization_hash(authorization.chain_id, authorization.address, authorization.nonce)
    return recover_address(authorization.signature, digest)


def sign_transaction(tx: Transaction, private_key: bytes) -> Transaction:
    """`tx` with the signature of a 32-byte key; one it already has is replaced. Deterministic (RFC 6979), s is low.

    Raises `InputError` for a key that is none, `TransactionRefused` for fields that cannot be encoded.
    """
    return replace(tx, signature=_sign(signing_hash(tx), private_key))


def sign_authorization(chain_id: int, address: bytes, nonce: int, private_key: bytes) -> Authorization:
    """Leave for the key's account to run the code of `address`; `chain_id` 0 is any chain. EIP-7702.

    `nonce` is the account's own at the time it is applied: one more than the transaction's, if the account sends it
    itself. Raises `InputError` for a key that is none, `TransactionRefused` for fields that cannot be encoded.
    """
    signature = _sign(authorization_hash(chain_id, address, nonce), private_key)
    return Authorization(chain_id, address, nonce, signature)


def address_of(private_key: bytes) -> bytes:
    """The 20-byte address of a 32-byte private key. Raises `InputError` for a key that is none."""
    return _address(_key(private_key).public_key)


def _fault(signature: Signature, s_limit: int) -> str:
    """What makes the signature invalid at first sight, empty if nothing does."""
    if signature.y_parity not in (0, 1):
        return "y_parity: neither 0 nor 1"
    if not 0 < signature.r < CURVE_ORDER:
        return "r: not between 0 and the order of the curve"
    if not 0 < signature.s <= s_limit:
        return "s: not between 0 and " + ("half " if s_limit == HALF_CURVE_ORDER else "") + "the order of the curve"
    return ""


def recover_address(signature: Signature, digest: bytes) -> bytes | None:
    """The 20-byte address that signed a hash of 32 bytes; all parts of the signature must be in their bounds.

    None if r is no coordinate of a point or the key would be the point at infinity.
    """
    serialized = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + bytes([signature.y_parity])
    try:
        key = PublicKey.from_signature_and_message(serialized, digest, hasher=None)
    except ValueError:
        return None
    return _address(key)


def _sign(digest: bytes, private_key: bytes) -> Signature:
    signed = _key(private_key).sign_recoverable(digest, hasher=None)
    return Signature(signed[64], int.from_bytes(signed[:32], "big"), int.from_bytes(signed[32:64], "big"))


def _key(private_key: bytes) -> PrivateKey:
    # The library pads short keys; here they are more likely mistakes. A key is never part of a message.
    if len(private_key) != 32:
        raise InputError(f"a private key has 32 bytes, this one {len(private_key)}")
    if not 0 < int.from_bytes(private_key, "big") < CURVE_ORDER:
        raise InputError("this private key is 0 or not below the order of secp256k1")
    return PrivateKey(private_key)


def _address(key: PublicKey) -> bytes:
    return keccak256(key.format(compressed=False)[1:])[12:]
