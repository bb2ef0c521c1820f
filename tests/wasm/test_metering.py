"""Metering by instrumentation: exact totals, the same results as the plain module, and limits that hold everywhere."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom.errors import ConfigError, InvalidCode, ProhibitedOpcode
from vmloom_wasm.binary.code import instructions
from vmloom_wasm.binary.module import Kind, Module, decode
from vmloom_wasm.binary.opcodes import OPCODES, Group
from vmloom_wasm.binary.writer import encode
from vmloom_wasm.metering import (
    COSMWASM,
    DEFAULT,
    EXHAUSTED_EXPORT,
    GAS_EXPORT,
    STACK_EXPORT,
    START_EXPORT,
    Exhausted,
    Linear,
    PriceGroup,
    WasmGasCosts,
    instrument,
)
from vmloom_wasm.metering.costs import GROUP_BY_OPCODE
from vmloom_wasm.metering.heights import Signatures, highest
from vmloom_wasm.metering.instrument import INSTRUCTIONS_PER_WORD

PLENTY = 1 << 40
EACH_ONE = WasmGasCosts("each_one", dict.fromkeys(PriceGroup, 1))
"""Every instruction costs 1, `end` too."""


@dataclass(frozen=True)
class Run:
    """What came of a call: results or a trap, and what the meters say then."""

    values: tuple[object, ...] | None
    trap: str
    gas: int = 0
    exhausted: Exhausted = Exhausted.NOTHING
    stack: int = 0
    memory: bytes = b""

    @property
    def outcome(self) -> tuple[object, str, bytes]:
        """What must not depend on metering."""
        return self.values, self.trap, self.memory


def module(text: str) -> Module:
    return decode(bytes(wasmtime.wat2wasm(text)))


def engine(level: str = "speed") -> wasmtime.Engine:
    config = wasmtime.Config()
    config.cranelift_opt_level = level
    config.cranelift_nan_canonicalization = True
    return wasmtime.Engine(config)


ENGINE = engine()
atexit.register(ENGINE.close)  # later than this, wasmtime can not free it


def call(store: wasmtime.Store, exports: Mapping[str, object], arguments: tuple[int, ...]) -> Run:
    """Call `main`; the memory `memory` is part of the outcome, if there is one."""
    main = exports["main"]
    assert isinstance(main, wasmtime.Func)
    try:
        returned, trap = main(store, *arguments), ""
        values = () if returned is None else tuple(returned) if isinstance(returned, list) else (returned,)
    except wasmtime.Trap as error:
        values, trap = None, str(error.trap_code)
    memory = exports.get("memory")
    content = bytes(memory.read(store, 0, 65536)) if isinstance(memory, wasmtime.Memory) else b""
    return Run(values, trap, memory=content)


def plain(text: str, *arguments: int) -> Run:
    store = wasmtime.Store(ENGINE)
    return call(store, wasmtime.Instance(store, wasmtime.Module(ENGINE, text), []).exports(store), arguments)


def metered(
    text: str,
    *arguments: int,
    costs: WasmGasCosts = EACH_ONE,
    gas: int = PLENTY,
    stack: int = 10_000,
    on: wasmtime.Engine = ENGINE,
) -> Run:
    """Run `main` of the instrumented module; the gas of the run is what it used."""
    store = wasmtime.Store(on)
    code = encode(instrument(module(text), costs))
    exports = wasmtime.Instance(store, wasmtime.Module(on, code), []).exports(store)
    left, flag, words = exports[GAS_EXPORT], exports[EXHAUSTED_EXPORT], exports[STACK_EXPORT]
    left.set_value(store, gas)
    words.set_value(store, stack)
    run = call(store, exports, arguments)
    if run.values is not None:
        assert words.value(store) == stack, "the stack is given back"
    return replace(run, gas=gas - left.value(store), exhausted=Exhausted(flag.value(store)), stack=words.value(store))


STRAIGHT = '(module (func (export "main") (result i32) i32.const 2 i32.const 3 i32.add))'
IF = """(module (func (export "main") (param i32) (result i32)
    local.get 0 if (result i32) i32.const 1 i32.const 2 i32.add else i32.const 7 end))"""
LOOP = """(module (func (export "main") (param i32) (result i32) (local i32)
    loop
      local.get 1 local.get 0 i32.add local.set 1
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0
    end
    local.get 1))"""
TABLE = """(module (func (export "main") (param i32) (result i32)
    block block block local.get 0 br_table 0 1 2 end i32.const 10 return end i32.const 20 nop return end
    i32.const 30 nop nop))"""
EARLY = """(module (func (export "main") (param i32) (result i32)
    block local.get 0 if i32.const 5 i32.const 6 i32.add return end end i32.const 9))"""
UNREACHABLE = '(module (func (export "main") nop nop unreachable nop nop nop))'
CALLS = """(module
    (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
    (func (export "main") (result i32) i32.const 4 call $double call $double))"""
FIB = """(module (func $fib (export "main") (param i32) (result i32)
    local.get 0 i32.const 2 i32.lt_u if (result i32) local.get 0 else
    local.get 0 i32.const 1 i32.sub call $fib local.get 0 i32.const 2 i32.sub call $fib i32.add end))"""


@pytest.mark.parametrize(
    ("text", "arguments", "total"),
    [
        (STRAIGHT, (), 4),  # 3 and end
        (IF, (1,), 2 + 4 + 1),  # get, if; const, const, add, else; end of the function
        (IF, (0,), 2 + 2 + 1),  # get, if; const, end; end of the function
        (LOOP, (1,), 1 + 9 + 1 + 2),  # loop; its body; end; get, end
        (LOOP, (10,), 1 + 90 + 1 + 2),
        (TABLE, (0,), 5 + 2),  # 3 blocks, get, br_table; const, return
        (TABLE, (1,), 5 + 3),
        (TABLE, (2,), 5 + 4),  # const, nop, nop, end
        (TABLE, (99,), 5 + 4),
        (EARLY, (1,), 3 + 4),  # block, get, if; const, const, add, return
        (EARLY, (0,), 3 + 1 + 2),  # block, get, if; end of the block; const, end
        (UNREACHABLE, (), 3),  # what follows is in no block
        (CALLS, (), 4 + 4 + 4),  # const, call, call, end; twice get, const, mul, end
        (FIB, (1,), 4 + 2 + 1),  # get, const, lt_u, if; get, else; end
        (FIB, (2,), 4 + 10 + 1 + 2 * 7),  # two calls and 8 more with the end; both leaves as above
    ],
)
def test_total_is_the_sum_of_what_ran(text: str, arguments: tuple[int, ...], total: int) -> None:
    assert metered(text, *arguments).gas == total


def test_prices_differ_by_instruction() -> None:
    names = ["i32.const", "i32.const", "i32.add", "end"]
    code = {opcode.name: opcode.code for opcode in OPCODES.values()}
    assert metered(STRAIGHT, costs=DEFAULT).gas == sum(DEFAULT.of(code[name]) for name in names) == 3
    assert metered(LOOP, 3, costs=DEFAULT).gas == 3 * (8 + DEFAULT.groups[PriceGroup.BRANCH]) + 1


def test_cosmwasm_totals() -> None:
    # 115 each, 14 times as much for if, else, end, call; not for `block`
    assert metered(STRAIGHT, costs=COSMWASM).gas == 115 * (3 + 14)
    assert metered(IF, 1, costs=COSMWASM).gas == 115 * (1 + 14 + 3 + 14 + 14)
    assert metered(IF, 0, costs=COSMWASM).gas == 115 * (1 + 14 + 1 + 14 + 14)
    assert metered(CALLS, costs=COSMWASM).gas == 115 * (1 + 14 + 14 + 14 + 2 * (3 + 14))
    assert metered(EARLY, 1, costs=COSMWASM).gas == 115 * (2 + 14 + 3 + 14)
    # paid where the block ends: the instructions before a trap are not
    assert metered(UNREACHABLE, costs=COSMWASM).gas == 0


@pytest.mark.parametrize(("count", "charged"), [(0, 0), (29, 0), (30, 1), (40, 11)])
def test_locals_beyond_the_free_ones_cost(count: int, charged: int) -> None:
    text = f'(module (func (export "main") (param i32) (local {"i64 " * count}) nop))'
    assert metered(text, 0, costs=COSMWASM).gas == 115 * (1 + 14 + charged)
    assert metered(text, 0, costs=DEFAULT).gas == max(0, count - 8)


BULK = """(module (memory (export "memory") 1) (data $d "abcdefgh")
    (func (export "main") (param i32)
      i32.const 100 i32.const 7 local.get 0 memory.fill
      i32.const 300 i32.const 100 local.get 0 memory.copy
      i32.const 500 i32.const 0 i32.const 8 memory.init $d data.drop $d))"""


@pytest.mark.parametrize("size", [0, 1, 8, 9, 100])
def test_bulk_instructions_cost_what_they_move(size: int) -> None:
    by_byte = replace(EACH_ONE, sizes=dict.fromkeys((0xFC08, 0xFC0A, 0xFC0B), Linear(3)))
    by_word = replace(EACH_ONE, sizes=dict.fromkeys((0xFC08, 0xFC0A, 0xFC0B), Linear(5, 3)))
    assert metered(BULK, size, costs=by_byte).gas == 14 + 3 * (2 * size + 8)
    assert metered(BULK, size, costs=by_word).gas == 14 + 5 * (2 * -(-size // 8) + 1)


def test_tables_and_growth_cost_what_they_move() -> None:
    text = """(module (memory 0 10) (table $t 20 50 funcref) (elem $e func 0 0 0)
      (func (export "main") (result i32 i32)
        i32.const 2 memory.grow
        ref.null func i32.const 4 table.grow $t
        i32.const 0 ref.null func i32.const 5 table.fill $t
        i32.const 0 i32.const 8 i32.const 6 table.copy
        i32.const 0 i32.const 0 i32.const 3 table.init $e))"""
    costs = replace(EACH_ONE, sizes=dict.fromkeys((0x40, 0xFC0C, 0xFC0E, 0xFC0F, 0xFC11), Linear(100)))
    run = metered(text, costs=costs)
    assert run.values == (0, 20)
    assert run.gas == 18 + 100 * (2 + 4 + 5 + 6 + 3)


def test_largest_sizes_run_out_of_gas_before_anything_moves() -> None:
    run = metered(BULK, -1, costs=DEFAULT, gas=1_000_000)
    assert (run.exhausted, run.trap) == (Exhausted.GAS, "TrapCode.UNREACHABLE")
    assert not any(run.memory)


@pytest.mark.parametrize(("text", "arguments"), [(LOOP, (5,)), (TABLE, (1,)), (CALLS, ()), (FIB, (5,)), (BULK, (9,))])
@pytest.mark.parametrize("costs", [EACH_ONE, DEFAULT, COSMWASM], ids=lambda costs: costs.name)
def test_every_smaller_limit_runs_out(text: str, arguments: tuple[int, ...], costs: WasmGasCosts) -> None:
    total = metered(text, *arguments, costs=costs).gas
    used = 0
    for gas in range(0, total, max(1, total // 97)):
        run = metered(text, *arguments, costs=costs, gas=gas)
        assert (run.values, run.exhausted) == (None, Exhausted.GAS)
        assert used <= run.gas <= gas
        used = run.gas
    assert metered(text, *arguments, costs=costs, gas=total - 1).exhausted is Exhausted.GAS
    exact = metered(text, *arguments, costs=costs, gas=total)
    assert (exact.exhausted, exact.gas) == (Exhausted.NOTHING, total)
    assert exact.values is not None


def test_gas_is_unsigned() -> None:
    assert metered(STRAIGHT, gas=-1).values == (5,)


def test_endless_loops_run_out() -> None:
    for body in ("loop br 0 end", "loop i32.const 1 br_if 0 end", "loop i32.const 0 br_table 0 0 end"):
        run = metered(f'(module (func (export "main") {body}))', costs=DEFAULT, gas=100_000)
        assert run.exhausted is Exhausted.GAS


def test_nothing_runs_before_the_meters_are_set() -> None:
    assert metered(STRAIGHT, gas=0).exhausted is Exhausted.GAS
    assert metered(STRAIGHT, stack=0).exhausted is Exhausted.STACK


def test_own_traps_are_told_apart() -> None:
    run = metered(UNREACHABLE)
    assert (run.trap, run.exhausted) == ("TrapCode.UNREACHABLE", Exhausted.NOTHING)
    run = metered('(module (func (export "main") (result i32) i32.const 1 i32.const 0 i32.div_u))')
    assert (run.trap, run.exhausted) == ("TrapCode.INTEGER_DIVISION_BY_ZERO", Exhausted.NOTHING)


# Stack height

# Each frame: 1 parameter, 2 declared locals, 4 operands at most, 4, and a word for every 4 of 19 instructions.
DEEP = """(module (func $f (export "main") (param i32) (result i32) (local i32 i64)
    local.get 0 i32.eqz if i32.const 0 return end
    i32.const 1 i32.const 1 local.get 0 i32.const 1 i32.sub drop drop
    local.get 0 i32.const 1 i32.sub call $f i32.add))"""


def test_frame_counts_parameters_locals_and_operands() -> None:
    given = module(DEEP)
    body = given.bodies[0]
    assert highest(instructions(body.code), Signatures(given), 1) == 4
    frame = 1 + 2 + 4 + 4 + 19 // INSTRUCTIONS_PER_WORD
    for depth in (0, 1, 7):
        assert metered(DEEP, depth, stack=frame * (depth + 1)).values == (depth,)
        run = metered(DEEP, depth, stack=frame * (depth + 1) - 1)
        assert (run.values, run.exhausted, run.stack) == (None, Exhausted.STACK, frame - 1)


@pytest.mark.parametrize(
    ("body", "height"),
    [
        ("nop", 0),
        ("i32.const 1 i32.const 2 drop drop", 2),
        ("unreachable i32.add i32.const 1 i32.const 1 drop drop drop", 3),
        ("block (result i32) i32.const 1 br 0 i32.const 1 i32.const 2 i32.const 3 drop drop end drop", 3),
        ("i32.const 1 if i32.const 1 drop else i32.const 1 i32.const 1 drop drop end", 2),
        ("i32.const 1 i32.const 2 block (param i32 i32) (result i32) i32.add end drop", 2),
        ("loop (result i32) i32.const 1 i32.const 0 br_if 0 end drop", 2),
        ("return i32.const 0 i32.const 0 select i32.const 0 i32.const 0 unreachable", 3),
    ],
)
def test_height_of_operands(body: str, height: int) -> None:
    given = module(f"(module (func {body}))")
    assert highest(instructions(given.bodies[0].code), Signatures(given), 0) == height


def test_stack_limit_is_the_same_at_every_optimization_level() -> None:
    depths = set()
    for level in ("none", "speed", "speed_and_size"):
        on = engine(level)
        reached = [n for n in (50, 65, 66, 67, 100) if metered(DEEP, n, stack=1000, on=on).values is not None]
        depths.add(tuple(reached))
    assert depths == {(50, 65)}


def test_stack_is_given_back_on_every_way_out() -> None:
    text = """(module
      (func $leave (param i32) (result i32 i64)
        i32.const 1 i64.const 1 local.get 0 i32.eqz br_if 0
        block (param i32 i64) (result i32 i64) local.get 0 i32.const 1 i32.sub br_table 1 0 1 end
        drop drop i32.const 2 i64.const 2
        loop (param i32 i64) (result i32 i64) return end)
      (func (export "main") (param i32) (result i32) local.get 0 call $leave drop))"""
    for argument in range(4):
        assert metered(text, argument).outcome == plain(text, argument).outcome


# The same results


MULTI_VALUE = """(module
    (func $swap (param i32 i64) (result i64 i32) local.get 1 local.get 0)
    (func (export "main") (param i32) (result i64 i32 i32)
      local.get 0 i64.const 7 call $swap
      local.get 0 block (param i32) (result i32 i32) i32.const 1 br 0 end i32.add
      loop (param i32) (result i32) i32.const 3 i32.add local.tee 0 local.get 0 i32.const 40 i32.lt_s br_if 0 end))"""
SIGN_EXTENSION = """(module (func (export "main") (param i32) (result i32 i32 i64)
    local.get 0 i32.extend8_s local.get 0 i32.extend16_s
    local.get 0 i64.extend_i32_u i64.extend32_s))"""
SATURATING = """(module (func (export "main") (param i32) (result i32 i64)
    local.get 0 f32.convert_i32_s f32.const 1e20 f32.mul i32.trunc_sat_f32_s
    f64.const nan i64.trunc_sat_f64_u))"""
INDIRECT = """(module (type $t (func (param i32) (result i32))) (table funcref (elem $a $b))
    (func $a (type $t) local.get 0 i32.const 1 i32.add) (func $b (type $t) local.get 0 i32.const 2 i32.mul)
    (func (export "main") (param i32) (result i32) local.get 0 local.get 0 call_indirect (type $t)))"""
GLOBALS = """(module (global $g (mut i32) (i32.const 5)) (func (export "main") (param i32) (result i32)
    global.get $g local.get 0 i32.add global.set $g global.get $g))"""


@pytest.mark.parametrize("costs", [EACH_ONE, DEFAULT, COSMWASM], ids=lambda costs: costs.name)
@pytest.mark.parametrize(
    "text", [IF, LOOP, TABLE, EARLY, FIB, BULK, MULTI_VALUE, SIGN_EXTENSION, SATURATING, INDIRECT, GLOBALS]
)
@pytest.mark.parametrize("argument", [0, 1, 2, 3, 12, 200])
def test_same_results_as_the_plain_module(text: str, costs: WasmGasCosts, argument: int) -> None:
    if text is FIB:
        argument = min(argument, 12)
    if text is LOOP:
        argument = max(argument, 1)
    assert metered(text, argument, costs=costs).outcome == plain(text, argument).outcome


def test_start_function_waits_until_it_can_be_paid() -> None:
    given = module(
        """(module (global $g (export "g") (mut i32) (i32.const 0)) (func $s i32.const 1 global.set $g) (start $s))"""
    )
    rewritten = instrument(given, EACH_ONE)
    assert rewritten.start is None
    assert (START_EXPORT, Kind.FUNCTION, 0) in [(e.name, e.kind, e.index) for e in rewritten.exports]
    store = wasmtime.Store(ENGINE)
    exports = wasmtime.Instance(store, wasmtime.Module(ENGINE, encode(rewritten)), []).exports(store)
    assert exports["g"].value(store) == 0
    exports[GAS_EXPORT].set_value(store, 100)
    exports[STACK_EXPORT].set_value(store, 100)
    exports[START_EXPORT](store)
    assert (exports["g"].value(store), exports[GAS_EXPORT].value(store)) == (1, 100 - 3)


def test_imported_functions_and_globals_keep_their_indices() -> None:
    text = """(module (import "e" "f" (func $f (param i32) (result i32))) (import "e" "g" (global $g i32))
        (global $h i32 (i32.const 9))
        (func (export "main") (result i32) global.get $g global.get $h i32.add call $f))"""
    store = wasmtime.Store(ENGINE)
    compiled = wasmtime.Module(ENGINE, encode(instrument(module(text), EACH_ONE)))
    signature = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
    double = wasmtime.Func(store, signature, lambda value: value * 2)
    four = wasmtime.Global(store, wasmtime.GlobalType(wasmtime.ValType.i32(), False), wasmtime.Val.i32(4))
    exports = wasmtime.Instance(store, compiled, [double, four]).exports(store)
    exports[GAS_EXPORT].set_value(store, 100)
    exports[STACK_EXPORT].set_value(store, 100)
    assert exports["main"](store) == 26
    assert exports[GAS_EXPORT].value(store) == 100 - 5


# What is refused


def test_reserved_exports_are_refused() -> None:
    for name in (GAS_EXPORT, "vmloom:anything"):
        with pytest.raises(InvalidCode, match="reserved"):
            instrument(module(f'(module (func (export "{name}")))'))


def test_instructions_without_a_price_are_refused() -> None:
    text = "(module (func) (func i32.const 1 i32x4.splat drop))"
    with pytest.raises(ProhibitedOpcode, match=r"^function 1: offset 0x.*can not be metered"):
        instrument(module(text))


def test_every_deterministic_opcode_has_a_price() -> None:
    groups = {Group.MVP, Group.SIGN_EXTENSION, Group.SATURATING, Group.BULK_MEMORY, Group.REFERENCE_TYPES}
    assert set(GROUP_BY_OPCODE) == {code for code, opcode in OPCODES.items() if opcode.group in groups}


def test_free_branches_are_refused() -> None:
    with pytest.raises(ConfigError, match="br must not be free"):
        replace(DEFAULT, groups={**DEFAULT.groups, PriceGroup.BRANCH: 0})
    with pytest.raises(ConfigError, match="outside"):
        replace(DEFAULT, per_local=-1)


# Programs that nobody wrote


def statements(depth: int) -> st.SearchStrategy[str]:
    """Statements that leave nothing on the stack, in a function with i32 locals 0 to 3."""
    local = st.integers(0, 2).map(str)
    value = st.one_of(st.integers(-5, 5).map(lambda n: f"i32.const {n}"), local.map(lambda n: f"local.get {n}"))
    operator = st.sampled_from(["add", "sub", "mul", "div_s", "rem_u", "xor", "shl", "lt_s", "eq"])
    expression = st.builds(lambda a, b, o: f"{a} {b} i32.{o}", value, value, operator)
    simple = st.one_of(
        st.builds(lambda e, n: f"{e} local.set {n}", expression, local),
        st.builds(lambda a, e: f"{a} i32.const 63 i32.and {e} i32.store", value, expression),
        st.builds(lambda a, n: f"{a} i32.const 63 i32.and i32.load local.set {n}", value, local),
        st.builds(lambda a, b, n: f"i32.const {n} {b} {a} i32.const 255 i32.and memory.fill", value, value, local),
        st.builds(lambda a, n: f"{a} call $other local.set {n}", value, local),
    )
    if depth == 0:
        return simple
    inner = st.lists(statements(depth - 1), max_size=3).map(" ".join)
    return st.one_of(
        simple,
        st.builds(lambda v, a, b: f"{v} if {a} else {b} end", value, inner, inner),
        st.builds(lambda v, a, b: f"block {a} {v} br_if 0 {b} end", value, inner, inner),
        st.builds(lambda v, a, b: f"block block {v} br_table 0 1 {a} end {b} end", value, inner, inner),
        st.builds(lambda a, b: f"block {a} br 0 {b} end", inner, inner),
        st.builds(lambda v, a: f"{a} {v} if local.get 0 return end", value, inner),
        # a loop that ends: local 3 counts all iterations
        inner.map(lambda a: f"loop {a} local.get 3 i32.const 1 i32.add local.tee 3 i32.const 20 i32.lt_s br_if 0 end"),
        st.just("unreachable"),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(statements(3), max_size=5).map(" ".join), st.integers(-3, 100), st.sampled_from([DEFAULT, COSMWASM]))
def test_generated_programs_run_as_plain_ones(body: str, argument: int, costs: WasmGasCosts) -> None:
    text = f"""(module (memory (export "memory") 1)
      (func $other (param i32) (result i32) local.get 0 i32.const 9 i32.gt_s if i32.const 3 return end local.get 0)
      (func (export "main") (param i32) (result i32) (local i32 i32 i32) {body} local.get 1))"""
    run = metered(text, argument, costs=costs)
    assert run.outcome == plain(text, argument).outcome
    assert run.exhausted is Exhausted.NOTHING
    if run.values is not None and run.gas:
        assert metered(text, argument, costs=costs, gas=run.gas).values == run.values
        assert metered(text, argument, costs=costs, gas=run.gas - 1).exhausted is Exhausted.GAS
