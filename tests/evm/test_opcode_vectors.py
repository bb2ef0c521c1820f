"""go-ethereum's vectors for 256-bit operators: X op Y = Expected, run as programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vmloom_evm.assembly import op, ret_top
from vmloom_evm.testing import EvmUnderTest

OPERATORS = [
    "add",
    "and",
    "byte",
    "div",
    "eq",
    "exp",
    "gt",
    "lt",
    "mod",
    "mul",
    "or",
    "sar",
    "sdiv",
    "sgt",
    "shl",
    "shr",
]
OPERATORS += ["signext", "slt", "smod", "sub", "xor"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_gives_the_expected_word(evm: EvmUnderTest, fixtures_folder: Path, operator: str) -> None:
    vectors = json.loads((fixtures_folder / "opcodes" / "geth" / f"testcases_{operator}.json").read_text())
    instruction = op("SIGNEXTEND" if operator == "signext" else operator.upper())
    failures = []
    for vector in vectors:
        # geth's files name the operand that is pushed first X: the top of the stack is Y.
        program = instruction(int(vector["Y"], 16), int(vector["X"], 16)) + ret_top()
        if evm.run(program).output.hex() != vector["Expected"].lower():
            failures.append(vector)
    assert vectors
    assert not failures


def test_no_operator_is_left_out(fixtures_folder: Path) -> None:
    files = (fixtures_folder / "opcodes" / "geth").glob("*.json")
    assert sorted(file.stem.removeprefix("testcases_") for file in files) == sorted(OPERATORS)
