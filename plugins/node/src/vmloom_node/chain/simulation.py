"""Blocks that never were: calls one after the other, in blocks one after the other, on a state changed as one likes.

What `eth_simulateV1` is asked for. Nothing of it stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vmloom import BlockContext, ExecutionState, StateAccess
from vmloom.errors import InputError
from vmloom.hashing import keccak256
from vmloom.result import Event
from vmloom_evm.block.receipts import Receipt, receipts_root
from vmloom_evm.block.system_calls import open_block
from vmloom_evm.block.withdrawals import Withdrawal, apply_withdrawals, withdrawals_root
from vmloom_evm.commitment import logs_bloom, ordered_root
from vmloom_evm.overrides import AccountOverride, apply_overrides
from vmloom_evm.rules import Rules
from vmloom_evm.trace.hooks import TracedFrame
from vmloom_evm.trace.steps import LOGS, FrameEntry, FrameExit, FrameTracer
from vmloom_evm.transaction.codec import encode_transaction
from vmloom_evm.transaction.outcome import ALL_CHECKS, TransactionResult
from vmloom_evm.transaction.types import Signature, Transaction
from vmloom_evm.trie import StateTrie

from .block import Block, encode_block
from .building import Plan, context_of, draft
from .calls import CALL_CHECKS, NO_OVERRIDE, BlockOverride
from .errors import SimulationRefused, UnfitBlock
from .header import NO_REQUESTS_HASH, Header
from .requests import BlockRef, TransactionRequest

if TYPE_CHECKING:
    from .chain import Chain

MAX_BLOCKS: Final = 256
"""Blocks after the one that a simulation begins with, those that fill gaps among them. As with geth."""
BLOCK_TIME: Final = 12
"""Seconds between blocks, where nothing else is said."""
TRANSFER_ADDRESS: Final = b"\xee" * 20
"""Who logs transfers of ether, so that they look like those of a token."""
TRANSFER_TOPIC: Final = int.from_bytes(keccak256(b"Transfer(address,address,uint256)"), "big")
_MOVES: Final = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})


@dataclass(frozen=True, slots=True)
class BlockOfCalls:
    """A block to be simulated: what to assume of it and of accounts at its beginning, and the calls in it."""

    calls: tuple[TransactionRequest, ...] = ()
    block: BlockOverride = NO_OVERRIDE
    overrides: Mapping[bytes, AccountOverride] | None = None
    withdrawals: tuple[Withdrawal, ...] = ()
    parent_beacon_root: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """What came of a call. `events` are its logs, with those of transfers among them if they were asked for."""

    result: TransactionResult
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """A block that was simulated; its transactions are unsigned, their hashes those with empty signatures."""

    block: Block
    calls: tuple[SimulatedCall, ...]


def simulate(
    chain: Chain,
    blocks: Sequence[BlockOfCalls],
    ref: BlockRef,
    *,
    trace_transfers: bool,
    validation: bool,
) -> list[SimulatedBlock]:
    """See `Chain.simulate`."""
    base = chain.block(ref).header
    plans = _plans(base, blocks)
    hashes: dict[int, bytes] = {}
    done: list[SimulatedBlock] = []
    with ExitStack() as stack:
        state = stack.enter_context(chain.state_at(ref, hashes))
        trie = StateTrie(stack.enter_context(chain.view_at(ref)))
        parent = base
        gas_left = chain.options.call_gas
        for one in plans:
            run = _Run(chain, state, parent, one, trace_transfers=trace_transfers, validation=validation)
            simulated, gas_left = run.run(trie, gas_left)
            done.append(simulated)
            parent = simulated.block.header
            hashes[parent.number] = parent.hash
    return done


def _plans(base: Header, blocks: Sequence[BlockOfCalls]) -> list[BlockOfCalls]:
    """The blocks with number and time, and those that fill gaps. Raises `SimulationRefused` for another order."""
    plans: list[BlockOfCalls] = []
    number, time = base.number, base.timestamp
    for one in blocks:
        wanted = number + 1 if one.block.number is None else one.block.number
        if wanted <= number:
            raise SimulationRefused(UnfitBlock.NUMBER, f"block numbers must be in order: {wanted} <= {number}")
        if wanted - base.number > MAX_BLOCKS:
            raise SimulationRefused(UnfitBlock.TOO_FAR, f"too many blocks: at most {MAX_BLOCKS} can be simulated")
        while number + 1 < wanted:
            number, time = number + 1, time + BLOCK_TIME
            plans.append(BlockOfCalls(block=BlockOverride(number=number, timestamp=time)))
        at = time + BLOCK_TIME if one.block.timestamp is None else one.block.timestamp
        if at <= time:
            raise SimulationRefused(UnfitBlock.TIMESTAMP, f"block timestamps must be in order: {at} <= {time}")
        number, time = wanted, at
        plans.append(replace(one, block=replace(one.block, number=number, timestamp=time)))
    return plans


class _Run:
    """One block on its way."""

    def __init__(
        self,
        chain: Chain,
        state: StateAccess,
        parent: Header,
        plan: BlockOfCalls,
        *,
        trace_transfers: bool,
        validation: bool,
    ) -> None:
        self.chain = chain
        self.state = state
        self.plan = plan
        self.trace_transfers = trace_transfers
        self.validation = validation
        assert plan.block.timestamp is not None
        override = plan.block
        made = draft(
            chain.genesis,
            parent,
            Plan(
                timestamp=plan.block.timestamp,
                coinbase=parent.coinbase if override.coinbase is None else override.coinbase,
                gas_limit=parent.gas_limit if override.gas_limit is None else override.gas_limit,
                prev_randao=(override.prev_randao or 0).to_bytes(32, "big"),
                # Without validation gas is free unless somebody says what it costs.
                base_fee=(None if validation else 0) if override.base_fee is None else override.base_fee,
                withdrawals=plan.withdrawals,
                parent_beacon_root=plan.parent_beacon_root,
            ),
        )
        self.header = made.header
        self.rules: Rules = chain.evm.specification(made.fork).rules
        self.fork = made.fork
        context = context_of(chain.chain_id, made.header, made.rules)
        self.context: BlockContext = replace(override, number=None, timestamp=None).applied(context)
        self.encoded: list[bytes] = []
        self.transactions: list[Transaction] = []
        self.senders: list[bytes] = []
        self.receipts: list[Receipt] = []
        self.calls: list[SimulatedCall] = []
        self.gas_used = 0
        self.blob_gas_used = 0

    def run(self, trie: StateTrie, gas_left: int) -> tuple[SimulatedBlock, int]:
        """Make the calls; returns the block and what is left of `gas_left`."""
        state, plan = self.state, self.plan
        specification = self.chain.evm.specification(self.fork)
        apply_overrides(state, plan.overrides or {})
        open_block(
            specification,
            state,
            self.context,
            parent_beacon_root=self.header.parent_beacon_root,
            parent_hash=self.header.parent_hash,
            host=self.chain.evm.host,
            engine=self.chain.evm.executor,
        )
        for request in plan.calls:
            gas_left -= self._call(request, gas_left)
        if self.rules.withdrawals:
            apply_withdrawals(state, self.rules, plan.withdrawals)
        state.begin_transaction()
        return SimulatedBlock(self._sealed(trie.update(state.diff())[0]), tuple(self.calls)), gas_left

    def _call(self, request: TransactionRequest, gas_left: int) -> int:
        """Make a call; returns the gas that it used. Raises `TransactionRefused` for one that may not run."""
        sender = request.sender or bytes(20)
        available = min(self.header.gas_limit - self.gas_used, gas_left)
        if self.rules.transaction_gas_limit:
            available = min(available, self.rules.transaction_gas_limit)
        tx = request.transaction(
            chain_id=self.chain.chain_id,
            nonce=self.state.get_nonce(sender),
            gas_limit=available,
            max_fee=self.context.base_fee if self.validation else 0,
            tip=0,
            has_base_fee=self.rules.base_fee,
        )
        tx = self.chain.enveloped(tx, request)
        if tx.gas_limit > gas_left:
            raise InputError(f"gas limit {tx.gas_limit} exceeds the {gas_left} left for the simulation")
        tracer = _Transfers() if self.trace_transfers else None
        result = self.chain.evm.apply_transaction(
            tx,
            self.context,
            self.state,
            sender=sender,
            gas_available=self.header.gas_limit - self.gas_used,
            checks=ALL_CHECKS if self.validation else CALL_CHECKS,
            tracers=[] if tracer is None else [tracer],
        )
        events = result.events if tracer is None else tuple(tracer.events)
        self._take(tx, sender, result, events)
        return result.gas_used

    def _take(self, tx: Transaction, sender: bytes, result: TransactionResult, events: tuple[Event, ...]) -> None:
        self.gas_used += result.gas_used
        self.blob_gas_used += result.blob_gas_used
        encoded = encode_transaction(replace(tx, signature=Signature(0, 0, 0)))
        self.transactions.append(tx)
        self.senders.append(sender)
        self.encoded.append(encoded)
        self.calls.append(SimulatedCall(result, events))
        self.receipts.append(
            Receipt(
                type=tx.type,
                success=result.state is ExecutionState.SUCCESS,
                state_root=b"",
                cumulative_gas_used=self.gas_used,
                events=events,
                transaction_hash=keccak256(encoded),
                gas_used=result.gas_used,
                gas_price=result.gas_price,
            )
        )

    def _sealed(self, state_root: bytes) -> Block:
        rules, withdrawals = self.rules, self.plan.withdrawals
        header = replace(
            self.header,
            state_root=state_root,
            transactions_root=ordered_root(self.encoded),
            receipts_root=receipts_root(self.receipts),
            logs_bloom=logs_bloom(event for receipt in self.receipts for event in receipt.events),
            gas_used=self.gas_used,
            withdrawals_root=withdrawals_root(withdrawals) if rules.withdrawals else None,
            blob_gas_used=self.blob_gas_used if rules.blobs else None,
            requests_hash=NO_REQUESTS_HASH if rules.request_contracts else None,
        )
        kept = withdrawals if rules.withdrawals else None
        return Block(
            header,
            tuple(self.transactions),
            tuple(self.senders),
            tuple(receipt.transaction_hash for receipt in self.receipts),
            withdrawals=kept,
            size=len(encode_block(header, self.encoded, (), kept)),
            is_pending=True,
        )


class _Transfers(FrameTracer):
    """Gathers the logs of a call, with one for each transfer of ether; what is reverted is not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.opcodes = (self.opcodes or frozenset()) | LOGS
        self.events: list[Event] = []
        self._marks: list[int] = []

    def on_enter(self, entry: FrameEntry) -> None:
        """Note a transfer."""
        self._marks.append(len(self.events))
        if entry.value and entry.kind in _MOVES:
            topics = (TRANSFER_TOPIC, int.from_bytes(entry.sender, "big"), int.from_bytes(entry.to, "big"))
            self.events.append(Event(TRANSFER_ADDRESS, topics, entry.value.to_bytes(32, "big")))

    def on_exit(self, leaving: FrameExit) -> None:
        """Forget what a failure has undone."""
        mark = self._marks.pop()
        if leaving.error:
            del self.events[mark:]

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """Note a log."""
        super().after(frame, opcode)
        if opcode in LOGS:
            self.events.append(frame.state.events[-1])
