"""The public state tests on lanes: a sample in every run, all of them by `benchmarks/state_tests_on_lanes.py`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vmloom_evm.forks import fork_named

from .conftest import batch_on

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, which is not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("state_tests_on_lanes")


def test_state_tests_come_to_what_they_come_to_on_the_native_engine(script: Any, fixtures_folder: Path) -> None:
    comparison = script.Comparison()
    comparison.batches[fork_named("osaka")] = batch_on("host")  # compiling takes seconds
    tally = sampled(comparison, script, fixtures_folder, every=10)
    assert tally.equal > tally.cases // 2 > 250, tally.escapes


def sampled(comparison: Any, script: Any, fixtures_folder: Path, every: int) -> Any:
    """The tally of each so-manieth case of Osaka, none of which is different."""
    for case in script.cases_in(fixtures_folder / "state_tests" / "execution_specs" / "Osaka", ["Osaka"], every):
        comparison.compare(case)
    assert comparison.tally.differences == []
    return comparison.tally


def test_a_sample_comes_to_it_emulated(script: Any, fixtures_folder: Path) -> None:
    comparison = script.Comparison("emulated")
    comparison.batches[fork_named("osaka")] = batch_on("emulated")  # reading the text of lanes takes seconds
    tally = sampled(comparison, script, fixtures_folder, every=30)
    assert tally.equal > tally.cases // 2 > 50, tally.escapes


def test_words_that_stood_where_a_contract_is_created_are_told(script: Any, fixtures_folder: Path) -> None:
    """Among them one that gets its former value again, which is no change."""
    folder = fixtures_folder / "state_tests" / "legacytests_cancun" / "stSStoreTest"
    cases = [case for case in script.read_cases(folder / "InitCollision.json") if case.fork == "Istanbul"]
    comparison = script.Comparison()
    for case in cases:
        comparison.compare(case)
    assert (comparison.tally.equal, comparison.tally.differences) == (len(cases), [])
    assert cases


def test_a_difference_is_told(script: Any, fixtures_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field that differs, a refusal in place of a result, and the exit code."""
    comparison = script.Comparison()
    comparison.batches[fork_named("osaka")] = batch_on("host")
    case = next(iter(script.cases_in(fixtures_folder / "state_tests" / "execution_specs" / "Osaka", ["Osaka"], 1)))
    real: Callable[..., Any] = comparison._natively

    class Other:
        """The result, but for its gas."""

        def __init__(self, result: Any) -> None:
            self.result = result

        def __getattr__(self, name: str) -> Any:
            value = getattr(self.result, name)
            return value + 1 if name == "gas_used" else value

    monkeypatch.setattr(comparison, "_natively", lambda *arguments: Other(real(*arguments)))
    comparison.compare(case)
    (told,) = comparison.tally.differences
    assert "gas_used" in told
