"""What happens to a chain otherwise than by transactions: snapshots, going back, blocks of others, changes by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from vmloom import StateAccess
from vmloom.errors import InputError, StateError
from vmloom_evm.block import BlockResult, SignedTransaction

from . import records
from .block import Block
from .building import Draft
from .core import NextBlock, Snapshot
from .errors import StatePruned
from .events import NewBlock, Reverted
from .queries import ReadableChain
from .records import StoredBlock

MAX_SNAPSHOTS: Final = 10_000


class ChangeableChain(ReadableChain):
    """What goes back, comes from others, or is changed by hand. See `Chain`."""

    # Snapshots

    def snapshot(self) -> int:
        """Remember the chain as it is: blocks, state, mempool and time. Returns a number for `revert`, 1 and up.

        Of very many, or if the history does not reach back to it any more, the oldest is forgotten.
        """
        with self._writing:
            self._last_snapshot += 1
            while self._snapshots:
                oldest = next(iter(self._snapshots))
                if len(self._snapshots) < MAX_SNAPSHOTS and self._snapshots[oldest].version >= self.store.oldest:
                    break
                del self._snapshots[oldest]
            self._snapshots[self._last_snapshot] = Snapshot(
                self.store.version, self.head.number, self.pool.save(), self.clock.save()
            )
            return self._last_snapshot

    def revert(self, snapshot: int, *, keep: bool = False) -> bool:
        """Have the chain as it was at a snapshot; False for one that there is not.

        Later snapshots are gone then, and this one, too, unless it is to be kept. Raises `StatePruned` if the history
        does not reach back that far.
        """
        with self._writing:
            found = self._snapshots.get(snapshot)
            if found is None:
                return False
            self._go_back(found)
            for number in [one for one in self._snapshots if one > snapshot or (one == snapshot and not keep)]:
                del self._snapshots[number]
            return True

    def reset(self) -> None:
        """Go back to the genesis block. Raises `StatePruned` if the history does not reach back that far."""
        with self._writing:
            version = records.read_version(self.store, self.genesis.number)
            assert version is not None
            self._go_back(Snapshot(version, self.genesis.number, (), (0, None, None)))
            self._snapshots.clear()

    def ancestor(self, depth: int) -> int:
        """Number of the block so many before the last. Raises `InputError` if there are not as many."""
        height = self.head.number - self.genesis.number
        if not 0 <= depth <= height:
            raise InputError(f"depth: {depth} blocks, but only {height} follow the first one")
        return self.head.number - depth

    def rollback(self, depth: int = 1) -> None:
        """Have the block `depth` before the last be the last one, with the state as it was then.

        Transactions of the blocks after it are gone, and so are snapshots of them; what waits goes on to. Raises
        `InputError` if there are not as many blocks, `StatePruned` if the history does not reach back that far.
        """
        with self._writing:
            number = self.ancestor(depth)
            if depth:
                self.rewind(number, with_edits=True)
                self._forget_snapshots(self.store.version)

    def _forget_snapshots(self, version: int) -> None:
        """Let go of those after a version of the store: what they name is no more, or something else."""
        for number in [one for one, kept in self._snapshots.items() if kept.version > version]:
            del self._snapshots[number]

    def _go_back(self, snapshot: Snapshot) -> None:
        removed = self._removed(snapshot.number)
        try:
            self._world.rollback(snapshot.version)
        except StateError as error:
            raise StatePruned(str(error)).with_fix(error.fix) from None
        self._ledger.forget_after(snapshot.number)
        self._set_head(self._read_head(snapshot.number))
        self.pool.restore(snapshot.pool)
        self.clock.restore(snapshot.clock)
        self.next_block = NextBlock()
        if removed and not self._is_quiet:
            self._events.append(Reverted(removed))

    def _removed(self, number: int) -> tuple[NewBlock, ...]:
        """The blocks after `number`, the newest first, if anybody is to hear of them."""
        if not self._subscribers:
            return ()
        return tuple(self._ledger.news(gone) for gone in range(self.head.number, number, -1))

    def _read_head(self, number: int) -> StoredBlock:
        found = records.read_block(self.store, number)
        if found is None:
            raise StateError(f"the store has no block {number}, though it says that this is the last one")
        return found

    # Other blocks

    @contextmanager
    def rewound(self, number: int, *, with_edits: bool = False) -> Iterator[Callable[[], None]]:
        """Go back to block `number` for as long, as `rewind` does, and let nobody hear of what happens meanwhile.

        To call what is given is to let things stay as they are then, which subscribers hear; snapshots of what was
        there before are gone.
        """
        removed = self._removed(number)
        self._is_quiet = True
        accepted = False

        def accept() -> None:
            nonlocal accepted
            accepted = True

        try:
            self.rewind(number, with_edits=with_edits)
            version = self.store.version
            yield accept
        finally:
            self._is_quiet = False
        if accepted:
            self._forget_snapshots(version)
        if accepted and self._subscribers:
            self._events.append(Reverted(removed))
            for added in range(number + 1, self.head.number + 1):
                self._tell_of(self._ledger.stored(added))

    def rewind(self, number: int, *, with_edits: bool = False) -> None:
        """Have block `number` be the last one; what waits goes on to. Raises `StatePruned`.

        `with_edits` keeps what was changed by hand between it and the next one.
        """
        version = self._ledger.version_after(number) if with_edits else records.read_version(self.store, number)
        assert version is not None
        self._go_back(Snapshot(version, number, self.pool.save(), self.clock.save()))

    def append_checked(
        self,
        made: Draft,
        transactions: Sequence[SignedTransaction],
        check: Callable[[StateAccess, BlockResult], StoredBlock],
    ) -> Block:
        """Run a block; append what `check` makes of its state and result. What that raises leaves all as it was."""
        world = self._world
        with self._writing:
            try:
                result = self.run_block(made, world.state, transactions, root_of=world.root)
                stored = check(world.state, result)
                world.commit(records.block_records(stored, self.store.version + 1))
            except BaseException:
                world.discard()
                raise
            self._clean_pool(stored.block, {})
            self._append(stored)
            return stored.block

    # Changes by hand

    @contextmanager
    def edit(self) -> Iterator[StateAccess]:
        """Change the state after the last block, as no transaction could. What is changed is committed at the end."""
        self._check_writable()
        with self._writing:
            world = self._world
            try:
                yield world.state
                world.state.begin_transaction()
                world.root()
                world.commit({})
            except BaseException:
                world.discard()
                raise
            self._readers.advance(self.store.version)

    def set_balance(self, address: bytes, balance: int) -> None:
        """Give the account exactly `balance` wei. Raises `InputError` out of range."""
        _check_word("balance", balance)
        with self.edit() as state:
            state.set_balance(address, balance)

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Set the account's nonce. Raises `InputError` out of range."""
        if not 0 <= nonce < 1 << 64:
            raise InputError(f"nonce {nonce} does not fit 64 bits")
        with self.edit() as state:
            state.set_nonce(address, nonce)

    def set_code(self, address: bytes, code: bytes, vm: str | None = None) -> None:
        """Set the account's code and the VM that runs it, by default the one whose magic it has. Raises `UnknownVm`."""
        name = self.evm.host.vm_of_code(code) if vm is None else vm
        if code or vm is not None:
            self.evm.host.get_vm(name)
        with self.edit() as state:
            state.set_code(address, code, "" if name == self.evm.host.default_vm else name)

    def set_storage(self, address: bytes, slot: int, word: int) -> None:
        """Set a word of the account's storage. Raises `InputError` out of range."""
        _check_word("slot", slot)
        _check_word("word", word)
        with self.edit() as state:
            state.set_storage(address, slot, word)


def _check_word(what: str, word: int) -> None:
    if not 0 <= word < 1 << 256:
        raise InputError(f"{what}: does not fit 256 bits")
