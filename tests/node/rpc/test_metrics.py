"""What Prometheus is told of calls."""

from __future__ import annotations

import threading

from vmloom_node.rpc.metrics import Metrics


def test_calls_are_told_by_method_outcome_and_time() -> None:
    metrics = Metrics(dict)
    for seconds, failed in ((0.0005, False), (0.0006, True), (0.3, False), (99.0, False)):
        metrics.call("eth_call", seconds, failed=failed)
    metrics.call("eth_chainId", 0.0, failed=False)
    lines = metrics.exposition().decode().splitlines()
    assert "# TYPE vmloom_rpc_calls_total counter" in lines
    assert 'vmloom_rpc_calls_total{method="eth_call",outcome="ok"} 3.0' in lines
    assert 'vmloom_rpc_calls_total{method="eth_call",outcome="error"} 1.0' in lines
    counts = {
        bound: f'vmloom_rpc_call_seconds_bucket{{le="{bound}",method="eth_call"}} {count}' in lines
        for bound, count in (("0.0005", 1.0), ("0.001", 2.0), ("0.25", 2.0), ("0.5", 3.0), ("30.0", 3.0), ("+Inf", 4.0))
    }
    assert all(counts.values()), counts
    numbers = metrics.numbers()
    assert numbers['vmloom_rpc_call_seconds_count{method="eth_call"}'] == 4
    assert numbers['vmloom_rpc_call_seconds_sum{method="eth_call"}'] == 0.0005 + 0.0006 + 0.3 + 99.0
    assert not any("_bucket" in name for name in numbers)


def test_no_call_is_lost_among_threads() -> None:
    metrics = Metrics(dict)

    def count() -> None:
        for _ in range(2_000):
            metrics.call("eth_call", 0.001, failed=False)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.numbers()['vmloom_rpc_calls_total{method="eth_call",outcome="ok"}'] == 8_000
