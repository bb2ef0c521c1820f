"""How long an application's own calls take, one by one and as a batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError as Cancelled
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import requests
from .batch import Cancellation
from .running import refused

if TYPE_CHECKING:
    from .engine import ExecutionEngine


def measure(
    engine: ExecutionEngine, test_data: Sequence[Mapping[str, Any]], turns: int, cancellation: Cancellation
) -> dict[str, Any]:
    """See `ExecutionEngine.benchmark_vm_performance`."""
    if turns < 1:
        raise InputError(f"num_iterations: at least 1, not {turns}")
    calls = [_measured(engine, index, item, turns, cancellation) for index, item in enumerate(test_data)]
    ran = [one for one in calls if not one["error"]]
    return {
        "iterations": turns,
        "calls": calls,
        "batch": _batch(engine, test_data, turns, cancellation) if ran else None,
        "total_seconds": sum(one["median"] for one in ran),
        "gas_used": sum(one["gas_used"] for one in ran),
    }


def _measured(
    engine: ExecutionEngine, index: int, item: Mapping[str, Any], turns: int, cancellation: Cancellation
) -> dict[str, Any]:
    name = f"item {index}"
    seconds = []
    try:
        name = item.get("name", name)
        if "contract" not in item:
            raise InputError("contract: is missing")
        contract = requests.contract_of(item["contract"])
        context = requests.context_of(contract, _data_of(item))
        call = requests.call_of(contract, context, engine.state, engine.factory)
        vm = engine.factory.get_vm(call.vm)
        for _ in _turns(turns, cancellation):
            checkpoint = engine.state.snapshot()
            begun = time.perf_counter()
            try:
                result = vm.execute_call(call.code, call.context, engine.state)
            finally:
                seconds.append(time.perf_counter() - begun)
                engine.state.revert(checkpoint)
    except Cancelled:
        raise
    except Exception as error:  # a mapping of the application's own may raise anything, and so may a VM
        return {"name": name, "vm": "", "gas_used": 0, "state": "", "error": refused(index, error).error, "median": 0.0}
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


def _batch(
    engine: ExecutionEngine, test_data: Sequence[Mapping[str, Any]], turns: int, cancellation: Cancellation
) -> dict[str, Any]:
    """All items as one batch of independent calls, by an engine that does not count them."""
    quiet = engine.config.model_copy(update={"metrics": False, "opcode_metrics": False, "log_executions": False})
    uncounted = type(engine)(engine.factory, engine.state, config=quiet)
    good = [item for item in test_data if isinstance(item, Mapping) and "contract" in item]
    contracts = [item["contract"] for item in good]
    data = [_data_of(item) for item in good]
    seconds = []
    for _ in _turns(turns, cancellation):
        begun = time.perf_counter()
        uncounted.execute_contracts_batch(contracts, data, cancellation=cancellation)
        seconds.append(time.perf_counter() - begun)
    median = statistics.median(seconds)
    return {"items": len(good), "median": median, "per_second": len(good) / median if median else 0.0}


def _data_of(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("contract", "name")}


def _turns(count: int, cancellation: Cancellation) -> Iterator[int]:
    """So many turns. Raises `CancelledError` in place of the next one once they are cancelled."""
    for turn in range(count):
        if cancellation.is_cancelled:
            raise Cancelled("the measurement was cancelled")
        yield turn
