"""What is not allowed to run, with the place at fault, and what is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from vmloom.errors import CodeError
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, CodeLimits, function, stack_depths, verify
from vmloom_prozvm.bytecode.verify import DEEPEST_FUNCTIONS
from vmloom_prozvm.errors import Unverifiable
from vmloom_prozvm.values import Task, ValueLimits

from .strategies import programs

CONSTANTS = ("name", 1, function("f", ("a",), Bytecode()))


def code(*instructions: Any) -> Bytecode:
    return Bytecode([*CONSTANTS], [entry if isinstance(entry, tuple) else (entry, None) for entry in instructions])


def refusal(program: Bytecode, limits: CodeLimits | None = None, *, strict: bool = True) -> Unverifiable:
    with pytest.raises(Unverifiable) as caught:
        verify(program, limits or CodeLimits(), strict=strict)
    return caught.value


@given(programs())
def test_a_program_with_right_operands_is_allowed_whatever_is_unreachable(program: Bytecode) -> None:
    verify(program)


def test_an_empty_program_is_allowed() -> None:
    verify(Bytecode())
    assert stack_depths(Bytecode()) == [0]


# Form


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (("NOPE", None), "no such instruction"),
        (("LOAD_CONTS", 0), "did you mean LOAD_CONST"),
        (("ADD", 1), "ADD has no operand"),
        (("LOAD_CONST", None), "an integer as operand"),
        (("LOAD_CONST", (0, 0)), "an integer as operand"),
        (("LOAD_CONST", (0,)), "an integer as operand"),
        (("LOAD_CONST", True), "an integer as operand"),
        (("LOAD_CONST", 0.0), "an integer as operand"),
        (("STORE_CONST", 0), "a pair of integers"),
        (("STORE_CONST", (0, "1")), "a pair of integers"),
        (("STORE_CONST", [0, 1]), "a pair of integers"),
        (("ADD",), "a pair of a name and an operand"),
        ((1, None), "a pair of a name and an operand"),
        (("LOAD_CONST", 3), "constant 3 of 3"),
        (("LOAD_CONST", -1), "constant -1 of 3"),
        (("LOAD_NAME", 1), "must be a string, which a name is; it is integer"),
        (("STORE_CONST", (2, 1)), "must be a string, which a name is; it is function"),
        (("STORE_CONST", (0, 3)), "constant 3 of 3"),
        (("STATE_READ", 1), "must be a string"),
        (("CALL_NAME", (1, 0)), "must be a string"),
        (("CALL_NAME", (0, -1)), "count -1"),
        (("CALL_FUNC_CONST", (0, 1)), "must be a function; it is string"),
        (("CALL_FUNC_CONST", (2, 0)), "`f` has 1 parameters, not 0"),
        (("JUMP", -1), "target -1"),
        (("JUMP", 4), "target 4 is not in 0 to 3"),
        (("JUMP_IF_FALSE", 1 << 70), "target"),
        (("BUILD_LIST", -1), "count -1"),
        (("BUILD_LIST", 1 << 70), "count"),
        (("GAS_CHARGE", -1), "amount -1"),
        (("GAS_CHARGE", 1 << 63), "amount"),
    ],
)
def test_an_instruction_of_a_wrong_form_is_refused_also_where_nothing_leads(
    instruction: Any, reason: str, reachable: bool
) -> None:
    error = refusal(code("TX_BEGIN" if reachable else ("JUMP", 3), instruction, "TX_COMMIT"))
    assert reason in str(error)
    assert error.instruction == 1
    assert str(error).startswith("program, instruction 1: ")


@pytest.mark.parametrize(
    ("constant", "reason"),
    [
        (1.5, "float"),
        ((1,), "tuple"),
        (Task(0), "task"),
        ([function("f", (), Bytecode())], "function"),
        ({"a": Task(0)}, "task"),
        ({True: 1}, "bool"),
        (1 << 4096, "4097 bits"),
        ("\ud800", "surrogate"),
        (function("f", ("a", "a"), Bytecode()), "two parameters of one name"),
        (function("f", (1,), Bytecode()), "must be strings"),  # type: ignore[arg-type]
        (function("f", map(str, range(65)), Bytecode()), "65 parameters"),
        (function(None, (), Bytecode()), "must be strings"),  # type: ignore[arg-type]
        (function("f", ("\ud800",), Bytecode()), "surrogate"),
        (function("f", (), None), "without a body"),  # type: ignore[arg-type]
    ],
)
def test_a_constant_that_is_none_is_refused(constant: Any, reason: str) -> None:
    error = refusal(Bytecode(["fine", constant]))
    assert reason in str(error)
    assert error.constant == 1
    assert str(error).startswith("program, constant 1: ")


@pytest.mark.parametrize("metadata", [{1: 2}, {"a": 1.5}, {"a": Task(0)}, {"a": function("f", (), Bytecode())}])
def test_metadata_that_have_no_encoding_are_refused(metadata: Any) -> None:
    assert "metadata" in str(refusal(Bytecode(metadata=metadata)))


def test_the_refusal_is_an_error_of_code() -> None:
    assert isinstance(refusal(code("POP")), CodeError)


# The stack


@pytest.mark.parametrize(
    ("instructions", "at", "reason"),
    [
        (["POP"], 0, "POP takes 1 of 0 values"),
        ([("LOAD_CONST", 0), "ADD"], 1, "ADD takes 2 of 1 values"),
        (["DUP"], 0, "DUP takes 1 of 0"),
        ([("BUILD_LIST", 1)], 0, "BUILD_LIST takes 1 of 0"),
        ([("LOAD_CONST", 0), ("BUILD_MAP", 1)], 1, "BUILD_MAP takes 2 of 1"),
        ([("CALL_NAME", (0, 1))], 0, "CALL_NAME takes 1 of 0"),
        ([("LOAD_CONST", 0), ("CALL_TOP", 1)], 1, "CALL_TOP takes 2 of 1"),
        ([("JUMP_IF_FALSE", 0)], 0, "JUMP_IF_FALSE takes 1 of 0"),
        (["RETURN"], 0, "RETURN on an empty stack"),
        # A loop that leaves a value each time, and one that takes one.
        ([("LOAD_CONST", 0), ("JUMP", 0)], 1, "goes on to instruction 0 with 1 values"),
        ([("LOAD_CONST", 0), "DUP", "POP", "POP", ("JUMP", 1)], 4, "goes on to instruction 1 with 0 values"),
        # The arms of a condition that leave one value and none, before an instruction and at the end.
        (
            [("LOAD_CONST", 0), ("JUMP_IF_FALSE", 3), ("LOAD_CONST", 0), ("LOAD_CONST", 0), "RETURN"],
            2,
            "goes on to instruction 3 with 1 values on the stack, where another way has 0",
        ),
        ([("LOAD_CONST", 0), ("JUMP_IF_FALSE", 3), ("LOAD_CONST", 0)], 2, "goes on to the end with 1 values"),
    ],
)
def test_a_stack_that_could_be_too_low_or_of_two_depths_is_refused(
    instructions: list[Any], at: int, reason: str
) -> None:
    error = refusal(code(*instructions))
    assert reason in str(error)
    assert error.instruction == at


def test_return_may_find_an_empty_stack_where_it_is_lenient_but_pop_may_not() -> None:
    verify(code("RETURN"), strict=False)
    assert stack_depths(code("RETURN"), strict=False) == [0, None]
    assert "POP takes" in str(refusal(code("POP"), strict=False))


def test_a_program_may_end_with_nothing_and_with_more_than_one_value() -> None:
    verify(code("TX_BEGIN"))
    verify(code(("LOAD_CONST", 0), ("LOAD_CONST", 0)))
    verify(code(("LOAD_CONST", 0), "DUP", "RETURN"))


def test_a_jump_may_go_to_the_end() -> None:
    verify(code(("JUMP", 1)))
    verify(code(("LOAD_CONST", 0), ("JUMP_IF_FALSE", 2)))


def test_stack_depths_are_before_each_instruction_and_at_the_end() -> None:
    builder = BytecodeBuilder().emit("LOAD_CONST", 3).label("again").emit("DUP").emit("JUMP_IF_FALSE", "end")
    builder.emit("LOAD_CONST", 1).emit("SUB").emit("JUMP", "again").emit("POP").label("end")
    assert stack_depths(builder.build()) == [0, 1, 2, 1, 2, 1, None, 1]


def test_what_follows_return_revert_and_jump_is_not_reached() -> None:
    for last in ("RETURN", "REVERT", ("JUMP", 3)):
        depths = stack_depths(code(("LOAD_CONST", 0), last, "POP"))
        assert depths[:3] == [0, 1, None]


def test_a_stack_bomb_is_refused_at_the_first_value_too_many() -> None:
    limits = CodeLimits(stack=10)
    verify(code(*[("LOAD_CONST", 0)] * 10), limits)
    error = refusal(code(*[("LOAD_CONST", 0)] * 11), limits)
    assert error.instruction == 10
    assert "more than 10 values" in str(error)


def test_a_bomb_of_duplicates_in_a_loop_is_refused() -> None:
    assert refusal(code(("LOAD_CONST", 0), "DUP", ("JUMP", 1))).instruction == 2


# Sizes and functions


@pytest.mark.parametrize(
    ("limits", "program"),
    [
        (CodeLimits(instructions=2), code("TX_BEGIN", "TX_BEGIN", "TX_BEGIN")),
        (CodeLimits(constants=2), Bytecode([1, 2, 3])),
        (CodeLimits(functions=2), Bytecode([function("f", (), Bytecode())] * 2)),
        (CodeLimits(parameters=1), Bytecode([function("f", ("a", "b"), Bytecode())])),
        (CodeLimits(values=ValueLimits(items=1)), Bytecode([[1, 2]])),
        (CodeLimits(function_nesting=1), Bytecode([function("f", (), Bytecode([function("g", (), Bytecode())]))])),
    ],
)
def test_each_limit_is_kept(limits: CodeLimits, program: Bytecode) -> None:
    verify(program)
    refusal(program, limits)


@pytest.mark.parametrize("limits", [{"size": 0}, {"stack": -1}, {"function_nesting": DEEPEST_FUNCTIONS + 1}])
def test_limits_out_of_range_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        CodeLimits(**limits)


def test_a_fault_in_a_function_inside_a_function_is_named() -> None:
    inner = function("inner", (), code(("LOAD_CONST", 0), "ADD"))
    error = refusal(Bytecode([1, function("outer", (), Bytecode([inner]))]))
    assert str(error) == "function `inner`, instruction 1: ADD takes 2 of 1 values"
    assert (error.path, error.function) == ((1, 0), "inner")


def test_a_function_that_holds_itself_is_refused() -> None:
    body = Bytecode()
    body.add_constant(function("f", (), body))
    assert "nested deeper than 8" in str(refusal(body))


def test_functions_shared_to_be_exponentially_many_are_refused_soon() -> None:
    body = Bytecode()
    for _ in range(7):
        body = Bytecode([function("f", (), body)] * 500)
    assert "more than 1024 functions" in str(refusal(body))


def test_a_long_chain_of_jumps_is_followed_without_recursion() -> None:
    length = 60_000
    verify(code(*[("JUMP", index + 1) for index in range(length)]))
    depths = stack_depths(code(*[("JUMP", length - index) for index in range(length)]))
    assert depths[length] == 0
