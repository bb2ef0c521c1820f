"""What is remembered of a batch does not depend on whether its calls were objects or columns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from vmloom import Account
from vmloom.engine import ExecutionEngine
from vmloom.engine.columns import CallColumns, ResultColumns
from vmloom_evm.assembly import add, calldataload, mul, push, ret_top, revert, sload, sstore

MakeEngine = Callable[..., ExecutionEngine]
CALLER, ADDER, REVERTING, OTHER = (bytes([number]) * 20 for number in (1, 2, 3, 4))
ACCOUNTS = {
    ADDER: Account(code=bytes(sstore(calldataload(0), add(1, sload(calldataload(0)))) + ret_top(calldataload(0)))),
    REVERTING: Account(code=bytes(revert(0, 4))),
    OTHER: Account(code=bytes(ret_top(mul(calldataload(0), push(3))))),
}


def batch(count: int, kind: type) -> tuple[list[Any], list[dict[str, Any]]]:
    """Calls of three contracts, some of which run out of gas, with input of a kind that goes into columns or not."""
    contracts = [(ADDER, ADDER, OTHER, REVERTING)[number * 5 % 11 % 4] for number in range(count)]
    data = [
        {
            "caller": CALLER,
            "gas_limit": 50 if number % 50 == 9 else 100_000 + number,
            "data": kind((number % 5).to_bytes(32, "big")),
        }
        for number in range(count)
    ]
    return contracts, data


def untimed(found: Any) -> Any:
    """Without what depends on the clock."""
    if isinstance(found, dict):
        timed = ("at", "seconds", "independent")
        return {key: untimed(value) for key, value in found.items() if key not in timed}
    return [untimed(one) for one in found] if isinstance(found, list) else found


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("history", [10, 5000])
def test_columns_and_objects_are_remembered_alike(make_engine: MakeEngine, threads: int, history: int) -> None:
    remembered, results = [], []
    for kind in (bytes, bytearray):
        engine = make_engine(ACCOUNTS, threads=threads, history=history)
        results += [engine.execute_contracts_batch(*batch(count, kind)) for count in (1500, 40)]
        told = (engine.get_performance_metrics(), engine.get_error_analysis(), engine.get_execution_history())
        remembered.append(untimed(list(told)))
    assert results[0] == results[2]
    assert results[1] == results[3]
    assert remembered[0] == remembered[1]
    assert len(remembered[0][2]) == min(history, 1540)
    assert remembered[0][0]["executions"] == 1540
    assert {cause["cause"] for cause in remembered[0][1]["causes"]} == {"execution reverted", "out of gas"}


def test_plain_batches_reach_the_vm_in_columns(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(ACCOUNTS, threads=1)
    evm = engine.factory.get_vm("evm")
    execute_each, kinds = evm.execute_each, []

    def noted(calls: Any, state: Any) -> Any:
        found = execute_each(calls, state)
        kinds.append((isinstance(calls, CallColumns), isinstance(found, ResultColumns)))
        return found

    monkeypatch.setattr(evm, "execute_each", noted)
    results = engine.execute_contracts_batch([OTHER] * 600, [{"caller": CALLER, "data": bytes(32)}] * 600)
    assert all(result.success for result in results)
    assert kinds[0] == (False, False)  # by which the contract becomes known
    assert all(calls for calls, _ in kinds[1:])
    if evm.engine == "native":  # type: ignore[attr-defined]
        assert kinds[-1] == (True, True)


class Misfit(ResultColumns):
    """Results that a VM made wrong."""

    def make(self) -> list[Any]:
        raise AssertionError("nobody has looked at a result")


@pytest.mark.parametrize("short", [True, False])
def test_columns_that_do_not_fit_are_made_one_by_one(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    engine = make_engine(ACCOUNTS, threads=1)
    expected = engine.execute_contracts_batch(*batch(100, bytes))
    evm = engine.factory.get_vm("evm")
    execute_each = evm.execute_each

    def misfit(calls: Any, state: Any) -> Any:
        found = execute_each(calls, state)
        if not isinstance(calls, CallColumns):
            return found
        states, gas_used = ([getattr(one, field) for one in found] for field in ("state", "gas_used"))
        return Misfit(states[1:], gas_used[1:]) if short else Misfit(states, gas_used[1:])

    monkeypatch.setattr(evm, "execute_each", misfit)
    assert engine.execute_contracts_batch(*batch(100, bytes)) == expected


def test_threads_that_look_at_once_see_the_same(make_engine: MakeEngine) -> None:
    results = make_engine(ACCOUNTS, threads=1).execute_contracts_batch(*batch(1200, bytes))
    seen: list[list[Any]] = []
    ready = threading.Barrier(4)

    def look() -> None:
        ready.wait(60)
        seen.append([(one.gas_used, one.return_data, one.state_changes) for one in results])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert all(one == seen[0] for one in seen)
