"""Transactions to and from bytes: RLP, EIP-2718 envelopes, and the hashes taken over them.

Called by `signing` and by everything that reads raw transactions. The bytes are untrusted: whatever is wrong with
them becomes a `TransactionRefused` that names the field, never another exception. Signatures are not checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import TypeVar

from vmloom.hashing import keccak256

from .. import rlp
from ..rlp import RlpError, RlpItem
from ..rules import Rules
from .types import AccessListEntry, Authorization, Refusal, Signature, Transaction, TransactionRefused, TransactionType

UNPROTECTED_V = 27
"""Yellow paper, appendix F: v of a legacy signature is this or the next, by the parity of y."""
PROTECTED_V = 35
"""EIP-155: v is this, plus twice the chain id, plus the parity of y."""
AUTHORIZATION_MAGIC = b"\x05"
"""EIP-7702: what an authority signs begins with it, so that it is never a transaction."""

_T = TypeVar("_T")

_SIGNATURE_FIELDS = 3
_ADDRESS_BYTES = 20
_WORD_BYTES = 32
_LIST_PREFIX = 0xC0
_STRING_PREFIX = 0x80

_FEES = ("max_priority_fee_per_gas", "max_fee_per_gas")
_CALL = ("gas_limit", "to", "value", "data")
_PARITY_SIGNATURE = ("y_parity", "r", "s")
_FEE_MARKET = ("chain_id", "nonce", *_FEES, *_CALL, "access_list")
_FIELDS: Mapping[TransactionType, tuple[str, ...]] = {
    TransactionType.LEGACY: ("nonce", "gas_price", *_CALL, "v", "r", "s"),
    TransactionType.ACCESS_LIST: ("chain_id", "nonce", "gas_price", *_CALL, "access_list", *_PARITY_SIGNATURE),
    TransactionType.FEE_MARKET: (*_FEE_MARKET, *_PARITY_SIGNATURE),
    TransactionType.BLOB: (*_FEE_MARKET, "max_fee_per_blob_gas", "blob_hashes", *_PARITY_SIGNATURE),
    TransactionType.SET_CODE: (*_FEE_MARKET, "authorizations", *_PARITY_SIGNATURE),
}
"""Fields on the wire, in their order; the signature is the last three."""

_TYPES = tuple(TransactionType)
"""By the byte that begins their envelope; the first has none."""

_AUTHORIZATION_FIELDS = ("chain_id", "address", "nonce", "y_parity", "r", "s")
_BYTES = {"nonce": 8, "gas_limit": 8}
"""Numbers of 64 bits (EIP-2681, and gas by every client's agreement); all others have 256."""


def decode_transaction(data: bytes, rules: Rules | None = None) -> Transaction:
    """The transaction that `data` encodes: an EIP-2718 envelope of types 1 to 4, or the RLP list of a legacy one.

    With `rules`, a type that the fork does not have is refused before anything else is looked at. The signature may
    still be invalid: see `signing.recover_sender`.

    Raises `TransactionRefused`: `TYPE_NOT_SUPPORTED`; `MALFORMED` for bytes that are no RLP, a wrong number of fields,
    leading zeros or a wrong length; `FIELD_OVERFLOW` for a number too large for its field; `INVALID_SIGNATURE` for
    r, s or a parity over 256 bits; that or `INVALID_CHAIN_ID` (EIP-155) for a v that means nothing;
    `INVALID_AUTHORIZATION` or `INVALID_AUTHORITY_SIGNATURE` for an EIP-7702 authorisation that does not fit its fields.
    """
    kind = _supported_type(data, rules)
    try:
        payload = rlp.decode(data, start=0 if kind == TransactionType.LEGACY else 1)
    except RlpError as error:
        raise _malformed("transaction", str(error)) from error
    return _decode_items(kind, _list(payload, "transaction"), rules)


def decode_items(data: bytes, items: list[RlpItem], rules: Rules | None = None) -> Transaction:
    """`decode_transaction` of `data`, whose list is known to consist of `items`."""
    return _decode_items(_supported_type(data, rules), items, rules)


def _supported_type(data: bytes, rules: Rules | None) -> TransactionType:
    kind = _type_of(data)
    if rules is not None and kind > rules.typed_transactions:
        raise TransactionRefused(Refusal.TYPE_NOT_SUPPORTED, f"type {kind.value} does not exist in this fork")
    return kind


def _decode_items(kind: TransactionType, items: list[RlpItem], rules: Rules | None) -> Transaction:
    names = _FIELDS[kind]
    if len(items) != len(names):
        raise _malformed("transaction", f"{len(items)} fields, but type {kind.value} has {len(names)}")
    return _build(kind, dict(zip(names, items, strict=True)), rules)


def encode_transaction(tx: Transaction) -> bytes:
    """The bytes of a signed transaction, as they travel in blocks: EIP-2718 envelope, or plain RLP for a legacy one.

    Fields that its type does not have are left out.

    Raises `TransactionRefused`: `INVALID_SIGNATURE` without a signature or with one that does not fit its fields,
    `INVALID_CHAIN_ID` for a type other than legacy without chain id, `FIELD_OVERFLOW` and `MALFORMED` for other fields
    that cannot be encoded.
    """
    if tx.signature is None:
        raise TransactionRefused(Refusal.INVALID_SIGNATURE, "the transaction is not signed")
    return _envelope(tx, [_ENCODERS[name](tx) for name in _FIELDS[tx.type]])


def signing_hash(tx: Transaction, encoded: bytes | None = None) -> bytes:
    """The 32 bytes that the sender signs. A legacy transaction with a chain id is protected by EIP-155.

    `encoded` is what `tx` was decoded from, where that is known: it need not be encoded again then. Raises
    `TransactionRefused` for fields that cannot be encoded.
    """
    if encoded is not None:
        return _signing_hash_of(tx, encoded)
    items = [_ENCODERS[name](tx) for name in _FIELDS[tx.type][:-_SIGNATURE_FIELDS]]
    if tx.type == TransactionType.LEGACY and tx.chain_id is not None:
        items += [_encode_chain_id(tx), b"", b""]
    return keccak256(_envelope(tx, items))


def _signing_hash_of(tx: Transaction, encoded: bytes) -> bytes:
    """The hash by cutting the signature off: there is but one encoding of a transaction, so what is left is that."""
    legacy = tx.type == TransactionType.LEGACY
    _, begin, end = rlp.extent(encoded, 0 if legacy else 1, len(encoded))
    signature = _signature(tx)
    end -= len(rlp.encode(_encode_v(tx))) if legacy else _size(signature.y_parity)
    end -= _size(signature.r) + _size(signature.s)
    parts = [encoded[begin:end]]
    if legacy and tx.chain_id is not None:
        parts += [rlp.encode(_encode_chain_id(tx)), rlp.encode(b""), rlp.encode(b"")]
    return keccak256((b"" if legacy else encoded[:1]) + rlp.list_of(parts))


def _size(number: int) -> int:
    """Bytes of a number's encoding, which has at most 256 bits."""
    return 1 if number < _STRING_PREFIX else 1 + (number.bit_length() + 7) // 8


def authorization_hash(chain_id: int, address: bytes, nonce: int) -> bytes:
    """The 32 bytes that an authority signs. EIP-7702. Raises `TransactionRefused` for fields that cannot be encoded."""
    items: list[RlpItem] = [
        _integer(chain_id, "chain_id"),
        _exactly(address, _ADDRESS_BYTES, "address"),
        _integer(nonce, "nonce", 64),
    ]
    return keccak256(AUTHORIZATION_MAGIC + rlp.encode(items))


def transaction_hash(tx: Transaction) -> bytes:
    """The 32 bytes by which a signed transaction is known. Raises `TransactionRefused` as `encode_transaction` does."""
    return keccak256(encode_transaction(tx))


# Decoding


def _type_of(data: bytes) -> TransactionType:
    """EIP-2718: the first byte is a type, or the head of a legacy transaction's list."""
    if not data:
        raise _malformed("transaction", "no bytes")
    first = data[0]
    if first >= _LIST_PREFIX:
        return TransactionType.LEGACY
    if first >= _STRING_PREFIX:
        raise _malformed("transaction", f"first byte 0x{first:02x} is neither a type nor the head of a list")
    if not 1 <= first < len(_TYPES):
        raise TransactionRefused(Refusal.TYPE_NOT_SUPPORTED, f"unknown envelope type {first}")
    return _TYPES[first]


def _build(kind: TransactionType, given: Mapping[str, RlpItem], rules: Rules | None) -> Transaction:
    """The transaction of these fields. A field that the type does not have reads as empty, which is its default."""

    def number(name: str, most: int = _WORD_BYTES, overflow: Refusal = Refusal.FIELD_OVERFLOW) -> int:
        item = given[name]
        if item.__class__ is bytes and len(item) <= most and item[:1] != b"\0":
            return int.from_bytes(item, "big")  # as nearly all are
        return _number(item, name, 8 * most, overflow=overflow)

    def each(name: str, read: Callable[[RlpItem, str], _T]) -> tuple[_T, ...]:
        items = given.get(name, _NO_ITEMS)
        if items == _NO_ITEMS:
            return ()
        return tuple(read(item, f"{name}[{i}]") for i, item in enumerate(_list(items, name)))

    one_price = "gas_price" in given
    legacy = kind == TransactionType.LEGACY
    return Transaction(
        type=kind,
        nonce=number("nonce", _BYTES["nonce"]),
        max_priority_fee_per_gas=number("gas_price" if one_price else "max_priority_fee_per_gas"),
        max_fee_per_gas=number("gas_price" if one_price else "max_fee_per_gas"),
        gas_limit=number("gas_limit", _BYTES["gas_limit"]),
        to=None if given["to"] == b"" else _fixed(given["to"], "to", _ADDRESS_BYTES),
        value=number("value"),
        data=_bytes(given["data"], "data"),
        access_list=each("access_list", _access),
        max_fee_per_blob_gas=number("max_fee_per_blob_gas") if "max_fee_per_blob_gas" in given else 0,
        blob_hashes=each("blob_hashes", _blob_hash),
        authorizations=each("authorizations", _authorization),
        # The signature comes last, so that a field with a plainer fault is named first.
        chain_id=_chain_id_of_v(number("v", overflow=_NO_SIGNATURE), rules) if legacy else number("chain_id"),
        signature=Signature(
            (number("v") - UNPROTECTED_V) & 1 if legacy else number("y_parity", overflow=_NO_SIGNATURE),
            number("r", overflow=_NO_SIGNATURE),
            number("s", overflow=_NO_SIGNATURE),
        ),
    )


_NO_ITEMS: RlpItem = []
_NO_SIGNATURE = Refusal.INVALID_SIGNATURE


def _chain_id_of_v(v: int, rules: Rules | None) -> int | None:
    """The chain id in a legacy signature's v, None without one. EIP-155."""
    if v in (UNPROTECTED_V, UNPROTECTED_V + 1):
        return None
    if v >= PROTECTED_V:
        return (v - PROTECTED_V) // 2
    # 0 and 1 are what a signature of a later type has, or a missing one; the others would be a chain id below 0.
    knows_chain_ids = rules is None or rules.chain_id_signatures
    refusal = Refusal.INVALID_CHAIN_ID if knows_chain_ids and v > 1 else Refusal.INVALID_SIGNATURE
    raise TransactionRefused(refusal, f"v: {v} is neither 27, 28 nor at least {PROTECTED_V}")


def _blob_hash(item: RlpItem, place: str) -> bytes:
    """EIP-4844: 32 bytes"""
    return _fixed(item, place, _WORD_BYTES)


def _access(item: RlpItem, place: str) -> AccessListEntry:
    """EIP-2930: [address, [slot, ...]]"""
    parts = _list(item, place)
    if len(parts) != 2:
        raise _malformed(place, f"{len(parts)} parts, not an address and its slots")
    return AccessListEntry(
        _fixed(parts[0], f"{place}.address", _ADDRESS_BYTES),
        tuple(
            int.from_bytes(_fixed(slot, f"{place}.slots[{i}]", _WORD_BYTES), "big")
            for i, slot in enumerate(_list(parts[1], f"{place}.slots"))
        ),
    )


def _authorization(item: RlpItem, place: str) -> Authorization:
    """EIP-7702: [chain_id, address, nonce, y_parity, r, s]. One that is out of its fields spoils the transaction."""
    malformed = Refusal.INVALID_AUTHORIZATION
    number = partial(_number, malformed=malformed, overflow=malformed)
    signature_number = partial(_number, malformed=malformed, overflow=Refusal.INVALID_AUTHORITY_SIGNATURE)
    parts = _list(item, place, malformed)
    if len(parts) != len(_AUTHORIZATION_FIELDS):
        raise TransactionRefused(malformed, f"{place}: {len(parts)} fields, not {len(_AUTHORIZATION_FIELDS)}")
    chain_id, address, nonce, y_parity, r, s = parts
    return Authorization(
        number(chain_id, f"{place}.chain_id"),
        _fixed(address, f"{place}.address", _ADDRESS_BYTES, malformed),
        number(nonce, f"{place}.nonce", 64),
        Signature(
            signature_number(y_parity, f"{place}.y_parity", 8),
            signature_number(r, f"{place}.r"),
            signature_number(s, f"{place}.s"),
        ),
    )


def _number(
    item: RlpItem,
    place: str,
    bits: int = 256,
    malformed: Refusal = Refusal.MALFORMED,
    overflow: Refusal = Refusal.FIELD_OVERFLOW,
) -> int:
    data = _bytes(item, place, malformed)
    if data[:1] == b"\0":
        raise TransactionRefused(malformed, f"{place}: leading zero byte")
    if len(data) * 8 > bits:  # without a leading zero, every byte counts
        # The number itself is not printed: it may have any length.
        raise TransactionRefused(overflow, f"{place}: {len(data)} bytes, more than {bits} bits")
    return int.from_bytes(data, "big")


def _fixed(item: RlpItem, place: str, size: int, malformed: Refusal = Refusal.MALFORMED) -> bytes:
    data = _bytes(item, place, malformed)
    if len(data) != size:
        raise TransactionRefused(malformed, f"{place}: {len(data)} bytes, not {size}")
    return data


def _bytes(item: RlpItem, place: str, malformed: Refusal = Refusal.MALFORMED) -> bytes:
    if not isinstance(item, bytes):
        raise TransactionRefused(malformed, f"{place}: a list, not a byte string")
    return item


def _list(item: RlpItem, place: str, malformed: Refusal = Refusal.MALFORMED) -> list[RlpItem]:
    if not isinstance(item, list):
        raise TransactionRefused(malformed, f"{place}: a byte string, not a list")
    return item


def _malformed(place: str, detail: str) -> TransactionRefused:
    return TransactionRefused(Refusal.MALFORMED, f"{place}: {detail}")


def _bits(name: str) -> int:
    return 8 * _BYTES.get(name, _WORD_BYTES)


# Encoding


def _envelope(tx: Transaction, items: list[RlpItem]) -> bytes:
    payload = rlp.encode(items)
    return payload if tx.type == TransactionType.LEGACY else bytes([tx.type]) + payload


def _integer(value: int, place: str, bits: int = 256, overflow: Refusal = Refusal.FIELD_OVERFLOW) -> bytes:
    if value < 0 or value.bit_length() > bits:
        raise TransactionRefused(overflow, f"{place}: does not fit {bits} bits without sign")
    return rlp.integer(value)


def _exactly(data: bytes, size: int, place: str) -> bytes:
    if len(data) != size:
        raise _malformed(place, f"{len(data)} bytes, not {size}")
    return data


def _encode_access_list(tx: Transaction) -> RlpItem:
    encoded: list[RlpItem] = []
    for i, entry in enumerate(tx.access_list):
        place = f"access_list[{i}]"
        slots: list[RlpItem] = [_slot(slot, f"{place}.slots[{j}]") for j, slot in enumerate(entry.slots)]
        encoded.append([_exactly(entry.address, _ADDRESS_BYTES, f"{place}.address"), slots])
    return encoded


def _slot(slot: int, place: str) -> bytes:
    return _integer(slot, place).rjust(_WORD_BYTES, b"\0")


def _encode_blob_hashes(tx: Transaction) -> RlpItem:
    return [_exactly(blob_hash, _WORD_BYTES, f"blob_hashes[{i}]") for i, blob_hash in enumerate(tx.blob_hashes)]


def _encode_authorizations(tx: Transaction) -> RlpItem:
    encoded: list[RlpItem] = []
    for i, it in enumerate(tx.authorizations):
        place = f"authorizations[{i}]"
        encoded.append(
            [
                _integer(it.chain_id, f"{place}.chain_id"),
                _exactly(it.address, _ADDRESS_BYTES, f"{place}.address"),
                _integer(it.nonce, f"{place}.nonce", 64),
                _integer(it.signature.y_parity, f"{place}.y_parity", 8, Refusal.INVALID_AUTHORITY_SIGNATURE),
                _integer(it.signature.r, f"{place}.r", 256, Refusal.INVALID_AUTHORITY_SIGNATURE),
                _integer(it.signature.s, f"{place}.s", 256, Refusal.INVALID_AUTHORITY_SIGNATURE),
            ]
        )
    return encoded


def _signature(tx: Transaction) -> Signature:
    """The signature of a transaction that is known to have one."""
    assert tx.signature is not None
    return tx.signature


def _encode_chain_id(tx: Transaction) -> bytes:
    if tx.chain_id is None:
        raise TransactionRefused(Refusal.INVALID_CHAIN_ID, f"type {tx.type.value} needs a chain id")
    return _integer(tx.chain_id, "chain_id")


def _encode_v(tx: Transaction) -> bytes:
    """EIP-155"""
    y_parity = _signature(tx).y_parity
    if y_parity not in (0, 1):
        raise TransactionRefused(Refusal.INVALID_SIGNATURE, "y_parity: neither 0 nor 1")
    if tx.chain_id is None:
        return _integer(UNPROTECTED_V + y_parity, "v")
    _encode_chain_id(tx)  # a negative one could pass for another v
    return _integer(PROTECTED_V + 2 * tx.chain_id + y_parity, "v")


def _number_field(name: str, attribute: str | None = None) -> Callable[[Transaction], RlpItem]:
    read = attrgetter(attribute or name)
    bits = _bits(name)
    return lambda tx: _integer(read(tx), name, bits)


def _signature_number(name: str) -> Callable[[Transaction], RlpItem]:
    read = attrgetter(name)
    return lambda tx: _integer(read(_signature(tx)), name, 256, Refusal.INVALID_SIGNATURE)


_ENCODERS: Mapping[str, Callable[[Transaction], RlpItem]] = {
    **{name: _number_field(name) for name in (*_FEES, "nonce", "gas_limit", "value", "max_fee_per_blob_gas")},
    **{name: _signature_number(name) for name in ("y_parity", "r", "s")},
    "chain_id": _encode_chain_id,
    "gas_price": _number_field("gas_price", "max_fee_per_gas"),
    "to": lambda tx: b"" if tx.to is None else _exactly(tx.to, _ADDRESS_BYTES, "to"),
    "data": lambda tx: tx.data,
    "access_list": _encode_access_list,
    "blob_hashes": _encode_blob_hashes,
    "authorizations": _encode_authorizations,
    "v": _encode_v,
}
"""How each field of `_FIELDS` is written."""
