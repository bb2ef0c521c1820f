"""Bytecode from the core tree: the instructions of each node, and the compilers that people use."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from vmloom_prozvm.bytecode import Bytecode, assemble, pack, unpack
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.errors import DivisionByZero
from vmloom_prozvm.language import core
from vmloom_prozvm.language.bytecode_compiler import (
    EvaluatorBytecodeCompiler,
    compile_function,
    compile_program,
    statement_indices,
)
from vmloom_prozvm.language.compiler import Compiler, ZexusCompiler
from vmloom_prozvm.language.diagnostics import LanguageError
from vmloom_prozvm.language.lowering import lower
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.language.sourcemap import SourceMap
from vmloom_prozvm.language.tree import Source, Span
from vmloom_prozvm.values import Function
from vmloom_prozvm.vm import VM

from .compiling import compiled, instructions, run
from .sources import sources

HERE = Span(0, 0)
A, B, C = (core.Load(HERE, name) for name in "abc")
ONE = core.Constant(HERE, 1)
TRUE, FALSE = "LOAD_CONST True", "LOAD_CONST False"


def sequence(*body: core.Statement) -> list[str]:
    """The instructions of a body; jumps as they are."""
    return instructions(compile_program(core.CoreProgram(body, (), (), frozenset(), Source(""), HERE)))


def of_expression(node: core.Expression) -> list[str]:
    return sequence(core.Result(HERE, node))


# Nodes


def test_plain_expressions() -> None:
    assert of_expression(ONE) == ["LOAD_CONST 1"]
    assert of_expression(A) == ["LOAD_NAME a"]
    assert of_expression(core.Operate(HERE, Opcode.ADD, (A, B))) == ["LOAD_NAME a", "LOAD_NAME b", "ADD"]
    assert of_expression(core.Operate(HERE, Opcode.BLOCK, (), "number")) == ["BLOCK number"]
    assert of_expression(core.Operate(HERE, Opcode.BUILD_LIST, (A, ONE), 2))[-1] == "BUILD_LIST 2"


def test_calls() -> None:
    assert of_expression(core.Call(HERE, "f", (A, B))) == ["LOAD_NAME a", "LOAD_NAME b", "CALL_NAME f 2"]
    assert of_expression(core.CallValue(HERE, C, (A, B))) == ["LOAD_NAME a", "LOAD_NAME b", "LOAD_NAME c", "CALL_TOP 2"]


def test_lambda() -> None:
    function = core.CoreFunction("f", (), ("x",), (), HERE)
    assert of_expression(core.Lambda(HERE, function)) == ["LOAD_CONST f"]
    closure = core.CoreFunction("g", ("a", "b"), ("x",), (), HERE)
    assert of_expression(core.Lambda(HERE, closure, (A, B))) == ["LOAD_NAME a", "LOAD_NAME b", "CLOSURE g 2"]


def test_both() -> None:
    tests = ["LOAD_NAME a", "JUMP_IF_FALSE 6", "LOAD_NAME b", "JUMP_IF_FALSE 6"]
    assert of_expression(core.Both(HERE, A, B)) == [*tests, TRUE, "JUMP 7", FALSE]


def test_either() -> None:
    left = ["LOAD_NAME a", "JUMP_IF_FALSE 4", TRUE, "JUMP 7"]
    assert of_expression(core.Either(HERE, A, B)) == [*left, "LOAD_NAME b", "NOT", "NOT"]


def test_coalesce() -> None:
    left = ["LOAD_NAME a", "DUP", "LOAD_CONST None", "NEQ", "JUMP_IF_FALSE 6", "JUMP 8"]
    assert of_expression(core.Coalesce(HERE, A, B)) == [*left, "POP", "LOAD_NAME b"]


def test_plain_statements() -> None:
    assert sequence(core.Store(HERE, "a", ONE)) == ["LOAD_CONST 1", "STORE_NAME a"]
    assert sequence(core.StoreGlobal(HERE, "a", ONE)) == ["LOAD_CONST 1", "STORE_GLOBAL a"]
    assert sequence(core.Do(HERE, A)) == ["LOAD_NAME a", "POP"]
    assert sequence(core.Return(HERE, A)) == ["LOAD_NAME a", "RETURN"]
    assert sequence(core.Result(HERE, A)) == ["LOAD_NAME a"]
    assert sequence(core.Effect(HERE, Opcode.GAS_CHARGE, (), 7)) == ["GAS_CHARGE 7"]
    assert sequence(core.Effect(HERE, Opcode.CELL_WRITE, (A, B))) == ["LOAD_NAME a", "LOAD_NAME b", "CELL_WRITE"]


def test_if() -> None:
    then, other = core.Do(HERE, B), core.Do(HERE, C)
    assert sequence(core.If(HERE, A, (then,))) == ["LOAD_NAME a", "JUMP_IF_FALSE 4", "LOAD_NAME b", "POP"]
    assert sequence(core.If(HERE, A, (then,), (other,))) == [
        *("LOAD_NAME a", "JUMP_IF_FALSE 5", "LOAD_NAME b", "POP", "JUMP 7"),
        *("LOAD_NAME c", "POP"),
    ]
    assert sequence(core.If(HERE, A, (), (other,))) == [
        *("LOAD_NAME a", "JUMP_IF_FALSE 3", "JUMP 5"),
        *("LOAD_NAME c", "POP"),
    ]


def test_loops_and_labels() -> None:
    body = (core.Labelled(HERE, 2, (core.Leave(HERE, 2), core.Do(HERE, B))), core.Leave(HERE, 1))
    assert sequence(core.While(HERE, A, body, 1)) == [
        *("LOAD_NAME a", "JUMP_IF_FALSE 7"),
        *("JUMP 5", "LOAD_NAME b", "POP", "JUMP 7"),
        "JUMP 0",
    ]


def test_constants_are_shared_in_a_body() -> None:
    bytecode = compiled('let x = 1; let y = 1; let z = true; let s = "x"; x + 1')
    assert bytecode.constants == [1, "x", "y", True, "z", "s"]


def test_long_chains_take_no_recursion() -> None:
    node: core.Expression = A
    for _ in range(20_000):
        node = core.Operate(HERE, Opcode.ADD, (node, ONE))
    assert len(of_expression(node)) == 40_001


def test_indices_of_statements() -> None:
    program = lower(parse("let x = 1; while (x < 3) { x += 1; } x"))
    assert statement_indices(program) == (0, 2, 11, 12)
    assert len(compile_program(program)) == 12


# Functions


def test_function_has_its_tree_and_is_made_once() -> None:
    program = lower(parse("action f(a, b) { return a + b; }"))
    (function,) = program.functions
    made = compile_function(function)
    assert (made.name, made.parameters, made.tree) == ("f", ("a", "b"), function)
    assert compile_function(function) is made
    assert made in compile_program(program).constants
    assert compile_function(function, program.source).bytecode.metadata["source_map"]


def test_functions_of_the_compiler_are_called_by_later_programs() -> None:
    vm = VM()
    run("let n = 1; action f(x) { n += x; return n; } let g = action(x) { return f(x) * 10; };", vm)
    assert run("f(1) + g(1)", vm) == 32
    assert vm.env["n"] == 3


# EvaluatorBytecodeCompiler


def test_compile_keeps_errors_and_forgets_those_before() -> None:
    compiler = EvaluatorBytecodeCompiler()
    assert compiler.compile(parse("let x = 1; let x = 2;")) is None
    assert [error.message for error in compiler.errors] == ["`x` is declared twice in one scope"]
    assert compiler.compile(parse("let x = 1;")) is not None
    assert compiler.errors == []


@pytest.mark.parametrize("source_map", [False, True])
def test_programs_survive_a_container(source_map: bool) -> None:
    code = "action f(x) { return action() { x += 1; return x; }; } let m = {1: [f(1)]}; m[1][0]()"
    bytecode = compiled(code, source_map=source_map)
    assert unpack(pack(bytecode)) == bytecode
    assert VM().execute(unpack(pack(bytecode))) == 2


def test_programs_survive_their_listing() -> None:
    bytecode = compiled("action f(x) { return x ?? 1; } let s = []; for each i in [1] { s = s + [f(i)]; } s")
    assert assemble(bytecode.disassemble()) == bytecode


def test_too_many_parameters_are_an_error_with_a_place() -> None:
    parameters = ", ".join(f"p{number}" for number in range(65))
    compiler = EvaluatorBytecodeCompiler()
    assert compiler.compile(parse(f"action f() {{ return action({parameters}) {{ }}; }}")) is None
    assert compiler.errors[0].message == "too large to compile: 65 parameters; the limit is 64"


def test_too_many_names_are_an_error() -> None:
    code = "".join(f"let v{number} = {number};" for number in range(1025))
    compiler = EvaluatorBytecodeCompiler()
    assert compiler.compile(parse(code)) is None
    assert compiler.errors[0].message == "too large to compile: 1025 names; at most 1024 are allowed"


def test_deepest_tree_compiles() -> None:
    for code in (
        "-" * 49 + "(-" * 49 + "x" + ")" * 49,
        "x ** " * 98 + "x",
        " + ".join(["x"] * 99),
        "if (x) { " * 90 + "}" * 90,
        "if (x) { } else " * 90 + "{ }",
        "[" * 98 + "]" * 98,
    ):
        assert compiled(code)


@settings(max_examples=40, deadline=None)
@given(sources())
def test_programs_at_random_compile_to_the_same_containers_with_a_place_for_everything(code: str) -> None:
    compiler = EvaluatorBytecodeCompiler(source_map=True)
    bytecode = compiler.compile(parse(code))
    if bytecode is None:
        assert compiler.errors[0].message.startswith("too large to compile")
        return
    assert bytecode == compiled(code, source_map=True)
    assert unpack(pack(bytecode)) == bytecode
    known = SourceMap(bytecode)
    lines = code.count("\n") + 1
    for name, body in bodies(bytecode):
        assert all(1 <= (known.line_of(name, index) or 0) <= lines for index in range(len(body)))


def bodies(bytecode: Bytecode, name: str = "") -> Iterator[tuple[str, Bytecode]]:
    """The program and its functions that have instructions."""
    if len(bytecode):
        yield name, bytecode
    for constant in bytecode.constants:
        if isinstance(constant, Function):
            yield from bodies(constant.bytecode, constant.name)


def test_deep_sources_leave_room_on_pythons_stack() -> None:
    limit = sys.getrecursionlimit()
    program = parse("for each i in [] { " * 96 + "}" * 96)
    begun = len(inspect.stack(0))
    sys.setrecursionlimit(begun + 450)
    try:
        assert EvaluatorBytecodeCompiler().compile(program)
    finally:
        sys.setrecursionlimit(limit)


# ZexusCompiler


def test_compiler_runs_what_it_compiled() -> None:
    compiler = ZexusCompiler("let x = 10 + 5; x * 2")
    bytecode = compiler.compile()
    assert not compiler.errors
    assert compiler.bytecode is bytecode
    assert compiler.run_bytecode(debug=False) == 30


def test_compiler_runs_at_once() -> None:
    assert Compiler is ZexusCompiler
    assert Compiler("1 + 1").run_bytecode() == 2


def test_compiler_runs_on_a_given_workbench() -> None:
    vm = VM()
    vm.env["x"] = 4
    assert ZexusCompiler("x + 1").run_bytecode(vm=vm) == 5


def test_debug_prints_the_listing(capsys: pytest.CaptureFixture[str]) -> None:
    ZexusCompiler("1 + 1").run_bytecode(debug=True)
    assert "LOAD_CONST" in capsys.readouterr().out


@pytest.mark.parametrize("code", ["let = 1;", "let x = 1; let x = 2;"])
def test_compiler_keeps_errors(code: str) -> None:
    compiler = ZexusCompiler(code, "token.proz")
    assert compiler.compile() is None
    assert len(compiler.errors) == 1
    with pytest.raises(LanguageError, match=r"token\.proz:1:"):
        compiler.run_bytecode()


def test_strict_compiler_refuses_unknown_names() -> None:
    assert ZexusCompiler("print(1);").compile() is not None
    compiler = ZexusCompiler("print(1);", strict_names=True)
    assert compiler.compile() is None
    assert compiler.errors[0].message == "nothing is called `print`"


def test_error_of_a_run_notes_where_in_the_source() -> None:
    with pytest.raises(DivisionByZero) as caught:
        ZexusCompiler("let x = 0;\n1 / x", "sums.proz").run_bytecode()
    (note,) = caught.value.__notes__
    assert "sums.proz:2:1: error:" in note
    assert "1 / x" in note


def test_function_constants_are_functions() -> None:
    assert isinstance(compiled("action f() { }").constants[0], Function)
