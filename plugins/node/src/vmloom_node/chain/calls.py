"""Runs that leave nothing behind: calls, estimates, access lists, and blocks run again to be watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from vmloom import BlockContext, ExecutionState, StateAccess
from vmloom.errors import GasEstimationError
from vmloom_evm.block import BlockObserver, SignedTransaction
from vmloom_evm.forks import Fork
from vmloom_evm.overrides import AccountOverride, apply_overrides
from vmloom_evm.specification import Specification
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from vmloom_evm.transaction.types import AccessListEntry, Transaction, TransactionRefused

from .building import Draft, block_input, context_of
from .errors import CallFailed
from .requests import BlockRef, TransactionRequest

if TYPE_CHECKING:
    from .chain import Chain

CALL_CHECKS: Final = Checks(nonce=False, balance=True, base_fee=False)
"""As with geth, who sends more than it has is told so; nonce and base fee do not matter."""


@dataclass(frozen=True, slots=True)
class BlockOverride:
    """What a call assumes of its block; None leaves a field as it is. Fees are wei per gas, times UNIX seconds."""

    number: int | None = None
    timestamp: int | None = None
    coinbase: bytes | None = None
    gas_limit: int | None = None
    base_fee: int | None = None
    difficulty: int | None = None
    prev_randao: int | None = None
    blob_base_fee: int | None = None

    def applied(self, context: BlockContext) -> BlockContext:
        """`context` with these."""
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        return replace(context, **given)


NO_OVERRIDE: Final = BlockOverride()


@dataclass(frozen=True, slots=True)
class TracedTransaction:
    """What a tracer of a transaction may need to know before it runs. `state` is that before it.

    What is put into `at_end` is called with the result, once it has run and `state` is as it has left it.
    """

    tx: Transaction
    sender: bytes
    state: StateAccess
    block: BlockContext
    specification: Specification
    at_end: list[Callable[[TransactionResult], None]] = field(default_factory=list)

    def finish(self, result: TransactionResult) -> None:
        """Call what is in `at_end`."""
        for call in self.at_end:
            call(result)


MakeTracers = Callable[[TracedTransaction], Sequence[Tracer]]
"""The tracers for a transaction that is about to run."""


class Calls:
    """The runs of a chain that leave nothing behind."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def context(self, ref: BlockRef, override: BlockOverride = NO_OVERRIDE) -> BlockContext:
        """The block in which calls at `ref` run: that block itself, or the next one for `pending`."""
        chain = self._chain
        header = chain.next_draft().header if ref == "pending" else chain.block(ref).header
        rules = chain.genesis.schedule.fork_at(header.number, header.timestamp).rules
        return override.applied(context_of(chain.chain_id, header, rules))

    def transaction(self, request: TransactionRequest, block: BlockContext) -> tuple[Transaction, bytes]:
        """What a request comes to as a call in `block`, and who sends it. Raises `InputError`."""
        chain = self._chain
        rules = chain.evm.specification(chain.evm.fork_at(block)).rules
        limits = [chain.options.call_gas, block.gas_limit if request.gas_limit is None else request.gas_limit]
        if rules.transaction_gas_limit:
            limits.append(rules.transaction_gas_limit)
        tip = request.max_priority_fee_per_gas or 0
        tx = request.transaction(
            chain_id=chain.chain_id,
            nonce=0,
            gas_limit=0,
            max_fee=block.base_fee + tip if tip else 0,
            tip=0,
            has_base_fee=rules.base_fee,
            blob_fee=block.blob_base_fee,
        )
        tx = replace(tx, gas_limit=min(limits))
        return chain.enveloped(tx, request), request.sender or bytes(20)

    def call(
        self,
        request: TransactionRequest,
        ref: BlockRef,
        overrides: Mapping[bytes, AccountOverride] | None,
        override: BlockOverride,
        make_tracers: MakeTracers | None,
    ) -> TransactionResult:
        """See `Chain.call` and `Chain.trace_call`."""
        chain = self._chain
        context = self.context(ref, override)
        tx, sender = self.transaction(request, context)
        context = replace(context, gas_limit=max(context.gas_limit, tx.gas_limit))
        with chain.state_at(ref) as state:
            if make_tracers is None:
                return chain.evm.call(tx, context, state, sender=sender, overrides=overrides, checks=CALL_CHECKS)
            apply_overrides(state, overrides or {})
            return self._watched(tx, sender, context, state, make_tracers, CALL_CHECKS)

    def call_many(
        self, requests: Sequence[TransactionRequest], ref: BlockRef, make_tracers: MakeTracers
    ) -> list[TransactionResult]:
        """See `Chain.trace_calls`."""
        chain = self._chain
        context = self.context(ref)
        results: list[TransactionResult] = []
        with chain.state_at(ref) as state:
            for request in requests:
                tx, sender = self.transaction(request, context)
                wide = replace(context, gas_limit=max(context.gas_limit, tx.gas_limit))
                results.append(self._watched(tx, sender, wide, state, make_tracers, CALL_CHECKS))
        return results

    def transact(
        self, read: Callable[[Fork], SignedTransaction], ref: BlockRef, make_tracers: MakeTracers
    ) -> TransactionResult:
        """See `Chain.trace_raw`. `read` gives the transaction as it is in the fork of the block."""
        chain = self._chain
        context = self.context(ref)
        signed = read(chain.evm.fork_at(context))
        with chain.state_at(ref) as state:
            return self._watched(signed.tx, signed.sender, context, state, make_tracers, ALL_CHECKS)

    def _watched(
        self,
        tx: Transaction,
        sender: bytes,
        context: BlockContext,
        state: StateAccess,
        make_tracers: MakeTracers,
        checks: Checks,
    ) -> TransactionResult:
        """Run it and let its changes stand, so that tracers can look at them."""
        evm = self._chain.evm
        about = TracedTransaction(tx, sender, state, context, evm.specification(evm.fork_at(context)))
        tracers = make_tracers(about)
        if not (checks.base_fee or tx.max_fee_per_gas):  # as `Evm.call` does it
            context = replace(context, base_fee=0)
        result = evm.apply_transaction(tx, context, state, sender=sender, checks=checks, tracers=tracers)
        about.finish(result)
        return result

    def estimate(
        self,
        request: TransactionRequest,
        ref: BlockRef,
        overrides: Mapping[bytes, AccountOverride] | None,
        override: BlockOverride,
    ) -> int:
        """See `Chain.estimate`."""
        chain = self._chain
        context = self.context(ref, override)
        tx, sender = self.transaction(request, context)
        with chain.state_at(ref) as state:
            try:
                return chain.evm.estimate_transaction_gas(tx, context, state, sender=sender, overrides=overrides)
            except GasEstimationError as error:
                raise self._failure(error, tx, sender, context, state, overrides) from error

    def estimate_on(self, state: StateAccess, request: TransactionRequest, context: BlockContext) -> int:
        """See `Chain.estimate_on`."""
        evm = self._chain.evm
        tx, sender = self.transaction(request, context)
        if request.gas_limit is not None:
            return request.gas_limit
        try:
            return evm.estimate_transaction_gas(tx, context, state, sender=sender)
        except GasEstimationError:
            return min(tx.gas_limit, context.gas_limit)

    def _failure(
        self,
        error: GasEstimationError,
        tx: Transaction,
        sender: bytes,
        context: BlockContext,
        state: StateAccess,
        overrides: Mapping[bytes, AccountOverride] | None,
    ) -> CallFailed:
        """Why it fails with all the gas that it may have."""
        try:
            result = self._chain.evm.call(tx, context, state, sender=sender, overrides=overrides, checks=CALL_CHECKS)
        except TransactionRefused:
            return CallFailed(str(error), b"", is_revert=False)
        if result.success:
            return CallFailed(str(error), b"", is_revert=False)
        return failure_of(result)

    def access_list(
        self, request: TransactionRequest, ref: BlockRef, overrides: Mapping[bytes, AccountOverride] | None
    ) -> tuple[tuple[AccessListEntry, ...], TransactionResult]:
        """See `Chain.access_list`."""
        chain = self._chain
        context = self.context(ref)
        tx, sender = self.transaction(request, context)
        with chain.state_at(ref) as state:
            return chain.evm.create_access_list(tx, context, state, sender=sender, overrides=overrides)

    def trace(self, number: int, make_tracers: MakeTracers, index: int | None) -> list[TransactionResult]:
        """Run block `number` again on the state before it, with tracers for each transaction, or only for one.

        Returns the results of those that were watched.
        """
        chain = self._chain
        stored = chain.stored_block(number)
        block = stored.block
        fork = chain.genesis.schedule.fork_at(block.number, block.header.timestamp)
        input_ = block_input(
            chain.genesis, block.header, fork.rules, withdrawals=block.withdrawals or (), ommers=block.ommers
        )
        end = len(block.transactions) if index is None else index + 1
        signed = [
            SignedTransaction(tx, sender, encoded, transaction_hash)
            for tx, sender, encoded, transaction_hash in zip(
                block.transactions[:end], block.senders[:end], stored.encoded[:end], block.hashes[:end], strict=True
            )
        ]
        with chain.state_at(number - 1) as state:
            specification = chain.evm.specification(fork)
            watch = _Watch(make_tracers, index, state, input_.context, specification)
            made = Draft(fork, input_, block.header)
            chain.run_block(made, state, signed, root_of=lambda _: bytes(32), observer=watch)
        return watch.results


class _Watch(BlockObserver):
    """Puts tracers on the transactions of a block that are meant."""

    def __init__(
        self,
        make_tracers: MakeTracers,
        index: int | None,
        state: StateAccess,
        block: BlockContext,
        specification: Specification,
    ) -> None:
        self._make_tracers = make_tracers
        self._index = index
        self._about: tuple[StateAccess, BlockContext, Specification] = state, block, specification
        self._running: TracedTransaction | None = None
        self.results: list[TransactionResult] = []

    def begin(self, index: int, tx: Transaction, sender: bytes) -> Sequence[Tracer]:
        if self._index not in (None, index):
            return ()
        self._running = TracedTransaction(tx, sender, *self._about)
        return self._make_tracers(self._running)

    def included(self, index: int, tx: Transaction, result: TransactionResult) -> None:
        if self._running is not None:
            self._running.finish(result)
            self._running = None
            self.results.append(result)


def failure_of(result: TransactionResult) -> CallFailed:
    """The failure that a result tells of."""
    if result.state is ExecutionState.REVERTED:
        return CallFailed("execution reverted", result.return_data, is_revert=True)
    return CallFailed(result.error, b"", is_revert=False)


def output_of(result: TransactionResult) -> bytes:
    """What a call returned; for a creation the code that it deployed."""
    if result.created is None:
        return result.return_data
    changes = (one for one in result.state_changes if one.address == result.created and one.field == "code")
    code: bytes = next((one.new for one in changes), b"")
    return code
