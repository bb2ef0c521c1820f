"""What the comparison asks of a side, and what the sides must agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from suite.work import Work
from vmloom.hashing import keccak256

TRANSACTION_GAS = 21_000
ZERO_BYTE_GAS = 4
BYTE_GAS = 16
"""EIP-2028"""
REFUND_QUOTIENT = 5
"""EIP-3529"""


@dataclass(frozen=True)
class Outcome:
    """What a run did. `output` is the return data; of a block, a hash of all that its probes found. `logs` is a hash.

    `gas` is what a call used without that of a transaction and before refunds, `refund` what a transaction would
    give back of it; of a block, `gas` is the sum of what its transactions paid for.
    """

    success: bool
    gas: int
    refund: int
    output: bytes
    logs: bytes


Log: TypeAlias = tuple[bytes, Sequence[int], bytes]
"""(address, topics, data)"""


@dataclass(frozen=True)
class Prepared:
    """Work that is ready to run: `run` is timed, `outcome` tells what it did, `reset` puts the state back.

    `outcome` takes what `run` returned, and is asked after the first run only, before `reset`. `settle` is called once
    before anything is timed, with the ns that it may take: it runs the work until the side is as fast as it gets, and
    returns what that has cost beside the runs, figures by name.
    """

    run: Callable[[], Any]
    reset: Callable[[], object]
    outcome: Callable[[Any], Outcome]
    settle: Callable[[int], Mapping[str, float]] = lambda _: {}


class Unsupported(Exception):
    """Work that a side cannot do; the row has no figure for it."""


class Side(Protocol):
    """One side: `name` heads its column, `version` says what was measured."""

    name: str
    version: str

    def prepare(self, work: Work) -> Prepared:
        """Make the world of `work`. Raises `Unsupported`."""


def intrinsic_gas(input: bytes) -> int:
    """What a transaction with this input costs before its first instruction."""
    zeros = input.count(0)
    return TRANSACTION_GAS + zeros * ZERO_BYTE_GAS + (len(input) - zeros) * BYTE_GAS


def capped_refund(gas: int, counter: int, input: bytes) -> int:
    """What a transaction that used `gas` after its intrinsic gas gets back of a refund counter."""
    return min(max(counter, 0), (intrinsic_gas(input) + gas) // REFUND_QUOTIENT)


def digest(numbers: Iterable[int]) -> bytes:
    """A hash of what probes found."""
    return keccak256(b"".join(number.to_bytes(32, "big") for number in numbers))


def log_digest(logs: Iterable[Log]) -> bytes:
    """A hash of logs in their order."""
    return keccak256(b"".join(at + digest(topics) + keccak256(data) for at, topics, data in logs))
