"""Code that means harm to the compiler: bounded time, text and machine code by byte of it.

`benchmarks/evm_compile.py` has the programs, and compiles them at full size.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vmloom_evm.testing import EvmUnderTest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SIZE = 2_000
"""Bytes, and half of that to compare with."""
WORST = 1.5e-3
"""Seconds of the processor by byte: some times what the worst takes, on whichever computer."""
TEXT_BY_BYTE, MACHINE_CODE_BY_BYTE = 2_000, 1_000
PROGRAMS = [
    "JUMPDESTs",
    "maze",
    "one failure",
    "returns anywhere",
    "constants and CREATE",
    "jumps to anywhere",
    "DUP16 SWAP16",
    "MUL",
    "MLOAD MSTORE anywhere",
    "comparisons and JUMPI",
]


@pytest.fixture
def compile_one(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found: Callable[[str, int], Any] = importlib.import_module("evm_compile").compile_one
    found("GAS", 100)  # makes ready what all share
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_byte_costs_no_more_in_large_code_than_in_small(compile_one: Callable[[str, int], Any], name: str) -> None:
    small, large = compile_one(name, SIZE // 2), compile_one(name, SIZE)
    assert not large.refusal
    assert large.seconds < WORST * SIZE
    assert large.text < TEXT_BY_BYTE * SIZE
    assert large.machine_code < MACHINE_CODE_BY_BYTE * SIZE
    assert large.text < 2.5 * small.text
    assert large.machine_code < 3 * small.machine_code + 10_000


@pytest.mark.parametrize(
    "name",
    [
        "JUMPDESTs",
        "maze",
        "backwards",
        "returns anywhere",
        "jumps to anywhere",
        "DUP1 until the stack is full",
        "PUSH32",
    ],
)
def test_hostile_code_runs_compiled_as_it_does_interpreted(compile_one: Callable[[str, int], Any], name: str) -> None:
    assert compile_one  # its module can be imported now
    code = importlib.import_module("evm_compile").PROGRAMS[name](SIZE)
    expected = EvmUnderTest("native").run(code, gas=300_000, input=b"\x07" * 64).result
    evm = EvmUnderTest("jit", jit={"trigger": "first", "disk_cache": False})
    assert evm.run(code, gas=300_000, input=b"\x07" * 64).result == expected
