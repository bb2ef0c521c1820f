"""`vmloom wasm spectest`: reads scripts as the official suite writes them, and notices whatever is not as expected."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vmloom_wasm.spectest.world as world
from click.testing import CliRunner, Result
from vmloom.errors import InputError
from vmloom_wasm.binary.module import Module
from vmloom_wasm.cli.spectest import spectest
from vmloom_wasm.metering import COSMWASM, instrument
from vmloom_wasm.spectest import CommandKind, Report, Runner, Value, read_script
from vmloom_wasm.spectest.wast import forms, unquoted
from wasmtime import wat2wasm

SUITE = os.environ.get("VMLOOM_WASM_SUITE", "")

ADD = """(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
"""
TRAPS = """(module (memory 1) (table 2 funcref) (elem (i32.const 0) $up) (func $up)
  (func (export "unreachable") unreachable)
  (func (export "load") (result i32) i32.const 70000 i32.load)
  (func (export "divide") (result i32) i32.const 1 i32.const 0 i32.div_u)
  (func (export "overflow") (result i32) i32.const 0x80000000 i32.const -1 i32.div_s)
  (func (export "convert") (result i32) f32.const nan i32.trunc_f32_s)
  (func (export "null") i32.const 1 call_indirect)
  (func (export "undefined") i32.const 9 call_indirect)
  (func (export "type") (result i32) i32.const 0 call_indirect (result i32))
  (func $deep (export "deep") call $deep))
"""


def script(folder: Path, text: str, name: str = "script.wast") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def run(folder: Path, text: str, **options: Any) -> Report:
    return Runner(**options).run("script", read_script(script(folder, text)))


def complaints(report: Report) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in report.differences]


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(spectest, [str(argument) for argument in arguments])


# Reading


def test_forms_leave_out_comments_and_annotations() -> None:
    (form,) = forms('(a ;; (\n (; ) (; " ;) ;) "(" (@note (x)) (b c) d)')
    assert form.head == "a"
    assert [item if isinstance(item, str) else item.items for item in form.items] == ["a", '"("', ("b", "c"), "d"]


@pytest.mark.parametrize("text", ["(a", "a)", "(; a", "(a (b)", "(module)(register)", "(module)(invoke)"])
def test_text_that_is_no_script_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"script\.wast"):
        list(read_script(script(tmp_path, text)))


def test_strings_are_bytes() -> None:
    assert unquoted(r'"a\t\n\"\\\00\ff\u{e9}é"') == b'a\t\n"\\\x00\xff' + "éé".encode()


def test_numbers_are_read_to_the_bit(tmp_path: Path) -> None:
    values = {
        "i32.const -1": 0xFFFFFFFF,
        "i64.const 0x8000_0000_0000_0000": 1 << 63,
        "f32.const 0x1.fffffep+127": 0x7F7FFFFF,
        "f32.const -0": 0x80000000,
        "f64.const 0.1": struct.unpack("<Q", struct.pack("<d", 0.1))[0],
        "f64.const -nan:0x4000000000001": 0xFFF4000000000001,
        "f32.const -inf": 0xFF800000,
    }
    text = "".join(f'\n(assert_return (invoke "f" ({number})))' for number in values)
    found = list(read_script(script(tmp_path, "(module)" + text)))
    assert [one.action.arguments[0].bits for one in found[1:] if one.action] == list(values.values())
    assert [one.line for one in found] == list(range(1, 9))


@pytest.mark.parametrize(
    ("kind", "bits", "matches"),
    [
        ("canonical", 0x7FC00000, True),
        ("canonical", 0xFFC00000, True),
        ("canonical", 0x7FC00001, False),
        ("canonical", 0x7F800000, False),
        ("arithmetic", 0xFFC00001, True),
        ("arithmetic", 0x7FA00000, False),
        ("arithmetic", 0x00400000, False),
    ],
)
def test_kinds_of_nan(kind: str, bits: int, matches: bool) -> None:
    assert Value("f32", nan=kind).matches(bits) is matches
    wide = (bits & 0x80000000) << 32 | (bits & 0x7F800000) // 0x7F800000 * (0x7FF << 52) | (bits & 0x7FFFFF) << 29
    assert Value("f64", nan=kind).matches(wide) is matches


def test_modules_are_read_in_all_their_forms(tmp_path: Path) -> None:
    text = r"""(module $a) (module definition $d (func)) (module instance $i $d)
      (module $b binary "\00asm" "\01\00\00\00") (module quote "(func" ")")
      (module (export "\u{202e}é" (func 0)) (func))"""
    found = list(read_script(script(tmp_path, text)))
    kinds = [CommandKind.MODULE, CommandKind.DEFINITION, CommandKind.INSTANCE, *[CommandKind.MODULE] * 3]
    assert [one.kind for one in found] == kinds
    assert [one.name for one in found] == ["$a", "$d", "$d", "$b", None, None]
    assert not any(one.source.trouble for one in found if one.source)
    assert run(tmp_path, text).passed == 6


def test_file_may_be_one_module(tmp_path: Path) -> None:
    assert [one.kind for one in read_script(script(tmp_path, '(func) (memory 0) (func (export "f"))'))] == ["module"]


# Running


def test_expectations_that_are_met(tmp_path: Path) -> None:
    text = (
        ADD + '(assert_return (invoke "add" (i32.const 1) (i32.const -3)) (i32.const -2)) (invoke "add" (i32.const 1)'
    )
    report = run(tmp_path, text + " (i32.const 2))")
    assert (report.passed, report.differences, report.left_out) == (3, [], {})


def test_wrong_result_is_a_difference(tmp_path: Path) -> None:
    report = run(tmp_path, ADD + '(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 4))')
    assert complaints(report) == [(2, "assert_return: (0x3), not (i32:0x4)")]


def broken(given: Module, *rest: Any) -> Module:
    """Metering that makes every addition a subtraction."""
    bodies = tuple(replace(body, code=body.code.replace(b"\x6a", b"\x6b")) for body in given.bodies)
    return instrument(replace(given, bodies=bodies), *rest)


def test_metering_that_changes_a_result_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "instrument", broken)
    report = run(tmp_path, ADD + '(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 3))')
    assert complaints(report) == [(2, "assert_return: plain: (0x3), metered: (0xffffffff)")]


def test_metering_that_traps_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ADD + '(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 3))'
    monkeypatch.setattr(world, "GAS", 2)
    assert complaints(run(tmp_path, text)) == [(2, "assert_return: plain: (0x3), metered: other")]
    monkeypatch.setattr(world, "GAS", 3)
    assert complaints(run(tmp_path, text)) == []
    assert complaints(run(tmp_path, text, costs=COSMWASM)) != []


EXPECTED_TRAPS = {
    "unreachable": "unreachable",
    "load": "out of bounds memory access",
    "divide": "integer divide by zero",
    "overflow": "integer overflow",
    "convert": "invalid conversion to integer",
    "null": "uninitialized element 1",
    "undefined": "undefined element",
    "type": "indirect call type mismatch",
}


def test_kinds_of_traps(tmp_path: Path) -> None:
    lines = [f'(assert_trap (invoke "{name}") "{text}")' for name, text in EXPECTED_TRAPS.items()]
    lines.append('(assert_exhaustion (invoke "deep") "call stack exhausted")')
    assert run(tmp_path, TRAPS + "\n".join(lines)).passed == 10


@pytest.mark.parametrize("name", [*EXPECTED_TRAPS, "deep"])
def test_another_kind_of_trap_is_a_difference(name: str, tmp_path: Path) -> None:
    other = "unreachable" if name != "unreachable" else "integer overflow"
    report = run(tmp_path, TRAPS + f'(assert_trap (invoke "{name}") "{other}")(assert_return (invoke "{name}"))')
    assert [line for line, _ in complaints(report)] == [11, 11]


def test_memory_and_globals_live_on_between_commands(tmp_path: Path) -> None:
    text = """(module $m (global (export "g") (mut i64) (i64.const 5)) (memory 1)
        (func (export "set") i64.const 7 global.set 0 i32.const 8 i32.const 9 i32.store)
        (func (export "get") (result i32) i32.const 8 i32.load))
      (module) (invoke $m "set")
      (assert_return (get $m "g") (i64.const 7)) (assert_return (invoke $m "get") (i32.const 9))"""
    assert (run(tmp_path, text).passed, run(tmp_path, text).differences) == (5, [])


def test_start_functions_and_segments_that_trap(tmp_path: Path) -> None:
    text = """(assert_trap (module (func unreachable) (start 0)) "unreachable")
      (assert_trap (module (memory 1) (data (i32.const 65536) "a")) "out of bounds memory access")
      (module (global (export "g") (mut i32) (i32.const 0)) (func i32.const 3 global.set 0) (start 0))
      (assert_return (get "g") (i32.const 3))"""
    assert (run(tmp_path, text).passed, run(tmp_path, text).differences) == (4, [])
    wrong = """(assert_trap (module (func) (start 0)) "unreachable")
      (assert_trap (module (func unreachable) (start 0)) "integer overflow")
      (module (func unreachable) (start 0))"""
    assert [line for line, _ in complaints(run(tmp_path, wrong))] == [1, 2, 3]


def test_verdicts(tmp_path: Path) -> None:
    right = r"""(assert_invalid (module (func (result i32))) "type mismatch")
      (assert_malformed (module binary "\00asm\01\00\00") "unexpected end")
      (assert_malformed (module binary "\00asm\01\00\00\00\05\08\01\00\82\80\80\80\80\00") "too long")"""
    assert (run(tmp_path, right).passed, run(tmp_path, right).differences) == (3, [])
    wrong = r"""(assert_invalid (module (func)) "type mismatch")
      (assert_malformed (module binary "\00asm\01\00\00\00") "unexpected end")
      (module (func (result i32)))"""
    report = run(tmp_path, wrong)
    assert [line for line, _ in complaints(report)] == [1, 2, 3]
    assert report.differences[0].text == "assert_invalid: accepted, though type mismatch"


# Linking

LINKED = """(module $counter (global $n (mut i32) (i32.const 0)) (global (export "step") i32 (i32.const 10))
    (func (export "count") (result i32) global.get $n i32.const 1 i32.add global.set $n global.get $n)
    (func (export "trap") unreachable))
  (register "counter" $counter)
  (module (import "counter" "count" (func $count (result i32))) (import "counter" "trap" (func $trap))
    (import "counter" "step" (global i32)) (import "spectest" "print_i32" (func $print (param i32)))
    (import "spectest" "memory" (memory 1)) (import "spectest" "table" (table 10 funcref))
    (import "spectest" "global_i32" (global i32)) (global i32 (global.get 1))
    (data (global.get 0) "x") (elem (global.get 0) $double) (func $double)
    (func (export "twice") (result i32) call $count drop call $count)
    (func (export "fail") call $trap)
    (func (export "constants") (result i32 i32 i32) i32.const 0 call $print
      global.get 0 global.get 2 i32.const 10 i32.load8_u))
"""


def test_modules_are_linked(tmp_path: Path) -> None:
    text = LINKED.replace("(elem (global.get 0) $double)", "")
    text += """(assert_return (invoke "twice") (i32.const 2)) (assert_return (invoke $counter "count") (i32.const 3))
      (assert_return (invoke "constants") (i32.const 10) (i32.const 666) (i32.const 120))
      (assert_trap (invoke "fail") "unreachable")
      (assert_return (invoke "twice") (i32.const 5))"""
    report = run(tmp_path, text)
    assert (report.passed, report.differences, report.left_out) == (8, [], {})


def test_segments_beyond_the_table_of_spectest_trap(tmp_path: Path) -> None:
    report = run(tmp_path, LINKED)
    assert [text for _, text in complaints(report)] == [
        "module: plain: table out of bounds, metered: table out of bounds"
    ]


def test_links_that_must_fail(tmp_path: Path) -> None:
    text = """(module (func (export "f"))) (register "m")
      (assert_unlinkable (module (import "m" "g" (func))) "unknown import")
      (assert_unlinkable (module (import "m" "f" (func (param i32)))) "incompatible import type")
      (assert_unlinkable (module (import "m" "f" (func))) "no reason")
      (assert_unlinkable (module (import "spectest" "memory" (memory 9))) "incompatible import type")"""
    report = run(tmp_path, text)
    assert report.passed == 4
    assert complaints(report) == [(4, "assert_unlinkable: linked")]
    assert report.left_out == {"linking of memories, tables and globals": 1}


# What is left out


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("(func (param v128))", "SIMD"),
        ("(memory 1 1 shared)", "threads"),
        ("(memory i64 1)", "memory64"),
        ("(memory 1) (memory 1)", "multiple memories"),
        ("(func return_call 0)", "tail calls"),
        ("(tag)", "exceptions"),
        ("(type (struct))", "garbage collection"),
        ("(func (param (ref func)))", "typed function references"),
        ('(import "spectest" "memory" (memory 2))', "imports a memory of another module"),
        ('(import "m" "t" (table 1 funcref))', "imports a table of another module"),
        ('(import "m" "g" (global (mut i32)))', "imports a global that is not a constant"),
    ],
)
def test_modules_that_are_left_out_are_counted_with_all_that_needs_them(
    module: str, reason: str, tmp_path: Path
) -> None:
    report = run(tmp_path, f'(module {module}) (invoke "f") (assert_return (invoke "g") (i32.const 1)) (register "m")')
    assert (report.passed, report.differences, report.left_out) == (0, [], {reason: 4})
    assert report.is_left_out


def test_state_that_a_left_out_module_may_have_changed_is_not_a_difference(tmp_path: Path) -> None:
    text = """(module $m (memory (export "mem") 1) (func (export "get") (result i32) i32.const 0 i32.load8_u))
      (register "m" $m) (module (import "m" "mem" (memory 1)) (data (i32.const 0) "a"))
      (assert_return (invoke $m "get") (i32.const 97))
      (module $n (func (export "get") (result i32) i32.const 0)) (assert_return (invoke $n "get") (i32.const 97))"""
    report = run(tmp_path, text)
    assert report.left_out == {"imports a memory of another module": 1, "after a call that was left out": 1}
    assert complaints(report) == [(4, "assert_return: (0x0), not (i32:0x61)")]


def test_references_and_text_are_left_out(tmp_path: Path) -> None:
    text = """(module (func (export "f") (param externref) (result i32) i32.const 1)
        (func (export "g") (result funcref) ref.null func))
      (assert_return (invoke "f" (ref.extern 1)) (i32.const 1)) (assert_return (invoke "g") (ref.null func))
      (assert_malformed (module quote "(func") "unexpected token")"""
    report = run(tmp_path, text)
    assert report.left_out == {
        "references as arguments or results": 2,
        "about the text format, in which no contract is": 1,
    }


# The command


def test_command_reports_by_script(tmp_path: Path) -> None:
    script(tmp_path, ADD + '(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 3))', "add.wast")
    script(tmp_path, "(module (func (param v128)))", "vector.wast")
    (tmp_path / "proposals").mkdir()
    result = command(tmp_path)
    assert result.exit_code == 0
    assert "2 scripts, 2 commands passed, 0 failed, 1 left out" in result.output
    for words in (("add.wast", "2"), ("vector.wast", "SIMD (1)"), ("proposals/", "not of the standard")):
        assert any(all(word in line for word in words) for line in result.output.splitlines()), words


def test_command_fails_if_a_script_does(tmp_path: Path) -> None:
    script(tmp_path, ADD + '(assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const 4))', "add.wast")
    script(tmp_path, "(module)", "fine.wast")
    result = command(tmp_path, "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["scripts"]["add.wast"]["failed"] == [{"line": 2, "message": "assert_return: (0x3), not (i32:0x4)"}]
    assert report["total"] == {"passed": 2, "failed": 1, "left_out": {}}
    assert command(tmp_path, "--filter", "fine").exit_code == 0


def test_script_that_cannot_be_read_fails(tmp_path: Path) -> None:
    script(tmp_path, "(module) (thread $t)")
    result = command(tmp_path)
    assert result.exit_code == 1
    assert "unknown command thread" in result.output


def test_folder_without_scripts_is_refused(tmp_path: Path) -> None:
    result = command(tmp_path)
    assert isinstance(result.exception, InputError)
    assert "wast2json" in str(result.exception)
    script(tmp_path, "(module)")
    assert isinstance(command(tmp_path, "--filter", "other").exception, InputError)


# The other form


def test_output_of_wast2json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.0.wasm").write_bytes(bytes(wat2wasm(ADD)))
    (tmp_path / "a.1.wasm").write_bytes(bytes(wat2wasm("(module (func (result i32)))")))
    (tmp_path / "a.2.wasm").write_bytes(bytes(wat2wasm("(module (func unreachable) (start 0))")))
    call = {"type": "invoke", "field": "add", "args": [{"type": "i32", "value": "1"}, {"type": "i32", "value": "2"}]}
    commands: list[dict[str, Any]] = [
        {"type": "module", "line": 1, "name": "$a", "filename": "a.0.wasm"},
        {"type": "register", "line": 2, "name": "$a", "as": "a"},
        {"type": "assert_return", "line": 3, "action": call, "expected": [{"type": "i32", "value": "3"}]},
        {"type": "assert_return", "line": 4, "action": call, "expected": [{"type": "i32", "value": "4"}]},
        {"type": "assert_trap", "line": 5, "action": call, "text": "unreachable", "expected": [{"type": "i32"}]},
        {"type": "assert_invalid", "line": 6, "filename": "a.1.wasm", "text": "type mismatch", "module_type": "binary"},
        {"type": "assert_malformed", "line": 7, "filename": "a.2.wat", "text": "syntax", "module_type": "text"},
        {"type": "assert_uninstantiable", "line": 8, "filename": "a.2.wasm", "text": "unreachable"},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"source_filename": "a.wast", "commands": commands}))
    report = json.loads(command(tmp_path, "--json").output)
    assert report["total"]["passed"] == 5
    assert [one["line"] for one in report["scripts"]["a.json"]["failed"]] == [4, 5]
    assert report["total"]["left_out"] == {"about the text format, in which no contract is": 1}


@pytest.mark.parametrize("content", ["", "{}", '{"commands": [{}]}', '{"commands": [{"type": "module", "line": 1}]'])
def test_json_that_is_no_script_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json"):
        list(read_script(script(tmp_path, content, "a.json")))


# The suite itself


@pytest.mark.skipif(not SUITE, reason="set VMLOOM_WASM_SUITE to a checkout of WebAssembly/testsuite to run it")
def test_official_suite() -> None:
    result = command(SUITE, "--json")
    total = json.loads(result.output)["total"]
    assert (result.exit_code, total["failed"]) == (0, 0)
    assert total["passed"] > 20_000
