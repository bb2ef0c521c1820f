"""The chain: blocks, their state, the mempool, mining, and reading all that. `Chain` is the way in."""

from __future__ import annotations

from .chain import Chain
from .genesis import Genesis, dev_genesis, load_genesis
from .ledger import first_header
from .options import ChainOptions
from .requests import BlockRef, TransactionRequest

__all__ = [
    "BlockRef",
    "Chain",
    "ChainOptions",
    "Genesis",
    "TransactionRequest",
    "dev_genesis",
    "first_header",
    "load_genesis",
]
