"""Runs a case in every way and says where two of them differ.

The interpreter on the program as it is tells what must be seen. Compiled code must do the same to the unit of gas.
Optimised programs may use less gas, and so may get further where it runs out; all else must be the same, the position
of errors included. Compiled code of an optimised program must do what the interpreter does with that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vmloom_prozvm.errors import OutOfGas
from vmloom_prozvm.language.core import CoreProgram

from .cases import AMPLE, INTERPRETED, LEVELS, NATIVE, WITHOUT, Case, Outcome, Ways, bodies, optimised

from tests.prozvm.language.tiers import EXACT, TIERS, Seen, Settings, lowered, run  # isort: skip  # `cases` knows where

INTERPRETER: Final = "interpreter"
"""The tier of the language that others are compared with."""


@dataclass
class Difference(Exception):
    """Two runs that should have been alike."""

    what: str
    """Which two: the same words for the same kind of difference."""
    gas: int
    expected: str
    found: str
    case: Case
    number: str = ""
    """SEED:NUMBER of the case that it began with."""


@dataclass
class Tally:
    """What has been done."""

    programs: int = 0
    sources: int = 0
    """Programs that were written in the language."""
    runs: int = 0
    instructions: int = 0
    """of all programs, as they are"""
    skipped: Counter[str] = field(default_factory=Counter)
    """By way, the programs that it does not take."""
    ends: Counter[str] = field(default_factory=Counter)
    """By error, or "result", the programs that end so with ample gas."""

    def add(self, other: Tally) -> None:
        """Add up."""
        self.programs += other.programs
        self.sources += other.sources
        self.runs += other.runs
        self.instructions += other.instructions
        self.skipped += other.skipped
        self.ends += other.ends


def compare(case: Case, tally: Tally) -> None:
    """Run the case in every way. Raises `Difference`."""
    tally.programs += 1
    if case.source:
        _compare_source(case, tally)
        return
    tally.instructions += sum(map(len, bodies(case.program)))
    plain = Ways(case.program, case.setting)
    ample = plain.run(INTERPRETED, AMPLE)
    tally.ends["result" if ample.error is None else ample.error.__name__] += 1
    amounts = (AMPLE, *_amounts(case, ample))
    expected = {gas: ample if gas == AMPLE else plain.run(INTERPRETED, gas) for gas in amounts}
    _compare_ways(case, plain, expected, tally, "")
    for level in LEVELS:
        program = optimised(case.program, level, case.setting)
        ways = Ways(program, case.setting)
        found = {gas: ways.run(INTERPRETED, gas) for gas in amounts}
        for gas in amounts:
            _compare_levels(case, level, gas, expected[gas], found[gas], ample)
        if level == _compiled_level(case):
            _compare_ways(case, ways, found, tally, f" at level {level}")
        tally.runs += len(amounts)


def _amounts(case: Case, ample: Outcome) -> Iterator[int]:
    """Amounts of gas that are too little."""
    used = AMPLE - (ample.gas_left or 0)
    for part in case.setting.short if used else ():
        yield int(part * used)


def _compiled_level(case: Case) -> int:
    """The level at which optimised code is compiled, too, often none: making code takes longer than all else."""
    return int(case.setting.short[0] * 1000) % (2 * len(LEVELS))


def _compare_ways(case: Case, ways: Ways, expected: dict[int, Outcome], tally: Tally, where: str) -> None:
    """Compiled code against the interpreter, on the same instructions."""
    ways.compile()
    tally.skipped.update(ways.skipped)
    tally.runs += len(ways.runners) * len(expected)
    for name in ways.runners:
        for gas, outcome in expected.items():
            if name == INTERPRETED:
                continue
            found = ways.run(name, gas)
            if repr(found) != repr(outcome):
                raise Difference(f"{name}{where}", gas, repr(outcome), repr(found), case)


def _compare_levels(case: Case, level: int, gas: int, expected: Outcome, found: Outcome, ample: Outcome) -> None:
    """The optimised program against the one as it is, with the same gas."""
    before, after = expected.gas_left or 0, found.gas_left or 0
    if expected.error is OutOfGas:
        if found.error is OutOfGas or ample.error is OutOfGas:
            return  # nobody can say where it would have ended
        expected, before = ample, gas - (AMPLE - (ample.gas_left or 0))
    # Where values have small limits, a list of origins is too large, and nobody knows where instructions were.
    but = ("gas_left", "at", "trace") if case.setting.small else ("gas_left",)
    if _without(found, but) != _without(expected, but) or after < before:
        raise Difference(f"level {level}", gas, repr(expected), repr(found), case)


def _without(outcome: Outcome, names: tuple[str, ...]) -> str:
    return "\n".join(line for line in repr(outcome).split("\n") if line.partition(":")[0] not in names)


def _compare_source(case: Case, tally: Tally) -> None:
    """The tiers of the language: direct evaluation, bytecode and compiled code, and optimised bytecode."""
    program = lowered(case.source)
    ample = _run_source(INTERPRETER, case, program, AMPLE)
    assert ample is not None
    tally.sources += 1
    tally.ends["result" if ample.outcome.error is None else ample.outcome.error.__name__] += 1
    left_out = {*WITHOUT, *(() if case.setting.native else (NATIVE,))}
    for gas in (AMPLE, *list(_amounts(case, ample.outcome))[:1]):
        expected = ample if gas == AMPLE else _run_source(INTERPRETER, case, program, gas)
        for tier in TIERS:
            if tier in left_out or tier == INTERPRETER:
                continue
            found = _run_source(tier, case, program, gas)
            tally.runs += 1
            if found is None:
                tally.skipped[tier] += 1
            elif tier in EXACT:
                if str(found) != str(expected):
                    raise Difference(f"source, {tier}", gas, str(expected), str(found), case)
            elif not _as_good(found, expected, ample, gas):
                raise Difference(f"source, {tier}", gas, str(expected), str(found), case)


def _as_good(found: Seen, expected: Seen, ample: Seen, gas: int) -> bool:
    """Whether an optimised program did what it should. As `_compare_levels`."""
    before, after = expected.outcome.gas_left or 0, found.outcome.gas_left or 0
    if expected.outcome.error is OutOfGas:
        if found.outcome.error is OutOfGas or ample.outcome.error is OutOfGas:
            return True
        expected, before = ample, gas - (AMPLE - (ample.outcome.gas_left or 0))
    return found.without_gas() == expected.without_gas() and after >= before


def _run_source(tier: str, case: Case, program: CoreProgram, gas: int) -> Seen | None:
    return run(tier, program, Settings(gas=gas, strict=case.setting.strict))
