"""Keccak vectors: of the hash function itself, and of KECCAK256 run as a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vmloom.hashing import keccak256
from vmloom_evm.assembly import calldatacopy, calldatasize, ret_top
from vmloom_evm.assembly import keccak256 as keccak256_op
from vmloom_evm.testing import EvmUnderTest


@pytest.fixture
def vectors(fixtures_folder: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((fixtures_folder / "keccak" / "keccak256.json").read_text())
    assert len(found) == 194
    return found


def test_the_hash_function_gives_the_expected_digest(vectors: list[dict[str, str]]) -> None:
    wrong = [one["Name"] for one in vectors if keccak256(bytes.fromhex(one["Input"])).hex() != one["Expected"]]
    assert not wrong


def test_the_instruction_gives_the_expected_digest(evm: EvmUnderTest, vectors: list[dict[str, str]]) -> None:
    program = calldatacopy(0, 0, calldatasize) + keccak256_op(0, calldatasize) + ret_top()
    wrong = [
        one["Name"]
        for one in vectors
        if evm.run(program, input=bytes.fromhex(one["Input"])).output.hex() != one["Expected"]
    ]
    assert not wrong
