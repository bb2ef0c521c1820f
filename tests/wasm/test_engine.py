"""The layer over wasmtime: values, calls, host functions, traps, memory, limits and machine code as bytes."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from vmloom.errors import CodeError, ConfigError, InvalidCode, MemoryTooLarge, MissingRequiredExport, ProhibitedImport
from vmloom_wasm.engine import (
    Compiled,
    Engine,
    EngineSettings,
    HostFunctions,
    Instance,
    Limits,
    Linked,
    MachineCodeRejected,
    SignatureMismatch,
    StackExhausted,
    TrapKind,
    WasmTrap,
    compile_module,
    deserialize,
    serialize,
    signature,
    signed,
)
from wasmtime import wat2wasm

ENGINE = Engine(EngineSettings(parallel=False))


def compiled(text: str, engine: Engine = ENGINE) -> Compiled:
    return compile_module(engine, bytes(wat2wasm(text)))


def instance(text: str, *, limits: Limits | None = None, host: Any = None, **functions: Any) -> Instance:
    """An instance of a module in text form. Keyword arguments are host functions: (types, function)."""
    offered = HostFunctions(ENGINE)
    for name, (types, function) in functions.items():
        offered.define("env", name, types, function)
    return Linked(compiled(text), offered).instantiate(limits, host)


ECHO = """(module
    (func (export "i") (param i32) (result i32) (local.get 0))
    (func (export "I") (param i64) (result i64) (local.get 0))
    (func (export "f") (param f32) (result f32) (local.get 0))
    (func (export "F") (param f64) (result f64) (local.get 0))
    (func (export "turn") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        (local.get 3) (local.get 2) (local.get 1) (local.get 0))
    (func (export "none")))"""


@pytest.fixture(scope="module")
def echo() -> Instance:
    return instance(ECHO)


# Values


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_values_come_out_as_they_went_in(echo: Instance, i: int, j: int, f: int, g: int) -> None:
    assert [echo.call(name, value) for name, value in zip("iIfF", (i, j, f, g), strict=True)] == [i, j, f, g]
    assert echo.call("turn", i, j, f, g) == (g, f, j, i)


@pytest.mark.parametrize(("name", "bits"), [("f", 0x7F800001), ("f", 0xFFC12345), ("F", 0x7FF0000000000001)])
def test_payloads_of_nans_are_kept(echo: Instance, name: str, bits: int) -> None:
    assert echo.call(name, bits) == bits


@pytest.mark.parametrize(("name", "width"), [("i", 32), ("I", 64)])
@pytest.mark.parametrize("value", [-1, -12345])
def test_negative_numbers_come_out_unsigned(echo: Instance, name: str, width: int, value: int) -> None:
    result = echo.call(name, value)
    assert result == value % 2**width
    assert signed(result, width) == value
    assert echo.call(name, -(2 ** (width - 1))) == 2 ** (width - 1)


def test_a_function_without_results_returns_none(echo: Instance) -> None:
    assert echo.call("none") is None


@pytest.mark.parametrize(
    ("name", "values", "error"),
    [
        ("i", (2**32,), OverflowError),
        ("i", (-(2**31) - 1,), OverflowError),
        ("I", (2**64,), OverflowError),
        ("f", (-1,), OverflowError),
        ("i", (), TypeError),
        ("i", (1, 2), TypeError),
        ("none", (1,), TypeError),
        ("f", (1.5,), TypeError),
        ("i", ("1",), TypeError),
        ("i", (None,), TypeError),
    ],
)
def test_wrong_values_are_refused_before_anything_runs(name: str, values: Any, error: type[Exception]) -> None:
    calls: list[str] = []
    text = """(module (import "env" "called" (func $called))
        (func (export "i") (param i32) (call $called)) (func (export "I") (param i64) (call $called))
        (func (export "f") (param f32) (call $called)) (func (export "none") (call $called)))"""
    made = instance(text, called=(":", lambda _: calls.append(name)))
    with pytest.raises(error):
        made.call(name, *values)
    assert calls == []


def test_nans_that_code_makes_are_canonical() -> None:
    made = instance("""(module (func (export "f") (param f32) (result f32) (f32.sqrt (local.get 0)))
        (func (export "F") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1))))""")
    assert made.call("f", 0xBF800000) == 0x7FC00000
    assert made.call("F", 0xFFF8000000001234, 0) == 0x7FF8000000000000


# Types


def test_types_are_compared_when_a_function_is_looked_up(echo: Instance) -> None:
    assert echo.function("turn", "iIfF:FfIi")(1, 2, 3, 4) == (4, 3, 2, 1)
    with pytest.raises(SignatureMismatch, match=r"turn is \(i32, i64, f32, f64\) -> .*, not \(i32\) -> \(\)"):
        echo.function("turn", "i:")
    with pytest.raises(MissingRequiredExport, match="nothing"):
        echo.function("nothing", ":")


@pytest.mark.parametrize("text", ["", "i", "x:", "i:i:i", "ii"])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no signature"):
        signature(text)


def test_functions_on_references_are_refused() -> None:
    made = instance('(module (func (export "f") (param externref)) (global (export "g") funcref (ref.null func)))')
    with pytest.raises(SignatureMismatch, match="references"):
        made.call("f", 0)
    with pytest.raises(SignatureMismatch):
        made.variable("g")


# Host functions

CALLER = """(module (import "env" "h" (func $h {types}))
    (memory (export "memory") 1) (func (export "main") {types} {values} (call $h)))"""


def caller(function: Any, host: Any = None) -> Instance:
    text = CALLER.format(types="(param i32) (result i32)", values="(local.get 0)")
    return instance(text, host=host, h=("i:i", function))


def test_host_functions_take_and_return_all_types() -> None:
    seen = []

    def h(_: Instance, *values: int) -> tuple[int, ...]:
        seen.append(values)
        return values[::-1]

    types = "(param i32 i64 f32 f64) (result f64 f32 i64 i32)"
    values = " ".join(f"(local.get {number})" for number in range(4))
    made = instance(CALLER.format(types=types, values=values), h=("iIfF:FfIi", h))
    given = (2**32 - 1, 2**63, 0x7F800001, 0x7FF0000000000001)
    assert made.call("main", *given) == given[::-1]
    assert seen == [given]


def test_host_functions_may_return_negative_numbers() -> None:
    assert caller(lambda _, value: -value).call("main", 1) == 2**32 - 1


def test_host_functions_know_their_instance_and_its_memory() -> None:
    def h(running: Instance, value: int) -> int:
        running.memory.write(value, running.host)
        return running.memory.size

    made = caller(h, host=b"known")
    assert made.call("main", 100) == 65536
    assert made.memory.read(100, 5) == b"known"


@pytest.mark.parametrize("error", [ValueError("of mine"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_in_a_host_function_comes_out_as_the_same_object(error: BaseException) -> None:
    def h(_: Instance, value: int) -> int:
        if value:
            raise error
        return 7

    made = caller(h)
    with pytest.raises(type(error)) as caught:
        made.call("main", 1)
    assert caught.value is error
    assert made.call("main", 0) == 7
    assert made.raised is None


@pytest.mark.parametrize(
    ("returned", "error"), [(None, TypeError), ("1", TypeError), (2**32, OverflowError), (1.0, TypeError)]
)
def test_results_that_do_not_fit_are_errors(returned: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        caller(lambda *_: returned).call("main", 1)


def test_a_number_of_results_that_is_wrong_is_an_error() -> None:
    text = CALLER.format(types="(result i32 i32)", values="")
    with pytest.raises(TypeError, match="2 results expected, 3 given"):
        instance(text, h=(":ii", lambda _: (1, 2, 3))).call("main")
    with pytest.raises(TypeError, match="without results"):
        instance(CALLER.format(types="", values=""), h=(":", lambda _: 1)).call("main")


def test_instances_may_nest_and_each_keeps_its_exception() -> None:
    inner = caller(lambda *_: 1 // 0)

    def h(running: Instance, value: int) -> int:
        with pytest.raises(ZeroDivisionError):
            inner.call("main", value)
        return int(running.call("main", value - 1)) + value if value else 0

    assert caller(h).call("main", 10) == 55


def test_nested_runs_end_with_the_innermost_exception() -> None:
    error = LookupError()

    def h(running: Instance, value: int) -> int:
        if not value:
            raise error
        return int(running.call("main", value - 1))

    with pytest.raises(LookupError) as caught:
        caller(h).call("main", 5)
    assert caught.value is error


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('(import "env" "other" (func))', ProhibitedImport, "env.other"),
        ('(import "env" "h" (func (param i64)))', SignatureMismatch, r"env.h is \(i64\) -> \(\), but the host"),
        ('(import "env" "memory" (memory 1))', ProhibitedImport, "only functions"),
    ],
)
def test_imports_that_are_not_offered_are_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        instance(f"(module {text})", h=("i:", lambda *_: None))


def test_a_name_is_defined_once() -> None:
    functions = HostFunctions(ENGINE)
    functions.define("env", "h", ":", lambda _: None)
    with pytest.raises(ValueError, match="already"):
        functions.define("env", "h", "i:", lambda _: None)


def test_modules_and_functions_of_different_engines_are_not_linked() -> None:
    with pytest.raises(ValueError, match="different engines"):
        Linked(compiled("(module)"), HostFunctions(Engine()))


# Traps


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("(unreachable)", TrapKind.UNREACHABLE),
        ("(drop (i32.load (i32.const -1)))", TrapKind.MEMORY_OUT_OF_BOUNDS),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", TrapKind.INTEGER_DIVISION_BY_ZERO),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", TrapKind.INTEGER_OVERFLOW),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", TrapKind.BAD_CONVERSION_TO_INTEGER),
        ("(call_indirect (i32.const 0))", TrapKind.INDIRECT_CALL_TO_NULL),
        ("(call_indirect (i32.const 9))", TrapKind.TABLE_OUT_OF_BOUNDS),
        ("(call_indirect (param i32) (i32.const 1) (i32.const 1))", TrapKind.BAD_SIGNATURE),
        ("(call $f)", TrapKind.STACK_OVERFLOW),
    ],
)
def test_traps_are_told_apart(body: str, kind: TrapKind) -> None:
    text = f'(module (memory 1) (table 2 funcref) (elem (i32.const 1) $f) (func $f (export "f") {body}))'
    with pytest.raises(WasmTrap) as caught:
        instance(text).call("f")
    assert caught.value.kind is kind
    assert len(caught.value.frames) == (20 if kind is TrapKind.STACK_OVERFLOW else 1)


def test_a_trap_says_where_it_was() -> None:
    text = '(module (func $inner (nop) (unreachable)) (func $outer (export "main") (call $inner)))'
    with pytest.raises(WasmTrap, match="unreachable") as caught:
        instance(text).call("main")
    assert [(frame.function, frame.name) for frame in caught.value.frames] == [(0, "inner"), (1, "outer")]
    code = bytes(wat2wasm(text))
    assert code[caught.value.frames[0].module_offset] == 0x00
    assert caught.value.frames[0].function_offset > 0


def test_an_instance_goes_on_after_a_trap() -> None:
    made = instance("""(module (global $g (export "g") (mut i32) (i32.const 0))
        (func (export "f") (param i32) (result i32)
            (global.set $g (local.get 0)) (if (local.get 0) (then (unreachable))) (i32.const 5)))""")
    with pytest.raises(WasmTrap):
        made.call("f", 3)
    assert made.variable("g").get() == 3
    assert made.call("f", 0) == 5


def test_a_trap_of_the_start_function_comes_out() -> None:
    with pytest.raises(WasmTrap, match="unreachable"):
        instance("(module (func $f (unreachable)) (start $f))")


def test_memory_is_not_there_before_the_start_function_is_done() -> None:
    text = '(module (import "env" "h" (func $h)) (memory (export "memory") 1) (start $h))'
    with pytest.raises(CodeError, match="start function"):
        instance(text, h=(":", lambda running: running.memory.write(0, b"1")))


# Memory and globals

GROWING = """(module (memory (export "memory") 1)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "put") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))"""


def test_growth_refreshes_views() -> None:
    made = instance(GROWING)
    memory = made.memory
    old = memory.view
    assert made.call("grow", 2) == 1
    made.call("put", 65536 + 5, 42)
    assert memory.read(65536 + 5, 1) == b"\x2a"
    memory.write(3 * 65536 - 2, b"ab")
    assert bytes(memory.view[-2:]) == b"ab"
    assert memory.size == 3 * 65536
    made.call("put", 3, 9)
    assert old[3] == 9  # what was handed out before is of the same memory
    assert len(old) == 65536


def test_the_host_can_grow_memory() -> None:
    made = instance(GROWING, limits=Limits(memory_pages=3))
    assert made.memory.grow(2)
    assert not made.memory.grow(1)
    assert made.memory.size == 3 * 65536


@pytest.mark.parametrize(("offset", "size"), [(65536, 1), (65530, 7), (-1, 1), (0, -1), (2**32, 0), (0, 2**40)])
def test_memory_has_ends(offset: int, size: int) -> None:
    memory = instance(GROWING).memory
    with pytest.raises(IndexError):
        memory.read(offset, size)
    if 0 <= size < 100:
        with pytest.raises(IndexError):
            memory.write(offset, bytes(size))


def test_an_empty_memory_can_grow() -> None:
    made = instance(GROWING.replace('"memory") 1', '"memory") 0'))
    assert made.memory.read(0, 0) == b""
    assert made.memory.size == 0
    made.call("grow", 1)
    made.memory.write(0, b"here")
    assert made.memory.read(0, 4) == b"here"


def test_a_view_keeps_its_memory() -> None:
    view = instance(GROWING).memory.view
    gc.collect()
    view[10:13] = b"abc"
    assert bytes(view[9:14]) == b"\0abc\0"


def test_globals_are_read_and_written() -> None:
    made = instance("""(module (global (export "i") (mut i32) (i32.const -1))
        (global (export "I") (mut i64) (i64.const 0))
        (global (export "f") (mut f32) (f32.const 0)) (global (export "F") (mut f64) (f64.const 0))
        (global (export "fixed") i32 (i32.const 7)))""")
    assert made.variable("i").get() == 2**32 - 1
    for name, value in {"i": 2**31, "I": 2**64 - 2, "f": 0x7F800001, "F": 0x7FF0000000000001}.items():
        made.variable(name).set(value)
        assert made.variable(name).get() == value
    made.variable("I").set(-3)
    assert made.variable("I").get() == 2**64 - 3
    with pytest.raises(OverflowError):
        made.variable("i").set(2**32)
    with pytest.raises(ValueError, match="immutable"):
        made.variable("fixed").set(1)
    with pytest.raises(MissingRequiredExport):
        made.variable("none")


# Limits


def test_memory_does_not_grow_beyond_its_limit() -> None:
    made = instance(GROWING, limits=Limits(memory_pages=2))
    assert made.call("grow", 1) == 1
    assert signed(made.call("grow", 1)) == -1


def test_a_module_that_begins_beyond_the_limits_is_refused() -> None:
    with pytest.raises(MemoryTooLarge):
        instance("(module (memory 3))", limits=Limits(memory_pages=2))
    with pytest.raises(CodeError):
        instance("(module (table 11 funcref))", limits=Limits(table_elements=10))
    with pytest.raises(CodeError):
        instance("(module (table 1 funcref) (table 1 funcref))")


def test_deep_recursion_traps_within_the_largest_stack_of_a_thread() -> None:
    engine = Engine(EngineSettings(stack_bytes=6 << 20))
    text = """(module (func $f (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0)))))"""
    made = Linked(compiled(text, engine), HostFunctions(engine)).instantiate()
    assert made.call("f", 50_000) == 50_000
    with pytest.raises(WasmTrap, match="stack overflow"):
        made.call("f", 2**31)
    assert made.call("f", 10) == 10


def test_instances_that_use_up_the_stack_together_do_not_end_the_process() -> None:
    text = """(module (import "env" "h" (func $next (result i32)))
        (func $f (export "f") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (call $next)))))"""
    functions = HostFunctions(ENGINE)
    deepest: list[int] = []

    def h(_: Instance) -> int:
        deepest.append(len(deepest))
        return int(linked.instantiate().call("f", 60_000))

    functions.define("env", "h", ":i", h)
    linked = Linked(compiled(text), functions)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            linked.instantiate().call("f", 60_000)
        except BaseException as cause:  # whatever it is, it must not be lost in the thread
            raised.append(cause)

    for mebibytes in (8, 32):
        before = threading.stack_size(mebibytes << 20)
        thread = threading.Thread(target=run)
        thread.start()
        threading.stack_size(before)
        thread.join()
        assert isinstance(raised.pop(), StackExhausted)
        assert len(deepest) >= mebibytes // 4
        deepest.clear()


def test_runs_that_went_deep_leave_the_stack_to_those_that_follow() -> None:
    functions = HostFunctions(ENGINE)
    refused: list[int] = []

    def h(running: Instance, value: int) -> int:
        if value == 1:  # the first: go as deep as there is stack, twice
            for _ in range(2):
                with pytest.raises(StackExhausted):
                    running.call("main", 2)
                refused.append(value)
            return int(linked.instantiate().call("main", 0))
        return int(linked.instantiate().call("main", value)) if value else 7

    functions.define("env", "h", "i:i", h)
    linked = Linked(compiled(CALLER.format(types="(param i32) (result i32)", values="(local.get 0)")), functions)
    results: list[int] = []
    before, depth = threading.stack_size(8 << 20), sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(100_000)
        thread = threading.Thread(target=lambda: results.append(linked.instantiate().call("main", 1)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
        sys.setrecursionlimit(depth)
    assert results == [7]
    assert refused == [1, 1]


def test_a_thread_with_too_small_a_stack_is_refused() -> None:
    raised: list[str] = []

    def run() -> None:
        with pytest.raises(StackExhausted, match="left to this thread") as caught:
            instance(ECHO)
        raised.append(caught.value.fix)

    before = threading.stack_size(1 << 20)
    thread = threading.Thread(target=run)
    thread.start()
    threading.stack_size(before)
    thread.join()
    assert raised


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError):
        EngineSettings(stack_bytes=1 << 30)
    with pytest.raises(ValueError, match="memory_pages"):
        Limits(memory_pages=65537)


# Features


@pytest.mark.parametrize(
    "text",
    [
        "(module (memory 1 2 shared))",
        "(module (func (drop (v128.const i32x4 0 0 0 0))))",
        "(module (memory i64 1))",
        "(module (memory 1) (memory 1))",
        "(module (func $f (return_call $f)))",
        "(module (tag))",
        "(module (type (struct)))",
        "(module (func (param (ref func))))",
        "(module (func (param i64 i64 i64 i64) (result i64 i64) (i64.add128 (local.get 0) (local.get 1)"
        " (local.get 2) (local.get 3))))",
    ],
)
def test_features_that_are_off_are_refused(text: str) -> None:
    with pytest.raises(InvalidCode):
        compiled(text)


def test_what_compilers_write_today_is_accepted() -> None:
    compiled("""(module (memory 1) (table 1 funcref) (func (result i32 i64)
        (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (i32.trunc_sat_f32_s (f32.const 1))
        (i64.extend8_s (i64.const 1))))""")


@pytest.mark.parametrize("code", [b"", b"(module)", b"\0asm", b"\0asm\1\0\0\0\1", b"\0asm\1\0\0\0\x0a\1\1"])
def test_what_is_no_module_is_refused_in_one_line(code: bytes) -> None:
    with pytest.raises(InvalidCode) as caught:
        compile_module(ENGINE, code)
    assert "\n" not in str(caught.value)


def test_no_settings_end_the_process() -> None:
    """In a process of its own, as wasmtime would take this one with it."""
    program = """if True:
        import itertools
        from vmloom_wasm.engine import Engine, EngineSettings
        for optimize, parallel, size in itertools.product((True, False), (True, False), (64 << 10, 6 << 20)):
            Engine(EngineSettings(optimize=optimize, parallel=parallel, stack_bytes=size))
        print("alive")"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == "alive\n", ended.stderr


# Machine code as bytes


def test_serialized_code_runs_again() -> None:
    first = compiled(ECHO)
    again = deserialize(Engine(ENGINE.settings), serialize(first))
    assert again.functions == first.functions
    assert again.size == first.size
    made = Linked(again, HostFunctions(again.engine)).instantiate()
    assert made.call("turn", 1, 2, 3, 4) == (4, 3, 2, 1)


def test_code_of_another_configuration_is_rejected_in_one_line() -> None:
    config = wasmtime.Config()
    config.consume_fuel = True
    content = wasmtime.Module(wasmtime.Engine(config), wat2wasm("(module)")).serialize()
    with pytest.raises(MachineCodeRejected, match="fuel") as caught:
        deserialize(ENGINE, bytes(content))
    assert "\n" not in str(caught.value)


def test_size_is_that_of_the_image() -> None:
    small, large = compiled("(module)"), compiled(f'(module (memory 9) (data (i32.const 0) "{"x" * 100_000}"))')
    assert 1_000 < small.size < 100_000 < large.size < 300_000


# Threads


def test_threads_with_their_own_instances_do_not_meet() -> None:
    offered = HostFunctions(ENGINE)

    def h(running: Instance, value: int) -> int:
        if value % 10 == 0:
            raise running.host
        return value + 1

    offered.define("env", "h", "i:i", h)
    linked = Linked(compiled(CALLER.format(types="(param i32) (result i32)", values="(local.get 0)")), offered)
    wrong: list[object] = []

    def work() -> None:
        for round_ in range(300):
            error = ValueError(threading.get_ident(), round_)
            made = linked.instantiate(host=error)
            for value in range(20):
                try:
                    if made.call("main", value) != value + 1:
                        wrong.append(value)
                except ValueError as caught:
                    if caught is not error or value % 10:
                        wrong.append(caught)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_instance_runs_on_one_thread_at_a_time() -> None:
    refused: list[BaseException] = []

    def other(running: Instance) -> None:
        try:
            running.call("main", 0)
        except RuntimeError as cause:
            refused.append(cause)

    def h(running: Instance, value: int) -> int:
        thread = threading.Thread(target=other, args=(running,))
        thread.start()
        thread.join()
        return value

    made = caller(h)
    assert made.call("main", 4) == 4
    assert len(refused) == 1


def test_an_idle_instance_may_run_on_another_thread() -> None:
    made, results = caller(lambda _, value: value), []
    for value in (1, 2):
        thread = threading.Thread(target=lambda value=value: results.append(made.call("main", value)))
        thread.start()
        thread.join()
    assert [*results, made.call("main", 3)] == [1, 2, 3]


# Nothing is left behind


def test_instances_go_away_without_the_collector() -> None:
    gc.disable()
    try:
        made = caller(lambda _, value: value // 0 if value else 0)
        made.memory.write(0, b"1")
        made.call("main", 0)
        with pytest.raises(ZeroDivisionError):
            made.call("main", 1)
        gone = weakref.ref(made)
        del made
        assert gone() is None
    finally:
        gc.enable()


def test_hosts_that_refer_to_themselves_are_collected() -> None:
    class Host:
        def __init__(self) -> None:
            self.functions = HostFunctions(ENGINE)
            self.functions.define("env", "h", "i:i", self.h)
            types = "(param i32) (result i32)"
            self.linked = Linked(compiled(CALLER.format(types=types, values="(local.get 0)")), self.functions)
            self.instance = self.linked.instantiate(host=self)

        def h(self, _: Instance, value: int) -> int:
            return value

    host = Host()
    assert host.instance.call("main", 5) == 5
    gone = weakref.ref(host)
    del host
    gc.collect()
    assert gone() is None


def resident() -> int:
    """Bytes of memory of this process."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_two_thousand_instances_leave_nothing() -> None:
    offered = HostFunctions(ENGINE)
    offered.define("env", "h", "i:i", lambda _, value: 1 // value)
    linked = Linked(compiled(CALLER.format(types="(param i32) (result i32)", values="(local.get 0)")), offered)

    def use(count: int) -> None:
        for _ in range(count):
            made = linked.instantiate()
            made.memory.write(0, bytes(65536))
            made.call("main", 1)
            with pytest.raises(ZeroDivisionError):
                made.call("main", 0)

    use(200)
    before = resident()
    use(2000)
    assert resident() - before < 24 << 20  # their memory alone would be 125 MiB


# Signals


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="traps are no signals here")
@pytest.mark.parametrize("when", ["before", "after"])
def test_traps_survive_libraries_that_set_handlers_of_their_own(when: str) -> None:
    """gmpy2 and faulthandler do: at a trap, their handlers end the process."""
    program = f"""
import wasmtime
from vmloom_wasm.engine import Engine, HostFunctions, Linked, WasmTrap, compile_module
if {when == "before"}:
    wasmtime.Engine()
    import gmpy2
text = "(module (memory 1)"
text += "(func (export \\"divide\\") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))"
text += "(func (export \\"unreachable\\") (unreachable))"
text += "(func (export \\"load\\") (drop (i32.load (i32.const -1)))))"
engine = Engine()
compiled = compile_module(engine, bytes(wasmtime.wat2wasm(text)))
running = Linked(compiled, HostFunctions(engine)).instantiate()
import faulthandler
import gmpy2
for _ in range(2):
    for name, values in (("divide", (0,)), ("unreachable", ()), ("load", ())):
        try:
            running.call(name, *values)
        except WasmTrap as trap:
            print(trap)
    faulthandler.enable()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["integer division by zero", "unreachable", "memory out of bounds"] * 2


def test_what_lives_long_is_closed_before_the_process_ends() -> None:
    """Freed later, wasmtime's package raises from destructors, and Python prints that after all that a program said."""
    program = """
from wasmtime import wat2wasm
from vmloom_wasm.engine import Engine, HostFunctions, Linked, compile_module, deserialize, serialize
from vmloom_wasm.engine.ending import _close
engine = Engine()
compiled = compile_module(engine, bytes(wat2wasm("(module)")))
functions = HostFunctions(engine)
linked = Linked(deserialize(engine, serialize(compiled)), functions)
_close()
for handle in (engine.handle, compiled.handle, linked.compiled.handle, linked.handle, functions._linker):
    try:
        handle.ptr()
    except ValueError as error:
        assert str(error) == "already closed"
    else:
        print("still open:", handle)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
