"""What benchmarks measure of batches: it is right, and says on what it ran."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from vmloom_cuda.evm import EvmBatch, HostDevice, measuring
from vmloom_evm.native.lane_build import LaneSizes


def test_transfers_are_measured_and_compared() -> None:
    row = measuring.transfers(HostDevice(), 40, 1)
    assert (row["path"], row["executions"], row["wrong"], row["escapes"]) == ("host", 40, 0, 0)
    assert all(row[name] > 0 for name in ("kernel", "with_copies", "with_packing", "native"))
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
