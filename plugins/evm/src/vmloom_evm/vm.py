"""The EVM as a vmloom virtual machine: calls, transactions, simulations."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

from vmloom import (
    Account,
    BlockContext,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    Instruction,
    Precompile,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.bytecode import CodeAnalysis, OptimisationReport
from vmloom.engine.columns import CallColumns
from vmloom.errors import CodeTooLarge, ConfigError, InvalidCode, ProhibitedOpcode
from vmloom.estimate import estimate_gas
from vmloom.factory import VmFactory
from vmloom.marks import WARM_ACCOUNTS
from vmloom.state import NO_ACCOUNT
from vmloom.vm import VmHost

from .access_list import find_access_list
from .analysis.optimiser import RULES, optimise
from .analysis.report import analyse
from .config import EvmConfig
from .delegation import delegation_target
from .disassembly import disassemble
from .engine import Engine
from .engines import choose_engine
from .forks import FORKS, Fork, fork_named
from .frames import EF_PREFIX
from .gas import words_of
from .guests import run_precompile
from .halts import HALT_NAMES, INITCODE_TOO_LARGE, OUT_OF_GAS, SUCCESS
from .overrides import AccountOverride, apply_overrides
from .reference.engine import REFERENCE
from .reference.frame import VM_NAME
from .schedule import NETWORKS
from .specification import Specification, specify
from .table import OPS, OpKind, OpRow, row_of
from .trace.eip3155 import Eip3155Tracer
from .trace.hooks import Tracer
from .trace.metrics import InstructionMetrics
from .transaction.apply import ALL_CHECKS, Checks, TransactionResult, apply_transaction, apply_transactions
from .transaction.types import AccessListEntry, Transaction, TransactionRefused
from .transaction.validation import intrinsic_gas

if TYPE_CHECKING:
    from .jit.statistics import JitStatistics
    from .jit.tiers import Ahead, Tiers

NO_CHECKS = Checks(nonce=False, balance=False, base_fee=False)
"""What eth_call checks of sender and fees: nothing."""


@cache
def installed() -> VmHost:
    """A factory of everything that is installed, with default settings; the same one each time."""
    return VmFactory()


class Evm(VirtualMachine):
    """Runs EVM code on the fork that its configuration names, or on that of the block where it names a network.

    `host` finds precompile sets and other VMs; by default it is a factory of everything installed, with no file of
    settings read.
    """

    def __init__(self, config: EvmConfig | None = None, host: VmHost | None = None) -> None:
        self.config = config or EvmConfig()
        self.host = host or installed()
        self._counts_instructions = self.config.instruction_metrics
        self._specifications: dict[Fork, Specification] = {}
        self._lock = Lock()

    @property
    def vm_type(self) -> str:
        """`evm`"""
        return VM_NAME

    @property
    def vm_version(self) -> VmVersion:
        """Version of this package; features are the forks it knows."""
        return VmVersion(0, 1, 0, tuple(FORKS))

    # What runs

    @property
    def engine(self) -> str:
        """Name of the engine that runs code: `reference`, `native`, or `jit` where contracts are compiled.

        Raises `ConfigError`.
        """
        return self.executor.name

    @cached_property
    def executor(self) -> Engine:
        """The engine, to be handed to functions that take one.

        Raises `ConfigError` for an engine that is not installed, or that cannot run a custom instruction.
        """
        return choose_engine(self.config, self._custom_ops)

    def fork_at(self, block: BlockContext) -> Fork:
        """The fork of `block`: that of the network's schedule, or the configured one."""
        if self.config.network:
            return NETWORKS[self.config.network].fork_at(block.number, block.timestamp)
        return fork_named(self.config.revision)

    @cached_property
    def _only_specification(self) -> Specification | None:
        """What every block runs by, where no network's schedule says which."""
        return None if self.config.network else self.specification(fork_named(self.config.revision))

    def specification(self, fork: Fork) -> Specification:
        """`fork` with this configuration's changes, ready to run; made once."""
        found = self._specifications.get(fork)
        if found is None:
            with self._lock:
                found = self._specifications.setdefault(fork, self._specify(fork))
        return found

    def _specify(self, fork: Fork) -> Specification:
        config = self.config
        rules: dict[str, Any] = {
            "stack_limit": config.stack_limit,
            "memory_size_limit": config.max_memory_size,
            "charge_memory_expansion": config.charge_memory_expansion,
            "call_depth_limit": config.call_depth_limit,
        }
        if config.create_contract_limit is not None:
            rules["code_size_limit"] = config.create_contract_limit
        custom_gas = {name: custom.gas for name, custom in config.custom_opcodes.items()}
        amended = fork.amend(
            fork.name, gas={**custom_gas, **config.gas}, rules={**rules, **config.rules}, extends=False
        )
        sets = self.host.precompile_sets(VM_NAME)
        precompiles = {int(at, 16): self._load_precompile(at, path) for at, path in config.precompiles.items()}
        try:
            specification = specify(
                amended,
                sets,
                precompiles=precompiles,
                custom_ops=self._custom_ops,
                disabled_opcodes=self._disabled_codes,
            )
        except ValueError as error:
            raise ConfigError(f"[vm.evm] custom_opcodes: {error}") from None
        if config.precompile_addresses is None:
            return specification
        allowed = {int(at, 16) for at in config.precompile_addresses | config.precompiles.keys()}
        return replace(
            specification, precompiles={at: one for at, one in specification.precompiles.items() if at in allowed}
        )

    @cached_property
    def _custom_ops(self) -> tuple[OpRow, ...]:
        return tuple(
            row_of(_load(f"custom_opcodes.{name}", custom.function), custom.code, name, kind=OpKind.VALUE)
            for name, custom in sorted(self.config.custom_opcodes.items())
        )

    @cached_property
    def _disabled_codes(self) -> frozenset[int]:
        return frozenset(OPS[name].code for name in self.config.disabled_opcodes)

    @staticmethod
    def _load_precompile(address: str, path: str) -> Precompile:
        loaded = _load(f"precompiles.{address}", path)
        precompile = loaded() if isinstance(loaded, type) else loaded
        if not isinstance(precompile, Precompile):
            raise ConfigError(f"[vm.evm] precompiles.{address}: {path} is no vmloom.Precompile")
        return precompile

    # Calls

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run `code` as the call that `context` describes; see `VirtualMachine.execute`.

        A call of depth 0 is a transaction of its own: warm are origin, caller, callee, precompiles and, where the fork
        has it so, the fee recipient; accounts that destroyed themselves are gone at its end.
        """
        if self._counts_instructions:
            return self.execute_traced(code, context, state, [InstructionMetrics()])
        specification = self._only_specification or self.specification(self.fork_at(context.block))
        return self.executor.execute(specification, state, code, context, host=self.host)

    def execute_each(
        self, calls: Sequence[tuple[bytes, ExecutionContext]], state: StateAccess
    ) -> Sequence[ExecutionResult | Exception]:
        """See `VirtualMachine.execute_each`. Those of one fork that send no value run at once, where the engine can."""
        if isinstance(calls, CallColumns):
            specification = self._only_specification or self.specification(self.fork_at(calls.block))
            at_once = not self._counts_instructions
            found = self.executor.execute_each(specification, state, calls, host=self.host) if at_once else None
            return super().execute_each(calls, state) if found is None else found
        results: list[ExecutionResult | Exception] = []
        for is_plain, group in groupby(calls, lambda call: not call[1].value and not self._counts_instructions):
            members = list(group)
            found = self._execute_at_once(members, state) if is_plain else None
            results += super().execute_each(members, state) if found is None else found
        return results

    def _execute_at_once(
        self, calls: Sequence[tuple[bytes, ExecutionContext]], state: StateAccess
    ) -> Sequence[ExecutionResult] | None:
        """None if the engine cannot, or they are not all of one fork."""
        forks = {self.fork_at(block) for block in {id(context.block): context.block for _, context in calls}.values()}
        if len(forks) != 1:
            return None
        return self.executor.execute_each(self.specification(forks.pop()), state, calls, host=self.host)

    def execute_account(self, code_address: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run what is at `code_address`, as CALL does: a precompile, code of whichever VM, or that of a delegate.

        A delegation (EIP-7702) is followed once, and a delegate that is a precompile has no code. The access to the
        delegate, warm or cold, is paid out of the call's gas: the caller, a contract of another VM, cannot know of it.
        """
        specification = self._only_specification or self.specification(self.fork_at(context.block))
        if specification.rules.delegations:
            delegate = delegation_target(state.get_code(code_address))
            if delegate is not None:
                return self._execute_delegate(delegate, specification, context, state)
        precompile = specification.precompiles.get(int.from_bytes(code_address, "big"))
        if precompile is not None:
            return _precompile_result(precompile, context, state)
        account = state.get_account(code_address) or NO_ACCOUNT
        if not account.code:
            return ExecutionResult(ExecutionState.SUCCESS, 0)
        return self._vm_of(account).execute(account.code, context, state)

    def begin_transaction(self, context: ExecutionContext, state: StateAccess) -> None:
        """Warm are, beside those of the call, precompiles and, where the fork has it so, the fee recipient."""
        REFERENCE.begin_transaction(self.specification(self.fork_at(context.block)), state, context)

    def end_transaction(self, context: ExecutionContext, state: StateAccess) -> None:
        """Delete accounts that destroyed themselves, and touched ones that are empty (EIP-161)."""
        REFERENCE.end_transaction(self.specification(self.fork_at(context.block)), state, context)

    def _execute_delegate(
        self, delegate: bytes, specification: Specification, context: ExecutionContext, state: StateAccess
    ) -> ExecutionResult:
        rules, key = specification.rules, int.from_bytes(delegate, "big")
        price = rules.warm_access if key in state.marks(WARM_ACCOUNTS) else rules.cold_account
        if price > context.gas_limit:
            return _failure(OUT_OF_GAS, context)
        state.mark(WARM_ACCOUNTS, key)
        call = replace(
            context,
            gas_limit=context.gas_limit - price,
            code_address=None if delegate == context.address else delegate,
        )
        account = state.get_account(delegate) or NO_ACCOUNT
        result = self._vm_of(account).execute(account.code, call, state)
        return replace(result, gas_used=result.gas_used + price)

    def _vm_of(self, account: Account) -> VirtualMachine:
        return self.host.get_vm(account.vm) if account.code and account.vm not in ("", VM_NAME) else self

    def deploy(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run `code` with the context's input behind it as init code, by the rules of CREATE in the block's fork.

        The return data of a success is the contract's code, which is stored already. Init code is limited and paid for
        (EIP-3860), though not that it is hashed for its address: that is the price of who asked for it.
        """
        specification = self._only_specification or self.specification(self.fork_at(context.block))
        rules, init_code = specification.rules, code + context.input
        if rules.initcode_size_limit and len(init_code) > rules.initcode_size_limit:
            return _failure(INITCODE_TOO_LARGE, context)
        price = rules.initcode_word * words_of(len(init_code))
        if price > context.gas_limit:
            return _failure(OUT_OF_GAS, context)
        call = context.with_gas_limit(context.gas_limit - price)
        result = self.executor.deploy(specification, state, init_code, call, host=self.host)
        return replace(result, gas_used=result.gas_used + price)

    def execute_traced(
        self, code: bytes, context: ExecutionContext, state: StateAccess, tracers: Sequence[Tracer]
    ) -> ExecutionResult:
        """`execute`, watched by `tracers`."""
        specification = self.specification(self.fork_at(context.block))
        result = self.executor.execute(specification, state, code, context, tracers=tracers, host=self.host)
        for tracer in tracers:
            if isinstance(tracer, InstructionMetrics):
                result.metadata["instruction_metrics"] = tracer.named(specification.rows)
                break
        return result

    def trace(
        self,
        code: bytes,
        context: ExecutionContext,
        state: StateAccess,
        sink: TextIO,
        *,
        memory: bool = False,
        return_data: bool = False,
        call_frames: bool = False,
    ) -> ExecutionResult:
        """`execute`, writing EIP-3155 JSON lines in geth's field order to `sink`."""
        specification = self.specification(self.fork_at(context.block))
        tracer = Eip3155Tracer(
            sink, specification.rows, memory=memory, return_data=return_data, call_frames=call_frames
        )
        result = self.execute_traced(code, context, state, [tracer])
        tracer.finish(result.return_data, result.gas_used, result.error)
        return result

    def validate_code(self, code: bytes) -> None:
        """Raise `CodeError` for code that may not be deployed on the configured fork.

        `CodeTooLarge`, `InvalidCode` for a first byte that is reserved (EIP-3541), `ProhibitedOpcode` for a disabled
        instruction, the last two with the offset.
        """
        specification = self.specification(fork_named(self.config.revision))
        rules = specification.rules
        limit = rules.code_size_limit if self.config.max_code_size is None else self.config.max_code_size
        if limit and len(code) > limit:
            raise CodeTooLarge(f"code has {len(code)} bytes, the limit is {limit}")
        if rules.reject_ef_code and code[:1] == bytes([EF_PREFIX]):
            raise InvalidCode("code may not begin with 0xef (EIP-3541)", offset=0)
        if self._disabled_codes:
            for instruction in disassemble(code, specification.rows):
                if code[instruction.offset] in self._disabled_codes:
                    raise ProhibitedOpcode(f"{instruction.name} is disabled", offset=instruction.offset)

    def disassemble(self, code: bytes) -> Iterator[Instruction]:
        """The instructions of `code` by the names of the configured fork."""
        return disassemble(code, self.specification(fork_named(self.config.revision)).rows)

    def analyse(self, code: bytes) -> CodeAnalysis:
        """Blocks, jumps, bounds of the stack and selectors of `code` on the configured fork."""
        return analyse(code, self.specification(fork_named(self.config.revision)).rows)

    def optimisation_rules(self) -> Mapping[str, str]:
        """See `analysis.optimiser`."""
        return RULES

    def optimise(self, code: bytes, *, rules: Sequence[str] | None = None, level: int = 1) -> OptimisationReport:
        """See `VirtualMachine.optimise`, and `analysis.optimiser` for when code is left as it is."""
        specification = self.specification(fork_named(self.config.revision))
        return optimise(code, specification.rows, specification.fork.gas, rules=rules, level=level)

    # Compiling

    def compile(self, code: bytes, fork: Fork | None = None) -> Ahead:
        """Compile the code of a contract ahead of time, for `fork` (by default the configured one).

        Kept in memory and, unless the configuration says otherwise, on the disk. Raises `ConfigError` where the
        engine does not compile.
        """
        specification = self.specification(fork or fork_named(self.config.revision))
        compile_code: Callable[[Specification, bytes], Ahead] | None = getattr(self.executor, "compile", None)
        if compile_code is None:
            raise ConfigError(f"[vm.evm] engine: {self.engine} does not compile contracts").with_fix('engine = "jit"')
        return compile_code(specification, code)

    def jit_statistics(self) -> JitStatistics | None:
        """What the compiler of contracts has done so far; None for an engine without one. Raises `ConfigError`."""
        tiers: Tiers | None = getattr(self.executor, "tiers", None)
        return None if tiers is None else tiers.statistics()

    # Transactions

    def apply_transaction(
        self,
        tx: Transaction,
        block: BlockContext,
        state: StateAccess,
        *,
        sender: bytes | None = None,
        gas_available: int | None = None,
        tracers: Sequence[Tracer] = (),
        checks: Checks = ALL_CHECKS,
    ) -> TransactionResult:
        """Run a transaction, leaving its changes in the undo log. Raises `TransactionRefused`.

        `sender` spares the recovery from the signature; `gas_available` is what the block has left (default: all).
        """
        return apply_transaction(
            self.specification(self.fork_at(block)),
            state,
            block,
            tx,
            sender=sender,
            gas_available=gas_available,
            tracers=tracers,
            checks=checks,
            host=self.host,
            engine=self.executor,
        )

    def apply_transactions(
        self,
        txs: Sequence[Transaction],
        block: BlockContext,
        state: StateAccess,
        *,
        senders: Sequence[bytes | None] | None = None,
        gas_available: int | None = None,
        checks: Checks = ALL_CHECKS,
    ) -> list[TransactionResult | TransactionRefused]:
        """Run the transactions of a block in order, leaving their changes in the undo log.

        Each has what those before it left of the state and of `gas_available` (default: the block's limit). One that
        may not run has its refusal in its place, and takes nothing. `senders` spares recoveries from signatures,
        wherever it is not None. What surrounds the transactions of a block is in `block.process_block`.
        """
        return apply_transactions(
            self.specification(self.fork_at(block)),
            state,
            block,
            txs,
            senders=senders,
            gas_available=gas_available,
            checks=checks,
            host=self.host,
            engine=self.executor,
        )

    def call(
        self,
        tx: Transaction,
        block: BlockContext,
        state: StateAccess,
        *,
        sender: bytes,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        checks: Checks = NO_CHECKS,
        tracers: Sequence[Tracer] = (),
    ) -> TransactionResult:
        """What `tx` would do, on `state` as `overrides` change it; the state is left as it was.

        Raises `TransactionRefused`. By default nonce, balance and base fee are not checked, as in eth_call.
        """
        checkpoint = state.snapshot()
        try:
            apply_overrides(state, overrides or {})
            block = block if checks.base_fee or tx.max_fee_per_gas else replace(block, base_fee=0)
            return self.apply_transaction(tx, block, state, sender=sender, tracers=tracers, checks=checks)
        finally:
            state.revert(checkpoint)
            state.begin_transaction()

    def estimate_transaction_gas(
        self,
        tx: Transaction,
        block: BlockContext,
        state: StateAccess,
        *,
        sender: bytes,
        overrides: Mapping[bytes, AccountOverride] | None = None,
    ) -> int:
        """The least gas limit with which `tx` succeeds, up to its own limit and that of the block.

        Raises `GasEstimationError` with the revert data if it cannot succeed, `TransactionRefused` if it may not run.
        """
        rules = self.specification(self.fork_at(block)).rules
        cap = min(tx.gas_limit, block.gas_limit)
        if rules.transaction_gas_limit:
            cap = min(cap, rules.transaction_gas_limit)
        if tx.max_fee_per_gas:
            funds = overrides[sender].balance if overrides and sender in overrides else None
            available = (state.get_balance(sender) if funds is None else funds) - tx.value
            cap = min(cap, max(0, available) // tx.max_fee_per_gas)

        def attempt(gas_limit: int) -> ExecutionResult:
            result = self.call(replace(tx, gas_limit=gas_limit), block, state, sender=sender, overrides=overrides)
            return ExecutionResult(result.state, result.max_gas_used, result.return_data, error=result.error)

        return estimate_gas(attempt, cap=cap, floor=intrinsic_gas(tx, rules), tolerance=self.config.estimate_tolerance)

    def create_access_list(
        self,
        tx: Transaction,
        block: BlockContext,
        state: StateAccess,
        *,
        sender: bytes,
        overrides: Mapping[bytes, AccountOverride] | None = None,
    ) -> tuple[tuple[AccessListEntry, ...], TransactionResult]:
        """The access list that `tx` would use, and its result with that list. EIP-2930."""
        specification = self.specification(self.fork_at(block))
        exclude = {*specification.precompiles, int.from_bytes(sender, "big")}
        if tx.to is not None:
            exclude.add(int.from_bytes(tx.to, "big"))

        def run(candidate: Transaction, tracer: Tracer) -> TransactionResult:
            return self.call(candidate, block, state, sender=sender, overrides=overrides, tracers=[tracer])

        return find_access_list(tx, exclude, run)


def _precompile_result(precompile: Precompile, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    checkpoint = state.snapshot()
    ending = run_precompile(precompile, context, state)
    if ending.status == SUCCESS:
        return ExecutionResult(ExecutionState.SUCCESS, context.gas_limit - ending.gas, ending.output)
    state.revert(checkpoint)
    return _failure(ending.status, context)


def _failure(status: int, context: ExecutionContext) -> ExecutionResult:
    """A failure takes all gas."""
    return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=HALT_NAMES[status])


def _load(key: str, path: str) -> Any:
    """What stands at an import path of the configuration. Raises `ConfigError` with the key."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"[vm.evm] {key}: cannot import {path}: {error}") from None
