"""One program run once, on the tier that was asked for: what `run` does, without showing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from ..bytecode.program import Bytecode
from ..errors import ProzError
from ..gas import GasSchedule
from ..jit import JITCompiler
from ..language.bytecode_compiler import EvaluatorBytecodeCompiler
from ..language.environment import Environment
from ..language.evaluator import TreeEvaluator
from ..language.hybrid import Evaluator
from ..language.lowering import lower
from ..language.parser import parse
from ..language.sourcemap import Place, SourceMap
from ..language.tree import Action, Source
from ..optimizer import BytecodeOptimizer
from ..runtime.interpreter import Machine
from ..runtime.loaded import load
from ..runtime.world import LEDGER_KEY, STATE_KEY, TIME_KEY, Path
from ..values import Value
from ..vm import GAS_KEY, VM
from .failures import trace_of
from .profiling import Profile, Profiler

TIERS: Final = ("0", "1", "2", "auto")
"""Direct evaluation, bytecode, compiled; or what suits each part of the program."""


@dataclass(frozen=True, slots=True)
class Order:
    """How a program is to be run."""

    tier: str = "auto"
    gas: int = 10_000_000
    optimize: int = 0
    state: Mapping[Path, Value] = field(default_factory=dict)
    ledger: tuple[Value, ...] = ()
    timestamp: int = 0
    """Of the block, in UNIX seconds: what ledger entries are stamped with."""
    with_profile: bool = False
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Of the host, by name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left. There is a `value` or an `error`; `seconds` are those of the run alone."""

    source: Source
    value: Value
    error: ProzError | None
    trace: list[tuple[str, Place | None]]
    gas_used: int
    before: Mapping[Path, Value]
    state: Mapping[Path, Value]
    entries: list[Value]
    """Those that the ledger got."""
    seconds: float
    stats: Mapping[str, Mapping[str, Any]]
    profile: Mapping[int, tuple[int, int]] | None
    exports: tuple[str, ...]
    """The actions that callers of a contract could call; nothing here does."""

    @property
    def changes(self) -> list[tuple[Path, Value, Value]]:
        """Records with their values before and after; none is one that is not there."""
        places = sorted({*self.before, *self.state}, key=lambda place: (isinstance(place, tuple), str(place)))
        pairs = ((place, self.before.get(place), self.state.get(place)) for place in places)
        return [(place, old, new) for place, old, new in pairs if old != new or type(old) is not type(new)]


class _Engine:
    """A program, compiled where that is needed, and what it runs on."""

    def __init__(self, text: str, name: str, order: Order) -> None:
        self.order = order
        self.program = parse(text, name)
        self.core = lower(self.program, known=frozenset(order.functions))
        self.bytecode: Bytecode | None = None
        self.stats: dict[str, Mapping[str, Any]] = {}
        self.profile: Profile | None = None
        self.schedule = GasSchedule()
        self.vm = VM(use_jit=False, gas_schedule=self.schedule)

    def run(self, env: Environment) -> Value:
        order = self.order
        if order.with_profile:
            return self._on_machine(env, self._profiled)
        match order.tier:
            case "0":
                return self._on_machine(env, lambda machine: TreeEvaluator(machine).evaluate(self.core))
            case "1":
                return self._on_machine(
                    env, lambda machine: machine.run(load(self._compiled(), self.vm.limits, strict=False))
                )
            case "2":
                return self._on_machine(env, self._as_python)
        evaluator = Evaluator(gas_schedule=self.schedule)
        self.bytecode = None
        try:
            return evaluator.evaluate(self.program, env)
        finally:
            self.stats["tiers"] = evaluator.get_vm_stats()

    def _on_machine(self, env: Environment, run: Callable[[Machine], Value]) -> Value:
        machine = self.vm.machine(env)
        try:
            return run(machine)
        finally:
            self.vm.settle(machine, env)

    def _compiled(self) -> Bytecode:
        bytecode = EvaluatorBytecodeCompiler(source_map=True).compile_core(self.core)
        if self.order.optimize:
            optimizer = BytecodeOptimizer(self.order.optimize, schedule=self.schedule)
            bytecode = optimizer.optimize_bytecode(bytecode)
            self.stats["optimizer"] = optimizer.get_stats()
        self.bytecode = bytecode
        return bytecode

    def _as_python(self, machine: Machine) -> Value:
        loaded = load(self._compiled(), self.vm.limits, strict=False)
        jit = JITCompiler()
        compiled = jit.compile_loaded("program", loaded, schedule=self.schedule, metered=True)
        self.stats["compiler"] = {"compiled": compiled is not None, **jit.get_stats()}
        return machine.run(loaded) if compiled is None else compiled.run(machine)

    def _profiled(self, machine: Machine) -> Value:
        profiler = Profiler()
        self.profile = profiler.profile
        return machine.run(load(self._compiled(), self.vm.limits, strict=False), profiler)

    def lines(self) -> Mapping[int, tuple[int, int]] | None:
        """Gas and instructions by source line, if they were asked for."""
        if self.profile is None or self.bytecode is None:
            return None
        return self.profile.by_line(SourceMap(self.bytecode))


def run_source(text: str, name: str, order: Order) -> Outcome:
    """Run the program. Raises `LanguageError` for a source that is wrong, before anything has run."""
    engine = _Engine(text, name, order)
    env = Environment(dict(order.functions))
    env[GAS_KEY] = order.gas
    env[STATE_KEY] = deepcopy(dict(order.state))
    env[LEDGER_KEY] = list(order.ledger)
    env[TIME_KEY] = order.timestamp
    value: Value = None
    error: ProzError | None = None
    begun = perf_counter()
    try:
        value = engine.run(env)
    except ProzError as caught:
        error = caught
    seconds = perf_counter() - begun
    return Outcome(
        source=engine.program.source,
        value=value,
        error=error,
        trace=[] if error is None else trace_of(error, engine.bytecode),
        gas_used=order.gas - env[GAS_KEY],
        before=order.state,
        state=env[STATE_KEY],
        entries=[dict(entry) for entry in env[LEDGER_KEY][len(order.ledger) :]],
        seconds=seconds,
        stats=engine.stats,
        profile=engine.lines(),
        exports=tuple(
            one.name.identifier
            for one in engine.program.statements
            if isinstance(one, Action) and one.export is not None
        ),
    )
