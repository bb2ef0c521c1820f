"""The native engine as an `Engine`: what is Python in a native run.

A run on a `NativeState` begins and ends there. For any other state there is a native state that loads from it, and
what the run has changed is written back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, local
from typing import Any, Final

from vmloom import BlockContext, ExecutionContext, ExecutionResult, ExecutionState, StateAccess, StateChange
from vmloom.errors import StateError
from vmloom.kernel import U64_MAX
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom.vm import VmHost

from ..config import EvmConfig
from ..engine import MessageResult
from ..fees import GAS_PER_BLOB
from ..halts import HALT_NAMES, SUCCESS
from ..reference.engine import REFERENCE, STATES, UNLIMITED
from ..results import late_execution_result, late_transaction_result
from ..specification import Specification
from ..table import OpRow
from ..trace.hooks import Tracer
from ..transaction.checks import ACCEPTED
from ..transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from ..transaction.signing import recover_authority
from ..transaction.types import Transaction, TransactionRefused
from ..transaction.validation import Facts, refused
from . import layout
from .build import BINDINGS, Interpreter
from .changes import decode_changes, decode_events
from .guests import Guests, install_precompiles
from .machine import Build
from .packing import (
    ACCESS,
    AUTHORIZATION,
    INPUT,
    INPUT_OFFSET,
    OUTPUT,
    OUTPUT_OFFSET,
    Outcome,
    pack_block,
    pack_execution,
)
from .state import NativeState, address_of_bytes, little
from .watching import Watch

GAS_LIMIT: Final = 1 << 63
"""Gas is a signed number of 64 bits in native code."""


class NativeEngine:
    """Implements `Engine`, which see. `config` has no say yet."""

    name = "native"

    def __init__(self, config: EvmConfig | None = None) -> None:
        self._interpreters: dict[tuple[int, bool], Interpreter] = {}
        self._lock = Lock()
        self._spare = local()

    def check(self, custom_ops: Sequence[OpRow]) -> None:
        """See `Engine.check`."""
        if not custom_ops:
            return
        from vmloom_native.program import Program

        from ..forks import LATEST

        program = Program(bindings=BINDINGS, constants={"rules": LATEST.rules, "build": Build(traced=False)})
        for row in custom_ops:
            if row.function is not None:
                program.function(row.function)
        program.translate()

    # Calls

    def execute(
        self,
        specification: Specification,
        state: StateAccess,
        code: bytes,
        context: ExecutionContext,
        *,
        tracers: Sequence[Tracer] = (),
        host: VmHost | None = None,
    ) -> ExecutionResult:
        """See `Engine.execute`. A call inside a transaction of another VM goes to the reference engine."""
        if context.depth or context.gas_limit >= GAS_LIMIT:
            return REFERENCE.execute(specification, state, code, context, tracers=tracers, host=host)
        with self._running(specification, state, context.block, tracers, host) as run:
            native = run.state
            memory = native.memory
            ctypes.memmove(memory.field("origin"), context.origin[::-1], 20)
            ctypes.memmove(memory.field("gas_price"), little(context.gas_price), 32)
            hashes = _words(context.blob_hashes)
            packed = pack_execution(
                context.caller,
                context.address,
                context.value,
                context.input,
                context.gas_limit,
                native.code_row(code),
                context.is_static,
            )
            run.put(packed, hashes, len(context.blob_hashes))
            outcome = run.perform()
            data = run.data(outcome)
            result: ExecutionResult = run.late(
                late_execution_result,
                outcome,
                data,
                state=STATES.get(outcome.status, FAILED),
                gas_used=context.gas_limit - outcome.gas_left,
                gas_refunded=max(0, outcome.refund),
                return_data=data[: outcome.return_size],
                error=HALT_NAMES[outcome.status],
                metadata={},
            )
            return result

    # Transactions

    def transact(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        tx: Transaction,
        sender: bytes,
        *,
        gas_available: int | None = None,
        blob_gas_available: int | None = None,
        checks: Checks = ALL_CHECKS,
        tracers: Sequence[Tracer] = (),
        host: VmHost | None = None,
    ) -> TransactionResult:
        """See `Engine.transact`."""
        if not fits(tx):
            return REFERENCE.transact(
                specification,
                state,
                block,
                tx,
                sender,
                gas_available=gas_available,
                blob_gas_available=blob_gas_available,
                checks=checks,
                tracers=tracers,
                host=host,
            )
        gas = block.gas_limit if gas_available is None else gas_available
        blob_gas = UNLIMITED if blob_gas_available is None else blob_gas_available
        with self._running(specification, state, block, tracers, host) as run:
            packed = PackedTransaction(tx, sender, layout.TRANSACTION, checks, gas, blob_gas)
            run.put(packed.data, packed.blob_hashes, len(tx.blob_hashes))
            outcome = run.perform()
            found = run.transaction_result(outcome, tx, sender, gas, blob_gas)
        if isinstance(found, TransactionRefused):
            raise found
        return found

    def transact_all(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        *,
        gas_available: int | None = None,
        blob_gas_available: int | None = None,
        checks: Checks = ALL_CHECKS,
        host: VmHost | None = None,
    ) -> list[TransactionResult | TransactionRefused]:
        """See `Engine.transact_all`. The batch is one call of native code, unless it has a need."""
        if not transactions:
            return []
        if not all(map(fits, transactions)):
            return REFERENCE.transact_all(
                specification,
                state,
                block,
                transactions,
                senders,
                gas_available=gas_available,
                blob_gas_available=blob_gas_available,
                checks=checks,
                host=host,
            )
        gas = block.gas_limit if gas_available is None else gas_available
        blob_gas = UNLIMITED if blob_gas_available is None else blob_gas_available
        with self._running(specification, state, block, (), host) as run:
            packed = [
                PackedTransaction(tx, sender, layout.TRANSACTION, checks, gas, blob_gas)
                for tx, sender in zip(transactions, senders, strict=True)
            ]
            outcomes = run.perform_all(packed)
            results: list[TransactionResult | TransactionRefused] = []
            for tx, sender, outcome in zip(transactions, senders, outcomes, strict=True):
                found = run.transaction_result(outcome, tx, sender, gas, blob_gas)
                results.append(found)
                if not isinstance(found, TransactionRefused):
                    gas -= found.gas_used
                    blob_gas -= found.blob_gas_used
            return results

    def send(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        message: Transaction,
        sender: bytes,
        *,
        is_system_call: bool = False,
        tracers: Sequence[Tracer] = (),
        host: VmHost | None = None,
    ) -> MessageResult:
        """See `Engine.send`."""
        if not fits(message):
            return REFERENCE.send(
                specification,
                state,
                block,
                message,
                sender,
                is_system_call=is_system_call,
                tracers=tracers,
                host=host,
            )
        mode = layout.SYSTEM_CALL if is_system_call else layout.MESSAGE
        with self._running(specification, state, block, tracers, host) as run:
            packed = PackedTransaction(message, sender, mode, ALL_CHECKS, 0, 0)
            run.put(packed.data, packed.blob_hashes, len(message.blob_hashes))
            outcome = run.perform()
            data = run.data(outcome)
            gas_used = message.gas_limit - outcome.gas_left
            return MessageResult(outcome.status, gas_used, data[: outcome.return_size])

    # What a run needs

    def interpreter(self, specification: Specification, *, traced: bool) -> Interpreter:
        """The interpreter of `specification`; made once."""
        key = (id(specification), traced)
        found = self._interpreters.get(key)
        if found is None:
            with self._lock:
                found = self._interpreters.get(key)
                if found is None:  # it holds its specification, so that no other can get its id
                    found = self._interpreters[key] = Interpreter(specification, traced=traced)
        return found

    @contextmanager
    def _running(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        tracers: Sequence[Tracer],
        host: VmHost | None,
    ) -> Iterator[NativeRun]:
        """A run on `state`: taken back if anything is raised, written to `state` if that is not native."""
        interpreter = self.interpreter(specification, traced=bool(tracers))
        native = state if isinstance(state, NativeState) else self._borrow(state)
        if not native.in_use.acquire(blocking=False):
            raise StateError("a native state is used by one run at a time")
        try:
            run = NativeRun(native, interpreter, block, tracers, host)
            checkpoint = native.snapshot()
            try:
                yield run
            except BaseException:
                native.memory.set("phase", layout.BEGINNING)
                native.revert(checkpoint)
                raise
            if native is not state:
                begun = state.snapshot()
                write_back(native, state)
                run.changes = tuple(state.changes_since(begun))
        finally:
            native.in_use.release()

    def _borrow(self, state: StateAccess) -> NativeState:
        """This thread's native state for runs on other states, empty and with `state` behind it."""
        native: NativeState | None = getattr(self._spare, "state", None)
        if native is None or native.in_use.locked():
            native = NativeState(source=state)
            self._spare.state = native
        else:
            native.clear()
            native.rebind(state)
        return native


def write_back(native: NativeState, state: StateAccess) -> None:
    """Do to `state` what the run on `native` has done: a transaction of its own."""
    state.begin_transaction()
    changes, cleared = native.changes_and_cleared(0)
    native.write_to(state, changes, cleared)
    for event in native.events:
        state.emit(event)


class PackedTransaction:
    """A transaction as native code reads it, and what keeps its lists alive."""

    def __init__(self, tx: Transaction, sender: bytes, mode: int, checks: Checks, gas: int, blob_gas: int) -> None:
        self.blob_hashes = _words(tx.blob_hashes)
        access, slots, count = _access(tx)
        authorizations = b"".join(
            AUTHORIZATION.pack(
                little(0 if signer is None else (1 << 160) + int.from_bytes(signer, "big")),
                little(one.chain_id),
                min(one.nonce, U64_MAX),
                one.address[::-1],
            )
            for one in tx.authorizations
            for signer in (recover_authority(one),)
        )
        self.kept = (tx.data, slots, access, authorizations, self.blob_hashes)
        self.data = INPUT.pack(
            *(sender[::-1], tx.type, tx.to is None, checks.nonce, checks.balance, checks.base_fee),
            *((tx.to or b"")[::-1], min(tx.nonce, U64_MAX), tx.gas_limit),
            *(little(tx.max_fee_per_gas), little(tx.max_priority_fee_per_gas), little(tx.max_fee_per_blob_gas)),
            *(little(tx.value), address_of_bytes(tx.data), len(tx.data), tx.data.count(0)),
            *(address_of_bytes(access), len(tx.access_list), count),
            *(address_of_bytes(authorizations), len(tx.authorizations)),
            *(address_of_bytes(self.blob_hashes), len(tx.blob_hashes)),
            *(min(gas, U64_MAX), min(blob_gas, U64_MAX), mode, 0, False),
        )


def _access(tx: Transaction) -> tuple[bytes, bytes, int]:
    """The access list: entries, their slots, and how many those are."""
    if not tx.access_list:
        return b"", b"", 0
    slots = b"".join(little(slot) for entry in tx.access_list for slot in entry.slots)
    at = address_of_bytes(slots)
    entries = []
    for entry in tx.access_list:
        entries.append(ACCESS.pack(entry.address[::-1], at, len(entry.slots)))
        at += 32 * len(entry.slots)
    return b"".join(entries), slots, len(slots) // 32


def _words(hashes: Sequence[bytes]) -> bytes:
    return b"".join(one[::-1] for one in hashes)


def fits(tx: Transaction) -> bool:
    """Whether native code can hold every field; what cannot be is refused by the reference engine."""
    return (
        0 <= tx.gas_limit < GAS_LIMIT
        and 0 <= tx.value >> 256 == 0
        and tx.max_fee_per_gas >> 256 == 0
        and tx.max_priority_fee_per_gas >> 256 == 0
        and tx.max_fee_per_blob_gas >> 256 == 0
        and tx.nonce >= 0
        and all(len(one) == 32 for one in tx.blob_hashes)
        and all(slot >> 256 == 0 for entry in tx.access_list for slot in entry.slots)
        and all(one.chain_id >> 256 == 0 and one.nonce >= 0 for one in tx.authorizations)
    )


FAILED: Final = ExecutionState.FAILED


class NativeRun:
    """One run on a native state."""

    def __init__(
        self,
        state: NativeState,
        interpreter: Interpreter,
        block: BlockContext,
        tracers: Sequence[Tracer],
        host: VmHost | None,
    ) -> None:
        self.state = state
        self.interpreter = interpreter
        self.memory = state.memory
        self.block = block
        self.host = host
        self.kept: Any = None
        self.changes: tuple[StateChange, ...] | None = None
        """Where the run was on another state: the changes there, once they are written."""
        memory = self.memory
        if state.installed is not interpreter:
            install_precompiles(memory, interpreter.specification)
            memory.set("interpret", interpreter.interpret)
            state.installed = interpreter
        rules = interpreter.specification.rules
        packed = pack_block(block, rules.proof_of_stake)
        if packed != state.packed_block:
            ctypes.memmove(memory.get("block"), packed, len(packed))
            state.packed_block = packed
        state.forget_block_hashes()
        memory.set("outcome_size", 0)
        self.watch = Watch(self, tracers) if tracers else None
        state.meet_guest = Guests(self).meet

    def put(self, packed: bytes, blob_hashes: bytes, blobs: int) -> None:
        """Say what is to run."""
        self.memory.set("batch_count", 0)
        transaction = self.memory.pages["transaction"].address
        self.memory.set("transaction", transaction)
        ctypes.memmove(transaction + INPUT_OFFSET, packed, len(packed))
        self.kept = blob_hashes
        if blobs:
            fields = fields_of(layout.Transaction)
            for name, value in (("blob_hashes", address_of_bytes(blob_hashes)), ("blob_count", blobs)):
                ctypes.c_uint64.from_address(transaction + fields[name].offset).value = value

    def perform(self) -> Outcome:
        """Run it, meeting its needs."""
        self._until_done(self.interpreter.perform)
        return self.outcome(self.memory.get("transaction"))

    def perform_all(self, packed: Sequence[PackedTransaction]) -> list[Outcome]:
        """Run a batch."""
        size = size_of(layout.Transaction)
        batch = bytearray(size * len(packed))
        for number, one in enumerate(packed):
            batch[size * number : size * number + len(one.data)] = one.data
        first = ctypes.addressof(ctypes.c_char.from_buffer(batch))
        memory = self.memory
        memory.set("batch", first)
        memory.set("batch_count", len(packed))
        memory.set("batch_next", 0)
        self._until_done(self.interpreter.perform_all)
        return [self.outcome(first + size * number) for number in range(len(packed))]

    def _until_done(self, entry: Callable[[int], int]) -> None:
        state, run = self.state, self.memory.run
        stopped = entry(run)
        while stopped:
            if stopped == layout.ABORTED:
                assert self.watch is not None
                raise self.watch.error
            state.meet(stopped)
            stopped = entry(run)
        state.undo_host()

    def outcome(self, transaction: int) -> Outcome:
        """What came of a run."""
        return Outcome._make(OUTPUT.unpack(ctypes.string_at(transaction + OUTPUT_OFFSET, OUTPUT.size)))

    def data(self, outcome: Outcome) -> bytes:
        """Return data, logs and changes."""
        return ctypes.string_at(self.memory.get("outcome") + outcome.outcome, outcome.outcome_end - outcome.outcome)

    def late(self, make: Callable[..., Any], outcome: Outcome, data: bytes, **known: Any) -> Any:
        """A result whose events and changes are read from `data` when they are asked for."""
        logs = (outcome.return_size + 7) & ~7
        log_bytes = logs + size_of(layout.Log) * outcome.log_count
        changes = len(data) - size_of(layout.Change) * outcome.change_count
        state = self.state
        is_batch = self.memory.get("batch_count") != 0

        def read_events() -> Any:
            return tuple(decode_events(data[logs:log_bytes], data[log_bytes : log_bytes + outcome.log_bytes]))

        def read_changes() -> Any:
            if self.changes is not None and not is_batch:
                return self.changes
            return tuple(decode_changes(data[changes:], state))

        result = make(read_events, read_changes, **known)
        if state.source is not None and is_batch:  # its rows are somebody else's after this run
            assert result.state_changes is not None
        return result

    def transaction_result(
        self, outcome: Outcome, tx: Transaction, sender: bytes, gas: int, blob_gas: int
    ) -> TransactionResult | TransactionRefused:
        """What came of a transaction."""
        if outcome.refusal != ACCEPTED:
            facts = Facts(
                tx,
                self.interpreter.specification.rules,
                self.block,
                sender,
                nonce=outcome.sender_nonce,
                balance=int.from_bytes(outcome.sender_balance, "little"),
                gas_available=gas,
                blob_gas_available=blob_gas,
            )
            return refused(outcome.refusal, facts)
        data = self.data(outcome)
        created = tx.to is None and outcome.status == SUCCESS
        result: TransactionResult = self.late(
            late_transaction_result,
            outcome,
            data,
            state=STATES.get(outcome.status, FAILED),
            gas_used=outcome.gas_used,
            gas_refunded=outcome.max_gas_used - outcome.gas_used,
            max_gas_used=outcome.max_gas_used,
            gas_price=int.from_bytes(outcome.gas_price, "little"),
            blob_gas_used=GAS_PER_BLOB * len(tx.blob_hashes),
            return_data=data[: outcome.return_size],
            created=outcome.created[:20][::-1] if created else None,
            error=HALT_NAMES[outcome.status],
        )
        return result
