"""Jumps, the ways to leave a frame, and what the program counter and the gas counter say."""

from __future__ import annotations

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    codesize,
    gas,
    invalid,
    jump,
    jumpdest,
    jumpi,
    label,
    mstore,
    pc,
    pop,
    push,
    raw,
    repeat,
    ret_bytes,
    ret_top,
    return_,
    revert,
    sstore,
    stop,
)
from vmloom_evm.testing import CONTRACT, EvmUnderTest

MAX = 2**256 - 1


def test_jump_goes_on_at_a_jumpdest(evm: EvmUnderTest) -> None:
    program = jump("over") + ret_top(1) + label("over") + ret_top(2)
    assert evm.run(program).output_int == 2


@pytest.mark.parametrize("condition", [1, 2, 2**255, MAX])
def test_jumpi_jumps_on_anything_but_zero(evm: EvmUnderTest, condition: int) -> None:
    assert evm.run(jumpi("over", condition) + ret_top(1) + label("over") + ret_top(2)).output_int == 2


def test_jumpi_not_taken_goes_on_behind_itself(evm: EvmUnderTest) -> None:
    assert evm.run(jumpi("over", 0) + ret_top(1) + label("over") + ret_top(2)).output_int == 1


def test_jumpi_not_taken_does_not_look_at_its_destination(evm: EvmUnderTest) -> None:
    assert evm.run(jumpi(MAX, 0) + ret_top(1)).output_int == 1


@pytest.mark.parametrize(
    "destination",
    [0, 1, 1000, 2**32, 2**64, MAX],
    ids=["itself", "push-data", "beyond-the-code", "32-bits", "64-bits", "all-ones"],
)
@pytest.mark.parametrize("conditional", [False, True])
def test_jump_to_anything_but_a_jumpdest_burns_all_gas(evm: EvmUnderTest, destination: int, conditional: bool) -> None:
    target = push(destination, 32)
    program = (jumpi(target, 1) if conditional else jump(target)) + jumpdest
    outcome = evm.run(program, gas=50_000)
    assert (outcome.error, outcome.gas_used) == ("invalid jump destination", 50_000)


@pytest.mark.parametrize("bits", [16, 32, 63, 64, 128, 255])
@pytest.mark.parametrize("conditional", [False, True])
def test_destination_is_never_truncated(evm: EvmUnderTest, bits: int, conditional: bool) -> None:
    def leading_to(destination: int) -> Bytecode:
        target = push(destination, 32)
        return (jumpi(target, 1) if conditional else jump(target)) + jumpdest

    valid = len(leading_to(0)) - 1
    assert evm.run(leading_to(valid)).success
    assert evm.run(leading_to(valid + 2**bits)).error == "invalid jump destination"


@pytest.mark.parametrize("size", range(1, 33))
def test_jumpdest_inside_push_data_is_none(evm: EvmUnderTest, size: int) -> None:
    hidden = raw(bytes([0x5F + size])) + raw("5b") * size
    for offset in range(5, 5 + size):
        assert evm.run(push(offset, 2) + jump + hidden).error == "invalid jump destination"


def test_jumpdest_right_behind_push_data_is_one(evm: EvmUnderTest) -> None:
    for size in range(1, 33):
        program = push(4 + 1 + size, 2) + jump + raw(bytes([0x5F + size])) + raw("5b") * size + jumpdest + ret_top(7)
        assert evm.run(program).output_int == 7


def test_jumpdest_in_the_data_of_a_push_that_the_end_cuts_off_is_none(evm: EvmUnderTest) -> None:
    assert evm.run(push(5, 2) + jump + raw("7f5b5b")).error == "invalid jump destination"


def test_code_of_jumpdests_only_runs_to_its_end(evm: EvmUnderTest) -> None:
    assert evm.gas_of(jumpdest * 1000) == 1000


def test_pc_is_the_offset_of_the_instruction_itself(evm: EvmUnderTest) -> None:
    assert evm.value_of(pc) == 0
    assert evm.value_of(push(0, 5) + pop + pc) == 7
    assert evm.value_of(jump("on") + label("on") + pc) == 5


def test_gas_is_what_is_left_after_the_instruction(evm: EvmUnderTest) -> None:
    assert evm.value_of(gas, gas=100_000) == 100_000 - 2
    assert evm.value_of(push(1) + pop + gas, gas=100_000) == 100_000 - 3 - 2 - 2


def test_loop_runs_as_often_as_it_says(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import add, swap

    assert evm.value_of(push(0) + repeat(250, swap(1) + add(2) + swap(1))) == 500


# Leaving


@pytest.mark.parametrize(
    "program", [Bytecode(), stop, push(1), jumpdest], ids=["no code", "stop", "end", "end after 1"]
)
def test_stop_and_the_end_of_code_succeed_without_output(evm: EvmUnderTest, program: Bytecode) -> None:
    outcome = evm.run(program)
    assert (outcome.success, outcome.output) == (True, b"")


def test_nothing_runs_behind_stop(evm: EvmUnderTest) -> None:
    assert evm.gas_of(stop + sstore(0, 1)) == 0
    assert evm.storage(CONTRACT, 0) == 0


def test_return_hands_back_a_range_of_memory(evm: EvmUnderTest) -> None:
    assert evm.run(ret_bytes(b"hello")).output == b"hello"
    assert evm.run(mstore(0, 0x41) + return_(31, 3)).output == b"A\0\0"


def test_revert_undoes_changes_keeps_gas_and_hands_back_a_range_of_memory(evm: EvmUnderTest) -> None:
    outcome = evm.run(sstore(0, 1) + mstore(0, 0x41) + revert(31, 1))
    assert (outcome.error, outcome.output) == ("execution reverted", b"A")
    assert outcome.gas_used == 22_100 + 6 + 6 + 6 + 6  # SSTORE, MSTORE with its word, operands
    assert evm.storage(CONTRACT, 0) == 0


def test_invalid_burns_all_gas_and_undoes_changes(evm: EvmUnderTest) -> None:
    outcome = evm.run(sstore(0, 1) + invalid, gas=90_000)
    assert (outcome.error, outcome.gas_used, outcome.output) == ("invalid opcode", 90_000, b"")
    assert evm.storage(CONTRACT, 0) == 0


def test_codesize_is_that_of_the_running_code(evm: EvmUnderTest) -> None:
    program = codesize + ret_top()
    assert evm.run(program).output_int == len(program)
