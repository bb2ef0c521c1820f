"""What a chain tells those who have subscribed, once it has happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .block import Block, TransactionEntry, TransactionReceipt


@dataclass(frozen=True, slots=True)
class NewBlock:
    """The chain has become longer by this block."""

    block: Block
    read_receipts: Callable[[], tuple[TransactionReceipt, ...]]
    """What `receipts` are read with, since most of those who are told do not ask for them."""

    @property
    def receipts(self) -> tuple[TransactionReceipt, ...]:
        """Of its transactions, in order."""
        return self.read_receipts()


@dataclass(frozen=True, slots=True)
class Reverted:
    """These blocks are no more: the chain went back, and maybe on with others. The newest comes first."""

    blocks: tuple[NewBlock, ...]


@dataclass(frozen=True, slots=True)
class PendingTransaction:
    """The mempool has taken this transaction."""

    entry: TransactionEntry


ChainEvent: TypeAlias = NewBlock | Reverted | PendingTransaction
Subscriber: TypeAlias = Callable[[ChainEvent], None]
"""Called in order, by the thread that has made the change, after it is done. What it raises is logged and dropped."""
