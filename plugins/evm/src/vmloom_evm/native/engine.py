"""The native engine as an `Engine`: what is Python in a native run.

A run on a `NativeState` begins and ends there. For any other state there is a native state that loads from it, and
what the run has changed is written back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count, groupby
from threading import Lock, local
from typing import TYPE_CHECKING, Final, TypeAlias

from vmloom import BlockContext, ExecutionContext, ExecutionResult, StateAccess, StateChange
from vmloom.engine.columns import CallColumns
from vmloom.engine.overlay import OverlayState
from vmloom.errors import ConfigError, StateError
from vmloom.vm import VmHost

from ..config import EvmConfig
from ..engine import BlockOutcome, MessageResult, run_in_parts
from ..marks import NATIVE_RUN
from ..reference.engine import REFERENCE, UNLIMITED
from ..specification import Specification
from ..system import SystemCall
from ..table import OpRow
from ..trace.hooks import Tracer
from ..transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from ..transaction.types import Transaction, TransactionRefused
from . import layout
from .arena import STACK_SPACING
from .build import BINDINGS, Interpreter
from .machine import Build
from .memory import FRAMES
from .packing import DoesNotFit
from .session import Session
from .state import IN_USE, NativeState

if TYPE_CHECKING:
    from ..jit.tiers import Ahead, Tiers

READING: Final = "evm native"
"""Under which an overlay keeps the native state that reads from it."""
_RUNS: Final = count()
Calls: TypeAlias = Sequence[tuple[bytes, ExecutionContext]]
"""May be `CallColumns`."""
GAS_BITS: Final = 63
"""Gas is a signed number of 64 bits in native code."""


class NativeEngine:
    """Implements `Engine`, which see. Contracts are compiled where `config` says so; without one they are not."""

    def __init__(self, config: EvmConfig | None = None) -> None:
        self.tiers = _tiers(config) if config is not None else None
        self.name: Final = "native" if self.tiers is None else "jit"
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

    def compile(self, specification: Specification, code: bytes) -> Ahead:
        """Compile a contract ahead of time, for this process and those after it.

        Raises `ConfigError` for an engine without a compiler, and for limits beyond those of native memory.
        """
        try:
            if self.tiers is not None:
                return self.tiers.of(self.interpreter(specification, traced=False)).compile_ahead(code)
        except DoesNotFit:
            raise ConfigError("[vm.evm] stack_limit, call_depth_limit: too large for native code") from None
        raise ConfigError("[vm.evm] engine: the native engine does not compile contracts").with_fix('engine = "jit"')

    # Runs

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
        if context.depth or context.gas_limit >> GAS_BITS:
            self._lend_marks(state)
            return REFERENCE.execute(specification, state, code, context, tracers=tracers, host=host)
        try:
            if isinstance(state, NativeState):
                session = state.session
                if tracers or session is None or session.specification is not specification or session.host is not host:
                    session = self._session(specification, state, tracers, host)
                return session.call(state, code, context)
            with self._bridged(state) as native:
                result = self._session(specification, native, tracers, host).call(native, code, context)
                object.__setattr__(result, "state_changes", self._write_back(native, state))
                return result
        except DoesNotFit:
            return REFERENCE.execute(specification, state, code, context, tracers=tracers, host=host)

    def execute_each(
        self,
        specification: Specification,
        state: StateAccess,
        calls: Calls,
        *,
        host: VmHost | None = None,
    ) -> Sequence[ExecutionResult] | None:
        """See `Engine.execute_each`. The batch is one call of native code, unless it has a need."""
        if not isinstance(calls, CallColumns) and any(context.depth or context.value for _, context in calls):
            return None
        native = state if isinstance(state, NativeState) else _reading(state)
        return self._each(specification, native, calls, host)

    def _each(
        self, specification: Specification, state: NativeState, calls: Calls, host: VmHost | None
    ) -> Sequence[ExecutionResult] | None:
        session = self._session(specification, state, (), host)
        results: list[ExecutionResult] = []
        try:
            if isinstance(calls, CallColumns):
                return session.call_columns(state, calls)
            for block, group in groupby(calls, lambda call: call[1].block):
                results += session.calls(state, block, list(group))
        except DoesNotFit:
            return None
        return results

    def deploy(
        self,
        specification: Specification,
        state: StateAccess,
        init_code: bytes,
        context: ExecutionContext,
        *,
        tracers: Sequence[Tracer] = (),
        host: VmHost | None = None,
    ) -> ExecutionResult:
        """See `Engine.deploy`. Goes to the reference engine, as all calls inside a transaction of another VM do."""
        if context.depth:
            self._lend_marks(state)
        return REFERENCE.deploy(specification, state, init_code, context, tracers=tracers, host=host)

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
        gas = block.gas_limit if gas_available is None else gas_available
        blob_gas = UNLIMITED if blob_gas_available is None else blob_gas_available
        surroundings = (specification, state, block, tracers, host)
        try:
            (found,) = self._run(surroundings, [tx], [sender], checks, gas, blob_gas)
        except DoesNotFit:
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
        gas = block.gas_limit if gas_available is None else gas_available
        blob_gas = UNLIMITED if blob_gas_available is None else blob_gas_available
        surroundings = (specification, state, block, (), host)
        try:
            return self._run(surroundings, transactions, senders, checks, gas, blob_gas)
        except DoesNotFit:
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
        try:
            return self._send(specification, state, block, [message], sender, is_system_call, tracers, host)[0]
        except DoesNotFit:
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

    def send_all(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        messages: Sequence[Transaction],
        sender: bytes,
        *,
        is_system_call: bool = False,
        host: VmHost | None = None,
    ) -> list[MessageResult]:
        """See `Engine.send_all`. The batch is one call of native code, unless it has a need."""
        if not messages:
            return []
        try:
            return self._send(specification, state, block, messages, sender, is_system_call, (), host)
        except DoesNotFit:
            return REFERENCE.send_all(
                specification, state, block, messages, sender, is_system_call=is_system_call, host=host
            )

    def run_block(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        *,
        before: Sequence[SystemCall] = (),
        after: Sequence[SystemCall] = (),
        blob_gas_available: int | None = None,
        host: VmHost | None = None,
    ) -> BlockOutcome:
        """See `Engine.run_block`. On a native state it is one call of native code, unless it has a need."""
        if isinstance(state, NativeState) and (transactions or before or after):
            blob_gas = UNLIMITED if blob_gas_available is None else blob_gas_available
            try:
                session = self._session(specification, state, (), host)
                return session.run_block(state, block, transactions, senders, before, after, blob_gas)
            except DoesNotFit:
                pass  # one of the parts goes to the reference engine
        return run_in_parts(
            self,
            specification,
            state,
            block,
            transactions,
            senders,
            before=before,
            after=after,
            blob_gas_available=blob_gas_available,
            host=host,
        )

    def _send(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        messages: Sequence[Transaction],
        sender: bytes,
        is_system_call: bool,
        tracers: Sequence[Tracer],
        host: VmHost | None,
    ) -> list[MessageResult]:
        """Run messages on whatever state. Raises `DoesNotFit`."""
        mode = layout.SYSTEM_CALL if is_system_call else layout.MESSAGE
        if isinstance(state, NativeState):
            return self._session(specification, state, tracers, host).send_all(state, block, messages, sender, mode)
        with self._bridged(state) as native:
            session = self._session(specification, native, tracers, host)
            results = session.send_all(native, block, messages, sender, mode)
            self._write_back(native, state)
            return results

    def _run(
        self,
        surroundings: tuple[Specification, StateAccess, BlockContext, Sequence[Tracer], VmHost | None],
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        checks: Checks,
        gas: int,
        blob_gas: int,
    ) -> list[TransactionResult | TransactionRefused]:
        """Run transactions on whatever state. Raises `DoesNotFit`."""
        specification, state, block, tracers, host = surroundings
        if isinstance(state, NativeState):
            session = self._session(specification, state, tracers, host)
            return session.transact(state, block, transactions, senders, checks, gas, blob_gas)
        with self._bridged(state) as native:
            session = self._session(specification, native, tracers, host)
            results = session.transact(native, block, transactions, senders, checks, gas, blob_gas)
            ran = [result for result in results if not isinstance(result, TransactionRefused)]
            for result in ran:
                assert result.state_changes is not None  # read now: its rows are somebody else's after this run
            if ran:
                self._write_back(native, state)
            return results

    # What a run needs

    def interpreter(self, specification: Specification, *, traced: bool) -> Interpreter:
        """The interpreter of `specification`; made once. Raises `DoesNotFit` for limits beyond those of the arenas."""
        rules = specification.rules
        if rules.stack_limit >= STACK_SPACING or rules.call_depth_limit > FRAMES - 2:
            raise DoesNotFit
        key = (id(specification), traced)
        found = self._interpreters.get(key)
        if found is None:
            with self._lock:
                found = self._interpreters.get(key)
                if found is None:  # it holds its specification, so that no other can get its id
                    found = self._interpreters[key] = Interpreter(specification, traced=traced)
        return found

    def _session(
        self, specification: Specification, state: NativeState, tracers: Sequence[Tracer], host: VmHost | None
    ) -> Session:
        """The session that the state has, or another one where it does not suit."""
        session = state.session
        if (
            session is None
            or session.specification is not specification
            or session.host is not host
            or session.is_traced
            or tracers
        ):
            if state.in_use.locked():
                raise StateError(IN_USE)
            interpreter = self.interpreter(specification, traced=bool(tracers))
            tier = self.tiers.of(interpreter) if self.tiers is not None and not tracers else None
            session = Session(state, interpreter, host, tracers, tier)
        return session

    def _lend_marks(self, state: StateAccess) -> None:
        """Let a call inside a transaction find what a run of this engine has left of it."""
        if isinstance(state, NativeState):
            state.lend_marks()
        elif getattr(self._spare, "last", None) in state.marks(NATIVE_RUN):
            self._spare.last = None
            self._spare.state.give_marks(state)

    @contextmanager
    def _bridged(self, state: StateAccess) -> Iterator[NativeState]:
        """This thread's native state for runs on other states, empty and with `state` behind it for that long."""
        native: NativeState | None = getattr(self._spare, "state", None)
        if native is None or native.in_use.locked() or not native.reuse(state):
            native = self._spare.state = NativeState(source=state)
        try:
            yield native
        finally:
            native.rebind(None)  # lest it keep the state alive

    def _write_back(self, native: NativeState, state: StateAccess) -> tuple[StateChange, ...]:
        """Do to `state` what the run on `native` has done: a transaction of its own. Returns the changes there."""
        begun = state.snapshot()
        try:
            state.begin_transaction()
            self._spare.last = number = next(_RUNS)
            state.mark(NATIVE_RUN, number)
            native.write_to(state)
            for event in native.events:
                state.emit(event)
            return tuple(state.changes_since(begun))
        except BaseException:
            state.revert(begun)
            raise


def _tiers(config: EvmConfig) -> Tiers | None:
    """The compiler of contracts, where the configuration wants one."""
    if config.engine != "jit" and not (config.engine == "auto" and config.enable_jit):
        return None
    from ..jit.tiers import Tiers

    return Tiers(config.jit)


def _reading(state: StateAccess) -> NativeState:
    """A native state over `state`, which an overlay keeps: what it reads from stays as it is.

    It reads in native code what is in native memory: without the lock, as many threads as there are at once.
    """
    if not isinstance(state, OverlayState):
        return NativeState(source=state)
    native: NativeState | None = state.kept.get(READING)
    if native is None:
        with state.source_alone() as source:
            if isinstance(source, NativeState):
                native = source.lend_reader(state)
                if native is not None:
                    state.when_done(partial(source.take_reader_back, native))
        native = state.kept[READING] = native or NativeState(source=state)
    return native
