"""Tasks: in which order they run, what awaiting gives, and how they end badly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_prozvm.bytecode.program import BytecodeBuilder
from vmloom_prozvm.errors import (
    CallDepthExceeded,
    DivisionByZero,
    OpenTransaction,
    OutOfGas,
    ProzError,
    TaskCycle,
    TaskLimitExceeded,
    TypeMismatch,
    WrongArity,
)
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function, Task, Value

from .programs import Outcome, Shape, interpret, programs

TASKS = Shape(tasks=True, functions=True, wrong=0.03, statements=12)


def function(name: str, parameters: tuple[str, ...], *steps: tuple[Any, ...]) -> Function:
    return Function(name, parameters, program(*steps).build())


def program(*steps: tuple[Any, ...]) -> BytecodeBuilder:
    builder = BytecodeBuilder()
    for name, *operands in steps:
        builder.emit(name, *operands)
    return builder


def run(*steps: tuple[Any, ...], **options: Any) -> Outcome:
    return interpret(program(*steps).build(), **options)


def spawn(callee: Function, *arguments: Value, name: str = "t") -> list[tuple[Any, ...]]:
    loads = [("LOAD_CONST", value) for value in (callee, *arguments)]
    return [*loads, ("SPAWN", len(arguments)), ("STORE_NAME", name)]


def await_(name: str = "t") -> list[tuple[Any, ...]]:
    return [("LOAD_NAME", name), ("AWAIT",)]


def order(outcome: Outcome) -> list[Value]:
    """What the program noted, in order."""
    return [entry["entry"] for entry in outcome.ledger]


def note(value: Value) -> list[tuple[Any, ...]]:
    return [("LOAD_CONST", value), ("LEDGER_APPEND",)]


NOTE = function("note", ("n",), ("LOAD_NAME", "n"), ("LEDGER_APPEND",), ("LOAD_NAME", "n"), ("RETURN",))
FAIL = function("fail", (), ("LOAD_CONST", 1), ("LOAD_CONST", 0), ("DIV",))
AWAIT_U = function("await_u", (), *await_("u"))
AWAIT_T = function("await_t", (), *await_("t"))


def test_awaiting_gives_what_the_task_returns() -> None:
    assert run(*spawn(NOTE, 5), *await_()).result == 5


def test_task_does_not_begin_before_somebody_waits() -> None:
    assert order(run(*spawn(NOTE, "task"), *note("main"), *await_())) == ["main", "task"]


def test_earlier_tasks_run_before_the_awaited_one_and_later_ones_after_the_program() -> None:
    outcome = run(
        *spawn(NOTE, 1, name="a"), *spawn(NOTE, 2, name="b"), *spawn(NOTE, 3, name="c"), *await_("b"), *note("main")
    )
    assert order(outcome) == [1, 2, "main", 3]


def test_tasks_that_nobody_awaits_run_at_the_end_in_order() -> None:
    outcome = run(*spawn(NOTE, 1), *spawn(NOTE, 2), *note("main"), ("LOAD_CONST", "result"))
    assert order(outcome) == ["main", 1, 2]
    assert outcome.result == "result"


def test_task_may_be_awaited_again() -> None:
    assert run(*spawn(NOTE, 4), *await_(), *await_(), ("ADD",)).result == 8


def test_task_that_ended_is_awaited_without_running_others() -> None:
    outcome = run(*spawn(NOTE, 1, name="a"), *await_("a"), *spawn(NOTE, 2, name="b"), *await_("a"), *note("main"))
    assert order(outcome) == [1, "main", 2]


def test_task_spawns_and_awaits_tasks_itself() -> None:
    outer = function("outer", (), *spawn(NOTE, "inner"), *note("outer"), *await_(), ("RETURN",))
    outcome = run(*spawn(outer), *spawn(NOTE, "second", name="u"), *await_("t"))
    assert order(outcome) == ["outer", "second", "inner"]
    assert outcome.result == "inner"


def test_tasks_spawned_by_tasks_at_the_end_run_too() -> None:
    outer = function("outer", (), *spawn(NOTE, "inner"))
    assert order(run(*spawn(outer), *note("main"))) == ["main", "inner"]


def test_task_is_awaited_from_inside_calls() -> None:
    wait = function("wait", ("task",), ("LOAD_NAME", "task"), ("AWAIT",), ("RETURN",))
    assert (
        run(*spawn(NOTE, 6), ("LOAD_NAME", "t"), ("CALL_FUNC_CONST", wait, 1), ("LOAD_CONST", 1), ("ADD",)).result == 7
    )


def test_two_may_await_one_task() -> None:
    outcome = run(*spawn(NOTE, 1, name="u"), *spawn(AWAIT_U), *await_("t"), *await_("u"), ("ADD",))
    assert outcome.result == 2
    assert order(outcome) == [1]


def test_task_reads_globals_as_they_are_when_it_runs() -> None:
    read = function("read", (), ("LOAD_NAME", "x"))
    assert run(("STORE_CONST", "x", 1), *spawn(read), ("STORE_CONST", "x", 2), *await_()).result == 2


def test_task_is_equal_to_itself_only() -> None:
    steps = [*spawn(NOTE, 1), *spawn(NOTE, 1, name="u")]
    assert run(*steps, ("LOAD_NAME", "t"), ("LOAD_NAME", "u"), ("EQ",)).result is False
    assert run(*steps, ("LOAD_NAME", "t"), ("LOAD_NAME", "t"), ("EQ",)).result is True


def test_task_cannot_await_itself() -> None:
    outcome = run(*spawn(AWAIT_T), *await_())
    assert (outcome.error, outcome.at) == (TaskCycle, 1)


def test_tasks_cannot_await_each_other() -> None:
    outcome = run(*spawn(AWAIT_U), *spawn(AWAIT_T, name="u"), *await_("t"))
    assert (outcome.error, outcome.at) == (TaskCycle, 1)


def test_what_is_no_task_cannot_be_awaited() -> None:
    assert run(("LOAD_CONST", 0), ("AWAIT",)).error is TypeMismatch


def test_task_of_another_run_cannot_be_awaited() -> None:
    loaded = load(program(*spawn(NOTE, 1), *await_()).build())
    awaiting = load(program(*spawn(NOTE, 1, name="own"), *await_("t")).build())
    variables: dict[str, Any] = {}
    Machine(DictWorld({}), globals=variables).run(loaded)
    assert variables["t"] == Task(0)
    with pytest.raises(TypeMismatch, match="another run"):
        Machine(DictWorld({}), globals=variables).run(awaiting)


def test_only_functions_with_the_right_arguments_are_spawned() -> None:
    assert run(("LOAD_CONST", 5), ("SPAWN", 0)).error is TypeMismatch
    assert run(("LOAD_CONST", NOTE), ("SPAWN", 0)).error is WrongArity


def test_error_in_a_task_ends_the_program_there() -> None:
    outcome = run(*spawn(FAIL), *note("main"), *await_())
    assert (outcome.error, outcome.at) == (DivisionByZero, 2)


def test_error_in_a_task_that_nobody_awaits_ends_the_program_too() -> None:
    outcome = run(*spawn(FAIL), *spawn(NOTE, 1), ("LOAD_CONST", "result"))
    assert (outcome.error, outcome.at, outcome.result, order(outcome)) == (DivisionByZero, 2, None, [])


def test_transaction_of_a_task_ends_with_the_program() -> None:
    begin = function("begin", (), ("TX_BEGIN",), ("LOAD_CONST", 1), ("STATE_WRITE", "x"))
    assert run(*spawn(begin), *await_(), ("POP",), ("TX_COMMIT",)).state == {"x": 1}
    assert run(*spawn(begin)).error is OpenTransaction


def test_number_of_waiting_tasks_is_bounded() -> None:
    limits = Limits(tasks=3)
    assert order(run(*spawn(NOTE, 1) * 3, limits=limits)) == [1, 1, 1]
    outcome = run(*spawn(NOTE, 1) * 4, limits=limits)
    assert outcome.error is TaskLimitExceeded
    assert not run(*[*spawn(NOTE, 1), *await_(), ("POP",)] * 9, limits=limits).error


def test_tasks_that_await_each_other_in_a_chain_are_frames() -> None:
    """Each task spawns and awaits the next."""
    deeper = function("f", (), ("LOAD_NAME", "f"), ("SPAWN", 0), ("AWAIT",))
    outcome = run(("STORE_CONST", "f", deeper), ("CALL_NAME", "f", 0), limits=Limits(frames=1000))
    assert (outcome.error, outcome.at) == (CallDepthExceeded, 2)


def test_tasks_that_spawn_for_ever_run_out_of_gas() -> None:
    again = function("f", (), ("LOAD_NAME", "f"), ("SPAWN", 0))
    outcome = run(("STORE_CONST", "f", again), ("CALL_NAME", "f", 0), schedule=GasSchedule(), gas=20_000)
    assert (outcome.error, outcome.gas_left) == (OutOfGas, 0)


@given(programs(TASKS))
def test_programs_with_tasks_repeat_themselves(generated: Any) -> None:
    assert interpret(generated) == interpret(generated)


@given(st.lists(st.integers(0, 9), max_size=12), st.data())
def test_order_is_that_of_spawning_up_to_the_awaited_one(values: list[int], data: st.DataObject) -> None:
    awaited = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=5)) if values else []
    steps = [step for number, value in enumerate(values) for step in spawn(NOTE, value, name=f"t{number}")]
    steps += [step for number in awaited for step in (*await_(f"t{number}"), ("POP",))]
    outcome = run(*steps, *note("main"))
    first = max(awaited, default=-1) + 1
    assert order(outcome) == [*values[:first], "main", *values[first:]]


def test_errors_of_tasks_are_of_the_program() -> None:
    for error in (TaskCycle, TaskLimitExceeded):
        assert issubclass(error, ProzError)
