"""Blocks: what surrounds their transactions (system calls, rewards, withdrawals, requests), receipts and roots.

`process.process_block` does a whole block; the other modules are its steps, each usable alone.
"""

from __future__ import annotations

from .body import SignedTransaction
from .invalid import InvalidBlock
from .process import BlockInput, BlockObserver, BlockResult, Rejection, process_block
from .receipts import Receipt
from .rewards import NO_REWARD, Ommer
from .system_calls import call_system_contracts
from .withdrawals import Withdrawal

__all__ = [
    "NO_REWARD",
    "BlockInput",
    "BlockObserver",
    "BlockResult",
    "InvalidBlock",
    "Ommer",
    "Receipt",
    "Rejection",
    "SignedTransaction",
    "Withdrawal",
    "call_system_contracts",
    "process_block",
]
