"""The fuzz command: it runs clean, and sees what is broken on purpose."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from vmloom_wasm.binary import module as binary
from vmloom_wasm.binary.reader import MalformedModule
from vmloom_wasm.metering import instrument
from vmloom_wasm.metering.sequences import Meters

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SEED = 20_261_121


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What checks one module. The benchmarks are scripts and not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("wasm_modules.compare")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(BENCHMARKS / "wasm_fuzz.py"), "--json", "--seed", str(SEED), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def first_failure(compare: ModuleType, most: int = 200) -> str:
    """How the first module that fails does so."""
    for number in range(most):
        try:
            compare.check(compare.case(SEED, number), f"{SEED}:{number}")
        except compare.Difference as difference:
            return str(difference)
    return ""


def test_it_runs_clean_and_reaches_everything() -> None:
    done = command("--modules", "400")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["modules"] >= 400
    assert report["outcomes"].keys() >= {"malformed", "invalid", "refused", "exhausted", "trapped", "ran"}


def test_a_number_names_a_module(compare: ModuleType) -> None:
    assert compare.case(SEED, 5) == compare.case(SEED, 5) != compare.case(SEED, 6)
    assert command("--only", f"{SEED}:5").stdout.strip() == compare.check(compare.case(SEED, 5), f"{SEED}:5")


def test_generated_modules_are_valid(compare: ModuleType) -> None:
    generate = importlib.import_module("wasm_modules.generate")
    for number in range(100):
        code = compare.encode(generate.generated(compare.random.Random(number)))
        assert compare.check(code) in ("exhausted", "trapped", "ran")


def stack_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meters, "leave", lambda *_: b"")


def gas_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meters, "give_back", lambda *_: b"")


def limit_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Meters._pay
    monkeypatch.setattr(Meters, "_pay", lambda self, amount: before(self, amount).replace(b"\x54", b"\x58", 1))


def branch_to_the_wrong_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("vmloom_wasm.metering.instrument"), "branch", lambda *_: b"\x00")


def valid_code_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_counts(module: Any) -> None:
        if len(module.globals) == 3:
            raise MalformedModule("three globals")

    monkeypatch.setattr(binary, "_check_counts", check_counts)


@pytest.mark.parametrize(
    ("sabotage", "seen"),
    [
        (stack_not_given_back, "words left"),
        (gas_not_given_back, "units"),
        (limit_off_by_one, "with exactly the gas it used"),
        (branch_to_the_wrong_label, "metering changes what is done"),
        (valid_code_refused, "refused, but valid to wasmtime: three globals"),
    ],
)
def test_it_sees_what_is_broken(
    compare: ModuleType, monkeypatch: pytest.MonkeyPatch, sabotage: Callable[[pytest.MonkeyPatch], None], seen: str
) -> None:
    assert instrument is compare.instrument
    assert first_failure(compare) == ""
    sabotage(monkeypatch)
    assert seen in first_failure(compare)


def test_what_hangs_is_ended_and_kept(compare: ModuleType, tmp_path: Path) -> None:
    """With no patience at all, every module does."""
    done = command("--modules", "1", "--patience", "0", "--save", str(tmp_path))
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert "it still runs after" in report["found"][0]["failure"]
    name = report["found"][0]["module"]
    assert (tmp_path / f"{name.replace(':', '-')}.wasm").read_bytes() == compare.case(*map(int, name.split(":")))
