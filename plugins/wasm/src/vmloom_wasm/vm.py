"""The WebAssembly virtual machine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, cached_property
from typing import Any, Final

from vmloom import (
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    Instruction,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.calls import begin_transaction, end_transaction
from vmloom.errors import CodeError, ConfigError, ProhibitedImport
from vmloom.factory import VmFactory
from vmloom.marks import mark_warm
from vmloom.object_cache import ObjectCache
from vmloom.vm import VmHost

from .abi import FUNCTIONS, MODULE, HostFunction
from .binary.module import Kind, Module
from .binary.opcodes import OPCODES
from .binary.writer import encode
from .cache import OBJECT_KIND, CacheMetrics, ModuleCache, recipe
from .config import WasmConfig
from .contract import CONSTRUCTOR, Contract
from .disassembly import disassemble
from .engine.compiled import Compiled, compile_module
from .engine.config import Engine, EngineSettings
from .engine.host import HostFunctions
from .engine.instance import Instance, Limits
from .engine.traps import TrapKind, WasmTrap
from .metering.costs import TABLES, WasmGasCosts
from .metering.instrument import FRAME_WORDS, instrument
from .metering.profile import FunctionProfile, read_profile
from .metering.sequences import Exhausted
from .nesting import active_contracts, on_a_stack
from .run import Failure, Finished, Reverted, Run
from .validation import ENTRY_POINT, validate

VM_NAME: Final = "wasm"
MAGIC: Final = b"\0asm"
FEATURES: Final = ("mvp", "mutable-globals", "sign-extension", "saturating-conversions", "multi-value", "bulk-memory")
_REENTERED: Final = "contract is called again while it waits, which the configuration forbids (reentrancy)"
_NO_CONSTRUCTOR: Final = "the module has no constructor (export `construct`), so it takes no input"
_EXHAUSTED: Final = {Exhausted.GAS: "out of gas", Exhausted.STACK: "stack limit reached"}


class WasmVm(VirtualMachine):
    """Runs WebAssembly modules as contracts.

    `host` finds the VMs of other contracts; by default it is a factory of everything installed, with no file of
    settings read. Raises `ConfigError`.
    """

    def __init__(self, config: WasmConfig | None = None, host: VmHost | None = None) -> None:
        self.config = config or WasmConfig()
        self.host = host or _installed()
        self.costs = _costs(self.config)
        self._validation = self.config.validation
        self._engine = _engine(self.config.optimize, self.config.deterministic)
        self._offered = {function.qualified_name: function for function in FUNCTIONS.values()}
        self._offered |= _custom_functions(self.config)
        self._functions = _host_functions(self._engine, self._offered, shared=not self.config.host_functions)
        self._guards = self.config.reentrancy != "allow"
        self._limits = Limits(self.config.max_memory_pages, self.config.limits.table_size, self.config.limits.tables)

    @property
    def vm_type(self) -> str:
        """`wasm`"""
        return VM_NAME

    @property
    def vm_version(self) -> VmVersion:
        """Version of this package; features are the parts of WebAssembly that contracts may use."""
        return VmVersion(0, 1, 0, FEATURES)

    # Modules

    def validate_code(self, code: bytes) -> None:
        """Raise `CodeError` for a module that may not be deployed; see `validation.validate`."""
        self._check_imports(validate(bytes(code), self._validation))

    def disassemble(self, code: bytes) -> Iterator[Instruction]:
        """The instructions of all functions, each function's name as the remark of its first one."""
        return disassemble(code)

    @cached_property
    def cache(self) -> ModuleCache[Contract]:
        """The compiled modules."""
        settings = self.config.model_dump_json(exclude={"cache_size", "disk_cache", "optimize"})
        return ModuleCache(
            self._engine,
            self._compile,
            lambda code, compiled: Contract(code, compiled, self._functions, self.costs),
            recipe=recipe(settings),
            max_bytes=self.config.cache_size,
            disk=ObjectCache(kind=OBJECT_KIND) if self.config.disk_cache else None,
        )

    @property
    def cache_metrics(self) -> CacheMetrics:
        """What the cache of compiled modules has done so far."""
        return self.cache.metrics

    def pin(self, code: bytes) -> None:
        """Compile a module and keep it until `unpin`. Raises `CodeError`."""
        self.cache.pin(code)

    def unpin(self, code: bytes) -> None:
        """Let the cache decide again how long it keeps a module."""
        self.cache.unpin(code)

    def _compile(self, code: bytes, *, profile: bool = False) -> Compiled:
        module = validate(code, self._validation)
        self._check_imports(module)
        words = self.config.max_stack_height
        metered = instrument(module, self.costs, FRAME_WORDS, stack_words=words, profile=profile)
        return compile_module(self._engine, encode(metered))

    def _check_imports(self, module: Module) -> None:
        """Raise `ProhibitedImport` for a host function that is imported with other types than it has."""
        for entry in module.imported(Kind.FUNCTION):
            offered = self._offered.get(f"{entry.module}.{entry.name}")
            if not isinstance(entry.description, int):
                continue
            found = module.types[entry.description]
            name = f"import {entry.module}.{entry.name}"
            if offered is None:  # on the configured list, but of nobody
                raise ProhibitedImport(f"{name}: there is no such host function")
            if found != offered.function_type:
                raise ProhibitedImport(f"{name} has the signature {found}, not {offered.function_type}")

    # Calls

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run the module's `main` as the call that `context` describes; see `VirtualMachine.execute`.

        A call of depth 0 is a transaction of its own, with all that the default VM has for one: warm are origin, caller
        and callee, and accounts that destroy themselves are gone at its end. A trap is a failure; its
        name and the functions that were running are in `error` and in `metadata["trap"]`. Events and changes of state
        are in the result of depth 0, not in those of the calls within it.
        """
        contract = self.cache.get(bytes(code))
        return on_a_stack(self._engine.settings.stack_bytes, lambda: self._execute(contract, context, state)[0])

    def profile(
        self, code: bytes, context: ExecutionContext, state: StateAccess
    ) -> tuple[ExecutionResult, list[FunctionProfile]]:
        """`execute`, with calls and gas of each function, in units, the dearest first; host functions are not in it."""
        compiled = self._compile(bytes(code), profile=True)
        contract = Contract(bytes(code), compiled, self._functions, self.costs)
        result, run = on_a_stack(self._engine.settings.stack_bytes, lambda: self._execute(contract, context, state))
        began = hasattr(run, "instance")
        return result, read_profile(run.instance, contract.module) if began else []

    def deploy(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Validate and pay for the module, then run its constructor, if it has one, with the context's input.

        The constructor is the export `construct`, of the type of `main`. If it does not succeed nothing is created. A
        module without one takes no input. See `VirtualMachine.deploy`.
        """
        stored = super().deploy(code, context, state)
        if not stored.success:
            return stored
        contract = self.cache.get(bytes(code))
        if not contract.has_constructor:
            return _failed(context, _NO_CONSTRUCTOR) if context.input else stored
        call = context.with_gas_limit(context.gas_limit - stored.gas_used)
        stack_bytes = self._engine.settings.stack_bytes
        result = on_a_stack(stack_bytes, lambda: self._execute(contract, call, state, CONSTRUCTOR)[0])
        output = stored.return_data if result.success else result.return_data
        return replace(result, gas_used=stored.gas_used + result.gas_used, return_data=output)

    def _execute(
        self, contract: Contract, context: ExecutionContext, state: StateAccess, entry: str = ENTRY_POINT
    ) -> tuple[ExecutionResult, Run]:
        checkpoint = state.snapshot()
        run = Run(contract, context, state, self.host, self.config.host_gas, self.config.units_per_gas)
        try:
            if context.depth == 0:
                self._begin_transaction(contract, context, state)
            result = self._guarded(run, entry) if self._guards else self._run(run, entry)
            if not result.success:
                state.revert(checkpoint)
            elif context.depth == 0:
                if contract.meets_others:
                    end_transaction(self.host, context, state)
                changes = tuple(state.changes_since(checkpoint))
                if changes or state.events:
                    result = replace(result, events=tuple(state.events), state_changes=changes)
        except BaseException:
            state.revert(checkpoint)
            raise
        return result, run

    def _begin_transaction(self, contract: Contract, context: ExecutionContext, state: StateAccess) -> None:
        if contract.meets_others:
            begin_transaction(self.host, context, state)
        else:  # which accounts are special makes no difference to it
            state.begin_transaction()
            mark_warm(context, state)

    def _guarded(self, run: Run, entry: str) -> ExecutionResult:
        """Run unless the contract waits for a call to return and may not be called again."""
        context = run.context
        with active_contracts(context.code_address or context.address) as waits:
            if waits and not (context.is_static and self.config.reentrancy == "read_only"):
                return _failed(context, _REENTERED)
            return self._run(run, entry)

    def _run(self, run: Run, entry: str) -> ExecutionResult:
        """Run to the end, whichever it is. Raises what is nobody's fault but the node's."""
        try:
            instance = run.contract.linked.instantiate(self._limits, run)
        except WasmTrap as trap:  # a segment that does not fit
            return _failed(run.context, trap.message, _described(trap, run.contract))
        except CodeError as error:
            return _failed(run.context, str(error))
        try:
            return self._performed(run, instance, entry)
        finally:
            instance.host = None  # who refers to whom would be a circle, and memory wait for the collector

    def _performed(self, run: Run, instance: Instance, entry: str) -> ExecutionResult:
        try:
            succeeded, output = run.perform(instance, entry)
        except Reverted as ending:
            succeeded, output = False, ending.output
        except Finished as ending:
            succeeded, output = True, ending.output
        except Failure as ending:
            return _failed(run.context, str(ending))
        except WasmTrap as trap:
            return self._trapped(run, trap)
        return ExecutionResult(
            ExecutionState.SUCCESS if succeeded else ExecutionState.REVERTED,
            max(0, run.gas_used),
            output,
            gas_refunded=run.refund if succeeded else 0,
            error="" if succeeded else "reverted",
        )

    def _trapped(self, run: Run, trap: WasmTrap) -> ExecutionResult:
        exhausted = run.exhausted
        if exhausted is not Exhausted.NOTHING:
            return _failed(run.context, _EXHAUSTED[exhausted])
        if trap.kind is TrapKind.STACK_OVERFLOW:
            # Frames are counted as more than they take, so it should not come to that; if it does, no contract may
            # stop a node.
            _log().error("compiled code used up the machine's stack", address=run.context.address.hex())
            return _failed(run.context, _EXHAUSTED[Exhausted.STACK])
        described = _described(trap, run.contract)
        names = described["trap"]["backtrace"]
        return _failed(run.context, f"{trap.message} in {' < '.join(names)}" if names else trap.message, described)


def _failed(context: ExecutionContext, error: str, metadata: dict[str, Any] | None = None) -> ExecutionResult:
    return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=error, metadata=metadata or {})


def _described(trap: WasmTrap, contract: Contract) -> dict[str, Any]:
    """The trap for `metadata`: functions by name, the innermost first."""
    names = [contract.names.get(frame.function, f"function {frame.function}") for frame in trap.frames]
    return {"trap": {"kind": trap.kind.value, "backtrace": [_printable(name) for name in names]}}


def _printable(name: str) -> str:
    """Names are whatever a module's author wrote."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])


def _costs(config: WasmConfig) -> WasmGasCosts:
    """The configured table. Raises `ConfigError` for an instruction that does not exist or a price that cannot be."""
    table = TABLES[config.gas_costs]
    if not config.instruction_gas:
        return table
    codes = {opcode.name: code for code, opcode in OPCODES.items()}
    unknown = sorted(set(config.instruction_gas) - set(codes))
    if unknown:
        raise ConfigError(f"[vm.wasm] instruction_gas: there is no instruction {unknown[0]!r}")
    own = {codes[name]: price for name, price in config.instruction_gas.items()}
    return replace(table, name=f"{table.name}, amended", opcodes={**table.opcodes, **own})


@cache
def _installed() -> VmHost:
    """A factory of everything that is installed, with default settings; the same one each time."""
    return VmFactory()


_engines: Final[dict[tuple[bool, bool], Engine]] = {}
_hosts: Final[dict[Engine, HostFunctions]] = {}


def _engine(optimize: bool, canonical_nans: bool) -> Engine:
    """The engine with these settings. VMs share it: an engine has threads and memory of its own."""
    found = _engines.get((optimize, canonical_nans))
    if found is None:
        # Compiling on all cores makes threads that a forked process would wait for in vain.
        settings = EngineSettings(optimize=optimize, canonical_nans=canonical_nans, parallel=False)
        found = _engines.setdefault((optimize, canonical_nans), Engine(settings))
    return found


def _host_functions(engine: Engine, offered: Mapping[str, HostFunction], *, shared: bool) -> HostFunctions:
    """The functions, made callable for modules of `engine`; the same ones for all VMs that offer no others."""
    found = _hosts.get(engine) if shared else None
    if found is None:
        found = HostFunctions(engine)
        for function in offered.values():
            found.define(function.module, function.name, function.types, _served(function.function))
        if shared:
            found = _hosts.setdefault(engine, found)
    return found


def _custom_functions(config: WasmConfig) -> dict[str, HostFunction]:
    """The configured ones. Raises `ConfigError` for one that cannot be imported, or has a name that is taken."""
    found = {}
    for qualified, custom in config.host_functions.items():
        module, _, name = qualified.partition(".")
        place = f"[vm.wasm] host_functions.{qualified}"
        if module == MODULE and name in FUNCTIONS:
            raise ConfigError(f"{place}: there is a host function of this name")
        path, _, attribute = custom.function.partition(":")
        try:
            function = getattr(importlib.import_module(path), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{place}: cannot import {custom.function}: {error}") from None
        found[qualified] = HostFunction(name, custom.types, _paid(function, custom.gas), module)
    return found


def _paid(function: Callable[..., Any], gas: int) -> Callable[..., Any]:
    def pay_and_run(run: Run, *values: int) -> Any:
        run.charge(run.prices.host_call + gas)
        return function(run, *values)

    return pay_and_run


def _served(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called with the run that an instance works for."""

    def serve(instance: Instance, *values: int) -> Any:
        return function(instance.host, *values)

    return serve


def _log() -> Any:
    import structlog  # costs more to import than the rest; only what goes wrong needs it

    return structlog.get_logger("vmloom")
