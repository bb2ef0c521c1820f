"""Intervals of words contain what the op functions make, and what must be true where a comparison held."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom_evm.forks import LATEST
from vmloom_evm.jit.narrow import ANY, FLAG, ONE, ZERO, Range, after, assumed, constant, join, meet
from vmloom_evm.ops import arithmetic, bitwise, environment, flow
from vmloom_evm.table import OPS, OpKind

SIZE = 1 << 256
EDGES = [
    *(0, 1, 2, 3, 30, 31, 32, 33, 127, 128, 255, 256, 257),
    *(2**64 - 1, 2**64, 2**128 - 1, 2**255 - 1, 2**255, SIZE - 2, SIZE - 1),
]
PURE = [
    row
    for row in OPS.values()
    if row.code < 0x20 and row.kind is OpKind.VALUE and row.pushes and row.name != "KECCAK256"
]
COMPARISONS = [OPS[name] for name in ("LT", "GT", "SLT", "SGT", "EQ", "ISZERO")]

words = st.one_of(
    st.sampled_from(EDGES),
    st.integers(0, 300),
    st.integers(0, SIZE - 1),
    st.builds(lambda bits, off: (2**bits + off) % SIZE, st.integers(0, 256), st.integers(-2, 2)),
)
ranges = st.builds(lambda one, other: Range(min(one, other), max(one, other)), words, words)
often = settings(max_examples=40, deadline=None)


@st.composite
def ranges_and_words(draw: st.DrawFn, count: int) -> tuple[list[Range], list[int]]:
    """`count` ranges and a word of each: an end of it, often."""
    found = [draw(ranges) for _ in range(count)]
    chosen = [draw(st.one_of(st.sampled_from(it), st.integers(it.low, it.high))) for it in found]
    return found, chosen


def made(row: Any, operands: list[int]) -> int:
    """What the op function pushes."""
    machine = [SimpleNamespace(rules=LATEST.rules, gas=1 << 60)] if row.takes_machine else []
    return int(row.function(*machine, *operands))


@pytest.mark.parametrize("row", PURE, ids=lambda row: row.name)
def test_range_contains_what_the_instruction_makes(row: Any) -> None:
    @often
    @given(ranges_and_words(row.pops))
    def check(drawn: tuple[list[Range], list[int]]) -> None:
        assert after(row.function, drawn[0]).contains(made(row, drawn[1]))

    check()


@pytest.mark.parametrize("row", PURE, ids=lambda row: row.name)
def test_constants_make_the_constant_that_the_instruction_makes(row: Any) -> None:
    @often
    @given(st.lists(words, min_size=row.pops, max_size=row.pops))
    def check(operands: list[int]) -> None:
        assert after(row.function, [constant(it) for it in operands]).value == made(row, operands)

    check()


@pytest.mark.parametrize("row", PURE, ids=lambda row: row.name)
def test_small_ranges_are_right_for_all_their_words(row: Any) -> None:
    """Every pair of ranges of a few small words, gone through word by word."""
    intervals = [Range(low, high) for low in range(4) for high in range(low, 5)]
    for one in intervals:
        operands = [one, Range(0, 3), Range(1, 2)][: row.pops]
        known = after(row.function, operands)
        for first in range(one.low, one.high + 1):
            for second in range(4):
                for third in (1, 2):
                    assert known.contains(made(row, [first, second, third][: row.pops]))


@pytest.mark.parametrize("row", COMPARISONS, ids=lambda row: row.name)
def test_what_is_assumed_of_a_comparison_contains_what_was_compared(row: Any) -> None:
    @settings(max_examples=120, deadline=None)
    @given(ranges_and_words(row.pops))
    def check(drawn: tuple[list[Range], list[int]]) -> None:
        known = assumed(row.function, drawn[0], holds=made(row, drawn[1]) != 0)
        assert known is not None
        assert len(known) == row.pops
        assert all(it.contains(word) for it, word in zip(known, drawn[1], strict=True))

    check()


@given(ranges, ranges)
def test_join_has_the_words_of_both_and_meet_those_that_both_have(one: Range, other: Range) -> None:
    assert all(join(one, other).contains(word) for word in (*one, *other))
    both = meet(one, other)
    for word in (*one, *other):
        assert (both is not None and both.contains(word)) == (one.contains(word) and other.contains(word))


# What makes it worth the trouble


def after_op(name: str, *operands: Range) -> Range:
    """`after` by name."""
    return after(OPS[name].function, operands)


BYTE = Range(0, 255)
SMALL = Range(0, 2**64 - 1)


@pytest.mark.parametrize(
    ("name", "operands", "expected"),
    [
        ("ADD", (SMALL, SMALL), Range(0, 2**65 - 2)),
        ("ADD", (SMALL, ANY), ANY),
        ("ADD", (constant(SIZE - 1), Range(1, 9)), Range(0, 8)),
        ("SUB", (Range(5, 9), Range(1, 5)), Range(0, 8)),
        ("SUB", (ZERO, ONE), constant(SIZE - 1)),
        ("SUB", (SMALL, SMALL), ANY),
        ("MUL", (SMALL, SMALL), Range(0, (2**64 - 1) ** 2)),
        ("DIV", (ANY, constant(2**192)), SMALL),
        ("DIV", (ANY, ZERO), ZERO),
        ("SDIV", (SMALL, BYTE), SMALL),
        ("MOD", (ANY, constant(256)), BYTE),
        ("MOD", (BYTE, constant(256)), BYTE),
        ("ADDMOD", (SMALL, SMALL, ANY), Range(0, 2**65 - 2)),
        ("MULMOD", (ANY, ANY, constant(7)), Range(0, 6)),
        ("EXP", (constant(256), constant(2)), constant(65536)),
        ("EXP", (constant(2), BYTE), Range(1, 2**255)),
        ("EXP", (constant(2), Range(0, 256)), ANY),
        ("EXP", (constant(10), Range(0, 18)), Range(1, 10**18)),
        ("SIGNEXTEND", (constant(7), Range(0, 2**63 - 1)), Range(0, 2**63 - 1)),
        ("SIGNEXTEND", (constant(7), SMALL), ANY),
        ("LT", (BYTE, constant(256)), ONE),
        ("LT", (ANY, BYTE), FLAG),
        ("GT", (BYTE, constant(256)), ZERO),
        ("SLT", (constant(SIZE - 1), BYTE), ONE),
        ("EQ", (BYTE, constant(256)), ZERO),
        ("ISZERO", (Range(1, 9),), ZERO),
        ("ISZERO", (ZERO,), ONE),
        ("AND", (ANY, constant(0xFF)), BYTE),
        ("AND", (constant(2**160 - 1), SMALL), SMALL),
        ("OR", (BYTE, Range(256, 300)), Range(256, 511)),
        ("XOR", (FLAG, ONE), FLAG),
        ("NOT", (ZERO,), constant(SIZE - 1)),
        ("BYTE", (ANY, ANY), BYTE),
        ("BYTE", (constant(30), Range(0, 0x1FF)), FLAG),
        ("SHL", (constant(5), BYTE), Range(0, 255 << 5)),
        ("SHR", (constant(224), ANY), Range(0, 2**32 - 1)),
        ("SAR", (constant(8), SMALL), Range(0, 2**56 - 1)),
        ("CLZ", (ANY,), Range(0, 256)),
    ],
)
def test_range_is_as_small_as_it_can_be_where_it_matters(
    name: str, operands: tuple[Range, ...], expected: Range
) -> None:
    assert after_op(name, *operands) == expected


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("CALLER", 160),
        ("ADDRESS", 160),
        ("CALLDATASIZE", 64),
        ("MSIZE", 64),
        ("GAS", 63),
        ("CALL", 1),
        ("CREATE2", 160),
    ],
)
def test_surroundings_have_the_width_of_what_they_are(name: str, bits: int) -> None:
    row = OPS[name]
    assert after(row.function, [ANY] * row.pops).bits == bits


@pytest.mark.parametrize("name", ["SLOAD", "MLOAD", "CALLDATALOAD", "CALLVALUE", "TIMESTAMP", "CHAINID", "BALANCE"])
def test_words_that_others_choose_are_anything(name: str) -> None:
    row = OPS[name]
    assert after(row.function, [ZERO] * row.pops) == ANY


def test_instruction_that_replaces_another_makes_anything() -> None:
    def add(x: int, y: int) -> int:
        return x * y

    assert after(add, [ONE, ONE]) == ANY
    assert after(None, []) == ANY
    assert assumed(add, [ONE, ONE], holds=True) == [ONE, ONE]


def test_bound_of_a_loop_follows_from_its_condition() -> None:
    counter = Range(0, SIZE - 1)
    assert assumed(bitwise.lt, [counter, constant(1000)], holds=True) == (Range(0, 999), constant(1000))
    assert assumed(bitwise.lt, [counter, constant(1000)], holds=False) == (Range(1000, SIZE - 1), constant(1000))
    assert assumed(bitwise.gt, [constant(1000), counter], holds=True) == (constant(1000), Range(0, 999))
    assert assumed(bitwise.slt, [counter, constant(9)], holds=True) == (counter, constant(9))
    assert assumed(bitwise.iszero, [Range(0, 5)], holds=False) == (Range(1, 5),)
    assert assumed(bitwise.eq, [Range(0, 5), constant(4)], holds=True) == (constant(4), constant(4))


def test_what_cannot_be_is_none() -> None:
    assert assumed(bitwise.lt, [constant(9), constant(9)], holds=True) is None
    assert assumed(bitwise.lt, [constant(8), constant(9)], holds=False) is None
    assert assumed(bitwise.eq, [ZERO, ONE], holds=True) is None
    assert assumed(bitwise.eq, [ONE, ONE], holds=False) is None
    assert assumed(bitwise.iszero, [ONE], holds=True) is None
    assert meet(Range(0, 3), Range(4, 5)) is None


def test_number_that_is_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a word"):
        constant(SIZE)
    with pytest.raises(ValueError, match="is not a word"):
        constant(-1)


def test_every_rule_takes_the_operands_of_its_instruction() -> None:
    for row in OPS.values():
        if row.function is not None and row.pushes:
            after(row.function, [ANY] * row.pops)
    assert after(flow.pc, []).bits == 64
    assert after(environment.timestamp, []) == ANY
    assert len(inspect.signature(arithmetic.addmod).parameters) == 3
