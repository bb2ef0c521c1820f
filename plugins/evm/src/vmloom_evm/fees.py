"""Prices of a block: base fee (EIP-1559) and blob base fee (EIP-4844, EIP-7918)."""

from __future__ import annotations

from functools import lru_cache

from vmloom.errors import InputError

from .rules import Rules

GAS_PER_BLOB = 1 << 17
BLOB_BASE_COST = 1 << 13
"""EIP-7918: execution gas whose price a blob's price is held to."""
MIN_BLOB_BASE_FEE = 1
MAX_EXPONENT = 177
"""e**177 is the last whole power of e below 2**256."""
ELASTICITY = 2
BASE_FEE_CHANGE_DENOMINATOR = 8
INITIAL_BASE_FEE = 10**9
"""wei per gas in the first London block"""


def next_base_fee(parent_base_fee: int, parent_gas_used: int, parent_gas_limit: int) -> int:
    """Base fee in wei per gas of the block after one with this base fee, gas used and gas limit. EIP-1559."""
    target = parent_gas_limit // ELASTICITY
    if target == 0 or parent_gas_used == target:
        return parent_base_fee
    delta = parent_base_fee * abs(parent_gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    if parent_gas_used > target:
        return parent_base_fee + max(delta, 1)
    return parent_base_fee - delta


def blob_base_fee(excess_blob_gas: int, rules: Rules) -> int:
    """wei per blob gas for an excess of blob gas: the fee rises exponentially with it. EIP-4844.

    Raises `InputError` for an excess whose fee would not fit 256 bits: no chain gets there, and the sum would not end.
    """
    if not rules.blobs:
        return 0
    if excess_blob_gas > MAX_EXPONENT * rules.blob_fee_fraction:
        raise InputError(f"excess blob gas {excess_blob_gas}: the blob base fee would exceed 256 bits")
    return fake_exponential(MIN_BLOB_BASE_FEE, excess_blob_gas, rules.blob_fee_fraction)


@lru_cache(maxsize=256)
def fake_exponential(factor: int, numerator: int, denominator: int) -> int:
    """`factor * e ** (numerator / denominator)` by its Taylor series in integers. EIP-4844."""
    output = 0
    term = factor * denominator
    i = 1
    while term > 0:
        output += term
        term = term * numerator // (denominator * i)
        i += 1
    return output // denominator


def next_excess_blob_gas(parent_excess: int, parent_used: int, parent_base_fee: int, rules: Rules) -> int:
    """Excess blob gas of the block after one with these figures, under the new block's `rules`. EIP-4844, EIP-7918."""
    target = rules.blob_target * GAS_PER_BLOB
    if parent_excess + parent_used < target:
        return 0
    if rules.blob_reserve_price:
        price = blob_base_fee(parent_excess, rules)
        if BLOB_BASE_COST * parent_base_fee > GAS_PER_BLOB * price:
            return parent_excess + parent_used * (rules.blob_limit - rules.blob_target) // rules.blob_limit
    return parent_excess + parent_used - target
