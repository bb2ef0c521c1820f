"""Programs as objects, and the builder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, Opcode, function
from vmloom_prozvm.bytecode.opcodes import OPERATIONS
from vmloom_prozvm.bytecode.program import opcode_of, operand_parts, stack_effect

from .strategies import programs

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
     6  ADD                 """


def sum_of_two() -> BytecodeBuilder:
    builder = BytecodeBuilder().emit("LOAD_CONST", 10).emit("STORE_NAME", "x")
    builder.emit("LOAD_CONST", 20).emit("STORE_NAME", "y")
    return builder.emit("LOAD_NAME", "x").emit("LOAD_NAME", "y").emit("ADD")


def test_constants_and_instructions_are_numbered_as_they_are_added() -> None:
    program = Bytecode()
    assert [program.add_constant(value) for value in (5, "a", 5)] == [0, 1, 2]
    assert program.add_instruction("LOAD_CONST", 0) == 0
    assert program.add_instruction(Opcode.STORE_CONST, (1, 0)) == 1
    assert program.instructions == [("LOAD_CONST", 0), ("STORE_CONST", (1, 0))]
    assert len(program) == 2


def test_no_two_programs_share_their_lists() -> None:
    Bytecode().add_constant(1)
    assert Bytecode().constants == []


def test_an_empty_program_is_true() -> None:
    assert Bytecode()


def test_a_listing_is_as_it_was_first_shown() -> None:
    assert sum_of_two().build().disassemble() == LISTING


def test_a_listing_shows_metadata_pairs_and_functions() -> None:
    body = Bytecode([None], [("LOAD_CONST", 0), ("RETURN", None)])
    program = Bytecode(
        ["x", function("f", ["a", "b'"], body)], [("STORE_CONST", (0, 1)), ("GAS_CHARGE", 1234567)], {"from": "test"}
    )
    assert program.disassemble().splitlines() == [
        "Bytecode Object (2 instructions, 2 constants)",
        "=" * 60,
        "",
        "Constants:",
        "    0: 'x'",
        "    1: function('f', ['a', \"b'\"])",
        "",
        "Metadata:",
        "  'from': 'test'",
        "",
        "Instructions:",
        "     0  STORE_CONST           (0, 1)",
        "     1  GAS_CHARGE            1234567",
        "",
        "Function 1:",
        "    Bytecode Object (2 instructions, 1 constants)",
        "    " + "=" * 60,
        "",
        "    Constants:",
        "        0: None",
        "",
        "    Instructions:",
        "         0  LOAD_CONST            0",
        "         1  RETURN              ",
    ]


@pytest.mark.parametrize(
    ("name", "hint"), [("LOAD_CONTS", "did you mean LOAD_CONST"), ("add", "no such"), ("", "no such")]
)
def test_an_unknown_instruction_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        Bytecode().add_instruction(name)
    with pytest.raises(ValueError, match=hint):
        BytecodeBuilder().emit(name)


@given(programs())
def test_a_program_equals_its_copy_and_no_change_of_it(program: Bytecode) -> None:
    copy = Bytecode(list(program.constants), list(program.instructions), dict(program.metadata))
    assert program == copy
    copy.add_constant(None)
    assert program != copy


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Bytecode([1]), Bytecode([True])),
        (Bytecode([[1]]), Bytecode([[True]])),
        (Bytecode(metadata={"a": 0}), Bytecode(metadata={"a": False})),
        (Bytecode([function("f", [], Bytecode([1]))]), Bytecode([function("f", [], Bytecode([2]))])),
        (Bytecode([], [("POP", None)]), Bytecode([], [("DUP", None)])),
        (Bytecode(), None),
    ],
)
def test_programs_that_are_not_equal(one: Bytecode, other: Any) -> None:
    assert one != other


def test_programs_have_no_hash_because_they_can_be_changed() -> None:
    with pytest.raises(TypeError):
        hash(Bytecode())


def test_every_opcode_has_a_form_and_is_found_by_name() -> None:
    assert set(OPERATIONS) == set(Opcode)
    for opcode in Opcode:
        assert opcode_of(opcode.name) is opcode
        assert operand_parts(opcode) in (0, 1, 2)


@pytest.mark.parametrize(
    ("opcode", "operand", "effect"),
    [
        (Opcode.ADD, None, (2, 1)),
        (Opcode.DUP, None, (1, 2)),
        (Opcode.STORE_CONST, (0, 1), (0, 0)),
        (Opcode.BUILD_LIST, 3, (3, 1)),
        (Opcode.BUILD_MAP, 3, (6, 1)),
        (Opcode.MERKLE_ROOT, 0, (0, 1)),
        (Opcode.CALL_NAME, (7, 2), (2, 1)),
        (Opcode.CALL_FUNC_CONST, (7, 2), (2, 1)),
        (Opcode.CALL_TOP, 2, (3, 1)),
        (Opcode.SPAWN, 2, (3, 1)),
        (Opcode.JUMP_IF_FALSE, 9, (1, 0)),
    ],
)
def test_stack_effects(opcode: Opcode, operand: Any, effect: tuple[int, int]) -> None:
    assert stack_effect(opcode, operand) == effect


# The builder


def test_the_builder_shares_equal_constants_and_no_others() -> None:
    builder = BytecodeBuilder()
    values = [1, True, "1", b"1", 1, [1], [True], {"a": 1}, [1], {"a": 1}, None, None, "1"]
    assert [builder.constant(value) for value in values] == [0, 1, 2, 3, 0, 4, 5, 6, 4, 6, 7, 7, 2]


def test_the_builder_never_takes_one_function_for_another() -> None:
    builder = BytecodeBuilder()
    assert [builder.constant(function("f", [], Bytecode([index]))) for index in range(2)] == [0, 1]
    assert [builder.constant([function("f", [], Bytecode([index]))]) for index in range(2)] == [2, 3]


def test_labels_may_be_used_before_they_are_set_and_name_the_end() -> None:
    builder = BytecodeBuilder().label("top").emit("LOAD_CONST", True).emit("JUMP_IF_FALSE", "end").emit("JUMP", "top")
    assert builder.label("end").build().instructions == [("LOAD_CONST", 0), ("JUMP_IF_FALSE", 3), ("JUMP", 0)]


def test_the_builder_writes_operands_of_every_form() -> None:
    f = function("f", ["a"], Bytecode())
    program = (
        BytecodeBuilder()
        .emit("STORE_CONST", "x", 5)
        .emit("CALL_NAME", "g", 2)
        .emit("CALL_FUNC_CONST", f, 1)
        .emit(Opcode.BUILD_LIST, 2)
        .emit("GAS_CHARGE", 9)
        .emit("STATE_READ", "x")
        .build(source="test")
    )
    assert program.constants == ["x", 5, "g", f]
    assert [operand for _, operand in program.instructions] == [(0, 1), (2, 2), (3, 1), 2, 9, 0]
    assert program.metadata == {"source": "test"}


def test_a_program_that_was_built_does_not_change_with_the_builder() -> None:
    builder = sum_of_two()
    program = builder.build()
    builder.emit("RETURN").constant("more")
    assert program == sum_of_two().build()


@pytest.mark.parametrize(
    ("operands", "error"),
    [
        (("LOAD_CONST",), ValueError),
        (("ADD", 1), ValueError),
        (("STORE_CONST", "x"), ValueError),
        (("LOAD_NAME", 1), TypeError),
        (("BUILD_LIST", True), TypeError),
        (("JUMP", 0), TypeError),
    ],
)
def test_the_builder_refuses_operands_of_another_form(operands: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        BytecodeBuilder().emit(*operands)


def test_labels_are_set_once_and_if_used() -> None:
    with pytest.raises(ValueError, match="twice"):
        BytecodeBuilder().label("a").label("a")
    with pytest.raises(ValueError, match="not set"):
        BytecodeBuilder().emit("JUMP", "a").build()
