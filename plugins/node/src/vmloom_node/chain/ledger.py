"""The blocks of the chain, as they are read from the store and remembered for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Final

from vmloom.errors import StateError
from vmloom.store import Store, StoreView

from . import records
from .block import Block, Log, TransactionReceipt
from .errors import StatePruned, UnknownBlock
from .events import NewBlock
from .genesis import Genesis
from .header import EMPTY_BLOOM, Header
from .logs import LogQuery
from .records import StoredBlock
from .requests import BlockRef

KEPT_TRANSACTIONS: Final = 20_000
KEPT_BLOCKS: Final = 1_024
"""Of both, what is kept in memory at most; the last block always is."""


@dataclass(slots=True)
class _Kept:
    stored: StoredBlock
    receipts: tuple[TransactionReceipt, ...] | None = None


SMALL_GAS: Final = 1_000_000
"""Gas of blocks that are small: it bounds their transactions, and all bytes of input and logs."""


def first_header(store: Store, number: int = 0) -> Header | None:
    """Header of the block `number`, 0 being the first, of the chain in a store; None in a store without a chain.

    Who opens a store again has to name the same genesis, and may not remember all of it.
    """
    stored = records.read_block(store, number)
    return None if stored is None else stored.block.header


class Ledger:
    """Reads the chain's records. Any thread may ask; what a block is never changes, only whether it is there."""

    def __init__(self, store: Store, genesis: Genesis) -> None:
        self._store = store
        self._genesis = genesis
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._transactions = 0
        self._lock = Lock()
        self.head: Block
        """The last block; set by who makes blocks."""

    @contextmanager
    def _view(self) -> Iterator[StoreView]:
        """The store as it is now, for this thread."""
        while True:
            try:
                view = self._store.at(self._store.version)
                break
            except StateError:  # another commit has come between, and no history is kept
                continue
        with view:
            yield view

    # Keeping

    def keep(self, stored: StoredBlock) -> None:
        """Remember a block that has been committed."""
        with self._lock:
            self._keep(_Kept(stored))

    def _keep(self, kept: _Kept) -> None:
        number = kept.stored.block.number
        former = self._kept.pop(number, None)
        if former is not None:
            self._transactions -= len(former.stored.encoded)
        self._kept[number] = kept
        self._transactions += len(kept.stored.encoded)
        while len(self._kept) > 1 and (self._transactions > KEPT_TRANSACTIONS or len(self._kept) > KEPT_BLOCKS):
            self._transactions -= len(self._kept.popitem(last=False)[1].stored.encoded)

    def forget_after(self, number: int) -> None:
        """Blocks after `number` are no more."""
        with self._lock:
            for gone in [one for one in self._kept if one > number]:
                self._transactions -= len(self._kept.pop(gone).stored.encoded)

    # Blocks

    def is_at_hand(self, number: int) -> bool:
        """Whether a block is in memory and so small that to tell of it, or to read its receipts, takes no time."""
        with self._lock:
            kept = self._kept.get(number)
        return kept is not None and kept.stored.block.header.gas_used <= SMALL_GAS

    def stored(self, number: int) -> StoredBlock:
        """The block with its receipts as they are kept. Raises `UnknownBlock`."""
        return self._find(number).stored

    def _find(self, number: int) -> _Kept:
        with self._lock:
            kept = self._kept.get(number)
            if kept is not None:
                self._kept.move_to_end(number)
                return kept
        with self._view() as view:
            found = records.read_block(view, number) if 0 <= number <= self.head.number else None
        if found is None:
            raise UnknownBlock(f"block {number} is unknown, the last one is {self.head.number}")
        kept = _Kept(found)
        with self._lock:
            self._keep(kept)
        return kept

    def receipts(self, number: int) -> tuple[TransactionReceipt, ...]:
        """The receipts of a block, in order. Raises `UnknownBlock`."""
        return self._receipts(self._find(number))

    def news(self, number: int) -> NewBlock:
        """What those are told who have subscribed; it stands even if the block goes. Raises `UnknownBlock`."""
        kept = self._find(number)
        return NewBlock(kept.stored.block, partial(self._receipts, kept))

    def _receipts(self, kept: _Kept) -> tuple[TransactionReceipt, ...]:
        if kept.receipts is None:
            header = kept.stored.block.header
            rules = self._genesis.schedule.fork_at(header.number, header.timestamp).rules
            kept.receipts = tuple(records.read_receipts(kept.stored, rules))
        return kept.receipts

    def number_of(self, ref: BlockRef) -> int:
        """Number of the block that is meant; `pending` is not one. Raises `UnknownBlock`."""
        if isinstance(ref, bytes):
            with self._view() as view:
                number = records.read_number(view, ref)
            if number is None:
                raise UnknownBlock(f"block 0x{ref.hex()} is unknown")
            return number
        if isinstance(ref, int):
            if not self._genesis.number <= ref <= self.head.number:
                raise UnknownBlock(f"block {ref} is unknown, the last one is {self.head.number}")
            return ref
        if ref == "earliest":
            return self._genesis.number
        if ref in ("latest", "safe", "finalized"):
            return self.head.number
        raise UnknownBlock(f"{ref!r} names no block of the chain")

    def hash_of(self, number: int) -> bytes | None:
        """Hash of a block, 32 bytes; None if there is none."""
        if number == self.head.number:
            return self.head.hash
        try:
            return self._find(number).stored.block.hash
        except UnknownBlock:
            return None

    def place_of(self, transaction_hash: bytes) -> tuple[int, int] | None:
        """(number of its block, index) of a transaction, None if it is in no block."""
        with self._view() as view:
            return records.read_place(view, transaction_hash)

    def version_after(self, number: int) -> int:
        """Version of the store with the state after block `number`, and what was changed by hand since.

        Raises `StatePruned` for one that is not kept.
        """
        with self._view() as view:
            if number == records.read_head(view):
                return view.version
            following = records.read_version(view, number + 1)
        if following is None or following - 1 < self._store.oldest:
            raise StatePruned(f"the state after block {number} is not kept any more").with_fix(
                "keep a longer history ([node.store] history)"
            )
        return following - 1

    # Logs

    def logs(self, query: LogQuery, first: int, last: int) -> Iterator[Log]:
        """The logs of blocks `first` to `last` that are meant, in order."""
        for number in range(first, last + 1):
            bloom = self._bloom(number)
            if bloom != EMPTY_BLOOM and query.may_be_in(bloom):
                for receipt in self.receipts(number):
                    yield from query.select(receipt.logs)

    def _bloom(self, number: int) -> bytes:
        with self._lock:
            kept = self._kept.get(number)
        if kept is not None:
            return kept.stored.block.header.logs_bloom
        with self._view() as view:
            return view.get(records.key(records.BLOOM, number)) or EMPTY_BLOOM
