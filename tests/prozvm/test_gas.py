"""Prices: which there are, what sizes add to them, and that no schedule lets a program run for ever."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from vmloom_prozvm.bytecode.opcodes import ARITHMETIC, BINARY, COMPARISON, OPERATIONS, Opcode
from vmloom_prozvm.gas import LOOPING, SIZED_AFTER, SIZED_BEFORE, SMALL_ENCODING, GasSchedule, limbs
from vmloom_prozvm.runtime import operations
from vmloom_prozvm.values import Value, canonical, cells

SCHEDULE = GasSchedule()
LIMB = 2**64 - 1
"""The largest integer of one limb."""
small = st.integers(-LIMB, LIMB)
integers = st.integers(-(2**4096) + 1, 2**4096 - 1)


# Validation


def test_every_instruction_has_a_price() -> None:
    assert set(SCHEDULE.base) == set(Opcode) == set(OPERATIONS)
    assert all(SCHEDULE.base.values())


def test_prices_are_given_by_name_or_opcode_and_the_others_stay() -> None:
    schedule = GasSchedule.model_validate({"base": {"ADD": 7, Opcode.SUB: 8}, "per_cell": 9})
    assert (schedule.base[Opcode.ADD], schedule.base[Opcode.SUB], schedule.per_cell) == (7, 8, 9)
    assert schedule.base[Opcode.MUL] == SCHEDULE.base[Opcode.MUL]


@pytest.mark.parametrize("opcode", sorted(LOOPING))
def test_what_can_make_a_loop_is_not_free(opcode: Opcode) -> None:
    with pytest.raises(ValidationError, match=rf"{opcode.name}: must cost at least 1 gas"):
        GasSchedule(base={opcode: 0})


def test_jumps_and_calls_can_make_loops() -> None:
    for opcode in Opcode:
        if opcode.name.startswith(("JUMP", "CALL", "SPAWN", "AWAIT")) and opcode is not Opcode.CALLER:
            assert opcode in LOOPING


def test_other_instructions_may_be_free() -> None:
    free = GasSchedule(base=dict.fromkeys(set(Opcode) - LOOPING, 0))
    assert free.before(Opcode.ADD, None, (1, 2)) == 0


@pytest.mark.parametrize("name", [name for name in GasSchedule.model_fields if name != "base"])
@pytest.mark.parametrize("price", [-1, 2**63, 1.0, True, "1", None])
def test_prices_are_natural_numbers(name: str, price: Any) -> None:
    with pytest.raises(ValidationError):
        GasSchedule.model_validate({name: price})


@pytest.mark.parametrize(
    "given_",
    [
        {"base": {"ADD": -1}},
        {"base": {"ADD": 2**63}},
        {"base": {"ADD": 1.5}},
        {"base": {"NOP": 1}},
        {"base": {"add": 1}},
        {"base": {10: 1}},
        {"base": {None: 1}},
        {"base": 3},
        {"base": None},
        {"unknown": 1},
        {"constant_cell": 4},
        {"per_cell": 0},
    ],
)
def test_other_schedules_are_refused(given_: Any) -> None:
    with pytest.raises(ValidationError):
        GasSchedule.model_validate(given_)


def test_a_schedule_can_be_written_sent_and_read_back() -> None:
    schedule = GasSchedule.model_validate({"base": {"ADD": 7}, "ledger_cell": 1})
    assert GasSchedule.model_validate(schedule.model_dump()) == schedule
    assert GasSchedule.model_validate_json(schedule.model_dump_json()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule) == schedule
    assert schedule != SCHEDULE


def test_equal_schedules_have_one_hash() -> None:
    one = GasSchedule.model_validate({"base": {"ADD": 7, "SUB": 8}})
    other = GasSchedule.model_validate({"base": {Opcode.SUB: 8, Opcode.ADD: 7}})
    assert one == other
    assert len({one, other, one.model_copy(), SCHEDULE, GasSchedule()}) == 2
    assert SCHEDULE.model_copy(update={"per_cell": 9}) not in {SCHEDULE}


def test_a_schedule_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SCHEDULE.per_cell = 0


# What generated code relies on


@pytest.mark.parametrize("opcode", BINARY)
@given(left=small, right=small)
def test_integers_of_one_limb_cost_the_base_alone_before(opcode: Opcode, left: int, right: int) -> None:
    assert SCHEDULE.before(opcode, None, (left, right)) == SCHEDULE.base[opcode]


@pytest.mark.parametrize("opcode", [*ARITHMETIC, Opcode.NEG])
@given(result=small)
def test_results_of_one_limb_cost_nothing_after(opcode: Opcode, result: int) -> None:
    assert SCHEDULE.after(opcode, result) == 0


@pytest.mark.parametrize("opcode", sorted(Opcode))
@given(taken=st.tuples(integers, integers, integers))
def test_only_the_listed_instructions_depend_on_sizes(opcode: Opcode, taken: tuple[int, int, int]) -> None:
    operands = taken[: OPERATIONS[opcode].pops]
    fixed = SCHEDULE.fixed(opcode, 1)
    if opcode not in SIZED_BEFORE:
        assert SCHEDULE.before(opcode, 1, operands) == fixed
    if opcode not in SIZED_AFTER:
        assert SCHEDULE.after(opcode, taken[0]) == 0
    assert SCHEDULE.before(opcode, 1, operands) >= fixed


@given(integers)
def test_limbs_are_the_cells_of_integers(number: int) -> None:
    assert limbs(number) == limbs(-number) == cells(number)


@pytest.mark.parametrize(
    ("number", "count"), [(0, 1), (1, 1), (-1, 1), (LIMB, 1), (LIMB + 1, 2), (-LIMB - 1, 2), (2**4096 - 1, 64)]
)
def test_limbs_have_64_bits(number: int, count: int) -> None:
    assert limbs(number) == count


# What sizes add


@pytest.mark.parametrize("opcode", [Opcode.MUL, Opcode.DIV, Opcode.MOD, Opcode.POW])
def test_products_cost_by_their_limbs(opcode: Opcode) -> None:
    extra = SCHEDULE.before(opcode, None, (2**639, 2**127)) - SCHEDULE.base[opcode]
    assert extra == SCHEDULE.limb_product * (10 * 2 - 1)
    assert SCHEDULE.before(opcode, None, ("a", 2**639)) == SCHEDULE.base[opcode]


def test_a_power_costs_by_its_last_squaring() -> None:
    assert SCHEDULE.cost(Opcode.POW, None, (2, 4095), 2**4095) == (
        SCHEDULE.base[Opcode.POW] + 63 * SCHEDULE.per_cell + (64 * 64 - 1) * SCHEDULE.limb_product
    )


@pytest.mark.parametrize("result", ["x" * 16, b"x" * 16, [0, 0], 2**129])
def test_what_is_added_costs_by_its_cells(result: Value) -> None:
    assert cells(result) == 3
    assert SCHEDULE.after(Opcode.ADD, result) == 2 * SCHEDULE.per_cell


@pytest.mark.parametrize("opcode", COMPARISON)
def test_comparing_costs_by_both_sides(opcode: Opcode) -> None:
    extra = SCHEDULE.before(opcode, None, ("x" * 80, "y" * 8)) - SCHEDULE.base[opcode]
    assert extra == SCHEDULE.per_cell * (10 + 1)


def test_constants_cost_by_their_cells() -> None:
    for opcode in (Opcode.LOAD_CONST, Opcode.STORE_CONST):
        assert SCHEDULE.fixed(opcode, 5) == SCHEDULE.base[opcode]
        assert SCHEDULE.fixed(opcode, [0] * 100) == SCHEDULE.base[opcode] + 100 * SCHEDULE.constant_cell


def test_the_state_costs_by_key_and_by_what_is_read_or_written() -> None:
    read, write = SCHEDULE.base[Opcode.STATE_READ], SCHEDULE.base[Opcode.STATE_WRITE]
    assert SCHEDULE.fixed(Opcode.STATE_READ, "") == read
    assert SCHEDULE.before(Opcode.STATE_READ, "x" * 80) == read + 10 * SCHEDULE.key_cell
    assert SCHEDULE.before(Opcode.STATE_WRITE, "x" * 8, (b"x" * 16,)) == (
        write + SCHEDULE.key_cell + 2 * SCHEDULE.state_write_cell
    )
    assert SCHEDULE.reading(0) == SCHEDULE.reading(SMALL_ENCODING) == 0
    assert SCHEDULE.reading(SMALL_ENCODING + 5) == 5 * SCHEDULE.state_read_byte


@given(small)
def test_reading_an_integer_of_one_limb_costs_the_base_alone(number: int) -> None:
    assert SCHEDULE.reading(len(canonical(number))) == 0


@pytest.mark.parametrize(
    ("opcode", "taken", "extra"),
    [
        (Opcode.HASH_BLOCK, (b"x" * 80,), 10 * SCHEDULE.hash_cell),
        (Opcode.VERIFY_SIGNATURE, (b"", b"x" * 80, b""), 10 * SCHEDULE.hash_cell),
        (Opcode.MERKLE_ROOT, (), 0),
        (Opcode.MERKLE_ROOT, (1, "x" * 8, 3), 3 * SCHEDULE.merkle_leaf + SCHEDULE.hash_cell),
        (Opcode.LEDGER_APPEND, ({"a": 1},), 3 * SCHEDULE.ledger_cell),
        (Opcode.EMIT, ([1, 2], b"x" * 8), 3 * SCHEDULE.event_cell),
        (Opcode.CALL_CONTRACT, (b"x" * 16, b"x" * 16, 0), 4 * SCHEDULE.per_cell),
        (Opcode.REVERT, ("x" * 16,), 2 * SCHEDULE.per_cell),
        (Opcode.CALL_NAME, (1, 2, 3), 3 * SCHEDULE.argument),
        (Opcode.SPAWN, (1,), SCHEDULE.argument),
    ],
)
def test_what_sizes_of_operands_add(opcode: Opcode, taken: tuple[Value, ...], extra: int) -> None:
    assert SCHEDULE.before(opcode, None, taken) == SCHEDULE.base[opcode] + extra


def test_a_charge_costs_its_amount_and_itself() -> None:
    assert SCHEDULE.before(Opcode.GAS_CHARGE, 100) == SCHEDULE.base[Opcode.GAS_CHARGE] + 100


def test_output_costs_by_its_cells() -> None:
    assert SCHEDULE.output(None) == SCHEDULE.output(2**63) == 0
    assert SCHEDULE.output([1, 2, 3]) == 3 * SCHEDULE.per_cell


# What the optimiser relies on


@given(integers, integers)
def test_a_folded_constant_costs_less_than_what_made_it(left: int, right: int) -> None:
    for opcode in (Opcode.ADD, Opcode.SUB, Opcode.MUL):
        try:
            result = operations.BINARY[opcode](left, right)
        except Exception:
            continue
        loads = SCHEDULE.fixed(Opcode.LOAD_CONST, left) + SCHEDULE.fixed(Opcode.LOAD_CONST, right)
        assert SCHEDULE.fixed(Opcode.LOAD_CONST, result) < loads + SCHEDULE.cost(opcode, None, (left, right), result)


@given(integers.filter(lambda number: number.bit_length() <= 2000))
def test_a_square_costs_less_as_a_product_and_a_double_as_a_sum(number: int) -> None:
    two, again = SCHEDULE.fixed(Opcode.LOAD_CONST, 2), SCHEDULE.fixed(Opcode.DUP)
    square, double = number * number, number + number
    assert again + SCHEDULE.cost(Opcode.MUL, None, (number, number), square) < two + SCHEDULE.cost(
        Opcode.POW, None, (number, 2), square
    )
    assert again + SCHEDULE.cost(Opcode.ADD, None, (number, number), double) < two + SCHEDULE.cost(
        Opcode.MUL, None, (number, 2), double
    )


def test_combined_instructions_cost_no_more_than_their_parts() -> None:
    base = SCHEDULE.base
    assert base[Opcode.STORE_CONST] <= base[Opcode.LOAD_CONST] + base[Opcode.STORE_NAME]
    assert base[Opcode.DUP] <= base[Opcode.LOAD_NAME]
    assert base[Opcode.DUP] <= base[Opcode.LOAD_CONST]
