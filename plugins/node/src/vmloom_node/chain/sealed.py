"""A block and its records as bytes, written in one call of native code: see `sealing`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from struct import error
from typing import Final, NamedTuple

from vmloom.kernel.memory import size_of
from vmloom_evm.block import SignedTransaction
from vmloom_evm.native.bodies import SOURCES
from vmloom_evm.native.exports import exported
from vmloom_evm.native.memory import address_of_bytes
from vmloom_evm.native.packing import struct_of

from . import sealing
from .header import NAMES, Header
from .records import encoded_vms

_INCLUDED: Final = struct_of(sealing.Included, "encoded", "hash")
_GIVEN: Final = struct_of(sealing.Sealing, "parent_hash", "room")
_FOUND: Final = struct_of(sealing.Sealing, "header_begin", "hash")
_SIZE: Final = size_of(sealing.Sealing)
_FIRST_ROOM: Final = 1 << 13
"""Bytes that are enough for most blocks of one transaction."""
_NO_HASH: Final = bytes(32)
_CHAR: Final = ctypes.c_char
_FIRST: Final = attrgetter(
    *("parent_hash", "ommers_hash", "coinbase", "state_root", "transactions_root", "receipts_root", "logs_bloom"),
    *("mix_hash", "nonce"),
)
_NUMBERS: Final = attrgetter("difficulty", "number", "gas_limit", "gas_used", "timestamp")
_ADDED: Final = attrgetter(*NAMES[sealing.FIRST_FIELDS :])
assert _INCLUDED.size == size_of(sealing.Included)
assert _GIVEN.size + _FOUND.size == _SIZE


class Written(NamedTuple):
    """The header, its hash, the block with its transactions, and the records of the block and of its receipts."""

    header: bytes
    hash: bytes
    block: bytes
    record: bytes
    receipts: bytes


def written(
    header: Header,
    signed: Sequence[SignedTransaction],
    receipts: Sequence[bytes],
    vms: tuple[str, ...],
    total_difficulty: int,
    *,
    has_withdrawals: bool,
) -> Written | None:
    """A block without ommers, whose list of withdrawals, if it has one, is empty.

    None for what only Python writes: a header with numbers beyond 64 bits or much extra data, or one that no fork has.
    """
    added = _ADDED(header)
    absent = added.count(None)
    extra = header.extra_data
    if added[len(added) - absent :].count(None) != absent or len(extra) > sealing.MOST_EXTRA:
        return None
    if {type(extra), *[type(one.encoded) for one in signed]} != {bytes}:  # addresses are those of plain bytes only
        return None
    base_fee, withdrawals_root, blob_gas, excess_blob_gas, beacon_root, requests_hash = added
    ran = encoded_vms(vms)
    rows = bytearray(
        b"".join(
            [
                _INCLUDED.pack(address_of_bytes(raw), len(raw), address_of_bytes(receipt), len(receipt), sender, digest)
                for (_, sender, raw, digest), receipt in zip(signed, receipts, strict=True)
            ]
        )
    )
    found = bytearray(_SIZE)
    needed = _FIRST_ROOM
    while needed:
        output = bytearray(needed)
        try:
            _GIVEN.pack_into(
                found,
                0,
                *_FIRST(header),
                withdrawals_root or _NO_HASH,
                beacon_root or _NO_HASH,
                requests_hash or _NO_HASH,
                *_NUMBERS(header),
                address_of_bytes(extra),
                len(extra),
                base_fee or 0,
                blob_gas or 0,
                excess_blob_gas or 0,
                sealing.FIRST_FIELDS + len(added) - absent,
                has_withdrawals,
                total_difficulty,
                address_of_bytes(ran),
                len(ran),
                _address(rows) if rows else 0,
                len(signed),
                _address(output),
                needed,
            )
        except error:
            return None
        needed = _seal()(_address(found))
    begin, end, block, record, last, digest = _FOUND.unpack_from(found, _GIVEN.size)
    data = bytes(output)
    return Written(data[begin:end], digest, data[end:block], data[block:record], data[record:last])


def _address(data: bytearray) -> int:
    return ctypes.addressof(_CHAR.from_buffer(data))


@cache
def _seal() -> Callable[[int], int]:
    return exported(sealing.seal, (sealing.__name__, *SOURCES), subject="blocks and their records")
