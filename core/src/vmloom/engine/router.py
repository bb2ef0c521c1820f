"""Where a batch of operations runs: on an accelerator or in Python, whichever should take least time for its rows.

Accelerators tell their costs; those of Python, and of packing for an accelerator, are measured on the first batch that
comes of rows of about such a size. What fails on an accelerator runs in Python, and is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..accelerator import Accelerator
from ..errors import InputError
from ..suggest import nearest
from .metrics import Metrics
from .operations import Operation

PYTHON: Final = "python"
"""The path that is always there."""
_SAMPLE: Final = 16
"""Rows that are computed in Python to learn what a row costs there; fewer are not worth asking where to run them."""
_MANY: Final = 1024
"""Rows that are packed to learn what that costs."""


class Routed(NamedTuple):
    """The results of a batch, and the path that ran it."""

    results: list[Any]
    path: str


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds for a batch and for each of its rows."""

    fixed: float
    per_row: float

    def of(self, rows: int) -> float:
        """Seconds that so many rows should take."""
        return self.fixed + rows * self.per_row


class Router:
    """Runs operations on the path of least cost. Safe to share by threads."""

    def __init__(self, accelerators: Sequence[Accelerator], metrics: Metrics | None) -> None:
        self._metrics = metrics
        self._costs: dict[tuple[str, str, int], _Cost | None] = {}
        self._lock = threading.Lock()
        self.failures: dict[str, str] = {}
        """Accelerators that failed, by name, with the last reason."""
        self.accelerators: Final = [one for one in accelerators if self._is_available(one)]

    def run(self, operation: Operation, rows: Sequence[Any]) -> Routed:
        """The results of `rows`, in their order. Raises what computing a row in Python raises."""
        path = self._choose(operation, rows)
        begun = time.perf_counter()
        results = None if path is None else self._accelerate(path, operation, rows)
        if results is None:
            path, results = None, [operation.compute(row) for row in rows]
        self.count(operation.name, path, len(rows), time.perf_counter() - begun)
        return Routed(results, PYTHON if path is None else path.name)

    def count(self, operation: str, path: Accelerator | None, rows: int, seconds: float) -> None:
        """Count a batch by the path that ran it: an accelerator, or Python."""
        if self._metrics is not None:
            self._metrics.add_operation(operation, PYTHON if path is None else path.name, rows, seconds)

    def costs(self) -> list[dict[str, Any]]:
        """What is known: `operation`, `path`, `fixed` seconds for a batch and `per_row` for each of its rows.

        It holds for rows of up to `row_size` bytes, and more than half of that; 0 where their size makes no difference.
        """
        return [
            {
                "operation": operation,
                "path": path,
                "row_size": (1 << size) - 1,
                "fixed": cost.fixed,
                "per_row": cost.per_row,
            }
            for (operation, path, size), cost in sorted(self._costs.items(), key=lambda item: item[0])
            if cost is not None
        ]

    def _choose(self, operation: Operation, rows: Sequence[Any]) -> Accelerator | None:
        """The cheapest accelerator, None if Python is cheaper than any."""
        if len(rows) < _SAMPLE or not self.accelerators:
            return None
        sample = rows[:: len(rows) // _SAMPLE][:_SAMPLE]
        size = sum(map(operation.size, sample)) // _SAMPLE
        best, least = None, self._python_cost(operation, sample, size).of(len(rows))
        for accelerator in self.accelerators:
            cost = self._accelerator_cost(accelerator, operation, rows, size)
            if cost is not None and cost.of(len(rows)) < least:
                best, least = accelerator, cost.of(len(rows))
        return best

    def _python_cost(self, operation: Operation, sample: Sequence[Any], size: int) -> _Cost:
        key = operation.name, PYTHON, size.bit_length()
        found = self._costs.get(key)
        if found is None:
            begun = time.perf_counter()
            for row in sample:
                operation.compute(row)
            found = _Cost(0.0, (time.perf_counter() - begun) / len(sample))
            self._keep(key, found)
        return found

    def _accelerator_cost(
        self, accelerator: Accelerator, operation: Operation, rows: Sequence[Any], size: int
    ) -> _Cost | None:
        """What the accelerator says, and what packing takes; None for an operation that it has not.

        Of rows that are larger than those that it has measured, it is taken to cost as many times as much.
        """
        key = operation.name, accelerator.name, size.bit_length()
        if key in self._costs:
            return self._costs[key]
        try:
            capability = accelerator.capabilities().get(operation.name)
            cost = None
            if capability is not None:
                packing = _packing(operation, rows)
                times = max(1.0, size / capability.item_size) if capability.item_size else 1.0
                cost = _Cost(capability.fixed + packing.fixed, capability.per_item * times + packing.per_row)
        except Exception as error:  # a driver may raise anything; it is asked again, since a device may come back
            self.fail(accelerator, operation.name, error)
            return None
        self._keep(key, cost)
        return cost

    def _keep(self, key: tuple[str, str, int], cost: _Cost | None) -> None:
        with self._lock:
            self._costs[key] = cost

    def _accelerate(self, accelerator: Accelerator, operation: Operation, rows: Sequence[Any]) -> list[Any] | None:
        """The results, None if the accelerator failed: it will be asked again, since a device may come back."""
        try:
            results = operation.unpack(accelerator.run(operation.name, operation.pack(rows)))
            if len(results) != len(rows):
                raise ValueError(f"{len(results)} results for {len(rows)} rows")
        except Exception as error:  # a driver may raise anything, and Python can do it as well
            self.fail(accelerator, operation.name, error)
            return None
        return results

    def _is_available(self, accelerator: Accelerator) -> bool:
        try:
            return accelerator.status().available
        except Exception as error:  # it promised not to
            self.fail(accelerator, "status", error)
            return False

    def fail(self, accelerator: Accelerator, what: str, error: Exception) -> None:
        """Count a failure of an accelerator at `what`; the last reason is kept."""
        with self._lock:
            self.failures[accelerator.name] = f"{what}: {type(error).__name__}: {error}"
        if self._metrics is not None:
            self._metrics.add_accelerator_failure(accelerator.name, self.failures[accelerator.name])


def _packing(operation: Operation, rows: Sequence[Any]) -> _Cost:
    """What it costs to make columns: the line through the times of few rows and of many."""
    few, many = rows[:_SAMPLE], rows[:_MANY]
    operation.pack(few)  # the first time imports NumPy
    seconds = []
    for part in (few, many):
        begun = time.perf_counter()
        operation.pack(part)
        seconds.append(time.perf_counter() - begun)
    per_row = max(0.0, seconds[1] - seconds[0]) / max(1, len(many) - len(few))
    return _Cost(max(0.0, seconds[0] - per_row * len(few)), per_row)


def run_operations(
    items: Iterable[Mapping[str, Any]], known: Mapping[str, Operation], router: Router
) -> list[dict[str, Any]]:
    """One result for each item, in their order; see `ExecutionEngine.execute_operations_batch`."""
    results: list[dict[str, Any]] = []
    batches: dict[str, tuple[list[int], list[Any]]] = {}
    for index, item in enumerate(items):
        name = item.get("operation") if isinstance(item, Mapping) else None
        try:
            operation, operands = _read(item, known)
        except Exception as error:  # a mapping of the application's own may raise anything
            results.append({"operation": name, "index": index, "error": f"item {index}: {error}"})
            continue
        indices, rows = batches.setdefault(operation.name, ([], []))
        indices.append(index)
        rows.append(operands)
        results.append({"operation": operation.name})
    for name, (indices, rows) in batches.items():
        routed = router.run(known[name], rows)
        for index, result in zip(indices, routed.results, strict=True):
            results[index].update(result=result, path=routed.path)
    return results


def _read(item: Any, known: Mapping[str, Operation]) -> tuple[Operation, Any]:
    """The operation that an item names, and its operands. Raises `InputError`."""
    if not isinstance(item, Mapping):
        raise InputError(f"a mapping is needed, got {type(item).__name__}")
    name = item.get("operation")
    operation = known.get(name) if isinstance(name, str) else None
    if operation is None:
        near = nearest(str(name), known)
        hint = f" (did you mean {near!r}?)" if near else ""
        raise InputError(f"operation: there is no {name!r}{hint}")
    for key in item:
        if key != "operation" and key not in operation.fields:
            raise InputError(f"{key}: {name} has the fields {', '.join(operation.fields)}")
    for field in operation.fields:
        if field not in item:
            raise InputError(f"{field}: is missing")
    return operation, operation.read(item)
