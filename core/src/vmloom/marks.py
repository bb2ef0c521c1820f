"""Kinds of marks (`StateAccess.marks`) that the VMs of one transaction share: what one has warmed is warm for all."""

from __future__ import annotations

from typing import Final

WARM_ACCOUNTS: Final = "warm_accounts"
"""Accounts accessed so far; keys are addresses as integers. EIP-2929."""
WARM_SLOTS: Final = "warm_slots"
"""Storage accessed so far; keys are (address as an integer, slot). EIP-2929."""
CREATED: Final = "created"
"""Contracts that the transaction has created; keys are addresses of 20 bytes. EIP-6780."""
