"""The `txs` of a transition: a list of JSON objects, signed or with the key to sign them, or the RLP of a body.

What can be read but is no valid transaction becomes a `TransactionRefused` in its place, which the result reports;
what is no transaction at all is an `InputError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from vmloom.errors import InputError
from vmloom.hexadecimal import parse_number

from .. import rlp
from ..rlp import RlpError, RlpItem
from ..rules import Rules
from ..transaction.codec import PROTECTED_V, UNPROTECTED_V, decode_transaction
from ..transaction.signing import sign_transaction
from ..transaction.types import (
    AccessListEntry,
    Authorization,
    Refusal,
    Signature,
    Transaction,
    TransactionRefused,
    TransactionType,
)
from .failure import ExitCode, TransitionError
from .fields import WORD_SIZE, Fields

FIRST_LIST_BYTE = 0xC0
"""With it or a greater one begins the RLP of a list, and with a smaller one a typed transaction. EIP-2718."""
Candidate: TypeAlias = Transaction | TransactionRefused
"""A transaction to be tried, or why it is none."""


def decode_body(data: bytes, rules: Rules, place: str) -> list[Candidate]:
    """The transactions of a block body: an RLP list of legacy lists and typed byte strings.

    Raises `TransitionError` if it is no RLP list; single bad transactions are refused.
    """
    try:
        items = rlp.decode(data) if data else []
    except RlpError as error:
        raise TransitionError(ExitCode.RLP, f"{place}: {error}") from None
    if isinstance(items, bytes):
        raise TransitionError(ExitCode.RLP, f"{place}: a byte string, not a list of transactions")
    return [_decode(item, rules) for item in items]


def encode_body(encoded: Sequence[bytes]) -> bytes:
    """The RLP list of transactions that are encoded one by one."""
    # A legacy transaction is a list of its own, a typed one a byte string.
    return rlp.encode([rlp.decode(one) if one[0] >= FIRST_LIST_BYTE else one for one in encoded])


def _decode(item: RlpItem, rules: Rules) -> Candidate:
    try:
        return decode_transaction(item if isinstance(item, bytes) else rlp.encode(item), rules)
    except TransactionRefused as cause:
        return cause


def read_transactions(values: object, rules: Rules, chain_id: int, place: str) -> list[Candidate]:
    """The transactions of a JSON list. Raises `InputError`."""
    if not isinstance(values, list):
        raise InputError(f"{place}: must be a list of transactions, not {type(values).__name__}")
    return [_read_or_refuse(Fields(value, f"{place}[{index}]"), rules, chain_id) for index, value in enumerate(values)]


def _read_or_refuse(fields: Fields, rules: Rules, chain_id: int) -> Candidate:
    try:
        return _read(fields, rules, chain_id)
    except TransactionRefused as cause:
        return cause


def _read(fields: Fields, rules: Rules, chain_id: int) -> Transaction:
    kind = _kind(fields)
    one_price = kind in (TransactionType.LEGACY, TransactionType.ACCESS_LIST)
    v, r, s = _number(fields, fields.first("v", "yParity")), _number(fields, "r"), _number(fields, "s")
    is_signed = bool(v or r or s)
    tx = Transaction(
        type=kind,
        chain_id=_chain_id(fields, kind, rules, chain_id, v if is_signed else None),
        nonce=_number(fields, "nonce", 64),
        max_fee_per_gas=_number(fields, "gasPrice" if one_price else "maxFeePerGas"),
        max_priority_fee_per_gas=_number(fields, "gasPrice" if one_price else "maxPriorityFeePerGas"),
        gas_limit=_number(fields, fields.first("gas", "gasLimit"), 64),
        to=fields.address("to") if fields.values.get("to") else None,
        value=_number(fields, "value"),
        data=fields.data(fields.first("input", "data"), default=b""),
        access_list=tuple(_access(entry) for entry in fields.objects("accessList")),
        max_fee_per_blob_gas=_number(fields, "maxFeePerBlobGas"),
        blob_hashes=_blob_hashes(fields),
        authorizations=tuple(_authorization(one) for one in fields.objects("authorizationList")),
        signature=Signature(_parity(kind, v), r, s) if is_signed else None,
    )
    if is_signed or not fields.has("secretKey"):
        return tx  # without either, it is refused when its sender is asked for
    return sign_transaction(tx, fields.data("secretKey", size=WORD_SIZE))


def _kind(fields: Fields) -> TransactionType:
    """The named type; without one, that which has the fields that are there."""
    if fields.has("type"):
        number = fields.number("type", bits=8)
        if number not in list(TransactionType):
            raise TransactionRefused(Refusal.TYPE_NOT_SUPPORTED, f"type {number} is unknown")
        return TransactionType(number)
    for kind, name in (
        (TransactionType.SET_CODE, "authorizationList"),
        (TransactionType.BLOB, "blobVersionedHashes"),
        (TransactionType.FEE_MARKET, "maxFeePerGas"),
        (TransactionType.ACCESS_LIST, "accessList"),
    ):
        if fields.has(name):
            return kind
    return TransactionType.LEGACY


def _chain_id(fields: Fields, kind: TransactionType, rules: Rules, chain_id: int, v: int | None) -> int | None:
    """The transaction's chain id. `v` is that of a signature it already has. EIP-155."""
    if kind != TransactionType.LEGACY:
        return fields.number("chainId", default=chain_id)
    if v is not None:
        return (v - PROTECTED_V) // 2 if v >= PROTECTED_V else None
    is_protected = fields.flag("protected", default=True) and rules.chain_id_signatures
    return chain_id if is_protected else None


def _parity(kind: TransactionType, v: int) -> int:
    if kind != TransactionType.LEGACY:
        return v
    if v < UNPROTECTED_V:
        raise TransactionRefused(Refusal.INVALID_SIGNATURE, f"v: {v} is neither 27, 28 nor at least {PROTECTED_V}")
    return (v - UNPROTECTED_V) & 1


def _access(entry: Fields) -> AccessListEntry:
    slots = entry.items("storageKeys")
    return AccessListEntry(
        entry.address("address"),
        tuple(parse_number(slot, f"{entry.place}.storageKeys[{index}]") for index, slot in enumerate(slots)),
    )


def _blob_hashes(fields: Fields) -> tuple[bytes, ...]:
    hashes = Fields(
        {str(index): value for index, value in enumerate(fields.items("blobVersionedHashes"))},
        f"{fields.place}.blobVersionedHashes",
    )
    return tuple(hashes.data(index, size=WORD_SIZE) for index in hashes.values)


def _authorization(one: Fields) -> Authorization:
    return Authorization(
        chain_id=_number(one, "chainId"),
        address=one.address("address"),
        nonce=_number(one, "nonce", 64),
        signature=Signature(_number(one, one.first("yParity", "v"), 8), _number(one, "r"), _number(one, "s")),
    )


def _number(fields: Fields, name: str, bits: int = 256) -> int:
    """A number, 0 if it is not there. One that is too large spoils the transaction, not the file."""
    number = fields.number(name, bits=4_096, default=0)
    if number >> bits:
        raise TransactionRefused(Refusal.FIELD_OVERFLOW, f"{name}: more than {bits} bits")
    return number
