"""What a virtual machine is: the one interface behind which every backend stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TextIO, TypeAlias

from .bytecode import CodeAnalysis, OptimisationReport
from .context import ExecutionContext
from .errors import CodeError, Unsupported
from .estimate import estimate_gas
from .marks import mark_warm
from .precompile import PrecompileSet
from .result import ExecutionResult, ExecutionState
from .state import MemoryState, StateAccess

VmType: TypeAlias = str
"""Name of a kind of VM, lower case, such as `evm`. Open: plugins bring their own."""

INSUFFICIENT_BALANCE: Final = "insufficient balance for transfer"
_U256_MAX: Final = (1 << 256) - 1

DEPLOY_GAS_PER_BYTE: Final = 200
"""Gas for each byte of code that `VirtualMachine.deploy` stores: what it is in the EVM. Yellow paper, appendix G."""


@dataclass(frozen=True, slots=True)
class VmVersion:
    """Semantic version of a VM and what it can do, such as the forks it knows."""

    major: int
    minor: int
    patch: int
    features: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a disassembly: byte `offset`, `name`, what follows it, and a remark such as a jump destination."""

    offset: int
    name: str
    operand: str = ""
    remark: str = ""


class VirtualMachine(ABC):
    """Runs contract code. Instances are configured once, hold no state of a run, and may be shared by threads."""

    @property
    @abstractmethod
    def vm_type(self) -> VmType:
        """The kind of VM."""

    @property
    @abstractmethod
    def vm_version(self) -> VmVersion:
        """Version and features."""

    @abstractmethod
    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run `code` as the call that `context` describes, on `state`.

        A failing contract is a result, and leaves `state` as it was; a succeeding one leaves its changes in the
        undo log, uncommitted. The value of the context has been transferred by whoever made the call. Raises
        `CodeError` for code that `validate_code` refuses where the VM cannot run it at all.
        """

    def execute_call(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """`execute` as a whole: the value of the context moves first, and a failure leaves nothing behind.

        FAILED with `gas_used` 0 if the caller has less than it sends. Raises what `execute` raises, with `state` as
        it was.
        """
        checkpoint = state.snapshot()
        sent = context.value if context.caller != context.address else 0
        try:
            if sent:
                funds = state.get_balance(context.caller)
                if funds < sent:
                    return ExecutionResult(ExecutionState.FAILED, 0, error=INSUFFICIENT_BALANCE)
                state.set_balance(context.caller, funds - sent)
                # No chain has 2**256 wei; a made-up state may, and its sum wraps as a word of the EVM does.
                state.set_balance(context.address, (state.get_balance(context.address) + sent) & _U256_MAX)
            result = self.execute(code, context, state)
        except BaseException:
            state.revert(checkpoint)
            raise
        if not result.success:
            state.revert(checkpoint)
        elif sent:
            result = replace(result, state_changes=tuple(state.changes_since(checkpoint)))
        return result

    def execute_each(
        self, calls: Sequence[tuple[bytes, ExecutionContext]], state: StateAccess
    ) -> Sequence[ExecutionResult | Exception]:
        """`execute_call` of each, all on `state` as it is now: what one changes is in its result, and taken back.

        What a call raises is in its place. A VM that can run many calls at once overrides this; an execution engine
        may hand it `CallColumns`, for which it may give `ResultColumns`. See `vmloom.engine.columns`.
        """
        results: list[ExecutionResult | Exception] = []
        for code, context in calls:
            checkpoint = state.snapshot()
            try:
                results.append(self.execute_call(code, context, state))
            except Exception as error:
                results.append(error)
            finally:
                state.revert(checkpoint)
        return results

    def execute_account(self, code_address: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """`execute` the code of the account `code_address`, which is this VM's or, of the default VM, any account.

        For VMs to which an address says more than its code, such as the EVM with its precompiles. Called by
        `vmloom.calls.call_contract`.
        """
        return self.execute(state.get_code(code_address), context, state)

    def begin_transaction(self, context: ExecutionContext, state: StateAccess) -> None:
        """Begin a transaction whose outermost call, `context`, a contract of another VM runs: mark what is warm.

        The default VM is asked, since the accounts that are special are its own; see `vmloom.calls.begin_transaction`.
        """
        state.begin_transaction()
        mark_warm(context, state)

    def end_transaction(self, context: ExecutionContext, state: StateAccess) -> None:  # noqa: B027 - nothing to do
        """End a transaction that `begin_transaction` began and that succeeded, such as by deleting accounts."""

    @abstractmethod
    def validate_code(self, code: bytes) -> None:
        """Raise `CodeError` (`CodeTooLarge`, `ProhibitedOpcode`, ...) if `code` may not be deployed."""

    def deploy(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Make of `code` what is to be stored at `context.address`, a new account: the return data of a success.

        Called by `vmloom.calls.create_contract`, which stores it. A VM whose contracts have constructors runs them
        here, with the context's input. This one knows none and stores `code` itself, if `validate_code` lets it and
        the gas pays `DEPLOY_GAS_PER_BYTE`; the input is not looked at.
        """
        price = DEPLOY_GAS_PER_BYTE * len(code)
        if price > context.gas_limit:  # before the code is read, which takes time
            return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error="code storage out of gas")
        try:
            self.validate_code(code)
        except CodeError as error:
            return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=str(error))
        return ExecutionResult(ExecutionState.SUCCESS, price, code)

    def estimate_gas(
        self, code: bytes, input: bytes, context: ExecutionContext, state: StateAccess | None = None
    ) -> int:
        """The least gas limit with which the call succeeds, up to the context's gas limit.

        `state` is left as it was; without one the call runs on an empty state. Raises `GasEstimationError` if
        even the whole gas limit is not enough, or the call fails for another reason.
        """
        world = MemoryState() if state is None else state
        call = context.with_input(input)

        def attempt(gas_limit: int) -> ExecutionResult:
            checkpoint = world.snapshot()
            try:
                return self.execute(code, call.with_gas_limit(gas_limit), world)
            finally:
                world.revert(checkpoint)

        return estimate_gas(attempt, cap=context.gas_limit)

    def disassemble(self, code: bytes) -> Iterator[Instruction]:
        """The instructions of `code`, in order; never fails on bytes that are none. Optional."""
        raise Unsupported(f"{self.vm_type} {self.vm_version} has no disassembler")

    def analyse(self, code: bytes) -> CodeAnalysis:
        """What can be told of `code` without running it. Raises `CodeError` for bytes that are none. Optional."""
        raise Unsupported(f"{self.vm_type} {self.vm_version} does not analyse code")

    def optimisation_rules(self) -> Mapping[str, str]:
        """The rules that `optimise` knows, by name, with one line for people each. Empty if there are none."""
        return {}

    def optimise(self, code: bytes, *, rules: Sequence[str] | None = None, level: int = 1) -> OptimisationReport:
        """`code` made shorter or cheaper by `rules`, by default by those of `level`, 0 (none) to 3 (all).

        What the result does is what `code` does, in results, effects and order; gas may only fall. Raises `CodeError`
        for bytes that are no code and `ValueError` for a rule or level that does not exist. Optional.
        """
        raise Unsupported(f"{self.vm_type} {self.vm_version} does not optimise code")

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
        """`execute`, writing one JSON line for each step to `sink`. Optional.

        Each step also has the memory and the output of the last call, and each call a line where it begins, if that is
        asked for. A VM that has no such thing ignores the option.
        """
        raise Unsupported(f"{self.vm_type} {self.vm_version} cannot trace")


class VmHost(Protocol):
    """What a VM may ask of its surroundings; the factory is one."""

    @property
    def default_vm(self) -> VmType:
        """The VM of accounts whose state names none, and of code that begins with no VM's magic."""

    def get_vm(self, vm_type: VmType) -> VirtualMachine:
        """The VM that runs contracts of this kind. Raises `UnknownVm`."""

    def vm_of_code(self, code: bytes) -> VmType:
        """The VM that new code is for: the one with the longest `VmSpec.magic` it begins with, else `default_vm`."""

    def precompile_sets(self, vm: VmType) -> Sequence[PrecompileSet]:
        """The installed precompile sets for the VM called `vm`, in a stable order."""
