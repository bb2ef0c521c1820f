"""The calibration: what it says rows cost is what the schedule takes for them, and no instruction is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vmloom_prozvm.bytecode import Opcode
from vmloom_prozvm.gas import GasSchedule

COMMAND = Path(__file__).parents[2] / "benchmarks" / "prozvm_calibrate.py"
PRICES = GasSchedule().base


def report(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(COMMAND), "--json", "--repeats", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(wanted: str) -> dict[str, float]:
    found = report("--filter", wanted)["rows"]
    assert all(row["nanoseconds"] >= 0 for row in found)
    return {row["name"]: row["gas"] for row in found}


def test_every_instruction_is_measured() -> None:
    found = report("--filter", "simple POP")
    assert found["unmeasured"] == []
    assert found["failed"] == []


@pytest.mark.parametrize("name", ["POP", "DUP", "LOAD_CONST", "JUMP"])
def test_small_rows_cost_the_base(name: str) -> None:
    assert rows(f"simple {name}")[name] == PRICES[Opcode[name]]


def test_operands_are_not_counted() -> None:
    assert rows("simple ADD, small") == {"ADD, small": PRICES[Opcode.ADD]}


def test_calls_cost_what_the_function_does_too() -> None:
    (gas,) = rows("CALL_FUNC_CONST, LOAD_CONST, RETURN").values()
    assert gas == sum(PRICES[opcode] for opcode in (Opcode.CALL_FUNC_CONST, Opcode.LOAD_CONST, Opcode.RETURN))


def test_the_state_is_paid_for() -> None:
    (gas,) = rows("state STATE_WRITE, new").values()
    assert gas >= PRICES[Opcode.STATE_WRITE]
