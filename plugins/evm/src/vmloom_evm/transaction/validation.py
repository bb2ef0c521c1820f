"""Which transactions may run, for callers that have Python objects: the kernel functions of `checks`, and their words.

Every refusal has a typed reason, and says in what the transaction fell short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from vmloom import BlockContext

from ..fees import GAS_PER_BLOB
from ..rules import Rules
from . import checks
from .types import Transaction, TransactionRefused
from .view import TransactionView

NO_BLOCK: Final = BlockContext()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the text of a refusal tells. `static` ones need the transaction and the rules only.

    `nonce` and `balance` (wei) are the sender's; `gas_available` and `blob_gas_available` are what the block has left.
    """

    tx: Transaction
    rules: Rules
    block: BlockContext = NO_BLOCK
    sender: bytes = b""
    nonce: int = 0
    balance: int = 0
    gas_available: int = 0
    blob_gas_available: int = 0


def intrinsic_gas(tx: Transaction, rules: Rules) -> int:
    """Gas that the transaction costs before anything runs."""
    return checks.intrinsic_gas(TransactionView(tx, rules))


def floor_gas(tx: Transaction, rules: Rules) -> int:
    """The least gas that a transaction with this much data uses; 0 before Prague. EIP-7623."""
    return checks.floor_gas(TransactionView(tx, rules))


def blob_gas(tx: Transaction) -> int:
    """Blob gas that the transaction uses. EIP-4844."""
    return GAS_PER_BLOB * len(tx.blob_hashes)


def validate_static(tx: Transaction, rules: Rules) -> None:
    """Refuse what no state can make valid. Raises `TransactionRefused`."""
    code = checks.static_refusal(TransactionView(tx, rules))
    if code != checks.ACCEPTED:
        raise refused(code, Facts(tx, rules))


def refused(code: int, facts: Facts) -> TransactionRefused:
    """The refusal with this code of `checks`, in words."""
    return TransactionRefused(checks.REFUSALS[code], _DETAILS[code](facts))


def _blob_count(facts: Facts) -> str:
    limit = checks.blob_count_limit(TransactionView(facts.tx, facts.rules))
    return f"{len(facts.tx.blob_hashes)} blobs, at most {limit} allowed"


def _blob_version(facts: Facts) -> str:
    index, wrong = next(
        (index, blob_hash[:1])
        for index, blob_hash in enumerate(facts.tx.blob_hashes)
        if blob_hash[:1] != bytes([checks.BLOB_VERSION])
    )
    return f"hash {index} has version {wrong.hex()}, not 01"


def _funds(facts: Facts) -> str:
    tx = facts.tx
    blob_price = max(tx.max_fee_per_blob_gas, facts.block.blob_base_fee)
    cost = tx.gas_limit * tx.max_fee_per_gas + tx.value + blob_gas(tx) * blob_price
    return f"up to {cost} wei needed, the sender has {facts.balance}"


def _nonce(facts: Facts) -> str:
    return f"nonce {facts.tx.nonce}, the sender's next is {facts.nonce}"


_DETAILS: Final[Mapping[int, Callable[[Facts], str]]] = {
    checks.TYPE_NOT_SUPPORTED: lambda facts: f"type {facts.tx.type} does not exist in this fork",
    checks.NONCE_IS_MAX: lambda facts: f"nonce {facts.tx.nonce} has no successor (EIP-2681)",
    checks.PRICE_PRODUCT_OVERFLOW: lambda _: "gas limit times price exceeds 256 bits",
    checks.PRIORITY_OVER_MAX_FEE: lambda facts: (
        f"priority fee {facts.tx.max_priority_fee_per_gas} exceeds the maximum fee {facts.tx.max_fee_per_gas}"
    ),
    checks.INTRINSIC_GAS_TOO_LOW: lambda facts: (
        f"gas limit {facts.tx.gas_limit}, at least {intrinsic_gas(facts.tx, facts.rules)} needed"
    ),
    checks.FLOOR_GAS_TOO_LOW: lambda facts: (
        f"gas limit {facts.tx.gas_limit}, at least {floor_gas(facts.tx, facts.rules)} needed for its data (EIP-7623)"
    ),
    checks.GAS_LIMIT_OVER_CAP: lambda facts: (
        f"gas limit {facts.tx.gas_limit} exceeds {facts.rules.transaction_gas_limit} (EIP-7825)"
    ),
    checks.INITCODE_TOO_LARGE: lambda facts: (
        f"init code of {len(facts.tx.data)} bytes exceeds {facts.rules.initcode_size_limit}"
    ),
    checks.BLOB_CREATE: lambda _: "a blob transaction cannot create a contract",
    checks.NO_BLOBS: lambda _: "a blob transaction needs a blob",
    checks.TOO_MANY_BLOBS: _blob_count,
    checks.WRONG_BLOB_VERSION: _blob_version,
    checks.SET_CODE_CREATE: lambda _: "a set-code transaction cannot create a contract",
    checks.NO_AUTHORIZATIONS: lambda _: "a set-code transaction needs an authorisation",
    checks.BLOB_ALLOWANCE_EXCEEDED: lambda facts: (
        f"{blob_gas(facts.tx)} blob gas, the block has {facts.blob_gas_available} left"
    ),
    checks.BLOCK_GAS_EXCEEDED: lambda facts: (
        f"gas limit {facts.tx.gas_limit} exceeds the {facts.gas_available} left in the block"
    ),
    checks.FEE_BELOW_BASE_FEE: lambda facts: (
        f"maximum fee {facts.tx.max_fee_per_gas} is below the base fee {facts.block.base_fee}"
    ),
    checks.BLOB_FEE_TOO_LOW: lambda facts: (
        f"maximum blob fee {facts.tx.max_fee_per_blob_gas} is below the blob base fee {facts.block.blob_base_fee}"
    ),
    checks.NONCE_TOO_LOW: _nonce,
    checks.NONCE_TOO_HIGH: _nonce,
    checks.SENDER_NOT_EOA: lambda facts: f"0x{facts.sender.hex()} has code (EIP-3607)",
    checks.INSUFFICIENT_FUNDS: _funds,
}
"""What follows the reason."""
