"""Blocks, receipts and logs: as bytes, and as they are handed out, with their place in the chain.

Bytes from outside are untrusted: whatever is wrong with them becomes an `InvalidBlock` or `InvalidHeader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from vmloom.result import Event
from vmloom_evm import rlp
from vmloom_evm.block import InvalidBlock, Withdrawal
from vmloom_evm.rlp import RlpError, RlpItem
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.codec import decode_transaction
from vmloom_evm.transaction.types import Transaction, TransactionRefused, TransactionType

from .header import Header, decode_header

_LIST_PREFIX = 0xC0


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the chain. `senders` and `hashes` are those of `transactions`, in their order; `size` is in bytes.

    `withdrawals` is None before Shanghai. A sender is not always who signed: the node may impersonate accounts.
    """

    header: Header
    transactions: tuple[Transaction, ...]
    senders: tuple[bytes, ...]
    hashes: tuple[bytes, ...]
    ommers: tuple[Header, ...] = ()
    withdrawals: tuple[Withdrawal, ...] | None = None
    total_difficulty: int = 0
    size: int = 0
    is_pending: bool = False
    """Whether it is only what would be mined now: it is no part of the chain."""

    @property
    def hash(self) -> bytes:
        """32 bytes"""
        return self.header.hash

    @property
    def number(self) -> int:
        """Blocks before it."""
        return self.header.number

    def entry(self, index: int) -> TransactionEntry:
        """The transaction at `index`, with its place. Raises `IndexError`."""
        return TransactionEntry(
            self.transactions[index],
            self.hashes[index],
            self.senders[index],
            block_hash=self.hash,
            block_number=self.number,
            block_timestamp=self.header.timestamp,
            base_fee=self.header.base_fee,
            index=index,
        )


@dataclass(frozen=True, slots=True)
class TransactionEntry:
    """A transaction and where it is: in a block, or with None for all that belongs to one in the mempool."""

    tx: Transaction
    hash: bytes
    sender: bytes
    block_hash: bytes | None = None
    block_number: int | None = None
    block_timestamp: int | None = None
    base_fee: int | None = None
    """wei per gas, of its block"""
    index: int | None = None

    @property
    def gas_price(self) -> int:
        """wei per gas that it pays in its block, or at most. EIP-1559"""
        if self.base_fee is None:
            return self.tx.max_fee_per_gas
        return min(self.tx.max_fee_per_gas, self.base_fee + self.tx.max_priority_fee_per_gas)


@dataclass(frozen=True, slots=True)
class Log:
    """An event and where it is. `index` counts the logs of its block."""

    event: Event
    block_hash: bytes
    block_number: int
    block_timestamp: int
    transaction_hash: bytes
    transaction_index: int
    index: int


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """What came of a transaction, and where it is. Gas is in gas, prices are wei per gas.

    `to` is None for a creation, and `contract` its 20-byte address; `vm` names the VM that ran the outermost call, or
    that runs the code which was created. `state_root` is empty since Byzantium.
    """

    type: TransactionType
    success: bool
    state_root: bytes
    cumulative_gas_used: int
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...]
    bloom: bytes
    transaction_hash: bytes
    index: int
    block_hash: bytes
    block_number: int
    block_timestamp: int
    sender: bytes
    to: bytes | None
    contract: bytes | None
    blob_gas_used: int
    blob_gas_price: int
    vm: str


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """A block as it came, `raw`: decoded, not checked. `encoded` are its transactions as they travel in blocks."""

    header: Header
    transactions: tuple[Transaction, ...]
    encoded: tuple[bytes, ...]
    ommers: tuple[Header, ...]
    withdrawals: tuple[Withdrawal, ...] | None
    raw: bytes


def encode_block(
    header: Header,
    encoded: Sequence[bytes],
    ommers: Sequence[Header] = (),
    withdrawals: Sequence[Withdrawal] | None = None,
) -> bytes:
    """RLP of a block; `encoded` are its transactions as `encode_transaction` makes them."""
    # A legacy transaction is a list within the list, the others are strings: see EIP-2718.
    transactions = rlp.list_of([one if one[0] >= _LIST_PREFIX else rlp.encode(one) for one in encoded])
    parts = [header.encoded, transactions, rlp.list_of([one.encoded for one in ommers]) if ommers else rlp.EMPTY_LIST]
    if withdrawals is not None:
        parts.append(rlp.list_of([one.encode() for one in withdrawals]) if withdrawals else rlp.EMPTY_LIST)
    return rlp.list_of(parts)


def decode_block(data: bytes, rules: Rules | None = None) -> EncodedBlock:
    """The block that `data` encodes; with `rules`, transactions of a type that the fork lacks are refused.

    Raises `InvalidBlock`, and `InvalidHeader` for one of its headers.
    """
    try:
        item = rlp.decode(data)
    except RlpError as error:
        raise InvalidBlock(f"block: {error}") from None
    if not isinstance(item, list) or len(item) not in (3, 4):
        raise InvalidBlock("block: no list of header, transactions, ommers and withdrawals")
    header = decode_header(item[0])
    encoded = tuple(_encoded(one, index) for index, one in enumerate(_list(item[1], "transactions")))
    return EncodedBlock(
        header,
        tuple(_transaction(one, index, rules) for index, one in enumerate(encoded)),
        encoded,
        tuple(decode_header(one) for one in _list(item[2], "ommers")),
        tuple(decode_withdrawal(one) for one in _list(item[3], "withdrawals")) if len(item) == 4 else None,
        data,
    )


def _encoded(item: RlpItem, index: int) -> bytes:
    if isinstance(item, list):
        return rlp.encode(item)
    if not item or item[0] >= _LIST_PREFIX:  # a legacy transaction wrapped in a string is another encoding of it
        raise InvalidBlock(f"transactions[{index}]: neither a list nor a typed transaction")
    return item


def _transaction(encoded: bytes, index: int, rules: Rules | None) -> Transaction:
    try:
        return decode_transaction(encoded, rules)
    except TransactionRefused as cause:
        raise InvalidBlock(f"transactions[{index}]: {cause}") from cause


def decode_withdrawal(item: RlpItem) -> Withdrawal:
    """The withdrawal that these RLP items are. Raises `InvalidBlock`. EIP-4895"""
    if not isinstance(item, list) or len(item) != 4 or not all(isinstance(part, bytes) for part in item):
        raise InvalidBlock("withdrawals: no list of index, validator, address and amount")
    index, validator, address, amount = cast("list[bytes]", item)
    if len(address) != 20:
        raise InvalidBlock(f"withdrawals: an address of {len(address)} bytes")
    for number in (index, validator, amount):
        if number[:1] == b"\0" or len(number) > 8:
            raise InvalidBlock("withdrawals: a number with leading zeros or of more than 64 bits")
    numbers = [int.from_bytes(number, "big") for number in (index, validator, amount)]
    return Withdrawal(numbers[0], numbers[1], address, numbers[2])


def _list(item: RlpItem, what: str) -> list[RlpItem]:
    if not isinstance(item, list):
        raise InvalidBlock(f"{what}: bytes in place of a list")
    return item
