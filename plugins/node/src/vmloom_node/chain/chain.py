"""The chain: blocks, the state after them, the mempool, and everything that a node lets its clients do with these.

`Chain` is what all else in the node speaks to: the JSON-RPC methods, the explorer, the backend of eth-tester. It takes
and gives Python objects. Its methods are safe to call from any thread: those that change something go one after the
other, those that read do not wait for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Lock, RLock
from types import MappingProxyType
from typing import Any, Final

from vmloom import Account, BlockContext, MemoryState, StateAccess
from vmloom.errors import InputError, PluginError, StateError, VmloomError
from vmloom.hashing import keccak256
from vmloom.state import NO_ACCOUNT, StateDiff
from vmloom.store import Changes, MemoryStore, Store, StoreView
from vmloom.vm import VmHost
from vmloom_evm.block import BlockObserver, BlockResult, SignedTransaction, Withdrawal, process_block
from vmloom_evm.block.process import NOBODY
from vmloom_evm.forks import Fork
from vmloom_evm.overrides import AccountOverride
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.codec import decode_transaction, encode_transaction, gas_limit_of
from vmloom_evm.transaction.outcome import TransactionResult
from vmloom_evm.transaction.signing import recover_sender, sign_transaction
from vmloom_evm.transaction.types import AccessListEntry, Refusal, Transaction, TransactionRefused, TransactionType
from vmloom_evm.trie import AccountProof, StateTrie

from . import fees, records
from .accounts import Accounts, derive_keys
from .admission import admit
from .block import Block, Log, TransactionEntry, TransactionReceipt, encode_block
from .building import Draft, draft, plan_after, seal, vms_of
from .calls import NO_OVERRIDE, BlockOverride, Calls, MakeTracers
from .clock import Clock
from .engine import stand_in
from .errors import PoolRefusal, PoolRefused, ReadOnlyChain, StatePruned, UnknownAccount, UnknownTransaction
from .events import ChainEvent, NewBlock, PendingTransaction, Reverted, Subscriber
from .foreign import Deployment, encode_envelope
from .genesis import Genesis, dev_genesis
from .header import Header, base_fee_after
from .interval import IntervalMiner
from .ledger import Ledger
from .logs import LogQuery
from .machine import ChainEvm
from .options import ChainOptions, MiningMode
from .pool import Pool, PoolContent, Waiting
from .records import StoredBlock
from .replay import Branches
from .requests import BlockRef, TransactionRequest
from .simulation import BlockOfCalls, SimulatedBlock, simulate
from .world import Readers, World

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
LIGHT_GAS: Final = 250_000
"""Gas that takes native code less than a few milliseconds, whatever it is used for."""
MAX_SNAPSHOTS: Final = 10_000
_OVERFILL = 2
"""Gas limits of candidates, all together, as a multiple of the block's: most use less than they allow."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
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


NO_HASHES: Final[Mapping[int, bytes]] = MappingProxyType({})


class Chain:
    """A chain of blocks, beginning with `genesis`, kept in `store`.

    An empty store gets the genesis block; one that holds a chain goes on with it, and must have begun with the same.
    Without arguments it is a chain for development, in memory: ten rich accounts, a block for each transaction.

    Raises `StateError` for a store with another chain, `ConfigError` for an engine that is not there, and `UnknownVm`
    for an account of the genesis whose VM is not.
    """

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
        is_native = self.evm.engine != "reference"
        self._world = World(self.store, self._ledger.hash_of, is_native=is_native)
        self._readers = Readers(self.store, self._ledger.hash_of, is_native=is_native)
        self._is_slow = not is_native or not isinstance(self.store, MemoryStore)
        self._lock = RLock()
        self._depth = 0
        self._events: deque[ChainEvent] = deque()
        self._subscribers: list[Subscriber] = []
        self._telling = Lock()
        self._snapshots: dict[int, _Snapshot] = {}
        self._last_snapshot = 0
        self._sealed = 0
        self._pending: tuple[tuple[int, int, int], Draft, StoredBlock] | None = None
        self._miner: IntervalMiner | None = None
        self._next: tuple[tuple[Any, ...], Draft] | None = None
        self._calls = Calls(self)
        self._branches = Branches(self)
        self._is_quiet = False
        self._open()
        if self.mining == "interval":
            self.set_mining("interval")

    # How it begins and ends

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

    def close(self) -> None:
        """Stop mining and give back what the store lends; the store itself stays open."""
        self.set_mining("manual")
        with self._lock:
            self._readers.close()

    # Blocks

    @property
    def chain_id(self) -> int:
        """As transactions are signed for it. EIP-155"""
        return self.genesis.chain_id

    @property
    def head(self) -> Block:
        """The last block."""
        return self._ledger.head

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
            candidates, result = self._run_pending(made, state, self._select(made))
            return self._sealed_block(made, state, candidates, result, is_pending=True)

    def _run_pending(
        self, made: Draft, state: StateAccess, candidates: list[SignedTransaction]
    ) -> tuple[list[SignedTransaction], BlockResult]:
        """Run what waits, less what this node cannot run, on a state that is lent; returns what has been tried."""
        try:
            return candidates, self.run_block(made, state, candidates, root_of=lambda _: bytes(32))
        except PluginError:
            with self._lock:
                dropped = self._drop_unrunnable()
            if not dropped:
                raise
            left = [one for one in candidates if one.hash not in dropped]
            return left, self.run_block(made, state, left, root_of=lambda _: bytes(32))

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

    # Transactions that come

    def send_raw(self, data: bytes) -> bytes:
        """Take a signed transaction as it travels; returns its hash. Raises as `send`."""
        self._check_writable()
        rules = self._next_rules()
        tx = decode_transaction(data, rules)
        return self._take(tx, recover_sender(tx, rules, self.chain_id, encoded=data), data)

    def send(self, tx: Transaction) -> bytes:
        """Take a signed transaction; returns its hash, 32 bytes.

        It is in a block when this returns if the chain mines for each transaction and it can run now. Raises
        `TransactionRefused` for one that cannot run as things stand, `PoolRefused` for one that the mempool does not
        take, `ReadOnlyChain`.
        """
        return self.send_raw(encode_transaction(tx))

    def send_request(self, request: TransactionRequest) -> bytes:
        """Sign and take what a request comes to, or take it unsigned for an account that is impersonated.

        Returns the hash. Raises as `send` and `fill`, and `UnknownAccount`.
        """
        self._check_writable()
        with self._writing():
            sender = self._sender_of(request)
            tx = self.fill(replace(request, sender=sender))
            signed = self.sign(tx, sender)
            return self._take(signed, sender, encode_transaction(signed))

    def _sender_of(self, request: TransactionRequest) -> bytes:
        if request.sender is not None:
            return request.sender
        known = self.accounts.addresses
        if not known:
            raise UnknownAccount("no sender is named, and the node has no accounts")
        return known[0]

    def sign(self, tx: Transaction, sender: bytes) -> Transaction:
        """`tx` with the signature of one of the node's accounts, or what stands in for one. Raises `UnknownAccount`."""
        if tx.type == TransactionType.LEGACY and not self._next_rules().chain_id_signatures:
            tx = replace(tx, chain_id=None)  # EIP-155
        key = self.accounts.key_of(sender)
        if key is not None:
            return sign_transaction(tx, key)
        if self.accounts.is_impersonated(sender):
            return replace(tx, signature=stand_in(sender))
        raise UnknownAccount(f"the node has no key of 0x{sender.hex()}, and does not impersonate it")

    def is_light(self, encoded: bytes) -> bool:
        """Whether `send_raw` of these bytes will be done within a few milliseconds, if nothing else is under way.

        Much gas may take long, a disk may, and so may all that waits if it is mined with it.
        """
        if self._is_slow or (self.mining == "transaction" and len(self.pool)):
            return False
        return gas_limit_of(encoded) <= LIGHT_GAS

    @contextmanager
    def unless_busy(self) -> Iterator[bool]:
        """True if no other thread changes the chain; none will then while the block lasts."""
        is_free = self._lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._lock.release()

    def _take(self, tx: Transaction, sender: bytes, encoded: bytes) -> bytes:
        transaction_hash = keccak256(encoded)
        with self._writing():
            made = self.next_draft()
            account = self._world.state.get_account(sender)
            if account is not None and tx.nonce < account.nonce and self._ledger.place_of(transaction_hash) is not None:
                raise PoolRefused(PoolRefusal.ALREADY_KNOWN, f"0x{transaction_hash.hex()} is in a block already")
            admit(
                tx,
                sender,
                account,
                made.rules,
                made.input.context,
                needs_base_fee=self.mining == "transaction",
                is_impersonated=self.accounts.is_impersonated(sender),
            )
            waiting = self.pool.add(tx, sender, encoded, transaction_hash, 0 if account is None else account.nonce)
            if self._subscribers:
                self._events.append(PendingTransaction(TransactionEntry(tx, transaction_hash, sender)))
            if self.mining == "transaction" and self.pool.is_ready(waiting, 0 if account is None else account.nonce):
                self._mine_for(waiting)
        return transaction_hash

    def _mine_for(self, waiting: Waiting) -> None:
        """Mine as long as something can run; raise what is wrong with the transaction, if it could not after all."""
        while True:
            stored, refused = self._mine()
            cause = refused.get(waiting.hash)
            if cause is not None:
                raise cause
            if not stored.encoded or waiting.hash not in self.pool or not self._select(self.next_draft()):
                return

    def drop(self, transaction_hash: bytes) -> bool:
        """Take a transaction out of the mempool; False if it is not there."""
        with self._writing():
            return self.pool.remove(transaction_hash)

    def pool_content(self) -> PoolContent:
        """What waits, by whether it could run now."""
        with self._lock:
            return self.pool.content(self._world.state.get_nonce)

    def fill(self, request: TransactionRequest) -> Transaction:
        """The unsigned transaction that a request comes to: nonce, fees and gas limit are found where they are missing.

        Raises `InputError` for fields that contradict each other, `CallFailed` where the gas cannot be estimated
        because the transaction would fail, `UnknownVm`.
        """
        sender = self._sender_of(request)
        rules = self._next_rules()
        tip = self.suggested_tip()
        tx = request.transaction(
            chain_id=self.chain_id,
            nonce=self.nonce(sender, "pending") if request.nonce is None else request.nonce,
            gas_limit=0,
            max_fee=2 * self.next_base_fee() + tip if rules.base_fee else self.gas_price(),
            tip=tip,
            has_base_fee=rules.base_fee,
            blob_fee=2 * self.blob_base_fee(),
        )
        if request.gas_limit is None:
            tx = replace(tx, gas_limit=self.estimate(replace(request, sender=sender), "pending"))
        return self.enveloped(tx, request)

    def enveloped(self, tx: Transaction, request: TransactionRequest) -> Transaction:
        """`tx` with its data in an envelope, if the request names the VM that it is for. Raises `InputError`."""
        if request.vm in (None, "", self.evm.host.default_vm):
            return tx
        if request.to is not None:
            raise InputError("vm: only a creation says which VM it is for")
        assert request.vm is not None
        self.evm.host.get_vm(request.vm)
        return replace(tx, data=encode_envelope(Deployment(request.vm, request.data)))

    # Runs that leave nothing behind

    def call(
        self,
        request: TransactionRequest,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        block: BlockOverride = NO_OVERRIDE,
    ) -> TransactionResult:
        """What the transaction would do after a block, on the state as `overrides` change it. A failure is a result.

        Raises `TransactionRefused` for one that may not run, and as `state_at`.
        """
        return self._calls.call(request, ref, overrides, block, None)

    def estimate(
        self,
        request: TransactionRequest,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        block: BlockOverride = NO_OVERRIDE,
    ) -> int:
        """The least gas limit with which the transaction succeeds. Raises `CallFailed` if none does, and as `call`."""
        return self._calls.estimate(request, ref, overrides, block)

    def access_list(
        self,
        request: TransactionRequest,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
    ) -> tuple[tuple[AccessListEntry, ...], TransactionResult]:
        """The access list that the transaction would use, and its result with it. EIP-2930. Raises as `call`."""
        return self._calls.access_list(request, ref, overrides)

    def trace_call(
        self,
        request: TransactionRequest,
        make_tracers: MakeTracers,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        block: BlockOverride = NO_OVERRIDE,
    ) -> TransactionResult:
        """`call`, watched by the tracers that `make_tracers` gives."""
        return self._calls.call(request, ref, overrides, block, make_tracers)

    def trace(self, transaction_hash: bytes, make_tracers: MakeTracers) -> TransactionResult:
        """Run a transaction again in its block, watched by tracers. Raises `UnknownTransaction`, `StatePruned`."""
        place = self._ledger.place_of(transaction_hash)
        if place is None:
            raise UnknownTransaction(f"transaction 0x{transaction_hash.hex()} is in no block")
        return self._calls.trace(place[0], make_tracers, place[1])[0]

    def trace_block(self, ref: BlockRef, make_tracers: MakeTracers) -> list[TransactionResult]:
        """Run all transactions of a block again, each watched by tracers of its own; their results, in order.

        Raises `UnknownBlock`, `StatePruned`. The genesis block has none.
        """
        number = self._ledger.number_of(ref)
        return self._calls.trace(number, make_tracers, None) if number > self.genesis.number else []

    def simulate(
        self,
        blocks: Sequence[BlockOfCalls],
        ref: BlockRef = "latest",
        *,
        trace_transfers: bool = False,
        validation: bool = False,
    ) -> list[SimulatedBlock]:
        """What would come of blocks of calls after the block `ref`, one on the other; gaps in numbers are filled.

        `trace_transfers` has transfers of ether among the logs, `validation` checks transactions as in real blocks.
        Raises `TransactionRefused` for a call that may not run, `SimulationRefused` for blocks out of order, and as
        `state_at`.
        """
        return simulate(self, blocks, ref, trace_transfers=trace_transfers, validation=validation)

    def context(self, ref: BlockRef = "latest", block: BlockOverride = NO_OVERRIDE) -> BlockContext:
        """The block in which calls at `ref` run. Raises `UnknownBlock`."""
        return self._calls.context(ref, block)

    def stored_block(self, number: int) -> StoredBlock:
        """A block with all that the store has of it. Raises `UnknownBlock`."""
        return self._ledger.stored(number)

    # Mining

    def mine(self, count: int = 1, *, timestamp: int | None = None, interval: int | None = None) -> list[Block]:
        """Make `count` blocks of what waits, the first at `timestamp`, each `interval` seconds after the one before.

        Raises `ReadOnlyChain`, `InputError` for a timestamp that is not later than the last block's.
        """
        self._check_writable()
        made: list[Block] = []
        for number in range(count):
            with self._writing():
                if timestamp is not None and number == 0:
                    self.clock.set_next(timestamp, self.head.header.timestamp)
                elif interval is not None and number:
                    self.clock.set_next(self.head.header.timestamp + interval, self.head.header.timestamp)
                made.append(self._mine()[0].block)
        return made

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
        made = draft(self.genesis, parent, replace(plan, **chosen.given()))
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
            found.append(SignedTransaction(waiting.tx, waiting.sender, waiting.encoded, waiting.hash))
        return found

    def _mine(self) -> tuple[StoredBlock, dict[bytes, VmloomError]]:
        """Make the next block; returns it and what could not run, by hash."""
        unrunnable: dict[bytes, VmloomError] = {}
        while True:
            try:
                stored, refused = self._mine_once()
                return stored, {**refused, **unrunnable}
            except PluginError:
                found = self._drop_unrunnable()
                if not found:
                    raise
                unrunnable.update(found)

    def _drop_unrunnable(self) -> dict[bytes, VmloomError]:
        """Let go of what this node cannot run, such as for want of a VM: no block could be made any more."""
        found: dict[bytes, VmloomError] = {}
        made = self.next_draft()
        for candidate in self._select(made):
            with self._readers.lend(self.store.version, NO_HASHES) as state:
                try:
                    self.run_block(made, state, [candidate], root_of=lambda _: bytes(32))
                except PluginError as error:
                    found[candidate.hash] = error
                    self.pool.remove(candidate.hash)
        return found

    def _mine_once(self) -> tuple[StoredBlock, dict[bytes, TransactionRefused]]:
        made = self.next_draft()
        candidates = self._select(made)
        world = self._world
        try:
            result = self.run_block(made, world.state, candidates, root_of=world.root)
            stored = self._sealed_block(made, world.state, candidates, result)
            world.commit(records.block_records(stored, self.store.version + 1))
        except BaseException:
            world.discard()
            raise
        self.clock.take(self.head.header.timestamp)
        self.next_block = NextBlock()
        self._sealed += 1
        refused = {candidates[one.index].hash: one.cause for one in result.rejected}
        self._clean_pool(stored.block, refused)
        self._append(stored)
        return stored, refused

    def run_block(
        self,
        made: Draft,
        state: StateAccess,
        candidates: Sequence[SignedTransaction],
        *,
        root_of: Callable[[Any], bytes],
        observer: BlockObserver = NOBODY,
    ) -> BlockResult:
        """Run a block on `state`; see `process_block`. Raises `InvalidBlock`."""
        return process_block(
            self.evm.specification(made.fork),
            state,
            made.input,
            candidates,
            host=self.evm.host,
            engine=self.evm.executor,
            root_of=root_of,
            observer=observer,
        )

    def _sealed_block(
        self,
        made: Draft,
        state: StateAccess,
        candidates: Sequence[SignedTransaction],
        result: BlockResult,
        *,
        is_pending: bool = False,
    ) -> StoredBlock:
        left_out = {one.index for one in result.rejected}
        return seal(
            made,
            result,
            [one for index, one in enumerate(candidates) if index not in left_out],
            vms_of(state, result, self.evm.host.default_vm),
            parent_total_difficulty=self.head.total_difficulty,
            is_pending=is_pending,
        )

    def _clean_pool(self, block: Block, refused: Mapping[bytes, TransactionRefused]) -> None:
        for transaction_hash in block.hashes:
            self.pool.remove(transaction_hash)
        for transaction_hash, cause in refused.items():
            if cause.refusal in PERMANENT:
                self.pool.remove(transaction_hash)
        get_nonce = self._world.state.get_nonce
        for sender in set(block.senders):
            self.pool.drop_stale(sender, get_nonce(sender))

    # Blocks that others have made

    def import_block(self, data: bytes) -> Block:
        """Check a block in full, run it and append it; `data` is its RLP.

        One that follows another block than the last begins or continues a branch, which becomes the chain once its
        total difficulty is greater. A block that the chain has is just returned.

        Raises `InvalidHeader` and `InvalidBlock` with what is wrong, `UnknownBlock` where nobody knows the parent, and
        `StatePruned` for a branch that begins too far back; then nothing has changed.
        """
        with self._writing():
            return self._branches.add(data)

    @contextmanager
    def rewound(self, number: int) -> Iterator[Callable[[], None]]:
        """Go back to block `number` for as long, and let nobody hear of what happens meanwhile.

        To call what is given is to let things stay as they are then, which subscribers hear.
        """
        removed = self._removed(number)
        self._is_quiet = True
        accepted = False

        def accept() -> None:
            nonlocal accepted
            accepted = True

        try:
            self.rewind(number)
            yield accept
        finally:
            self._is_quiet = False
        if accepted and self._subscribers:
            self._events.append(Reverted(removed))
            for added in range(number + 1, self.head.number + 1):
                self._tell_of(self._ledger.stored(added))

    def rewind(self, number: int) -> None:
        """Have block `number` be the last one; what waits goes on to. Raises `StatePruned`."""
        version = records.read_version(self.store, number)
        assert version is not None
        self._go_back(_Snapshot(version, number, self.pool.save(), self.clock.save()))

    def append_checked(
        self,
        made: Draft,
        transactions: Sequence[SignedTransaction],
        check: Callable[[StateAccess, BlockResult], StoredBlock],
    ) -> Block:
        """Run a block; append what `check` makes of its state and result. What that raises leaves all as it was."""
        world = self._world
        with self._writing():
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

    def _append(self, stored: StoredBlock) -> None:
        """A block has been committed: it is the last one now."""
        self._set_head(stored)
        self._tell_of(stored)

    def _tell_of(self, stored: StoredBlock) -> None:
        if self._subscribers and not self._is_quiet:
            self._events.append(self._ledger.news(stored.block.number))

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

    # Snapshots

    def snapshot(self) -> int:
        """Remember the chain as it is: blocks, state, mempool and time. Returns a number for `revert`, 1 and up.

        Of very many, or if the history does not reach back to it any more, the oldest is forgotten.
        """
        with self._writing():
            self._last_snapshot += 1
            while self._snapshots:
                oldest = next(iter(self._snapshots))
                if len(self._snapshots) < MAX_SNAPSHOTS and self._snapshots[oldest].version >= self.store.oldest:
                    break
                del self._snapshots[oldest]
            self._snapshots[self._last_snapshot] = _Snapshot(
                self.store.version, self.head.number, self.pool.save(), self.clock.save()
            )
            return self._last_snapshot

    def revert(self, snapshot: int, *, keep: bool = False) -> bool:
        """Have the chain as it was at a snapshot; False for one that there is not.

        Later snapshots are gone then, and this one, too, unless it is to be kept. Raises `StatePruned` if the history
        does not reach back that far.
        """
        with self._writing():
            found = self._snapshots.get(snapshot)
            if found is None:
                return False
            self._go_back(found)
            for number in [one for one in self._snapshots if one > snapshot or (one == snapshot and not keep)]:
                del self._snapshots[number]
            return True

    def reset(self) -> None:
        """Go back to the genesis block. Raises `StatePruned` if the history does not reach back that far."""
        with self._writing():
            version = records.read_version(self.store, self.genesis.number)
            assert version is not None
            self._go_back(_Snapshot(version, self.genesis.number, (), (0, None, None)))
            self._snapshots.clear()

    def _go_back(self, snapshot: _Snapshot) -> None:
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

    # Changes by hand

    @contextmanager
    def edit(self) -> Iterator[StateAccess]:
        """Change the state after the last block, as no transaction could. What is changed is committed at the end."""
        self._check_writable()
        with self._writing():
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
        if code:
            self.evm.host.get_vm(name)
        with self.edit() as state:
            state.set_code(address, code, "" if name == self.evm.host.default_vm else name)

    def set_storage(self, address: bytes, slot: int, word: int) -> None:
        """Set a word of the account's storage. Raises `InputError` out of range."""
        _check_word("slot", slot)
        _check_word("word", word)
        with self.edit() as state:
            state.set_storage(address, slot, word)

    # Subscriptions

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have `subscriber` called with each event from now on; returns what ends that."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock, suppress(ValueError):
                self._subscribers.remove(subscriber)

        return unsubscribe

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone, and subscribers hear of it when all is done."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                is_done = self._depth == 0
        if is_done:
            self._tell()

    def _tell(self) -> None:
        while self._events and self._telling.acquire(blocking=False):
            try:
                while self._events:
                    event = self._events.popleft()
                    for subscriber in tuple(self._subscribers):
                        _tell_one(subscriber, event)
            finally:
                self._telling.release()

    def _check_writable(self) -> None:
        if self.options.is_read_only:
            raise ReadOnlyChain("this chain only imports blocks")

    def fork(self, ref: BlockRef = "latest") -> Fork:
        """The fork of a block; `pending` is the next one. Raises `UnknownBlock`."""
        header = self.next_draft().header if ref == "pending" else self.block(ref).header
        return self.genesis.schedule.fork_at(header.number, header.timestamp)

    def _next_rules(self) -> Rules:
        parent = self.head.header
        return self.genesis.schedule.fork_at(parent.number + 1, self.clock.peek(parent.timestamp)).rules


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


def _check_word(what: str, word: int) -> None:
    if not 0 <= word < 1 << 256:
        raise InputError(f"{what}: does not fit 256 bits")


def _tell_one(subscriber: Subscriber, event: ChainEvent) -> None:
    try:
        subscriber(event)
    except Exception:
        import structlog  # only what goes wrong needs it

        structlog.get_logger("vmloom").exception("a subscriber of the chain failed", event_kind=type(event).__name__)
