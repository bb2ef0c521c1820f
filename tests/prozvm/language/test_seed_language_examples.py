"""The examples of the language's first description, as they stand there but for the paths of the imports.

Each example is followed by what its comments promise.
"""

from __future__ import annotations

import importlib

import pytest
import vmloom_prozvm.language

LISTING = """\
Bytecode Object (7 instructions, 4 constants)
============================================================

Constants:
    0: 10
    1: 'x'
    2: 20
    3: 'y'

Instructions:
     0  LOAD_CONST            0
     1  STORE_NAME            1
     2  LOAD_CONST            2
     3  STORE_NAME            3
     4  LOAD_NAME             1
     5  LOAD_NAME             3
     6  ADD                 
"""  # noqa: W291  # the description's own


def test_for_interpreter_users() -> None:
    from vmloom_prozvm.language.environment import Environment
    from vmloom_prozvm.language.evaluator import evaluate
    from vmloom_prozvm.language.lexer import Lexer
    from vmloom_prozvm.language.parser import UltimateParser

    code = """
let x = 10 + 5;
let y = x * 2;
y
"""

    lexer = Lexer(code)
    parser = UltimateParser(lexer)
    program = parser.parse_program()
    env = Environment()

    # With VM support (default, automatic)
    result = evaluate(program, env, use_vm=True)
    assert result == 30

    # Without VM (pure interpretation)
    result = evaluate(program, env, use_vm=False)
    assert result == 30


def test_for_compiler_users() -> None:
    from vmloom_prozvm.language.compiler import ZexusCompiler

    code = "let x = 10 + 5;"

    compiler = ZexusCompiler(code)
    bytecode = compiler.compile()

    if not compiler.errors:
        result = compiler.run_bytecode(debug=False)

    assert bytecode is not None
    assert result is None


def test_checking_vm_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    from vmloom_prozvm.language.environment import Environment
    from vmloom_prozvm.language.evaluator import Evaluator
    from vmloom_prozvm.language.parser import parse

    evaluator = Evaluator(use_vm=True)
    env = Environment()

    # ... execute some code ...
    evaluator.eval_with_vm_support(parse("let n = 0; while (n < 3) { n += 1; } n"), env)
    evaluator.eval_with_vm_support(parse("n + 1"), env)

    stats = evaluator.get_vm_stats()
    print(stats)

    assert set(stats) == {"bytecode_compiles", "vm_executions", "vm_fallbacks", "direct_evals"}
    assert stats["bytecode_compiles"] >= 1
    assert stats["vm_executions"] >= 1
    assert stats["direct_evals"] >= 1
    assert stats["vm_fallbacks"] == 0
    assert capsys.readouterr().out == f"{stats}\n"


def test_viewing_bytecode_disassembly(capsys: pytest.CaptureFixture[str]) -> None:
    from vmloom_prozvm.language.bytecode_compiler import EvaluatorBytecodeCompiler
    from vmloom_prozvm.language.lexer import Lexer
    from vmloom_prozvm.language.parser import UltimateParser

    code = "let x = 10; let y = 20; x + y"

    lexer = Lexer(code)
    parser = UltimateParser(lexer)
    program = parser.parse_program()

    compiler = EvaluatorBytecodeCompiler()
    bytecode = compiler.compile(program)

    if bytecode:
        print(bytecode.disassemble())

    assert capsys.readouterr().out == LISTING


@pytest.mark.parametrize("name", vmloom_prozvm.language.__all__)
def test_public_names_are_in_the_package(name: str) -> None:
    found = getattr(vmloom_prozvm.language, name)
    assert getattr(importlib.import_module(found.__module__), name) is found


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        vmloom_prozvm.language.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("let a = 2; const b = 3; a ** b", 8),
        ("7 % 4 + 1 - 2 * 3 / 2", 1),
        ("1 != 2 && !(3 > 4) || false", True),
        ("let r = 0; if (1 <= 2) { r = 1; } else { r = 2; } r", 1),
        ("let i = 0; while (i < 5) { i += 1; } i", 5),
        ("action add(a, b) { return a + b; } add(2, 3)", 5),
        ('[1, {"k": 2}][1]["k"]', 2),
        ("{ let x = 1; } 2", 2),
        ("let s = 0; for each x in [1, 2, 3] { s += x; } s", 6),
    ],
)
@pytest.mark.parametrize("use_vm", [True, False])
def test_features_that_the_description_lists(code: str, value: object, use_vm: bool) -> None:
    from vmloom_prozvm.language.environment import Environment
    from vmloom_prozvm.language.evaluator import evaluate
    from vmloom_prozvm.language.parser import parse

    assert evaluate(parse(code), Environment(), use_vm=use_vm) == value
