"""The calibration: costs beside the times are those of the table and of the host functions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.metering import COSMWASM, DEFAULT, PriceGroup
from vmloom_wasm.prices import DEFAULT_PRICES

COMMAND = Path(__file__).parents[2] / "benchmarks" / "wasm_calibrate.py"


def rows(*arguments: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, str(COMMAND), "--json", "--repeats", "1", *arguments]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return {row["name"]: row for row in json.loads(output)["rows"]}


def test_instructions_cost_what_the_table_says() -> None:
    found = rows("--filter", "count_bits")
    assert [row["cost"] for row in found.values()] == [DEFAULT.groups[PriceGroup.COUNT_BITS]] * 3
    assert all(row["nanoseconds"] >= 0 for row in found.values())
    amended = rows("--filter", "count_bits i64.clz", "--table", "cosmwasm")
    assert [row["cost"] for row in amended.values()] == [COSMWASM.groups[PriceGroup.COUNT_BITS]]


def test_host_functions_cost_what_their_prices_say() -> None:
    found = rows("--filter", "host gas_left")
    call, drop = DEFAULT.groups[PriceGroup.CALL], DEFAULT.groups[PriceGroup.LOCAL]
    host = DEFAULT_PRICES.host_call * WasmConfig().units_per_gas
    assert found["gas_left"]["cost"] == pytest.approx(host + call + drop, abs=1)
