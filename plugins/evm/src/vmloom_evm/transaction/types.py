"""What a transaction is: one class for types 0 to 4, since they differ only in what they leave at its default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from vmloom.errors import InvalidTransaction


class TransactionType(IntEnum):
    """EIP-2718"""

    LEGACY = 0
    ACCESS_LIST = 1
    """EIP-2930"""
    FEE_MARKET = 2
    """EIP-1559"""
    BLOB = 3
    """EIP-4844"""
    SET_CODE = 4
    """EIP-7702"""


@dataclass(frozen=True, slots=True)
class AccessListEntry:
    """An account and slots of it that are warm from the beginning. EIP-2930."""

    address: bytes
    slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """secp256k1: `y_parity` is 0 or 1, `r` and `s` are 256-bit integers; not checked here."""

    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class Authorization:
    """Leave of an account to run the code of `address` as its own. EIP-7702. `chain_id` 0 is any chain."""

    chain_id: int
    address: bytes
    nonce: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction, signed or not. Fees are wei per gas, `value` wei, `gas_limit` gas; `to` None creates a contract.

    A type without a priority fee has its gas price in both fee fields. `chain_id` None is a legacy transaction
    without replay protection (EIP-155).
    """

    type: TransactionType = TransactionType.LEGACY
    chain_id: int | None = None
    nonce: int = 0
    max_fee_per_gas: int = 0
    max_priority_fee_per_gas: int = 0
    gas_limit: int = 21_000
    to: bytes | None = None
    value: int = 0
    data: bytes = b""
    access_list: tuple[AccessListEntry, ...] = ()
    max_fee_per_blob_gas: int = 0
    """wei per blob gas"""
    blob_hashes: tuple[bytes, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    signature: Signature | None = None


class Refusal(StrEnum):
    """Why a transaction is refused before execution; the names are those of the execution-spec tests."""

    TYPE_NOT_SUPPORTED = "TYPE_NOT_SUPPORTED"
    MALFORMED = "RLP_INVALID"
    FIELD_OVERFLOW = "FIELD_OVERFLOW"
    """A number that does not fit its field: over 64 bits for nonce and gas limit, over 256 for the others."""
    INVALID_CHAIN_ID = "INVALID_CHAINID"
    INVALID_SIGNATURE = "INVALID_SIGNATURE_VRS"
    INTRINSIC_GAS_TOO_LOW = "INTRINSIC_GAS_TOO_LOW"
    FLOOR_GAS_TOO_LOW = "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST"
    GAS_LIMIT_OVER_CAP = "GAS_LIMIT_EXCEEDS_MAXIMUM"
    BLOCK_GAS_EXCEEDED = "GAS_ALLOWANCE_EXCEEDED"
    NONCE_IS_MAX = "NONCE_IS_MAX"
    NONCE_TOO_LOW = "NONCE_MISMATCH_TOO_LOW"
    NONCE_TOO_HIGH = "NONCE_MISMATCH_TOO_HIGH"
    SENDER_NOT_EOA = "SENDER_NOT_EOA"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_ACCOUNT_FUNDS"
    FEE_BELOW_BASE_FEE = "INSUFFICIENT_MAX_FEE_PER_GAS"
    PRIORITY_OVER_MAX_FEE = "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS"
    PRICE_PRODUCT_OVERFLOW = "GASLIMIT_PRICE_PRODUCT_OVERFLOW"
    INITCODE_TOO_LARGE = "INITCODE_SIZE_EXCEEDED"
    BLOB_CREATE = "TYPE_3_TX_CONTRACT_CREATION"
    NO_BLOBS = "TYPE_3_TX_ZERO_BLOBS"
    TOO_MANY_BLOBS = "TYPE_3_TX_BLOB_COUNT_EXCEEDED"
    BLOB_ALLOWANCE_EXCEEDED = "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED"
    BLOB_VERSION = "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH"
    BLOB_FEE_TOO_LOW = "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS"
    SET_CODE_CREATE = "TYPE_4_TX_CONTRACT_CREATION"
    NO_AUTHORIZATIONS = "TYPE_4_EMPTY_AUTHORIZATION_LIST"
    INVALID_AUTHORIZATION = "TYPE_4_INVALID_AUTHORIZATION_FORMAT"
    INVALID_AUTHORITY_SIGNATURE = "TYPE_4_INVALID_AUTHORITY_SIGNATURE"


class TransactionRefused(InvalidTransaction):
    """A transaction that is not executed; the state is as it was."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(f"{refusal.value}: {detail}")
        self.refusal = refusal
        self.reason = refusal.value
