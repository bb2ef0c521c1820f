"""Every way of running a program of the language, and all that can be seen of a run, to compare them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from vmloom_prozvm.errors import ProzError
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import Compiled, Uncompilable
from vmloom_prozvm.jit.cache import native_compiler
from vmloom_prozvm.language.bytecode_compiler import compile_program
from vmloom_prozvm.language.core import CoreProgram
from vmloom_prozvm.language.evaluator import TreeEvaluator
from vmloom_prozvm.language.lowering import lower
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.language.sourcemap import SourceMap
from vmloom_prozvm.optimizer import optimize_bytecode
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.run import Run
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Value

from ..programs import Outcome, observe

HOST: Final = ("note", "print")
"""Functions of the host: what they are called with is seen; `note` gives it back."""


@dataclass(frozen=True)
class Settings:
    """Of one run."""

    schedule: GasSchedule | None = field(default_factory=GasSchedule)
    gas: int | None = None
    strict: bool = True
    limits: Limits = field(default_factory=Limits)
    state: dict[Any, Any] = field(default_factory=dict)
    """What there is at the beginning, by key or path."""
    time: int = 1000
    """UNIX seconds"""
    contract: bool = True
    """Whether there is a call around the program."""
    places: bool = True
    """Whether errors have places; source maps may be beyond small limits."""


@dataclass
class Seen:
    """All that can be seen of a run. `places` are those of the error's trace in the source, the innermost first."""

    outcome: Outcome
    places: list[tuple[str, Any]] = field(default_factory=list)
    notes: list[Value] = field(default_factory=list)
    """What functions of the host were called with, in order."""

    def without_gas(self) -> str:
        """Everything but the gas that is left, as text: `Outcome` says why."""
        outcome = vars(self.outcome) | {"at": None, "function": "", "trace": [], "gas_left": None}
        outcome["variables"] = {
            name: value for name, value in sorted(self.outcome.variables.items()) if name not in HOST
        }
        return f"{Outcome(**outcome)!r}\nnotes: {self.notes!r}\nplaces: {self.places!r}"

    def __str__(self) -> str:
        return f"{self.without_gas()}\ngas left: {self.outcome.gas_left}"


Runner = Callable[[Any], Value]
"""Runs a program on a new machine."""


def host_functions(notes: list[Value]) -> dict[str, Callable[[Value], Value]]:
    """The functions of `HOST`, which append to `notes`."""

    def note(value: Value) -> Value:
        notes.append(value)
        return value

    return {"note": note, "print": notes.append}


def lowered(source: str) -> CoreProgram:
    """The core tree of a source. Raises `LanguageError`."""
    return lower(parse(source), known=HOST)


def run(tier: str, program: CoreProgram, settings: Settings) -> Seen | None:
    """What can be seen of a run of `program` on a tier of `TIERS`; None if that cannot run it."""
    bytecode = compile_program(program, source_map=settings.places)
    known = SourceMap(bytecode)
    runner = TIERS[tier](program, settings)
    if runner is None:
        return None
    seen = Seen(Outcome())

    def make(env: dict[str, Any], context: Any, variables: dict[str, Any]) -> Run:
        env["_block_timestamp"] = settings.time
        if settings.state:
            env["_blockchain_state"] = dict(settings.state)
        variables.update(host_functions(seen.notes))
        return (Run if tier == "evaluator" else Machine)(
            DictWorld(env, limits=settings.limits.values),
            schedule=settings.schedule,
            gas=settings.gas,
            strict=settings.strict,
            context=context if settings.contract else None,
            globals=variables,
            limits=settings.limits,
        )

    def work(machine: Any) -> Value:
        try:
            return runner(machine)
        except ProzError as error:
            if settings.places:
                seen.places = error.places or [(name, known.place(name, index)) for name, index in error.trace]
            raise

    seen.outcome = observe(make, work)
    return seen


def _evaluator(program: CoreProgram, _: Settings) -> Runner:
    return lambda machine: TreeEvaluator(machine).evaluate(program)


def _interpreter(program: CoreProgram, settings: Settings, level: int = 0) -> Runner:
    bytecode = compile_program(program, source_map=settings.places)
    if level:
        bytecode = optimize_bytecode(
            bytecode,
            level,
            schedule=settings.schedule,
            limits=settings.limits.values,
            stack_limit=settings.limits.stack,
        )
    loaded = load(bytecode, settings.limits, strict=settings.strict)
    return lambda machine: machine.run(loaded)


def _compiled(program: CoreProgram, settings: Settings) -> Runner | None:
    loaded = load(compile_program(program, source_map=settings.places), settings.limits, strict=settings.strict)
    try:
        return Compiled(loaded, schedule=settings.schedule, metered=True).run
    except Uncompilable:
        return None


def _native(program: CoreProgram, settings: Settings) -> Runner | None:
    loaded = load(compile_program(program, source_map=settings.places), settings.limits, strict=settings.strict)
    compile_native = native_compiler()
    made = compile_native(loaded, settings.schedule, True, settings.limits) if compile_native is not None else None
    return None if made is None else made.run


TIERS: Final[dict[str, Callable[[CoreProgram, Settings], Runner | None]]] = {
    "evaluator": _evaluator,
    "interpreter": _interpreter,
    "compiled": _compiled,
    "native": _native,
    "level 1": partial(_interpreter, level=1),
    "level 2": partial(_interpreter, level=2),
    "level 3": partial(_interpreter, level=3),
}
"""What makes a runner for a program, None where the tier cannot run it. Optimised programs may use less gas."""
EXACT: Final = ("evaluator", "interpreter", "compiled", "native")
"""The tiers that use the same gas."""
