"""LLVM's text of contracts: what is checked once, what stays in registers, and what is not written at all."""

from __future__ import annotations

import random
import re

import pytest
from vmloom.kernel import U64_MAX, U256_MAX
from vmloom_evm.assembly import (
    Bytecode,
    add,
    calldataload,
    dup,
    jump,
    jumpi,
    label,
    mload,
    mstore,
    pop,
    push,
    raw,
    ret_top,
    sload,
    stop,
    sub,
    swap,
)
from vmloom_evm.forks import LATEST
from vmloom_evm.jit.blocks import Block
from vmloom_evm.jit.compile import ir
from vmloom_evm.jit.emit import PRODUCT, guard_rows, parameter, weight, width_of
from vmloom_evm.jit.facts import UNKNOWN, Guard, Known
from vmloom_evm.vm import Evm

SPECIFICATION = Evm().specification(LATEST)


def text_of(code: Bytecode) -> str:
    """LLVM's text of the function, without what is before it."""
    return ir(SPECIFICATION, bytes(code)).partition("define preserve_nonecc i64 @compiled")[2]


def block_text(text: str, number: int) -> str:
    """That of a block, from where it begins to the next one, or to what comes behind the last."""
    behind = re.split(rf"^b{number}:$", text, flags=re.MULTILINE)[1]
    return re.split(r"^(?:b\d+|dispatch):$", behind, flags=re.MULTILINE)[0]


# What is not written


def test_constants_are_computed_beforehand() -> None:
    """(2 + 3) * 7 = 35 goes to memory as it is, without a sum or a product."""
    text = block_text(text_of(push(7) + push(3) + push(2) + add() + raw("02") + mstore(0, Bytecode()) + stop), 0)
    assert "mul i" not in text
    assert str(int.from_bytes((35).to_bytes(32, "big")[::-1], "big")) in text


def test_what_is_pushed_and_popped_leaves_nothing() -> None:
    empty = block_text(text_of(stop), 0)
    text = block_text(text_of(push(1) * 5 + pop * 5 + stop), 0)
    assert "store i256" not in text
    assert "store i256" not in empty


def test_jump_by_a_constant_is_a_branch() -> None:
    text = text_of(push(1) + jump("end") + raw("fe") + label("end") + stop)
    assert "%jump" not in text, "no table"
    assert "icmp" not in block_text(text, 0).partition("br label %b")[2]


def test_condition_that_is_known_decides_the_jump() -> None:
    text = block_text(text_of(jumpi("end", push(1)) + raw("fe") + label("end") + stop), 0)
    assert not re.search(r"br i1 %v\d+, label %l\d+, label %l\d+$", text, re.MULTILINE)


# What is checked once


@pytest.mark.parametrize("count", [1, 5, 50])
def test_gas_is_looked_at_once_for_a_block(count: int) -> None:
    text = block_text(text_of((calldataload(0) + pop) * count + stop), 0)
    price = sum(LATEST.gas[name] for name in ("PUSH1", "CALLDATALOAD", "POP")) * count
    assert re.findall(r"icmp slt i64 %b0.gas, (\d+)", text) == [str(price)]


def test_depth_of_the_stack_is_looked_at_only_where_it_is_not_known() -> None:
    known = push(1) + label("a") + pop + stop
    unknown = jump(calldataload(0)) + label("a") + pop + stop
    assert "ptrtoint" not in block_text(text_of(known), 1)
    assert "ptrtoint" in text_of(unknown)


def test_memory_that_is_there_is_not_looked_at_again() -> None:
    """The second MLOAD is within what the first has seen, also in a block behind it; a third one reaches further."""
    once = text_of(sload(mload(64)) + pop + stop)
    twice = text_of(
        sload(mload(64)) + pop + sload(mload(32)) + pop + jumpi("end", calldataload(0)) + label("end") + stop
    )
    further = text_of(sload(mload(64)) + pop + sload(mload(96)) + pop + stop)
    counted = [len(re.findall(r"icmp ugt i64 \d+, %", text)) for text in (once, twice, further)]
    assert counted == [1, 1, 2]


# What stays in registers


def test_counter_of_a_loop_is_a_register_of_64_bits() -> None:
    text = text_of(push(100) + label("head") + sub(dup(2), 1) + swap(1) + pop + jumpi("head", dup(1)) + stop)
    assert re.search(r"%b1\.p0 = phi i64 ", text)


def test_item_that_is_always_the_same_is_no_register() -> None:
    text = text_of(push(7) + label("head") + jumpi("head", calldataload(0)) + mstore(0, Bytecode()) + stop)
    assert "%b1.p0" not in text


def test_word_of_which_nothing_is_known_is_a_register_of_256_bits() -> None:
    text = text_of(calldataload(0) + label("head") + add(calldataload(0)) + jumpi("head", calldataload(32)) + ret_top())
    assert re.search(r"%b1\.p0 = phi i256 ", text)


def block_knowing(*known: Known, parameters: int) -> Block:
    return Block(3, [], 0, 0, 0, 0, parameters=parameters, known=known)


def test_parameter_is_as_wide_as_what_is_known_of_it() -> None:
    """What is known has the top first, parameters have it last."""
    block = block_knowing(Known(5, 5), Known(0, U64_MAX), UNKNOWN, parameters=4)
    assert [width_of(block, index) for index in range(4)] == [256, 256, 64, 0]
    constant, small, wide = parameter(block, 3), parameter(block, 2), parameter(block, 0)
    assert constant.constant == 5
    assert (small.text, small.width, small.high) == ("%b3.p2", 64, U64_MAX)
    assert (wide.text, wide.width, wide.high) == ("%b3.p0", 256, U256_MAX)


# Guards


def passes(rows: list[tuple[int, int, int, int, int]], stack: list[int]) -> bool:
    """What the function `guard` of compiled code says of a stack, whose top is first, by its rows."""
    number = 0
    while number < len(rows):
        place, low, high, then, otherwise = rows[number]
        there = place <= 32 * len(stack)
        number = then if not there or low <= stack[place // 32 - 1] <= high else otherwise
    return number == len(rows)


def test_guards_let_in_what_passes_one_of_them() -> None:
    guards: tuple[Guard, ...] = (((0, 5, 5), (1, 0, 9)), ((0, 7, 7),))
    rows = guard_rows(guards)
    assert passes(rows, [5, 9])
    assert passes(rows, [7, 1000])
    assert passes(rows, [5]), "an item that is not there passes"
    assert not passes(rows, [5, 10])
    assert not passes(rows, [6, 9])
    assert guard_rows(((),)) == [], "nothing to look at"


def test_guards_say_the_same_as_their_rows() -> None:
    rng = random.Random(20_260_102)
    for _ in range(500):
        guards = tuple(
            tuple(
                (place, low, low + rng.randrange(3)) for place in range(rng.randint(1, 3)) for low in [rng.randrange(4)]
            )
            for _ in range(rng.randint(1, 4))
        )
        stack = [rng.randrange(6) for _ in range(rng.randint(0, 4))]
        expected = any(
            all(place >= len(stack) or low <= stack[place] <= high for place, low, high in guard) for guard in guards
        )
        assert passes(guard_rows(guards), stack) == expected, (guards, stack)


# All of it


def test_product_of_words_counts_as_many_lines() -> None:
    assert weight(["  %v1 = mul i256 %a, %b", "  %v2 = mul i64 %c, %d", "b1:"]) == PRODUCT + 2


def test_text_of_any_bytes_is_valid() -> None:
    binding = pytest.importorskip("llvmlite.binding", reason="comes with the native engine")
    rng = random.Random(20_260_103)
    usual = bytes.fromhex("5b 56 57 60 61 80 81 90 91 01 02 03 04 10 14 15 16 1b 1c 50 51 52 53 54 55 5a f1 f3 00")
    for number in range(60):
        chosen = rng.choices(usual, k=rng.randrange(1, 150)) if number % 3 else rng.randbytes(rng.randrange(1, 100))
        module = binding.parse_assembly(ir(SPECIFICATION, bytes(chosen)))
        module.verify()
