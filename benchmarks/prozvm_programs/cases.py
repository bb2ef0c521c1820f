"""One case: a program and how it is run, all from a seed and a number, so that it can be made again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import Compiled, Uncompilable
from vmloom_prozvm.optimizer import BytecodeOptimizer
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import Loaded, load
from vmloom_prozvm.runtime.world import DictWorld

ROOT: Final = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # the generator is the tests', which are not installed

from tests.prozvm.language.sources import Shape as SourceShape  # noqa: E402
from tests.prozvm.language.sources import generate_source  # noqa: E402
from tests.prozvm.programs import SMALL_LIMITS, Outcome, Shape, generate, observe  # noqa: E402

SCHEDULE: Final = GasSchedule()
AMPLE: Final = 2_000_000
"""Gas that most programs do not use up."""
SOURCES: Final = 0.1
"""How many of the programs are written in the language; 0 to 1."""
NATIVES: Final = 0.02
"""How many are also made machine code, which takes a hundred times as long as to run them; 0 to 1."""
LEVELS: Final = (1, 2, 3)
COMPILED: Final = "compiled"
NATIVE: Final = "native"
WITHOUT: Final[set[str]] = set()
"""Ways that are to be left out."""
INTERPRETED: Final = "interpreted"
"""The way of running that there always is."""
Runner = Callable[[Machine], Any]


@dataclass(frozen=True)
class Setting:
    """How a program is run."""

    strict: bool
    priced: bool
    """By the default schedule; otherwise GAS_CHARGE alone costs gas, and programs are short enough without a bound."""
    small: bool
    """Whether values have limits so small that programs reach them."""
    short: tuple[float, ...]
    """Parts of the gas that the program uses, with which it runs again."""
    native: bool
    """Whether machine code is made, too."""

    @property
    def limits(self) -> Limits:
        """Of values, and all else."""
        return SMALL_LIMITS if self.small else Limits()

    @property
    def schedule(self) -> GasSchedule | None:
        """The prices."""
        return SCHEDULE if self.priced else None


@dataclass(frozen=True)
class Case:
    """A program and how it is run."""

    program: Bytecode
    setting: Setting
    source: str = ""
    """The program in the language, which is run instead of `program`; empty if it is not written in it."""

    @property
    def text(self) -> str:
        """The program for people: its source, or assembly that can be read back."""
        return self.source or self.program.disassemble()


def case(seed: int, number: int) -> Case:
    """Case `number` of those that `seed` makes."""
    random = Random(f"{seed}:{number}")
    shape = Shape(
        functions=random.random() < 0.7,
        tasks=random.random() < 0.3,
        state=random.random() < 0.7,
        closures=random.random() < 0.6,
        conversions=random.random() < 0.6,
        paths=random.random() < 0.5,
        contract=random.random() < 0.4,
        wrong=random.choice((0, 0.002, 0.01, 0.03)),
        statements=random.choice((2, 4, 8)),
    )
    setting = Setting(
        strict=random.random() < 0.7,
        priced=random.random() < 0.8,
        small=random.random() < 0.25,
        short=(random.random(), random.random()),
        native=random.random() < NATIVES,
    )
    if random.random() < SOURCES:
        wrong = random.choice((0, 0.002, 0.01, 0.03))
        source = generate_source(random, SourceShape(wrong=wrong, statements=random.choice((2, 4, 8))))
        return Case(Bytecode(), replace(setting, small=False, priced=True), source)
    return Case(generate(random, shape), setting)


class Ways:
    """The ways to run one program: by name what runs it on a machine. Those that do not take it are left out."""

    def __init__(self, program: Bytecode, setting: Setting) -> None:
        self.loaded: Final = load(program, setting.limits, strict=setting.strict)
        self.skipped: Final[list[str]] = []
        self.setting: Final = setting
        self.runners: Final[dict[str, Runner]] = {INTERPRETED: lambda machine: machine.run(self.loaded)}

    def compile(self) -> None:
        """Add the ways that take longer to prepare."""
        for name, make in ((COMPILED, _compiled), (NATIVE, _native())):
            if name in WITHOUT or (name == NATIVE and not self.setting.native):
                continue
            runner = None if make is None else make(self.loaded, self.setting)
            if runner is None:
                self.skipped.append(name)
            else:
                self.runners[name] = runner

    def run(self, name: str, gas: int) -> Outcome:
        """What can be seen of a run with so much gas."""
        setting = self.setting
        return observe(
            lambda env, context, variables: Machine(
                DictWorld(env),
                schedule=setting.schedule,
                gas=gas,
                strict=setting.strict,
                context=context,
                globals=variables,
                limits=setting.limits,
            ),
            self.runners[name],
        )


def optimised(program: Bytecode, level: int, setting: Setting) -> Bytecode:
    """The program as a VM with this level would run it."""
    limits = setting.limits
    optimizer = BytecodeOptimizer(level, schedule=SCHEDULE, limits=limits.values, stack_limit=limits.stack)
    return optimizer.optimize_bytecode(program)


def _compiled(loaded: Loaded, setting: Setting) -> Runner | None:
    try:
        return Compiled(loaded, schedule=setting.schedule, metered=True).run
    except Uncompilable:
        return None


@cache
def _native() -> Callable[[Loaded, Setting], Runner | None] | None:
    try:
        from vmloom_prozvm.jit.native import compile_native
    except ImportError:
        return None

    def make(loaded: Loaded, setting: Setting) -> Runner | None:
        found = compile_native(loaded, schedule=setting.schedule, metered=True, limits=loaded.limits)
        return None if found is None else found.run

    return make


def bodies(program: Bytecode) -> Iterator[Bytecode]:
    """The program and its functions, each once."""
    pending, seen = [program], set()
    while pending:
        body = pending.pop()
        if id(body) in seen:
            continue
        seen.add(id(body))
        yield body
        pending += [constant.bytecode for constant in body.constants if hasattr(constant, "bytecode")]
