"""Blocks in the making: which transactions they try, what becomes of those that cannot run, and when they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vmloom import StateAccess
from vmloom.errors import PluginError, VmloomError
from vmloom_evm.block import BlockObserver, BlockResult, SignedTransaction, process_block
from vmloom_evm.block.process import NOBODY
from vmloom_evm.transaction.types import Refusal, TransactionRefused

from . import records
from .block import Block, TransactionEntry
from .building import Draft, draft, plan_after, seal, vms_of
from .core import NO_HASHES, NOTHING_CHOSEN, ChainCore, NextBlock
from .events import PendingTransaction
from .interval import IntervalMiner
from .options import MiningMode
from .records import StoredBlock

PERMANENT: Final = frozenset(
    {
        Refusal.NONCE_TOO_LOW,
        Refusal.INSUFFICIENT_FUNDS,
        Refusal.SENDER_NOT_EOA,
        Refusal.TYPE_NOT_SUPPORTED,
        Refusal.GAS_LIMIT_OVER_CAP,
        Refusal.INTRINSIC_GAS_TOO_LOW,
        Refusal.FLOOR_GAS_TOO_LOW,
        Refusal.INITCODE_TOO_LARGE,
    }
)
"""Refusals after which a transaction does not wait any longer."""
_OVERFILL = 2
"""Gas limits of candidates, all together, as a multiple of the block's: most use less than they allow."""


class MiningChain(ChainCore):
    """What makes blocks. See `Chain`."""

    def mine(self, count: int = 1, *, timestamp: int | None = None, interval: int | None = None) -> list[Block]:
        """Make `count` blocks of what waits, the first at `timestamp`, each `interval` seconds after the one before.

        Raises `ReadOnlyChain`, `InputError` for a timestamp that is not later than the last block's.
        """
        self._check_writable()
        made: list[Block] = []
        for number in range(count):
            with self._writing:
                if timestamp is not None and number == 0:
                    self.clock.set_next(timestamp, self.head.header.timestamp)
                elif interval is not None and number:
                    self.clock.set_next(self.head.header.timestamp + interval, self.head.header.timestamp)
                following = self.next_draft()
                made.append(self._mine(following, self._select(following))[0].block)
        return made

    def mine_these(self, transactions: Sequence[SignedTransaction]) -> Block:
        """Make a block of exactly these, in this order, without those that cannot run; what waits goes on to."""
        self._check_writable()
        with self._writing:
            return self._mine(self.next_draft(), transactions)[0].block

    @property
    def mining_interval(self) -> float | None:
        """Seconds between blocks that are made at regular times; None if they are not."""
        miner = self._miner
        return None if miner is None else miner.seconds

    def set_mining(self, mode: MiningMode, block_time: float | None = None) -> None:
        """Choose when blocks are made; `block_time` is seconds between them in the mode `interval`.

        With `transaction`, what waits already is mined with the next transaction. Raises `ReadOnlyChain`.
        """
        if mode != "manual":
            self._check_writable()
        miner, self._miner = self._miner, None
        if miner is not None:
            miner.stop()
        self.mining = mode
        if mode == "interval":
            self._miner = IntervalMiner(self.mine, self.options.block_time if block_time is None else block_time)
            self._miner.start()

    def next_draft(self) -> Draft:
        """The next block, as it would be now."""
        parent, chosen = self.head.header, self.next_block
        timestamp = self.clock.peek(parent.timestamp)
        key = (parent.hash, timestamp, self.coinbase, self._sealed, *chosen.values())
        kept = self._next
        if kept is not None and kept[0] == key:
            return kept[1]
        plan = plan_after(
            parent,
            timestamp=timestamp,
            coinbase=self.coinbase,
            target_gas_limit=self.options.gas_limit,
            extra_data=self.options.extra_data,
            salt=self._sealed,
        )
        if chosen.values() != NOTHING_CHOSEN:
            plan = plan._replace(**chosen.given())
        made = draft(self.genesis, parent, plan)
        self._next = key, made
        return made

    def _select(self, made: Draft) -> list[SignedTransaction]:
        """What to try in a block, best first."""
        base_fee = made.header.base_fee or 0
        room = _OVERFILL * made.header.gas_limit
        found: list[SignedTransaction] = []
        get_nonce = self._world.state.get_nonce
        for waiting in self.pool.best(base_fee, get_nonce, by_arrival=self.options.by_arrival):
            room -= waiting.tx.gas_limit
            if room < 0 and found:
                break
            found.append(waiting.signed)
        return found

    def _mine_only(self, made: Draft, signed: SignedTransaction) -> None:
        """Make a block of a transaction that waits nowhere; raise what is wrong with it, if it could not run."""
        cause = self._mine(made, [signed])[1].get(signed.hash)
        if cause is not None:
            raise cause

    def _mine_at_once(self, made: Draft, signed: SignedTransaction) -> bool:
        """Make a block of a transaction that has not been held to the mempool's rules, but will pass them if it runs.

        False if it does not; then nothing has happened.
        """
        try:
            stored, _ = self._mine_once(made, [signed], leaves_out=False)
        except (TransactionRefused, PluginError):
            return False
        if self._subscribers:
            self._events.append(PendingTransaction(TransactionEntry(signed.tx, signed.hash, signed.sender)))
        self._append(stored)
        return True

    def _mine_for(self, waiting: SignedTransaction) -> None:
        """Mine as long as something can run; raise what is wrong with the transaction, if it could not after all."""
        while True:
            made = self.next_draft()
            stored, refused = self._mine(made, self._select(made))
            cause = refused.get(waiting.hash)
            if cause is not None:
                raise cause
            if not stored.encoded or waiting.hash not in self.pool or not self._select(self.next_draft()):
                return

    def _mine(
        self, made: Draft, candidates: Sequence[SignedTransaction]
    ) -> tuple[StoredBlock, dict[bytes, VmloomError]]:
        """Make the next block of these; returns it and what could not run, by hash."""
        unrunnable: dict[bytes, VmloomError] = {}
        while True:
            try:
                stored, refused = self._mine_once(made, candidates)
                self._append(stored)
                return stored, {**refused, **unrunnable}
            except PluginError:
                found = self._drop_unrunnable(made, candidates)
                if not found:
                    raise
                unrunnable.update(found)
                candidates = [one for one in candidates if one.hash not in found]

    def _drop_unrunnable(self, made: Draft, candidates: Sequence[SignedTransaction]) -> dict[bytes, VmloomError]:
        """Let go of what this node cannot run, such as for want of a VM: no block could be made any more."""
        found: dict[bytes, VmloomError] = {}
        for candidate in candidates:
            with self._readers.lend(self.store.version, NO_HASHES) as state:
                try:
                    self.run_block(made, state, [candidate], root_of=lambda _: bytes(32))
                except PluginError as error:
                    found[candidate.hash] = error
                    self.pool.remove(candidate.hash)
        return found

    def _mine_once(
        self, made: Draft, candidates: Sequence[SignedTransaction], *, leaves_out: bool = True
    ) -> tuple[StoredBlock, dict[bytes, TransactionRefused]]:
        """Make and commit the next block; what cannot run is left out, or raised. The caller appends it."""
        world = self._world
        try:
            result = self.run_block(made, world.state, candidates, root_of=world.root, leaves_out=leaves_out)
            stored = self._sealed_block(made, world.state, result)
            world.commit(records.block_records(stored, self.store.version + 1))
        except BaseException:
            world.discard()
            raise
        self.clock.take(self.head.header.timestamp)
        if self.next_block.values() != NOTHING_CHOSEN:
            self.next_block = NextBlock()
        self._sealed += 1
        refused = {candidates[one.index].hash: one.cause for one in result.rejected}
        self._clean_pool(stored.block, refused)
        return stored, refused

    def run_block(
        self,
        made: Draft,
        state: StateAccess,
        candidates: Sequence[SignedTransaction],
        *,
        root_of: Callable[[Any], bytes],
        observer: BlockObserver = NOBODY,
        leaves_out: bool = True,
    ) -> BlockResult:
        """Run a block on `state`; see `process_block`. Raises `InvalidBlock`, and `TransactionRefused` as told."""
        return process_block(
            self.evm.specification(made.fork),
            state,
            made.input,
            candidates,
            host=self.evm.host,
            engine=self.evm.executor,
            root_of=root_of,
            observer=observer,
            leaves_out=leaves_out,
        )

    def _sealed_block(
        self,
        made: Draft,
        state: StateAccess,
        result: BlockResult,
        *,
        is_pending: bool = False,
    ) -> StoredBlock:
        return seal(
            made,
            result,
            vms_of(state, result, self.evm.host.default_vm),
            parent_total_difficulty=self.head.total_difficulty,
            is_pending=is_pending,
            is_native=self._is_native,
        )

    def _clean_pool(self, block: Block, refused: Mapping[bytes, TransactionRefused]) -> None:
        if not len(self.pool):
            return
        for transaction_hash in block.hashes:
            self.pool.remove(transaction_hash)
        for transaction_hash, cause in refused.items():
            if cause.refusal in PERMANENT:
                self.pool.remove(transaction_hash)
        get_nonce = self._world.state.get_nonce
        for sender in set(block.senders):
            self.pool.drop_stale(sender, get_nonce(sender))

    def _append(self, stored: StoredBlock) -> None:
        """A block has been committed: it is the last one now."""
        self._set_head(stored)
        self._tell_of(stored)

    def _tell_of(self, stored: StoredBlock) -> None:
        if self._subscribers and not self._is_quiet:
            self._events.append(self._ledger.news(stored.block.number))
