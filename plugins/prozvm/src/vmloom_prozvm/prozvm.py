"""ProzVM as a virtual machine of vmloom: contracts whose code is a container, run strictly and metered in full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any, Final, TextIO, TypeVar

from vmloom import (
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    Instruction,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.bytecode import CodeAnalysis, OptimisationReport
from vmloom.calls import begin_transaction, end_transaction
from vmloom.factory import VmFactory
from vmloom.marks import mark_warm
from vmloom.nesting import in_a_thread, nested_here
from vmloom.vm import VmHost

from . import analysis
from .bytecode.container import unpack
from .bytecode.opcodes import Opcode
from .bytecode.program import Bytecode
from .config import ProzVmConfig
from .disassembly import disassemble
from .errors import CallFailed, ProzError, UserRevert
from .jit import Executable, JITCompiler
from .language.sourcemap import MAP_KEY, SourceMap
from .optimizer import optimize_bytecode
from .outside import Outside
from .programs import ProgramCache
from .runtime.context import CallContext
from .runtime.interpreter import Engine, Machine
from .runtime.loaded import Loaded, load
from .runtime.stepping import Stepping
from .runtime.world import StateWorld
from .trace import Tracer
from .values import Function, Value, ValueLimits, canonical

T = TypeVar("T")
VM_NAME: Final = "prozvm"
CONSTRUCTOR: Final = "construct"
"""The name of the function among a program's constants that runs when the program is deployed."""
FEATURES: Final = ("transactions", "ledger", "functions", "tasks", "constructors")
RUNS_PER_THREAD: Final = 4
"""Nested runs on one thread. Each takes some dozen of the thousand calls that Python allows a thread to nest, and up to
120 more for functions of compiled code; the rest is for the caller's own calls, for other VMs and for deep values."""
_SHOWN: Final = 100
"""Characters of a function's name in the description of an error."""
_LONGEST_ERROR: Final = 1000
"""Characters of an error, which may quote the program."""
_OUT_OF_GAS: Final = "out of gas"
_NO_CONSTRUCTOR: Final = (
    "the program has no constructor (a function `construct` among its constants), so it takes no input"
)


@dataclass(slots=True)
class Program:
    """A contract's code, ready to run.

    `meets_others` says whether it may call other contracts, `executions` how often it has run, as long as that matters.
    """

    main: Loaded
    constructor: Loaded | None
    meets_others: bool
    executions: int = 0
    compiled: Executable | None = None


class _ByEngine:
    """A program that is run by an engine."""

    def __init__(self, loaded: Loaded, engine: Engine) -> None:
        self._loaded = loaded
        self._engine = engine

    def run(self, machine: Machine) -> Value:
        return machine.run(self._loaded, self._engine)


class ProzVm(VirtualMachine):
    """Runs ProzVM programs as contracts.

    `host` finds the VMs of other contracts; by default it is a factory of everything installed, with no file of
    settings read.
    """

    def __init__(self, config: ProzVmConfig | None = None, host: VmHost | None = None) -> None:
        self.config = config or ProzVmConfig()
        self.host = host or _installed()
        self._limits = self.config.limits
        self._programs = ProgramCache(self._prepare, self.config.cache_size)
        jit = self.config.jit
        self._jit = JITCompiler(hot_threshold=max(1, jit.threshold), native=jit.native, disk_cache=jit.disk_cache)
        self._compiling = threading.Lock()

    @property
    def vm_type(self) -> str:
        """`prozvm`"""
        return VM_NAME

    @property
    def vm_version(self) -> VmVersion:
        """Version of this package."""
        return VmVersion(0, 1, 0, FEATURES)

    # Programs

    def validate_code(self, code: bytes) -> None:
        """Raise `CodeError` unless `code` is a container, within the limits, of a program that passes verification."""
        self._programs.get(bytes(code))

    def disassemble(self, code: bytes) -> Iterator[Instruction]:
        """The instructions of the program and its functions, each function's name as the remark of its first one."""
        return disassemble(bytes(code), self._limits)

    def analyse(self, code: bytes) -> CodeAnalysis:
        """Blocks of the program and its functions, and the bounds of their stacks. Raises `CodeError`."""
        return analysis.analyse(bytes(code), self._limits)

    def optimisation_rules(self) -> Mapping[str, str]:
        """See `analysis.RULES`."""
        return analysis.RULES

    def optimise(self, code: bytes, *, rules: Sequence[str] | None = None, level: int = 1) -> OptimisationReport:
        """See `VirtualMachine.optimise`. Failures name other instructions than they did; no run costs more gas."""
        return analysis.optimise(bytes(code), self._limits, self.config.gas_schedule, rules=rules, level=level)

    def _prepare(self, code: bytes) -> Program:
        limits = self._limits
        bytecode = unpack(code, limits)
        optimized = self.config.optimization_level > 0
        if optimized:
            bytecode = optimize_bytecode(
                bytecode,
                self.config.optimization_level,
                schedule=self.config.gas_schedule,
                limits=limits.values,
                stack_limit=limits.stack,
                constant_limit=limits.constants,
            )
        main = load(bytecode, limits, verified=not optimized)
        return Program(main, self._constructor(bytecode), _uses(bytecode, Opcode.CALL_CONTRACT))

    def _constructor(self, bytecode: Bytecode) -> Loaded | None:
        """A program that calls the constructor, with the constants of `bytecode`; None if that has none."""
        for index, constant in enumerate(bytecode.constants):
            if isinstance(constant, Function) and constant.name == CONSTRUCTOR and not constant.parameters:
                caller = Bytecode(bytecode.constants, [("CALL_FUNC_CONST", (index, 0)), ("RETURN", None)])
                return load(caller, self._limits, verified=True)  # with the program whose constants it has
        return None

    # Compilation, which changes no result and no gas

    def get_jit_stats(self) -> dict[str, Any]:
        """What the compiler has done so far, times in seconds: as `vm.VM.get_jit_stats`."""
        return self._jit.get_stats()

    def _count(self, program: Program, code: bytes) -> None:
        """Count an execution, and compile what has become hot."""
        with self._compiling:
            program.executions += 1
            if program.executions == self.config.jit.threshold + 1:
                digest = sha256(code).hexdigest()
                program.compiled = self._jit.compile_loaded(
                    digest, program.main, schedule=self.config.gas_schedule, metered=True
                )

    # Calls

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run the program as the call that `context` describes; see `VirtualMachine.execute`.

        What the program returns is the output: bytes as they are, nothing for None, any other value in its canonical
        encoding. The value that REVERT takes is the output of a reverted call in the same way. An error fails the call;
        `error` names it and the instruction, and so does `metadata["fault"]`. A call of depth 0 is a transaction of its
        own. Events and changes of state are in its result, not in those of the calls within it.
        """
        program = self._programs.get(bytes(code))
        if self.config.jit.enabled and program.executions <= self.config.jit.threshold:
            self._count(program, bytes(code))
        return _with_room(lambda: self._execute(program, program.main, len(code), context, state))

    def execute_by(self, engine: Engine, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """`execute`, with `engine` in place of the interpreter's loop, such as one that measures.

        Contracts that this one calls, itself included, run as always.
        """
        program = self._programs.get(bytes(code))
        measured = replace(program, compiled=_ByEngine(program.main, engine))
        return _with_room(lambda: self._execute(measured, measured.main, len(code), context, state))

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
        """`execute`, writing a JSON line for each instruction to `sink`, as `trace.Tracer` says.

        Programs have no memory, and what contracts that they call do is not traced: the options change nothing.
        """
        tracer = Tracer(self._programs.get(bytes(code)).main.bytecode, sink)
        result = self.execute_by(Stepping(tracer.step, with_stacks=True), code, context, state)
        tracer.finish(result)
        return result

    def deploy(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Validate and pay for the program, then call its constructor, if it has one, which finds the input by INPUT.

        The constructor is a function called `construct`, with no parameters, among the constants of the program. If it
        fails nothing is created. A program without one takes no input. See `VirtualMachine.deploy`.
        """
        stored = super().deploy(code, context, state)
        if not stored.success:
            return stored
        program = self._programs.get(bytes(code))
        if program.constructor is None:
            return _failed(context, _NO_CONSTRUCTOR) if context.input else stored
        call = context.with_gas_limit(context.gas_limit - stored.gas_used)
        constructor = program.constructor
        result = _with_room(lambda: self._execute(program, constructor, len(code), call, state))
        output = stored.return_data if result.success else result.return_data
        return replace(result, gas_used=stored.gas_used + result.gas_used, return_data=output)

    def _execute(
        self, program: Program, loaded: Loaded, code_size: int, context: ExecutionContext, state: StateAccess
    ) -> ExecutionResult:
        price = self.config.load_gas_per_byte * code_size
        if price > context.gas_limit:
            return _failed(context, _OUT_OF_GAS)
        checkpoint = state.snapshot()
        try:
            if context.depth == 0:
                self._begin_transaction(program, context, state)
            compiled = program.compiled if loaded is program.main else None
            result = self._run(loaded if compiled is None else compiled, price, context, state)
            if not result.success:
                state.revert(checkpoint)
                if context.depth == 0:  # nobody sees why a call within it failed
                    _add_lines(result, program, loaded)
            elif context.depth == 0:
                if program.meets_others:
                    end_transaction(self.host, context, state)
                changes = tuple(state.changes_since(checkpoint))
                result = replace(result, events=tuple(state.events), state_changes=changes)
        except BaseException:
            state.revert(checkpoint)
            raise
        return result

    def _begin_transaction(self, program: Program, context: ExecutionContext, state: StateAccess) -> None:
        if program.meets_others:
            begin_transaction(self.host, context, state)
        else:  # which accounts are special makes no difference to it
            state.begin_transaction()
            mark_warm(context, state)

    def _run(
        self, code: Loaded | Executable, price: int, context: ExecutionContext, state: StateAccess
    ) -> ExecutionResult:
        """Run to the end, whichever it is, with what `price` leaves of the gas."""
        outside = Outside(context, state, self.host, self.config.call_prices)
        machine = self._machine(outside, context.gas_limit - price, context, state)
        values, schedule = self._limits.values, self.config.gas_schedule
        try:
            try:
                value = machine.run(code) if isinstance(code, Loaded) else code.run(machine)
                ending = ExecutionState.SUCCESS
            except UserRevert as revert:
                ending, value = ExecutionState.REVERTED, revert.output  # type: ignore[assignment]  # a value
            machine.charge(schedule.output(value))  # before it is encoded
            output = encode_output(value, values)
        except ProzError as error:
            return _failed(context, str(error)[:_LONGEST_ERROR], _described(error))
        succeeded = ending is ExecutionState.SUCCESS
        return ExecutionResult(
            ending,
            context.gas_limit - machine.gas,
            output,
            gas_refunded=outside.refund if succeeded else 0,
            error="" if succeeded else "reverted",
        )

    def _machine(self, outside: Outside, gas: int, context: ExecutionContext, state: StateAccess) -> Machine:
        world = StateWorld(
            state, context.address, context.block, limits=self._limits.values, read_only=context.is_static
        )

        def emit(topics: list[int], data: bytes) -> None:
            outside.emit(topics, data, machine.transactions)

        def call(address: bytes, input: bytes, value: int, gas_left: int | None) -> tuple[Value, int]:
            if machine.transactions.depth:  # the callee could call back, and would see what was before
                raise CallFailed("CALL_CONTRACT in an open transaction: TX_COMMIT or TX_REVERT it first")
            return outside.call(address, input, value, gas_left)

        machine = Machine(
            world,
            schedule=self.config.gas_schedule,
            gas=gas,
            context=CallContext(
                context.input, context.caller, context.address, context.value, context.block, emit, call
            ),
            limits=self._limits,
        )
        return machine


def _with_room(function: Callable[[], T]) -> T:
    """What `function` returns or raises, run where Python has room for a nested run: here, or in a new thread."""
    return function() if nested_here() < RUNS_PER_THREAD else in_a_thread(function)


def _uses(bytecode: Bytecode, opcode: Opcode) -> bool:
    """Whether the program or a function of it has the instruction."""
    return any(name == opcode.name for name, _ in bytecode.instructions) or any(
        _uses(constant.bytecode, opcode) for constant in bytecode.constants if isinstance(constant, Function)
    )


def encode_output(value: Value, limits: ValueLimits) -> bytes:
    """What a contract gives to its caller: bytes as they are, nothing for None, else the canonical encoding.

    Raises `NotStorable` for a function or task.
    """
    if value is None:
        return b""
    return value if isinstance(value, bytes) else canonical(value, limits)


def _failed(context: ExecutionContext, error: str, metadata: dict[str, Any] | None = None) -> ExecutionResult:
    return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=error, metadata=metadata or {})


def _described(error: ProzError) -> dict[str, Any]:
    """The error for `metadata`: its kind, the function and the index of the instruction in it, and the calls around."""
    return {
        "fault": {
            "kind": type(error).__name__,
            "instruction": error.at,
            "function": error.function[:_SHOWN],
            "trace": [[function[:_SHOWN], at] for function, at in error.trace],
        }
    }


def _add_lines(result: ExecutionResult, program: Program, loaded: Loaded) -> None:
    """Add the places in the source to a fault, if the program was compiled with its source map."""
    fault, bytecode = result.metadata.get("fault"), program.main.bytecode
    if fault is None or MAP_KEY not in bytecode.metadata:
        return
    places = SourceMap(bytecode)
    # What calls the constructor is no part of the source; `~` and a number tell apart what has one name there.
    calls = [call for call in fault["trace"] if call[0] or loaded is program.main]
    found = [(function.partition("~")[0], places.place(function, at)) for function, at in calls]
    fault["source"] = [f"{function}:{place.line}:{place.column}".lstrip(":") for function, place in found if place]


@cache
def _installed() -> VmHost:
    """A factory of everything that is installed, with default settings; the same one each time."""
    return VmFactory()
