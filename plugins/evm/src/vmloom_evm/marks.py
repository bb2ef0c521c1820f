"""Kinds of marks that a transaction makes in the state: they are journaled, and gone when it ends."""

from __future__ import annotations

WARM_ACCOUNTS = "evm.warm_accounts"
"""Accounts accessed so far, as integers. EIP-2929."""
WARM_SLOTS = "evm.warm_slots"
"""(account, slot) accessed so far, as integers. EIP-2929."""
CREATED = "evm.created"
"""Addresses of contracts that the transaction created. EIP-6780."""
DESTROYED = "evm.destroyed"
"""Addresses of accounts to be deleted at its end."""
TOUCHED = "evm.touched"
"""Addresses to be deleted at its end if they are empty then. EIP-161."""
NATIVE_RUN = "evm.native_run"
"""The number of the native engine's run whose other marks have not been given to the state yet."""
