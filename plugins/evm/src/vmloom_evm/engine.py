"""What runs code: the seam between the EVM as rules (op functions, frames, the life of a transaction) and an engine.

An engine supplies the containers that rules speak to (`machine`) and the driver that runs op functions. Everything
above (`vm`, blocks, state tests, command lines) calls one through `Engine` and knows no other part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vmloom import BlockContext, ExecutionContext, ExecutionResult, StateAccess
from vmloom.vm import VmHost

from .halts import HALT_NAMES
from .system import SYSTEM_ADDRESS, SystemCall, system_messages
from .transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from .transaction.types import Transaction, TransactionRefused

if TYPE_CHECKING:
    from .specification import Specification
    from .table import OpRow
    from .trace.hooks import Tracer


class MessageResult(NamedTuple):
    """How a message ended: `status` is one of `halts`, `gas_used` gas before refunds."""

    status: int
    gas_used: int
    return_data: bytes

    @property
    def error(self) -> str:
        """Why it did not succeed, empty if it did."""
        return HALT_NAMES[self.status]


class BlockOutcome(NamedTuple):
    """What came of the transactions of a block, and of the system calls after them; nobody asks of those before."""

    transactions: Sequence[TransactionResult | TransactionRefused]
    after: Sequence[MessageResult]


class Engine(Protocol):
    """Runs code by the rules of a specification. Holds no state of a run, and may be shared by threads.

    Every run leaves its changes in the undo log of the state it is given; where it raises, the state is as it was.
    `host` finds the VM of contracts that are not the EVM's.
    """

    @property
    def name(self) -> str:
        """As configurations name it: `reference`, `native` or, where contracts are compiled, `jit`."""

    def check(self, custom_ops: Sequence[OpRow]) -> None:
        """Raise `KernelError` (`vmloom.kernel.subset`) if one of these instructions cannot be run by this engine."""

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
        """Run `code` as the call that `context` describes, whose value has been moved already.

        One of depth 0 is a transaction of its own (`life.begin_execution`, `life.end_state`); a deeper one is part of
        the transaction that runs on `state`, and goes on with its warm accounts, events and so on.
        """

    def execute_each(
        self,
        specification: Specification,
        state: StateAccess,
        calls: Sequence[tuple[bytes, ExecutionContext]],
        *,
        host: VmHost | None = None,
    ) -> Sequence[ExecutionResult] | None:
        """`execute` of each call on `state` as it is, which is left so; None if they have to run one by one.

        Where `state` is an overlay, what it reads from does not change as long as it lives. `calls` may be columns; see
        `vmloom.engine.columns`.
        """

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
        """Run `init_code` as a creation at `context.address`, an account that has been begun and given its value.

        What it returns is stored as code there if rules and gas allow it, and is the return data. Of depth 0 or
        deeper, as in `execute`; `context.input` is not looked at.
        """

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
        """Run `tx` of `sender`, whose signature is not looked at (`checks.refusal`, `life.begin`, `life.end`).

        `gas_available` and `blob_gas_available` are what the block has left; by default its gas limit, and any amount.
        Raises `TransactionRefused`, with the state untouched.
        """

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
        """Run the transactions in order, each on what those before it left of state and gas."""

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
        """Run what `message` calls or creates, by itself: unchecked and free (`life.begin_message`, `life.end_state`).

        All of its gas limit is to be spent. A system call moves no value and finds nothing warm
        (`life.begin_system_call`).
        """

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
        """`send` of each message, in order; one that fails does not keep the others from running."""

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
        """Run system calls, the transactions of a block, and other system calls, in this order.

        As `send_all`, `transact_all` and `send_all` do it, which an engine may do at once.
        """


def run_in_parts(
    engine: Engine,
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
    """`Engine.run_block` for an engine that does one part after the other."""

    def send(calls: Sequence[SystemCall]) -> Sequence[MessageResult]:
        messages = system_messages(calls)
        return engine.send_all(specification, state, block, messages, SYSTEM_ADDRESS, is_system_call=True, host=host)

    checkpoint = state.snapshot()
    try:
        send(before)
        outcomes = engine.transact_all(
            specification, state, block, transactions, senders, blob_gas_available=blob_gas_available, host=host
        )
        return BlockOutcome(outcomes, send(after))
    except BaseException:
        state.revert(checkpoint)
        raise
