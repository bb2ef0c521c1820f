"""Transactions as they travel, each read with one call of native code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Final

from vmloom.hashing import keccak256
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of

from ..rlp import RlpError, RlpItem, decode
from ..rules import Rules
from ..transaction.codec import decode_items, decode_transaction
from ..transaction.types import Signature, Transaction, TransactionType
from . import envelope
from .bodies import SOURCES as COMMITMENTS
from .exports import exported
from .memory import address_of_bytes
from .packing import struct_of

_GIVEN: Final = Struct("@3Q")
_FIELDS: Final = Struct("@2Q16Q16Q32s32s")
_FIELDS_OFFSET: Final = fields_of(envelope.Envelope)["count"].offset
_PLAIN: Final = struct_of(envelope.Envelope, "hash", "s_end")
_PLAIN_OFFSET: Final = fields_of(envelope.Envelope)["hash"].offset
assert _FIELDS_OFFSET + _FIELDS.size - 64 == _PLAIN_OFFSET
_SIZE: Final = size_of(envelope.Envelope)
_MOST: Final = envelope.MOST_FIELDS


def read_transaction(data: bytes, rules: Rules | None = None) -> tuple[Transaction, bytes, bytes | None]:
    """As `codec.decode_transaction`; the transaction's hash, and the hash that was signed, if it is typed."""
    if type(data) is not bytes:  # whose address would not be where its bytes are
        data = bytes(data)
    scratch, found = bytearray(len(data) + 16), bytearray(_SIZE)
    _GIVEN.pack_into(found, 0, address_of_bytes(data), len(data), ctypes.addressof(_CHAR.from_buffer(scratch)))
    taken = _take_apart()(ctypes.addressof(_CHAR.from_buffer(found)))
    if taken == envelope.PLAIN and (rules is None or rules.typed_transactions >= envelope.FEE_MARKET):
        return _plain(data, found)
    apart = _items(data, found) if taken != envelope.NOT_HERE else None
    if apart is None:
        return decode_transaction(data, rules), keccak256(data), None
    items, digest, signed = apart
    return decode_items(data, items, rules), digest, signed


def _plain(data: bytes, found: bytearray) -> tuple[Transaction, bytes, bytes | None]:
    """The transaction whose fields native code has written to `found`."""
    (digest, signed, chain_id, nonce, tip, max_fee, gas_limit, y_parity, *places) = _PLAIN.unpack_from(
        found, _PLAIN_OFFSET
    )
    to, to_end, value, value_end, begin, end, r, r_end, s, s_end = places
    number = int.from_bytes
    tx = Transaction(
        TransactionType.FEE_MARKET,
        chain_id,
        nonce,
        max_fee,
        tip,
        gas_limit,
        data[to:to_end] or None,
        number(data[value:value_end], "big"),
        data[begin:end],
        signature=Signature(y_parity, number(data[r:r_end], "big"), number(data[s:s_end], "big")),
    )
    return tx, digest, signed


def _items(data: bytes, found: bytearray) -> tuple[list[RlpItem], bytes, bytes | None] | None:
    """Items and hashes; None for what only `codec` can read, or refuse."""
    count, lists, *places, digest, signed = _FIELDS.unpack_from(found, _FIELDS_OFFSET)
    begins, ends = places[:count], places[_MOST : _MOST + count]
    items: list[RlpItem] = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
    for number in range(lists.bit_length()):
        if lists >> number & 1:
            try:
                items[number] = decode(data[begins[number] : ends[number]])
            except RlpError:
                return None
    return items, digest, signed if data[0] <= envelope.LAST_TYPE else None


@cache
def _take_apart() -> Callable[[int], int]:
    return exported(envelope.take_apart, _SOURCES, subject="transactions as they travel")


_SOURCES: Final = ("vmloom_evm.native.envelope", *COMMITMENTS)
_CHAR: Final = ctypes.c_char
