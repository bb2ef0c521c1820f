"""What a native state and an interpreter do together: calls and transactions, from Python objects to late results.

A session is made once and kept by the state as long as the same interpreter runs on it, so that a small call costs
little more than what it does: its fields are packed into place, native code runs, the outcome is copied as bytes and
read when somebody asks.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from operator import sub
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from vmloom import BlockContext, ExecutionContext, ExecutionResult, StateChange
from vmloom.engine.columns import CallColumns
from vmloom.errors import StateError
from vmloom.kernel import U64_MAX
from vmloom.kernel.structs import fields_of
from vmloom.vm import VmHost

from ..engine import BlockOutcome, MessageResult
from ..results import LateExecutionResult, LateTransactionResult, late
from ..specification import Specification
from ..system import SYSTEM_CALL_GAS, SystemCall
from ..trace.hooks import Tracer
from ..transaction.checks import ACCEPTED
from ..transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from ..transaction.types import Transaction, TransactionRefused
from ..transaction.validation import Facts, refused
from . import layout
from .guests import Guests, install_precompiles
from .memory import address_of_bytes, little
from .packing import (
    CALL,
    NO_WORD,
    OUTCOME,
    TRANSACTION_SIZE,
    DoesNotFit,
    PackedCalls,
    calls_to_pack,
    column_of,
    pack_block,
    pack_call,
    pack_system_calls,
    pack_transaction,
    pack_words,
)
from .reading import FIRST, Blob, CallOutcomes, CallReading, TransactionReading
from .state import IN_USE, NativeState
from .watching import Watch

if TYPE_CHECKING:
    from ..jit.tiers import Tier
    from .build import Interpreter

Records: TypeAlias = Mapping[int, Sequence[StateChange]]
"""Changes of records, by the number of the transaction in its batch."""
NO_RECORDS: Final[Records] = {}
MESSAGE: Final = Struct("@QQQq24xQ")
"""`refusal`, `end`, `status`, `gas_left` and `return_size` of `layout.Outcome`."""
assert fields_of(layout.Outcome)["return_size"].offset == MESSAGE.size - 8
GAS_LEFT: Final = Struct("@QQ")
GAS_LEFT_OFFSET: Final = fields_of(layout.Transaction)["gas_available"].offset


class Part(NamedTuple):
    """Transactions, or messages, and the mode in which they run."""

    transactions: Sequence[Transaction]
    senders: Sequence[bytes]
    mode: int


class Session:
    """An interpreter on the memory of a state, which each run names: who keeps whom would be a circle otherwise."""

    def __init__(
        self,
        state: NativeState,
        interpreter: Interpreter,
        host: VmHost | None,
        tracers: Sequence[Tracer] = (),
        tier: Tier | None = None,
    ) -> None:
        self.interpreter = interpreter
        self.specification: Specification = interpreter.specification
        self.host = host
        self.is_traced = bool(tracers)
        self.memory = memory = state.memory
        self.block: BlockContext | None = None
        self._last_epoch = 0
        self._begun: tuple[int, int] | None = None
        self._records: dict[int, Sequence[StateChange]] = {}
        install_precompiles(memory, self.specification)
        if not tracers:  # traced runs are never compiled, and leave what there is to those that come after
            state.compile_with(tier)
        memory.set("interpret", interpreter.interpret)
        state.meet_guest = Guests(self).meet
        state.session = None if tracers else self  # whatever ran before cannot go on without being installed again
        self._run = memory.run
        self._perform_call = interpreter.perform_call
        self._call = memory.pages["call"].view()
        self._batch = bytearray(TRANSACTION_SIZE)
        self._watch = Watch(self, state, tracers) if tracers else None

    # Calls

    def call(self, state: NativeState, code: bytes, context: ExecutionContext) -> ExecutionResult:
        """Run `code` as the call that `context` describes, whose depth is 0."""
        memory = self.memory
        self._begin(state, context.block)
        try:
            data, value, price, hashes = context.input, context.value, context.gas_price, b""
            if type(data) is not bytes:  # whose address would not be where its bytes are
                data = bytes(data)
            if context.blob_hashes:
                hashes = pack_words(context.blob_hashes)
            CALL.pack_into(
                self._call,
                0,
                context.caller,
                context.address,
                context.origin,
                little(value) if value else NO_WORD,
                little(price) if price else NO_WORD,
                context.gas_limit,
                address_of_bytes(data),
                len(data),
                address_of_bytes(hashes),
                len(hashes) >> 5,
                state.code_row(code),
                context.is_static,
            )
            stopped = self._perform_call(self._run)
            records = self._go_on(state, self._perform_call, stopped) if stopped else NO_RECORDS
            self._check_watch()
            blob = memory.outcome[: memory.outcome_size.value]
        except BaseException:
            if memory.get("reading_stamp"):  # else nothing has run
                self._take_back(state, memory.get("first_entry"))
            raise
        finally:
            state.in_use.release()
        result = late(LateExecutionResult, CallReading, blob, 0, state, context.gas_limit, *records.values())
        if state.source is not None:
            self._read_clearings(state, [result])
        return result

    def calls(
        self, state: NativeState, block: BlockContext, calls: Sequence[tuple[bytes, ExecutionContext]]
    ) -> list[ExecutionResult]:
        """Run calls of depth 0 that send no value, all in `block` and each on the state as it is, which they leave so.

        Raises `DoesNotFit`, also where one of them calls a contract of another VM.
        """
        size = TRANSACTION_SIZE * len(calls)
        batch = calls_to_pack(len(calls))
        kept = [
            pack_call(batch, at, context, state.code_row(code))
            for at, (code, context) in zip(range(0, size, TRANSACTION_SIZE), calls, strict=True)
        ]
        outcomes = self._apart(state, block, batch, [context.gas_limit for _, context in calls])
        del kept
        return list(outcomes)

    def call_columns(self, state: NativeState, calls: CallColumns) -> CallOutcomes:
        """`calls` of calls that are in columns, with results in such. Raises `DoesNotFit`."""
        packed = PackedCalls(calls, state.code_row)
        return self._apart(state, calls.block, packed.batch, calls.gas_limits)

    def _apart(
        self, state: NativeState, block: BlockContext, batch: bytearray, gas_limits: Sequence[int]
    ) -> CallOutcomes:
        blob = self._run_apart(state, block, batch, len(gas_limits))
        gas_used = list(map(sub, gas_limits, column_of(batch, "gas_left", "q")))
        columns = column_of(batch, "outcome_offset"), column_of(batch, "status"), gas_used
        outcomes = CallOutcomes(blob, *columns, state, gas_limits)
        if state.source is not None:
            self._read_clearings(state, outcomes)
        return outcomes

    def _run_apart(self, state: NativeState, block: BlockContext, batch: bytearray, count: int) -> Blob:
        """Run calls that are packed in `batch`, each on the state as it is. Raises `DoesNotFit`."""
        self.memory.set("batch_apart", 1)
        try:
            return self._perform(state, block, batch, count)[0]
        finally:
            self.memory.set("batch_apart", 0)

    # Transactions

    def transact(
        self,
        state: NativeState,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        checks: Checks,
        gas: int,
        blob_gas: int,
    ) -> list[TransactionResult | TransactionRefused]:
        """Run the transactions in order with what the block has left of gas. Raises `DoesNotFit`."""
        part = Part(transactions, senders, layout.TRANSACTION)
        outcomes, records = self._perform_all(state, block, part, checks, gas, blob_gas)
        return self._transactions(state, block, part, _Place(outcomes[:]), records)

    def send_all(
        self, state: NativeState, block: BlockContext, messages: Sequence[Transaction], sender: bytes, mode: int
    ) -> list[MessageResult]:
        """Run messages or system calls, one after the other. Raises `DoesNotFit`."""
        part = Part(messages, [sender] * len(messages), mode)
        outcomes, _ = self._perform_all(state, block, part, ALL_CHECKS, 0, 0)
        return _messages([message.gas_limit for message in messages], _Place(outcomes[:]))

    def run_block(
        self,
        state: NativeState,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        before: Sequence[SystemCall],
        after: Sequence[SystemCall],
        blob_gas: int,
    ) -> BlockOutcome:
        """Run a block: system calls, transactions, system calls, in one batch. Raises `DoesNotFit`."""
        part = Part(transactions, senders, layout.TRANSACTION)
        outcomes, records = self._perform_all(
            state, block, part, ALL_CHECKS, block.gas_limit, blob_gas, before=before, after=after
        )
        place = _Place(outcomes[:])
        return BlockOutcome(
            _messages([SYSTEM_CALL_GAS] * len(before), place),
            self._transactions(state, block, part, place, records),
            _messages([SYSTEM_CALL_GAS] * len(after), place),
        )

    def _transactions(
        self, state: NativeState, block: BlockContext, part: Part, place: _Place, records: Records
    ) -> list[TransactionResult | TransactionRefused]:
        """The results of transactions, whose outcomes begin at `place`, which is moved behind them."""
        results: list[TransactionResult | TransactionRefused] = []
        blob, at = place.blob, place.at
        for number, (tx, sender) in enumerate(zip(part.transactions, part.senders, strict=True), place.number):
            refusal, end = FIRST.unpack_from(blob, at)
            if refusal == ACCEPTED:
                results.append(
                    late(LateTransactionResult, TransactionReading, blob, at, state, tx, records.get(number, ()))
                )
            else:
                reading = TransactionReading(blob, at, state, tx)
                results.append(refusal_of(self.specification, reading, block, sender))
            at = end
        place.at = at
        place.number += len(results)
        if state.source is not None:
            self._read_clearings(state, [result for result in results if not isinstance(result, TransactionRefused)])
        return results

    def _perform_all(
        self,
        state: NativeState,
        block: BlockContext,
        part: Part,
        checks: Checks,
        gas: int,
        blob_gas: int,
        *,
        before: Sequence[SystemCall] = (),
        after: Sequence[SystemCall] = (),
    ) -> tuple[Blob, Records]:
        """Run them in order. Returns the outcomes, one behind the other, and changed records. Raises `DoesNotFit`."""
        transactions, senders, mode = part
        count = len(before) + len(transactions) + len(after)
        size = TRANSACTION_SIZE * count
        batch = self._batch if len(self._batch) >= size else bytearray(size)
        at = pack_system_calls(batch, 0, before)
        kept = []
        for tx, sender in zip(transactions, senders, strict=True):
            kept.append(pack_transaction(batch, at, tx, sender, mode, checks))
            at += TRANSACTION_SIZE
        pack_system_calls(batch, at, after)
        GAS_LEFT.pack_into(batch, GAS_LEFT_OFFSET, min(gas, U64_MAX), min(blob_gas, U64_MAX))
        self._batch = batch
        performed = self._perform(state, block, batch, count)
        del kept
        return performed

    def _perform(self, state: NativeState, block: BlockContext, batch: bytearray, count: int) -> tuple[Blob, Records]:
        """Run the first `count` transactions that are packed in `batch`; see `_perform_all`."""
        self._begin(state, block)
        checkpoint = state.snapshot()
        try:
            memory = self.memory
            memory.set("batch", ctypes.addressof(ctypes.c_char.from_buffer(batch)))
            memory.set("batch_count", count)
            memory.set("batch_next", 0)
            perform = self.interpreter.perform_all
            stopped = perform(self._run)
            records = self._go_on(state, perform, stopped) if stopped else NO_RECORDS
            self._check_watch()
            blob = memory.take_outcome()
        except BaseException:
            self._take_back(state, checkpoint)
            raise
        finally:
            state.in_use.release()
        return blob, records

    # What they have in common

    def _read_clearings(self, state: NativeState, results: Sequence[ExecutionResult | TransactionResult]) -> None:
        """Read the changes now if storage was cleared: what went unseen with it is in the source, for the moment."""
        if self.memory.get("last_epoch") != self._last_epoch:
            for result in results:
                assert result.state_changes is not None

    def _begin(self, state: NativeState, block: BlockContext) -> None:
        """Make the state this run's alone."""
        if not state.in_use.acquire(False):
            raise StateError(IN_USE)
        try:
            if block is not self.block:
                packed = pack_block(block, self.specification.rules.proof_of_stake)
                ctypes.memmove(self.memory.get("block"), packed, len(packed))
                self.block = block
            if state.knows_block_hashes:
                state.forget_block_hashes()
            if state.source is not None:
                self._last_epoch = self.memory.get("last_epoch")
            state.note_host()
        except BaseException:
            state.in_use.release()
            raise

    def _go_on(self, state: NativeState, entry: Callable[[int], int], stopped: int) -> Records:
        """Meet needs until native code is done. Returns the records that guests have changed, by transaction."""
        self._begun = None
        self._records = {}
        while stopped:
            if stopped == layout.ABORTED:
                break
            state.meet(stopped)
            stopped = entry(self._run)
        self._check_watch()
        state.undo_host()
        if state.installation is not None:
            state.installation.settle()
        self._take_records(state)
        return self._records

    def _check_watch(self) -> None:
        """Raise what a tracer has raised."""
        if self._watch is not None and self._watch.error is not None:
            raise self._watch.error

    def before_guest(self, state: NativeState) -> None:
        """Note where a transaction's guests begin to change records: native code knows none, so no outcome has them."""
        if self.memory.get("batch_apart"):  # Python's undo log would have to follow each of them
            raise DoesNotFit
        number = self.memory.get("batch_next")
        if self._begun is None or self._begun[0] != number:
            self._take_records(state)
            self._begun = number, state.journal.checkpoint()

    def _take_records(self, state: NativeState) -> None:
        """Keep the changes of the last transaction that had guests, which has ended."""
        if self._begun is not None:
            number, begun = self._begun
            changes = state.record_changes(begun)
            if changes:
                self._records[number] = changes

    def _take_back(self, state: NativeState, checkpoint: int) -> None:
        self.memory.set("phase", layout.BEGINNING)
        self.memory.set("reading_stamp", 0)
        state.revert(checkpoint)


class _Place:
    """How far the outcomes of a batch have been read."""

    __slots__ = ("at", "blob", "number")

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self.at = 0
        self.number = 0
        """Transactions before it."""


def _messages(gas_limits: Sequence[int], place: _Place) -> list[MessageResult]:
    """The results of messages, whose outcomes begin at `place`, which is moved behind them."""
    results = []
    blob, at = place.blob, place.at
    for gas_limit in gas_limits:
        _, end, status, gas_left, return_size = MESSAGE.unpack_from(blob, at)
        output = at + OUTCOME.size
        results.append(MessageResult(status, gas_limit - gas_left, blob[output : output + return_size]))
        at = end
    place.at = at
    place.number += len(results)
    return results


def refusal_of(
    specification: Specification, reading: TransactionReading, block: BlockContext, sender: bytes
) -> TransactionRefused:
    """Why a transaction was refused."""
    header = reading.header
    facts = Facts(
        reading.tx,
        specification.rules,
        block,
        sender,
        nonce=header.sender_nonce,
        balance=int.from_bytes(header.sender_balance, "little"),
        gas_available=header.gas_available,
        blob_gas_available=header.blob_gas_available,
    )
    return refused(header.refusal, facts)
