"""How a transaction is to be checked, and what came of it. Knows no engine."""

from __future__ import annotations

from dataclasses import dataclass

from vmloom import Event, ExecutionState, StateChange


@dataclass(frozen=True, slots=True)
class Checks:
    """Which checks of a transaction to make; simulations leave some out. EIP-3607 goes with `nonce`."""

    nonce: bool = True
    balance: bool = True
    base_fee: bool = True


ALL_CHECKS = Checks()


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """Outcome of a transaction that was not refused.

    `gas_used` is what is paid for, after refunds; `gas_refunded` what was taken off it; `gas_price` wei per gas in
    effect; `created` the new contract's address; `max_gas_used` gas used before refunds, which the limit must cover.
    """

    state: ExecutionState
    gas_used: int
    gas_refunded: int
    max_gas_used: int
    gas_price: int
    blob_gas_used: int
    return_data: bytes
    events: tuple[Event, ...]
    created: bytes | None
    state_changes: tuple[StateChange, ...]
    error: str = ""

    @property
    def success(self) -> bool:
        """Whether the first frame ended without revert or error."""
        return self.state is ExecutionState.SUCCESS
