"""Calls that the protocol itself makes: who sends them, with how much gas, and to whom. `block.system_calls` says when.

They come from an address that nobody has a key of, are free, count towards no gas limit, and begin with nothing warm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from .transaction.types import Transaction

SYSTEM_ADDRESS: Final = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
"""The caller. EIP-4788"""
SYSTEM_CALL_GAS: Final = 30_000_000
"""EIP-4788; the EIPs after it took it over."""


class SystemCall(NamedTuple):
    """A call of the contract at `address`, 20 bytes."""

    address: bytes
    data: bytes


def system_messages(calls: Iterable[SystemCall]) -> list[Transaction]:
    """`calls` as messages, which `SYSTEM_ADDRESS` sends."""
    return [Transaction(to=call.address, data=call.data, gas_limit=SYSTEM_CALL_GAS) for call in calls]
