"""Modules that mean harm: each is refused with a typed error, or runs within its gas, in little time and memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom import ExecutionState
from vmloom.errors import CodeError, InvalidCode, MemoryTooLarge, ProhibitedImport, ProhibitedOpcode
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_wasm.abi import FUNCTIONS
from vmloom_wasm.binary.module import Body, Custom, Data, Export, FunctionType, Kind, Limits, Module, Section, decode
from vmloom_wasm.binary.writer import encode, sized, unsigned
from vmloom_wasm.config import ModuleLimits, ValidationConfig, WasmConfig
from vmloom_wasm.engine import (
    Engine,
    EngineSettings,
    HostFunctions,
    Instance,
    Linked,
    SignatureMismatch,
    TrapKind,
    WasmTrap,
    compile_module,
    signature,
)
from vmloom_wasm.engine import Limits as RunLimits
from vmloom_wasm.engine.verdict import invalidity
from vmloom_wasm.metering import (
    EXHAUSTED_EXPORT,
    GAS_EXPORT,
    RESERVED_PREFIX,
    STACK_EXPORT,
    START_EXPORT,
    Exhausted,
    instrument,
)
from vmloom_wasm.validation import ModuleLimitExceeded, validate
from vmloom_wasm.vm import WasmVm
from wasmtime import wat2wasm

from .contracts import CONTRACT, GAS, WAT_TYPES, bytes_at, contract, module, run, world

PAGE = 65_536
LAST = 0xFFFFFFFF
MAIN = '(func (export "main") (param i32 i32 i32) (result i32) i32.const 1)'
ENGINES = [Engine(EngineSettings(optimize=optimize, parallel=False)) for optimize in (True, False)]
CONFIG = ValidationConfig(allowed_imports=frozenset({"env.h"}))
I32 = 0x7F


def wasm(text: str) -> bytes:
    return bytes(wat2wasm(f"(module {text})"))


def built(*bodies: Body, **parts: Any) -> Module:
    """A module of a `main`, and of functions without parameters and results."""
    return replace(
        Module(
            types=(FunctionType(bytes((I32,) * 3), bytes((I32,))), FunctionType(b"", b"")),
            functions=(0, *[1] * len(bodies)),
            exports=(Export("main", Kind.FUNCTION, 0),),
            bodies=(Body((), b"\x41\x01\x0b"), *bodies),
        ),
        **parts,
    )


def metered(
    module: Module,
    *,
    gas: int = 10**9,
    stack: int = 65_536,
    engine: Engine = ENGINES[0],
    limits: RunLimits | None = None,
) -> Instance:
    """An instance with metering that has not run yet."""
    linked = Linked(compile_module(engine, encode(instrument(module))), HostFunctions(engine))
    made = linked.instantiate(limits)
    made.variable(GAS_EXPORT).set(gas)
    made.variable(STACK_EXPORT).set(stack)
    return made


def exhausted(made: Instance, name: str = "main", *arguments: int) -> Exhausted:
    """What the run used up; it must trap."""
    with pytest.raises(WasmTrap) as caught:
        made.call(name, *(arguments or [0] * len(made.compiled.functions[name].parameters)))
    assert caught.value.kind is TrapKind.UNREACHABLE
    return Exhausted(made.variable(EXHAUSTED_EXPORT).get())


def bounded(program: str, *, seconds: int = 60, mebibytes: int = 512) -> str:
    """What a program prints in a process with limited processor time and data."""
    limits = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
        resource.setrlimit(resource.RLIMIT_DATA, ({mebibytes << 20}, {mebibytes << 20}))
        def peak():  # MiB; what getrusage says of a new process may be its parent's
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10
        """
    code = textwrap.dedent(limits) + textwrap.dedent(program)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.strip()


# Broken bytes

RICH = wasm(
    """(import "env" "h" (func $h (param i32) (result i32))) (memory 1 3) (table 3 funcref)
    (global $g (mut i64) (i64.const 5)) (elem (i32.const 0) $f $h) (data (i32.const 7) "abc") (data "passive")
    (func $f (param i32 i64) (result i32) (local f32 f64)
        (block (br_table 0 0 0 (local.get 0))) (call_indirect (param i32) (result i32)
        (i32.load8_u offset=3 (local.get 0)) (i32.const 1)))
    (start $s) (func $s (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop 1))"""
    + MAIN
)


RICH = encode(replace(decode(RICH), customs=()))


def judged(code: bytes) -> CodeError | None:
    """How validation refuses `code`, if it does; never in disagreement with wasmtime."""
    verdict, refusal = invalidity(ENGINES[0], code), None
    try:
        validate(code, CONFIG)
    except CodeError as error:
        refusal = error
    if refusal is None or isinstance(refusal, InvalidCode):
        assert (refusal is None) == (verdict is None)
    return refusal


def test_every_beginning_of_a_module_is_refused() -> None:
    assert judged(RICH) is None
    for size in range(len(RICH)):
        assert judged(RICH[:size]) is not None, size


def test_every_change_of_a_byte_is_refused_or_harmless() -> None:
    outcomes = set()
    for at, byte in product(range(len(RICH)), (0x00, 0x7F, 0x80, 0xFF)):
        outcomes.add(judged(RICH[:at] + bytes((byte,)) + RICH[at + 1 :]) is None)
    assert outcomes == {True, False}


@pytest.mark.parametrize(("size", "valid"), [(2, True), (5, True), (6, False)])
def test_overlong_integers_are_read_as_far_as_the_format_has_them(size: int, valid: bool) -> None:
    """A u32 may have up to 5 bytes; of the fifth, four bits."""
    count = bytes((0x81,)) + b"\x80" * (size - 2) + b"\0"
    section = count + b"\x60\0\0"
    code = b"\0asm\1\0\0\0\1" + unsigned(len(section)) + section
    assert (invalidity(ENGINES[0], code) is None) == valid
    if valid:
        assert decode(code).types == (FunctionType(b"", b""),)
    else:
        assert isinstance(judged(code), InvalidCode)
    unused = code.replace(count, b"\x81\x80\x80\x80\x10")
    assert isinstance(judged(unused), InvalidCode)


def test_numbers_that_are_larger_than_what_follows_allocate_nothing() -> None:
    """Each count of each section is said to be the largest there is."""
    for section in range(1, 13):
        for prefix in (b"", b"\1", b"\1\0", b"\1\x60", b"\1\0\0", b"\1\0\x41\0\x0b"):
            content = prefix + b"\xff\xff\xff\xff\x0f"
            code = b"\0asm\1\0\0\0" + bytes((section,)) + sized(content)
            assert judged(code) is not None


def test_custom_sections_are_skipped_however_many_and_large() -> None:
    names = b"\1" + sized(b"\xff\xff\xff\xff\x0f" + b"\0\1a")
    customs = [Custom("name", names, Section.CODE)] * 20 + [Custom("", bytes(900_000), None)]
    customs += [Custom("x", b"", Section.CODE)] * 10_000
    code = encode(built(customs=tuple(customs)))
    assert judged(code) is None
    broken = encode(built(Body((), b"\x6a\x0b"), customs=tuple(customs)))
    assert "function 1: type mismatch" in str(judged(broken))


def test_custom_section_without_a_proper_name_is_refused() -> None:
    for content in (b"", b"\5ab", b"\1\xff"):
        assert isinstance(judged(encode(built()) + b"\0" + sized(content)), InvalidCode)


@pytest.mark.parametrize(
    "name", ["a" * 100_000, "\0", "\x1b[2J\n", "\u202e", "vmloom\u200b:gas_left", "VMLOOM:gas_left", ""]
)
def test_names_of_exports_may_be_anything(name: str) -> None:
    given = built(exports=(Export("main", Kind.FUNCTION, 0), Export(name, Kind.FUNCTION, 0)))
    validate(encode(given))
    made = metered(given, gas=0)
    assert exhausted(made) is Exhausted.GAS


def test_one_name_for_two_exports_is_refused() -> None:
    twice = (Export("main", Kind.FUNCTION, 0), Export("main", Kind.FUNCTION, 0))
    assert "duplicate export" in str(judged(encode(built(exports=twice))))


# What the instrumentation adds


@pytest.mark.parametrize("name", [GAS_EXPORT, STACK_EXPORT, EXHAUSTED_EXPORT, START_EXPORT, RESERVED_PREFIX + "gas:0"])
@pytest.mark.parametrize("kind", ["func", "global", "memory", "table"])
def test_names_of_the_meters_cannot_be_exported(name: str, kind: str) -> None:
    text = "(func) (global i64 (i64.const 0)) (memory 1) (table 1 funcref)"
    code = wasm(f'{text} (export "{name}" ({kind} 0))' + MAIN)
    with pytest.raises(CodeError, match="reserved"):
        validate(code)
    with pytest.raises(CodeError, match="reserved"):
        instrument(decode(code))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("body", ["\x23{}\x1a", "\x42\0\x24{}", "\x41\0\x24{}"])
def test_meters_cannot_be_named_by_their_index(body: str, index: int) -> None:
    """They come behind a module's own globals, of which this one has none."""
    code = encode(built(Body((), body.format(chr(index)).encode() + b"\x0b")))
    with pytest.raises(InvalidCode, match="unknown global"):
        validate(code)


@pytest.mark.parametrize("kind", ["(func)", "(global (mut i64))", "(memory 1)", "(table 1 funcref)"])
@pytest.mark.parametrize("name", [GAS_EXPORT, "h", "memory"])
def test_meters_and_memories_cannot_be_imported(name: str, kind: str) -> None:
    code = wasm(f'(import "env" "{name}" {kind})' + MAIN)
    if (name, kind) != ("h", "(func)"):
        with pytest.raises(ProhibitedImport):
            validate(code, CONFIG)
    with pytest.raises(ProhibitedImport):  # nor can it be linked, were it accepted
        Linked(compile_module(ENGINES[0], code), HostFunctions(ENGINES[0]))


def test_second_import_of_a_name_with_another_type_is_refused() -> None:
    functions = HostFunctions(ENGINES[0])
    functions.define("env", "h", "i:i", lambda _, value: value)
    same = '(import "env" "h" (func (param i32) (result i32)))'
    for other, fits in ((same, True), ('(import "env" "h" (func (param i64)))', False)):
        for text in (same + other, other + same):
            if fits:
                Linked(compile_module(ENGINES[0], wasm(text + MAIN)), functions)
            else:
                with pytest.raises(SignatureMismatch, match=r"import env\.h is both"):
                    compile_module(ENGINES[0], wasm(text + MAIN))


def test_host_functions_cannot_be_imported_with_other_types_beside_the_right_one() -> None:
    right = '(import "env" "caller" (func (param i32)))'
    for wrong in ('(import "env" "caller" (func))', '(import "env" "caller" (func (param i32) (result i32)))'):
        for text in (right + wrong, wrong + right):
            with pytest.raises(ProhibitedImport, match=r"env\.caller` is wanted with two signatures"):
                VM.validate_code(wasm(text + MAIN))
            with pytest.raises(ProhibitedImport):
                run(VM, wasm(text + MAIN))
    assert run(VM, wasm(right + right + MAIN)).success


# Things that are large


@pytest.mark.parametrize(
    "body",
    [
        Body(((0, I32),) * 80_000, b"\x0b"),  # runs of no locals
        Body(((1023, I32),), b"\x0b"),
        Body((), b"\x02\x40" * 1022 + b"\x0b" * 1023),
        Body((), (b"\x41\x7f\x0e" + unsigned(1023) + b"\0" * 1024) * 60 + b"\x0b"),
        Body((), b"\x41\0" * 20_000 + b"\x1a" * 20_000 + b"\x0b"),
        Body((), b"\x10\1" * 30_000 + b"\x0b"),
    ],
    ids=["runs", "locals", "nesting", "br_table", "operands", "calls"],
)
def test_large_functions_are_compiled_soon(body: Body) -> None:
    given = built(body, exports=(Export("main", Kind.FUNCTION, 0), Export("f", Kind.FUNCTION, 1)))
    assert decode(encode(given)) == validate(encode(given))
    made = metered(given, gas=10_000)
    if len(body.locals) < 2 and len(body.code) < 3000:
        made.call("f")
    else:  # whatever it is, it ends
        try:
            made.call("f")
        except WasmTrap:
            assert made.variable(EXHAUSTED_EXPORT).get() != Exhausted.NOTHING


@pytest.mark.parametrize("opening", [b"\x02\x40", b"\x03\x40"], ids=["blocks", "loops"])
def test_blocks_times_locals_are_limited(opening: bytes) -> None:
    """What the compiler needs grows with the square of this product: the second of these would take 10 minutes."""
    for number in (400, 1000):
        change = b"".join(b"\x20" + unsigned(at) + b"\x41\x01\x6a\x21" + unsigned(at) for at in range(number))
        code = opening * number + change + b"\x20\0\x0d\0\x0b" * number + b"\x0b"
        with pytest.raises(ModuleLimitExceeded):
            validate(encode(built(Body(((number, I32),), code))))


def test_a_thousand_segments_are_refused_or_run() -> None:
    data = tuple(Data(0, 0, b"\x41\0\x0b", b"x" * 100) for _ in range(1000))
    given = built(datas=data, memories=(Limits(1),))
    made = metered(validate(encode(given)))
    assert made.call("main", 0, 0, 0) == 1
    with pytest.raises(ModuleLimitExceeded, match="data segments"):
        validate(encode(replace(given, datas=(*data, data[0]))))


@pytest.mark.parametrize(
    "text",
    [
        '(memory 1) (data (i32.const 65536) "x")',
        '(memory 1) (data (i32.const -1) "x")',
        '(memory 0) (data (i32.const 0) "x")',
        "(table 1 funcref) (elem (i32.const 1) func 0)",
        "(table 1 funcref) (elem (i32.const -1) func 0)",
    ],
)
def test_segments_beyond_the_end_are_traps_before_anything_runs(text: str) -> None:
    code = wasm(text + "(func $s unreachable) (start $s)" + MAIN)
    validate(code)
    with pytest.raises(WasmTrap) as caught:
        metered(decode(code))
    assert caught.value.kind in (TrapKind.MEMORY_OUT_OF_BOUNDS, TrapKind.TABLE_OUT_OF_BOUNDS)
    result = run(VM, code)
    assert (result.state, result.gas_used) == (ExecutionState.FAILED, GAS)


def test_largest_memory_takes_addresses_and_no_memory() -> None:
    text = (
        f"""(memory (export "memory") {PAGE} {PAGE}) (func (export "touch") (param i32) (result i32)
        (i32.store8 (local.get 0) (i32.const 7)) (i32.load8_u (local.get 0)))"""
        + MAIN
    )
    code = wasm(text)
    with pytest.raises(MemoryTooLarge):
        validate(code)
    validate(code, ValidationConfig(limits=ModuleLimits(memory_pages=PAGE)))
    program = f"""
        from vmloom_wasm.engine import *
        code = bytes.fromhex("{code.hex()}")
        engine = Engine()
        linked = Linked(compile_module(engine, code), HostFunctions(engine))
        made = [linked.instantiate(Limits(memory_pages=65_536)) for _ in range(20)]
        print(made[0].call("touch", 2**32 - 1), made[0].memory.size)
        assert peak() < 512
        """
    reserved = 20 * (PAGE * PAGE >> 20)  # counts as data, though there is nothing behind it
    assert bounded(program, mebibytes=reserved + 512) == f"7 {PAGE * PAGE}"


@pytest.mark.parametrize(
    "text",
    [
        "(memory 0 0) (table 0 0 funcref) (elem (i32.const 0) func) (data (i32.const 0)) (data)",
        '(type (func)) (func) (func (export "")) (global (export "g") i32 (i32.const 0))',
        '(memory 0) (func (export "f") (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))',
    ],
)
def test_things_of_size_zero(text: str) -> None:
    code = wasm(text + MAIN)
    made = metered(validate(code))
    assert made.call("main", 0, 0, 0) == 1
    if "f" in made.compiled.functions:
        made.call("f")
    assert run(VM, code).success


# Code that never ends


@pytest.mark.parametrize(
    "text",
    [
        "(func $s (loop (br 0))) (start $s)",
        "(func $s (call $s)) (start $s)",
        "(global $g (mut i32) (i32.const 0)) (func $s (loop (br_if 0 (i32.eqz (global.get $g))))) (start $s)",
        "(memory 1) (func $s (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0))) (start $s)",
        "(func $s (loop (br_table 0 0 0 (i32.const 9)))) (start $s)",
    ],
)
def test_start_function_that_never_ends_is_metered(text: str) -> None:
    """It must not run when the instance is made: nothing is paid then."""
    code = wasm(text + MAIN)
    made = metered(validate(code), gas=100_000, stack=1000)
    assert exhausted(made, START_EXPORT) in (Exhausted.GAS, Exhausted.STACK)
    result = run(VM, code, gas=100_000)
    assert result.state is ExecutionState.FAILED
    assert result.error in ("out of gas", "stack limit reached")


def test_start_function_that_traps_fails_the_call() -> None:
    for body in ("unreachable", "(drop (i32.div_u (i32.const 1) (i32.const 0)))", "(call_indirect (i32.const 0))"):
        code = wasm(f"(table 1 funcref) (func $s {body}) (start $s)" + MAIN)
        result = run(VM, code)
        assert (result.state, result.gas_used) == (ExecutionState.FAILED, GAS)
        assert result.metadata["trap"]["backtrace"] == ["s"]


def test_growth_is_paid_and_ends() -> None:
    text = (
        """(memory (export "memory") 0) (func (export "one") (loop (drop (memory.grow (i32.const 1))) (br 0)))
        (func (export "all") (drop (memory.grow (i32.const -1))))
        (func (export "most") (result i32) (memory.grow (i32.const 65536)))"""
        + MAIN
    )
    given = validate(wasm(text))
    made = metered(given, gas=100_000_000, limits=RunLimits(memory_pages=100))
    assert exhausted(made, "one") is Exhausted.GAS
    assert made.memory.size == 100 * PAGE
    assert exhausted(metered(given, gas=10**13), "all") is Exhausted.GAS
    made = metered(given, gas=10**13, limits=RunLimits(memory_pages=100))
    assert made.call("most") == LAST  # -1
    assert made.variable(GAS_EXPORT).get() < 10**13 - 40_000 * PAGE  # and paid, though it failed


def test_tables_grow_within_their_limit() -> None:
    """Validation refuses it, as contracts have no use for it; should that change, it costs and has an end."""
    text = (
        """(table $t 1 funcref) (func (export "grow") (param i32) (result i32)
        (table.grow $t (ref.null func) (local.get 0)))"""
        + MAIN
    )
    code = wasm(text)
    with pytest.raises(ProhibitedOpcode):
        validate(code)
    made = metered(decode(code), gas=10**12)
    assert made.call("grow", 9_999) == 1
    assert made.call("grow", 1) == LAST
    assert exhausted(metered(decode(code), gas=10**9), "grow", LAST) is Exhausted.GAS


RECURSIONS = {
    "direct": "(func $f (call $f))",
    "mutual": "(func $f (call $g)) (func $g (call $h)) (func $h (call $f))",
    "indirect": "(table 1 funcref) (elem (i32.const 0) $f) (func $f (call_indirect (i32.const 0)))",
    "values": f"(func $f {'(i64.const 1) ' * 90} (call $g) {'(drop) ' * 90}) (func $g (call $f))",
    "params": f"(func $f {'(param i64) ' * 90} {' '.join(f'(local.get {at})' for at in range(90))} (call $f))",
    "locals": f"""(func $f (local {"i64 " * 500}) {
        " ".join(f"(local.set {at} (i64.load (i32.const {8 * at})))" for at in range(500))
    } (call $f) {" ".join(f"(i64.store (i32.const {8 * at}) (local.get {at}))" for at in range(500))})""",
    "blocks": f"(func $f {'(block ' * 500} (call $f) {')' * 500})",
}


@pytest.mark.parametrize("name", RECURSIONS)
def test_recursion_ends_at_the_same_depth_everywhere(name: str) -> None:
    call = "(i64.const 0) " * 90 + "(call $f)" if name == "params" else "(call $f)"
    text = f'(memory 1) {RECURSIONS[name]} (func (export "run") {call})' + MAIN
    given = validate(wasm(text))
    left = set()
    for engine in ENGINES:
        made = metered(given, gas=10**12, engine=engine)
        assert exhausted(made, "run") is Exhausted.STACK
        left.add((made.variable(STACK_EXPORT).get(), made.variable(GAS_EXPORT).get()))
    assert len(left) == 1


def sharing(values: int) -> bytes:
    """Recursion in which a compiler may keep `values` results over the call, for what is computed again after it."""
    work = " ".join(
        f"(local.set 1 (i32.xor (local.get 1) (i32.mul (local.get 0) (i32.const {2 * at + 3}))))"
        for at in range(values)
    )
    return wasm(f"""(func $f (param i32) (result i32) (local i32) {work}
        (if (local.get 0) (then (local.set 1 (call $f (i32.sub (local.get 0) (i32.const 1)))))) {work} (local.get 1))
        (func (export "main") (param i32 i32 i32) (result i32) (call $f (i32.const 0x40000000)))""")


@pytest.mark.parametrize("values", [100, 2500])
def test_no_frame_is_larger_than_its_words(values: int) -> None:
    result = run(VM, sharing(values), gas=10**10)
    assert (result.state, result.error) == (ExecutionState.FAILED, "stack limit reached")


# Through the VM

VM = WasmVm(WasmConfig(disk_cache=False))
CALLS = ("call", "call_static", "call_delegate", "create", "create2")
HARMLESS = {
    # beyond the end are zeros, or nothing
    ("input_copy", 1),
    ("code_copy", 2),
    ("record_read", 2),
    ("record_read", 3),
    ("record_read", 4),
}
"""Parameters of functions that may be any number: where to begin in what is not memory, or what to do with nothing."""


def called(name: str, *values: int, memory: str = '(memory (export "memory") 1)') -> bytes:
    """A contract that calls a host function once. What it returns is dropped."""
    kind = signature(FUNCTIONS[name].types)
    pairs = zip(kind.parameters, values, strict=True)
    given = " ".join(f"({WAT_TYPES[letter]}.const {value})" for letter, value in pairs)
    body = f"(call ${name} {given})" + " (drop)" * len(kind.results)
    # With `finish`, nothing is put into its memory for its output.
    return contract(body, uses=" ".join(sorted({name, "finish"})), memory=memory)


def parameters(name: str) -> str:
    return signature(FUNCTIONS[name].types).parameters


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_parameter_alone_may_be_out_of_bounds(name: str) -> None:
    """Others are fine. Sums must not wrap around: 2^32 - 1 bytes at 32 end before they begin."""
    fine = [32] * len(parameters(name))
    if name in ("emit", "return_data_copy"):
        fine[1] = 0
        fine[2] = 32 if name == "emit" else 0
    assert run(VM, called(name, *fine), gas=10**9).state is not ExecutionState.FAILED or name == "abort"
    for at, letter in enumerate(parameters(name)):
        if letter != "i":
            continue
        for value in (LAST, LAST - 31, PAGE + 1):
            values = [*fine[:at], value, *fine[at + 1 :]]
            result = run(VM, called(name, *values), gas=10**13)
            if (name, at) in HARMLESS:
                assert result.success, (at, value, result.error)
            else:
                assert (result.state, result.gas_used) == (ExecutionState.FAILED, 10**13), (at, value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_memory_nothing_can_be_pointed_at(name: str) -> None:
    """No memory, one that is not exported, and one that is empty: all the same."""
    outcomes = set()
    for memory in ("", "(memory 1)", '(memory (export "other") 1)', '(memory (export "memory") 0)'):
        result = run(VM, called(name, *[0] * len(parameters(name)), memory=memory), gas=10**9)
        outcomes.add((result.state, result.gas_used, result.return_data))
    assert len(outcomes) == 1


@pytest.mark.parametrize("name", CALLS)
def test_calls_without_enough_gas_change_nothing(name: str) -> None:
    code = called(name, *[32] * len(parameters(name)))
    full = run(VM, code, gas=10**9).gas_used
    for gas in {*range(0, full, max(1, full // 50)), full - 1}:
        state = world()
        result = run(VM, code, gas=gas, state=state)
        assert result.gas_used <= gas
        if not result.success:
            assert result.error == "out of gas"
            assert not list(state.changes_since(0))


def test_sizes_of_gigabytes_are_refused_before_anything_is_made() -> None:
    codes = []
    for name in FUNCTIONS:
        for at, letter in enumerate(parameters(name)):
            if letter == "i":
                values = [0] * len(parameters(name))
                values[at] = LAST
                codes.append(called(name, *values).hex())
    program = f"""
        from vmloom import ExecutionContext, MemoryState
        from vmloom_wasm.config import WasmConfig
        from vmloom_wasm.vm import WasmVm
        vm = WasmVm(WasmConfig(disk_cache=False))
        codes = {codes!r}
        for code in codes:
            vm.execute(bytes.fromhex(code), ExecutionContext(gas_limit=2**62), MemoryState())
        print(len(codes))
        """
    assert bounded(program) == str(len(codes))


SELF_CALL = """(call $call (i64.const -1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"""


@pytest.mark.parametrize(("policy", "status"), [("allow", None), ("read_only", 2), ("deny", 2)])
def test_calls_of_oneself_end(policy: str, status: int | None) -> None:
    """With all the gas there is: by depth, or as the policy has it."""
    vm = VmFactory(Settings({"vm": {"wasm": {"disk_cache": False, "reentrancy": policy}}})).get_vm("wasm")
    assert isinstance(vm, WasmVm)
    body = f"(i32.store8 (i32.const 100) {SELF_CALL}) (call $finish (i32.const 100) (i32.const 1))"
    code = contract(body, uses="call finish", rest=bytes_at(0, CONTRACT))
    result = run(vm, code, state=world((CONTRACT, code, "wasm")), gas=10**9)
    assert result.success
    if status is not None:
        assert result.return_data == bytes((status,))


def test_two_contracts_that_call_each_other_in_turn_end() -> None:
    other = b"\x55" * 20
    codes = [
        contract(f"(drop {SELF_CALL})", uses="call finish", rest=bytes_at(0, target)) for target in (other, CONTRACT)
    ]
    state = world((CONTRACT, codes[0], "wasm"), (other, codes[1], "wasm"))
    assert run(VM, codes[0], state=state, gas=10**9).success


def test_growing_bombs_end_by_gas_in_little_memory() -> None:
    """Every contract in a chain of calls grows its memory as far as it can and writes to all of it."""
    body = f"""(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (memory.fill (i32.const 32) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 32)))
        (drop {SELF_CALL})"""
    code = contract(body, uses="call finish", rest=bytes_at(0, CONTRACT))
    program = f"""
        from vmloom import Account, ExecutionContext, MemoryState
        from vmloom_wasm.config import WasmConfig
        from vmloom_wasm.vm import WasmVm
        vm, code = WasmVm(WasmConfig(disk_cache=False)), bytes.fromhex("{code.hex()}")
        state = MemoryState({{b"\\xc0" * 20: Account(1, 0, code, "wasm")}})
        result = vm.execute(code, ExecutionContext(address=b"\\xc0" * 20, gas_limit=30_000_000), state)
        print(result.error)
        """.replace(r"\\xc0", r"\xc0")
    assert bounded(program, mebibytes=768) in ("", "out of gas")


def test_memories_of_nested_contracts_are_paid_from_the_beginning() -> None:
    """Each takes as much as `memory.grow` may give, touches all of it, and calls the next."""
    body = f"""(local.set $x (i32.const 2048)) (loop (i32.store8 (local.get $x) (i32.const 1))
        (br_if 0 (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 4096))) (i32.const 33550000))))
        (drop {SELF_CALL})"""
    code = contract(body, uses="call finish", memory='(memory (export "memory") 512)', rest=bytes_at(0, b"\xc0" * 20))
    program = f"""
        from vmloom import Account, ExecutionContext, MemoryState
        from vmloom_wasm.config import WasmConfig
        from vmloom_wasm.vm import WasmVm
        vm, code, address = WasmVm(WasmConfig(disk_cache=False)), bytes.fromhex("{code.hex()}"), b"\\xc0" * 20
        state = MemoryState({{address: Account(1, 0, code, "wasm")}})
        vm.execute(code, ExecutionContext(address=address, gas_limit=30_000_000), state)
        print(peak())
        """
    assert int(bounded(program, mebibytes=8192)) < 1024


def test_segments_are_paid_at_each_call() -> None:
    segments = "".join(bytes_at(at * 32_000, b"x" * 500) for at in range(900))
    memory, used = '(memory (export "memory") 512)', []
    for rest in ("", segments):
        result = run(VM, contract("", uses="finish", memory=memory, rest=rest), gas=10**9)
        assert result.success
        used.append(result.gas_used)
    assert used[1] > used[0] + 450_000 // 32


@pytest.mark.parametrize("function", ["finish", "revert"])
@pytest.mark.parametrize("place", ["allocate", "_start", "start"])
def test_runs_may_end_before_main(place: str, function: str) -> None:
    call = f"(call ${function} (i32.const 0) (i32.const 3))"
    rest = {
        "allocate": f'(func (export "allocate") (param i32) (result i32) {call} (i32.const 0))',
        "_start": f'(func (export "_start") {call})',
        "start": f"(func $s {call}) (start $s)",
    }[place]
    code = contract("(unreachable)", uses=function, rest=rest + bytes_at(0, b"end"))
    result = run(VM, code, input=b"input")
    assert (result.success, result.return_data) == (function == "finish", b"end")


@pytest.mark.parametrize("place", [0, 8, PAGE - 5])
def test_allocator_may_hand_out_what_is_in_use(place: int) -> None:
    """Its own code and data are not there to be overwritten, its memory is its own."""
    rest = f'(func (export "allocate") (param i32) (result i32) (i32.const {place}))'
    code = contract(
        "(call $finish (local.get $input) (local.get $size))", uses="finish", rest=rest + bytes_at(0, b"mine")
    )
    assert run(VM, code, input=b"input").return_data == b"input"


def test_main_may_be_exported_as_everything_else() -> None:
    text = MAIN.replace('(export "main")', '(export "main") (export "allocate") (export "_start") (export "alloc")')
    assert run(VM, module(text), input=b"x").success


# Host functions in any order, with anything


def _argument(letter: str) -> st.SearchStrategy[int]:
    width = 32 if letter == "i" else 64
    edges = (0, 0, 1, 20, 32, 32, 33, 64, 100, 1024, PAGE - 32, PAGE - 1, PAGE, 2**width - 32, 2**width - 1)
    return st.one_of(st.sampled_from(edges), st.integers(0, 2**width - 1))


def _calls() -> st.SearchStrategy[str]:
    """A call of a host function whose results go somewhere into memory."""
    names = [name for name in FUNCTIONS if name != "abort"]

    def call(name: str) -> st.SearchStrategy[str]:
        kind = signature(FUNCTIONS[name].types)

        def text(values: tuple[int, ...]) -> str:
            pairs = zip(kind.parameters, values, strict=True)
            given = " ".join(f"({WAT_TYPES[letter]}.const {value})" for letter, value in pairs)
            called = f"(call ${name} {given})"
            return f"({WAT_TYPES[kind.results]}.store (i32.const 8) {called})" if kind.results else called

        return st.tuples(*map(_argument, kind.parameters)).map(text)

    return st.sampled_from(names).flatmap(call)


GAS_LIMITS = st.sampled_from((3_000, 100_000, 10**7))
BOTH = [WasmVm(WasmConfig(disk_cache=False, optimize=optimize)) for optimize in (True, False)]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_calls(), min_size=1, max_size=8).map(" ".join), st.sampled_from((3_000, 100_000, 10**7)), st.booleans()
)
def test_any_calls_of_host_functions_end_the_same_everywhere(body: str, gas: int, static: bool) -> None:
    """Slot 0 of memory names the contract itself, so that calls reach something."""
    code = contract(body, uses=" ".join(FUNCTIONS), rest=bytes_at(0, CONTRACT))
    outcomes = []
    for vm in BOTH:
        state = world((CONTRACT, code, "wasm"))
        result = run(vm, code, state=state, gas=gas, is_static=static)
        assert 0 <= result.gas_used <= gas
        changes = sorted(map(repr, state.changes_since(0)))
        if not result.success:
            assert not changes
        if result.state is ExecutionState.FAILED:
            assert result.gas_used == gas
        outcomes.append((result.state, result.gas_used, result.return_data, result.error, result.events, changes))
    assert outcomes[0] == outcomes[1]
