"""The Ethereum Virtual Machine for vmloom.

`Evm` is the virtual machine; `Transaction` and what surrounds it are in `transaction`, forks and their rules in
`forks`, tracers in `trace`. The semantics of each instruction are in `ops`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import EvmConfig
    from .overrides import AccountOverride
    from .transaction.apply import Checks, TransactionResult
    from .transaction.types import Transaction, TransactionRefused
    from .vm import Evm

__all__ = ["AccountOverride", "Checks", "Evm", "EvmConfig", "Transaction", "TransactionRefused", "TransactionResult"]

_HOMES = {
    "AccountOverride": "overrides",
    "Checks": "transaction.apply",
    "Evm": "vm",
    "EvmConfig": "config",
    "Transaction": "transaction.types",
    "TransactionRefused": "transaction.types",
    "TransactionResult": "transaction.apply",
}


def __getattr__(name: str) -> Any:
    """Import on first use: listing plugins imports this package, and must stay instant."""
    import importlib

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
