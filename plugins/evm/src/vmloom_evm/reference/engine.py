"""The reference engine as an `Engine`: CPython runs the kernel functions, over Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vmloom import BlockContext, ExecutionContext, ExecutionResult, ExecutionState, StateAccess
from vmloom.marks import CREATED
from vmloom.vm import VmHost

from ..engine import MessageResult, run_in_parts
from ..halts import HALT_NAMES, REVERT, SUCCESS
from ..specification import Specification
from ..table import OpRow
from ..trace.hooks import Tracer
from ..transaction.checks import ACCEPTED, blob_gas, refusal
from ..transaction.life import (
    begin,
    begin_execution,
    begin_message,
    begin_system_call,
    end,
    end_state,
    pay_fee_recipient,
)
from ..transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from ..transaction.types import Transaction, TransactionRefused
from ..transaction.validation import Facts, refused
from .execution import Execution
from .frame import EvmFrame, to_address
from .root import RootFrame

UNLIMITED: Final = (1 << 64) - 1
"""More blob gas than any block has."""
STATES: Final = {SUCCESS: ExecutionState.SUCCESS, REVERT: ExecutionState.REVERTED}
NO_TRANSACTION: Final = Transaction()


class ReferenceEngine:
    """Implements `Engine`, which see."""

    name = "reference"

    def check(self, custom_ops: Sequence[OpRow]) -> None:
        """Nothing to find: CPython runs any function."""

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
        """See `Engine.execute`."""
        return self._execute(specification, state, code, context, tracers, host, is_create=False)

    def execute_each(
        self,
        specification: Specification,
        state: StateAccess,
        calls: Sequence[tuple[bytes, ExecutionContext]],
        *,
        host: VmHost | None = None,
    ) -> Sequence[ExecutionResult] | None:
        """See `Engine.execute_each`: one by one."""
        return None

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
        """See `Engine.deploy`."""
        result = self._execute(specification, state, init_code, context, tracers, host, is_create=True)
        return replace(result, return_data=state.get_code(context.address)) if result.success else result

    def _execute(
        self,
        specification: Specification,
        state: StateAccess,
        code: bytes,
        context: ExecutionContext,
        tracers: Sequence[Tracer],
        host: VmHost | None,
        *,
        is_create: bool,
    ) -> ExecutionResult:
        checkpoint = state.snapshot()
        try:
            run = Execution(
                specification,
                state,
                context.block,
                origin=context.origin,
                gas_price=context.gas_price,
                blob_hashes=context.blob_hashes,
                tracers=tracers,
                host=host,
            )
            root = run.root(context.caller, NO_TRANSACTION, depth=context.depth - 1)
            callee = int.from_bytes(context.address, "big")
            if context.depth == 0:
                begin_execution(root, callee)
            if is_create:
                state.mark(CREATED, context.address)
            first_event = len(state.events)
            run.enter(_first_frame(run, root, code, context, is_create=is_create))
            run.run(root)
            if context.depth == 0:
                end_state(root)
            return ExecutionResult(
                state=STATES.get(run.status, ExecutionState.FAILED),
                gas_used=context.gas_limit - root.gas,
                # A call inside a transaction may take back what others have been promised.
                gas_refunded=root.refund if context.depth else max(0, root.refund),
                return_data=root.return_data,
                events=tuple(state.events[first_event:]),
                state_changes=tuple(state.changes_since(checkpoint)),
                error=HALT_NAMES[run.status],
            )
        except BaseException:
            state.revert(checkpoint)
            raise

    def begin_transaction(self, specification: Specification, state: StateAccess, context: ExecutionContext) -> None:
        """Begin a transaction whose outermost call, `context`, another VM runs."""
        begin_execution(_root_of(specification, state, context), int.from_bytes(context.address, "big"))

    def end_transaction(self, specification: Specification, state: StateAccess, context: ExecutionContext) -> None:
        """End it."""
        end_state(_root_of(specification, state, context))

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
        run = Execution(
            specification, state, block, origin=sender, blob_hashes=tx.blob_hashes, tracers=tracers, host=host
        )
        root = run.root(
            sender,
            tx,
            checks,
            gas_left=block.gas_limit if gas_available is None else gas_available,
            blob_gas_left=UNLIMITED if blob_gas_available is None else blob_gas_available,
        )
        code = refusal(root)
        if code != ACCEPTED:
            raise refused(code, _facts(root, sender))
        checkpoint = state.snapshot()
        try:
            begin(root)
            run.run(root)
            end(root)
            return _result(run, root, checkpoint)
        except BaseException:
            state.revert(checkpoint)
            raise

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
        """See `Engine.transact_all`."""
        gas_left = block.gas_limit if gas_available is None else gas_available
        blob_gas_left = UNLIMITED if blob_gas_available is None else blob_gas_available
        outcomes: list[TransactionResult | TransactionRefused] = []
        checkpoint = state.snapshot()
        try:
            for tx, sender in zip(transactions, senders, strict=True):
                try:
                    result = self.transact(
                        specification,
                        state,
                        block,
                        tx,
                        sender,
                        gas_available=gas_left,
                        blob_gas_available=blob_gas_left,
                        checks=checks,
                        host=host,
                    )
                except TransactionRefused as cause:
                    outcomes.append(cause.with_traceback(None))
                    continue
                gas_left -= result.gas_used
                blob_gas_left -= result.blob_gas_used
                outcomes.append(result)
        except BaseException:
            state.revert(checkpoint)
            raise
        return outcomes

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
        checkpoint = state.snapshot()
        try:
            run = Execution(specification, state, block, origin=sender, tracers=tracers, host=host)
            root = run.root(sender, message)
            if is_system_call:
                begin_system_call(root)
            else:
                begin_message(root)
            run.run(root)
            end_state(root)
            return MessageResult(run.status, message.gas_limit - root.gas, root.return_data)
        except BaseException:
            state.revert(checkpoint)
            raise

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
        """See `Engine.send_all`."""
        checkpoint = state.snapshot()
        try:
            return [
                self.send(specification, state, block, one, sender, is_system_call=is_system_call, host=host)
                for one in messages
            ]
        except BaseException:
            state.revert(checkpoint)
            raise

    run_block = run_in_parts


REFERENCE: Final = ReferenceEngine()
"""One for all: it keeps nothing."""


def forgo(specification: Specification, state: StateAccess, block: BlockContext) -> None:
    """What state tests ask of a refused transaction: the fee recipient is paid nothing, and goes if it is empty."""
    root = Execution(specification, state, block, origin=bytes(20)).root(bytes(20), NO_TRANSACTION)
    root.begin_transaction()
    pay_fee_recipient(root, 0)
    end_state(root)


def _root_of(specification: Specification, state: StateAccess, context: ExecutionContext) -> RootFrame:
    """The frame above that of `context`, whose code another VM runs."""
    run = Execution(specification, state, context.block, origin=context.origin, gas_price=context.gas_price)
    return run.root(context.caller, NO_TRANSACTION)


def _first_frame(
    run: Execution, root: RootFrame, code: bytes, context: ExecutionContext, *, is_create: bool
) -> EvmFrame:
    return EvmFrame(
        run,
        root,
        gas=context.gas_limit,
        caller=root.address,
        address=int.from_bytes(context.address, "big"),
        code_address=int.from_bytes(context.code_address or context.address, "big"),
        code=code,
        value=context.value,
        input=b"" if is_create else context.input,
        is_static=context.is_static,
        is_create=is_create,
        depth=context.depth,
    )


def _facts(root: RootFrame, sender: bytes) -> Facts:
    return Facts(
        root.tx,
        root.rules,
        root.run.block,
        sender,
        nonce=root.nonce(root.address),
        balance=root.balance(root.address),
        gas_available=root.gas_left,
        blob_gas_available=root.blob_gas_left,
    )


def _result(run: Execution, root: RootFrame, checkpoint: int) -> TransactionResult:
    status = run.status
    return TransactionResult(
        state=STATES.get(status, ExecutionState.FAILED),
        gas_used=root.gas_used,
        gas_refunded=root.max_gas_used - root.gas_used,
        max_gas_used=root.max_gas_used,
        gas_price=run.gas_price,
        blob_gas_used=blob_gas(root),
        return_data=root.return_data,
        events=tuple(run.state.events),
        created=to_address(root.created) if root.tx.to is None and status == SUCCESS else None,
        state_changes=tuple(run.state.changes_since(checkpoint)),
        error=HALT_NAMES[status],
    )
