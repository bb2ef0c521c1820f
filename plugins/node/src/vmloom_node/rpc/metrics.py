"""What Prometheus is told of the node: calls and their times by method, connections, and the chain.

Each server has a registry of its own. Method names come from the table, so that clients cannot make up labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNKNOWN_METHOD: Final = "unknown"
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _Gauges(Collector):
    """Numbers that are asked for when somebody looks."""

    def __init__(self, read: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """One gauge for each number."""
        for name, (help_text, value) in self._read().items():
            yield GaugeMetricFamily(name, help_text, value)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering does not ask the chain."""
        return ()


class Metrics:
    """Counts calls. `gauges` tells what the chain is at, each number with its help, by name."""

    def __init__(self, gauges: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "vmloom_rpc_calls", "JSON-RPC calls answered", ("method", "outcome"), registry=self.registry
        )
        self._seconds = Histogram(
            "vmloom_rpc_call_seconds", "Time of a JSON-RPC call", ("method",), buckets=_BUCKETS, registry=self.registry
        )
        self.refused = Counter(
            "vmloom_rpc_refused", "Requests turned away before a method ran", ("cause",), registry=self.registry
        )
        self.sockets = Gauge("vmloom_rpc_websockets", "Open WebSockets", registry=self.registry)
        self.subscriptions = Gauge("vmloom_rpc_subscriptions", "Active subscriptions", registry=self.registry)
        self.waiting = Gauge("vmloom_rpc_requests_in_flight", "Requests that run or wait", registry=self.registry)
        self.registry.register(_Gauges(gauges))
        self._children: dict[tuple[str, bool], tuple[Counter, Histogram]] = {}
        """To look a label up costs more than to count."""

    def call(self, method: str, seconds: float, *, failed: bool) -> None:
        """Count a call of a method of the table, or of `UNKNOWN_METHOD`."""
        children = self._children.get((method, failed))
        if children is None:
            outcome = "error" if failed else "ok"
            children = self._calls.labels(method, outcome), self._seconds.labels(method)
            self._children[method, failed] = children
        counter, histogram = children
        counter.inc()
        histogram.observe(seconds)

    def exposition(self) -> bytes:
        """The text that Prometheus reads, of `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def numbers(self) -> dict[str, float]:
        """All numbers by name, with labels as Prometheus writes them; the buckets of histograms are left out."""
        found: dict[str, float] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name.endswith(("_bucket", "_created")):
                    continue
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found
