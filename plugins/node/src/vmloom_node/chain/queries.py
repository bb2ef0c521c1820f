"""What a chain tells: blocks, transactions, receipts, logs, fees, and the state after any block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from vmloom import Account, StateAccess
from vmloom.errors import InputError, PluginError, StateError
from vmloom.state import NO_ACCOUNT
from vmloom.store import MemoryStore, StoreView
from vmloom_evm.block import BlockResult, SignedTransaction
from vmloom_evm.forks import Fork
from vmloom_evm.trie import AccountProof, StateTrie

from . import fees, records
from .block import Block, Log, TransactionEntry, TransactionReceipt
from .building import Draft
from .core import NO_HASHES
from .errors import StatePruned, UnknownTransaction
from .header import base_fee_after
from .logs import LogQuery
from .mining import MiningChain
from .records import StoredBlock
from .requests import BlockRef


class ReadableChain(MiningChain):
    """What is asked. See `Chain`."""

    # Blocks

    def block(self, ref: BlockRef = "latest") -> Block:
        """The block that is meant; `pending` is what would be mined now. Raises `UnknownBlock`."""
        if ref == "pending":
            return self.pending()[0]
        return self._ledger.stored(self._ledger.number_of(ref)).block

    def receipts(self, ref: BlockRef = "latest") -> tuple[TransactionReceipt, ...]:
        """The receipts of a block's transactions, in order. Raises `UnknownBlock`."""
        if ref == "pending":
            return self.pending()[1]
        return self._ledger.receipts(self._ledger.number_of(ref))

    def pending(self) -> tuple[Block, tuple[TransactionReceipt, ...]]:
        """The block that would be mined now, with its receipts. Its state root is zeros."""
        with self._lock:
            made = self.next_draft()
            key = (self.store.version, self.pool.version, id(made))
            if self._pending is None or self._pending[0] != key:
                self._pending = key, made, self._pend(made)
            stored = self._pending[2]
        return stored.block, tuple(records.read_receipts(stored, made.rules))

    def _pend(self, made: Draft) -> StoredBlock:
        with self._readers.lend(self.store.version, NO_HASHES) as state:
            result = self._run_pending(made, state, self._select(made))
            return self._sealed_block(made, state, result, is_pending=True)

    def _run_pending(self, made: Draft, state: StateAccess, candidates: list[SignedTransaction]) -> BlockResult:
        """Run what waits, less what this node cannot run, on a state that is lent."""
        try:
            return self.run_block(made, state, candidates, root_of=lambda _: bytes(32))
        except PluginError:
            with self._lock:
                dropped = self._drop_unrunnable(made, candidates)
            if not dropped:
                raise
            left = [one for one in candidates if one.hash not in dropped]
            return self.run_block(made, state, left, root_of=lambda _: bytes(32))

    @property
    def is_in_memory(self) -> bool:
        """Whether nothing that is read comes from a disk."""
        return isinstance(self.store, MemoryStore)

    def is_at_hand(self, ref: BlockRef) -> bool:
        """Whether to tell of a block, with its receipts, takes less than a few milliseconds. Raises `UnknownBlock`."""
        return ref != "pending" and self.is_in_memory and self._ledger.is_at_hand(self._ledger.number_of(ref))

    def is_transaction_at_hand(self, transaction_hash: bytes) -> bool:
        """Whether to tell of a transaction, or that there is none, takes less than a few milliseconds."""
        if not self.is_in_memory:
            return False
        place = self._ledger.place_of(transaction_hash)
        return place is None or self._ledger.is_at_hand(place[0])

    def transaction(self, transaction_hash: bytes) -> TransactionEntry:
        """The transaction with this hash, in a block or in the mempool. Raises `UnknownTransaction`."""
        place = self._ledger.place_of(transaction_hash)
        if place is not None:
            return self._ledger.stored(place[0]).block.entry(place[1])
        waiting = self.pool.get(transaction_hash)
        if waiting is None:
            raise UnknownTransaction(f"transaction 0x{transaction_hash.hex()} is unknown")
        return TransactionEntry(waiting.tx, waiting.hash, waiting.sender)

    def receipt(self, transaction_hash: bytes) -> TransactionReceipt:
        """The receipt of a transaction in a block. Raises `UnknownTransaction`."""
        place = self._ledger.place_of(transaction_hash)
        if place is None:
            raise UnknownTransaction(f"transaction 0x{transaction_hash.hex()} is in no block")
        return self._ledger.receipts(place[0])[place[1]]

    def encoded(self, transaction_hash: bytes) -> bytes:
        """The transaction as it travels: an EIP-2718 envelope or RLP. Raises `UnknownTransaction`."""
        place = self._ledger.place_of(transaction_hash)
        if place is not None:
            return self._ledger.stored(place[0]).encoded[place[1]]
        waiting = self.pool.get(transaction_hash)
        if waiting is None:
            raise UnknownTransaction(f"transaction 0x{transaction_hash.hex()} is unknown")
        return waiting.encoded

    def logs(self, query: LogQuery, first: BlockRef = "latest", last: BlockRef = "latest") -> Iterator[Log]:
        """The logs of a range of blocks that are meant, in order, as they are asked for. Raises `UnknownBlock`.

        `pending` is the last block here.
        """
        begin, end = ("latest" if ref == "pending" else ref for ref in (first, last))
        return self._ledger.logs(query, self._ledger.number_of(begin), self._ledger.number_of(end))

    def stored_block(self, number: int) -> StoredBlock:
        """A block with all that the store has of it. Raises `UnknownBlock`."""
        return self._ledger.stored(number)

    def fork(self, ref: BlockRef = "latest") -> Fork:
        """The fork of a block; `pending` is the next one. Raises `UnknownBlock`."""
        header = self.next_draft().header if ref == "pending" else self.block(ref).header
        return self.genesis.schedule.fork_at(header.number, header.timestamp)

    # The state

    @contextmanager
    def state_at(self, ref: BlockRef = "latest", hashes: Mapping[int, bytes] = NO_HASHES) -> Iterator[StateAccess]:
        """The state after a block, to be read by this thread; what is changed of it is taken back.

        `hashes` (32 bytes, by number) are of blocks that code on it finds beside those of the chain. Raises
        `UnknownBlock`, and `StatePruned` if the state is not kept any more.
        """
        if ref == "pending":
            with self._lock:
                made, version = self.next_draft(), self.store.version
                candidates = self._select(made)
            with self._lend(version, hashes) as state:
                if candidates:
                    self._run_pending(made, state, candidates)
                yield state
            return
        with self._lend(self._ledger.version_after(self._ledger.number_of(ref)), hashes) as state:
            yield state

    @contextmanager
    def view_at(self, ref: BlockRef = "latest") -> Iterator[StoreView]:
        """What the store had after a block, to be read by this thread; `pending` is the last block. See `state_at`."""
        number = self._ledger.number_of("latest" if ref == "pending" else ref)
        try:
            view = self.store.at(self._ledger.version_after(number))
        except StateError as error:
            raise StatePruned(str(error)).with_fix(error.fix) from None
        with view:
            yield view

    @contextmanager
    def _lend(self, version: int, hashes: Mapping[int, bytes]) -> Iterator[StateAccess]:
        try:
            self.store.check_version(version)
        except StateError as error:
            raise StatePruned(str(error)).with_fix(error.fix) from None
        with self._readers.lend(version, hashes) as state:
            yield state

    def account(self, address: bytes, ref: BlockRef = "latest") -> Account:
        """The account after a block; one that does not exist is empty. Raises as `state_at`."""
        with self.state_at(ref) as state:
            return state.get_account(address) or NO_ACCOUNT

    def storage(self, address: bytes, slot: int, ref: BlockRef = "latest") -> int:
        """The word in `slot` after a block. Raises as `state_at`."""
        with self.state_at(ref) as state:
            return state.get_storage(address, slot)

    def nonce(self, address: bytes, ref: BlockRef = "latest") -> int:
        """The account's next nonce after a block; with `pending`, after what waits in the mempool."""
        if ref != "pending":
            return self.account(address, ref).nonce
        with self._lock:
            return self.pool.next_nonce(address, self._world.state.get_nonce(address))

    def proof(self, address: bytes, slots: Sequence[int] = (), ref: BlockRef = "latest") -> AccountProof:
        """The account and its words with their proofs. EIP-1186. Raises as `state_at`; `pending` is the last block."""
        with self.view_at(ref) as view:
            return StateTrie(view).account_proof(address, slots)

    # Fees

    def next_base_fee(self) -> int:
        """Base fee of the next block in wei per gas; 0 before London."""
        if self.next_block.base_fee is not None:
            return self.next_block.base_fee
        return base_fee_after(self.head.header, self._next_rules()) or 0

    def blob_base_fee(self) -> int:
        """Blob base fee of the next block in wei per blob gas; 0 before Cancun."""
        return fees.next_blob_price(self.head.header, self._next_rules())

    def suggested_tip(self) -> int:
        """wei per gas that a transaction should offer the fee recipient."""
        return max(fees.SUGGESTED_TIP, self.options.pool.min_gas_price)

    def gas_price(self) -> int:
        """wei per gas that a transaction of one price should offer."""
        return self.next_base_fee() + self.suggested_tip()

    def fee_history(
        self, count: int, newest: BlockRef = "latest", percentiles: Sequence[float] | None = None
    ) -> fees.FeeHistory:
        """Fees of the `count` blocks up to `newest`, fewer where the chain is shorter, at most `MAX_FEE_HISTORY`.

        `percentiles` (0 to 100, rising) asks for tips, by the gas that paid no more. Raises `UnknownBlock`, and
        `InputError` for a count of 0 or percentiles out of order.
        """
        asked = tuple(percentiles or ())
        if count < 1:
            raise InputError(f"{count} blocks: at least 1 has to be asked for")
        if any(not 0 <= one <= 100 for one in asked) or sorted(asked) != list(asked):
            raise InputError("percentiles: numbers from 0 to 100, none smaller than the one before")
        last = self._ledger.number_of("latest" if newest == "pending" else newest)
        first = max(self.genesis.number, last + 1 - min(count, fees.MAX_FEE_HISTORY))
        return fees.history(
            [self._ledger.stored(number).block for number in range(first, last + 1)],
            self.genesis.schedule,
            self._next_rules() if last == self.head.number else None,
            [fees.tips_at(self.block(n), self.receipts(n), asked) for n in range(first, last + 1)] if asked else None,
            next_base_fee=self.next_base_fee() if last == self.head.number else None,
        )
