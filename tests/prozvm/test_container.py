"""Containers: that they give back what they were made from, and that nothing else is read."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vmloom.errors import CodeError, CodeTooLarge, InvalidCode
from vmloom_prozvm import cbor
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, CodeLimits, function, pack, unpack
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.errors import Unverifiable
from vmloom_prozvm.values import Task, ValueLimits

from .strategies import VALUES, programs

HEAD = 38
PROGRAM = BytecodeBuilder().emit("LOAD_CONST", 40).emit("LOAD_CONST", 2).emit("ADD").emit("RETURN").build(name="answer")


def container(tree: Any) -> bytes:
    """A container of this tree or body, with the right hash."""
    body = tree if isinstance(tree, bytes) else cbor.encode(tree)
    return b"\0proz\1" + sha256(body).digest() + body


def refusal(data: bytes, limits: CodeLimits | None = None) -> CodeError:
    with pytest.raises(CodeError) as caught:
        unpack(data, limits or CodeLimits())
    return caught.value


@given(programs())
def test_what_is_packed_is_unpacked_and_packed_alike(program: Bytecode) -> None:
    data = pack(program)
    again = unpack(data)
    assert again == program
    assert pack(again) == data


def test_a_container_is_as_documented() -> None:
    data = pack(PROGRAM)
    assert data[:6] == b"\0proz\1"
    assert data[6:HEAD] == sha256(data[HEAD:]).digest()
    code = [1, 0, 1, 1, 10, 52]
    assert cbor2.loads(data[HEAD:]) == [[[40], [2]], code, {"name": "answer"}]


def test_a_function_is_packed_with_its_program() -> None:
    f = function("f", ["a"], Bytecode(["a"], [("LOAD_NAME", 0), ("RETURN", None)]))
    program = Bytecode([1, f], [("LOAD_CONST", 0), ("CALL_FUNC_CONST", (1, 1))])
    assert cbor2.loads(pack(program)[HEAD:]) == [
        [[1], ["f", ["a"], [[["a"]], [2, 0, 52], {}]]],
        [1, 0, 61, 1, 1],
        {},
    ]
    assert unpack(pack(program)) == program


def test_the_numbers_of_the_ledger_instructions_are_those_of_their_description() -> None:
    names = "HASH_BLOCK VERIFY_SIGNATURE MERKLE_ROOT STATE_READ STATE_WRITE TX_BEGIN TX_COMMIT TX_REVERT GAS_CHARGE"
    assert [Opcode[name] for name in [*names.split(), "LEDGER_APPEND"]] == list(range(110, 120))


# Damage


@given(programs(), st.data())
def test_a_container_with_any_byte_changed_is_refused(program: Bytecode, data: st.DataObject) -> None:
    changed = bytearray(pack(program))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    refusal(bytes(changed))


def test_a_container_with_any_bit_changed_is_refused() -> None:
    good = pack(PROGRAM)
    for bit in range(8 * len(good)):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        refusal(bytes(changed))


def test_a_container_cut_short_or_with_more_behind_is_refused() -> None:
    good = pack(PROGRAM)
    for length in range(len(good)):
        refusal(good[:length])
    refusal(good + b"\0")
    assert "truncated" in str(refusal(good[:20]))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_unknown_version_is_refused_by_its_number(version: int) -> None:
    good = pack(PROGRAM)
    error = refusal(good[:5] + bytes([version]) + good[6:])
    assert str(error) == f"offset 0x5: container version {version} is unknown; this package reads version 1"
    assert error.fix


def test_what_is_no_container_is_refused_as_such() -> None:
    assert "not a ProzVM container" in str(refusal(b"\0asm\1\0\0\0" + bytes(60)))
    assert "not a ProzVM container" in str(refusal(b""))


def test_a_wrong_hash_is_refused_as_damage() -> None:
    good = bytearray(pack(PROGRAM))
    good[-1] ^= 1
    assert "damaged" in str(refusal(bytes(good)))


def test_size_is_checked_before_anything_else() -> None:
    error = refusal(bytes(1001), CodeLimits(size=1000))
    assert isinstance(error, CodeTooLarge)
    assert str(error) == "a container of 1001 bytes; the limit is 1000"
    good = pack(PROGRAM)
    assert unpack(good, CodeLimits(size=len(good))) == PROGRAM
    assert isinstance(refusal(good, CodeLimits(size=len(good) - 1)), CodeTooLarge)


# Bodies with a right hash


@pytest.mark.parametrize(
    ("tree", "path", "reason"),
    [
        (1, (), "a list of three"),
        ([], (), "a list of three"),
        ([[], [], {}, 0], (), "a list of three"),
        ([{}, [], {}], (0,), "constants must be a list"),
        ([[], b"", {}], (1,), "code must be a list"),
        ([[], [], []], (2,), "metadata must be a map"),
        ([[1], [], {}], (0, 0), "a constant must be"),
        ([[[1], []], [], {}], (0, 1), "a constant must be"),
        ([[[1, 2]], [], {}], (0, 0), "a constant must be"),
        ([[["f", "a", [[], [], {}]]], [], {}], (0, 0), "a function must have"),
        ([[["f", [1], [[], [], {}]]], [], {}], (0, 0), "a function must have"),
        ([[[1, [], [[], [], {}]]], [], {}], (0, 0), "a function must have"),
        ([[["f", [], [[], []]]], [], {}], (0, 0, 2), "a list of three"),
        ([[], [0], {}], (1, 0), "instruction 0: no such opcode"),
        ([[[0]], [1, 0, 99], {}], (1, 2), "instruction 1: no such opcode"),
        ([[[0]], [True, 0], {}], (1, 0), "no such opcode"),
        ([[], ["ADD"], {}], (1, 0), "no such opcode"),
        ([[], [1 << 100], {}], (1, 0), "no such opcode"),
        ([[], [1], {}], (1, 0), "LOAD_CONST without its operand"),
        ([[["a"]], [4, 0], {}], (1, 0), "STORE_CONST without its operand"),
        ([[["a"]], [4, 0, None], {}], (1, 2), "must be of integers"),
        ([[["a"]], [4, True, 0], {}], (1, 1), "must be of integers"),
        # Verification, with the place found in the bytes.
        ([[["a"]], [1, 0, 4, 0, 1, 5], {}], (1, 2), "instruction 1: constant 1 of 1"),
        ([[["a"]], [1, 0, 4, 0, 0, 5, 5], {}], (1, 6), "instruction 3: POP takes 1 of 0"),
        ([[["a"]], [4, 0, 0, 4, 0, 0, 5], {}], (1, 6), "instruction 2: POP takes 1 of 0"),
        ([[["a"], [1 << 5000]], [], {}], (0, 1), "constant 1: an integer of 5001 bits"),
        (
            [[[1], ["f", [], [[[2]], [1, 0, 10], {}]]], [], {}],
            (0, 1, 2, 1, 2),
            "function `f`, instruction 1: ADD takes",
        ),
        ([[["f", ["a", "a"], [[], [], {}]]], [], {}], (0, 0), "two parameters of one name"),
        ([[], [], {1: 2}], (), "metadata: keys must be strings"),
    ],
)
def test_a_body_of_another_shape_is_refused_with_the_offset(tree: Any, path: tuple[int, ...], reason: str) -> None:
    data = container(tree)
    error = refusal(data)
    assert isinstance(error, InvalidCode)
    assert reason in str(error)
    assert error.offset == HEAD + cbor.offset_of(data[HEAD:], path)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "ff",
        "83808080 00",
        "838080bfff",  # a map of indefinite length
        "9f8080a0ff",
        "8380981800a0",
        "83808018 00",
        "8381810080 a2 61 62 00 61 61 00",  # metadata out of order
        "8381 81 fb3ff0000000000000 80a0",  # a float
        "8381 81 c249ffffffffffffffff 80a0",
        "8381 81 d81c 80 80a0",
        "83818118 00 80a0",  # a zero in two bytes
    ],
)
def test_a_body_that_is_not_canonical_is_refused(body: str) -> None:
    error = refusal(container(bytes.fromhex(body)))
    assert error.offset is not None
    assert error.offset >= HEAD


@given(st.binary(max_size=40))
@example(bytes.fromhex("838080a1a10000f6"))
def test_any_body_is_refused_or_written_back_to_the_byte(body: bytes) -> None:
    data = container(body)
    try:
        program = unpack(data)
    except CodeError:
        return
    assert pack(program) == data


@given(programs(), st.data())
def test_any_change_of_a_body_with_its_hash_made_right_is_refused_or_another_program(
    program: Bytecode, data: st.DataObject
) -> None:
    body = bytearray(pack(program)[HEAD:])
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    changed = container(bytes(body))
    try:
        other = unpack(changed)
    except CodeError:
        return
    assert pack(other) == changed
    assert other != program


@given(VALUES)
def test_any_value_as_a_body_is_refused(tree: Any) -> None:
    refusal(container(tree))


# Hostile sizes and depths


@pytest.mark.parametrize("unit", ["81", "a100", "8380", "838183616680", "c2", "838181"])
def test_nesting_of_any_kind_is_refused_without_recursion(unit: str) -> None:
    refusal(container(bytes.fromhex(unit) * 40_000))
    refusal(container(bytes.fromhex(unit) * 40_000 + b"\0"))


def nested(levels: int) -> Bytecode:
    program = Bytecode()
    for _ in range(levels):
        program = Bytecode([function("f", (), program)])
    return program


def test_functions_are_nested_to_the_limit_and_no_deeper() -> None:
    assert unpack(pack(nested(8))) == nested(8)
    assert "function `f`: nested deeper than 8" in str(refusal(pack(nested(9))))
    assert "nested deeper" in str(refusal(pack(nested(32))))
    assert unpack(pack(nested(32)), CodeLimits(function_nesting=32)) == nested(32)
    with pytest.raises(Unverifiable, match="nested deeper than 32"):
        pack(nested(33))


def test_values_are_nested_to_the_limit_also_in_the_innermost_function() -> None:
    value: Any = 0
    for _ in range(32):
        value = [value]
    deepest = Bytecode([value])
    for _ in range(8):
        deepest = Bytecode([function("f", (), deepest)])
    assert unpack(pack(deepest)) == deepest
    assert "nested deeper than 32" in str(refusal(pack(Bytecode([[value]]))))


def test_lengths_that_the_data_do_not_have_are_refused() -> None:
    for head in ("9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff", "7b7fffffffffffffff", "9a7fffffff"):
        assert "truncated" in str(refusal(container(bytes.fromhex(head))))


def test_a_value_beyond_its_limits_is_refused() -> None:
    limits = CodeLimits(values=ValueLimits(integer_bits=64))
    error = refusal(pack(Bytecode([1 << 64])), limits)
    assert "an integer of 65 bits" in str(error)
    assert error.offset == HEAD + 2


# Writing


@pytest.mark.parametrize(
    "program",
    [
        Bytecode([1.5]),  # type: ignore[list-item]
        Bytecode([Task(0)]),
        Bytecode([[function("f", (), Bytecode())]]),
        Bytecode(["\ud800"]),
        Bytecode([], [("NOPE", None)]),
        Bytecode([], [("LOAD_CONST", "0")]),  # type: ignore[list-item]
        Bytecode(metadata={"a": 1.5}),  # type: ignore[dict-item]
        Bytecode([function("f", (), Bytecode([1.5]))]),  # type: ignore[list-item]
    ],
)
def test_what_has_no_encoding_is_not_packed(program: Bytecode) -> None:
    with pytest.raises(Unverifiable):
        pack(program)


def test_a_program_that_holds_itself_is_not_packed() -> None:
    body = Bytecode()
    body.add_constant(function("f", (), body))
    with pytest.raises(Unverifiable, match="nested"):
        pack(body)


def test_a_program_that_may_not_run_is_packed_and_not_unpacked() -> None:
    assert "RETURN on an empty stack" in str(refusal(pack(Bytecode([], [("RETURN", None)]))))


def test_closures_have_no_container() -> None:
    closure = function("f", ["a"], Bytecode()).bind([1])
    with pytest.raises(Unverifiable, match="constant 0: a function with bound values"):
        pack(Bytecode([closure]))


def test_a_constant_with_too_many_integer_keys_is_refused_before_it_is_made() -> None:
    collide = {number * ((1 << 61) - 1): None for number in range(513)}
    assert "more than 512 integer keys" in str(refusal(container([[[collide]], [], {}])))
