"""Programs at random do the same on every tier: result, error and its places, gas, state, ledger, events, variables."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom_prozvm.errors import OutOfGas
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.language.environment import Environment
from vmloom_prozvm.language.hybrid import Evaluator
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.values import Cell, Function, Value

from ..programs import SMALL_LIMITS
from .sources import Shape, generate_source, sources
from .tiers import EXACT, TIERS, Seen, Settings, host_functions, lowered, run

PLENTY = 1 << 40
GAS = st.sampled_from([None, PLENTY, PLENTY]) | st.integers(0, 100_000)
"""Gas for a run: often too little."""
SCHEDULES = st.sampled_from([None, GasSchedule()])
FEW_FRAMES = Limits(frames=4, tasks=2)
ROOMY = st.builds(Settings, SCHEDULES, GAS, st.booleans(), st.sampled_from([Limits(), Limits(), FEW_FRAMES]))
TIGHT = st.builds(Settings, SCHEDULES, GAS, st.booleans(), st.just(SMALL_LIMITS), places=st.just(False))
SETTINGS = ROOMY | TIGHT
WRONG = Shape(wrong=0.05)


def _runs(tier: str, source: str, given: Settings) -> tuple[Seen, Seen] | None:
    """What the interpreter does, and what `tier` does; None if that cannot run the program."""
    program = lowered(source)
    other = run(tier, program, given)
    if other is None:
        return None
    expected = run("interpreter", program, given)
    assert expected is not None
    return expected, other


@pytest.mark.parametrize("tier", [tier for tier in EXACT if tier != "interpreter"])
@settings(max_examples=60)
@given(sources() | sources(WRONG), SETTINGS)
def test_tier_does_exactly_what_the_interpreter_does(tier: str, source: str, given: Settings) -> None:
    seen = _runs(tier, source, given)
    if seen is not None:
        assert str(seen[1]) == str(seen[0])


@pytest.mark.parametrize("tier", [tier for tier in TIERS if tier not in EXACT])
@settings(max_examples=40)
@given(sources() | sources(WRONG), SETTINGS)
def test_optimised_program_does_the_same_for_at_most_as_much_gas(tier: str, source: str, given: Settings) -> None:
    seen = _runs(tier, source, given)
    assert seen is not None
    expected, other = seen
    if expected.outcome.error is OutOfGas:  # with less gas used, it may get further
        return
    assert other.without_gas() == expected.without_gas()
    if given.gas is not None:
        assert (other.outcome.gas_left or 0) >= (expected.outcome.gas_left or 0)


@settings(max_examples=30)
@given(st.lists(sources(Shape(contract=False, statements=5)), min_size=1, max_size=3), SCHEDULES, GAS)
def test_environment_is_the_same_whatever_ran_as_bytecode(
    texts: list[str], schedule: GasSchedule | None, gas: int | None
) -> None:
    direct = _session(texts, Evaluator(use_vm=False, gas_schedule=schedule), gas)
    assert _session(texts, Evaluator(use_vm=True, gas_schedule=schedule), gas) == direct


def test_generated_programs_end_in_many_ways() -> None:
    endings = Counter(
        seen.outcome.error
        for seed in range(80)
        if (seen := run("interpreter", lowered(generate_source(Random(seed))), Settings(schedule=None)))
    )
    assert endings[None] >= 30
    assert len(endings) >= 4


def _session(texts: list[str], evaluator: Evaluator, gas: int | None) -> list[str]:
    """What programs do one after the other, the last one twice, and what they leave."""
    notes: list[Value] = []
    env = Environment(host_functions(notes))
    if gas is not None:
        env["_gas_remaining"] = gas
    seen = []
    for text in (*texts, texts[-1]):
        try:
            seen.append(repr(_shown(evaluator.evaluate(text, env))))
        except Exception as error:
            seen.append(f"{type(error).__name__} {getattr(error, 'places', None)}")
        seen.append(f"{env['_gas_remaining']} {env.get('_blockchain_state')} {env.get('_ledger')}")
        seen.append(repr({name: _shown(value) for name, value in sorted(env.variables.items())}))
    return [*seen, repr([_shown(value) for value in notes])]


def _shown(value: Value, depth: int = 0) -> object:
    """A value without the identities of its functions and cells, which may hold each other."""
    if isinstance(value, Cell):
        return ("cell", _shown(value.value, depth + 1) if depth < 8 else ...)
    if isinstance(value, Function):
        return (value.name, [_shown(one, depth + 1) for one in value.bound] if depth < 8 else ...)
    if isinstance(value, list):
        return [_shown(one, depth) for one in value]
    return {key: _shown(one, depth) for key, one in value.items()} if isinstance(value, dict) else value
