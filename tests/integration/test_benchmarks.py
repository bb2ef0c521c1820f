"""The comparison with other EVMs: every row runs, what differs is found, and what is shown is what was measured."""

from __future__ import annotations

import importlib
import importlib.util
import io
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "evm.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the benchmarks, which are scripts and not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_every_row_runs_and_succeeds(module: Callable[[str], Any]) -> None:
    done = compare("--quick", "--engine", "reference", "--peers", "", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = module("suite.rows").ROWS
    assert [row["row"] for row in report["rows"]] == [row.name for row in rows]
    assert all(row["agree"] and row["seconds"]["vmloom"] > 0 for row in report["rows"])
    assert report["versions"].keys() == {"vmloom"}


def test_peers_agree_on_every_row() -> None:
    peers = [name for name, library in (("pyrevm", "pyrevm"), ("py-evm", "eth")) if importlib.util.find_spec(library)]
    if not peers:
        pytest.skip("no peer is installed: uv run --group bench pytest tests/integration/test_benchmarks.py")
    done = compare("--quick", "--engine", "reference", "--peers", ",".join(peers), "--json")
    assert (done.returncode, json.loads(done.stdout)["faults"]) == (0, []), done.stderr


def test_bare_arithmetic_is_that_of_its_row(module: Callable[[str], Any]) -> None:
    pytest.importorskip("vmloom_native")
    bare = module("evm_bare")
    rows = {row.name: row for row in module("suite.rows").ROWS}
    for name, kernel in bare.BARE.items():
        row = rows[name]
        expected = bare.prepared(row.make(row.quick), "reference")()
        assert kernel(bare.SEED, row.quick) == int.from_bytes(expected, "big"), name


def test_rows_are_chosen_by_words() -> None:
    listed = compare("--list", "--rows", "ERC-20", "blocks").stdout.splitlines()
    assert "contracts: ERC-20 mint x 2,000" in listed
    assert "blocks: 1,000 value transfers" in listed
    assert all("ERC-20" in line or line.startswith("blocks") for line in listed)


def test_unknown_row_and_peer_are_refused() -> None:
    assert "no row is called like 'fibonacci'" in compare("--rows", "fibonacci").stderr
    unknown = compare("--peers", "geth")
    assert unknown.returncode == 2
    assert "unknown peer 'geth'; known: pyrevm, py-evm, evmone" in unknown.stderr


def test_table_shows_times_of_peers(module: Callable[[str], Any]) -> None:
    evm, rows = module("evm"), module("suite.rows").chosen(["ray tracer", "one token swap"])
    comparison = evm.Comparison(["vmloom", "pyrevm"], [evm.Finding(row) for row in rows])
    for finding in comparison.findings:
        for side, ns in (("vmloom", 2_500_000.0), ("pyrevm", 5_000_000.0)):
            finding.add(side, {"failure": "", "ns": ns, "runs": 7, "turns": [ns], "outcome": [True, 1234, 0, "", ""]})
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(comparison.table())
    text = console.export_text()
    assert "ray tracer" in text
    assert "1,234" in text
    assert "2.50 ms" in text
    assert text.count("2.00x") == 5  # two rows, the means of their groups, and of all
    assert comparison.to_json()["geometric_means"] == {"pyrevm": 2.0}
    assert not comparison.faults()


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        ([True, 1235, 0, "", ""], "gas differs: vmloom 1234, pyrevm 1235"),
        ([True, 1234, 4800, "", ""], "refund differs: vmloom 0, pyrevm 4800"),
        ([True, 1234, 0, "ff", ""], "return data differs: vmloom , pyrevm ff"),
        ([True, 1234, 0, "", "aa"], "logs differs: vmloom , pyrevm aa"),
        ([False, 1234, 0, "", ""], "pyrevm: the run failed"),
    ],
)
def test_what_differs_is_a_fault(module: Callable[[str], Any], outcome: list[Any], fault: str) -> None:
    evm, rows = module("evm"), module("suite.rows").chosen(["ray tracer"])
    finding = evm.Finding(rows[0])
    finding.add("vmloom", {"failure": "", "ns": 1.0, "runs": 1, "turns": [1.0], "outcome": [True, 1234, 0, "", ""]})
    finding.add("pyrevm", {"failure": "", "ns": 1.0, "runs": 1, "turns": [1.0], "outcome": outcome})
    assert f"ray tracer: {fault}" in list(finding.faults())


def test_ratio_is_that_of_turns_and_not_of_their_medians(module: Callable[[str], Any]) -> None:
    """The machine becomes twice as slow, and both sides with it; one turn of one side is disturbed."""
    finding = module("evm").Finding(module("suite.rows").chosen(["ray tracer"])[0])
    turns = {"vmloom": [10.0, 10.0, 20.0, 20.0, 20.0], "native": [11.0, 99.0, 22.0, 22.0, 22.0]}
    for side, of_side in turns.items():
        finding.add(side, {"failure": "", "ns": 1.0, "runs": 5, "turns": of_side, "outcome": None})
    assert finding.ratio("native") == pytest.approx(1.1)
    comparison = module("evm").Comparison(["vmloom", "native"], [finding])
    assert not comparison.slow(1.0)
    assert comparison.slow(1.2) == ["ray tracer: 1.100 times as fast as native, which is less than 1.2"]


def test_no_side_always_comes_after_the_same_one(module: Callable[[str], Any]) -> None:
    in_order = module("comparison").in_order
    for sides in ("ab", "abc"):
        orders = ["".join(in_order(sides, turn)) for turn in range(2 * len(sides))]
        assert Counter(order[0] for order in orders) == dict.fromkeys(sides, 2)
        before = {(order[place], order[place + 1]) for order in orders for place in range(len(sides) - 1)}
        assert before == set(itertools.permutations(sides, 2))


def test_side_that_fails_is_a_fault_and_one_that_cannot_is_none(module: Callable[[str], Any]) -> None:
    measure, sides, work = module("comparison").measure, module("peers.side"), module("suite.work")

    class Side:
        def __init__(self, name: str, error: Exception | None) -> None:
            self.name, self.version, self.error = name, "1", error

        def prepare(self, work: Any) -> Any:
            if self.error:
                raise self.error
            outcome = sides.Outcome(True, 1, 0, b"", b"")
            return sides.Prepared(lambda: None, lambda: None, lambda _: outcome)

    them = [Side("good", None), Side("broken", RuntimeError("no")), Side("lesser", sides.Unsupported("never"))]
    found = measure(work.Call({}), them, rounds=2, budget=10**9)
    assert len(found["good"].times) > 2
    assert found["broken"].failure.startswith("RuntimeError: no")
    assert found["lesser"].failure == "cannot: never"

    evm, rows = module("evm"), module("suite.rows").chosen(["ray tracer"])
    finding = evm.Finding(rows[0])
    for name, measured in found.items():
        finding.add(name, measured.to_json())
    (fault,) = finding.faults()
    assert fault.startswith("ray tracer: broken: RuntimeError: no")


def test_refunds_are_capped_as_transactions_have_it(module: Callable[[str], Any]) -> None:
    """EIP-3529: a fifth of all gas used, of which 21,000 and the price of call data are a part."""
    side = module("peers.side")
    assert side.intrinsic_gas(bytes(3) + b"\x01" * 2) == 21_000 + 3 * 4 + 2 * 16
    assert side.capped_refund(29_000, 4_800, b"") == 4_800
    assert side.capped_refund(29_000, 48_000, b"") == 10_000
    assert side.capped_refund(29_000, -5, b"") == 0


def test_picture_shows_every_row_and_peer(module: Callable[[str], Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws with it: uv run --group bench pytest tests/integration")
    rows = [
        {"row": f"row {number}", "group": "ab"[number % 2], "ratios": {"pyrevm": 2.0 + number}} for number in range(3)
    ]
    found = {"rows": rows, "geometric_means": {"pyrevm": 2.88}, "versions": {"vmloom": "1", "pyrevm": "8"}}
    module("plot").draw(found, tmp_path / "found.svg")
    module("plot").draw(found, tmp_path / "again.svg")
    text = (tmp_path / "found.svg").read_text("utf-8")
    assert all(f"row {number}" in text for number in range(3))
    assert "pyrevm: 2.88 times as long in the geometric mean" in text
    assert text == (tmp_path / "again.svg").read_text("utf-8")


def test_every_part_of_the_engine_runs_and_is_right() -> None:
    command = [sys.executable, str(BENCHMARKS / "engine.py"), "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)["parts"]
    assert parts.keys() == {"batch", "threads", "metrics", "block", "operations"}
    assert all(part["rows"] for part in parts.values())
    (equal,) = parts["block"]["targets"]
    assert equal["met"]
    assert {target["target"].split(":")[0] for part in parts.values() for target in part["targets"]} >= {"operations"}
