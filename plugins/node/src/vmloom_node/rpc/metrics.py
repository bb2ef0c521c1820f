"""What Prometheus is told of the node: calls and their times by method, connections, and the chain.

Each server has a registry of its own. Method names come from the table, so that clients cannot make up labels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
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


class _Calls(Collector):
    """Calls by method, outcome and time. Safe from any thread.

    Each call is counted, so it is done here in one step, at a third of what the library's counter and histogram take.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._buckets: dict[tuple[str, bool], list[int]] = {}
        """By method and whether the calls failed: their numbers by bucket, the last one for what is slower than all."""
        self._seconds: dict[str, float] = {}
        """That all calls of a method took."""

    def add(self, method: str, seconds: float, failed: bool) -> None:
        """Count a call."""
        with self._lock:
            counts = self._buckets.get((method, failed))
            if counts is None:
                counts = self._buckets[method, failed] = [0] * (len(_BUCKETS) + 1)
                self._seconds.setdefault(method, 0.0)
            counts[bisect_left(_BUCKETS, seconds)] += 1
            self._seconds[method] += seconds

    def collect(self) -> Iterable[Metric]:
        """The number of calls, and a histogram of their times."""
        calls = CounterMetricFamily("vmloom_rpc_calls", "JSON-RPC calls answered", labels=("method", "outcome"))
        times = HistogramMetricFamily("vmloom_rpc_call_seconds", "Time of a JSON-RPC call", labels=("method",))
        with self._lock:
            buckets = {key: list(counts) for key, counts in self._buckets.items()}
            seconds = dict(self._seconds)
        for (method, failed), counts in buckets.items():
            calls.add_metric((method, "error" if failed else "ok"), sum(counts))
        for method, total in seconds.items():
            both = zip(*(buckets[key] for key in ((method, False), (method, True)) if key in buckets), strict=True)
            numbers = accumulate(map(sum, both))
            bounds = (*map(str, _BUCKETS), "+Inf")
            times.add_metric((method,), list(zip(bounds, numbers, strict=True)), total)
        return calls, times

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand."""
        return ()


class Metrics:
    """Counts calls. `gauges` tells what the chain is at, each number with its help, by name."""

    def __init__(self, gauges: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        self.registry = CollectorRegistry()
        self._calls = _Calls()
        self.registry.register(self._calls)
        self.refused = Counter(
            "vmloom_rpc_refused", "Requests turned away before a method ran", ("cause",), registry=self.registry
        )
        self.sockets = Gauge("vmloom_rpc_websockets", "Open WebSockets", registry=self.registry)
        self.subscriptions = Gauge("vmloom_rpc_subscriptions", "Active subscriptions", registry=self.registry)
        self.waiting = Gauge("vmloom_rpc_requests_in_flight", "Requests that run or wait", registry=self.registry)
        self.registry.register(_Gauges(gauges))

    def call(self, method: str, seconds: float, *, failed: bool) -> None:
        """Count a call of a method of the table, or of `UNKNOWN_METHOD`."""
        self._calls.add(method, seconds, failed)

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
