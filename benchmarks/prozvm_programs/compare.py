"""Runs a case in every way and says where two of them differ.

The interpreter on the program as it is tells what must be seen. Compiled code must do the same to the unit of gas.
Optimised programs may use less gas, and so may get further where it runs out; all else must be the same, the position
of errors included. Compiled code of an optimised program must do what the interpreter does with that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from vmloom_prozvm.errors import OutOfGas

from .cases import AMPLE, INTERPRETED, LEVELS, Case, Outcome, Ways, bodies, optimised


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
        self.runs += other.runs
        self.instructions += other.instructions
        self.skipped += other.skipped
        self.ends += other.ends


def compare(case: Case, tally: Tally) -> None:
    """Run the case in every way. Raises `Difference`."""
    tally.programs += 1
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
    """The level at which optimised code is compiled, too: making code takes longer than all else."""
    return LEVELS[int(case.setting.short[0] * 1000) % len(LEVELS)]


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
