"""The public state tests on lanes: a sample in every run, all of them by `benchmarks/state_tests_on_lanes.py`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.evm import EvmBatch
from vmloom_evm.forks import fork_named

from .conftest import OSAKA, batch_on

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


def test_compiled_contracts_come_to_it_too(script: Any, fixtures_folder: Path) -> None:
    """All of a fork in one program here, to be quick."""
    folder = fixtures_folder / "state_tests" / "legacytests_cancun" / "stCallCodes"
    comparison = script.Comparison()
    comparison.compare_compiled(script.cases_in(folder, ["Cancun"], 5))
    tally = comparison.tally
    assert (tally.differences, tally.failures) == ([], [])
    assert tally.equal > 5, tally.escapes
    assert tally.compiled > tally.cases


def test_a_device_that_fails_is_no_success(
    script: Any, fixtures_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The case is named, and the exit code says it."""
    lanes = EvmBatch(OSAKA, EmulatedDevice(memory=1 << 10), lanes=1)
    monkeypatch.setattr(script.Comparison, "batch", lambda *_: lanes)
    folder = fixtures_folder / "state_tests" / "execution_specs" / "Osaka"
    arguments = [str(folder), "--forks", "Osaka", "--every", "7000", "--device", "emulated"]
    monkeypatch.setattr("sys.argv", ["state_tests_on_lanes.py", *arguments])
    assert script.main() == 1
    said = capsys.readouterr().out
    assert "the device failed" in said
    assert "(Osaka): " in said
