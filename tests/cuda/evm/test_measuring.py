"""What benchmarks measure of batches: it is right, and says on what it ran."""

from __future__ import annotations

import pytest
from vmloom_cuda.evm import EvmBatch, HostDevice, measuring


def test_transfers_are_measured_and_compared() -> None:
    (row,) = measuring.transfers(HostDevice(), 40, 1)
    assert (row["path"], row["executions"], row["wrong"], row["escapes"]) == ("host", 40, 0, 0)
    assert all(row[name] > 0 for name in ("kernel", "with_copies", "with_packing", "native"))


def test_a_wrong_result_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the middle one, in a field that only a comparison of all fields finds."""
    real = EvmBatch.call

    def call(*arguments: object) -> object:
        results = list(real(*arguments))  # type: ignore[arg-type]
        results[20] = results[21]
        return results

    monkeypatch.setattr(EvmBatch, "call", call)
    (row,) = measuring.transfers(HostDevice(), 40, 1)
    assert row["wrong"] == 1
