"""The chain: blocks, their state, the mempool, mining, and reading all that. `Chain` is the way in."""

from __future__ import annotations

from .chain import Chain
from .options import ChainOptions
from .requests import BlockRef, TransactionRequest

__all__ = ["BlockRef", "Chain", "ChainOptions", "TransactionRequest"]
