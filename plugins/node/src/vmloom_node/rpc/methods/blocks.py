"""`eth_*` on blocks, the transactions in them, and their receipts."""

from __future__ import annotations

from typing import Any

from vmloom_evm.transaction.codec import encode_transaction

from ...chain.block import Block, TransactionEntry
from ...chain.errors import UnknownBlock, UnknownTransaction
from ...chain.requests import BlockRef
from ..arguments import BlockArgument, BlockNumber
from ..encoding import Json, block_json, entries_of, header_json, hexed, receipt_json, transaction_json
from ..parameters import Hash, ShortQuantity
from ..session import Session
from ..shortness import always, of_block, of_transaction
from ..table import method


@method("eth_blockNumber", is_short=always)
def block_number(session: Session) -> str:
    """Number of the last block."""
    return hex(session.chain.head.number)


def find_block(session: Session, reference: BlockRef) -> Block | None:
    """The block, None if there is none."""
    try:
        return session.chain.block(reference)
    except UnknownBlock:
        return None


@method("eth_getBlockByNumber", is_short=of_block)
def block_by_number(session: Session, block: BlockNumber, full: bool = False) -> Json | None:
    """A block with the hashes of its transactions, or with `full` the transactions; null if there is none."""
    found = find_block(session, block)
    return None if found is None else block_json(found, full=full)


@method("eth_getBlockByHash", is_short=of_block)
def block_by_hash(session: Session, hash: Hash, full: bool = False) -> Json | None:
    """A block with the hashes of its transactions, or with `full` the transactions; null if there is none."""
    found = find_block(session, hash)
    return None if found is None else block_json(found, full=full)


@method("eth_getHeaderByNumber")
def header_by_number(session: Session, block: BlockNumber) -> Json | None:
    """A block's header; null if there is none."""
    found = find_block(session, block)
    return None if found is None else header_json(found.header)


@method("eth_getHeaderByHash")
def header_by_hash(session: Session, hash: Hash) -> Json | None:
    """A block's header; null if there is none."""
    found = find_block(session, hash)
    return None if found is None else header_json(found.header)


@method("eth_getBlockTransactionCountByNumber")
def transaction_count_by_number(session: Session, block: BlockNumber) -> str | None:
    """How many transactions a block has; null if there is no such block."""
    found = find_block(session, block)
    return None if found is None else hex(len(found.transactions))


@method("eth_getBlockTransactionCountByHash")
def transaction_count_by_hash(session: Session, hash: Hash) -> str | None:
    """How many transactions a block has; null if there is no such block."""
    found = find_block(session, hash)
    return None if found is None else hex(len(found.transactions))


@method("eth_getUncleCountByBlockNumber")
def uncle_count_by_number(session: Session, block: BlockNumber) -> str | None:
    """How many ommers a block has; null if there is no such block."""
    found = find_block(session, block)
    return None if found is None else hex(len(found.ommers))


@method("eth_getUncleCountByBlockHash")
def uncle_count_by_hash(session: Session, hash: Hash) -> str | None:
    """How many ommers a block has; null if there is no such block."""
    found = find_block(session, hash)
    return None if found is None else hex(len(found.ommers))


@method("eth_getUncleByBlockNumberAndIndex")
def uncle_by_number(session: Session, block: BlockNumber, index: ShortQuantity) -> Json | None:
    """The header of an ommer; null if there is none."""
    return _uncle(find_block(session, block), index)


@method("eth_getUncleByBlockHashAndIndex")
def uncle_by_hash(session: Session, hash: Hash, index: ShortQuantity) -> Json | None:
    """The header of an ommer; null if there is none."""
    return _uncle(find_block(session, hash), index)


def _uncle(block: Block | None, index: int) -> Json | None:
    if block is None or index >= len(block.ommers):
        return None
    return {**header_json(block.ommers[index]), "uncles": []}


@method("eth_getBlockReceipts")
def block_receipts(session: Session, block: BlockArgument) -> list[Json] | None:
    """The receipts of all transactions of a block; null if there is no such block."""
    try:
        return [receipt_json(receipt) for receipt in session.chain.receipts(block)]
    except UnknownBlock:
        return None


# Transactions


def find_transaction(session: Session, hash: bytes) -> TransactionEntry | None:
    """The transaction, in a block or in the mempool; None if it is in neither."""
    try:
        return session.chain.transaction(hash)
    except UnknownTransaction:
        return None


@method("eth_getTransactionByHash", is_short=of_transaction)
def transaction_by_hash(session: Session, hash: Hash) -> Json | None:
    """A transaction in a block or in the mempool; null if there is none."""
    found = find_transaction(session, hash)
    return None if found is None else transaction_json(found)


@method("eth_getRawTransactionByHash", "debug_getRawTransaction")
def raw_transaction_by_hash(session: Session, hash: Hash) -> str | None:
    """A transaction as it travels in blocks; null if there is none."""
    found = find_transaction(session, hash)
    return None if found is None else hexed(encode_transaction(found.tx))


@method("eth_getTransactionByBlockNumberAndIndex")
def transaction_by_number(session: Session, block: BlockNumber, index: ShortQuantity) -> Json | None:
    """A transaction of a block; null if there is none."""
    return _transaction(find_block(session, block), index)


@method("eth_getTransactionByBlockHashAndIndex")
def transaction_by_block_hash(session: Session, hash: Hash, index: ShortQuantity) -> Json | None:
    """A transaction of a block; null if there is none."""
    return _transaction(find_block(session, hash), index)


def _transaction(block: Block | None, index: int) -> Json | None:
    if block is None or index >= len(block.transactions):
        return None
    return transaction_json(block.entry(index), is_pending=block.is_pending)


@method("eth_getRawTransactionByBlockNumberAndIndex")
def raw_transaction_by_block_number(session: Session, block: BlockNumber, index: ShortQuantity) -> str | None:
    """A transaction of a block as it travels; null if there is none."""
    return _raw_transaction(session, find_block(session, block), index)


@method("eth_getRawTransactionByBlockHashAndIndex")
def raw_transaction_by_block_hash(session: Session, hash: Hash, index: ShortQuantity) -> str | None:
    """A transaction of a block as it travels; null if there is none."""
    return _raw_transaction(session, find_block(session, hash), index)


def _raw_transaction(session: Session, block: Block | None, index: int) -> str | None:
    if block is None or block.is_pending or index >= len(block.transactions):
        return None
    return hexed(session.chain.stored_block(block.number).encoded[index])


@method("eth_getTransactionReceipt", is_short=of_transaction)
def transaction_receipt(session: Session, hash: Hash) -> Json | None:
    """What came of a transaction; null as long as it is in no block. `vm` names the machine that ran it."""
    try:
        return receipt_json(session.chain.receipt(hash))
    except UnknownTransaction:
        return None


@method("eth_pendingTransactions")
def pending_transactions(session: Session) -> list[Any]:
    """What waits in the mempool and would be in the next block."""
    return [transaction_json(entry, is_pending=True) for entry in entries_of(session.chain.block("pending"))]
