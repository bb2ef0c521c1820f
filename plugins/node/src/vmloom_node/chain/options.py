"""How a chain is run: what is no matter of its genesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Literal

from vmloom_evm import EvmConfig

from .pool import PoolLimits

MiningMode = Literal["transaction", "interval", "manual"]


@dataclass(frozen=True)
class ChainOptions:
    """Settings of a chain. Times are seconds, gas is in gas."""

    mining: MiningMode = "transaction"
    """A block for each transaction, one each `block_time`, or only when `Chain.mine` is called."""
    block_time: float = 12.0
    coinbase: bytes = bytes(20)
    """Who gets the tips."""
    gas_limit: int | None = None
    """What blocks aim at; None keeps the parent's."""
    extra_data: bytes = b""
    pool: PoolLimits = field(default_factory=PoolLimits)
    by_arrival: bool = False
    """Whether the mempool's order is that of arrival, not of the tip."""
    call_gas: int = 100_000_000
    """What a call or estimate may use at most."""
    creates_foreign: bool = True
    """Whether transactions may create contracts of other VMs; see `foreign`."""
    is_read_only: bool = False
    """Whether the chain only imports blocks."""
    evm: EvmConfig = field(default_factory=EvmConfig)
    clock: Callable[[], float] = time
    """UNIX seconds."""
