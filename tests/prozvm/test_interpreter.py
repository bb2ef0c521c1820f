"""The interpreter: what instructions do to the stack, names, calls, gas, transactions, and the limits of a run."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom import BlockContext
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.errors import (
    CallDepthExceeded,
    CallFailed,
    DivisionByZero,
    NoTransaction,
    NotStorable,
    OpenTransaction,
    OutOfGas,
    ProzError,
    StateOutsideTransaction,
    TypeMismatch,
    UnknownName,
    UserRevert,
    ValueTooLarge,
    WrongArity,
)
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.runtime.context import BLOCK_FIELDS, CallContext
from vmloom_prozvm.runtime.hashes import hash_block, merkle_root
from vmloom_prozvm.runtime.instructions import static_price
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function, Value, ValueLimits

from .programs import GAS, SMALL_LIMITS, Outcome, Shape, generate, interpret, programs
from .steps import body, const, fails, function, run

SCHEDULE = GasSchedule()
ALL = Shape(contract=True)

SUM = function("sum", ("a", "b"), ("LOAD_NAME", "a"), ("LOAD_NAME", "b"), ("ADD",), ("RETURN",))
INCREMENT = [("LOAD_NAME", "n"), ("LOAD_CONST", 1), ("ADD",), ("STORE_NAME", "n")]
FOREVER: list[tuple[Any, ...]] = [("label", "top"), ("JUMP", "top")]


# Stack and results


def test_program_returns_the_top_of_its_stack_with_or_without_return() -> None:
    assert run(*const(1, 2)) == 2
    assert run(*const(1, 2), ("RETURN",)) == 2


def test_program_that_leaves_nothing_returns_none() -> None:
    assert run() is None
    assert run(*const(1), ("POP",)) is None
    assert run(("RETURN",), strict=False) is None


def test_binary_operations_take_the_left_operand_from_below() -> None:
    assert run(*const(7, 2), ("SUB",)) == 5
    assert run(*const("abc", 1), ("INDEX",)) == "b"


def test_duplicate_leaves_two_of_the_top() -> None:
    assert run(*const(3), ("DUP",), ("MUL",)) == 9


def test_collections_keep_the_order_of_pushing() -> None:
    assert run(*const(1, 2, 3), ("BUILD_LIST", 3)) == [1, 2, 3]
    assert run(*const("a", 1, "b", 2), ("BUILD_MAP", 2)) == {"a": 1, "b": 2}
    assert run(*const(0), ("BUILD_LIST", 0)) == []


def test_stored_index_changes_a_new_collection_only() -> None:
    assert run(
        ("STORE_CONST", "old", [1, 2]), ("LOAD_NAME", "old"), *const(0, 9), ("STORE_INDEX",), ("STORE_NAME", "new"),
        ("LOAD_NAME", "old"), ("LOAD_NAME", "new"), ("ADD",),
    ) == [1, 2, 9, 2]  # fmt: skip


@pytest.mark.parametrize(("condition", "taken"), [(0, 2), ("", 2), ([], 2), (None, 2), (False, 2), (-1, 1), ("0", 1)])
def test_jump_if_false_goes_where_truth_says(condition: Value, taken: int) -> None:
    assert (
        run(
            *const(condition), ("JUMP_IF_FALSE", "else"), *const(1), ("RETURN",), ("label", "else"), *const(2)
        )
        == taken
    )  # fmt: skip


def test_jump_to_the_end_ends_the_program() -> None:
    assert run(*const(5), ("JUMP", "end"), ("POP",), *const(6), ("label", "end")) == 5


def test_loop_counts() -> None:
    steps = [
        ("STORE_CONST", "n", 0), ("label", "top"), ("LOAD_NAME", "n"), *const(10), ("LT",), ("JUMP_IF_FALSE", "end"),
        *INCREMENT, ("JUMP", "top"), ("label", "end"), ("LOAD_NAME", "n"),
    ]  # fmt: skip
    assert run(*steps) == 10


# Errors


def test_error_names_the_instruction() -> None:
    fails(DivisionByZero, 2, *const(1, 0), ("DIV",))
    fails(TypeMismatch, 3, ("LOAD_CONST", 0), *const("a", 1), ("ADD",))
    fails(UnknownName, 0, ("LOAD_NAME", "x"))


def test_error_in_a_function_names_the_instruction_there() -> None:
    failing = function("f", (), ("LOAD_CONST", 1), ("LOAD_CONST", 0), ("LOAD_CONST", 0), ("MOD",))
    fails(DivisionByZero, 3, ("CALL_FUNC_CONST", failing, 0))


def test_error_after_a_call_names_the_callers_instruction() -> None:
    fails(TypeMismatch, 4, *const("a", 1, 2), ("CALL_FUNC_CONST", SUM, 2), ("ADD",))


def test_value_beyond_the_limits_is_refused() -> None:
    limits = Limits(values=ValueLimits(integer_bits=64))
    fails(ValueTooLarge, 2, *const(1 << 63), ("DUP",), ("ADD",), limits=limits)


def test_revert_carries_its_output() -> None:
    error = fails(UserRevert, 1, *const({"reason": "no"}), ("REVERT",))
    assert isinstance(error, UserRevert)
    assert error.output == {"reason": "no"}


# Names


def test_function_reads_globals_and_stores_its_own_names() -> None:
    shadow = function("f", (), ("LOAD_NAME", "x"), ("STORE_NAME", "y"), ("STORE_CONST", "x", 5), ("LOAD_NAME", "x"))
    assert run(
        ("STORE_CONST", "x", 1), ("STORE_CONST", "y", 2), ("CALL_FUNC_CONST", shadow, 0),
        ("LOAD_NAME", "x"), ("LOAD_NAME", "y"), ("BUILD_LIST", 3),
    ) == [5, 1, 2]  # fmt: skip


def test_function_sees_a_global_as_it_is_when_it_reads() -> None:
    read = function("f", (), ("LOAD_NAME", "x"))
    assert run(
        ("STORE_CONST", "x", 1), ("CALL_FUNC_CONST", read, 0),
        ("STORE_CONST", "x", 2), ("CALL_FUNC_CONST", read, 0), ("BUILD_LIST", 2),
    ) == [1, 2]  # fmt: skip


def test_function_does_not_see_the_names_of_its_caller() -> None:
    inner = function("inner", (), ("LOAD_NAME", "x"))
    outer = function("outer", ("x",), ("CALL_FUNC_CONST", inner, 0))
    fails(UnknownName, 0, *const(1), ("CALL_FUNC_CONST", outer, 1))


def test_none_is_a_value_of_a_name() -> None:
    assert run(("STORE_CONST", "x", None), ("LOAD_NAME", "x"), ("LOAD_CONST", None), ("EQ",)) is True


def test_globals_of_the_host_are_read_and_written_back() -> None:
    variables: dict[str, Any] = {"x": 20, "unused": 1.5}
    assert run(("LOAD_NAME", "x"), *const(1), ("ADD",), ("DUP",), ("STORE_NAME", "y"), globals=variables) == 21
    assert variables == {"x": 20, "y": 21, "unused": 1.5}


def test_globals_are_written_back_after_an_error() -> None:
    variables: dict[str, Any] = {}
    fails(UnknownName, 1, ("STORE_CONST", "x", 1), ("LOAD_NAME", "y"), globals=variables)
    assert variables == {"x": 1}


def test_variable_of_the_host_that_is_no_value_is_refused() -> None:
    fails(TypeMismatch, None, ("LOAD_NAME", "x"), globals={"x": 0.5})


def test_names_are_bounded() -> None:
    program = body(("STORE_CONST", "a", 1), ("STORE_CONST", "b", 1), ("STORE_CONST", "c", 1))
    load(program, Limits(registers=3))
    with pytest.raises(Exception, match="3 names; at most 2"):
        load(program, Limits(registers=2))


def test_names_of_functions_count_for_the_main_program() -> None:
    inner = function("f", (), ("LOAD_NAME", "b"), ("LOAD_NAME", "c"))
    with pytest.raises(Exception, match="program: 3 names; at most 2"):
        load(body(("STORE_CONST", "a", 1), ("CALL_FUNC_CONST", inner, 0)), Limits(registers=2))


# Calls


def test_every_way_to_call_gives_arguments_in_order() -> None:
    subtract = function("f", ("a", "b"), ("LOAD_NAME", "a"), ("LOAD_NAME", "b"), ("SUB",), ("RETURN",))
    assert run(*const(7, 2), ("CALL_FUNC_CONST", subtract, 2)) == 5
    assert run(*const(7, 2, subtract), ("CALL_TOP", 2)) == 5
    assert run(("STORE_CONST", "g", subtract), *const(7, 2), ("CALL_NAME", "g", 2)) == 5


def test_function_is_a_value_that_can_be_passed() -> None:
    apply = function("apply", ("f", "x"), ("LOAD_NAME", "x"), ("LOAD_NAME", "x"), ("CALL_NAME", "f", 2))
    assert run(*const(SUM, 4), ("CALL_FUNC_CONST", apply, 2)) == 8


def test_call_keeps_what_is_below_its_arguments() -> None:
    assert run(*const(100, 1, 2), ("CALL_FUNC_CONST", SUM, 2), ("ADD",)) == 103


def test_function_without_a_result_gives_none() -> None:
    assert run(("CALL_FUNC_CONST", function("f", ()), 0)) is None


def test_recursion_by_a_global_name() -> None:
    factorial = function(
        "f", ("n",), ("LOAD_NAME", "n"), ("JUMP_IF_FALSE", "base"),
        ("LOAD_NAME", "n"), ("LOAD_NAME", "n"), *const(1), ("SUB",), ("CALL_NAME", "f", 1), ("MUL",), ("RETURN",),
        ("label", "base"), *const(1),
    )  # fmt: skip
    assert run(("STORE_CONST", "f", factorial), *const(20), ("CALL_NAME", "f", 1)) == 2432902008176640000


def test_calls_nest_as_deep_as_allowed_and_no_deeper() -> None:
    count = function(
        "f", ("n",), ("LOAD_NAME", "n"), ("JUMP_IF_FALSE", "end"),
        ("LOAD_NAME", "n"), *const(1), ("SUB",), ("CALL_NAME", "f", 1), ("RETURN",), ("label", "end"), *const("done"),
    )  # fmt: skip

    def steps(depth: int) -> list[tuple[Any, ...]]:
        return [
            ("STORE_CONST", "f", count), *const(depth), ("CALL_NAME", "f", 1)
        ]  # fmt: skip

    assert run(*steps(254)) == "done"
    fails(CallDepthExceeded, 5, *steps(255))
    assert run(*steps(4095), limits=Limits(frames=5000)) == "done"  # deeper than Python could


def test_wrong_number_of_arguments() -> None:
    fails(WrongArity, 2, *const(1, SUM), ("CALL_TOP", 1))
    fails(WrongArity, 2, ("STORE_CONST", "f", SUM), *const(1), ("CALL_NAME", "f", 1))


def test_what_is_no_function_cannot_be_called() -> None:
    fails(TypeMismatch, 1, *const(5), ("CALL_TOP", 0))
    fails(TypeMismatch, 1, ("STORE_CONST", "f", 5), ("CALL_NAME", "f", 0))
    fails(UnknownName, 0, ("CALL_NAME", "f", 0))


def test_host_function_is_called_by_name() -> None:
    assert run(*const(3, 4), ("CALL_NAME", "hypot2", 2), globals={"hypot2": lambda a, b: a * a + b * b}) == 25


def test_host_function_gives_way_to_a_variable() -> None:
    assert run(("STORE_CONST", "f", SUM), *const(1, 2), ("CALL_NAME", "f", 2), globals={"f": max}) == 3


def test_host_function_is_no_value() -> None:
    fails(UnknownName, 0, ("LOAD_NAME", "f"), globals={"f": print})


def test_host_function_that_fails_is_a_failed_call_with_its_cause() -> None:
    error = fails(CallFailed, 1, *const([]), ("CALL_NAME", "first", 1), globals={"first": lambda items: items[0]})
    assert isinstance(error.__cause__, IndexError)


def test_host_function_must_return_a_value() -> None:
    fails(TypeMismatch, 0, ("CALL_NAME", "f", 0), globals={"f": lambda: 1.5})


def test_function_from_outside_reads_the_globals_of_the_program_and_its_own() -> None:
    helper = function("h", ("n",), ("LOAD_NAME", "n"), ("LOAD_NAME", "rate"), ("MUL",))
    outside = function("f", ("n",), ("LOAD_NAME", "n"), ("CALL_FUNC_CONST", helper, 1), ("LOAD_NAME", "x"), ("ADD",))
    variables = {"f": outside, "rate": 3}
    assert run(("STORE_CONST", "x", 100), *const(5), ("CALL_NAME", "f", 1), globals=variables, strict=False) == 115
    assert variables == {"f": outside, "rate": 3, "x": 100}


def test_function_from_outside_is_verified() -> None:
    broken = Function("f", (), Bytecode([], [("POP", None)]))
    with pytest.raises(Exception, match="POP takes 1 of 0 values"):
        run(("CALL_NAME", "f", 0), globals={"f": broken}, strict=False)


# Gas


def loading(*values: Value) -> int:
    """Gas for a LOAD_CONST of each of these."""
    return sum(SCHEDULE.fixed(Opcode.LOAD_CONST, value) for value in values)


def test_gas_is_the_sum_of_the_prices() -> None:
    machine = Machine(DictWorld({}), schedule=SCHEDULE, gas=1000)
    machine.run(load(body(*const(1, 2), ("ADD",), ("GAS_CHARGE", 100), ("RETURN",))))
    base = SCHEDULE.base
    spent = 2 * base[Opcode.LOAD_CONST] + base[Opcode.ADD] + base[Opcode.GAS_CHARGE] + 100 + base[Opcode.RETURN]
    assert machine.gas_left == 1000 - spent


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ADD", (1 << 70, 1)),
        ("ADD", ((1 << 64) - 1, 1)),
        ("SUB", (-(1 << 64), 1)),
        ("MUL", (1 << 63, 1 << 63)),
        ("DIV", (1 << 200, 1 << 100)),
        ("POW", (3, 100)),
        ("MUL", (1 << 64, 0)),
        ("MUL", (0, 1 << 64)),
        ("DIV", (-(1 << 64), 1)),
        ("MOD", (5, -(1 << 64))),
        ("VERIFY_SIGNATURE", ("00" * 64, "m" * 100, "02" + "00" * 31 + "01")),
        ("ADD", ("a" * 20, "b" * 20)),
        ("EQ", ([1] * 10, [1] * 10)),
        ("LT", ("a" * 40, "b")),
        ("AND", ([1] * 10, 1)),
        ("INDEX", ([1] * 10, 1)),
        ("NEG", (1 << 100,)),
        ("NOT", ([1] * 10,)),
        ("LENGTH", ([1] * 10,)),
        ("HASH_BLOCK", ("x" * 100,)),
        ("STORE_INDEX", ([1, 2, 3], 0, [4, 5])),
    ],
)
def test_sizes_cost_what_the_schedule_says(name: str, values: tuple[Value, ...]) -> None:
    """An independent sum: the schedule's whole cost of the instruction, and the loads."""
    machine = Machine(DictWorld({}), schedule=SCHEDULE, gas=100_000)
    result = machine.run(load(body(*const(*values), (name,))))
    cost = SCHEDULE.cost(Opcode[name], None, values, result)
    assert machine.gas_left == 100_000 - cost - loading(*values)


def test_counted_instructions_cost_what_the_schedule_says() -> None:
    for steps, opcode, taken in [
        ([*const(1, "ab", [1]), ("BUILD_LIST", 3)], Opcode.BUILD_LIST, (1, "ab", [1])),
        ([*const("k", "ab" * 9), ("BUILD_MAP", 1)], Opcode.BUILD_MAP, ("k", "ab" * 9)),
        ([*const("k", "ab" * 9), ("MERKLE_ROOT", 2)], Opcode.MERKLE_ROOT, ("k", "ab" * 9)),
    ]:
        machine = Machine(DictWorld({}), schedule=SCHEDULE, gas=100_000)
        result = machine.run(load(body(*steps)))
        cost = SCHEDULE.cost(opcode, None, taken, result) + loading(*taken)
        assert machine.gas_left == 100_000 - cost


def test_state_and_ledger_cost_what_the_schedule_says() -> None:
    key, value = "k" * 30, "v" * 50
    machine = Machine(DictWorld({}), schedule=SCHEDULE, gas=100_000)
    steps = [("TX_BEGIN",), *const(value), ("STATE_WRITE", key), ("STATE_READ", key), ("LEDGER_APPEND",)]
    machine.run(load(body(*steps, ("TX_COMMIT",))))
    base = SCHEDULE.base
    cost = SCHEDULE.cost(Opcode.STATE_WRITE, key, (value,), None) + SCHEDULE.cost(Opcode.STATE_READ, key, (), value)
    cost += SCHEDULE.cost(Opcode.LEDGER_APPEND, None, (value,), None) + loading(value)
    assert machine.gas_left == 100_000 - cost - base[Opcode.TX_BEGIN] - base[Opcode.TX_COMMIT]


def spent(*steps: tuple[Any, ...]) -> int:
    """Gas that the program uses where loads and stores are free."""
    schedule = GasSchedule(base={"LOAD_CONST": 0, "LOAD_NAME": 0, "STORE_CONST": 0}, constant_cell=0)
    calls: dict[str, Any] = {"emit": lambda *_: None, "call": lambda *_: ("r" * 50, 1000)}
    machine = Machine(DictWorld({}), schedule=schedule, gas=100_000, context=CallContext(**calls))
    with suppress(UserRevert):
        machine.run(load(body(*steps)))
    return 100_000 - machine.gas


def test_ways_out_of_a_contract_cost_what_the_schedule_says() -> None:
    cost = SCHEDULE.cost
    taken: tuple[Value, ...] = ([1 << 100, 2], b"d" * 30)
    assert spent(*const(*taken), ("EMIT",)) == cost(Opcode.EMIT, None, taken, None)
    assert spent(*const("reason" * 9), ("REVERT",)) == cost(Opcode.REVERT, None, ("reason" * 9,), None)
    taken = (b"a" * 20, b"i" * 90, 1 << 70)
    whole = cost(Opcode.CALL_CONTRACT, None, taken, "r" * 50) + 1000
    assert spent(*const(*taken), ("CALL_CONTRACT",)) == whole


def test_every_way_to_call_costs_its_arguments() -> None:
    inside = SCHEDULE.base[Opcode.ADD] + SCHEDULE.base[Opcode.RETURN]
    cost = SCHEDULE.cost
    calling = spent(*const(1, 2), ("CALL_FUNC_CONST", SUM, 2))
    assert calling == cost(Opcode.CALL_FUNC_CONST, None, (1, 2), None) + inside
    calling = spent(("STORE_CONST", "f", SUM), *const(1, 2), ("CALL_NAME", "f", 2))
    assert calling == cost(Opcode.CALL_NAME, None, (1, 2), None) + inside
    calling = spent(*const(SUM, 1, 2), ("SPAWN", 2))
    assert calling == cost(Opcode.SPAWN, None, (SUM, 1, 2), None) + inside


def test_arguments_of_calls_are_charged() -> None:
    price = SCHEDULE.base[Opcode.CALL_TOP] + 3 * SCHEDULE.argument
    assert static_price(Opcode.CALL_TOP, 2, SCHEDULE) == price
    machine = Machine(DictWorld({}), schedule=GasSchedule(base={"LOAD_CONST": 0, "LOAD_NAME": 0}), gas=1000)
    machine.run(load(body(*const(1, 2, SUM), ("CALL_TOP", 2))))
    assert machine.gas_left == 1000 - price - SCHEDULE.base[Opcode.ADD] - SCHEDULE.base[Opcode.RETURN]


def test_out_of_gas_is_at_the_instruction_that_cannot_be_paid() -> None:
    machine = Machine(DictWorld({}), schedule=SCHEDULE, gas=2 * SCHEDULE.base[Opcode.LOAD_CONST])
    with pytest.raises(OutOfGas) as caught:
        machine.run(load(body(*const(1, 2), ("ADD",))))
    assert caught.value.at == 2
    assert machine.gas_left == 0


def test_what_cannot_be_paid_is_not_done() -> None:
    env: dict[str, Any] = {}
    steps = [("TX_BEGIN",), *const("a" * 1000), ("STATE_WRITE", "k"), ("TX_COMMIT",)]
    fails(OutOfGas, 2, *steps, schedule=SCHEDULE, gas=1000, world=DictWorld(env))
    assert env == {}


@pytest.mark.parametrize("schedule", [None, SCHEDULE])
def test_endless_loop_runs_out_of_gas(schedule: GasSchedule | None) -> None:
    steps = FOREVER if schedule else [("label", "top"), ("GAS_CHARGE", 7), ("JUMP", "top")]
    fails(OutOfGas, 0, *steps, schedule=schedule, gas=10_000 if schedule else 70)


def test_without_a_schedule_only_gas_charge_costs() -> None:
    machine = Machine(DictWorld({}), gas=1000)
    assert machine.run(load(body(("GAS_CHARGE", 50), *const("a" * 99), ("HASH_BLOCK",), ("GAS_CHARGE", 150))))
    assert machine.gas_left == 800


def test_without_a_bound_nothing_runs_out() -> None:
    machine = Machine(DictWorld({}), schedule=SCHEDULE)
    machine.run(load(body(*[("GAS_CHARGE", (1 << 63) - 1)] * 100)))
    assert machine.gas_left is None


def test_another_schedule_makes_other_prices_of_the_same_program() -> None:
    loaded = load(body(*const(1)))
    for price in (2, 9, 2):
        machine = Machine(DictWorld({}), schedule=GasSchedule(base={"LOAD_CONST": price}), gas=100)
        machine.run(loaded)
        assert machine.gas_left == 100 - price


# State, transactions and the ledger


def observed(*steps: tuple[Any, ...], **options: Any) -> Outcome:
    return interpret(body(*steps), **options)


def test_committed_state_is_kept_and_reverted_state_is_not() -> None:
    outcome = observed(
        ("TX_BEGIN",), *const(1), ("STATE_WRITE", "kept"), ("TX_BEGIN",), *const(2), ("STATE_WRITE", "lost"),
        ("TX_REVERT",), ("TX_COMMIT",), ("STATE_READ", "lost"),
    )  # fmt: skip
    assert (outcome.result, outcome.state) == (None, {"kept": 1})


def test_strict_programs_write_inside_transactions_only() -> None:
    fails(StateOutsideTransaction, 1, *const(1), ("STATE_WRITE", "x"))
    fails(NoTransaction, 0, ("TX_COMMIT",))
    fails(NoTransaction, 0, ("TX_REVERT",))


def test_strict_program_must_not_end_inside_a_transaction() -> None:
    outcome = observed(("TX_BEGIN",), *const(1), ("STATE_WRITE", "x"))
    assert (outcome.error, outcome.state) == (OpenTransaction, {})


def test_lenient_program_writes_at_once_and_ends_as_it_likes() -> None:
    outcome = observed(
        ("TX_COMMIT",), ("TX_REVERT",), *const(1), ("STATE_WRITE", "x"),
        ("TX_BEGIN",), *const(2), ("STATE_WRITE", "y"), strict=False,
    )  # fmt: skip
    assert (outcome.error, outcome.state) == (None, {"x": 1})


@pytest.mark.parametrize("end", [("GAS_CHARGE", 10**6), ("LOAD_NAME", "nothing"), ("REVERT",)])
def test_error_undoes_the_open_transactions(end: tuple[Any, ...]) -> None:
    outcome = observed(
        ("TX_BEGIN",), *const(1), ("STATE_WRITE", "x"), ("TX_COMMIT",),
        ("TX_BEGIN",), *const(2), ("STATE_WRITE", "x"), *const(3), ("LEDGER_APPEND",), *const(0), end,
        gas=1000,
    )  # fmt: skip
    assert outcome.error
    assert (outcome.state, outcome.ledger) == ({"x": 1}, [])


def test_machine_that_failed_in_a_transaction_has_none_open() -> None:
    machine = Machine(DictWorld({}))
    with pytest.raises(UnknownName):
        machine.run(load(body(("TX_BEGIN",), ("LOAD_NAME", "x"))))
    assert machine.transactions.depth == 0


def test_ledger_entries_have_the_blocks_time() -> None:
    outcome = observed(*const({"action": "pay", "timestamp": 1}), ("LEDGER_APPEND",), *const(5), ("LEDGER_APPEND",))
    assert [dict(entry) for entry in outcome.ledger] == [
        {"action": "pay", "timestamp": 1000}, {"entry": 5, "timestamp": 1000}
    ]  # fmt: skip


def test_hashes_are_those_of_the_functions_for_them() -> None:
    assert run(*const([1, "a"]), ("HASH_BLOCK",)) == hash_block([1, "a"])
    assert run(*const("a", "b", "c"), ("MERKLE_ROOT", 3)) == merkle_root(["a", "b", "c"])


def test_function_has_no_hash() -> None:
    fails(NotStorable, 1, *const(SUM), ("HASH_BLOCK",))


def test_state_of_the_workbench_must_be_values() -> None:
    fails(TypeMismatch, 0, ("STATE_READ", "x"), world=DictWorld({"_blockchain_state": {"x": 0.5}}))


# Surroundings of contracts


def test_contract_sees_its_surroundings() -> None:
    context = CallContext(input=b"in", caller=b"c" * 20, address=b"a" * 20, value=7, block=BlockContext(number=12))
    steps = [("INPUT",), ("CALLER",), ("ADDRESS",), ("VALUE",), ("BLOCK", "number"), ("BUILD_LIST", 5)]
    assert run(*steps, context=context) == [b"in", b"c" * 20, b"a" * 20, 7, 12]


def test_every_field_of_the_block_can_be_asked() -> None:
    for name in BLOCK_FIELDS:
        assert run(("BLOCK", name), context=CallContext()) == getattr(BlockContext(), name)
    fails(UnknownName, 0, ("BLOCK", "__class__"), context=CallContext())


def test_program_without_surroundings_cannot_ask_for_them() -> None:
    for step in (("INPUT",), ("CALLER",), ("ADDRESS",), ("VALUE",), ("BLOCK", "number")):
        fails(CallFailed, 0, step)


def test_events_go_out() -> None:
    outcome = observed(*const([1, 2], b"data"), ("EMIT",))
    assert outcome.events == [([1, 2], b"data")]


@pytest.mark.parametrize(
    ("topics", "data"), [(5, b""), (["a"], b""), ([-1], b""), ([1 << 256], b""), ([True], b""), ([1], "text")]
)
def test_malformed_events_are_refused(topics: Value, data: Value) -> None:
    fails(TypeMismatch, 2, *const(topics, data), ("EMIT",), context=CallContext())


def test_call_of_a_contract_is_told_the_gas_that_is_left_and_pays_what_was_used() -> None:
    asked: list[Any] = []

    def call(address: bytes, data: bytes, value: int, gas: int | None) -> tuple[Value, int]:
        asked.append((address, data, value, gas))
        return {"status": True}, 300

    machine = Machine(DictWorld({}), gas=1000, context=CallContext(call=call))
    assert machine.run(load(body(("GAS_CHARGE", 100), *const(b"x" * 20, b"in", 3), ("CALL_CONTRACT",)))) == {
        "status": True
    }
    assert asked == [(b"x" * 20, b"in", 3, 900)]
    assert machine.gas_left == 600


def test_call_of_a_contract_takes_bytes_bytes_and_an_integer() -> None:
    fails(TypeMismatch, 3, *const("x", b"", 0), ("CALL_CONTRACT",), context=CallContext())


def test_what_comes_from_outside_is_within_the_limits() -> None:
    limits = Limits(values=ValueLimits(bytes_size=32))
    context = CallContext(input=b"i" * 33, call=lambda *_: (b"r" * 33, 0))
    fails(ValueTooLarge, 0, ("INPUT",), context=context, limits=limits)
    fails(ValueTooLarge, 3, *const(b"", b"", 0), ("CALL_CONTRACT",), context=context, limits=limits)


def test_error_of_the_surroundings_is_at_the_instruction() -> None:
    fails(CallFailed, 3, *const(b"", b"", 0), ("CALL_CONTRACT",), context=CallContext())


# What must hold for all programs


@given(programs(ALL), GAS, st.booleans())
def test_run_repeats_itself(program: Bytecode, gas: int | None, strict: bool) -> None:
    once = interpret(program, schedule=SCHEDULE, gas=gas, strict=strict)
    assert interpret(program, schedule=SCHEDULE, gas=gas, strict=strict) == once


@given(programs(ALL))
def test_gas_that_is_just_enough_is_enough_and_one_less_is_not(program: Bytecode) -> None:
    plenty = 1 << 40
    free = interpret(program, schedule=SCHEDULE, gas=plenty)
    assert free.gas_left is not None
    used = plenty - free.gas_left
    exact = interpret(program, schedule=SCHEDULE, gas=used)
    assert (exact.result, exact.error, exact.at, exact.state, exact.gas_left) == (
        free.result, free.error, free.at, free.state, 0
    )  # fmt: skip
    if used:
        assert interpret(program, schedule=SCHEDULE, gas=used - 1).error is OutOfGas


@given(programs(ALL))
def test_prices_change_nothing_but_gas(program: Bytecode) -> None:
    priced, free = interpret(program, schedule=SCHEDULE), interpret(program)
    assert priced == free


@given(programs(ALL), GAS)
def test_small_limits_give_typed_errors_only(program: Bytecode, gas: int | None) -> None:
    interpret(program, schedule=SCHEDULE, gas=gas, limits=SMALL_LIMITS)


@given(programs(ALL))
def test_lenient_run_is_the_strict_one_where_that_succeeds(program: Bytecode) -> None:
    strict = interpret(program, schedule=SCHEDULE, gas=1 << 40)
    if strict.error is None:
        assert interpret(program, schedule=SCHEDULE, gas=1 << 40, strict=False) == strict


def test_generated_programs_run_through_more_often_than_not_and_fail_in_many_ways() -> None:
    outcomes = [interpret(generate(Random(seed), ALL), gas=10**6, schedule=SCHEDULE) for seed in range(400)]
    errors = {outcome.error for outcome in outcomes}
    assert sum(outcome.error is None for outcome in outcomes) > 200
    assert {TypeMismatch, UnknownName, UserRevert, OpenTransaction} <= errors
    assert any(outcome.state for outcome in outcomes)
    assert any(outcome.ledger for outcome in outcomes)
    assert any(outcome.events for outcome in outcomes)


def test_reading_is_paid_for_before_it_is_done() -> None:
    """A value is charged by its size before it is decoded, unless this run wrote it."""
    value = "v" * 5000
    world = DictWorld({"_blockchain_state": {"key": value}})
    schedule = GasSchedule()
    machine = Machine(world, schedule=schedule, gas=100_000)
    machine.run(load(body(("STATE_READ", "key"), ("POP",))))
    reading = schedule.reading(machine.transactions.size("key"))
    assert reading > 0
    assert machine.gas == 100_000 - schedule.fixed(Opcode.STATE_READ, "key") - reading - schedule.base[Opcode.POP]


def test_hashes_keep_the_limits_of_values() -> None:
    """Values from outside, such as state, were checked by other limits, perhaps."""
    program = Bytecode([[1, [2, [3]]]], [("LOAD_CONST", 0), ("HASH_BLOCK", None), ("RETURN", None)])
    loaded = load(program, Limits())
    assert len(Machine(DictWorld({}), limits=Limits()).run(loaded)) == 64
    with pytest.raises(ProzError, match=r"nest|deep"):
        Machine(DictWorld({}), limits=Limits(values=ValueLimits(nesting=2))).run(loaded)


def test_no_gas_is_left_when_it_is_out() -> None:
    program = Bytecode(["x" * 4000], [("LOAD_CONST", 0), ("HASH_BLOCK", None), ("RETURN", None)])
    for gas in range(0, 4000, 100):
        machine = Machine(DictWorld({}), schedule=GasSchedule(), gas=gas)
        try:
            machine.run(load(program, Limits()))
        except OutOfGas:
            assert machine.gas_left == 0
        else:
            assert machine.gas_left >= 0
