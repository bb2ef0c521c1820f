"""Kinds of marks that only the EVM makes; `vmloom.marks` has those that it shares with other VMs."""

from __future__ import annotations

DESTROYED = "evm.destroyed"
"""Addresses of accounts to be deleted at the end of the transaction."""
TOUCHED = "evm.touched"
"""Addresses to be deleted at the end of the transaction if they are empty then. EIP-161."""
NATIVE_RUN = "evm.native_run"
"""The number of the native engine's run whose other marks have not been given to the state yet."""
