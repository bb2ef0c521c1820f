"""Calls and results in columns are sequences like any other, and make each object when it is asked for."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from vmloom import BlockContext, ExecutionContext, ExecutionResult, ExecutionState
from vmloom.engine.columns import BatchResults, CallColumns, ResultColumns

BLOCK = BlockContext(number=7)
ADDRESSES = [bytes([number]) * 20 for number in (1, 2, 3, 4)]


def calls() -> CallColumns:
    codes, inputs = [b"a", b"b", b"c", b"d"], [b"", b"1", b"22", b"333"]
    return CallColumns(ADDRESSES, codes, ADDRESSES[::-1], inputs, [10, 20, 30, 40], gas_price=9, block=BLOCK)


def context(number: int) -> ExecutionContext:
    caller = ADDRESSES[3 - number]
    return ExecutionContext(
        caller, ADDRESSES[number], caller, 0, str(number).encode() * number, 10 * (number + 1), 9, block=BLOCK
    )


EXPECTED = [(letter, context(number)) for number, letter in enumerate((b"a", b"b", b"c", b"d"))]


def test_calls_are_code_and_context() -> None:
    assert list(calls()) == EXPECTED
    assert calls()[-1] == EXPECTED[-1]
    assert len(calls()) == 4
    with pytest.raises(IndexError):
        calls()[4]


@pytest.mark.parametrize("part", [slice(1, 3), slice(0, 0), slice(2, None), slice(None, 99), slice(None, None, -2)])
def test_a_part_of_calls_is_columns(part: slice) -> None:
    some = calls()[part]
    assert isinstance(some, CallColumns)
    assert list(some) == EXPECTED[part]


class Counted(ResultColumns):
    """Results that count how often they are made."""

    made = 0

    def make(self) -> list[ExecutionResult]:
        self.made += 1
        return [ExecutionResult(*both) for both in zip(self.states, self.gas_used, strict=True)]


def columns(first: int, count: int) -> Counted:
    return Counted([ExecutionState.SUCCESS] * count, range(first, first + count))


def result(gas: int) -> ExecutionResult:
    return ExecutionResult(ExecutionState.SUCCESS, gas)


def test_results_are_made_once_when_asked_for() -> None:
    some = columns(5, 3)
    assert (len(some), some.made) == (3, 0)
    assert list(some) == [result(5), result(6), result(7)]
    assert some[1] is some[1]
    assert some[-2:] == [result(6), result(7)]
    assert some.made == 1


@pytest.fixture
def batch() -> BatchResults:
    """Results 0 to 9, in parts of both kinds, one of them empty."""
    parts: list[Sequence[ExecutionResult]] = [columns(0, 4), [result(4)], [], columns(5, 5)]
    return BatchResults(parts)


def test_a_batch_is_a_list_of_its_results(batch: BatchResults) -> None:
    expected = [result(gas) for gas in range(10)]
    assert len(batch) == 10
    assert list(batch) == expected
    assert [batch[place] for place in range(-10, 10)] == expected + expected
    for part in (slice(3, 6), slice(None, None, -3), slice(8, 99), slice(4, 4), slice(-2, None)):
        assert batch[part] == expected[part]
    for place in (10, -11):
        with pytest.raises(IndexError):
            batch[place]
    assert batch.index(result(5)) == 5
    assert result(11) not in batch
    assert batch[6] is batch[6]


def test_a_batch_is_equal_to_what_has_its_results(batch: BatchResults) -> None:
    expected = [result(gas) for gas in range(10)]
    others: list[Any] = [expected, BatchResults([expected]), pickle.loads(pickle.dumps(batch))]
    for other in others:
        assert batch == other
        assert other == batch
    for other in (expected[:-1], expected[::-1], tuple(expected), 5, BatchResults([])):
        assert batch != other
    assert repr(batch) == repr(expected)
    with pytest.raises(TypeError):
        hash(batch)


def test_columns_of_a_batch_tell_of_all_and_make_none() -> None:
    first = columns(0, 2)
    batch = BatchResults([first, [ExecutionResult(ExecutionState.REVERTED, 7)], []])
    assert batch.states == [ExecutionState.SUCCESS, ExecutionState.SUCCESS, ExecutionState.REVERTED]
    assert batch.gas_used == [0, 1, 7]
    assert first.made == 0
    assert (BatchResults([]).states, BatchResults([]).gas_used) == ([], [])


def test_looking_at_one_result_makes_those_of_its_part(batch: BatchResults) -> None:
    parts: list[Counted] = [columns(0, 2), columns(2, 2)]
    assert BatchResults(parts)[3] == result(3)
    assert [part.made for part in parts] == [0, 1]


def test_a_batch_of_nothing() -> None:
    assert BatchResults([]) == []
    assert not BatchResults([])
