"""Withdrawals of validators, which the consensus layer puts into a block. EIP-4895."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vmloom import StateAccess

from .. import rlp
from ..commitment import ordered_root
from ..rules import Rules
from .rewards import credit

WEI_PER_GWEI: Final = 10**9


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Ether for the 20-byte `address`: `amount` in gwei, not wei. All numbers have 64 bits."""

    index: int
    validator: int
    address: bytes
    amount: int

    def encode(self) -> bytes:
        """RLP, as the withdrawals root is taken over it."""
        index, validator, amount = (
            number.to_bytes((number.bit_length() + 7) // 8, "big")
            for number in (self.index, self.validator, self.amount)
        )
        return rlp.encode([index, validator, self.address, amount])


def apply_withdrawals(state: StateAccess, rules: Rules, withdrawals: Iterable[Withdrawal]) -> None:
    """Pay every withdrawal; none can fail."""
    for withdrawal in withdrawals:
        credit(state, rules, withdrawal.address, withdrawal.amount * WEI_PER_GWEI)


def withdrawals_root(withdrawals: Iterable[Withdrawal]) -> bytes:
    """Root of the trie of a block's withdrawals, 32 bytes."""
    return ordered_root(withdrawal.encode() for withdrawal in withdrawals)
