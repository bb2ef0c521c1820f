"""A small world to run EVM programs in: for this package's tests, and for those of tools built on it.

    evm = EvmUnderTest(revision="berlin")
    callee = evm.deploy(sstore(0, 7) + revert(0, 0))
    assert evm.run(call(callee) + ret_top()).output_int == 0

Each `EvmUnderTest` has a state of its own. It remembers its last run, so that a failing test can `report` the program
as assembly and how it ended.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vmloom import Account, BlockContext, Event, ExecutionContext, ExecutionResult, MemoryState
from vmloom.vm import VmHost

from .assembly import Bytecode, raw
from .config import EvmConfig
from .trace.eip3155 import Eip3155Tracer
from .trace.hooks import Tracer
from .transaction.apply import Checks, TransactionResult
from .transaction.types import Transaction, TransactionType
from .vm import Evm

CONTRACT: Final = bytes.fromhex("c0de" * 10)
"""The address at which `run` runs."""
SENDER: Final = bytes.fromhex("5e4d" * 10)
"""Who calls, and who sends transactions; owns `FUNDS`."""
COINBASE: Final = bytes.fromhex("c01b" * 10)
FUNDS: Final = 10**24
"""wei"""
BLOCK: Final = BlockContext(number=1_000, timestamp=1_900_000_000, coinbase=COINBASE, gas_limit=100_000_000)
FIRST_CALLEE: Final = 0xCA11EE << 64
TRACE_LINES: Final = 25
"""How many lines of a trace a report ends with."""

Code = Bytecode | bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """An `ExecutionResult` as tests ask for it."""

    result: ExecutionResult

    @property
    def success(self) -> bool:
        """Whether it ended without revert or error."""
        return self.result.success

    @property
    def error(self) -> str:
        """Why it did not succeed, empty if it did."""
        return self.result.error

    @property
    def output(self) -> bytes:
        """What the program returned or reverted with."""
        return self.result.return_data

    @property
    def output_int(self) -> int:
        """The output as one big-endian number. Raises `AssertionError` for a run that neither returned nor reverted."""
        assert not self.error or self.output, self.error
        return int.from_bytes(self.output, "big")

    @property
    def words(self) -> list[int]:
        """The output as 32-byte words."""
        return [int.from_bytes(self.output[start : start + 32], "big") for start in range(0, len(self.output), 32)]

    @property
    def gas_used(self) -> int:
        """Gas, before refunds."""
        return self.result.gas_used

    @property
    def gas_refunded(self) -> int:
        """What the refund counter holds."""
        return self.result.gas_refunded

    @property
    def events(self) -> tuple[Event, ...]:
        """Logs, in order."""
        return self.result.events


@dataclass(slots=True)
class _Run:
    """What is needed to run a program again."""

    evm: EvmUnderTest
    checkpoint: int
    program: bytes
    context: ExecutionContext | None = None
    transaction: Transaction | None = None
    block: BlockContext = BLOCK
    ending: str = "did not end"

    @property
    def description(self) -> str:
        """The call in one line."""
        if self.context is not None:
            call = self.context
            static = ", static" if call.is_static else ""
            return f"{call.gas_limit} gas, {call.value} wei, depth {call.depth}{static}, input 0x{call.input.hex()}"
        return str(self.transaction)

    def again(self, tracer: Tracer) -> None:
        evm = self.evm
        evm.state.revert(self.checkpoint)
        if self.context is not None:
            evm.vm.execute_traced(self.program, self.context, evm.state, [tracer])
        elif self.transaction is not None:
            evm.vm.apply_transaction(self.transaction, self.block, evm.state, sender=SENDER, tracers=[tracer])


@dataclass(slots=True)
class _History:
    """The last run of a family of machines: those that `at` and `configured` make from one."""

    last: _Run | None = None


class EvmUnderTest:
    """An EVM of one engine, fork and configuration, and a state of its own.

    `host` supplies precompiles and other VMs; by default it is a factory of everything that is installed.
    """

    def __init__(
        self, engine: str = "reference", *, revision: str = "osaka", host: VmHost | None = None, **config: Any
    ) -> None:
        self._arguments = {"engine": engine, "revision": revision, **config}
        self._host = host
        self.vm = Evm(EvmConfig(**self._arguments), host)
        self.state = MemoryState({SENDER: Account(balance=FUNDS)})
        self._history = _History()
        self._next = FIRST_CALLEE

    # Another one

    def at(self, revision: str) -> EvmUnderTest:
        """The same engine and configuration on another fork, with a new state."""
        return self.configured(revision=revision)

    def configured(self, *, host: VmHost | None = None, **config: Any) -> EvmUnderTest:
        """The same engine with another configuration, with a new state."""
        host = host or self._host
        other = EvmUnderTest(host=host, **{**self._arguments, **config})
        other._history = self._history
        return other

    @property
    def fork(self) -> str:
        """The fork's name."""
        return self.vm.config.revision

    # The state

    def deploy(
        self,
        code: Code = b"",
        *,
        balance: int = 0,
        nonce: int = 1,
        at: int | bytes | None = None,
        storage: Mapping[int, int] | None = None,
        vm: str = "",
    ) -> bytes:
        """Put a contract into the state, by default at an address of its own; returns the address."""
        if at is None:
            self._next += 1
            at = self._next
        address = at.to_bytes(20, "big") if isinstance(at, int) else at
        self.state.set_account(address, Account(nonce=nonce, balance=balance, code=bytes(code), vm=vm))
        for slot, word in (storage or {}).items():
            self.state.set_storage(address, slot, word)
        return address

    def storage(self, address: bytes, slot: int) -> int:
        """A word of an account's storage."""
        return self.state.get_storage(address, slot)

    def balance(self, address: bytes) -> int:
        """wei"""
        return self.state.get_balance(address)

    def nonce(self, address: bytes) -> int:
        """An account's nonce."""
        return self.state.get_nonce(address)

    def code(self, address: bytes) -> bytes:
        """An account's code."""
        return self.state.get_code(address)

    def exists(self, address: bytes) -> bool:
        """Whether the account is in the state, be it empty."""
        return self.state.account_exists(address)

    def contents(self) -> dict[bytes, tuple[Account, dict[int, int]]]:
        """Everything in the state, to be compared."""
        return {address: (account, self.state.storage_of(address)) for address, account in self.state.accounts()}

    # Running

    def run(
        self,
        code: Code,
        *,
        input: bytes = b"",
        value: int = 0,
        gas: int = 10_000_000,
        static: bool = False,
        at: bytes = CONTRACT,
        balance: int | None = None,
        block: BlockContext = BLOCK,
        gas_price: int = 0,
        blob_hashes: tuple[bytes, ...] = (),
        tracers: Sequence[Tracer] = (),
        depth: int = 0,
    ) -> Outcome:
        """Put `code` at `at` and call it as `SENDER`; `value` wei come from nowhere.

        What stands there already keeps its storage and nonce, and its balance unless `balance` says otherwise.
        """
        program = bytes(code)
        held = self.state.get_balance(at) if balance is None else balance
        nonce = max(1, self.state.get_nonce(at))
        self.state.set_account(at, Account(nonce=nonce, balance=held + value, code=program))
        context = ExecutionContext(
            caller=SENDER,
            address=at,
            origin=SENDER,
            value=value,
            input=input,
            gas_limit=gas,
            gas_price=gas_price,
            depth=depth,
            is_static=static,
            blob_hashes=blob_hashes,
            block=block,
        )
        run = self._history.last = _Run(self, self.state.snapshot(), program, context=context)
        if tracers:
            result = self.vm.execute_traced(program, context, self.state, tracers)
        else:
            result = self.vm.execute(program, context, self.state)
        run.ending = f"{result.error or 'success'}, {result.gas_used} gas used, output 0x{result.return_data.hex()}"
        return Outcome(result)

    def value_of(self, expression: Bytecode, **how: Any) -> int:
        """The word that `expression` leaves on top of the stack; `how` are arguments of `run`."""
        from .assembly import ret_top

        return self.run(expression + ret_top(), **how).output_int

    def gas_of(self, code: Code, **how: Any) -> int:
        """Gas that `code` uses when it runs to its end; `how` are arguments of `run`."""
        outcome = self.run(code, **how)
        assert outcome.success, outcome.error
        return outcome.gas_used

    def transact(
        self,
        to: bytes | None = CONTRACT,
        *,
        block: BlockContext = BLOCK,
        checks: Checks | None = None,
        tracers: Sequence[Tracer] = (),
        sender: bytes = SENDER,
        **fields: Any,
    ) -> TransactionResult:
        """Apply a transaction of `sender`; `fields` are those of `Transaction`, the nonce being the right one."""
        tx = self.transaction(to, sender=sender, **fields)
        program = tx.data if tx.to is None else self.state.get_code(tx.to)
        run = self._history.last = _Run(self, self.state.snapshot(), program, transaction=tx, block=block)
        result = self.vm.apply_transaction(
            tx, block, self.state, sender=sender, tracers=tracers, checks=Checks() if checks is None else checks
        )
        run.ending = f"{result.error or 'success'}, {result.gas_used} gas used, output 0x{result.return_data.hex()}"
        return result

    def transaction(self, to: bytes | None = CONTRACT, *, sender: bytes = SENDER, **fields: Any) -> Transaction:
        """An unsigned transaction with a million gas and the sender's nonce, unless `fields` say otherwise."""
        given = {"gas_limit": 1_000_000, "nonce": self.state.get_nonce(sender), "to": to, **fields}
        if given.get("type", TransactionType.LEGACY) != TransactionType.LEGACY:
            given.setdefault("chain_id", BLOCK.chain_id)
        return Transaction(**given)

    # When a test fails

    def report(self) -> str:
        """The last run: program, call, ending, and the last lines of its trace. Rewinds the state to run it again."""
        run = self._history.last
        if run is None:
            return "nothing has run"
        sink = io.StringIO()
        evm = run.evm
        fork = evm.vm.fork_at(run.block)
        try:
            run.again(Eip3155Tracer(sink, evm.vm.specification(fork).rows))
        except Exception as error:  # the report of a failure must not fail
            sink.write(f"cannot be traced: {type(error).__name__}: {error}\n")
        lines = sink.getvalue().splitlines()
        left_out = max(0, len(lines) - TRACE_LINES)
        return "\n".join(
            [
                f"fork {fork.name}, engine {evm.vm.engine}: {run.ending}",
                run.description,
                str(raw(run.program)),
                *([f"... {left_out} lines of trace"] if left_out else []),
                *lines[-TRACE_LINES:],
            ]
        )
