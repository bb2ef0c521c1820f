"""Objects of the chain as JSON, in the shapes of geth: numbers as hex quantities, bytes as hex data.

A quantity has no leading zeros; a hash, an address or a topic has all its digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from vmloom_evm.block import Withdrawal
from vmloom_evm.transaction.codec import PROTECTED_V, UNPROTECTED_V, encode_transaction
from vmloom_evm.transaction.types import AccessListEntry, Authorization, Transaction, TransactionType

from ..chain.block import Block, Log, TransactionEntry, TransactionReceipt
from ..chain.header import Header

Json: TypeAlias = dict[str, Any]


def hexed(data: bytes) -> str:
    """Bytes as data."""
    return "0x" + data.hex()


def maybe_hexed(data: bytes | None) -> str | None:
    """Bytes as data, None as null."""
    return None if data is None else "0x" + data.hex()


def word(number: int) -> str:
    """A number as 32 bytes of data."""
    return f"0x{number:064x}"


def maybe_quantity(number: int | None) -> str | None:
    """A number as a quantity, None as null."""
    return None if number is None else hex(number)


# Blocks


def header_json(header: Header) -> Json:
    """A header, as newHeads sends it and as the first fields of a block. What its fork does not have is left out."""
    fields: Json = {
        "number": hex(header.number),
        "hash": hexed(header.hash),
        "parentHash": hexed(header.parent_hash),
        "nonce": hexed(header.nonce),
        "mixHash": hexed(header.mix_hash),
        "sha3Uncles": hexed(header.ommers_hash),
        "logsBloom": hexed(header.logs_bloom),
        "stateRoot": hexed(header.state_root),
        "miner": hexed(header.coinbase),
        "difficulty": hex(header.difficulty),
        "extraData": hexed(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "transactionsRoot": hexed(header.transactions_root),
        "receiptsRoot": hexed(header.receipts_root),
    }
    later = {
        "baseFeePerGas": maybe_quantity(header.base_fee),
        "withdrawalsRoot": maybe_hexed(header.withdrawals_root),
        "blobGasUsed": maybe_quantity(header.blob_gas_used),
        "excessBlobGas": maybe_quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": maybe_hexed(header.parent_beacon_root),
        "requestsHash": maybe_hexed(header.requests_hash),
    }
    fields.update({name: value for name, value in later.items() if value is not None})
    return fields


def block_json(block: Block, *, full: bool) -> Json:
    """A block with the hashes of its transactions, or with `full` the transactions.

    A pending block has null for its hash, nonce and miner, as it has none yet.
    """
    fields = header_json(block.header)
    if block.is_pending:
        fields.update(dict.fromkeys(("hash", "nonce", "miner")))
    fields["size"] = hex(block.size)
    fields["totalDifficulty"] = hex(block.total_difficulty)
    fields["transactions"] = (
        [transaction_json(entry, is_pending=block.is_pending) for entry in entries_of(block)]
        if full
        else [hexed(one) for one in block.hashes]
    )
    fields["uncles"] = [hexed(ommer.hash) for ommer in block.ommers]
    if block.withdrawals is not None:
        fields["withdrawals"] = [_withdrawal_json(one) for one in block.withdrawals]
    return fields


def entries_of(block: Block) -> Iterable[TransactionEntry]:
    """The transactions of a block, with their places."""
    return (block.entry(index) for index in range(len(block.transactions)))


def _withdrawal_json(withdrawal: Withdrawal) -> Json:
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator),
        "address": hexed(withdrawal.address),
        "amount": hex(withdrawal.amount),
    }


# Transactions


def transaction_json(entry: TransactionEntry, *, is_pending: bool = False) -> Json:
    """A transaction with its place; one that `is_pending` has null for that."""
    tx = entry.tx
    place = None if is_pending or entry.block_hash is None else entry
    fields: Json = {
        "blockHash": place and maybe_hexed(place.block_hash),
        "blockNumber": place and maybe_quantity(place.block_number),
        "blockTimestamp": place and maybe_quantity(place.block_timestamp),
        "from": hexed(entry.sender),
        "gas": hex(tx.gas_limit),
        "gasPrice": hex(entry.gas_price),
        "hash": hexed(entry.hash),
        "input": hexed(tx.data),
        "nonce": hex(tx.nonce),
        "to": maybe_hexed(tx.to),
        "transactionIndex": place and maybe_quantity(place.index),
        "value": hex(tx.value),
        "type": hex(tx.type),
    }
    fields.update(_typed_fields(tx))
    fields.update(_signature_fields(tx))
    return fields


def _typed_fields(tx: Transaction) -> Json:
    """What only some types have."""
    fields: Json = {}
    if tx.chain_id is not None:
        fields["chainId"] = hex(tx.chain_id)
    if tx.type >= TransactionType.ACCESS_LIST:
        fields["accessList"] = access_list_json(tx.access_list)
    if tx.type >= TransactionType.FEE_MARKET:
        fields["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    if tx.type == TransactionType.BLOB:
        fields["maxFeePerBlobGas"] = hex(tx.max_fee_per_blob_gas)
        fields["blobVersionedHashes"] = [hexed(one) for one in tx.blob_hashes]
    if tx.type == TransactionType.SET_CODE:
        fields["authorizationList"] = [_authorization_json(one) for one in tx.authorizations]
    return fields


def _signature_fields(tx: Transaction) -> Json:
    signature = tx.signature
    if signature is None:
        return {"v": "0x0", "r": "0x0", "s": "0x0"}
    parity = signature.y_parity
    if tx.type != TransactionType.LEGACY:
        return {"v": hex(parity), "r": hex(signature.r), "s": hex(signature.s), "yParity": hex(parity)}
    v = parity + (UNPROTECTED_V if tx.chain_id is None else PROTECTED_V + 2 * tx.chain_id)
    return {"v": hex(v), "r": hex(signature.r), "s": hex(signature.s)}


def access_list_json(entries: Sequence[AccessListEntry]) -> list[Json]:
    """An access list. EIP-2930"""
    return [{"address": hexed(one.address), "storageKeys": [word(slot) for slot in one.slots]} for one in entries]


def _authorization_json(one: Authorization) -> Json:
    return {
        "chainId": hex(one.chain_id),
        "address": hexed(one.address),
        "nonce": hex(one.nonce),
        "yParity": hex(one.signature.y_parity),
        "r": hex(one.signature.r),
        "s": hex(one.signature.s),
    }


def signed_json(tx: Transaction, sender: bytes, hash: bytes) -> Json:
    """A signed transaction that is nowhere yet, with its bytes: the answer of eth_signTransaction."""
    return {"raw": hexed(encode_transaction(tx)), "tx": transaction_json(TransactionEntry(tx, hash, sender))}


# Receipts


def receipt_json(receipt: TransactionReceipt) -> Json:
    """A receipt. `vm` is vmloom's own field: the machine that ran the outermost call."""
    fields: Json = {
        "blockHash": hexed(receipt.block_hash),
        "blockNumber": hex(receipt.block_number),
        "blockTimestamp": hex(receipt.block_timestamp),
        "transactionHash": hexed(receipt.transaction_hash),
        "transactionIndex": hex(receipt.index),
        "from": hexed(receipt.sender),
        "to": maybe_hexed(receipt.to),
        "gasUsed": hex(receipt.gas_used),
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "contractAddress": maybe_hexed(receipt.contract),
        "logs": [log_json(log) for log in receipt.logs],
        "logsBloom": hexed(receipt.bloom),
        "type": hex(receipt.type),
        "effectiveGasPrice": hex(receipt.gas_price),
        "vm": receipt.vm,
    }
    if receipt.state_root:
        fields["root"] = hexed(receipt.state_root)
    else:
        fields["status"] = hex(receipt.success)
    if receipt.blob_gas_used:
        fields["blobGasUsed"] = hex(receipt.blob_gas_used)
        fields["blobGasPrice"] = hex(receipt.blob_gas_price)
    return fields


def log_json(log: Log, *, removed: bool = False) -> Json:
    """A log; `removed` if its block is no longer part of the chain."""
    event = log.event
    return {
        "address": hexed(event.address),
        "topics": [word(topic) for topic in event.topics],
        "data": hexed(event.data),
        "blockNumber": hex(log.block_number),
        "transactionHash": hexed(log.transaction_hash),
        "transactionIndex": hex(log.transaction_index),
        "blockHash": hexed(log.block_hash),
        "blockTimestamp": hex(log.block_timestamp),
        "logIndex": hex(log.index),
        "removed": removed,
    }
