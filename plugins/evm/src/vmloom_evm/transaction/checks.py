"""Which transactions may run, and what they cost before they do: kernel functions that every engine shares.

A check returns why a transaction is refused, ACCEPTED if it is not. `static_refusal` needs no state and no block;
`refusal` is all checks in their order. Nothing here changes anything. `validation` gives refusals their text.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, U256_MAX, u64, u256, u512

from ..fees import GAS_PER_BLOB
from ..gas import words_of
from ..machine import TransactionData, TransactionMachine
from .types import Refusal

BLOB_TYPE = 3
SET_CODE_TYPE = 4
BLOB_VERSION = 1
"""EIP-4844: first byte of a versioned hash of a KZG commitment."""
TOKENS_PER_DATA_BYTE = 4
"""EIP-7623: a byte of data that is not zero counts as this many zero bytes."""

ACCEPTED = 0
TYPE_NOT_SUPPORTED = 1
NONCE_IS_MAX = 2
PRICE_PRODUCT_OVERFLOW = 3
PRIORITY_OVER_MAX_FEE = 4
INTRINSIC_GAS_TOO_LOW = 5
FLOOR_GAS_TOO_LOW = 6
GAS_LIMIT_OVER_CAP = 7
INITCODE_TOO_LARGE = 8
BLOB_CREATE = 9
NO_BLOBS = 10
TOO_MANY_BLOBS = 11
WRONG_BLOB_VERSION = 12
SET_CODE_CREATE = 13
NO_AUTHORIZATIONS = 14
BLOB_ALLOWANCE_EXCEEDED = 15
BLOCK_GAS_EXCEEDED = 16
FEE_BELOW_BASE_FEE = 17
BLOB_FEE_TOO_LOW = 18
NONCE_TOO_LOW = 19
NONCE_TOO_HIGH = 20
SENDER_NOT_EOA = 21
INSUFFICIENT_FUNDS = 22

REFUSALS: Final[dict[int, Refusal]] = {
    TYPE_NOT_SUPPORTED: Refusal.TYPE_NOT_SUPPORTED,
    NONCE_IS_MAX: Refusal.NONCE_IS_MAX,
    PRICE_PRODUCT_OVERFLOW: Refusal.PRICE_PRODUCT_OVERFLOW,
    PRIORITY_OVER_MAX_FEE: Refusal.PRIORITY_OVER_MAX_FEE,
    INTRINSIC_GAS_TOO_LOW: Refusal.INTRINSIC_GAS_TOO_LOW,
    FLOOR_GAS_TOO_LOW: Refusal.FLOOR_GAS_TOO_LOW,
    GAS_LIMIT_OVER_CAP: Refusal.GAS_LIMIT_OVER_CAP,
    INITCODE_TOO_LARGE: Refusal.INITCODE_TOO_LARGE,
    BLOB_CREATE: Refusal.BLOB_CREATE,
    NO_BLOBS: Refusal.NO_BLOBS,
    TOO_MANY_BLOBS: Refusal.TOO_MANY_BLOBS,
    WRONG_BLOB_VERSION: Refusal.BLOB_VERSION,
    SET_CODE_CREATE: Refusal.SET_CODE_CREATE,
    NO_AUTHORIZATIONS: Refusal.NO_AUTHORIZATIONS,
    BLOB_ALLOWANCE_EXCEEDED: Refusal.BLOB_ALLOWANCE_EXCEEDED,
    BLOCK_GAS_EXCEEDED: Refusal.BLOCK_GAS_EXCEEDED,
    FEE_BELOW_BASE_FEE: Refusal.FEE_BELOW_BASE_FEE,
    BLOB_FEE_TOO_LOW: Refusal.BLOB_FEE_TOO_LOW,
    NONCE_TOO_LOW: Refusal.NONCE_TOO_LOW,
    NONCE_TOO_HIGH: Refusal.NONCE_TOO_HIGH,
    SENDER_NOT_EOA: Refusal.SENDER_NOT_EOA,
    INSUFFICIENT_FUNDS: Refusal.INSUFFICIENT_FUNDS,
}
"""What the codes mean to a caller."""


# What it costs


def intrinsic_gas(m: TransactionData) -> u64:
    """Gas that the transaction costs before anything runs. Yellow paper section 6, EIP-2028, 2930, 3860, 7702."""
    size = m.tx_data_size()
    zeros = m.tx_zero_bytes()
    gas = m.rules.transaction_base + zeros * m.rules.transaction_zero_byte
    gas += (size - zeros) * m.rules.transaction_data_byte
    if m.tx_is_create():
        gas += m.rules.transaction_create + m.rules.initcode_word * words_of(size)
    gas += m.rules.access_list_account * m.access_accounts() + m.rules.access_list_slot * m.access_slots()
    return gas + m.rules.authorization * m.authorizations()


def floor_gas(m: TransactionData) -> u64:
    """The least gas that a transaction with this much data uses; 0 before Prague. EIP-7623."""
    if not m.rules.floor_token:
        return 0
    zeros = m.tx_zero_bytes()
    tokens = zeros + (m.tx_data_size() - zeros) * TOKENS_PER_DATA_BYTE
    return m.rules.transaction_base + m.rules.floor_token * tokens


def blob_gas(m: TransactionData) -> u64:
    """Blob gas that the transaction uses. EIP-4844."""
    return GAS_PER_BLOB * m.blobs()


def effective_gas_price(m: TransactionMachine) -> u256:
    """wei per gas that the sender pays: the base fee and what of the priority fee the maximum leaves. EIP-1559."""
    most = m.tx_max_fee()
    if not m.rules.base_fee:
        return most
    return u256(min(most, u512(m.base_fee()) + m.tx_max_priority_fee()))


# What may run


def refusal(m: TransactionMachine) -> u64:
    """Why the transaction may not run, by the first check that it fails."""
    code = static_refusal(m)
    if code == ACCEPTED:
        code = block_refusal(m)
    if code == ACCEPTED:
        code = sender_refusal(m)
    return code


def static_refusal(m: TransactionData) -> u64:
    """What no state can make valid."""
    kind = m.tx_type()
    if kind > m.rules.typed_transactions:
        return TYPE_NOT_SUPPORTED
    if m.tx_nonce() >= U64_MAX:
        return NONCE_IS_MAX
    price = m.tx_max_fee()
    if u512(price) * m.tx_gas_limit() > U256_MAX:
        return PRICE_PRODUCT_OVERFLOW
    if m.tx_max_priority_fee() > price:
        return PRIORITY_OVER_MAX_FEE
    code = gas_refusal(m)
    if code == ACCEPTED and kind == BLOB_TYPE:
        code = blob_refusal(m)
    if code == ACCEPTED and kind == SET_CODE_TYPE:
        if m.tx_is_create():
            return SET_CODE_CREATE
        if m.authorizations() == 0:
            return NO_AUTHORIZATIONS
    return code


def gas_refusal(m: TransactionData) -> u64:
    """What its gas limit cannot pay, and what is too large. EIP-7623, EIP-7825, EIP-3860."""
    limit = m.tx_gas_limit()
    if limit < intrinsic_gas(m):
        return INTRINSIC_GAS_TOO_LOW
    if limit < floor_gas(m):
        return FLOOR_GAS_TOO_LOW
    if m.rules.transaction_gas_limit and limit > m.rules.transaction_gas_limit:
        return GAS_LIMIT_OVER_CAP
    if m.tx_is_create() and m.rules.initcode_size_limit and m.tx_data_size() > m.rules.initcode_size_limit:
        return INITCODE_TOO_LARGE
    return ACCEPTED


def blob_refusal(m: TransactionData) -> u64:
    """What is wrong with a blob transaction. EIP-4844, EIP-7594."""
    if m.tx_is_create():
        return BLOB_CREATE
    if m.blobs() == 0:
        return NO_BLOBS
    if m.blobs() > blob_count_limit(m):
        return TOO_MANY_BLOBS
    for index in range(m.blobs()):
        if m.blob_version(index) != BLOB_VERSION:
            return WRONG_BLOB_VERSION
    return ACCEPTED


def blob_count_limit(m: TransactionData) -> u64:
    """How many blobs a transaction may carry."""
    return m.rules.blob_transaction_limit if m.rules.blob_transaction_limit else m.rules.blob_limit


def block_refusal(m: TransactionMachine) -> u64:
    """What does not fit the block: the gas that it has left, and its prices."""
    if blob_gas(m) > m.blob_gas_available():
        return BLOB_ALLOWANCE_EXCEEDED
    if m.tx_gas_limit() > m.gas_available():
        return BLOCK_GAS_EXCEEDED
    if not m.checks_base_fee():
        return ACCEPTED
    if m.rules.base_fee and m.tx_max_fee() < m.base_fee():
        return FEE_BELOW_BASE_FEE
    if m.blobs() != 0 and m.tx_max_blob_fee() < m.blob_base_fee():
        return BLOB_FEE_TOO_LOW
    return ACCEPTED


def sender_refusal(m: TransactionMachine) -> u64:
    """What the sender may not send or cannot pay. EIP-3607, EIP-7702."""
    if m.checks_nonce():
        nonce = m.nonce(m.address)
        if m.tx_nonce() < nonce:
            return NONCE_TOO_LOW
        if m.tx_nonce() > nonce:
            return NONCE_TOO_HIGH
        if has_foreign_code(m):
            return SENDER_NOT_EOA
    if m.checks_balance() and m.balance(m.address) < greatest_cost(m):
        return INSUFFICIENT_FUNDS
    return ACCEPTED


def has_foreign_code(m: TransactionMachine) -> bool:
    """Whether the sender has code other than a delegation."""
    if len(m.code_of(m.address)) == 0:
        return False
    return not m.rules.delegations or m.delegate_of(m.address) == 0


def greatest_cost(m: TransactionMachine) -> u512:
    """wei that the transaction may take from its sender."""
    # Where fees are not checked, a blob may cost more than was offered.
    blob_price = max(m.tx_max_blob_fee(), m.blob_base_fee())
    return u512(m.tx_max_fee()) * m.tx_gas_limit() + m.tx_value() + u512(blob_price) * blob_gas(m)
