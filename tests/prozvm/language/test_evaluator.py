"""Direct evaluation: what is the same as in bytecode is tested on random programs; here is what is its own."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import BytecodeBuilder
from vmloom_prozvm.errors import (
    CallDepthExceeded,
    CallFailed,
    DivisionByZero,
    OutOfGas,
    TaskCycle,
    UnknownName,
    Unverifiable,
    UserRevert,
)
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.language import core, needs
from vmloom_prozvm.language.evaluator import TreeEvaluator
from vmloom_prozvm.language.tree import Source, Span
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.run import Run
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function, Value

from .tiers import lowered

HERE = Span(0, 1)
DEEP = "action deep(n) { if (n == 0) { return 0; } return 1 + deep(n - 1); }\n"


def a_run(**settings: Any) -> Run:
    return Run(DictWorld({}), **settings)


def evaluate(source: str, **settings: Any) -> Value:
    return TreeEvaluator(a_run(**settings)).evaluate(lowered(source))


def program(*body: core.Statement, functions: tuple[core.CoreFunction, ...] = ()) -> core.CoreProgram:
    return core.CoreProgram(body, functions, (), frozenset(), Source("a tree made by hand"), HERE)


def constant(value: Value) -> core.Constant:
    return core.Constant(HERE, value)


def test_tree_made_by_hand_is_evaluated() -> None:
    total = core.Operate(HERE, Opcode.ADD, (constant(1), core.Load(HERE, "x")))
    run = a_run(schedule=GasSchedule(), gas=100)
    made = program(core.Store(HERE, "x", constant(2)), core.Result(HERE, total))
    assert TreeEvaluator(run).evaluate(made) == 3
    prices = GasSchedule().base
    used = 2 * prices[Opcode.LOAD_CONST] + prices[Opcode.STORE_NAME] + prices[Opcode.LOAD_NAME] + prices[Opcode.ADD]
    assert run.gas_left == 100 - used


def test_program_without_a_result_gives_none() -> None:
    assert TreeEvaluator(a_run()).evaluate(program(core.Do(HERE, constant(1)))) is None


def test_variables_are_the_hosts_afterwards() -> None:
    names = {"x": 1}
    evaluate("x = x + 1; let y = x;", globals=names)
    assert names == {"x": 2, "y": 2}


def test_variables_are_the_hosts_after_an_error_too() -> None:
    names: dict[str, Any] = {}
    with pytest.raises(DivisionByZero):
        evaluate("let y = 1; y / 0;", globals=names)
    assert names == {"y": 1}


def test_instruction_is_charged_before_it_runs() -> None:
    names = {"note": pytest.fail}
    price = GasSchedule().base[Opcode.LOAD_CONST]
    with pytest.raises(OutOfGas):
        evaluate("note(1);", schedule=GasSchedule(), gas=price, globals=names)


def test_gas_is_gone_when_it_has_run_out() -> None:
    run = a_run(gas=10)
    with pytest.raises(OutOfGas):
        TreeEvaluator(run).evaluate(lowered("GAS 11;"))
    assert run.gas_left == 0


def test_open_transactions_are_forgotten_after_an_error() -> None:
    world: dict[str, Any] = {}
    with pytest.raises(UserRevert):
        TreeEvaluator(Run(DictWorld(world))).evaluate(lowered('TX { STATE.a = 1; } TX { STATE.a = 2; REVERT "no"; }'))
    assert world["_blockchain_state"] == {"a": 1}


def test_error_has_the_places_of_all_calls() -> None:
    source = "action f(x) { return 1 / x; }\naction g(x) {\n  return f(x);\n}\ng(0);\n"
    with pytest.raises(DivisionByZero) as raised:
        evaluate(source)
    assert [(name, place.line, place.column) for name, place in raised.value.places] == [
        ("f", 1, 22),
        ("g", 3, 10),
        ("", 5, 1),
    ]


def test_run_cannot_be_used_twice() -> None:
    evaluator = TreeEvaluator(a_run())
    evaluator.evaluate(lowered("1"))
    with pytest.raises(RuntimeError):
        evaluator.evaluate(lowered("1"))


# Calls


def test_as_many_calls_as_frames_are_allowed() -> None:
    assert evaluate(f"{DEEP} deep(254)") == 254  # with deep(0) and the main program 256 calls


def test_more_calls_than_frames_are_an_error() -> None:
    with pytest.raises(CallDepthExceeded) as raised:
        evaluate(f"{DEEP} deep(255)")
    assert len(raised.value.places) == 256


def test_depth_of_calls_needs_no_room_on_the_callers_stack() -> None:
    assert nested(sys.getrecursionlimit() - depth() - 150, lambda: evaluate(f"{DEEP} deep(254)")) == 254


def test_limit_of_recursion_is_left_alone_and_threads_end() -> None:
    limit, threads = sys.getrecursionlimit(), threading.active_count()
    evaluate(f"{DEEP} deep(254)")
    assert sys.getrecursionlimit() == limit
    assert threading.active_count() == threads


def test_deep_calls_of_deep_expressions() -> None:
    nested_call = "f(" * 40 + "n - 1" + ")" * 40
    source = f"action deep(n) {{ if (n == 0) {{ return 0; }} return 1 + deep({nested_call}); }}"
    assert evaluate(f"action f(n) {{ return n; }}\n{source}\ndeep(250)") == 250


def test_thousands_of_frames_are_possible_where_they_are_allowed() -> None:
    assert evaluate(f"{DEEP} deep(3000)", limits=Limits(frames=4096)) == 3000


def test_error_comes_through_threads_with_its_places() -> None:
    with pytest.raises(DivisionByZero) as raised:
        evaluate("action deep(n) { if (n == 0) { return 1 / n; } return 1 + deep(n - 1); }\ndeep(200)")
    assert len(raised.value.places) == 202


def test_runs_in_several_threads_do_not_disturb_each_other() -> None:
    results: list[Value] = []

    def work() -> None:
        results.append(evaluate(f"{DEEP} deep(254)"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [254] * 4


def test_function_of_the_host_can_evaluate() -> None:
    def inner(depth: int) -> Value:
        return evaluate(f"{DEEP} deep({depth})")

    assert evaluate(f"{DEEP} deep(100) + inner(100)", globals={"inner": inner}) == 200


def test_function_that_came_as_bytecode_is_refused() -> None:
    body = BytecodeBuilder().emit("LOAD_CONST", 1).emit("RETURN").build()
    with pytest.raises(CallFailed, match="came as bytecode"):
        evaluate("one()", globals={"one": Function("one", (), body)})


def test_function_of_the_host_is_no_variable() -> None:
    with pytest.raises(UnknownName, match="only CALL_NAME"):
        evaluate("let f = host;", globals={"host": len})


# Tasks


def test_awaiting_runs_the_tasks_before_it_first() -> None:
    notes: list[Value] = []
    source = "action f(n) { note(n); return n; }\nlet a = spawn f(1); let b = spawn f(2); let c = spawn f(3);\n"
    assert evaluate(f"{source} note(await b); note(0);", globals={"note": notes.append}) is None
    assert notes == [1, 2, 2, 0, 3]


def test_task_that_awaits_itself_is_an_error() -> None:
    with pytest.raises(TaskCycle):
        evaluate("let t = none;\naction f() { return await t; }\nt = spawn f(); await t;")


def test_error_of_a_task_has_the_place_that_awaits_also_after_another_task() -> None:
    source = "action fine() { return 1; }\naction wrong() { return 1 / 0; }\nspawn fine();\nawait spawn wrong();"
    with pytest.raises(DivisionByZero) as raised:
        evaluate(source)
    assert [(name, place.line) for name, place in raised.value.places] == [("wrong", 2), ("", 4)]


def test_begun_tasks_count_as_frames() -> None:
    source = "action f(n) { if (n == 0) { return 0; } return 1 + await spawn f(n - 1); }\n"
    assert evaluate(f"{source} f(6)", limits=Limits(frames=8)) == 6
    with pytest.raises(CallDepthExceeded):
        evaluate(f"{source} f(7)", limits=Limits(frames=8))


# Limits


def test_values_that_bytecode_would_have_on_the_stack_are_limited() -> None:
    items = tuple(constant(number) for number in range(20))
    made = program(core.Result(HERE, core.Operate(HERE, Opcode.BUILD_LIST, items, 20)))
    assert TreeEvaluator(a_run(limits=Limits(stack=20))).evaluate(made) == list(range(20))
    with pytest.raises(Unverifiable, match="20 values on the stack"):
        TreeEvaluator(a_run(limits=Limits(stack=19))).evaluate(made)


def test_names_are_limited() -> None:
    made = program(*(core.Store(HERE, f"x{number}", constant(1)) for number in range(20)))
    TreeEvaluator(a_run(limits=Limits(registers=20))).evaluate(made)
    with pytest.raises(Unverifiable, match="20 names"):
        TreeEvaluator(a_run(limits=Limits(registers=19))).evaluate(made)


def test_tree_too_deep_to_walk_is_refused() -> None:
    deep: core.Expression = constant(1)
    for _ in range(400):
        deep = core.Operate(HERE, Opcode.NOT, (deep,))
    with pytest.raises(Unverifiable, match="calls of Python"):
        TreeEvaluator(a_run()).evaluate(program(core.Result(HERE, deep)))


def test_deepest_sources_can_be_walked() -> None:
    loops = "for each x in [1] { " * 97 + "s = s + 1;" + " }" * 97
    assert evaluate(f"let s = 0; {loops} s") == 1
    assert evaluate("-(" * 98 + "1" + ")" * 98) == 1


def test_stack_of_each_node_is_that_of_its_instructions() -> None:
    one = constant(1)
    stacks = {
        core.Coalesce(HERE, one, one): 3,
        core.Both(HERE, one, one): 1,
        core.Either(HERE, one, one): 1,
        core.Call(HERE, "f", (one, one)): 2,
        core.CallValue(HERE, one, (one, one)): 3,
        core.Operate(HERE, Opcode.ADD, (one, core.Operate(HERE, Opcode.ADD, (one, one)))): 3,
    }
    for node, stack in stacks.items():
        assert needs.needs(program(core.Result(HERE, node))).stack == stack


def depth() -> int:
    frame, calls = sys._getframe(), 0
    while frame.f_back is not None:
        frame, calls = frame.f_back, calls + 1
    return calls


def nested(calls: int, work: Any) -> Any:
    """What `work` returns, inside so many calls of Python."""
    return work() if calls <= 0 else nested(calls - 1, work)
