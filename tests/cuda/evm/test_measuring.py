"""What benchmarks measure of batches: it is right, and says on what it ran."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from vmloom_cuda.device.on_host import HostStream
from vmloom_cuda.evm import CallArrays, EvmBatch, HostDevice, ResultArrays, measuring
from vmloom_evm.native.lane_build import LaneSizes


def test_transfers_are_measured_and_compared() -> None:
    row = measuring.transfers(HostDevice(), 40, 1)
    assert (row["path"], row["executions"], row["wrong"], row["escapes"]) == ("host", 40, 0, 0)
    named = "kernel", "with_copies", "from_arrays", "from_arrays_all", "with_packing", "native"
    assert all(row[name] > 0 for name in named)
    assert row["from_arrays"] > row["from_arrays_all"]
    assert 68 < row["bytes_in"] < 2000, "most of it is the same for any number of them"
    assert 0 < row["bytes_out"] < 750
    assert row["block"] == 128
    assert {"registers", "local", "blocks"} <= set(row)


def test_a_wrong_result_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the middle one, in a field that only a comparison of all fields finds."""
    real = EvmBatch.call

    def call(*arguments: object) -> object:
        results = list(real(*arguments))  # type: ignore[arg-type]
        results[20] = results[21]
        return results

    monkeypatch.setattr(EvmBatch, "call", call)
    row = measuring.transfers(HostDevice(), 40, 1)
    assert row["wrong"] == 1


def test_wrong_columns_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = EvmBatch.call_arrays

    def call(*arguments: Any) -> ResultArrays:
        results = real(*arguments)
        results.gas_used[7] += 1
        return results

    monkeypatch.setattr(EvmBatch, "call_arrays", call)
    monkeypatch.setattr(
        EvmBatch, "call", lambda batch, state, calls: real(batch, state, CallArrays.of(calls)).columns()
    )
    assert measuring.transfers(HostDevice(), 40, 1)["wrong"] == 1


def test_host_work_leaves_the_device_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that takes as long again changes nothing."""
    real, launches = HostStream.launch, []

    def launch(stream: HostStream, function: Any, *arguments: Any) -> None:
        launches.append(function.name)
        real(stream, function, *arguments)
        ends = time.thread_time() + 0.05
        while time.thread_time() < ends:
            pass

    monkeypatch.setattr(HostStream, "launch", launch)
    row = measuring.host_work(50, 3, width=128)
    assert row["path"] == "host"
    assert "run_lane" in launches
    took = {name: row[f"{name}_ns"] for name in ("checked", "called", "return_data", "storage", "logs")}
    assert all(0 < one < 0.02 / 50 * 1e9 for one in took.values()), took


def test_all_builds_are_measured_where_that_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the contract compiled or not, and with stacks that lie each by itself or side by side."""
    made: dict[str, tuple[bool, int]] = {}

    def measured(
        case: str, *_: object, contracts: Sequence[bytes] = (), sizes: LaneSizes | None = None
    ) -> dict[str, str]:
        made[case] = list(contracts) == [bytes(measuring.token())], (sizes or LaneSizes()).interleave
        return {"case": case}

    monkeypatch.setattr(measuring, "measured", measured)
    assert measuring.transfers(HostDevice(), 2, 1) == {"case": "ERC-20 transfers"}
    for build in measuring.builds_of(b""):
        assert measuring.transfers(HostDevice(), 2, 1, build=build) == {"case": measuring.case_of(build)}
    assert made == {
        "ERC-20 transfers": (False, 1),
        "ERC-20 transfers, compiled": (True, 1),
        "ERC-20 transfers, stacks side by side": (False, 32),
        "ERC-20 transfers, compiled, stacks side by side": (True, 32),
    }
