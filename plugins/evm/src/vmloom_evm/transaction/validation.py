"""Which transactions may run. What needs no state comes first; every refusal has a typed reason."""

from __future__ import annotations

from vmloom import BlockContext, StateAccess
from vmloom.kernel import U64_MAX, U256_MAX

from ..delegation import delegation_target
from ..fees import GAS_PER_BLOB
from ..gas import words_of
from ..rules import Rules
from .types import Refusal, Transaction, TransactionRefused, TransactionType

BLOB_VERSION = 1
"""EIP-4844: first byte of a versioned hash of a KZG commitment."""
TOKENS_PER_DATA_BYTE = 4
"""EIP-7623: a byte of data that is not zero counts as this many zero bytes."""


def intrinsic_gas(tx: Transaction, rules: Rules) -> int:
    """Gas that the transaction costs before anything runs. Yellow paper section 6, EIP-2028, 2930, 3860, 7702."""
    zeros = tx.data.count(0)
    gas = rules.transaction_base
    gas += zeros * rules.transaction_zero_byte + (len(tx.data) - zeros) * rules.transaction_data_byte
    if tx.to is None:
        gas += rules.transaction_create + rules.initcode_word * words_of(len(tx.data))
    for entry in tx.access_list:
        gas += rules.access_list_account + rules.access_list_slot * len(entry.slots)
    return gas + rules.authorization * len(tx.authorizations)


def floor_gas(tx: Transaction, rules: Rules) -> int:
    """The least gas that a transaction with this much data uses; 0 before Prague. EIP-7623."""
    if not rules.floor_token:
        return 0
    zeros = tx.data.count(0)
    tokens = zeros + (len(tx.data) - zeros) * TOKENS_PER_DATA_BYTE
    return rules.transaction_base + rules.floor_token * tokens


def blob_gas(tx: Transaction) -> int:
    """Blob gas that the transaction uses. EIP-4844."""
    return GAS_PER_BLOB * len(tx.blob_hashes)


def effective_gas_price(tx: Transaction, base_fee: int) -> int:
    """wei per gas that the sender pays: the base fee and what of the priority fee the maximum leaves. EIP-1559."""
    return min(tx.max_fee_per_gas, base_fee + tx.max_priority_fee_per_gas)


def validate_static(tx: Transaction, rules: Rules) -> None:
    """Refuse what no state can make valid. Raises `TransactionRefused`."""
    if tx.type > rules.typed_transactions:
        raise TransactionRefused(Refusal.TYPE_NOT_SUPPORTED, f"type {tx.type} does not exist in this fork")
    if tx.nonce >= U64_MAX:
        raise TransactionRefused(Refusal.NONCE_IS_MAX, f"nonce {tx.nonce} has no successor (EIP-2681)")
    if tx.gas_limit * tx.max_fee_per_gas > U256_MAX:
        raise TransactionRefused(Refusal.PRICE_PRODUCT_OVERFLOW, "gas limit times price exceeds 256 bits")
    if tx.max_priority_fee_per_gas > tx.max_fee_per_gas:
        raise TransactionRefused(
            Refusal.PRIORITY_OVER_MAX_FEE,
            f"priority fee {tx.max_priority_fee_per_gas} exceeds the maximum fee {tx.max_fee_per_gas}",
        )
    _validate_gas(tx, rules)
    if tx.type == TransactionType.BLOB:
        _validate_blobs(tx, rules)
    if tx.type == TransactionType.SET_CODE:
        if tx.to is None:
            raise TransactionRefused(Refusal.SET_CODE_CREATE, "a set-code transaction cannot create a contract")
        if not tx.authorizations:
            raise TransactionRefused(Refusal.NO_AUTHORIZATIONS, "a set-code transaction needs an authorisation")


def _validate_gas(tx: Transaction, rules: Rules) -> None:
    needed, floor = intrinsic_gas(tx, rules), floor_gas(tx, rules)
    if tx.gas_limit < needed:
        raise TransactionRefused(Refusal.INTRINSIC_GAS_TOO_LOW, f"gas limit {tx.gas_limit}, at least {needed} needed")
    if tx.gas_limit < floor:
        raise TransactionRefused(
            Refusal.FLOOR_GAS_TOO_LOW, f"gas limit {tx.gas_limit}, at least {floor} needed for its data (EIP-7623)"
        )
    if rules.transaction_gas_limit and tx.gas_limit > rules.transaction_gas_limit:
        raise TransactionRefused(
            Refusal.GAS_LIMIT_OVER_CAP, f"gas limit {tx.gas_limit} exceeds {rules.transaction_gas_limit} (EIP-7825)"
        )
    if tx.to is None and rules.initcode_size_limit and len(tx.data) > rules.initcode_size_limit:
        raise TransactionRefused(
            Refusal.INITCODE_TOO_LARGE, f"init code of {len(tx.data)} bytes exceeds {rules.initcode_size_limit}"
        )


def _validate_blobs(tx: Transaction, rules: Rules) -> None:
    if tx.to is None:
        raise TransactionRefused(Refusal.BLOB_CREATE, "a blob transaction cannot create a contract")
    if not tx.blob_hashes:
        raise TransactionRefused(Refusal.NO_BLOBS, "a blob transaction needs a blob")
    limit = rules.blob_transaction_limit or rules.blob_limit
    if len(tx.blob_hashes) > limit:
        raise TransactionRefused(Refusal.TOO_MANY_BLOBS, f"{len(tx.blob_hashes)} blobs, at most {limit} allowed")
    for index, blob_hash in enumerate(tx.blob_hashes):
        if blob_hash[:1] != bytes([BLOB_VERSION]):
            raise TransactionRefused(Refusal.BLOB_VERSION, f"hash {index} has version {blob_hash[:1].hex()}, not 01")


def validate_in_block(
    tx: Transaction, block: BlockContext, rules: Rules, *, gas_available: int, check_base_fee: bool = True
) -> None:
    """Refuse what does not fit the block: its remaining gas and its prices. Raises `TransactionRefused`."""
    if tx.gas_limit > gas_available:
        raise TransactionRefused(
            Refusal.BLOCK_GAS_EXCEEDED, f"gas limit {tx.gas_limit} exceeds the {gas_available} left in the block"
        )
    if not check_base_fee:
        return
    if rules.base_fee and tx.max_fee_per_gas < block.base_fee:
        raise TransactionRefused(
            Refusal.FEE_BELOW_BASE_FEE, f"maximum fee {tx.max_fee_per_gas} is below the base fee {block.base_fee}"
        )
    if tx.blob_hashes and tx.max_fee_per_blob_gas < block.blob_base_fee:
        raise TransactionRefused(
            Refusal.BLOB_FEE_TOO_LOW,
            f"maximum blob fee {tx.max_fee_per_blob_gas} is below the blob base fee {block.blob_base_fee}",
        )


def validate_sender(
    tx: Transaction,
    sender: bytes,
    state: StateAccess,
    rules: Rules,
    *,
    check_nonce: bool = True,
    check_balance: bool = True,
) -> None:
    """Refuse what the sender may not send or cannot pay. Raises `TransactionRefused`. EIP-3607, EIP-7702."""
    if check_nonce:
        nonce = state.get_nonce(sender)
        if tx.nonce != nonce:
            refusal = Refusal.NONCE_TOO_LOW if tx.nonce < nonce else Refusal.NONCE_TOO_HIGH
            raise TransactionRefused(refusal, f"nonce {tx.nonce}, the sender's next is {nonce}")
        code = state.get_code(sender)
        if code and not (rules.delegations and delegation_target(code)):
            raise TransactionRefused(Refusal.SENDER_NOT_EOA, f"0x{sender.hex()} has code (EIP-3607)")
    if not check_balance:
        return
    cost = tx.gas_limit * tx.max_fee_per_gas + tx.value + blob_gas(tx) * tx.max_fee_per_blob_gas
    balance = state.get_balance(sender)
    if balance < cost:
        raise TransactionRefused(Refusal.INSUFFICIENT_FUNDS, f"up to {cost} wei needed, the sender has {balance}")
