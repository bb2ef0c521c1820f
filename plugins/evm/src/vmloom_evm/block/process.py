"""A block from its first system call to its roots. Transactions that may not run are left out and reported.

The changes stay in the state's undo log: committing is the caller's. A block that is invalid as such raises, and the
state is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, TypeAlias

from vmloom import BlockContext, StateAccess
from vmloom.hashing import create_address, keccak256
from vmloom.vm import VmHost

from ..commitment import logs_hash, may_have_logged, state_root
from ..engine import Engine
from ..fees import GAS_PER_BLOB
from ..reference.engine import REFERENCE
from ..specification import Specification
from ..system import SystemCall
from ..trace.hooks import Tracer
from ..transaction.apply import sender_of
from ..transaction.checks import BLOB_ALLOWANCE_EXCEEDED
from ..transaction.codec import encode_transaction
from ..transaction.outcome import TransactionResult
from ..transaction.types import Transaction, TransactionRefused
from ..transaction.validation import Facts, blob_gas, refused, validate_static
from .body import Body, SignedTransaction, body
from .receipts import Receipt
from .requests import DEPOSIT_CONTRACT_ADDRESS, REQUEST_CALLS, deposit_requests, request_lists, requests_hash
from .rewards import NO_REWARD, Ommer, pay_rewards
from .system_calls import call_system_contracts, check_system_calls, opening_calls
from .withdrawals import Withdrawal, apply_withdrawals, withdrawals_root


@dataclass(frozen=True, slots=True)
class BlockInput:
    """What a block is beside its transactions. Hashes and roots have 32 bytes; None leaves their system call out.

    `reward` is wei for the miner, None being the fork's own and `NO_REWARD` nothing at all; `withdrawals` count from
    Shanghai on. `deposit_contract` is that of the network (EIP-6110).
    """

    context: BlockContext
    parent_hash: bytes | None = None
    parent_beacon_root: bytes | None = None
    ommers: tuple[Ommer, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    reward: int | None = None
    deposit_contract: bytes = DEPOSIT_CONTRACT_ADDRESS


@dataclass(frozen=True, slots=True)
class Rejection:
    """A transaction that was left out: its position in the input, and why."""

    index: int
    cause: TransactionRefused


@dataclass(frozen=True)
class BlockResult:
    """What came of a block. Roots and hashes have 32 bytes, gas is in gas; what the fork does not have is None."""

    signed: tuple[SignedTransaction, ...]
    """The transactions that ran, in order."""
    results: tuple[TransactionResult, ...]
    """What came of each of them."""
    rejected: tuple[Rejection, ...]
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    gas_used: int
    blob_gas_used: int | None
    withdrawals_root: bytes | None
    requests: tuple[bytes, ...] | None
    requests_hash: bytes | None
    encoded_receipts: tuple[bytes, ...]
    """As the receipts root is taken over them."""
    state_roots: tuple[bytes, ...]
    """After each transaction that ran; none since Byzantium."""
    blob_base_fee: int
    """wei per blob gas"""

    @property
    def included(self) -> tuple[Transaction, ...]:
        """The transactions that ran."""
        return tuple(one.tx for one in self.signed)

    @cached_property
    def receipts(self) -> tuple[Receipt, ...]:
        """Of the transactions that ran; made when somebody asks."""
        return tuple(self._receipts())

    def _receipts(self) -> Iterator[Receipt]:
        gas = 0
        roots = self.state_roots or repeat(b"", len(self.signed))
        for one, result, root in zip(self.signed, self.results, roots, strict=True):
            gas += result.gas_used
            yield Receipt(
                type=one.tx.type,
                success=result.success,
                state_root=root,
                cumulative_gas_used=gas,
                events=result.events,
                transaction_hash=one.hash,
                gas_used=result.gas_used,
                gas_price=result.gas_price,
                contract=create_address(one.sender, one.tx.nonce) if one.tx.to is None else None,
                blob_gas_used=result.blob_gas_used,
                blob_gas_price=self.blob_base_fee if result.blob_gas_used else 0,
            )

    @property
    def logs_hash(self) -> bytes:
        """keccak256 of the RLP of all logs, which no block has but test tools ask for."""
        return logs_hash(event for receipt in self.receipts for event in receipt.events)


class BlockObserver:
    """Watches the transactions of a block; override what you need. `index` counts those that are included."""

    def begin(self, index: int, tx: Transaction, sender: bytes) -> Sequence[Tracer]:
        """The tracers for a transaction that is tried next; `sender` is a 20-byte address."""
        return ()

    def included(self, index: int, tx: Transaction, result: TransactionResult) -> None:
        """It has run."""

    def refused(self, index: int, tx: Transaction, cause: TransactionRefused) -> None:
        """It was not run after all."""


NOBODY = BlockObserver()
Included: TypeAlias = Transaction | SignedTransaction | TransactionRefused
"""A transaction of a block, or why it could not be decoded."""


def process_block(
    specification: Specification,
    state: StateAccess,
    block: BlockInput,
    transactions: Iterable[Included],
    *,
    transactions_only: bool = False,
    leaves_out: bool = True,
    observer: BlockObserver = NOBODY,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
    root_of: Callable[[Any], bytes] = state_root,
) -> BlockResult:
    """Run a block on `state`. What is given as a refusal (it could not be decoded) is reported with the others.

    `transactions_only` leaves out all that surrounds the transactions: system calls, rewards, withdrawals, requests.
    `leaves_out` off is for who wants all transactions or nothing: the first that may not run is raised.
    `root_of` computes the state root (32 bytes) of `state` as it stands; the default reads every account of a
    `MemoryState`, a store that keeps its trie knows a shorter way.

    Raises `InvalidBlock` where a system contract that the fork requires is missing or fails, or a deposit event is
    malformed (EIP-6110, EIP-7002, EIP-7251); `TransactionRefused` with `leaves_out` off.
    """
    checkpoint = state.snapshot()
    try:
        made = _Block(specification, state, block, observer, host, engine, root_of, leaves_out)
        return made.process(transactions, transactions_only)
    except BaseException:
        state.revert(checkpoint)
        raise
    finally:
        state.begin_transaction()


class _Block:
    """A block on its way: what it has used and collected so far."""

    def __init__(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockInput,
        observer: BlockObserver,
        host: VmHost | None,
        engine: Engine,
        root_of: Callable[[Any], bytes],
        leaves_out: bool,
    ) -> None:
        self.specification = specification
        self.rules = specification.rules
        self.state = state
        self.block = block
        self.context = block.context
        self.observer = observer
        self.host = host
        self.engine = engine
        self.root_of = root_of
        self.leaves_out = leaves_out
        self.gas_used = 0
        self.signed: list[SignedTransaction] = []
        self.results: list[TransactionResult] = []
        self.state_roots: list[bytes] = []
        self.rejected: list[Rejection] = []
        self.collected: Sequence[bytes] | None = None
        """What `REQUEST_CALLS` have put out, once they have run."""
        self.requests: tuple[bytes, ...] | None = None

    def process(self, transactions: Iterable[Included], transactions_only: bool) -> BlockResult:
        block = self.block
        calls: Sequence[SystemCall] = ()
        if not transactions_only:
            calls = opening_calls(
                self.rules, parent_beacon_root=block.parent_beacon_root, parent_hash=block.parent_hash
            )
        if self.observer is NOBODY and self.rules.status_receipts:
            self.include_all(transactions, calls, ends=not transactions_only and self.ends_with_calls)
        else:
            if calls:
                self.call_contracts(calls)
            self.include_each(transactions)
        if self.rejected and not self.leaves_out:
            raise self.rejected[0].cause
        made = body(self.signed, self.results, self.state_roots)
        if not transactions_only:
            self.close(made.bloom)
        return self.result(made)

    @property
    def ends_with_calls(self) -> bool:
        """Whether the requests are collected right after the transactions, with nothing done in between."""
        is_paid = self.block.reward not in (None, NO_REWARD)
        return self.rules.request_contracts and not is_paid and not self.block.withdrawals

    def call_contracts(self, calls: Sequence[SystemCall], *, required: bool = False) -> list[bytes]:
        """See `call_system_contracts`."""
        return call_system_contracts(
            self.specification,
            self.state,
            self.context,
            calls,
            required=required,
            host=self.host,
            engine=self.engine,
        )

    def include_all(self, transactions: Iterable[Included], calls: Sequence[SystemCall], *, ends: bool) -> None:
        """Run the transactions in one go, after system calls, and those for requests with them if the block `ends` so.

        Nobody watches them, and receipts need no state root in between.
        """
        candidates: list[SignedTransaction] = []
        places: list[int] = []
        for index, one in enumerate(transactions):
            try:
                candidates.append(self.candidate(one))
                places.append(index)
            except TransactionRefused as cause:
                self.rejected.append(Rejection(index, cause))
        ran = self.engine.run_block(
            self.specification,
            self.state,
            self.context,
            [candidate.tx for candidate in candidates],
            [candidate.sender for candidate in candidates],
            before=calls,
            after=REQUEST_CALLS if ends else (),
            blob_gas_available=self.blob_gas_left,
            host=self.host,
        )
        if ends:
            check_system_calls(REQUEST_CALLS, ran.after)
            self.collected = [result.return_data for result in ran.after]
        for place, candidate, outcome in zip(places, candidates, ran.transactions, strict=True):
            if isinstance(outcome, TransactionRefused):
                self.rejected.append(Rejection(place, outcome))
            else:
                self.signed.append(candidate)
                self.results.append(outcome)
        self.rejected.sort(key=lambda rejection: rejection.index)

    def include_each(self, transactions: Iterable[Included]) -> None:
        """Run the transactions one by one."""
        for index, one in enumerate(transactions):
            try:
                candidate = self.candidate(one)
                self.take(candidate, self.run(candidate))
            except TransactionRefused as cause:
                self.rejected.append(Rejection(index, cause))

    def candidate(self, one: Included) -> SignedTransaction:
        """A transaction with what can be said of it without running it. Raises `TransactionRefused`."""
        if isinstance(one, SignedTransaction):
            return one
        if isinstance(one, TransactionRefused):
            raise one
        sender = sender_of(self.specification, self.context, one)
        encoded = encode_transaction(one)
        return SignedTransaction(one, sender, encoded, keccak256(encoded))

    def run(self, candidate: SignedTransaction) -> TransactionResult:
        """Run it, watched. Raises `TransactionRefused`, with nothing changed."""
        tx, sender = candidate.tx, candidate.sender
        validate_static(tx, self.rules)  # nobody is to watch what can never run
        if blob_gas(tx) > self.blob_gas_left:
            facts = Facts(tx, self.rules, blob_gas_available=self.blob_gas_left)
            raise refused(BLOB_ALLOWANCE_EXCEEDED, facts)
        index = len(self.signed)
        try:
            result = self.engine.transact(
                self.specification,
                self.state,
                self.context,
                tx,
                sender,
                gas_available=self.context.gas_limit - self.gas_used,
                tracers=self.observer.begin(index, tx, sender),
                host=self.host,
            )
        except TransactionRefused as cause:
            self.observer.refused(index, tx, cause)
            raise
        self.observer.included(index, tx, result)
        return result

    @property
    def blob_gas_used(self) -> int:
        """Blob gas of what has run."""
        return GAS_PER_BLOB * sum([len(one.tx.blob_hashes) for one in self.signed])

    @property
    def blob_gas_left(self) -> int:
        """Blob gas that the block still has."""
        return self.rules.blob_limit * GAS_PER_BLOB - self.blob_gas_used

    def take(self, candidate: SignedTransaction, result: TransactionResult) -> None:
        """Count what ran before others follow."""
        self.gas_used += result.gas_used
        self.signed.append(candidate)
        self.results.append(result)
        if not self.rules.status_receipts:
            self.state_roots.append(self.root_of(self.state))

    def close(self, bloom: bytes) -> None:
        """What follows the transactions: rewards, withdrawals, requests. `bloom` is the filter of their logs."""
        block, rules = self.block, self.rules
        if block.reward is not None:
            if block.reward != NO_REWARD:
                pay_rewards(self.state, rules, self.context.coinbase, block.ommers, block.reward)
        elif not rules.proof_of_stake:
            pay_rewards(self.state, rules, self.context.coinbase, block.ommers, rules.block_reward)
        if rules.withdrawals:
            apply_withdrawals(self.state, rules, block.withdrawals)
        if rules.request_contracts:
            deposits = b""
            if may_have_logged(bloom, block.deposit_contract):
                events = (event for result in self.results for event in result.events)
                deposits = deposit_requests(events, block.deposit_contract)
            if self.collected is None:
                self.collected = self.call_contracts(REQUEST_CALLS, required=True)
            self.requests = request_lists(deposits, self.collected)

    def result(self, made: Body) -> BlockResult:
        return BlockResult(
            signed=tuple(self.signed),
            results=tuple(self.results),
            rejected=tuple(self.rejected),
            state_root=self.root_of(self.state),
            transactions_root=made.transactions_root,
            receipts_root=made.receipts_root,
            logs_bloom=made.bloom,
            gas_used=made.gas_used,
            blob_gas_used=self.blob_gas_used if self.rules.blobs else None,
            withdrawals_root=withdrawals_root(self.block.withdrawals) if self.rules.withdrawals else None,
            requests=self.requests,
            requests_hash=None if self.requests is None else requests_hash(self.requests),
            encoded_receipts=made.receipts,
            state_roots=tuple(self.state_roots),
            blob_base_fee=self.context.blob_base_fee,
        )
