"""Which variable a name stands for: scopes, captures and cells, globals, and the errors of names."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_prozvm.bytecode import Bytecode
from vmloom_prozvm.errors import UnknownName
from vmloom_prozvm.language.diagnostics import LanguageError
from vmloom_prozvm.language.lowering import lower
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.values import Function
from vmloom_prozvm.vm import VM

from .compiling import compiled, errors, instructions, messages, run, shown

# Blocks


def test_block_hides_and_gives_back_the_outer_variable() -> None:
    assert run("let x = 1; let seen = []; { let x = 2; seen = seen + [x]; } seen + [x]") == [2, 1]


def test_initial_value_of_a_variable_sees_the_one_that_it_hides() -> None:
    assert run("let x = 1; let seen = 0; { let x = x + 1; seen = x; } [x, seen]") == [1, 2]


def test_assignment_in_a_block_reaches_the_outer_variable() -> None:
    assert run("let x = 1; { x = 2; } x") == 2


def test_blocks_beside_each_other_do_not_share_variables() -> None:
    assert run("let seen = []; { let x = 1; seen = seen + [x]; } { let x = 2; seen = seen + [x]; } seen") == [1, 2]


def test_name_after_its_block_is_the_environments_again() -> None:
    assert run("{ let x = 1; } x", x="outside") == "outside"


def test_variable_of_a_block_is_no_variable_of_the_environment() -> None:
    vm = VM()
    run("{ let inner = 1; } let outer = 2;", vm)
    assert "inner" not in vm.env
    assert vm.env["outer"] == 2


def test_name_in_a_function_after_a_block_with_the_same_name_is_the_global() -> None:
    assert run("let x = 1; action f() { { let x = 2; } return x; } f()") == 1


def test_for_each_has_a_variable_of_its_own() -> None:
    assert run("let item = 9; let sum = 0; for each item in [1, 2] { sum += item; } [item, sum]") == [9, 3]


# Functions


def test_parameter_hides_a_global() -> None:
    assert run("let x = 1; action f(x) { x = x + 1; return x; } [f(5), x]") == [6, 1]


def test_functions_see_globals_that_are_declared_after_them() -> None:
    assert run("action f() { return later; } let later = 3; f()") == 3


def test_functions_assign_globals() -> None:
    assert run("let count = 0; action up() { count += 1; } up(); up(); count") == 2


def test_functions_assign_names_of_the_environment() -> None:
    vm = VM()
    run("action set() { fresh = 4; } set();", vm)
    assert vm.env["fresh"] == 4


def test_actions_of_the_outermost_scope_are_there_before_anything_runs() -> None:
    even = "action even(n) { if (n == 0) { return true; } return odd(n - 1); }"
    odd = "action odd(n) { if (n == 0) { return false; } return even(n - 1); }"
    assert run(f"let answer = even(7); {even} {odd} answer") is False


def test_inner_action_sees_itself() -> None:
    inner = "action fac(k) { if (k < 2) { return 1; } return k * fac(k - 1); }"
    assert run(f"action outer(n) {{ {inner} return fac(n); }} outer(5)") == 120


def test_action_that_a_variable_names_at_once_sees_itself() -> None:
    inner = "let fac = action(k) { if (k < 2) { return 1; } return k * fac(k - 1); };"
    assert run(f"action outer(n) {{ {inner} return fac(n); }} outer(5)") == 120


def test_functions_have_names_of_their_own() -> None:
    program = lower(parse("action f() { action f() { } return action() { }; } let g = action() { };"))
    assert sorted(function.name for function in program.functions) == ["action~1", "action~2", "f", "f~2"]


# Closures


def test_closures_share_what_they_capture() -> None:
    counter = "action make() { let n = 0; return [action() { n += 1; return n; }, action() { return n; }]; }"
    assert run(f"{counter} let c = make(); let up = c[0]; up(); up(); [c[1](), make()[1]()]") == [2, 0]


def test_closure_sees_assignments_after_it_was_made() -> None:
    assert run("action f() { let x = 1; let read = action() { return x; }; x = 2; return read(); } f()") == 2


def test_closure_assigns_what_its_maker_sees() -> None:
    assert run("action f() { let x = 1; let set = action(v) { x = v; }; set(5); return x; } f()") == 5


def test_parameter_is_shared_with_closures() -> None:
    assert run("action f(x) { let set = action() { x += 1; }; set(); set(); return x; } f(1)") == 3


@pytest.mark.parametrize("change", ["", "i = i + 0;"])
def test_every_round_of_a_loop_has_variables_of_its_own(change: str) -> None:
    loop = f"for each i in [1, 2, 3] {{ {change} made = made + [action() {{ return i; }}]; }}"
    assert run(f"let made = []; {loop} [made[0](), made[1](), made[2]()]") == [1, 2, 3]


def test_variable_outside_a_loop_is_one_for_all_closures() -> None:
    loop = "while (n < 3) { made = made + [action() { return n; }]; n += 1; }"
    assert run(f"action f() {{ let made = []; let n = 0; {loop} return made[0](); }} f()") == 3


def test_capture_goes_through_functions_between() -> None:
    code = "action f(x) { return action() { return action() { x += 1; return x; }; }; } let g = f(1)(); g(); g()"
    assert run(code) == 3


def test_block_of_the_main_program_can_be_captured() -> None:
    assert run("let f = none; { let x = 1; f = action() { x += 1; return x; }; } f(); f()") == 3


def functions_of(bytecode: Bytecode) -> dict[str, Function]:
    found: dict[str, Function] = {}
    for constant in bytecode.constants:
        if isinstance(constant, Function):
            found |= {constant.name: constant} | functions_of(constant.bytecode)
    return found


@pytest.mark.parametrize(
    ("body", "has_cell"),
    [
        ("let x = 1; return action() { return x; };", False),
        ("return action() { return p; };", False),
        ("let x = 1; x = 2; return x;", False),
        ("let x = 1; x = 2; return action() { return x; };", True),
        ("let x = [1]; x[0] = 2; return action() { return x; };", True),
        ("let x = 1; return action() { x = 2; };", True),
        ("p = 1; return action() { return p; };", True),
        ("action self() { return self; } return self;", True),
        ("return action() { return f; };", False),
    ],
)
def test_cells_only_where_a_captured_variable_changes(body: str, has_cell: bool) -> None:
    function = functions_of(compiled(f"action f(p) {{ {body} }}"))["f"]
    assert any(name == "NEW_CELL" for name, _ in function.bytecode.instructions) is has_cell


def test_captured_values_are_the_first_parameters() -> None:
    inner = functions_of(compiled("action f(x, y) { return action(z) { return x + y + z; }; }"))["action~1"]
    assert inner.parameters == ("x", "y", "z")


# Registers


def registers(code: str, name: str) -> list[str]:
    """What a function stores in, in order."""
    bytecode = functions_of(compiled(code))[name].bytecode
    return [
        shown(bytecode, instruction, operand).split()[1]
        for instruction, operand in bytecode.instructions
        if instruction == "STORE_NAME"
    ]


def test_variables_of_a_function_have_registers_of_their_own() -> None:
    assert registers("action f() { let x = 1; { let x = 2; } { let x = 3; } }", "f") == ["x", "x~2", "x~3"]


def test_register_is_no_global_that_the_function_uses() -> None:
    assert registers("let x = 1; action f() { { let x = 2; } return x; }", "f") == ["x~2"]
    assert registers("action f() { { let x = 2; } return x; }", "f") == ["x~2"]


def test_register_is_plain_where_the_function_does_not_use_the_global() -> None:
    assert registers("let x = 1; action f() { let x = 2; return x; }", "f") == ["x"]


def test_variables_of_the_outermost_scope_keep_their_names() -> None:
    assert instructions("let x = 1; { let x = 2; let y = 3; }") == [
        "LOAD_CONST 1",
        "STORE_NAME x",
        "LOAD_CONST 2",
        "STORE_NAME x~2",
        "LOAD_CONST 3",
        "STORE_NAME y~2",
    ]


# Names that nothing declares


def test_unknown_names_are_the_environments() -> None:
    assert run("f(x)", x=2, f=lambda value: value * 3) == 6
    with pytest.raises(UnknownName):
        run("missing")


def test_strict_names_refuses_unknown_names_with_a_hint() -> None:
    (error,) = errors("let balance = 1; blance + 1", strict_names=True)
    assert error.message == "nothing is called `blance`"
    assert error.hint == "did you mean `balance`?"
    assert error.span == (17, 23)


def test_strict_names_knows_builtins_parameters_and_later_globals() -> None:
    assert compiled("action f(a) { return len(a) + later; } let later = 1; f([])")
    assert messages("action f(a) { return lenn(a); }", strict_names=True) == ["nothing is called `lenn`"]


def test_strict_names_refuses_a_use_before_the_declaration() -> None:
    assert messages("x + 1; let x = 1;", strict_names=True) == ["`x` is used before its declaration"]


# Builtins


def test_variable_hides_a_builtin() -> None:
    assert run("action f(len) { return len(1); } f(action(x) { return x + 1; })") == 2
    assert run("let range = action(x) { return x; }; range(7)") == 7


def test_builtin_is_there_until_a_variable_hides_it() -> None:
    assert run("let n = len([1]); let len = 5; n + len") == 6


def test_known_names_of_the_environment_hide_builtins() -> None:
    program = lower(parse("len(1)"), known={"len"})
    assert type(program.body[0].value).__name__ == "Call"  # type: ignore[union-attr]
    assert type(lower(parse("len(1)")).body[0].value).__name__ == "Operate"  # type: ignore[union-attr]


def test_builtin_is_no_value() -> None:
    assert messages("let f = len;") == ["`len` is a builtin and can only be called"]
    assert messages("len = 1;") == ["`len` is a builtin and cannot be assigned"]
    assert messages("spawn len([])") == ["`len` is a builtin and cannot be spawned"]


# Errors


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("let x = 1; let x = 2;", ["`x` is declared twice in one scope"]),
        ("{ let x = 1; const x = 2; }", ["`x` is declared twice in one scope"]),
        ("action f() { } let f = 1;", ["`f` is declared twice in one scope"]),
        ("action f() { } action f() { }", ["`f` is declared twice in one scope"]),
        ("action f(x) { let x = 1; }", ["`x` is declared twice in one scope"]),
        ("for each i in [] { let i = 1; }", ["`i` is declared twice in one scope"]),
        ("action f(a, a) { }", ["two parameters are called `a`"]),
        ("const x = 1; x = 2;", ["`x` is a constant and cannot be assigned"]),
        ("const x = [1]; x[0] += 2;", ["`x` is a constant and cannot be assigned"]),
        ("const x = 1; action f() { x = 2; }", ["`x` is a constant and cannot be assigned"]),
        ("action f() { } f = 1;", ["`f` is an action and cannot be assigned"]),
        ("break;", ["`break` outside a loop"]),
        ("continue;", ["`continue` outside a loop"]),
        ("while (true) { action f() { break; } }", ["`break` outside a loop"]),
        ("return 1;", ["`return` outside an action"]),
        ("if (true) { return 1; }", ["`return` outside an action"]),
        ("action f(a) { } f();", ["`f` takes 1 argument, not 0"]),
        ("f(1); action f() { }", ["`f` takes 0 arguments, not 1"]),
        ("let f = action(a, b) { }; f(1);", ["`f` takes 2 arguments, not 1"]),
        ("spawn f(1); action f() { }", ["`f` takes 0 arguments, not 1"]),
        ("len();", ["`len` takes 1 argument, not 0"]),
        ("range(1, 2, 3);", ["`range` takes 1 or 2 arguments, not 3"]),
        ("action f(a: intt) { }", ["there is no type `intt`"]),
        ("action f() -> strr { }", ["there is no type `strr`"]),
        ("let f = action(a: nothing) { };", ["there is no type `nothing`"]),
        ("BLOCK.nummber", ["a block has no field `nummber`"]),
        ("{ export action f() { } }", ["only an action of the outermost scope can be exported"]),
    ],
)
def test_errors_of_meaning_are_found_before_anything_runs(code: str, expected: list[str]) -> None:
    assert messages(code) == expected


def test_actions_nested_too_deep_are_one_error() -> None:
    def nested(levels: int) -> str:
        return "let f = action() { " * levels + "let x = 1;" + " };" * levels

    assert compiled(nested(8))
    (error,) = errors(nested(10))
    assert error.message == "actions nested deeper than 8"
    assert nested(10)[: error.span.start].count("{") == 8


def test_variable_that_is_assigned_later_has_no_known_parameters() -> None:
    assert run("let f = action() { return 1; }; f = action(a) { return a; }; f(2)") == 2


def test_all_errors_are_reported_in_the_order_of_the_source() -> None:
    found = errors("let a = 1; let a = 2;\nbreak;\nf(1); action f() { } BLOCK.x;")
    assert [error.span.start for error in found] == sorted(error.span.start for error in found)
    assert len(found) == 4


def test_error_of_a_second_declaration_names_the_first() -> None:
    (error,) = errors("let x = 1;\nlet x = 2;")
    assert error.note is not None
    assert error.note.span == (4, 5)
    assert error.hint == "to change it, leave out `let`"


def test_constants_of_earlier_programs_cannot_be_assigned() -> None:
    with pytest.raises(LanguageError, match="`x` is a constant"):
        lower(parse("x = 2;"), known={"x"}, constants={"x"})
    assert lower(parse("let x = 2;"), known={"x"}, constants={"x"}).globals == ("x",)


@pytest.mark.parametrize(
    ("code", "declared", "constants"),
    [
        ("let x = 1; const y = 2; action f() { } { let z = 3; }", {"f", "x", "y"}, {"f", "y"}),
        ("x + 1", set(), set()),
    ],
)
def test_program_says_what_it_declares(code: str, declared: Any, constants: Any) -> None:
    program = lower(parse(code))
    assert set(program.globals) == declared
    assert program.constants == constants
