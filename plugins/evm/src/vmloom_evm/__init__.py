"""The Ethereum Virtual Machine for vmloom.

`Evm` is the virtual machine; `Transaction` and what surrounds it are in `transaction`, forks and their rules in
`forks`, tracers in `trace`. The semantics of each instruction are in `ops`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmloom.lazy import importer

if TYPE_CHECKING:
    from .config import EvmConfig
    from .overrides import AccountOverride
    from .transaction.apply import Checks, TransactionResult
    from .transaction.types import Transaction, TransactionRefused
    from .vm import Evm

__all__ = ["AccountOverride", "Checks", "Evm", "EvmConfig", "Transaction", "TransactionRefused", "TransactionResult"]

# Listing plugins imports this package, and must stay instant.
__getattr__ = importer(
    __name__,
    {
        "AccountOverride": "overrides",
        "Checks": "transaction.apply",
        "Evm": "vm",
        "EvmConfig": "config",
        "Transaction": "transaction.types",
        "TransactionRefused": "transaction.types",
        "TransactionResult": "transaction.apply",
    },
)
