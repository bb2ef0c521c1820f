"""What a row of the benchmark is: a world, and a call or a block of transactions in it.

Plain data, from which each side of the comparison makes its own state. Rows are written in the modules beside this
one; nothing here knows who runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from vmloom_evm.assembly import Bytecode
from vmloom_evm.transaction.types import Transaction

REVISION = "cancun"
"""The fork of every row: the latest one that all peers have."""
TARGET = bytes.fromhex("c0de" * 10)
CALLER = bytes.fromhex("ee" * 20)
COINBASE = bytes.fromhex("fe" * 20)
BLOCK_NUMBER = 1
BLOCK_TIME = 1_700_000_000
"""UNIX seconds"""
BLOCK_GAS_LIMIT = 1 << 40
BASE_FEE = 10**9
"""wei per gas; for transactions only, calls are free on every side"""
GAS = 1 << 36
"""Gas limit of a call: more than any row needs, so that no side is held up by it."""


@dataclass(frozen=True)
class Preset:
    """An account before the run. `balance` is in wei."""

    code: bytes = b""
    nonce: int = 1
    balance: int = 0
    storage: Mapping[int, int] = field(default_factory=dict)


World: TypeAlias = Mapping[bytes, Preset]
"""Accounts by their 20-byte addresses."""


@dataclass(frozen=True)
class Call:
    """A call of the contract at `to`, the first of a transaction, without value and fees.

    `fresh`: the call is described anew each time, where an API lets one keep the description.
    """

    world: World
    input: bytes = b""
    to: bytes = TARGET
    gas: int = GAS
    fresh: bool = False


@dataclass(frozen=True)
class Block:
    """Transactions with their senders, one after the other in one block.

    `probes` are what all sides must agree on in the end: (address, slot) for a word, (address, None) for a balance.
    """

    world: World
    transactions: tuple[tuple[bytes, Transaction], ...]
    probes: tuple[tuple[bytes, int | None], ...]


Work: TypeAlias = Call | Block


@dataclass(frozen=True)
class Row:
    """A line of the table. `make` takes how often the work is repeated: `count`, or `quick` where time is short."""

    name: str
    group: str
    make: Callable[[int], Work]
    count: int = 1
    quick: int = 1
    note: str = ""
    """What a reader must know to compare fairly."""


def program(code: Bytecode, *, input: bytes = b"", others: World | None = None, gas: int = GAS) -> Call:
    """A call of `code`, which stands at `TARGET` among `others`."""
    return Call({TARGET: Preset(bytes(code)), **(others or {})}, input, gas=gas)
