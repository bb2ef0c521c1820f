"""What each construct of the language does: the order of its computations, and what sugar stands for."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.errors import DivisionByZero, OutOfGas, ProzError, TypeMismatch, UserRevert
from vmloom_prozvm.language import core
from vmloom_prozvm.language.builtins import BUILTINS
from vmloom_prozvm.language.lowering import lower
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.vm import VM

from .compiling import instructions, messages, run

NOTES = "let notes = []; action note(what, value) { notes = notes + [what]; return value; }"
"""`note(what, value)` gives the value, and `notes` are in which order it was called."""


def noted(code: str) -> Any:
    """The order in which `code` called `note`."""
    return run(f"{NOTES} {code}; notes")


# Expressions


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("7 / 2 * 2 + 7 % 2", 7),
        ("-7 / 2", -4),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512),
        ("1 - 2 - 3", -4),
        ("!0", True),
        ("!!5", True),
        ("1 == true", False),
        ("1 < 2 == true", True),
        ('"a" + "b"', "ab"),
        ('hex"c0ff" + hex"ee"', b"\xc0\xff\xee"),
        ("[1, [2]][1][0]", 2),
        ('({"a": 1, 2: "b"})[2]', "b"),
        ('({"a": 1})["b"]', None),
        ('({"a": 1})["b"] ?? 5', 5),
        ("0 ?? 5", 0),
        ("none ?? none ?? 3", 3),
        ("1 && 2", True),
        ("0 || none", False),
        ("0xff + 1_000", 1255),
    ],
)
def test_expressions(code: str, value: Any) -> None:
    result = run(code)
    assert result == value
    assert type(result) is type(value)


def test_minus_before_a_number_is_a_constant() -> None:
    assert instructions("-5") == ["LOAD_CONST -5"]


@pytest.mark.parametrize(
    ("code", "order"),
    [
        ("note(1, 5) + note(2, 5)", [1, 2]),
        ("[note(1, 5), note(2, 5)]", [1, 2]),
        ("({note(1, 5): note(2, 5)})", [1, 2]),
        ("note(1, [5])[note(2, 0)]", [1, 2]),
        ("note(note(1, 2), note(3, 4))", [1, 3, 2]),
        ("[note][note(1, 0)](note(2, 5), note(3, 5))", [2, 3, 1, 5]),
        ("note(1, true) && note(2, true)", [1, 2]),
        ("note(1, false) && note(2, true)", [1]),
        ("note(1, true) || note(2, true)", [1]),
        ("note(1, none) ?? note(2, 1)", [1, 2]),
        ("note(1, false) ?? note(2, 1)", [1]),
        ("let x = [[0]]; x[note(1, 0)][note(2, 0)] = note(3, 5)", [1, 2, 3]),
        ("let x = [[0]]; x[note(1, 0)][note(2, 0)] += note(3, 5)", [1, 2, 3]),
        ("TX { STATE[note(1, 5)][note(2, 5)] = note(3, 5); }", [1, 2, 3]),
        ("TX { STATE[note(1, 5)][note(2, 5)] = 0; STATE[note(1, 5)][note(2, 5)] += note(3, 5); }", [1, 2, 1, 2, 3]),
    ],
)
def test_everything_is_computed_once_and_from_the_left(code: str, order: list[int]) -> None:
    assert noted(code) == order


def test_logic_of_settled_variables_and_constants_is_one_instruction() -> None:
    assert instructions("let a = 1; let b = 0; a && b")[-3:] == ["LOAD_NAME a", "LOAD_NAME b", "AND"]
    assert instructions("1 || 0") == ["LOAD_CONST 1", "LOAD_CONST 0", "OR"]


@pytest.mark.parametrize("code", ["a && b", "let a = 1; a && b", "let a = 1; a && b(1)", "1 && 2 / 0"])
def test_logic_of_anything_else_is_short(code: str) -> None:
    assert any(line.startswith("JUMP_IF_FALSE") for line in instructions(code))


def test_short_logic_spares_errors_on_the_right() -> None:
    assert run("false && 1 / 0") is False
    assert run("true || missing") is True
    assert run("1 ?? missing") == 1


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ('len("abc")', 3),
        ("len({})", 0),
        ('keys({"b": 1, "a": 2})', ["a", "b"]),
        ('items("ab")', ["a", "b"]),
        ("range(3)", [0, 1, 2]),
        ("range(2, 4)", [2, 3]),
        ("range(4, 2)", []),
        ("slice([1, 2, 3], 1, 3)", [2, 3]),
        ('contains("token", "ok")', True),
        ("contains([1, 2], true)", False),
        ("str(12)", "12"),
        ("str(none)", "none"),
        ('int("0x10")', 16),
        ("bytes(258, 2)", b"\x01\x02"),
        ('bytes("ab")', b"ab"),
        ("kind(1)", "integer"),
        ("decode(encode([1]))", [1]),
    ],
)
def test_builtins(code: str, value: Any) -> None:
    assert run(code) == value


def test_every_builtin_is_one_instruction() -> None:
    for name, builtin in BUILTINS.items():
        arguments = ", ".join(["1"] * len(builtin.parameters))
        *operands, last = instructions(f"{name}({arguments})")
        assert operands == ["LOAD_CONST 1"] * len(builtin.parameters)
        assert last == builtin.opcode.name


def test_signature_of_a_builtin_shows_what_can_be_left_out() -> None:
    assert BUILTINS["range"].signature == "range([begin], end)"
    assert BUILTINS["bytes"].signature == "bytes(value, [size])"


def test_long_collections_of_constants_are_constants() -> None:
    assert run(f"[{', '.join(map(str, range(3000)))}]") == list(range(3000))
    pairs = ", ".join(f'"{number}": [{number}]' for number in range(500))
    assert run(f"let m = {{{pairs}}}; m") == {str(number): [number] for number in range(500)}


def test_long_collections_of_anything_else_are_refused() -> None:
    (message,) = messages(f"[{', '.join(['x'] * 300)}]")
    assert message == "a list or map of more than 256 values that are not all constants"


def test_ledger_words() -> None:
    vm = VM()
    vm.env["_blockchain_state"] = {"a": 5}
    assert run('STATE.a + STATE["a"]', vm) == 10
    assert run('let key = "a"; STATE[key]', vm) == 5
    run('TX { STATE.b = 1; STATE.b += 2; STATE.c["x"][hex"01"] = 7; STATE.c["x"][hex"01"] *= 2; }', vm)
    assert run('[STATE.b, STATE.c["x"][hex"01"], STATE.c["y"]]', vm) == [3, 14, None]
    assert len(run("HASH([1])")) == 64
    assert run("MERKLE(1, 2) == MERKLE(1, 2)") is True
    run('LEDGER({"what": 1});', vm)
    assert vm.env["_ledger"][0]["what"] == 1


def test_words_of_the_call_are_their_instructions() -> None:
    assert instructions("[CALLER, ADDRESS, VALUE, INPUT, BLOCK.number, CALL(1, 2, 3)]") == [
        "CALLER",
        "ADDRESS",
        "VALUE",
        "INPUT",
        "BLOCK number",
        "LOAD_CONST 1",
        "LOAD_CONST 2",
        "LOAD_CONST 3",
        "CALL_CONTRACT",
        "BUILD_LIST 6",
    ]
    assert instructions("EMIT([1], 2);") == ["LOAD_CONST 1", "BUILD_LIST 1", "LOAD_CONST 2", "EMIT"]
    assert instructions("VERIFY_SIG(1, 2, 3)")[-1] == "VERIFY_SIGNATURE"


def test_key_that_the_source_has_is_in_the_instruction() -> None:
    assert instructions("STATE.a") == instructions('STATE["a"]') == ["STATE_READ a"]
    assert instructions("STATE[1]") == ["LOAD_CONST 1", "STATE_READ_AT 1"]
    assert instructions("STATE.a.b = 1;") == ["LOAD_CONST a", "LOAD_CONST b", "LOAD_CONST 1", "STATE_WRITE_AT 2"]


def test_tasks() -> None:
    assert run("action f(a, b) { return a * b; } let t = spawn f(6, 7); await t") == 42
    assert run("await spawn f(1)  ; action f(x) { return x; } await (spawn f(2))") == 2


# Statements


def test_value_of_a_program_is_its_last_expression() -> None:
    assert run("1; 2; 3") == 3
    assert run("1; let x = 2;") is None
    assert run("1; action f() { }") is None
    assert run("1; { 2 }") is None
    assert run("") is None


def test_function_without_return_gives_none() -> None:
    assert run("action f() { 1; } f()") is None
    assert run("action f() { return; } f()") is None


@pytest.mark.parametrize(("x", "value"), [(1, "one"), (2, "two"), (3, "more")])
def test_if(x: int, value: str) -> None:
    code = 'let r = ""; if (x == 1) { r = "one"; } else if (x == 2) { r = "two"; } else { r = "more"; } r'
    assert run(code, x=x) == value


def test_while_with_break_and_continue() -> None:
    body = "i += 1; if (i == 2) { continue; } if (i == 5) { break; } seen = seen + [i];"
    assert run(f"let i = 0; let seen = []; while (true) {{ {body} }} seen") == [1, 3, 4]


def test_inner_loops_leave_themselves_only() -> None:
    inner = "for each b in [1, 2, 3] { if (b == 2) { break; } seen = seen + [a * b]; }"
    assert run(f"let seen = []; for each a in [1, 2] {{ {inner} continue; }} seen") == [1, 2]


@pytest.mark.parametrize(
    ("collection", "items"),
    [
        ("[1, 2]", [1, 2]),
        ('{"b": 1, "a": 2}', ["a", "b"]),
        ('"ab"', ["a", "b"]),
        ('hex"0102"', [1, 2]),
        ("[]", []),
        ("range(2)", [0, 1]),
    ],
)
def test_for_each(collection: str, items: list[Any]) -> None:
    assert run(f"let seen = []; for each item in {collection} {{ seen = seen + [item]; }} seen") == items


def test_for_each_goes_through_what_was_there_at_the_beginning() -> None:
    assert run("let xs = [1, 2]; for each x in xs { xs = xs + [x]; } xs") == [1, 2, 1, 2]
    assert run("let n = 0; for each x in [1, 2] { x = 9; n += x; } n") == 18


def test_for_each_needs_a_collection() -> None:
    with pytest.raises(TypeMismatch):
        run("for each x in 5 { }")


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("let x = 7; x += 2; x", 9),
        ("let x = 7; x -= 2; x", 5),
        ("let x = 7; x *= 2; x", 14),
        ("let x = 7; x /= 2; x", 3),
        ("let x = 7; x %= 2; x", 1),
        ("let x = [1, 2]; x[0] = 5; x", [5, 2]),
        ("let x = [1, 2]; x[1] += 5; x", [1, 7]),
        ('let x = {}; x["a"] = 1; x', {"a": 1}),
        ('let x = {"a": {"b": 1}}; x["a"]["b"] = 2; x', {"a": {"b": 2}}),
        ('let x = {"a": {"b": 1}}; x["a"]["b"] -= 2; x', {"a": {"b": -1}}),
        ("let x = [[[1, 2], [3]]]; x[0][1][0] = 9; x", [[[1, 2], [9]]]),
        ("let x = [[[1, 2], [3]]]; x[0][0][1] *= 9; x", [[[1, 18], [3]]]),
        ("let x = [1]; let y = x; x[0] = 2; [x, y]", [[2], [1]]),
        ("let x = [0, 1]; x[x[1]] = x[0] + 5; x", [0, 5]),
    ],
)
def test_assignment(code: str, value: Any) -> None:
    assert run(code) == value
    body = code.rpartition(";")
    assert run(f"action f() {{ {body[0]}; return {body[2]}; }} f()") == value
    shared = f"action f() {{ {body[0]}; let g = action() {{ return x; }}; return {body[2]}; }} f()"
    assert run(shared) == value


def test_value_that_changes_the_collection_is_computed_before_it_is_read() -> None:
    assert run("let x = [1, 2]; action f() { x = [7, 8]; return 9; } x[0] = f(); x") == [9, 8]
    assert run("let x = [[1, 2]]; action f() { x = [[7, 8]]; return 9; } x[0][0] = f(); x") == [[9, 8]]


def test_key_is_what_it_was_before_the_value_changed_it() -> None:
    assert run("let i = 0; let x = [1, 2]; action f() { i = 1; return 9; } x[i] = f(); x") == [9, 2]


def test_combined_assignment_reads_before_it_computes_the_value() -> None:
    assert run("let n = 1; action f() { n = 100; return 1; } n += f(); n") == 2
    assert run("let x = [1]; action f() { x = [100]; return 1; } x[0] += f(); x") == [2]


def test_indexed_assignment_of_plain_parts_takes_no_temporaries() -> None:
    assert instructions("let x = [1]; let i = 0; x[i] = i + 5;")[5:] == [
        "LOAD_NAME x",
        "LOAD_NAME i",
        "LOAD_NAME i",
        "LOAD_CONST 5",
        "ADD",
        "STORE_INDEX",
        "STORE_NAME x",
    ]


def test_assignment_with_many_keys_is_no_deep_tree() -> None:
    program = lower(parse(f"let x = [1]; x{'[0]' * 90} = 1;"))

    def depth(node: core.Node) -> int:
        inner = (node.value,) if isinstance(node, core.Store) else getattr(node, "operands", ())
        return 1 + max(map(depth, inner), default=0)

    assert max(map(depth, program.body)) <= 4


# Ledger statements


def state_after(code: str, **state: Any) -> Any:
    vm = VM()
    vm.env["_blockchain_state"] = dict(state)
    run(code, vm)
    return vm.env["_blockchain_state"]


def test_transaction_is_committed_at_its_end() -> None:
    assert instructions("TX { STATE.a = 1; }") == ["TX_BEGIN", "LOAD_CONST 1", "STATE_WRITE a", "TX_COMMIT"]
    assert state_after("TX { STATE.a = 1; }") == {"a": 1}


def test_revert_in_a_transaction_goes_to_its_end() -> None:
    assert state_after("TX { STATE.a = 1; REVERT; STATE.b = 2; } TX { STATE.c = 3; }") == {"c": 3}


def test_revert_leaves_the_innermost_transaction() -> None:
    code = "TX { STATE.a = 1; TX { STATE.b = 2; while (true) { REVERT; } } STATE.c = 3; }"
    assert state_after(code) == {"a": 1, "c": 3}


def test_return_break_and_continue_commit_what_they_leave() -> None:
    code = "action f() { TX { TX { STATE.a = 1; return STATE.a + 1; } } } TX { STATE.b = f(); }"
    assert state_after(code) == {"a": 1, "b": 2}
    loop = "for each i in [1, 2, 3] { TX { STATE.n += i; if (i == 1) { continue; } if (i == 2) { break; } } }"
    assert state_after(f"{loop} TX {{ STATE.end = 1; }}", n=0) == {"n": 3, "end": 1}


def test_loop_inside_a_transaction_commits_nothing() -> None:
    assert state_after("TX { while (true) { STATE.a = 1; break; } REVERT; }") == {}


def test_revert_outside_of_a_transaction_ends_the_program() -> None:
    with pytest.raises(UserRevert) as caught:
        run("REVERT; 1 / 0")
    assert caught.value.output is None


def test_revert_with_a_reason_ends_the_program_anywhere() -> None:
    vm = VM()
    with pytest.raises(UserRevert) as caught:
        run('TX { STATE.a = 1; REVERT "no"; }', vm)
    assert caught.value.output == "no"
    assert vm.env.get("_blockchain_state", {}) == {}


def test_revert_in_a_function_is_not_of_the_transaction_around_its_call() -> None:
    with pytest.raises(UserRevert):
        run("action f() { REVERT; } TX { f(); }")


def test_require() -> None:
    assert run('require(1 < 2, "no"); 5') == 5
    with pytest.raises(UserRevert) as caught:
        run('let n = 3; require(n < 2, "not " + str(n)); 5')
    assert caught.value.output == "not 3"
    with pytest.raises(UserRevert):
        run("require(false);")


def test_reason_is_computed_only_if_it_is_needed() -> None:
    assert run("require(true, 1 / 0); 5") == 5
    with pytest.raises(DivisionByZero):
        run("require(false, 1 / 0);")


def test_gas_and_limit_charge() -> None:
    vm = VM()
    vm.env["_gas_remaining"] = 100
    assert run("GAS 30; LIMIT 50 { let x = 1; } 5", vm) == 5
    assert vm.env["_gas_remaining"] == 20


def test_block_that_cannot_be_paid_does_not_begin() -> None:
    vm = VM()
    vm.env["_gas_remaining"] = 100
    with pytest.raises(OutOfGas):
        run("seen = 0; LIMIT 101 { seen = 1; }", vm)
    assert vm.env["seen"] == 0


# The tree


def test_temporaries_are_used_again() -> None:
    code = "for each a in [1] { } for each b in [1] { for each c in [1] { } } for each d in [1] { }"
    program = lower(parse(code))
    stored = [node.register for node in program.body if isinstance(node, core.Store)]
    assert stored == ["~1", "~2"] * 3


def test_functions_of_a_program_are_listed_with_those_inside() -> None:
    program = lower(parse("action f() { return action() { return action() { }; }; }"))
    assert {function.name for function in program.functions} == {"f", "action~1", "action~2"}


def test_every_node_has_a_span_within_the_source() -> None:
    code = "let x = [1]; x[0] += 2; for each i in x { TX { STATE[i] = i; } } require(x, 1); x ?? 2 && !x"
    source = parse(code)
    pending: list[Any] = [*lower(source).body]
    while pending:
        node = pending.pop()
        assert 0 <= node.span.start <= node.span.end <= len(code)
        for name in node.__dataclass_fields__:
            value = getattr(node, name)
            pending += [
                part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, core.Node)
            ]


@pytest.mark.parametrize("code", ["1 / 0", "missing", "[1][5]", '"a" + 1', "f()"])
def test_errors_of_programs_are_errors_when_they_run(code: str) -> None:
    with pytest.raises(ProzError):
        run(code)


def test_gas_statement_is_the_instruction() -> None:
    (statement,) = lower(parse("GAS 7;")).body
    assert isinstance(statement, core.Effect)
    assert (statement.opcode, statement.operand) == (Opcode.GAS_CHARGE, 7)
