"""What a chain consists of, how it begins, and how those hear of it who want to.

The parts of `Chain` are classes, each in a module that knows those before it: this one, `mining`, `queries`, `changes`,
and `chain` itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, RLock
from types import MappingProxyType
from typing import Any, Final

from vmloom import MemoryState
from vmloom.deadline import no_time_limit
from vmloom.errors import StateError
from vmloom.state import StateDiff
from vmloom.store import Changes, MemoryStore, Store
from vmloom.vm import VmHost
from vmloom_evm.block import Withdrawal
from vmloom_evm.forks import Fork
from vmloom_evm.rules import Rules
from vmloom_evm.trie import StateTrie

from . import records
from .accounts import Accounts, derive_keys
from .block import Block, encode_block
from .building import Draft
from .clock import Clock
from .errors import ReadOnlyChain
from .events import ChainEvent, Subscriber
from .genesis import Genesis, dev_genesis
from .header import Header
from .interval import IntervalMiner
from .ledger import Ledger
from .machine import ChainEvm
from .options import ChainOptions
from .pool import Pool, Waiting
from .records import StoredBlock
from .world import Readers, World

NO_HASHES: Final[Mapping[int, bytes]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `Chain.revert` goes back to."""

    version: int
    number: int
    pool: tuple[Waiting, ...]
    clock: tuple[int, int | None, int | None]


@dataclass(slots=True)
class NextBlock:
    """What the next block is to have in place of what the chain would choose; None leaves it the choice."""

    base_fee: int | None = None
    """wei per gas"""
    prev_randao: bytes | None = None
    gas_limit: int | None = None
    withdrawals: tuple[Withdrawal, ...] | None = None

    def values(self) -> tuple[Any, ...]:
        """All that is chosen."""
        return self.base_fee, self.prev_randao, self.gas_limit, self.withdrawals

    def given(self) -> dict[str, Any]:
        """What is chosen, by the names of `building.Plan`."""
        names = ("base_fee", "prev_randao", "gas_limit", "withdrawals")
        return {name: value for name, value in zip(names, self.values(), strict=True) if value is not None}


NOTHING_CHOSEN: Final = NextBlock().values()


class ChainCore:
    """The parts of a chain and its lock. See `Chain`."""

    def __init__(
        self,
        genesis: Genesis | None = None,
        *,
        store: Store | None = None,
        host: VmHost | None = None,
        options: ChainOptions | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.accounts = Accounts(derive_keys()) if accounts is None and genesis is None else accounts or Accounts()
        self.genesis = genesis or dev_genesis(self.accounts.addresses)
        self.options = options or ChainOptions()
        self.store = MemoryStore() if store is None else store
        self.evm = ChainEvm(self.options.evm, host, self.genesis.schedule, creates_foreign=self.options.creates_foreign)
        self.clock = Clock(self.options.clock)
        self.next_block = NextBlock()
        self.pool = Pool(self.options.pool)
        self.mining = self.options.mining
        self.coinbase = self.options.coinbase
        self._ledger = Ledger(self.store, self.genesis)
        self._is_native = is_native = self.evm.engine != "reference"
        self._world = World(self.store, self._ledger.hash_of, is_native=is_native)
        self._readers = Readers(self.store, self._ledger.hash_of, is_native=is_native)
        self._is_slow = not is_native or not isinstance(self.store, MemoryStore)
        self._lock = RLock()
        self._writing = _Writing(self)
        self._events: deque[ChainEvent] = deque()
        self._subscribers: list[Subscriber] = []
        self._telling = Lock()
        self._snapshots: dict[int, Snapshot] = {}
        self._last_snapshot = 0
        self._sealed = 0
        self._pending: tuple[tuple[int, int, int], Draft, StoredBlock] | None = None
        self._miner: IntervalMiner | None = None
        self._next: tuple[tuple[Any, ...], Draft] | None = None
        self._is_quiet = False
        self._open()

    # How it begins

    def _open(self) -> None:
        """Begin the chain, or go on with that of the store."""
        for _, account in self.genesis.state.accounts():
            if account.vm:
                self.evm.host.get_vm(account.vm)
        diff = diff_of(self.genesis.state)
        root, nodes = StateTrie(MemoryStore()).update(diff)
        header = self.genesis.header(root)
        number = records.read_head(self.store)
        if number is None:
            self._begin(header, diff, nodes)
            return
        records.check_config(self.store, header.hash, self.genesis.chain_id)
        head = records.read_block(self.store, number)
        if head is None:
            raise StateError(f"the store has no block {number}, though it says that this is the last one")
        self._set_head(head)

    def _begin(self, header: Header, diff: StateDiff, nodes: Changes) -> None:
        withdrawals = () if header.withdrawals_root is not None else None
        raw = encode_block(header, (), (), withdrawals)
        total = header.difficulty
        block = Block(header, (), (), (), withdrawals=withdrawals, total_difficulty=total, size=len(raw))
        first = StoredBlock(block, raw, (), (), ())
        kept = records.block_records(first, self.store.version + 1)
        config = {records.CONFIG: records.config_record(header.hash, self.genesis.chain_id)}
        self._world.stored.commit_with({**nodes, **kept, **config}, diff=diff)
        self._set_head(first)

    def _set_head(self, stored: StoredBlock) -> None:
        self._ledger.head = stored.block
        self._ledger.keep(stored)
        self._readers.advance(self.store.version)

    @property
    def chain_id(self) -> int:
        """As transactions are signed for it. EIP-155"""
        return self.genesis.chain_id

    @property
    def head(self) -> Block:
        """The last block."""
        return self._ledger.head

    def _next_fork(self) -> Fork:
        parent = self.head.header
        return self.genesis.schedule.fork_at(parent.number + 1, self.clock.peek(parent.timestamp))

    def _next_rules(self) -> Rules:
        return self._next_fork().rules

    def _check_writable(self) -> None:
        if self.options.is_read_only:
            raise ReadOnlyChain("this chain only imports blocks")

    # Subscriptions

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have `subscriber` called with each event from now on; returns what ends that."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock, suppress(ValueError):
                self._subscribers.remove(subscriber)

        return unsubscribe

    def _tell(self) -> None:
        while self._events and self._telling.acquire(blocking=False):
            try:
                while self._events:
                    event = self._events.popleft()
                    for subscriber in tuple(self._subscribers):
                        _tell_one(subscriber, event)
            finally:
                self._telling.release()


class _Writing:
    """What changes a chain goes in blocks of this: alone, without a time limit, and subscribers hear of it at the end.

    Blocks may stand in each other.
    """

    __slots__ = ("_chain", "_depth", "_no_limit")

    def __init__(self, chain: ChainCore) -> None:
        self._chain = chain
        self._depth = 0

    def __enter__(self) -> None:
        self._chain._lock.acquire()
        if not self._depth:
            self._no_limit = no_time_limit()
            self._no_limit.__enter__()
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._depth -= 1
        is_done = not self._depth
        if is_done:
            self._no_limit.__exit__()
        self._chain._lock.release()
        if is_done and kind is None and self._chain._events:
            self._chain._tell()


class UnlessBusy:
    """Holds a lock as long as a block lasts, which gets True; or does not where another thread has it."""

    __slots__ = ("_is_free", "_lock")

    def __init__(self, lock: RLock) -> None:
        self._lock = lock

    def __enter__(self) -> bool:
        self._is_free = self._lock.acquire(blocking=False)
        return self._is_free

    def __exit__(self, *_: object) -> None:
        if self._is_free:
            self._lock.release()


def diff_of(state: MemoryState) -> StateDiff:
    """All of `state`, as what has changed since there was nothing."""
    accounts = dict(state.accounts())
    return StateDiff(
        dict(accounts),
        {address: state.storage_of(address) for address in accounts},
        {address: dict(state.records_of(address)) for address in accounts},
        set(),
        set(),
    )


def _tell_one(subscriber: Subscriber, event: ChainEvent) -> None:
    try:
        subscriber(event)
    except Exception:
        import structlog  # only what goes wrong needs it

        structlog.get_logger("vmloom").exception("a subscriber of the chain failed", event_kind=type(event).__name__)
