"""The engines agree on random cases: a few of those that `benchmarks/differential_engines.py` runs for long."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from vmloom import MemoryState
from vmloom_evm.forks import FORKS, LATEST
from vmloom_evm.native.engine import NativeEngine
from vmloom_evm.reference.engine import REFERENCE

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CASES = 2 * len(FORKS)
COMPILED_CASES = 3
FIXED_SEED = 20_260_101


@pytest.fixture
def differential(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package of the benchmarks, which are scripts and not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    package = importlib.import_module("differential")
    for name in ("cases", "compare", "shrink"):
        importlib.import_module(f"differential.{name}")
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "differential"]:
        del sys.modules[name]


def compared(differential: ModuleType, seed: int, cases: int, *options: Any) -> int:
    """How many programs ran; fails with a report that names the case."""
    programs = 0
    for number in range(cases):
        try:
            programs += differential.compare.compare(seed, number, *options)
        except differential.compare.Difference as difference:
            pytest.fail(differential.shrink.report(differential.shrink.shrunk(difference, patience=10)))
    return programs


def test_engines_agree_on_the_same_cases_each_time(differential: ModuleType) -> None:
    assert compared(differential, FIXED_SEED, CASES) > 20 * CASES


def test_engines_agree_on_cases_that_nobody_has_run_before(differential: ModuleType) -> None:
    assert compared(differential, random.SystemRandom().getrandbits(32), CASES) > 20 * CASES


def test_compiled_programs_agree_with_interpreted_ones(differential: ModuleType) -> None:
    """On one fork: what the compiler needs of others would have to be compiled first."""
    seed = random.SystemRandom().getrandbits(32)
    assert compared(differential, seed, COMPILED_CASES, LATEST.name, ("reference", "native", "jit")) > 20


def test_programs_that_go_from_tier_to_tier_agree_with_interpreted_ones(
    differential: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quick machine code takes over in the midst of a run, and full machine code after that, without a background."""
    from vmloom_evm.jit import leaving, tiers

    changed = [(tiers, "PATIENCE"), (tiers.WORKER, "submit"), (tiers, "Installation")]  # by the engine
    for owner, name in [*changed, (leaving, "OFTEN"), (leaving, "RESTED"), (leaving.Sample, "speed_to")]:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    seed, rests = random.SystemRandom().getrandbits(32), 0
    for number in range(COMPILED_CASES):
        assert compared(differential, seed + number, 1, LATEST.name, ("native", "tiered")) > 5
        statistics = differential.compare.engine_named("tiered").tiers.statistics()  # of this case
        assert statistics.compiles > statistics.improvements > 0
        assert statistics.promotions > 0
        assert not statistics.failures
        rests += statistics.rests
    assert rests > 0


def test_case_is_the_same_each_time(differential: ModuleType) -> None:
    author = differential.cases.Author
    assert author(7, 3).case == author(7, 3).case
    assert author(7, 3).case != author(8, 3).case


@pytest.mark.parametrize(("number", "kind"), [(971, "transact_all"), (981, "transact"), (1510, "transact")])
def test_programs_with_vast_gas_end_soon(differential: ModuleType, number: int, kind: str) -> None:
    """In blocks with room for all gas there is, a call in a batch, a creation, and a call: all else may loop."""
    cases = differential.cases
    author = cases.Author(4242, number)
    state = differential.compare.filled(MemoryState(), author.case)
    steps = [author.step(state) for _ in range(cases.STEPS)]
    vast = [(step, tx) for step in steps for tx in step.transactions if tx.gas_limit >= cases.VAST]
    assert [step.kind for step, _ in vast] == [kind]
    for step, tx in vast:
        assert tx.to in (None, step.target)
        assert (tx.data if tx.to is None else step.code) in cases.LITTLE


class Off(NativeEngine):
    """A native engine that takes a gas too much."""

    def execute(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        result = super().execute(*arguments, **options)  # type: ignore[arg-type]
        return replace(result, gas_used=result.gas_used + 1) if result.return_data else result


def test_difference_is_found_and_made_smaller(differential: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differential.compare, "engine_named", {"native": Off(), "reference": REFERENCE}.get)
    with pytest.raises(differential.compare.Difference, match="gas_used") as caught:
        all(differential.compare.compare(FIXED_SEED, number) for number in range(CASES))
    smaller = differential.shrink.shrunk(caught.value, patience=3)
    assert len(smaller.steps) == 1
    assert len(smaller.steps[0].code) <= len(caught.value.steps[-1].code)
    assert "RETURN" in differential.shrink.report(smaller) or "REVERT" in differential.shrink.report(smaller)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, str(BENCHMARKS / "differential_engines.py"), *arguments]
    return subprocess.run(run, capture_output=True, text=True, check=False)


def test_command_prints_its_seed_and_what_it_has_run() -> None:
    done = command("--programs", "50", "--seed", "5", "--fork", "osaka", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["seed"], report["differences"], report["found"]) == (5, 0, [])
    assert report["programs"] >= 50
    assert done.stderr.count("seed 5") == 2


def test_command_gives_up_on_a_case_that_does_not_end() -> None:
    done = command("--seed", "5", "--longest", "0", "--patience", "0")
    assert done.returncode == 1
    assert "case 5:0 did not end within 0 s" in done.stdout


@pytest.mark.parametrize(
    ("engines", "cause"), [("native", "name two engines"), ("native,revm", "unknown engine 'revm'")]
)
def test_command_names_engines_that_it_cannot_compare(engines: str, cause: str) -> None:
    done = command("--engines", engines)
    assert done.returncode == 2
    assert cause in done.stderr


def test_command_runs_one_case_again() -> None:
    done = command("--only", "5:3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("no difference in ")
