"""State overrides: what a simulation assumes of accounts. The shape is that of eth_call's third parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmloom import StateAccess


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """What to assume of one account; None leaves a field as it is.

    `storage` replaces all words, `storage_diff` some.
    """

    balance: int | None = None
    """wei"""
    nonce: int | None = None
    code: bytes | None = None
    storage: Mapping[int, int] | None = None
    storage_diff: Mapping[int, int] | None = None


def apply_overrides(state: StateAccess, overrides: Mapping[bytes, AccountOverride]) -> None:
    """Change `state` as `overrides` say, account by account. Raises `ValueError` if one gives both kinds of storage."""
    for address, override in overrides.items():
        if override.storage is not None and override.storage_diff is not None:
            raise ValueError(f"override of 0x{address.hex()} gives both storage and storage_diff")
        if override.balance is not None:
            state.set_balance(address, override.balance)
        if override.nonce is not None:
            state.set_nonce(address, override.nonce)
        if override.code is not None:
            state.set_code(address, override.code)
        if override.storage is not None:
            state.clear_storage(address)
        for slot, word in {**(override.storage or {}), **(override.storage_diff or {})}.items():
            state.set_storage(address, slot, word)
