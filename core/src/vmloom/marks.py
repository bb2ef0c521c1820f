"""Kinds of marks (`StateAccess.marks`) that the VMs of one transaction share: what one has warmed is warm for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .context import ExecutionContext
    from .state import StateAccess

WARM_ACCOUNTS: Final = "warm_accounts"
"""Accounts accessed so far; keys are addresses as integers. EIP-2929."""
WARM_SLOTS: Final = "warm_slots"
"""Storage accessed so far; keys are (address as an integer, slot). EIP-2929."""
CREATED: Final = "created"
"""Contracts that the transaction has created; keys are addresses of 20 bytes. EIP-6780."""


def mark_warm(context: ExecutionContext, state: StateAccess) -> None:
    """Warm what every transaction has accessed already: sender, caller and callee. EIP-2929."""
    for address in (context.origin, context.caller, context.address):
        state.mark(WARM_ACCOUNTS, int.from_bytes(address, "big"))
