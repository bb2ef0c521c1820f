"""The frame: gas, stack, memory and how a call ends."""

from __future__ import annotations

import pytest
from vmloom import CallFrame, ExecutionContext, ExecutionState, StackError


def frame(gas: int = 100) -> CallFrame:
    return CallFrame(ExecutionContext(gas_limit=gas), b"\x00", jump_destinations=frozenset({3}))


def test_gas_runs_out_all_at_once() -> None:
    one = frame(10)
    assert one.consume_gas(4)
    assert (one.gas, one.gas_used) == (6, 4)
    assert one.consume_gas(6)
    assert one.consume_gas(0)
    assert not one.consume_gas(1)
    assert (one.gas, one.gas_used, one.state, one.message) == (0, 10, ExecutionState.FAILED, "out of gas")


def test_what_cannot_be_paid_takes_the_rest() -> None:
    one = frame(10)
    assert not one.consume_gas(11)
    assert one.gas_used == 10


def test_negative_gas_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot consume -1 gas"):
        frame().consume_gas(-1)


def test_stack() -> None:
    one = frame()
    one.push_stack(1)
    one.push_stack(2)
    assert (one.peek_stack(), one.peek_stack(1)) == (2, 1)
    for index in (2, -1):
        with pytest.raises(StackError, match="of a stack of 2"):
            one.peek_stack(index)
    assert (one.pop_stack(), one.pop_stack()) == (2, 1)
    with pytest.raises(StackError, match="empty"):
        one.pop_stack()


def test_stack_is_limited() -> None:
    one = frame()
    for number in range(1024):
        one.push_stack(number)
    with pytest.raises(StackError, match="stack limit of 1024 items"):
        one.push_stack(0)
    assert len(one.stack) == 1024


def test_memory_reads_zeros_beyond_its_end_without_growing() -> None:
    one = frame()
    one.set_memory(2, b"ab")
    assert one.get_memory(0, 6) == b"\0\0ab\0\0"
    assert one.get_memory(100, 2) == b"\0\0"
    assert len(one.memory) == 4
    one.set_memory(50, b"")
    assert len(one.memory) == 4
    one.set_memory(3, b"xyz")
    assert bytes(one.memory) == b"\0\0axyz"


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, -1)])
def test_negative_memory_is_refused(offset: int, size: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        frame().get_memory(offset, size)
    with pytest.raises(ValueError, match="negative"):
        frame().set_memory(-1, b"x")


def test_endings() -> None:
    for end, state, message in (
        (CallFrame.stop, ExecutionState.SUCCESS, ""),
        (lambda one: one.revert("no"), ExecutionState.REVERTED, "no"),
        (lambda one: one.fail("bad"), ExecutionState.FAILED, "bad"),
    ):
        one = frame()
        end(one)
        assert (one.state, one.message, one.state.is_final) == (state, message, True)
    assert not frame().state.is_final


def test_jump_destinations() -> None:
    assert frame().is_valid_jump_destination(3)
    assert not frame().is_valid_jump_destination(0)


@pytest.mark.parametrize("field", ["caller", "address", "origin"])
def test_contexts_need_whole_addresses(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: an address has 20 bytes, got 2"):
        ExecutionContext(**{field: b"\x01\x02"})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["value", "gas_limit", "gas_price", "depth"])
def test_contexts_have_no_negative_numbers(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: must not be negative, got -1"):
        ExecutionContext(**{field: -1})  # type: ignore[arg-type]
