"""What the prices of WebAssembly stand for: nanoseconds of instructions and host functions, beside what they cost.

    uv run python benchmarks/wasm_calibrate.py [--table NAME] [--repeats N] [--filter TEXT] [--json]

Each row of instructions is a loop of many copies of a piece of code, on plain compiled modules. The same loop with
the rest of the piece only (such as what makes its operands) is measured in turns with it and subtracted; the best of
each counts, as whatever disturbs such a loop makes it slower. Copies depend on each other, so times are latencies:
what code costs at its worst, short of missing the caches, which has a row of its own. What a piece costs is read from
the metered module's own counter. Host functions are measured in whole calls of a contract by `WasmVm.execute`, against
a contract that calls none; medians count there.

A table is fair where nanoseconds for a unit are alike: a row far above the median is too cheap. Prices are part of
what all machines agree on, so the output is for whoever writes a table, and changes nothing by itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from vmloom import BlockContext, ExecutionContext, MemoryState
from vmloom_wasm.abi import FUNCTIONS
from vmloom_wasm.binary.module import decode
from vmloom_wasm.binary.writer import encode
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.engine import Engine, HostFunctions, Instance, Limits, Linked, compile_module
from vmloom_wasm.metering import GAS_EXPORT, STACK_EXPORT, TABLES, PriceGroup, WasmGasCosts, instrument
from vmloom_wasm.vm import WasmVm
from wasmtime import wat2wasm

COPIES = 64
"""Of a piece of code in one turn of its loop."""
TURN_SECONDS = 0.004
"""About what one measurement takes."""
PAGES = 320
"""Of memory: 20 MiB, more than most processors cache for one core."""
LINE = 64
"""Bytes of a line of the cache."""
WIDTH = 110
"""Characters of a table that goes to a file."""
FAR = 3.0
"""How many times the median a row must be above it to be pointed out."""


@dataclass(frozen=True)
class Row:
    """A piece of code on i32 locals $a $b, i64 $x $y, f32 $f and f64 $d $e; `base` is what is subtracted."""

    group: str
    name: str
    piece: str
    base: str = ""
    copies: int = COPIES


@dataclass(frozen=True)
class Measured:
    """Nanoseconds and cost of one piece, without its base; the cost is in units."""

    group: str
    name: str
    nanoseconds: float
    cost: float

    @property
    def rate(self) -> float:
        """Nanoseconds for a unit; infinite for what is free."""
        return self.nanoseconds / self.cost if self.cost else float("inf")


BETWEEN = {
    "i32": "local.get $a local.get $b i32.add",
    "i64": "local.get $x local.get $y i64.add",
    "f64": "local.get $d local.get $e f64.add",
}
"""Comes before each operator that is measured, lest the compiler see through a chain of the same one. (The addition of
integers itself takes as long as `xor`.)"""
VARIABLES = {"i32": ("$a", "$b"), "i64": ("$x", "$y"), "f64": ("$d", "$e")}


def binary(group: PriceGroup, type_: str, *names: str, right: str = "") -> Iterator[Row]:
    """Operators whose result is the left operand of the next one."""
    left, other = VARIABLES[type_]
    for name in names:
        piece = f"{BETWEEN[type_]} {right or f'local.get {other}'} {type_}.{name} local.set {left}"
        yield Row(group.value, f"{type_}.{name}", piece, f"{BETWEEN[type_]} local.set {left}")


def unary(group: PriceGroup, *names: str, back: str = "", type_: str = "i64") -> Iterator[Row]:
    """Operators whose result, put back into an operand of `type_` by `back`, is the operand of the next one."""
    left, _ = VARIABLES[type_]
    for name in names:
        piece = f"{BETWEEN[type_]} {name} {back} local.set {left}"
        yield Row(group.value, f"{name} {back}".strip(), piece, f"{BETWEEN[type_]} local.set {left}")


RANDOM = "local.get $x i64.const 6364136223846793005 i64.mul i64.const 1442695040888963407 i64.add local.set $x"
"""The next of Knuth's random numbers; the upper bits are good."""
CHOICE = "local.get $x i64.const 61 i64.shr_u i32.wrap_i64"
STEP = "local.get $b i32.const 1 i32.add local.set $b"
ODD = "local.get $x i64.const 3 i64.or"
TARGETS = " ".join("(block" for _ in range(8))
SWITCH = f"{TARGETS} {{}} br_table 0 1 2 3 4 5 6 7)" + f" {STEP})" * 7


def instruction_rows() -> list[Row]:
    """All of them, by group. Groups without one hold what takes no time by itself, or what contracts must not use."""
    group = PriceGroup
    return [
        *control_rows(),
        *memory_rows(),
        *binary(group.INTEGER, "i32", "xor", "or", "shl", "rotl", "lt_s"),
        *binary(group.INTEGER, "i64", "and", "shr_s", "rotr"),
        *unary(group.INTEGER, "i64.extend32_s"),
        *unary(group.INTEGER, "i64.eqz", back="i64.extend_i32_u"),
        *binary(group.MULTIPLY, "i32", "mul"),
        *binary(group.MULTIPLY, "i64", "mul"),
        *binary(group.DIVIDE, "i32", "div_s", "rem_u", right="local.get $b i32.const 1 i32.or"),
        Row("divide", "i64.div_u, wide", f"i64.const -7 {ODD} i64.div_u local.set $x"),
        Row("divide", "i64.rem_s, wide", f"i64.const 0x7123456789abcdef {ODD} i64.rem_s local.set $x"),
        *unary(group.COUNT_BITS, "i64.clz", "i64.ctz", "i64.popcnt"),
        *binary(group.FLOAT, "f64", "add", "mul", "min", "copysign"),
        *unary(group.FLOAT, "f64.floor", "f64.neg", type_="f64"),
        *binary(group.FLOAT_DIVIDE, "f64", "div"),
        *unary(group.FLOAT_DIVIDE, "f64.sqrt", type_="f64"),
        *unary(group.FLOAT_CONVERT, "f64.convert_i64_u", back="i64.trunc_sat_f64_u"),
        *unary(group.FLOAT_CONVERT, "f64.convert_i64_s", back="i64.trunc_f64_s"),
        *unary(group.FLOAT_CONVERT, "i64.reinterpret_f64", back="f64.reinterpret_i64", type_="f64"),
        *unary(group.FLOAT_CONVERT, "f32.demote_f64", back="f64.promote_f32", type_="f64"),
    ]


def control_rows() -> list[Row]:
    """Branches and calls."""
    bit = f"{CHOICE} i32.const 4 i32.and"
    indirect = "call_indirect (type $unary) local.set $a"
    return [
        Row("branch", "br_if, foreseeable", f"(block local.get $a br_if 0 {STEP})", STEP),
        Row("branch", "br_if, random", f"{RANDOM} (block {bit} br_if 0 {STEP})", f"{RANDOM} {STEP}"),
        Row("branch", "if else, random", f"{RANDOM} {bit} if {STEP} else {STEP} {STEP} end", f"{RANDOM} {STEP}"),
        Row("branch_table", "8 targets, in turn", SWITCH.format("local.get $b i32.const 7 i32.and"), STEP),
        Row("branch_table", "8 targets, random", f"{RANDOM} {SWITCH.format(CHOICE)}", RANDOM),
        Row("call", "1 parameter, 1 result", "local.get $a call $one local.set $a"),
        Row("call", "8 parameters", f"{'local.get $a ' * 8} call $eight local.set $a"),
        Row("call", "function with 50 locals", "local.get $a call $large local.set $a"),
        Row("call_indirect", "same function", f"local.get $a i32.const 0 {indirect}"),
        Row("call_indirect", "8 functions, random", f"{RANDOM} local.get $a {CHOICE} {indirect}", RANDOM),
    ]


def memory_rows() -> list[Row]:
    """Variables and memory."""
    stored = "local.get $a local.get $b i32.store8 offset=64 local.get $a i32.load8_u offset=64 local.set $b"
    counted = "i64.const 1 i64.add"
    return [
        Row("local", "select", "local.get $a local.get $b local.get $a select local.set $a"),
        Row("global", "get and set", f"global.get $g {counted} global.set $g", f"local.get $x {counted} local.set $x"),
        Row("load", "i32.load, cached", "local.get $a i32.load local.set $a"),
        Row("load", "i64.load8_s, cached", "local.get $a i64.load8_s i32.wrap_i64 local.set $a"),
        Row("load", "i32.load, not cached", "local.get $b i32.load local.set $b"),
        Row("store", "i64.store", "local.get $a local.get $x i64.store offset=64"),
        Row("store", "i32.store8, then loaded", stored),
        Row("memory_size", "memory.size", "memory.size local.get $b i32.add local.set $b", STEP),
        Row("grow", "memory.grow by nothing", "i32.const 0 memory.grow drop"),
        *(bulk_row(name, size) for name in ("fill", "copy") for size in (0, 64, 4096, 1 << 20)),
        bulk_row("init", 4096),
    ]


def bulk_row(name: str, size: int) -> Row:
    """`memory.fill`, `memory.copy` or `memory.init` of `size` bytes."""
    source = {"fill": "i32.const 1", "copy": "i32.const 3000000", "init": "i32.const 0"}[name]
    piece = f"i32.const 64 {source} i32.const {size} memory.{name}" + (" $d" if name == "init" else "")
    return Row("bulk", f"memory.{name} of {size:,} bytes", piece, copies=COPIES if size < 1 << 20 else 1)


def module(piece: str, copies: int) -> bytes:
    """A module whose `run` does `copies` of `piece` in each turn of a loop."""
    functions = "\n".join(f"(func $f{n} (type $unary) local.get 0 i32.const {n} i32.add)" for n in range(8))
    text = f"""(module
      (type $unary (func (param i32) (result i32)))
      (memory (export "memory") {PAGES} {PAGES}) (data $d "{"a" * 4096}") (global $g (mut i64) (i64.const 0))
      (table funcref (elem $f0 $f1 $f2 $f3 $f4 $f5 $f6 $f7)) {functions}
      (func $one (param i32) (result i32) local.get 0)
      (func $eight (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) local.get 7)
      (func $large (param i32) (result i32) (local {"i64 " * 50}) local.get 0)
      (func (export "run") (param $turns i32) (result i64)
        (local $a i32) (local $b i32) (local $x i64) (local $y i64) (local $d f64) (local $e f64)
        (local.set $b (i32.load (i32.const {LINE}))) (local.set $x (i64.load (i32.const 8)))
        (local.set $y (i64.load (i32.const 16))) (local.set $d (f64.load (i32.const 24)))
        (local.set $e (f64.load (i32.const 32)))
        (loop $turn {piece * copies if piece.endswith(" ") else (piece + " ") * copies}
          (br_if $turn (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))
        (i64.add (i64.add (i64.extend_i32_u (i32.add (local.get $a) (local.get $b)))
          (i64.add (local.get $x) (local.get $y))) (i64.reinterpret_f64 (f64.add (local.get $d) (local.get $e))))))"""
    return bytes(wat2wasm(text))


def memory_content() -> bytes:
    """The first values of the locals, and a walk over all lines of the cache in random order, one after the other."""
    lines = list(range(1, (PAGES << 16) // LINE))
    random.Random(1).shuffle(lines)
    at = lines.index(1)
    lines = lines[at:] + lines[:at]
    content = bytearray(PAGES << 16)
    for here, there in zip(lines, [*lines[1:], lines[0]], strict=True):
        struct.pack_into("<I", content, here * LINE, there * LINE)
    struct.pack_into("<QQdd", content, 8, 0x9E3779B97F4A7C15, 5, 1.5, 1.0000001)
    return bytes(content)


class Loops:
    """Makes loops of pieces of code, and runs them."""

    def __init__(self, costs: WasmGasCosts) -> None:
        self._engine = Engine()
        self._costs = costs
        self._content = memory_content()
        self._functions = HostFunctions(self._engine)

    def _instance(self, code: bytes) -> Instance:
        linked = Linked(compile_module(self._engine, code), self._functions)
        instance = linked.instantiate(Limits(memory_pages=PAGES))
        instance.memory.write(0, self._content)
        return instance

    def cost(self, piece: str, copies: int) -> float:
        """Units of one turn with `copies` of `piece`, as the metered module counts them."""
        instance = self._instance(encode(instrument(decode(module(piece, copies)), self._costs)))
        gas = instance.variable(GAS_EXPORT)
        spent = []
        for turns in (1, 101):
            gas.set(1 << 62)
            instance.variable(STACK_EXPORT).set(100_000)
            instance.call("run", turns)
            spent.append((1 << 62) - gas.get())
        return (spent[1] - spent[0]) / 100

    def timer(self, piece: str, copies: int) -> Callable[[int], Any]:
        """A function that runs so many turns."""
        return self._instance(module(piece, copies)).function("run", "i:I")

    def measured(self, row: Row, repeats: int) -> Measured:
        """Nanoseconds and units of one copy of the row's piece, less its base."""
        functions = [self.timer(piece, row.copies) for piece in (row.piece, row.base)]
        turns = [calibrated(function) for function in functions]
        seconds: list[list[float]] = [[], []]
        for _ in range(repeats):
            for side, (function, count) in enumerate(zip(functions, turns, strict=True)):
                begin = time.perf_counter()
                function(count)
                seconds[side].append((time.perf_counter() - begin) / count)
        with_piece, without = (min(side) for side in seconds)
        cost = self.cost(row.piece, row.copies) - self.cost(row.base, row.copies)
        scale = 1e9 / row.copies
        return Measured(row.group, row.name, max(0.0, with_piece - without) * scale, cost / row.copies)


def calibrated(function: Callable[[int], Any]) -> int:
    """How many turns of a loop take about `TURN_SECONDS`."""
    turns = 1
    while True:
        begin = time.perf_counter()
        function(turns)
        taken = time.perf_counter() - begin
        if taken > TURN_SECONDS / 4 or turns >= 1 << 26:
            return max(1, int(turns * TURN_SECONDS / max(taken, 1e-9)))
        turns *= 4


def grown_page(costs: WasmGasCosts, repeats: int) -> Measured:
    """A page that `memory.grow` adds, written to once in each 4 KiB so that it is really there."""
    text = """(module (memory 1 513) (func (export "run") (param $turns i32) (result i64) (local $at i32)
      (loop $turn (drop (memory.grow (i32.const 1)))
        (local.set $at (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536)))
        (loop $touch (i32.store (local.get $at) (i32.const 1))
          (local.set $at (i32.add (local.get $at) (i32.const 4096)))
          (br_if $touch (i32.and (local.get $at) (i32.const 65535))))
        (br_if $turn (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))
      i64.const 0))"""
    engine = Engine()
    linked = Linked(compile_module(engine, bytes(wat2wasm(text))), HostFunctions(engine))
    seconds = []
    for _ in range(repeats):
        run = linked.instantiate(Limits(memory_pages=513)).function("run", "i:I")
        begin = time.perf_counter()
        run(512)
        seconds.append((time.perf_counter() - begin) / 512)
    size = costs.sizes.get(0x40)
    return Measured(
        "grow", "memory.grow by a page", median(seconds) * 1e9, costs.of(0x40) + (size.of(1) if size else 0)
    )


# Host functions

NULL, KEY, PLACE, OTHER = "(i32.const 0)", "(i32.const 64)", "(i32.const 1024)", "(i32.const 128)"
WORD, LONG, NUMBER = "(i32.const 32)", "(i32.const 4096)", "(i64.const 1)"
HOST_PIECES: dict[str, tuple[str, str]] = {
    "gas_left": ("gas_left", "(drop (call $gas_left))"),
    "caller": ("caller", f"(call $caller {PLACE})"),
    "block_number": ("block_number", "(drop (call $block_number))"),
    "block_hash": ("block_hash", f"(call $block_hash {NUMBER} {PLACE})"),
    "balance, warm": ("balance", f"(call $balance {OTHER} {PLACE})"),
    "code_hash, warm": ("code_hash", f"(call $code_hash {OTHER} {PLACE})"),
    "input_copy, 32 bytes": ("input_copy", f"(call $input_copy {PLACE} {NULL} {WORD})"),
    "input_copy, 4,096 bytes": ("input_copy", f"(call $input_copy {PLACE} {NULL} {LONG})"),
    "storage_load, warm": ("storage_load", f"(call $storage_load {KEY} {PLACE})"),
    "storage_store, same value": ("storage_store", f"(call $storage_store {KEY} {KEY})"),
    "storage_load, cold": (
        "storage_load",
        f"(i32.store {KEY} (local.get $turns)) (call $storage_load {KEY} {PLACE})",
    ),
    "transient_load": ("transient_load", f"(call $transient_load {KEY} {PLACE})"),
    "transient_store": ("transient_store", f"(call $transient_store {KEY} {KEY})"),
    "record_read, 32 bytes": ("record_read", f"(drop (call $record_read {KEY} {WORD} {PLACE} {NULL} {WORD}))"),
    "record_write, 32 bytes": ("record_write", f"(call $record_write {KEY} {WORD} {PLACE} {WORD})"),
    "emit, 32 bytes": ("emit", f"(call $emit {KEY} (i32.const 2) {PLACE} {WORD})"),
    "keccak256, 32 bytes": ("keccak256", f"(call $keccak256 {KEY} {WORD} {PLACE})"),
    "keccak256, 4,096 bytes": ("keccak256", f"(call $keccak256 {KEY} {LONG} {NULL})"),
    "sha256, 32 bytes": ("sha256", f"(call $sha256 {KEY} {WORD} {PLACE})"),
    "sha256, 4,096 bytes": ("sha256", f"(call $sha256 {KEY} {LONG} {NULL})"),
    "call_static, no code": (
        "call_static",
        f"(drop (call $call_static (i64.const 100000) {OTHER} {NULL} {NULL}))",
    ),
}
"""Which function is called, and how."""
HOST_TURNS = 200
"""Calls of a host function in one run."""
_CALLER, _CONTRACT = b"\x11" * 20, b"\x22" * 20


def contract(name: str, piece: str) -> bytes:
    """A contract that does `piece` `HOST_TURNS` times; `name` is the host function in it, if there is one."""
    text = ("i32", "i64", "f32", "f64")
    letters = dict(zip("iIfF", text, strict=True))
    imported = ""
    if name:
        kind = FUNCTIONS[name].signature
        params, results = (" ".join(letters[letter] for letter in side) for side in (kind.parameters, kind.results))
        imported = f'(import "env" "{name}" (func ${name} (param {params}) (result {results})))'
    return bytes(
        wat2wasm(f"""(module {imported} (memory (export "memory") 2)
          (func (export "main") (param i32 i32 i32) (result i32) (local $turns i32)
            (local.set $turns (i32.const {HOST_TURNS}))
            (loop $turn {piece} (br_if $turn (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))
            i32.const 1))""")
    )


def host_rows(table: str, repeats: int, wanted: str) -> list[Measured]:
    """Nanoseconds and units of one call of each host function. Raises `RuntimeError` if a contract fails."""
    vm = WasmVm(WasmConfig.model_validate({"gas_costs": table, "disk_cache": False}))
    context = ExecutionContext(
        caller=_CALLER, address=_CONTRACT, origin=_CALLER, gas_limit=1 << 40, block=BlockContext(number=5)
    )
    pieces = {name: piece for name, piece in HOST_PIECES.items() if wanted in f"host {name}"}
    if not pieces:
        return []

    def once(code: bytes) -> tuple[float, int]:
        state = MemoryState()
        begin = time.perf_counter()
        result = vm.execute(code, context, state)
        taken = time.perf_counter() - begin
        if not result.success:
            raise RuntimeError(f"a contract of this benchmark fails: {result.error}")
        return taken, result.gas_used

    empty = contract("", "")
    found = []
    for name, (function, piece) in pieces.items():
        code = contract(function, piece)
        turns = [(once(code), once(empty)) for _ in range(repeats + 1)][1:]  # the first one compiles
        taken = median(one[0] for one, _ in turns) - median(other[0] for _, other in turns)
        gas = turns[0][0][1] - turns[0][1][1]
        found.append(Measured("host", name, taken / HOST_TURNS * 1e9, gas * vm.config.units_per_gas / HOST_TURNS))
    return found


# Output


def printed(rows: list[Measured], table: str, about: dict[str, str]) -> None:
    """A table for people; rows far above the median of the instructions are red."""
    console = Console()
    rates = [row.rate for row in rows if row.group != "host" and row.cost]
    middle = median(rates) if rates else 0.0
    shown = Table(
        title=f"nanoseconds and prices, table {table}",
        caption=f"median of instructions: {middle:.2f} ns for a unit; red: {FAR:g} times that and more. "
        + ", ".join(map(" ".join, about.items())),
    )
    headings: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("group", "left"), ("what", "left"), ("ns", "right"), ("units", "right"), ("ns each", "right"),
        ("times the median", "right"),
    )  # fmt: skip
    for heading, justify in headings:
        shown.add_column(heading, justify=justify)
    previous = ""
    for row in rows:
        if previous and row.group != previous:
            shown.add_section()
        far = middle and row.rate > FAR * middle
        cells = (f"{row.nanoseconds:,.2f}", f"{row.cost:,.1f}", f"{row.rate:,.3f}")
        times = f"{row.rate / middle:,.1f}" if middle else ""
        shown.add_row(row.group if row.group != previous else "", row.name, *cells, times, style="red" if far else "")
        previous = row.group
    (console if console.is_terminal else Console(width=WIDTH)).print(shown)


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=sorted(TABLES), default="default", help="the gas table")
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each row")
    parser.add_argument("--filter", default="", help="only rows in whose group or name this is")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    gc.disable()
    loops = Loops(TABLES[options.table])
    wanted = [row for row in instruction_rows() if options.filter in f"{row.group} {row.name}"]
    rows = [loops.measured(row, options.repeats) for row in wanted]
    if options.filter in "grow memory.grow by a page":
        rows.append(grown_page(TABLES[options.table], options.repeats))
    rows += host_rows(options.table, options.repeats, options.filter)
    about = {"python": platform.python_version(), "wasmtime": version("wasmtime"), "machine": platform.machine()}
    if options.json:
        found = [{**asdict(row), "nanoseconds_each": row.rate if row.cost else None} for row in rows]
        print(json.dumps({**about, "table": options.table, "rows": found}, indent=1))
    else:
        printed(rows, options.table, about)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
