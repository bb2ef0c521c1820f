"""Blocks, transactions and receipts as eth-tester's backends hand them out: dictionaries with Python's names.

Called by `eth_tester` alone. What is pending has None for its block and place, as eth-tester wants it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmloom_evm.transaction.types import AccessListEntry, Authorization, Signature, Transaction, TransactionType

from ..chain.block import Block, Log, TransactionEntry, TransactionReceipt
from ..chain.requests import TransactionRequest

Fields = dict[str, Any]
_EXTRA_BYTES = 32
"""eth-tester takes extra data of this many bytes only."""


def block_fields(block: Block, *, full: bool) -> Fields:
    """A block; with `full` its transactions are fields, else hashes."""
    header = block.header
    entries = [block.entry(index) for index in range(len(block.transactions))] if full else []
    fields: Fields = {
        "number": block.number,
        "hash": block.hash,
        "parent_hash": header.parent_hash,
        "nonce": header.nonce,
        "sha3_uncles": header.ommers_hash,
        "logs_bloom": int.from_bytes(header.logs_bloom, "big"),
        "transactions_root": header.transactions_root,
        "receipts_root": header.receipts_root,
        "state_root": header.state_root,
        "coinbase": header.coinbase,
        "difficulty": header.difficulty,
        "total_difficulty": block.total_difficulty,
        "mix_hash": header.mix_hash,
        "size": block.size,
        "extra_data": header.extra_data.rjust(_EXTRA_BYTES, b"\0"),
        "gas_limit": header.gas_limit,
        "gas_used": header.gas_used,
        "timestamp": header.timestamp,
        "transactions": [transaction_fields(one, pending=block.is_pending) for one in entries]
        if full
        else list(block.hashes),
        "uncles": [ommer.hash for ommer in block.ommers],
    }
    if header.base_fee is not None:
        fields["base_fee_per_gas"] = header.base_fee
    if header.withdrawals_root is not None:
        fields["withdrawals_root"] = header.withdrawals_root
        fields["withdrawals"] = [
            {"index": one.index, "validator_index": one.validator, "address": one.address, "amount": one.amount}
            for one in block.withdrawals or ()
        ]
    if header.parent_beacon_root is not None:
        fields["parent_beacon_block_root"] = header.parent_beacon_root
        fields["blob_gas_used"] = header.blob_gas_used
        fields["excess_blob_gas"] = header.excess_blob_gas
    if header.requests_hash is not None:
        fields["requests_hash"] = header.requests_hash
    return fields


def transaction_fields(entry: TransactionEntry, *, pending: bool) -> Fields:
    """A transaction and its place."""
    tx = entry.tx
    fields: Fields = {
        "type": int(tx.type),
        "hash": entry.hash,
        "nonce": tx.nonce,
        "block_hash": None if pending else entry.block_hash,
        "block_number": None if pending else entry.block_number,
        "transaction_index": None if pending else entry.index,
        "from": entry.sender,
        "to": tx.to or b"",
        "value": tx.value,
        "gas": tx.gas_limit,
        "data": tx.data,
        "gas_price": tx.max_fee_per_gas if pending else entry.gas_price,
    }
    if tx.type >= TransactionType.ACCESS_LIST:
        fields["chain_id"] = tx.chain_id
        fields["access_list"] = tuple((one.address, one.slots) for one in tx.access_list)
    if tx.type >= TransactionType.FEE_MARKET:
        fields["max_fee_per_gas"] = tx.max_fee_per_gas
        fields["max_priority_fee_per_gas"] = tx.max_priority_fee_per_gas
    if tx.type == TransactionType.BLOB:
        fields["max_fee_per_blob_gas"] = tx.max_fee_per_blob_gas
        fields["blob_versioned_hashes"] = list(tx.blob_hashes)
    if tx.type == TransactionType.SET_CODE:
        fields["authorization_list"] = [_authorization_fields(one) for one in tx.authorizations]
    return fields | _signature_fields(tx)


def _authorization_fields(one: Authorization) -> Fields:
    return {
        "chain_id": one.chain_id,
        "address": one.address,
        "nonce": one.nonce,
        "y_parity": one.signature.y_parity,
        "r": one.signature.r,
        "s": one.signature.s,
    }


def _signature_fields(tx: Transaction) -> Fields:
    signature = tx.signature or Signature(0, 0, 0)
    if tx.type != TransactionType.LEGACY:
        return {"v": signature.y_parity, "r": signature.r, "s": signature.s, "y_parity": signature.y_parity}
    # EIP-155, or as before it.
    v = signature.y_parity + (27 if tx.chain_id is None else 35 + 2 * tx.chain_id)
    return {"v": v, "r": signature.r, "s": signature.s}


def receipt_fields(receipt: TransactionReceipt, *, pending: bool) -> Fields:
    """A receipt and its place."""
    status = int(receipt.success)
    fields: Fields = {
        "block_hash": None if pending else receipt.block_hash,
        "block_number": None if pending else receipt.block_number,
        "contract_address": receipt.contract,
        "cumulative_gas_used": receipt.cumulative_gas_used,
        "effective_gas_price": receipt.gas_price,
        "from": receipt.sender,
        "gas_used": receipt.gas_used,
        "logs": [log_fields(log, pending=pending) for log in receipt.logs],
        "state_root": receipt.state_root or bytes([status]),  # since Byzantium the status stands in its place
        "status": status,
        "to": receipt.to or b"",
        "transaction_hash": receipt.transaction_hash,
        "transaction_index": None if pending else receipt.index,
        "type": int(receipt.type),
    }
    if receipt.type == TransactionType.BLOB:
        fields["blob_gas_used"] = receipt.blob_gas_used
        fields["blob_gas_price"] = receipt.blob_gas_price
    return fields


def log_fields(log: Log, *, pending: bool) -> Fields:
    """An event and its place."""
    return {
        "type": "pending" if pending else "mined",
        "log_index": log.index,
        "transaction_index": None if pending else log.transaction_index,
        "transaction_hash": log.transaction_hash,
        "block_hash": None if pending else log.block_hash,
        "block_number": None if pending else log.block_number,
        "address": log.event.address,
        "data": log.event.data,
        "topics": [topic.to_bytes(32, "big") for topic in log.event.topics],
    }


def request_of(fields: Mapping[str, Any]) -> TransactionRequest:
    """What eth-tester wants sent or called; its signature, if it has one, is read by `signature_of`."""
    kind = fields.get("type")
    return TransactionRequest(
        sender=fields.get("from"),
        to=fields.get("to") or None,
        value=fields.get("value", 0),
        data=fields.get("data", b""),
        nonce=fields.get("nonce"),
        gas_limit=fields.get("gas"),
        gas_price=fields.get("gas_price"),
        max_fee_per_gas=fields.get("max_fee_per_gas"),
        max_priority_fee_per_gas=fields.get("max_priority_fee_per_gas"),
        access_list=_access_list(fields["access_list"]) if "access_list" in fields else None,
        chain_id=fields.get("chain_id"),
        type=None if kind is None else TransactionType(int(kind, 16) if isinstance(kind, str) else kind),
        authorizations=tuple(map(_authorization, fields["authorization_list"]))
        if "authorization_list" in fields
        else None,
    )


def _access_list(entries: Sequence[tuple[bytes, Sequence[int]]]) -> tuple[AccessListEntry, ...]:
    return tuple(AccessListEntry(address, tuple(slots)) for address, slots in entries)


def _authorization(fields: Mapping[str, Any]) -> Authorization:
    signature = Signature(fields["y_parity"], fields["r"], fields["s"])
    return Authorization(fields["chain_id"], fields["address"], fields["nonce"], signature)


def signature_of(fields: Mapping[str, Any]) -> tuple[Signature, int | None]:
    """The signature that eth-tester hands over, and the chain id that a legacy one says (EIP-155)."""
    v, r, s = fields["v"], fields["r"], fields["s"]
    if v < 27:  # the parity itself: a typed transaction
        return Signature(v, r, s), None
    if v < 35:
        return Signature(v - 27, r, s), None
    return Signature((v - 35) % 2, r, s), (v - 35) // 2
