"""What miners get: the block reward, and a part of it for each ommer. Until Paris. Yellow paper, section 11.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vmloom import StateAccess
from vmloom.kernel import U256_MAX

from ..rules import Rules
from .invalid import InvalidBlock

NO_REWARD: Final = -1
"""In place of a reward: nobody is paid, nor touched."""
MAX_OMMER_AGE: Final = 8
"""An ommer this much older than the block gets nothing; only ommers of up to six blocks are valid."""
_NEPHEW_QUOTIENT = 32


@dataclass(frozen=True, slots=True)
class Ommer:
    """A stale block that this one includes: its miner's 20-byte address, and how many blocks older it is (1 and up)."""

    address: bytes
    age: int


def pay_rewards(state: StateAccess, rules: Rules, coinbase: bytes, ommers: Sequence[Ommer], reward: int) -> None:
    """Pay `reward` wei to the miner with 1/32 more for each ommer, and each ommer's miner (8 - age)/8 of it.

    Raises `ValueError` for an ommer older than eight blocks.
    """
    for ommer in ommers:
        credit(state, rules, ommer.address, ommer_reward(reward, ommer))
    credit(state, rules, coinbase, miner_reward(reward, len(ommers)))


def miner_reward(reward: int, ommers: int) -> int:
    """wei for who made a block that includes `ommers` stale ones."""
    return reward + ommers * (reward // _NEPHEW_QUOTIENT)


def ommer_reward(reward: int, ommer: Ommer) -> int:
    """wei for who made the stale block. Raises `ValueError` for one older than eight blocks."""
    if not 0 <= ommer.age <= MAX_OMMER_AGE:
        raise ValueError(f"an ommer {ommer.age} blocks older than its block")
    return (MAX_OMMER_AGE - ommer.age) * reward // MAX_OMMER_AGE


def credit(state: StateAccess, rules: Rules, address: bytes, amount: int) -> None:
    """Give an account `amount` wei out of nothing.

    Nothing brings it about before EIP-161; since then it touches it, and an empty account goes. Raises `InvalidBlock`
    where there is more ether than a balance can tell.
    """
    if amount or not rules.state_clearing:
        balance = state.get_balance(address) + amount
        if balance > U256_MAX:
            raise InvalidBlock(f"the balance of 0x{address.hex()} would exceed 256 bits")
        state.set_balance(address, balance)
    elif state.account_exists(address) and state.is_empty(address):
        state.delete_account(address)
