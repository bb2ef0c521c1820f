"""The language's interpreter: what it compiles and what it evaluates, its statistics, and environments that go on."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_prozvm.bytecode.program import BytecodeBuilder
from vmloom_prozvm.config import LanguageConfig
from vmloom_prozvm.errors import CallDepthExceeded, DivisionByZero, OutOfGas
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.language import hybrid
from vmloom_prozvm.language.diagnostics import LanguageError
from vmloom_prozvm.language.environment import Environment
from vmloom_prozvm.language.hybrid import Evaluator, evaluate, should_use_vm_for_node
from vmloom_prozvm.language.lexer import Lexer
from vmloom_prozvm.language.parser import UltimateParser, parse
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.values import Function, Value

LOOP = "let s = 0; let i = 0; while (i < 5) { s += i; i += 1; }\n"
LARGE = "let large = action(n) { let a = n; let b = a; let c = b; let d = c; let e = d; return e + 1; };\n"
SMALL = "let small = action(n) { return n + 1; };\n"


def stats(compiles: int = 0, executions: int = 0, fallbacks: int = 0, direct: int = 0) -> dict[str, int]:
    return {
        "bytecode_compiles": compiles,
        "vm_executions": executions,
        "vm_fallbacks": fallbacks,
        "direct_evals": direct,
    }


def the_statement(source: str) -> Any:
    return parse(source).statements[-1]


# What the first description of the language shows


@pytest.mark.parametrize("use_vm", [True, False])
def test_example_for_interpreter_users(use_vm: bool) -> None:
    code = """
    let x = 10 + 5;
    let y = x * 2;
    y
    """
    program = UltimateParser(Lexer(code)).parse_program()
    env = Environment()
    assert evaluate(program, env, use_vm=use_vm) == 30
    assert env.variables == {"x": 15, "y": 30}


def test_evaluator_and_evaluate_are_in_the_module_of_the_evaluator_too() -> None:
    from vmloom_prozvm.language import evaluator

    assert evaluator.Evaluator is Evaluator
    assert evaluator.evaluate is evaluate
    with pytest.raises(AttributeError):
        _ = evaluator.nothing


def test_statistics_begin_at_nought() -> None:
    assert Evaluator(use_vm=True).get_vm_stats() == stats()


# What is compiled


@pytest.mark.parametrize(
    ("source", "compiled"),
    [
        ("while (true) { break; }", True),
        ("for each x in [] { }", True),
        ("if (true) { while (true) { break; } }", True),
        ("let f = action() { while (true) { break; } };", False),
        ("action f() { 1; 2; 3; 4; 5; }", False),
        ("action f() { 1; 2; 3; 4; 5; 6; }", True),
        ("action f() { for each x in [] { } }", True),
        ("let x = 1;", False),
    ],
)
def test_statement_is_compiled_if_it_loops_or_is_a_large_function(source: str, compiled: bool) -> None:
    assert should_use_vm_for_node(the_statement(source)) is compiled


@pytest.mark.parametrize(("statements", "compiled"), [(10, False), (11, True)])
def test_program_of_more_than_ten_statements_is_compiled(statements: int, compiled: bool) -> None:
    assert should_use_vm_for_node(parse("1;" * statements)) is compiled


def test_program_of_as_many_lines_as_the_threshold_is_compiled() -> None:
    evaluator = Evaluator(config=LanguageConfig(compiler_line_threshold=3))
    assert not evaluator.should_use_vm(parse("1;\n2"))
    assert evaluator.should_use_vm(parse("1;\n2;\n3"))
    assert evaluator._should_use_vm(parse("1;\n2;\n3"))  # the seed's name for it


@pytest.mark.parametrize(
    "evaluator", [Evaluator(use_vm=False), Evaluator(config=LanguageConfig(use_hybrid_compiler=False))]
)
def test_nothing_is_compiled_where_that_is_switched_off(evaluator: Evaluator) -> None:
    env = Environment()
    assert evaluator.evaluate(f"{LOOP}{LARGE} large(s)", env) == 11
    assert evaluator.get_vm_stats() == stats(direct=1)


def test_small_program_is_evaluated_directly() -> None:
    evaluator = Evaluator()
    assert evaluator.evaluate("let x = 1; x + 1", Environment()) == 2
    assert evaluator.get_vm_stats() == stats(direct=1)


def test_large_program_runs_as_bytecode() -> None:
    evaluator = Evaluator()
    assert evaluator.evaluate("1;" * 20 + "2", Environment()) == 2
    assert evaluator.get_vm_stats() == stats(compiles=1, executions=1)


def test_loop_runs_as_bytecode_between_statements_that_are_evaluated() -> None:
    evaluator = Evaluator()
    assert evaluator.evaluate(f"{LOOP} s", Environment()) == 10
    assert evaluator.get_vm_stats() == stats(compiles=1, executions=1, direct=2)


def test_program_is_compiled_once() -> None:
    evaluator, env, program = Evaluator(), Environment(), parse("1;" * 20)
    for _ in range(3):
        evaluator.evaluate(program, env)
    assert evaluator.get_vm_stats() == stats(compiles=1, executions=3)


def test_program_is_lowered_again_when_its_environment_hides_a_builtin() -> None:
    evaluator, env, program = Evaluator(), Environment(), parse("len([1, 2])")
    assert evaluator.evaluate(program, env) == 2
    env["len"] = lambda _: 7
    assert evaluator.evaluate(program, env) == 7


def test_hot_program_is_compiled_further() -> None:
    evaluator, env, program = Evaluator(jit_threshold=3), Environment(), parse("1;" * 20)
    for _ in range(6):
        evaluator.evaluate(program, env)
    assert evaluator.vm.get_jit_stats()["jit_executions"] == 3


# What cannot be compiled


def test_what_cannot_be_compiled_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator()
    monkeypatch.setattr(evaluator._compiler, "compile_core", refuse)
    assert evaluator.evaluate(f"{LOOP} s", Environment()) == 10
    assert evaluator.get_vm_stats() == stats(fallbacks=1, direct=1)


def test_what_cannot_be_compiled_is_an_error_where_nothing_else_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator(config=LanguageConfig(fallback_to_interpreter=False))
    monkeypatch.setattr(evaluator._compiler, "compile_core", refuse)
    with pytest.raises(LanguageError):
        evaluator.evaluate(f"{LOOP} s", Environment())


def test_program_with_more_constants_than_bytecode_may_have_is_evaluated() -> None:
    evaluator = Evaluator()
    source = "let s = 0;\n" + "\n".join(f"s += {number};" for number in range(1, 5_000))
    assert evaluator.evaluate(f"{source}\ns", Environment()) == 12_497_500
    assert evaluator.get_vm_stats() == stats(fallbacks=1, direct=1)


def test_error_of_a_program_is_no_reason_to_run_it_again() -> None:
    evaluator, notes = Evaluator(), []
    with pytest.raises(DivisionByZero):
        evaluator.evaluate("while (true) { note(1); 1 / 0; }", Environment({"note": notes.append}))
    assert notes == [1]
    assert evaluator.get_vm_stats() == stats(compiles=1, executions=1)


# One run, whoever runs its pieces


@pytest.mark.parametrize("use_vm", [True, False])
def test_pieces_share_gas(use_vm: bool) -> None:
    env = Environment({"_gas_remaining": 1000})
    Evaluator(use_vm=use_vm).evaluate("GAS 1; while (true) { GAS 10; break; } GAS 100;", env)
    assert env["_gas_remaining"] == 889


@pytest.mark.parametrize("limit", [100, 150, 170, 400])
def test_gas_of_a_schedule_is_the_same_whatever_runs_how(limit: int) -> None:
    source = f"{LOOP}{LARGE}{SMALL} small(large(s)); for each x in [1, 2] {{ s += small(x); }} s"
    left = set()
    for use_vm in (True, False):
        env = Environment({"_gas_remaining": limit})
        try:
            result = Evaluator(use_vm=use_vm, gas_schedule=GasSchedule()).evaluate(source, env)
        except OutOfGas as error:
            result = str(error.places)
        left.add((result, env["_gas_remaining"]))
    assert len(left) == 1


def test_tasks_of_one_piece_wait_for_another_to_await_them() -> None:
    notes: list[Value] = []
    source = (
        "action f(n) { note(n); return n; }\nlet t = spawn f(1); while (true) { note(0); break; } await t; note(2);"
    )
    Evaluator().evaluate(source, Environment({"note": notes.append}))
    assert notes == [0, 1, 2]


def test_tasks_that_nobody_awaited_run_after_all_pieces() -> None:
    notes: list[Value] = []
    source = "action f(n) { note(n); }\nwhile (true) { spawn f(1); break; } spawn f(2); note(0);"
    Evaluator().evaluate(source, Environment({"note": notes.append}))
    assert notes == [0, 1, 2]


def test_function_of_either_kind_calls_one_of_the_other() -> None:
    evaluator = Evaluator()
    source = f"{SMALL}let large = action(n) {{ 1; 2; 3; 4; 5; return small(n) * 2; }};\nsmall(large(small(1)))"
    assert evaluator.evaluate(source, Environment()) == 7
    assert evaluator.get_vm_stats() == stats(compiles=1, executions=1, direct=1)


def test_calls_of_both_kinds_count_together() -> None:
    source = "action even(n) { 1; 2; 3; 4; 5; if (n == 0) { return 1; } return odd(n - 1); }\n"
    source += "action odd(n) { return even(n - 1); }\nodd(7)"
    assert Evaluator(limits=Limits(frames=9)).evaluate(source, Environment()) == 1
    with pytest.raises(CallDepthExceeded):
        Evaluator(limits=Limits(frames=8)).evaluate(source, Environment())


def test_error_has_its_places_whatever_ran_how() -> None:
    source = (
        "action f(x) {\n  1; 2; 3; 4; 5;\n  return 1 / x; }\naction g(x) {\n  return f(x); }\nwhile (true) {\n  g(0); }"
    )
    for text in (source, source.replace("while (true) {", "{")):
        found = []
        for use_vm in (True, False):
            with pytest.raises(DivisionByZero) as raised:
                Evaluator(use_vm=use_vm).evaluate(text, Environment())
            found.append([(name, tuple(place)) for name, place in raised.value.places])
        assert found[0] == found[1]
        assert [name for name, _ in found[0]] == ["f", "g", ""]


def test_function_that_came_as_bytecode_can_be_called() -> None:
    body = BytecodeBuilder().emit("LOAD_NAME", "n").emit("LOAD_NAME", "k").emit("ADD").emit("RETURN").build()
    env = Environment({"add": Function("add", ("n",), body), "k": 5})
    assert Evaluator().evaluate("let r = add(1); k = 10; r + add(2)", env) == 18


# Environments go on


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_closures_of_earlier_programs_share_their_variables(first: bool, second: bool) -> None:
    env = Environment()
    made = "let pair = (action(n) { return [action() { n += 1; return n; }, action() { return n; }]; })(0);"
    Evaluator(use_vm=first).evaluate(f"{made} while (true) {{ pair[0](); break; }}", env)
    assert Evaluator(use_vm=second).evaluate("for each i in range(3) { pair[0](); } pair[1]()", env) == 4


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_functions_of_earlier_programs_change_the_environments_variables(first: bool, second: bool) -> None:
    env = Environment()
    Evaluator(use_vm=first).evaluate("let n = 1; action add(x) { n += x; }", env)
    Evaluator(use_vm=second).evaluate("add(1); for each x in [1, 2] { add(x); }", env)
    assert env["n"] == 5


def test_large_function_of_an_earlier_program_runs_as_bytecode() -> None:
    evaluator, env = Evaluator(), Environment()
    evaluator.evaluate(LARGE, env)
    before = evaluator.get_vm_stats()["vm_executions"]
    assert evaluator.evaluate("large(1)", env) == 2
    assert evaluator.get_vm_stats()["vm_executions"] == before + 1


@pytest.mark.parametrize("source", ["while (true) { wrong(0); }", "wrong(0);" * 20, "wrong(0);"])
@pytest.mark.parametrize("use_vm", [True, False])
def test_error_in_a_function_of_an_earlier_program_has_its_place_there(source: str, use_vm: bool) -> None:
    evaluator, env = Evaluator(use_vm=use_vm), Environment()
    evaluator.evaluate("1;\naction wrong(x) {\n  return 1 / x; }", env)
    with pytest.raises(DivisionByZero) as raised:
        evaluator.evaluate(source, env)
    assert [(name, place.line) for name, place in raised.value.places] == [("wrong", 3), ("", 1)]


@pytest.mark.parametrize("source", ["while (true) { old(0); }", "old(0);" * 20, "old(0);"])
@pytest.mark.parametrize("use_vm", [True, False])
def test_function_of_an_earlier_program_keeps_its_place_beside_one_of_its_name(source: str, use_vm: bool) -> None:
    evaluator, env = Evaluator(use_vm=use_vm), Environment()
    evaluator.evaluate("1;\naction wrong(x) {\n  return 1 / x; }\nlet old = wrong;", env)
    with pytest.raises(DivisionByZero) as raised:
        evaluator.evaluate("action wrong(x) { return x; }\n" + source, env)
    assert [(name, place.line) for name, place in raised.value.places] == [("wrong", 3), ("", 2)]


def test_constant_of_an_earlier_program_stays_one() -> None:
    evaluator, env = Evaluator(), Environment()
    evaluator.evaluate("const k = 1;", env)
    with pytest.raises(LanguageError):
        evaluator.evaluate("k = 2;", env)
    assert evaluator.evaluate("let k = 3; k = 4; k", env) == 4
    assert evaluator.evaluate("k = 5; k", env) == 5


def test_child_has_its_own_declarations_and_shares_the_rest() -> None:
    outer = Environment({"x": 1, "y": 1})
    child = outer.child()
    Evaluator().evaluate("let x = 1; x = 2; y = 2; STATE.a = 3;", child)
    assert (outer["x"], child["x"], outer["y"]) == (1, 2, 2)
    assert outer["_blockchain_state"] == {"a": 3}


def test_temporaries_are_not_left() -> None:
    env = Environment()
    Evaluator().evaluate("let s = 0; for each x in [1, 2] { let y = x; s += y; }", env)
    assert env.variables == {"s": 3}


def test_single_statements_and_expressions_can_be_evaluated() -> None:
    evaluator, env = Evaluator(), Environment({"x": 2})
    program = parse("while (x < 10) { x = x * 2; } x + 1")
    assert evaluator.eval_with_vm_support(program.statements[0], env) is None
    assert evaluator.eval_with_vm_support(program.statements[1].value, env) == 17  # type: ignore[union-attr]
    assert evaluator.get_vm_stats() == stats(compiles=1, executions=1, direct=1)


def test_programs_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid, "_PROGRAMS_KEPT", 2)
    evaluator, env = Evaluator(), Environment()
    for number in range(5):
        evaluator.evaluate(f"while (true) {{ {number}; break; }}", env)
    assert len(evaluator._programs) == len(evaluator._compiled) == 2


def refuse(program: Any) -> Any:
    raise LanguageError(program.source, [])
