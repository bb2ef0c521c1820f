"""Which modules are refused, and what the refusal says."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from vmloom.errors import (
    CodeError,
    CodeTooLarge,
    InvalidCode,
    MemoryTooLarge,
    MissingRequiredExport,
    ProhibitedImport,
    ProhibitedOpcode,
)
from vmloom_wasm.binary.module import decode
from vmloom_wasm.binary.reader import MalformedModule
from vmloom_wasm.config import ModuleLimits, ValidationConfig
from vmloom_wasm.validation import ModuleLimitExceeded, validate

MAIN = '(func (export "main") (param i32 i32 i32) (result i32) i32.const 0)'


def wasm(*parts: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(parts)})"))


def accept(code: bytes, **settings: Any) -> None:
    validate(code, ValidationConfig(**settings))


def refusal(code: bytes, kind: type[CodeError], **settings: Any) -> CodeError:
    with pytest.raises(CodeError) as info:
        validate(code, ValidationConfig(**settings))
    assert type(info.value) is kind, info.value
    return info.value


def test_least_module_is_accepted() -> None:
    code = wasm(MAIN)
    assert validate(code) == decode(code)


@pytest.mark.parametrize(
    "body",
    [
        "(i32.extend8_s (i32.const 1)) drop",
        "(i64.trunc_sat_f64_u (f64.const 1)) drop",
        "(memory.fill (i32.const 0) (i32.const 0) (i32.const 9))",
        "(memory.copy (i32.const 0) (i32.const 0) (i32.const 9))",
        "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $d)",
        "(table.copy (i32.const 0) (i32.const 0) (i32.const 1))",
        "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $e)",
        "(block (result i32 i64) (i32.const 1) (i64.const 2)) drop drop",
        "(select (result i64) (i64.const 1) (i64.const 2) (i32.const 0)) drop",
        "(call_indirect (i32.const 0))",
    ],
)
def test_output_of_modern_compilers_is_accepted(body: str) -> None:
    validate(wasm("(memory 1) (table 2 funcref) (elem $e func $f)", '(data $d "abc")', f"(func $f {body})", MAIN))


# Structure and types


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"", "offset 0x0: not WebAssembly: the first four bytes are not 00 61 73 6d"),
        (b"\x7fELF", "offset 0x0: not WebAssembly: the first four bytes are not 00 61 73 6d"),
        (b"\0asm", "offset 0x4: version missing, not 01 00 00 00"),
        (b"\0asm\x0d\0\1\0", "offset 0x4: version 0d 00 01 00, not 01 00 00 00"),
        (
            b"\0asm\1\0\0\0\1\xff\xff\xff\xff\x0f",
            "offset 0xe: type section: 4294967295 bytes are announced, 0 are left",
        ),
        (b"\0asm\1\0\0\0\x0d\1\0", "offset 0x8: unknown section 13"),
        (b"\0asm\1\0\0\0\1\1\0\1\1\0", "offset 0xb: type section after the type section"),
        (b"\0asm\1\0\0\0\1\2\0\0", "offset 0xb: type section: 1 bytes too many"),
        (b"\0asm\1\0\0\0\1\4\1\x60\0\1", "offset 0xd: type section: 1 types are announced, but 0 bytes are left"),
        (
            b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0",
            "offset 0x10: function section: 1 functions are declared, 0 have a body",
        ),
    ],
)
def test_broken_structure_is_refused(code: bytes, message: str) -> None:
    assert str(refusal(code, MalformedModule)) == message


def test_type_errors_name_section_function_and_offset() -> None:
    code = wasm("(func $pay (drop (i32.add (i32.const 1))))", MAIN)
    error = refusal(code, InvalidCode)
    assert "code section: function 0 (`pay`): type mismatch: expected i32 but nothing on stack" in str(error)
    assert error.offset is not None
    assert code[error.offset] == 0x6A


def test_type_errors_outside_of_code_name_the_section() -> None:
    assert "export section: unknown function" in str(refusal(wasm('(export "main" (func 7))'), InvalidCode))


def test_unknown_opcode_names_its_function() -> None:
    code = wasm("(func $pay nop)", MAIN).replace(b"\3\0\1\x0b", b"\3\0\xff\x0b")
    error = refusal(code, MalformedModule)
    assert str(error) == f"offset {error.offset:#x}: code section: function 0 (`pay`): unknown opcode 0xff"


def test_names_of_functions_cannot_forge_messages() -> None:
    code = wasm("(func $pay (drop (i32.add (i32.const 1))))", MAIN).replace(b"\3pay", b"\3`\n\x1b")
    assert "function 0 (`\\u{60}\\u{a}\\u{1b}`)" in str(refusal(code, InvalidCode))


# The entry point


def test_main_is_required() -> None:
    assert str(refusal(wasm(), MissingRequiredExport)) == "no export main"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ('(memory (export "main") 1)', "export main is a memory, not a function"),
        (
            '(func (export "main") (param i32) (result i64) i64.const 0)',
            "export main has the signature (i32) -> (i64), not (i32, i32, i32) -> (i32)",
        ),
        (
            '(import "env" "h" (func (param i32 i32 i32) (result i32))) (export "main" (func 0))',
            "export main is an imported function, function 0 (`env.h`)",
        ),
    ],
)
def test_main_must_be_an_own_function_of_its_type(parts: str, message: str) -> None:
    error = refusal(wasm(parts), MissingRequiredExport, allowed_imports={"env.h"})
    assert str(error) == f"offset {error.offset:#x}: export section: {message}"


def test_start_function_can_be_refused() -> None:
    code = wasm("(func $begin) (start $begin)", MAIN)
    error = refusal(code, CodeError, allow_start=False)
    assert "start section: function 0 (`begin`) would run at the start; start functions are not allowed" in str(error)
    assert "--exportStart" in error.fix
    validate(code)


@pytest.mark.parametrize("name", ["vmloom:", "vmloom:gas"])
def test_names_that_metering_adds_are_reserved(name: str) -> None:
    error = refusal(wasm(f'(global (export "{name}") i32 (i32.const 0))', MAIN), CodeError)
    assert f"export section: export `{name}`: names that begin with vmloom: are reserved" in str(error)


# Imports


def test_imports_must_be_on_the_list() -> None:
    code = wasm('(import "env" "good" (func)) (import "env" "clock" (func))', MAIN)
    error = refusal(code, ProhibitedImport, allowed_imports={"env.good"})
    assert "import section: import `env.clock` is not on the list of allowed imports" in str(error)
    assert error.fix == "import one of env.good"
    accept(code, allowed_imports={"env.good", "env.clock"})


@pytest.mark.parametrize(("module", "name"), [("a.b", "c"), ("", "a.b.c"), ("env", "good\\00")])
def test_a_dot_in_a_name_does_not_make_it_another(module: str, name: str) -> None:
    code = wasm(f'(import "{module}" "{name}" (func))', MAIN)
    refusal(code, ProhibitedImport, allowed_imports={"a.b.c", "env.good"})


@pytest.mark.parametrize(
    ("kind", "text"), [("memory", "(memory 1)"), ("table", "(table 1 funcref)"), ("global", "(global i32)")]
)
def test_only_functions_can_be_imported(kind: str, text: str) -> None:
    error = refusal(wasm(f'(import "env" "x" {text})', MAIN), ProhibitedImport, allowed_imports={"env.x"})
    assert f"import `env.x` is a {kind}; only functions can be imported" in str(error)


# Instructions


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("(drop (i32.atomic.load (i32.const 0)))", "threads instruction i32.atomic.load"),
        ("(drop (memory.atomic.notify (i32.const 0) (i32.const 0)))", "threads instruction memory.atomic.notify"),
        ("atomic.fence", "threads instruction atomic.fence"),
        ("(drop (v128.load (i32.const 0)))", "SIMD instruction v128.load"),
        ("(drop (v128.const i64x2 0 0))", "SIMD instruction v128.const"),
        ("(drop (i8x16.extract_lane_s 3 (v128.load (i32.const 0))))", "SIMD instruction v128.load"),
        ("(drop (table.get (i32.const 0)))", "reference-types instruction table.get"),
        ("(drop (table.grow (ref.null func) (i32.const 0)))", "reference-types instruction ref.null"),
        ("(drop (table.size))", "reference-types instruction table.size"),
        ("(drop (ref.func 0))", "reference-types instruction ref.func"),
        ("return_call 0", "tail-call instruction return_call"),
    ],
)
def test_banned_instructions_are_named(body: str, name: str) -> None:
    code = wasm("(memory 1) (table 1 funcref) (elem func 0)", f"(func $bad {body})", MAIN)
    error = refusal(code, ProhibitedOpcode)
    assert str(error) == f"offset {error.offset:#x}: code section: function 0 (`bad`): {name} is not allowed"


@pytest.mark.parametrize(
    "part",
    [
        "(func (drop (f64.const 1)))",
        "(func (param i32) (drop (i32.trunc_sat_f32_s (f32.convert_i32_s (local.get 0)))))",
        "(func (param f32))",
        "(func (result f64) unreachable)",
        "(func (local f32))",
        "(func (block (result f32) unreachable) drop)",
        "(global f32 (f32.const 1))",
        "(memory 1) (func (f32.store (i32.const 0) (f32.load (i32.const 0))))",
    ],
)
def test_floats_can_be_refused(part: str) -> None:
    code = wasm(part, MAIN)
    validate(code)
    assert "float" in str(refusal(code, ProhibitedOpcode, allow_floats=False))


@pytest.mark.parametrize(
    "part",
    [
        "(func (param externref))",
        "(func (local funcref))",
        "(global funcref (ref.null func))",
        "(table 1 externref)",
        "(elem externref (ref.null extern))",
        "(func (param v128))",
        "(func (local v128))",
        "(func (block (result externref) unreachable) drop)",
    ],
)
def test_types_of_banned_proposals_are_refused(part: str) -> None:
    refusal(wasm(part, MAIN), ProhibitedOpcode)


def test_imports_of_one_name_with_two_types_are_refused() -> None:
    first = '(import "a" "b" (func (param i32)))'
    validate(wasm(first + first, MAIN), ValidationConfig(allowed_imports=frozenset({"a.b"})))
    for second in ('(import "a" "b" (func (param i64)))', '(import "a" "b" (func (param i32) (result i32)))'):
        error = refusal(wasm(first + second, MAIN), ProhibitedImport, allowed_imports={"a.b"})
        assert "import `a.b` is wanted with two signatures, (i32) -> () and " in str(error)


# Limits

LIMITED = [
    ("types", 1, "(type (func)) (type (func (param i64)))", "type section: 3 function types"),
    ("imports", 0, '(import "a" "b" (func))', "import section: 1 imports"),
    ("exports", 1, '(func (export "f"))', "export section: 2 exports"),
    ("functions", 1, "(func)", "function section: 2 functions"),
    ("params", 3, "(func (param i32 i32 i32 i32))", "type section: 4 parameters in type 0"),
    ("results", 1, "(func (result i32 i32) unreachable)", "type section: 2 results in type 0"),
    ("locals", 5, "(func $f (param i32) (local i32 i32 i64 i64 i32))", "function 0 (`f`) has 6 locals"),
    ("total_locals", 4, "(func $f (local i32 i64))", "function 1 (`main`) has 5 locals up to here"),
    ("function_size", 8, f"(func $f {'nop ' * 9})", "function 0 (`f`) has 10 bytes of code"),
    ("globals", 1, "(global i32 (i32.const 0)) (global i32 (i32.const 0))", "global section: 2 globals"),
    ("tables", 0, "(table 1 funcref)", "table section: 1 tables"),
    ("table_size", 9, "(table 10 funcref)", "table section: 10 elements in a table"),
    ("br_table", 2, "(func $f (br_table 0 0 0 0 (i32.const 0)))", "function 0 (`f`) has 3 labels in a br_table"),
    ("nesting", 2, "(func $f (block (block)))", "function 0 (`f`) has 3 open blocks"),
    ("nesting_locals", 5, "(func $f (param i32 i32 i32) (block))", "function 0 (`f`) has 6 open blocks times locals"),
    ("data_segments", 0, '(memory 1) (data (i32.const 0) "a")', "data section: 1 data segments"),
    ("element_segments", 0, "(elem func)", "element section: 1 element segments"),
]


@pytest.mark.parametrize(("limit", "value", "part", "message"), LIMITED, ids=[row[0] for row in LIMITED])
def test_limits_are_kept(limit: str, value: int, part: str, message: str) -> None:
    code = wasm(part, MAIN)
    error = refusal(code, ModuleLimitExceeded, limits={limit: value}, allowed_imports={"a.b"})
    assert message + f", the limit is {value}" in str(error)
    assert error.offset is not None


def test_every_limit_is_tested() -> None:
    assert {row[0] for row in LIMITED} | {"code_size", "memory_pages"} == set(ModuleLimits.model_fields)


@pytest.mark.parametrize(
    ("limit", "value", "part"),
    [
        ("locals", 6, "(func (param i32) (local i32 i32 i64 i64 i32))"),
        ("br_table", 3, "(func (br_table 0 0 0 0 (i32.const 0)))"),
        ("nesting", 3, "(func (block (block)) (block (block)))"),
        ("table_size", 10, "(table 10 funcref)"),
        ("memory_pages", 3, "(memory 3 65536)"),
    ],
)
def test_limits_may_be_reached(limit: str, value: int, part: str) -> None:
    accept(wasm(part, MAIN), limits={limit: value})


def test_code_size_is_limited() -> None:
    code = wasm(MAIN)
    accept(code, limits={"code_size": len(code)})
    error = refusal(code, CodeTooLarge, limits={"code_size": len(code) - 1})
    assert str(error) == f"module has {len(code)} bytes, the limit is {len(code) - 1}"


def test_memory_is_limited() -> None:
    error = refusal(wasm("(memory 4)", MAIN), MemoryTooLarge, limits={"memory_pages": 3})
    assert "memory section: memory of 4 pages, the limit is 3" in str(error)


def test_billions_of_locals_are_refused_at_once() -> None:
    code = wasm("(func (local i64))", MAIN).replace(b"\4\1\1\x7e\x0b", b"\x08\1\xff\xff\xff\xff\x0f\x7e\x0b")
    code = code.replace(b"\x0a\x0c\x02", b"\x0a\x10\x02").replace(b"\x0a\x0b\x02", b"\x0a\x0f\x02")
    assert "has 4294967295 locals, the limit is 1024" in str(refusal(code, ModuleLimitExceeded))


def test_too_many_things_are_refused_before_they_are_read() -> None:
    code = b"\0asm\1\0\0\0\1\3\xe9\7\xff"  # 1001 types, of which not even the first is one
    message = "offset 0xa: type section: 1001 function types, the limit is 1000"
    assert str(refusal(code, ModuleLimitExceeded)) == message
