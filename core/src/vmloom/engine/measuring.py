"""How long an application's own calls take, one by one and as a batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError, VmloomError
from . import requests

if TYPE_CHECKING:
    from .engine import ExecutionEngine


def measure(engine: ExecutionEngine, test_data: Sequence[Mapping[str, Any]], turns: int) -> dict[str, Any]:
    """See `ExecutionEngine.benchmark_vm_performance`."""
    if turns < 1:
        raise InputError(f"num_iterations: at least 1, not {turns}")
    calls = [_measured(engine, index, item, turns) for index, item in enumerate(test_data)]
    ran = [one for one in calls if not one["error"]]
    return {
        "iterations": turns,
        "calls": calls,
        "batch": _batch(engine, test_data, turns) if ran else None,
        "total_seconds": sum(one["median"] for one in ran),
        "gas_used": sum(one["gas_used"] for one in ran),
    }


def _measured(engine: ExecutionEngine, index: int, item: Mapping[str, Any], turns: int) -> dict[str, Any]:
    name = item.get("name", f"item {index}")
    try:
        contract = requests.contract_of(item["contract"])
        data = {key: value for key, value in item.items() if key not in ("contract", "name")}
        call = requests.call_of(contract, requests.context_of(contract, data), engine.state, engine.factory)
        vm = engine.factory.get_vm(call.vm)
    except (VmloomError, ValueError, KeyError) as error:
        return {"name": name, "vm": "", "gas_used": 0, "state": "", "error": f"item {index}: {error}", "median": 0.0}
    seconds = []
    for _ in range(turns):
        checkpoint = engine.state.snapshot()
        begun = time.perf_counter()
        result = vm.execute_call(call.code, call.context, engine.state)
        seconds.append(time.perf_counter() - begun)
        engine.state.revert(checkpoint)
    median = statistics.median(seconds)
    return {
        "name": name,
        "vm": call.vm,
        "state": result.state.value,
        "error": "",
        "gas_used": result.gas_used,
        "median": median,
        "best": min(seconds),
        "worst": max(seconds),
        "gas_per_second": result.gas_used / median if median else 0.0,
    }


def _batch(engine: ExecutionEngine, test_data: Sequence[Mapping[str, Any]], turns: int) -> dict[str, Any]:
    """All items as one batch of independent calls."""
    good = [item for item in test_data if "contract" in item]
    contracts = [item["contract"] for item in good]
    data = [{key: value for key, value in item.items() if key not in ("contract", "name")} for item in good]
    seconds = []
    for _ in range(turns):
        begun = time.perf_counter()
        engine.execute_contracts_batch(contracts, data)
        seconds.append(time.perf_counter() - begun)
    median = statistics.median(seconds)
    return {"items": len(good), "median": median, "per_second": len(good) / median if median else 0.0}
