"""The benchmarks of the node, for less: they run, find what is wrong, and show what was measured."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the benchmarks, which are scripts and not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_transfers_are_sent_mined_and_seen(module: Callable[[str], Any]) -> None:
    arguments = ("--transactions", "40", "--tester-transactions", "10", "--blocks", "2", "--peers", "hardhat", "--json")
    done = run("node.py", *arguments, "--node-modules", "nowhere")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(row["part"], row["name"], row["transactions"]) for row in report["rows"]] == [
        ("single", "vmloom", 40),
        ("single", "eth-tester, vmloom", 10),
        ("blocks", "vmloom", 40),
        ("blocks", "eth-tester, vmloom", 10),
        ("durable", "in memory", 400),
        ("durable", "durable", 400),
    ]
    assert all(row["clock"] > 0 for row in report["rows"])
    assert report["skipped"] == [
        "hardhat is not installed: npm install hardhat@2, and give --node-modules FOLDER/node_modules"
    ]


def test_targets_are_judged_by_their_figures(module: Callable[[str], Any]) -> None:
    node = module("node")
    verdicts = list(
        node.verdicts(
            {
                "single: hardhat": 2.9,
                "blocks: hardhat": 3.0,
                "single: eth-tester, py-evm": 19.0,
                "durable: time of a block, clock": 1.31,
            }
        )
    )
    assert [line.rpartition(" ")[2] for line in verdicts] == ["missed", "missed", "met", "missed"]


def test_a_peer_that_does_wrong_is_left_out_and_vmloom_is_not(module: Callable[[str], Any]) -> None:
    node = module("node")

    def fail() -> None:
        raise node.WrongResult("transactions are lost")

    peer, ours = (object.__new__(node.ByHttp) for _ in range(2))
    peer.name, ours.name = "hardhat", "vmloom"
    skipped: list[str] = []
    assert not node.guarded(peer, fail, skipped)
    assert skipped == ["hardhat: transactions are lost"]
    with pytest.raises(node.WrongResult):
        node.guarded(ours, fail, skipped)


def test_ratios_are_of_the_processors_time_in_the_same_part(module: Callable[[str], Any]) -> None:
    node = module("node")
    rows = [
        node.Row("single", "vmloom", 100, cpu=1.0, clock=9.0),
        node.Row("single", "hardhat", 50, cpu=2.0, clock=1.0),
        node.Row("blocks", "vmloom", 300, cpu=1.0, clock=1.0),
        node.Row("blocks", "py-evm alone", 10, cpu=1.0, clock=1.0),
        node.Row("durable", "in memory", 10, cpu=1.0, clock=1.0, p50=0.5),
        node.Row("durable", "durable", 10, cpu=1.5, clock=1.0, p50=0.6),
    ]
    assert node.ratios(rows) == {
        "single: hardhat": 4.0,
        "blocks: py-evm alone": 30.0,
        "durable: time of a block, processor": 1.5,
        "durable: time of a block, clock": 1.2,
    }


def test_a_soak_of_seconds_finds_everything_again(module: Callable[[str], Any]) -> None:
    done = run("node_soak.py", "--seconds", "4", "--timeout", "1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == []
    assert report["accepted"] > 10
    kinds = {name.partition(":")[0] for name in report["answers"]}
    assert kinds == {"sender", "reader", "spoiler", "bomber", "dawdler", "subscriber"}


def test_a_soak_tells_what_must_not_be(module: Callable[[str], Any]) -> None:
    soak = module("node_soak")
    run_ = soak.Soak(0, b"", 0.0, 0.0)
    run_.tally.note("sender", "result", 0.1)
    samples = [soak.Sample(at, (1 << 20) * at, 10 + 20 * at) for at in range(8)]
    report = soak.report(run_, samples, 1.0, 2.0)
    assert report["memory_growth_mib"] == 4.0
    assert report["faults"] == ["memory has grown by 4 MiB, 2 are allowed", "100 more files are open, 64 are allowed"]
    assert list(soak.lines(report))[-1] == "FAILED"
