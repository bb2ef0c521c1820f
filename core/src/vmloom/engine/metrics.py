"""Counts of what an engine did: by VM, contract and instruction, with the distribution of gas and times.

Executions are counted many at once, so that a batch hardly notices; quantiles are worked out when somebody asks, with
DDSketch (relative error 1 %). Safe to share by threads.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..result import ExecutionResult, ExecutionState
from .history import Ended, are_all

if TYPE_CHECKING:
    from ddsketch import DDSketch

QUANTILES: Final = (0.5, 0.9, 0.99)
INSTRUCTIONS: Final = "instruction_metrics"
"""Key of a result's metadata under which a VM tells what its instructions did, by name."""
_PENDING: Final = 65_536
_CONTRACTS: Final = 10_000
"""Contracts told apart; later ones count as none."""


class Distribution:
    """Numbers from 0, of which quantiles can be asked."""

    def __init__(self) -> None:
        self._pending: Counter[float] = Counter()
        self._sketch: DDSketch | None = None
        self.total = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Count numbers, of one at least."""
        if are_all(values, values[0]):
            self._pending[values[0]] += len(values)
        else:
            self._pending.update(values)
        if len(self._pending) >= _PENDING:
            self._flush()

    def _flush(self) -> DDSketch:
        from ddsketch import DDSketch

        sketch = self._sketch
        if sketch is None:
            sketch = self._sketch = DDSketch(0.01)
        pending, self._pending = self._pending, Counter()
        for value, count in pending.items():
            sketch.add(value, count)
            self.total += value * count
        return sketch

    def to_dict(self) -> dict[str, float]:
        """`count`, `sum`, `mean`, `min`, `max` and the quantiles; only `count` where that is 0."""
        sketch = self._flush()
        count = int(sketch.count)
        if not count:
            return {"count": 0}
        found: dict[str, float] = {"count": count, "sum": self.total, "mean": self.total / count}
        for quantile in QUANTILES:
            value = sketch.get_quantile_value(quantile)
            found[f"p{quantile * 100:g}"] = 0.0 if value is None else value
        return found


@dataclass(slots=True)
class _VmCounts:
    states: Counter[ExecutionState] = field(default_factory=Counter)
    gas: Distribution = field(default_factory=Distribution)
    seconds: Distribution = field(default_factory=Distribution)


class Metrics:
    """What happened since the last `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._vms: dict[str, _VmCounts] = {}
            self._contracts: Counter[bytes] = Counter()
            self._contract_gas: Counter[bytes] = Counter()
            self._instructions: dict[str, dict[str, Counter[str]]] = {}
            self._paths: Counter[tuple[str, str]] = Counter()
            self._path_rows: Counter[tuple[str, str]] = Counter()
            self._path_seconds: Counter[tuple[str, str]] = Counter()
            self._accelerator_failures: Counter[str] = Counter()
            self._accelerator_reasons: dict[str, str] = {}
            self._batches: Counter[str] = Counter()
            self._block: Counter[str] = Counter()
            self._independent: Counter[str] = Counter()

    def add(self, executions: Ended) -> None:
        """Count executions that ended, of one at least."""
        contracts, states = executions.contracts, executions.states
        with self._lock:
            counts = self._vms.get(executions.vm)
            if counts is None:
                counts = self._vms[executions.vm] = _VmCounts()
            if are_all(states, states[0]):
                counts.states[states[0]] += len(states)
            else:
                counts.states.update(states)
            counts.gas.add(executions.gas_used)
            counts.seconds.add(executions.seconds)
            if are_all(contracts, contracts[0]):
                self._add_of_contract(contracts[0], len(contracts), sum(executions.gas_used))
            else:
                for contract, used in zip(contracts, executions.gas_used, strict=True):
                    self._add_of_contract(contract, 1, used)

    def _add_of_contract(self, contract: bytes, count: int, gas: int) -> None:
        if contract in self._contracts or len(self._contracts) < _CONTRACTS:
            self._contracts[contract] += count
            self._contract_gas[contract] += gas

    def add_instructions(self, vm: str, result: ExecutionResult) -> None:
        """Count what the instructions of an execution did, where the VM told."""
        instructions = result.metadata.get(INSTRUCTIONS)
        if instructions:
            with self._lock:
                known = self._instructions.setdefault(vm, {})
                for name, counts in instructions.items():
                    known.setdefault(name, Counter()).update(counts)

    def add_batch(self, mode: str) -> None:
        """Count a batch by how its items ran."""
        with self._lock:
            self._batches[mode] += 1

    def add_independent(self, **counts: int) -> None:
        """Count items of an independent batch by where they ran, on the calling thread or on threads of the batch."""
        with self._lock:
            self._independent.update(counts)

    def add_block(self, **counts: int) -> None:
        """Count what optimistic execution of a block came to, such as executions that had to be repeated."""
        with self._lock:
            self._block.update(counts)

    def add_operation(self, operation: str, path: str, rows: int, seconds: float) -> None:
        """Count a batch of operations by the path that ran it."""
        with self._lock:
            self._paths[operation, path] += 1
            self._path_rows[operation, path] += rows
            self._path_seconds[operation, path] += seconds  # type: ignore[assignment]  # counters count anything

    def add_accelerator_failure(self, accelerator: str, reason: str) -> None:
        """Count a failure of an accelerator, after which Python did its work; the last reason is kept."""
        with self._lock:
            self._accelerator_failures[accelerator] += 1
            self._accelerator_reasons[accelerator] = reason

    def instructions(self) -> dict[str, Any]:
        """For each VM that told: what each of its instructions did, those that used most gas first."""
        with self._lock:
            return {
                vm: {
                    name: dict(counts)
                    for name, counts in sorted(known.items(), key=lambda item: (-item[1].get("gas", 0), item[0]))
                }
                for vm, known in sorted(self._instructions.items())
            }

    def to_dict(self) -> dict[str, Any]:
        """All counts by name; gas in gas, times in seconds."""
        with self._lock:
            vms = {vm: self._vm(counts) for vm, counts in sorted(self._vms.items())}
            return {
                "executions": sum(one["executions"] for one in vms.values()),
                "gas_used": sum(int(one["gas"].get("sum", 0)) for one in vms.values()),
                "vms": vms,
                "contracts": [
                    {"contract": "0x" + contract.hex(), "executions": count, "gas_used": self._contract_gas[contract]}
                    for contract, count in self._contracts.most_common(20)
                ],
                "batches": dict(self._batches),
                "independent": dict(self._independent),
                "block": dict(self._block),
                "operations": [
                    {
                        "operation": operation,
                        "path": path,
                        "batches": count,
                        "rows": self._path_rows[operation, path],
                        "seconds": self._path_seconds[operation, path],
                    }
                    for (operation, path), count in sorted(self._paths.items())
                ],
                "accelerator_failures": [
                    {"accelerator": name, "count": count, "reason": self._accelerator_reasons[name]}
                    for name, count in sorted(self._accelerator_failures.items())
                ],
            }

    @staticmethod
    def _vm(counts: _VmCounts) -> dict[str, Any]:
        return {
            "executions": counts.states.total(),
            **{state.value: counts.states[state] for state in ExecutionState if state.is_final},
            "gas": counts.gas.to_dict(),
            "seconds": counts.seconds.to_dict(),
        }


def with_packing(told: Sequence[Mapping[str, Any]], ran: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What an accelerator has counted of its operations, and the seconds that an engine took for those it asked for.

    The latter has what makes columns of Python's objects, and of columns objects again.
    """
    counted = {one["operation"]: one for one in told}
    asked = {one["operation"]: one for one in ran}
    packing = {name: {"seconds_with_packing": one["seconds"]} for name, one in asked.items()}
    return [
        {"seconds_with_packing": 0.0, **asked.get(name, {}), **counted.get(name, {}), **packing.get(name, {})}
        for name in sorted({*counted, *asked})
    ]
