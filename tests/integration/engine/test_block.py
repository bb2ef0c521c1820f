"""Blocks: calls that run ahead of their turn give what running them in order gives, whatever they share."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from vmloom.engine import ExecutionEngine

MakeEngine = Callable[..., ExecutionEngine]
SIZE = 60


def generator() -> Any:
    """The blocks that the benchmark runs, too. Benchmarks are scripts and not installed."""
    path = Path(__file__).parents[3] / "benchmarks" / "suite" / "conflicts.py"
    spec = importlib.util.spec_from_file_location("conflicts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


conflicts = generator()
ACCOUNTS, ADDER, CALLERS = conflicts.ACCOUNTS, conflicts.ADDER, conflicts.CALLERS


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("limit", [0.2, 1.0])
def test_running_ahead_changes_nothing(make_engine: MakeEngine, share: float, limit: float) -> None:
    for seed in range(4):
        contracts, data = conflicts.random_block(Random(f"{seed} {share}"), share, SIZE)
        ran = []
        for threads in (1, 4):
            engine = make_engine(ACCOUNTS, threads=threads, serial_below=2, conflict_limit=limit)
            results = engine.execute_contracts_batch(contracts, data, mode="block")
            ran.append(([conflicts.outcome(result) for result in results], conflicts.contents(engine.state, SIZE)))
        for one, other in zip(*(results for results, _ in ran), strict=True):
            assert one == other
        assert ran[0][1] == ran[1][1]


def test_calls_that_share_nothing_stand_as_they_ran(make_engine: MakeEngine) -> None:
    engine = make_engine(ACCOUNTS, threads=3, serial_below=2)
    data = [{"caller": CALLERS[0], "data": slot.to_bytes(32, "big") + bytes(31) + b"\1"} for slot in range(100)]
    engine.execute_contracts_batch([ADDER] * 100, data, mode="block")
    assert engine.get_performance_metrics()["block"] == {"ahead": 100, "again": 0, "in_order": 0, "short": 0}
    assert [engine.state.get_storage(ADDER, slot) for slot in range(100)] == [1] * 100


def test_too_many_conflicts_end_running_ahead(make_engine: MakeEngine) -> None:
    engine = make_engine(ACCOUNTS, threads=3, serial_below=2, conflict_limit=0.1)
    data = [{"caller": CALLERS[0], "data": bytes(63) + b"\1"}] * 200
    engine.execute_contracts_batch([ADDER] * 200, data, mode="block")
    counts = engine.get_performance_metrics()["block"]
    assert sum(counts.values()) == 200
    assert counts["in_order"] > 100
    assert engine.state.get_storage(ADDER, 0) == 200


def test_an_interrupted_block_leaves_the_state_as_it_was(make_engine: MakeEngine) -> None:
    engine = make_engine(ACCOUNTS, threads=3, serial_below=2)
    data = [{"caller": CALLERS[0], "data": slot.to_bytes(32, "big") + bytes(31) + b"\1"} for slot in range(50)]

    def interrupt(count: int) -> None:
        if count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.execute_contracts_batch([ADDER] * 50, data, mode="block", progress=interrupt)
    assert [engine.state.get_storage(ADDER, slot) for slot in range(50)] == [0] * 50
    assert engine.execute_contract(ADDER, CALLERS[0], data=bytes(63) + b"\1").success


@pytest.mark.parametrize(("least", "in_order"), [(60, 100), (1e-9, 4)])
def test_only_calls_that_take_long_run_ahead(make_engine: MakeEngine, least: float, in_order: int) -> None:
    ran = []
    for threads in (1, 3):
        engine = make_engine(ACCOUNTS, threads=threads, serial_below=2, ahead_from=least)
        contracts, data = conflicts.random_block(Random(0), 0.25, 100)
        results = engine.execute_contracts_batch(contracts, data, mode="block")
        ran.append(([conflicts.outcome(result) for result in results], conflicts.contents(engine.state, 100)))
    assert ran[0] == ran[1]
    counts = engine.get_performance_metrics()["block"]
    assert sum(counts.values()) == 100
    assert counts["short"] >= in_order
    assert (counts["ahead"] > 0) == (in_order < 100)
