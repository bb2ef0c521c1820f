"""The binary format: what is read, that it is written again as it was, and that broken bytes are refused as such."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vmloom_wasm.binary.code import instructions
from vmloom_wasm.binary.module import (
    FUNCREF,
    I32,
    I64,
    Body,
    Custom,
    Export,
    FunctionType,
    Import,
    Kind,
    Limits,
    Module,
    Section,
    decode,
)
from vmloom_wasm.binary.names import function_names
from vmloom_wasm.binary.opcodes import OPCODES, Group, Immediate, prefixed
from vmloom_wasm.binary.reader import MalformedModule, Reader
from vmloom_wasm.binary.writer import encode, signed, unsigned
from vmloom_wasm.engine.config import Engine
from vmloom_wasm.engine.verdict import invalidity

PREAMBLE = b"\0asm\1\0\0\0"


def wasm(*parts: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(parts)})"))


EVERYTHING = wasm(
    '(import "env" "read" (func $read (param i32 i64) (result i32)))',
    '(import "env" "table" (table 1 2 externref))',
    '(import "env" "memory" (memory 1))',
    '(import "env" "global" (global (mut f64)))',
    "(type $pair (func (result i32 i64)))",
    "(table $t 3 funcref) (table 4 9 funcref)",
    "(global i32 (i32.const -7)) (global (mut f32) (f32.const nan:0x200001)) (global funcref (ref.func $f))",
    "(global i64 (i64.add (i64.const 1) (i64.const 0x7fffffffffffffff)))",
    '(export "main" (func $f)) (export "\u00fcber" (memory 0))',
    "(start $begin)",
    "(elem (table $t) (i32.const 0) func $f $f) (elem func $read) (elem declare func $f)",
    "(elem (table $t) (i32.const 1) funcref (ref.func $f) (ref.null func)) (elem funcref (ref.null func))",
    "(elem externref (ref.null extern)) (elem declare funcref (ref.func $begin))",
    "(func $begin)",
    "(func $f (param i32) (result i32) (local i64 i64 f32 i32)",
    "(block (loop (br_if 1 (local.get 0)) (br_table 0 1 0 (i32.const 300))))",
    "(if (result i32) (i32.const -1) (then (call $read (i32.const 0x80000000) (i64.const -9))) (else (i32.const 64)))",
    "(drop (select (result i64) (i64.const 64) (i64.const -65) (i32.const 0)))",
    "(call_indirect $t (type $pair) (i32.const 0)) drop drop",
    "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $d)",
    "(memory.copy (i32.const 0) (i32.const 1) (i32.const 2)) (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))",
    "(i64.store32 offset=70000 align=2 (i32.const 0) (i64.extend16_s (i64.trunc_sat_f64_s (f64.const 1.5))))",
    "(drop (v128.bitselect (v128.const i64x2 1 2) (v128.load offset=3 (i32.const 0)) (v128.const i64x2 0 0)))",
    ")",
    '(data (i32.const 0) "abc") (data $d "passive\\00\\ff")',
)


# Integers


@pytest.mark.parametrize(
    ("method", "data", "value"),
    [
        (Reader.u32, "00", 0),
        (Reader.u32, "7f", 127),
        (Reader.u32, "8001", 128),
        (Reader.u32, "8080808000", 0),
        (Reader.u32, "ffffffff0f", 2**32 - 1),
        (Reader.s32, "7f", -1),
        (Reader.s32, "40", -64),
        (Reader.s32, "c000", 64),
        (Reader.s32, "8080808078", -(2**31)),
        (Reader.s32, "ffffffff07", 2**31 - 1),
        (Reader.s32, "ffffffff7f", -1),
        (Reader.s33, "ffffffff0f", 2**32 - 1),
        (Reader.s33, "8080808070", -(2**32)),
        (Reader.s33, "40", -64),
        (Reader.s64, "8080808080808080807f", -(2**63)),
        (Reader.s64, "ffffffffffffffffff00", 2**63 - 1),
        (Reader.f32bits, "0100a07f", 0x7FA00001),
        (Reader.f64bits, "01000000000000f0", 0xF000000000000001),
    ],
)
def test_numbers_are_read(method: Callable[[Reader], int], data: str, value: int) -> None:
    reader = Reader(bytes.fromhex(data))
    assert method(reader) == value
    assert reader.at_end


@pytest.mark.parametrize(
    ("method", "data"),
    [
        (Reader.u32, ""),
        (Reader.u32, "80"),
        (Reader.u32, "ffffffff1f"),
        (Reader.u32, "808080808000"),
        (Reader.s32, "ffffffff0f"),
        (Reader.s32, "8080808070"),
        (Reader.s32, "808080808000"),
        (Reader.s33, "ffffffff1f"),
        (Reader.s33, "80808080808000"),
        (Reader.s64, "8080808080808080807e"),
        (Reader.s64, "ffffffffffffffffff01"),
        (Reader.s64, "8080808080808080808000"),
        (Reader.f32bits, "000000"),
        (Reader.f64bits, "00000000000000"),
        (Reader.name, "02c3"),
        (Reader.name, "01c3"),
        (Reader.name, "03eda080"),
    ],
)
def test_numbers_and_names_that_are_none_are_refused(method: Callable[[Reader], object], data: str) -> None:
    with pytest.raises(MalformedModule):
        method(Reader(bytes.fromhex(data)))


@given(st.integers(0, 2**32 - 1))
def test_unsigned_integers_survive(value: int) -> None:
    assert Reader(unsigned(value)).u32() == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_integers_survive(value: int) -> None:
    assert Reader(signed(value)).s64() == value
    if -(2**31) <= value < 2**31:
        assert Reader(signed(value)).s32() == value


# Opcodes


def test_table_has_every_instruction_of_the_specification() -> None:
    """Numbers of instructions in the index of the specification, section 7.2."""
    count = {group: sum(opcode.group is group for opcode in OPCODES.values()) for group in Group}
    assert count[Group.MVP] == 172
    assert count[Group.SIGN_EXTENSION] == 5
    assert count[Group.SATURATING] == 8
    assert count[Group.BULK_MEMORY] == 7
    assert count[Group.REFERENCE_TYPES] == 9
    assert count[Group.THREADS] == 67


_PUSH = {"i": "i32.const 0", "I": "i64.const 0", "f": "f32.const 0", "F": "f64.const 0"}
FIXED = [opcode for opcode in OPCODES.values() if opcode.pops is not None and opcode.pushes is not None]


@pytest.mark.parametrize("opcode", FIXED, ids=lambda opcode: opcode.name)
def test_names_codes_and_types_are_those_of_wasmtime(opcode: Any) -> None:
    """A function of nothing but the instruction, its operands and drops is valid, and has the code of the table."""
    immediate = "0" if opcode.immediates and opcode.immediates[0].name in ("I32", "I64", "F32", "F64") else ""
    if opcode.immediates and opcode.immediates[0] in (Immediate.DATA, Immediate.ELEMENT):
        immediate = "0"
    pushes = " ".join(_PUSH[letter] for letter in opcode.pops)
    code = wasm(
        "(memory 1) (table 1 funcref) (elem func)",
        f"(func {pushes} {opcode.name} {immediate} {'drop ' * len(opcode.pushes)})",
        '(data "")',
    )
    wasmtime.Module.validate(wasmtime.Engine(), code)
    found = list(instructions(decode(code).bodies[0].code))
    assert found[len(opcode.pops)].code == opcode.code
    assert len(found) == len(opcode.pops) + 1 + len(opcode.pushes) + 1


@given(st.sampled_from((0xFC, 0xFD, 0xFE)), st.integers(0, 2**32 - 1))
@example(0xFC, 0x10100)
def test_no_number_after_a_prefix_is_taken_for_another(prefix: int, number: int) -> None:
    code = prefixed(prefix, number)
    for shift in (8, 16, 32):
        if code >> shift == prefix and code - (prefix << shift) == number:
            return
    pytest.fail(f"{code:#x}")


# Modules


def test_parts_of_a_module_are_read() -> None:
    module = decode(
        wasm(
            '(import "env" "h" (func (param i32)))',
            '(memory (export "memory") 1 2)',
            "(table 3 funcref)",
            '(func (export "f") (param i64) (result i32) (local i64 i64 i32) (i32.const 5))',
        )
    )
    assert module.types == (FunctionType(bytes((I32,)), b""), FunctionType(bytes((I64,)), bytes((I32,))))
    assert module.imports == (Import("env", "h", Kind.FUNCTION, 0),)
    assert module.functions == (1,)
    assert module.memories == (Limits(1, 2),)
    assert [(table.element, table.limits) for table in module.tables] == [(FUNCREF, Limits(3))]
    assert module.exports == (Export("memory", Kind.MEMORY, 0), Export("f", Kind.FUNCTION, 1))
    assert module.bodies == (Body(((2, I64), (1, I32)), b"\x41\x05\x0b"),)


def test_everything_is_written_as_it_was_read() -> None:
    wasmtime.Module.validate(wasmtime.Engine(), EVERYTHING)
    module = decode(EVERYTHING)
    assert {segment.flags for segment in module.elements} == {1, 2, 3, 5, 6, 7}
    assert encode(module) == EVERYTHING
    assert decode(encode(module)) == module


@pytest.mark.parametrize("items", ["func 0 0", "funcref (ref.func 0) (ref.null func)"])
def test_short_forms_of_element_segments_are_kept(items: str) -> None:
    code = wasm("(table 3 funcref) (func)", f"(elem (i32.const 0) {items})")
    (segment,) = decode(code).elements
    assert segment.flags == (4 if segment.expressions else 0)
    assert encode(decode(code)) == code


def test_offsets_are_those_in_the_module() -> None:
    module = decode(EVERYTHING)
    for body in module.bodies:
        assert EVERYTHING[body.offset : body.offset + len(body.code)] == body.code
        found = list(instructions(body.code, body.offset))
        assert b"".join(body.code[instruction.begin : instruction.end] for instruction in found) == body.code
        assert all(instruction.at == body.offset + instruction.begin for instruction in found)
    for section, offset in module.section_offsets.items():
        assert section in EVERYTHING[offset - 6 : offset]


def test_longer_encodings_of_integers_are_read() -> None:
    """Linkers pad sizes to five bytes, so that they can be filled in later."""
    code = (
        PREAMBLE + b"\1\x84\x80\x80\x80\0\1\x60\0\0" + b"\3\2\1\0" + b"\x0a\x88\x80\x80\x80\0\1\x82\x80\x80\x80\0\0\x0b"
    )
    wasmtime.Module.validate(wasmtime.Engine(), code)
    assert decode(encode(decode(code))) == decode(code)


def test_custom_sections_keep_their_places() -> None:
    customs = (Custom("first", b"\1", None), Custom("x", b"", Section.TYPE), Custom("x", b"abc"), Custom("y", b"z"))
    module = Module(types=(FunctionType(b"", b""),), memories=(Limits(0),), customs=customs)
    again = decode(encode(module))
    assert [(custom.name, custom.data) for custom in again.customs] == [(item.name, item.data) for item in customs]
    assert encode(again) == encode(module)


def test_instructions_have_their_immediates() -> None:
    text = "0240 0c8101 0e0200010b 41ff00 42807f 28028020 430000803f 1c017e fc0b00 fd0c"
    code = bytes.fromhex(text + "01" * 16)
    found = [(OPCODES[item.code].name, item.immediates) for item in instructions(code)]
    assert found == [
        ("block", (-64,)),
        ("br", (129,)),
        ("br_table", ((0, 1, 11),)),
        ("i32.const", (127,)),
        ("i64.const", (-128,)),
        ("i32.load", ((2, 4096),)),
        ("f32.const", (0x3F800000,)),
        ("select", (b"\x7e",)),
        ("memory.fill", (0,)),
        ("v128.const", (b"\1" * 16,)),
    ]


@pytest.mark.parametrize("code", ["284000", "284080808000", "fd004000", "282000"])
def test_alignment_that_is_none_is_refused(code: str) -> None:
    """Bit 6 would announce the index of another memory."""
    with pytest.raises(MalformedModule, match="is too large"):
        list(instructions(bytes.fromhex(code)))


# Broken modules


def walk(code: bytes) -> Module:
    """Read all of a module."""
    module = decode(code)
    for body in module.bodies:
        for _ in instructions(body.code, body.offset):
            pass
    function_names(module)
    return module


def malformation(code: bytes) -> MalformedModule | None:
    """Return why `code` cannot be read; any other exception fails the test."""
    try:
        walk(code)
    except MalformedModule as error:
        return error
    return None


def test_only_prefixes_that_end_between_sections_can_be_read() -> None:
    reader = Reader(EVERYTHING, 8)
    whole = {8}
    while not reader.at_end:
        reader.u8()
        reader.take(reader.u32())
        whole.add(reader.offset)
    for size in range(len(EVERYTHING)):
        error = malformation(EVERYTHING[:size])
        if error is None:
            assert size in whole
        else:
            assert error.offset is not None
            assert error.offset <= size


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def assert_read_as_wasmtime_does(engine: Engine, code: bytes) -> None:
    """Whatever wasmtime takes, we read and write; what we do not read is malformed and nothing else."""
    error = malformation(code)
    valid = invalidity(engine, code) is None
    if error is not None:
        assert not valid, error
        return
    again = encode(decode(code))
    assert decode(again) == decode(code)
    assert (invalidity(engine, again) is None) == valid


PLAIN = wasm(
    '(import "env" "h" (func (param i32)))',
    '(memory (export "memory") 1 2) (table 3 funcref) (elem (i32.const 0) func $f)',
    '(global (mut i64) (i64.const -5)) (data (i32.const 3) "abc")',
    '(func $f (export "main") (param i32) (result i32) (local i64)',
    "(loop (br_table 0 0 (i32.const 3))) (i32.load offset=300 (i32.const 4)))",
)


@settings(max_examples=1500)
@given(st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(engine: Engine, changes: list[tuple[int, int]]) -> None:
    code = bytearray(PLAIN)
    for at, value in changes:
        code[at] = value
    assert_read_as_wasmtime_does(engine, bytes(code))


@settings(max_examples=500)
@given(st.integers(0, len(EVERYTHING)), st.integers(0, 40), st.binary(max_size=12))
def test_replaced_parts(at: int, length: int, replacement: bytes) -> None:
    malformation(EVERYTHING[:at] + replacement + EVERYTHING[at + length :])


@settings(max_examples=500)
@given(st.binary(max_size=60))
def test_random_sections(content: bytes) -> None:
    malformation(PREAMBLE + content)


@given(st.binary(max_size=40))
def test_random_code(code: bytes) -> None:
    end = 0
    try:
        for instruction in instructions(code, 1000):
            assert (instruction.begin, instruction.at) == (end, 1000 + end)
            end = instruction.end
    except MalformedModule as error:
        where = error.offset
    else:
        where = 1000 + len(code)
        assert end == len(code)
    assert where is not None
    assert 1000 + end <= where <= 1000 + len(code)


def test_announced_counts_allocate_nothing() -> None:
    with pytest.raises(MalformedModule, match="4294967295 types are announced, but 0 bytes are left"):
        decode(PREAMBLE + b"\1\5\xff\xff\xff\xff\x0f")


# Names


def test_names_come_from_the_name_section_before_exports() -> None:
    module = decode(wasm('(import "env" "h" (func))', '(func $inner (export "outer"))', '(func (export "only"))'))
    assert function_names(module) == {0: "env.h", 1: "inner", 2: "only"}


@pytest.mark.parametrize("data", [b"\1\xff", b"\1\3\1\5\xff", b"\1\4\1\0\1\xff", b"\1\2\xff\x7f"])
def test_broken_name_section_is_ignored(data: bytes) -> None:
    module = decode(wasm('(func (export "f"))'))
    broken = dataclasses.replace(module, customs=(Custom("name", data),))
    assert function_names(broken) == {0: "f"}
