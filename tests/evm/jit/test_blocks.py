"""Blocks of code: where they are cut, what they cost and need, where they lead, and what they take in registers."""

from __future__ import annotations

import random

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    add,
    calldataload,
    dup,
    gas,
    jump,
    jumpi,
    label,
    mstore,
    pop,
    push,
    raw,
    sstore,
    stop,
    swap,
)
from vmloom_evm.forks import LATEST
from vmloom_evm.jit.blocks import LONGEST, MOST_PARAMETERS, Block, Blocks, blocks_of
from vmloom_evm.jit.support import active_rows
from vmloom_evm.table import OpKind
from vmloom_evm.vm import Evm

ROWS = active_rows(Evm().specification(LATEST))
PRICES = LATEST.gas
LIMIT = 1024


def blocks(code: Bytecode | bytes) -> Blocks:
    return blocks_of(bytes(code), ROWS, PRICES, LIMIT)


def block(code: Bytecode | bytes, number: int = 0) -> Block:
    return blocks(code).blocks[number]


def test_block_sums_gas_and_depths() -> None:
    """SWAP2 ADD DUP1 POP POP: three items are needed, and there is never more than at the beginning."""
    one = block(raw("91 01 80 50 50"))
    assert one.gas == sum(PRICES[name] for name in ("SWAP2", "ADD", "DUP1", "POP", "POP"))
    assert (one.needs, one.growth, one.change) == (3, 0, -2)


def test_block_grows_by_the_most_that_it_ever_has() -> None:
    one = block(push(1) + push(2) + push(3) + pop + pop + stop)
    assert (one.needs, one.growth, one.change) == (0, 3, 1)


def test_byte_that_is_no_instruction_ends_what_a_block_costs() -> None:
    one = block(push(1) + raw("0c") + push(2))
    assert (one.gas, one.change) == (PRICES["PUSH1"], 1)


@pytest.mark.parametrize("name", sorted(row.name for row in ROWS.values() if row.kind is OpKind.FRAME))
def test_instruction_that_changes_the_frame_ends_its_block(name: str) -> None:
    code = next(row.code for row in ROWS.values() if row.name == name)
    found = blocks(bytes([0x60, 0, code, 0x60, 0]))
    assert [one.offset for one in found.blocks] == [0, 3]


def test_long_block_is_cut() -> None:
    found = blocks(push(1) * (2 * LONGEST + 1))
    assert [len(one.items) for one in found.blocks] == [LONGEST, LONGEST, 1]
    assert [one.following for one in found.blocks] == [1, 2, None]


def test_constant_jump_leads_to_its_destination_alone() -> None:
    code = jumpi("end", calldataload(0)) + push(7) + pop + label("end") + stop
    found = blocks(code)
    first, second, third = found.blocks
    assert (first.targets, first.following, first.is_open) == ((2,), 1, False)
    assert (second.targets, second.following) == ((), 2)
    assert third.is_destination
    assert found.at[third.offset] == 2


def test_jump_to_what_is_no_destination_is_open() -> None:
    """0x04 lies in the data of a PUSH that looks like a JUMPDEST."""
    found = blocks(raw("6004 56 61 5b5b 00"))
    assert (found.blocks[0].targets, found.blocks[0].is_open) == ((), True)


def test_jump_that_nobody_can_follow_may_lead_to_all_that_nothing_else_leads_to() -> None:
    code = jump(calldataload(0)) + label("one") + stop + label("two") + jump("three") + label("three") + stop
    found = blocks(code)
    assert found.blocks[0].is_open
    assert [one.number for one in found.blocks if one.is_entry] == [0, 1, 2]
    assert set(found.reached) == {0, 1, 2, 3}


def test_what_nothing_leads_to_is_not_compiled() -> None:
    found = blocks(stop + push(1) + stop)
    assert found.reached == [0]


def test_head_of_a_loop_may_be_entered_while_it_runs() -> None:
    code = push(9) + label("head") + add(1) + jumpi("head", dup(1)) + stop
    assert [one.is_entry for one in blocks(code).blocks] == [True, True, False]


def test_block_after_a_call_is_an_entry() -> None:
    code = raw("5f5f5f5f5f5f5ff1") + pop + stop
    assert [one.is_entry for one in blocks(code).blocks] == [True, True]


def test_two_ways_are_dominated_by_where_they_part() -> None:
    """0 parts into 1 and 2, which meet in 3."""
    apart = jumpi("other", calldataload(0)) + mstore(0, 1) + jump("met")
    found = blocks(apart + label("other") + mstore(0, 2) + label("met") + stop)
    assert found.dominators == {1: 0, 2: 0, 3: 0}
    order = {number: place for place, number in enumerate(found.reached)}
    assert order[0] < order[1] < order[3]
    assert order[2] < order[3]


def test_depth_is_known_where_all_ways_have_it() -> None:
    code = push(1) + push(2) + jumpi("end", calldataload(0)) + pop + push(3) + label("end") + stop
    last = block(code, 2)
    assert (last.least_depth, last.greatest_depth) == (2, 2)


def test_depth_is_any_where_a_loop_makes_it_larger() -> None:
    code = label("head") + push(1) + jump("head")
    head = block(code)
    assert (head.least_depth, head.greatest_depth) == (0, LIMIT)


def test_block_takes_what_it_uses_and_what_follows_it_uses() -> None:
    """The second block uses nothing itself, but hands on to the third, which uses two items."""
    code = push(1) + push(2) + label("a") + mstore(0, 7) + jumpi("b", calldataload(0)) + label("b") + add() + pop + stop
    found = blocks(code)
    assert [one.parameters for one in found.blocks if one.number in found.reached] == [0, 2, 2]


def test_no_block_takes_more_than_there_are_registers_for() -> None:
    code = push(1) * 17 + label("a") + swap(16) + jump("b") + label("b") + pop * 17 + stop
    assert all(one.parameters <= MOST_PARAMETERS for one in blocks(code).blocks)


def test_code_of_any_kind_is_cut_into_all_of_its_instructions() -> None:
    """Blocks lie one after the other without a gap, and nothing of random bytes is too much for them."""
    rng = random.Random(20_260_101)
    for _ in range(300):
        code = rng.randbytes(rng.randrange(1, 120))
        found = blocks(code)
        offsets = [it.offset for one in found.blocks for it in one.items]
        assert offsets == sorted(set(offsets))
        sizes = [it.size for one in found.blocks for it in one.items]
        assert all(here + size == there for here, size, there in zip(offsets, sizes, offsets[1:], strict=False))
        for one in found.blocks:
            assert all(found.blocks[number].is_destination for number in one.targets)
            assert one.least_depth <= one.greatest_depth
        assert len(set(found.reached)) == len(found.reached)


def test_frame_instructions_are_priced_with_their_block() -> None:
    """SSTORE is no frame instruction, and GAS sees what is left at its place: both stay within one block."""
    found = blocks(gas + sstore(0) + stop)
    assert [len(one.items) for one in found.blocks] == [4]
