"""An engine's counts in Prometheus's text format, for a scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from ..result import ExecutionState

_ENDINGS = tuple(state.value for state in ExecutionState if state.is_final)


class _Counts(Collector):
    """What was counted until now, as metric families."""

    def __init__(self, metrics: Mapping[str, Any], errors: Mapping[str, Any]) -> None:
        self._metrics = metrics
        self._errors = errors

    def collect(self) -> Iterator[Metric]:
        """One family after the other, each with its labels in a stable order."""
        executions = CounterMetricFamily(
            "vmloom_executions", "Executions by VM and how they ended", labels=["vm", "state"]
        )
        gas = CounterMetricFamily("vmloom_gas_used", "Gas that executions used", labels=["vm"])
        seconds = SummaryMetricFamily("vmloom_execution_seconds", "Time that executions took", labels=["vm"])
        for vm, counts in self._metrics["vms"].items():
            for ending in _ENDINGS:
                executions.add_metric([vm, ending], counts[ending])
            gas.add_metric([vm], counts["gas"].get("sum", 0))
            seconds.add_metric([vm], counts["seconds"]["count"], counts["seconds"].get("sum", 0))
        rows = CounterMetricFamily(
            "vmloom_operations", "Operations by the path that ran them", labels=["operation", "path"]
        )
        for one in self._metrics["operations"]:
            rows.add_metric([one["operation"], one["path"]], one["rows"])
        independent = CounterMetricFamily(
            "vmloom_independent_calls", "Calls of independent batches by where they ran", labels=["run"]
        )
        for name, count in sorted(self._metrics["independent"].items()):
            independent.add_metric([name], count)
        block = CounterMetricFamily("vmloom_block_calls", "Calls of blocks by how they ran", labels=["run"])
        for name, count in sorted(self._metrics["block"].items()):
            block.add_metric([name], count)
        failures = CounterMetricFamily("vmloom_failures", "Executions that did not succeed, by cause", labels=["cause"])
        for one in self._errors["causes"]:
            failures.add_metric([one["cause"]], one["count"])
        yield from (executions, gas, seconds, rows, independent, block, failures)


def exposition(metrics: Mapping[str, Any], errors: Mapping[str, Any]) -> str:
    """The text, from what `get_performance_metrics` and `get_error_analysis` of an engine give."""
    registry = CollectorRegistry()
    registry.register(_Counts(metrics, errors))
    text: bytes = generate_latest(registry)
    return text.decode()
