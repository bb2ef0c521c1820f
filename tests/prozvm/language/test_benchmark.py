"""The benchmark of the tiers: what it runs does the same on each of them, and what it shows is what it measured."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

COMMAND = Path(__file__).parents[3] / "benchmarks" / "prozvm.py"


@pytest.fixture(scope="module")
def report() -> Any:
    command = [sys.executable, str(COMMAND), "--repeats", "1", "--executions", "2", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_all_tiers_do_the_same_work(report: Any) -> None:
    names = ["arithmetic loop", "state operations", "hash operations", "smart contract"]
    assert [(row["form"], row["name"]) for row in report["work"]] == [
        (form, name) for form in ("loop", "short") for name in names
    ]
    for row in report["work"]:
        assert row["same"]
        assert row["us"].keys() >= {"tier 0", "tier 1", "tier 2 Python"}


def test_target_is_met_by_the_better_of_the_compiled_tiers(report: Any) -> None:
    for row in report["work"]:
        best = max(ratio for name, ratio in row["ratio"].items() if name.startswith("tier 2"))
        assert row["met"] == (best >= row["target"])


def test_optimizer_saves_at_least_what_was_promised(report: Any) -> None:
    short = [row["name"] for row in report["sizes"] if round(100 - 100 * row["after"] / row["before"]) < row["seed"]]
    assert short == []


def test_tables_say_what_is_met_and_what_is_not(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("prozvm_benchmark", COMMAND)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)
    spec.loader.exec_module(benchmark)
    for row in report["work"]:
        row["met"] = row["form"] == "loop"
    shown = StringIO()
    for table in benchmark.tables(report["work"], report["sizes"]):
        Console(file=shown, width=200).print(table)
    assert shown.getvalue().count("x met") == 4
    assert shown.getvalue().count("x MISSED") == 4
    assert "jump chains" in shown.getvalue()
