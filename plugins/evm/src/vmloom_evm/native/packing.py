"""Calls and transactions as native code reads them, and what it lays down: structs of `layout` as Python packs them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct, error
from typing import Any, Final, TypeVar

from vmloom import BlockContext, ExecutionContext
from vmloom.engine.columns import CallColumns
from vmloom.kernel import U64_MAX, u160, u256
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of

from ..system import SYSTEM_ADDRESS, SystemCall, system_messages
from ..transaction.outcome import ALL_CHECKS, Checks
from ..transaction.signing import recover_authority
from ..transaction.types import Transaction
from . import layout
from .layout import ADDRESS_BYTES
from .memory import address_of_bytes, little

T = TypeVar("T")
FORMATS: Final[dict[Any, str]] = {bool: "?", int: "q", u160: "24s", u256: "32s"}
"""By kinds of fields; i64 is Python's own type, and all others are 64 bits without a sign."""


def struct_of(kind: Any, first: str, last: str) -> Struct:
    """Format of the fields `first` to `last` of a struct of the kernel language."""
    names = list(kind.fields)
    fields = [kind.fields[name] for name in names[names.index(first) : names.index(last) + 1]]
    text, end = "@", fields[0].offset  # numbers at once, not byte by byte, which native code would have to wait for
    for field in fields:
        text += "x" * (field.offset - end)
        text += f"{field.count}s" if field.count else FORMATS.get(field.kind, "Q")
        end = field.offset + size_of(field.kind) * max(1, field.count)
    return Struct(text)


CALLS: Final = struct_of(layout.Calls, "count", "outcomes")
CALL: Final = struct_of(layout.Transaction, "given_sender", "is_static")
INPUT: Final = struct_of(layout.Transaction, "given_sender", "blob_gas_available")
OUTCOME: Final = struct_of(layout.Outcome, "refusal", "sender_balance")
TRANSACTION_SIZE: Final = size_of(layout.Transaction)
_MODE_OFFSET: Final = fields_of(layout.Transaction)["mode"].offset
_CALL_BEFORE: Final = Struct(f"@{_MODE_OFFSET}xQ").pack(layout.EXECUTION).ljust(TRANSACTION_SIZE, b"\0")
"""`layout.Transaction` of a call that is not written yet."""
_ROW: Final = TRANSACTION_SIZE // 8
"""Words of 64 bits from a field of a transaction to that of the next one."""
BLOCK: Final = struct_of(layout.Block, "number", "coinbase")
ACCESS: Final = Struct("@24sQQ")
AUTHORIZATION: Final = Struct("@32s32sQ24s")
assert CALLS.size == size_of(layout.Calls)
assert OUTCOME.size == size_of(layout.Outcome)
assert ACCESS.size == size_of(layout.AccessEntry)
assert AUTHORIZATION.size == size_of(layout.Authorization)
assert BLOCK.size == size_of(layout.Block)

NO_WORD: Final = bytes(32)
NO_ADDRESS: Final = bytes(20)
DATA: Final = struct_of(layout.Transaction, "data", "data_size")
_DATA_OFFSET: Final = fields_of(layout.Transaction)["data"].offset


def pack_block(block: BlockContext, proof_of_stake: bool) -> bytes:
    """`layout.Block`."""
    return BLOCK.pack(
        little(block.number),
        little(block.timestamp),
        little(block.prev_randao if proof_of_stake else block.difficulty),
        little(block.gas_limit),
        little(block.chain_id),
        little(block.base_fee),
        little(block.blob_base_fee),
        block.coinbase[::-1],
    )


class DoesNotFit(Exception):
    """A field or a limit is beyond what native code can hold; the reference engine refuses it, or takes it."""


@lru_cache(maxsize=16)
def _system_call_of(address: bytes) -> bytes:
    """`layout.Transaction` of a system call, up to the gas that the block has left, without data."""
    row = bytearray(INPUT.size)
    (message,) = system_messages([SystemCall(address, b"")])
    pack_transaction(row, 0, message, SYSTEM_ADDRESS, layout.SYSTEM_CALL, ALL_CHECKS)
    return bytes(row)


def pack_transaction(
    batch: bytearray, at: int, tx: Transaction, sender: bytes, mode: int, checks: Checks
) -> Sequence[bytes]:
    """Write `layout.Transaction` to offset `at` of `batch`. Returns what must live as long as it is used.

    The gas that the block has left is not written. Raises `DoesNotFit`.
    """
    kept: list[bytes] = []
    try:
        lists = _pack_lists(tx, kept) if tx.access_list or tx.authorizations else NO_LISTS
        hashes = _pack_hashes(tx.blob_hashes, kept) if tx.blob_hashes else 0
        data = tx.data
        if type(data) is not bytes:  # whose address would not be where its bytes are
            kept.append(data := bytes(data))
        to, max_fee, priority_fee = tx.to, tx.max_fee_per_gas, tx.max_priority_fee_per_gas
        if tx.gas_limit >> 63:
            raise DoesNotFit
        INPUT.pack_into(
            batch,
            at,
            sender,
            NO_ADDRESS if to is None else to,
            NO_ADDRESS,
            little(tx.value) if tx.value else NO_WORD,
            little(max_fee) if max_fee else NO_WORD,
            tx.gas_limit,
            address_of_bytes(data),
            len(data),
            hashes,
            len(tx.blob_hashes),
            0,
            False,
            mode,
            tx.type,
            to is None,
            checks.nonce,
            checks.balance,
            checks.base_fee,
            min(tx.nonce, U64_MAX),
            little(priority_fee) if priority_fee else NO_WORD,
            little(tx.max_fee_per_blob_gas) if tx.max_fee_per_blob_gas else NO_WORD,
            *lists,
            0,
            0,
        )
    except (OverflowError, error):
        raise DoesNotFit from None
    return kept


def pack_system_calls(batch: bytearray, at: int, calls: Sequence[SystemCall]) -> int:
    """Write `layout.Transaction` of each call from offset `at` of `batch` on, and return where they end.

    Their data must live as long as they are used. The gas that the block has left is not written. Raises `DoesNotFit`.
    """
    for address, data in calls:
        if type(data) is not bytes or len(address) != len(NO_ADDRESS):
            raise DoesNotFit
        batch[at : at + INPUT.size] = _system_call_of(address)
        DATA.pack_into(batch, at + _DATA_OFFSET, address_of_bytes(data), len(data))
        at += TRANSACTION_SIZE
    return at


def calls_to_pack(count: int) -> bytearray:
    """Room for so many calls, with what all of them have in common."""
    return bytearray(_CALL_BEFORE * count)


def pack_call(batch: bytearray, at: int, context: ExecutionContext, code: int) -> Sequence[bytes]:
    """Write the call `context` of the code in row `code` to offset `at` of `batch`, as `pack_transaction` does.

    `batch` is from `calls_to_pack`. Raises `DoesNotFit`.
    """
    kept: Sequence[bytes] = ()
    data, price, gas_limit, blobs = context.input, context.gas_price, context.gas_limit, context.blob_hashes
    hashes = 0
    try:
        if type(data) is not bytes or blobs:
            data = bytes(data)
            kept = held = [data]
            hashes = _pack_hashes(blobs, held) if blobs else 0
        if gas_limit >> 63:
            raise DoesNotFit
        CALL.pack_into(
            batch,
            at,
            context.caller,
            context.address,
            context.origin,
            NO_WORD,
            little(price) if price else NO_WORD,
            gas_limit,
            address_of_bytes(data),
            len(data),
            hashes,
            len(blobs),
            code,
            context.is_static,
        )
    except (OverflowError, error):
        raise DoesNotFit from None
    return kept


class GivenCalls:
    """`layout.Calls`, at `address`, with what has come of them once they ran, and all that must live as long."""

    __slots__ = ("_kept", "address", "gas_used", "outcomes", "statuses")

    def __init__(self, calls: CallColumns, code_row: Callable[[bytes], int]) -> None:
        """Pack `calls`, whose codes are in these rows. Raises `DoesNotFit`."""
        count = len(calls)
        callers, inputs = b"".join(calls.callers), b"".join(calls.inputs)
        addresses = b"".join(_different(calls.addresses))
        try:
            codes = array("Q", map(code_row, _different(calls.codes)))
            limits = array("Q", _different(calls.gas_limits))
            price = little(calls.gas_price)
        except OverflowError:
            raise DoesNotFit from None
        sizes = array("Q", _different(list(map(len, calls.inputs))))
        size = sizes[0] * count if len(sizes) == 1 else sum(sizes)
        one_or_all = {1, count}
        if (
            max(limits) >> 63
            or (len(callers), len(inputs)) != (ADDRESS_BYTES * count, size)
            or len(addresses) not in (ADDRESS_BYTES, ADDRESS_BYTES * count)
            or not one_or_all.issuperset((len(codes), len(limits), len(sizes)))
        ):
            raise DoesNotFit
        self.statuses = array("B", bytes(count))
        self.gas_used, self.outcomes = array("Q", bytes(8 * count)), array("Q", bytes(8 * count))
        row = array(
            "B",
            CALLS.pack(
                count,
                0,
                address_of_bytes(callers),
                address_of_bytes(addresses),
                ADDRESS_BYTES if len(addresses) > ADDRESS_BYTES else 0,
                *_place_and_step(codes),
                *_place_and_step(limits),
                price,
                address_of_bytes(inputs),
                *_place_and_step(sizes),
                self.statuses.buffer_info()[0],
                self.gas_used.buffer_info()[0],
                self.outcomes.buffer_info()[0],
            ),
        )
        self.address = row.buffer_info()[0]
        self._kept = callers, inputs, addresses, codes, limits, sizes, row


def _different(column: Sequence[T]) -> Sequence[T]:
    """The items of a column; only the first one where it is that of all."""
    return column[:1] if column.count(column[0]) == len(column) else column


def _place_and_step(column: array[int]) -> tuple[int, int]:
    """Where a column is, and from an item to that of the next call: 0 if there is one for all."""
    return column.buffer_info()[0], int(len(column) > 1)


def column_of(batch: bytearray, name: str, kind: str = "Q") -> list[int]:
    """The field `name`, a number of `kind`, of every row of `batch`."""
    return memoryview(batch).cast(kind)[fields_of(layout.Transaction)[name].offset // 8 :: _ROW].tolist()  # type: ignore[call-overload,no-any-return]


NO_LISTS: Final = (0, 0, 0, 0, 0)


def _pack_lists(tx: Transaction, kept: list[bytes]) -> tuple[int, int, int, int, int]:
    """Addresses and sizes of access list and authorizations."""
    slots = b"".join(little(slot) for entry in tx.access_list for slot in entry.slots)
    at = address_of_bytes(slots)
    entries = []
    for entry in tx.access_list:
        entries.append(ACCESS.pack(entry.address[::-1], at, len(entry.slots)))
        at += 32 * len(entry.slots)
    access = b"".join(entries)
    authorizations = b"".join(
        AUTHORIZATION.pack(
            little(0 if signer is None else (1 << 160) + int.from_bytes(signer, "big")),
            little(one.chain_id),
            min(one.nonce, U64_MAX),
            one.address[::-1],
        )
        for one in tx.authorizations
        for signer in (recover_authority(one),)
    )
    kept += (slots, access, authorizations)
    return (
        address_of_bytes(access),
        len(tx.access_list),
        len(slots) // 32,
        address_of_bytes(authorizations),
        len(tx.authorizations),
    )


def _pack_hashes(hashes: Sequence[bytes], kept: list[bytes]) -> int:
    """Address of the hashes as words. Raises `DoesNotFit`."""
    if any(len(one) != 32 for one in hashes):
        raise DoesNotFit
    kept.append(words := pack_words(hashes))
    return address_of_bytes(words)


def pack_words(hashes: Sequence[bytes]) -> bytes:
    """Words of 32 bytes, big-endian as they are given, for native code."""
    return b"".join(one[::-1] for one in hashes)
