"""What blocks promise each other about gas."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from vmloom_evm.assembly import Bytecode, add, calldataload, exp, jumpi, label, mul, push, repeat, stop
from vmloom_evm.forks import LATEST
from vmloom_evm.jit.blocks import MOST_AHEAD, Blocks, blocks_of
from vmloom_evm.specification import specify
from vmloom_evm.table import OPS

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
ROWS = {row.code: row for row in OPS.values() if row.name in LATEST.gas}


def blocks(code: Bytecode | bytes) -> Blocks:
    """Of `code`, at the latest prices."""
    return blocks_of(bytes(code), ROWS, LATEST.gas, specify(LATEST).rules.stack_limit)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """How the benchmarks write random programs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("differential.programs")
    for name in [name for name in sys.modules if name.split(".")[0] == "differential"]:
        del sys.modules[name]


def test_who_leads_to_a_covered_block_has_looked_for_its_gas(programs: ModuleType) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    covered = 0
    for _ in range(300):
        code = programs.Maze(programs.grammar_of(LATEST.name), rng).program()
        found = blocks(code)
        place = {number: index for index, number in enumerate(found.reached)}
        for number in found.reached:
            block = found.blocks[number]
            if not block.is_covered:
                continue
            covered += 1
            wanted = block.gas + block.ahead
            assert wanted <= MOST_AHEAD
            assert not block.is_entry, f"seed {seed}: the interpreter has looked for no gas"
            ways = [it for it in found.reached if number in found.blocks[it].successors]
            assert ways
            assert all(found.blocks[it].ahead >= wanted for it in ways), f"seed {seed}: 0x{code.hex()}"
            assert all(place[it] < place[number] for it in ways), f"seed {seed}: a loop has to look in each turn"
    assert covered > 100, f"seed {seed}: hardly any block is covered"


def test_gas_of_both_ways_is_looked_for_where_they_part() -> None:
    code = push(1) + jumpi("skip", calldataload(0)) + mul(3) + label("skip") + add(1) + stop
    first, way, join = (blocks(code).blocks[number] for number in range(3))
    assert (way.is_covered, join.is_covered) == (True, True)
    assert first.ahead == way.gas + join.gas > join.gas == way.ahead


def test_dear_block_looks_for_its_gas_itself() -> None:
    dear = Bytecode()
    for _ in range(MOST_AHEAD // 10):
        dear += exp(3)
    code = push(1) + jumpi("skip", calldataload(0)) + dear + label("skip") + stop
    first, way, join = (blocks(code).blocks[number] for number in range(3))
    assert (first.ahead, way.is_covered, join.is_covered) == (join.gas, False, True)


def test_head_of_a_loop_looks_for_gas_in_each_turn() -> None:
    head = next(block for block in blocks(repeat(9, add(1)) + stop).blocks if block.is_destination)
    assert (head.is_covered, head.gas > 0) == (False, True)
