"""What it costs to go from Python into WebAssembly and back: vmloom's layer against wasmtime's own Python API.

    uv run python benchmarks/wasm_calls.py [--repeats N] [--json]

Both sides run the same compiled module in this process, in turns; the best of all turns counts. A ratio is the time
of wasmtime's API over vmloom's. Results are compared on both sides first: if any differ, the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import wasmtime
from rich.console import Console
from rich.table import Table
from vmloom_wasm.engine import Engine, HostFunctions, Limits, Linked, compile_module

MODULE = """(module
    (import "env" "h" (func $h (param i32 i32) (result i32)))
    (import "env" "none" (func $none))
    (memory (export "memory") 1)
    (global (export "g") (mut i64) (i64.const 5))
    (func (export "none"))
    (func (export "add") (param i32 i32 i32) (result i32)
        (i32.add (i32.add (local.get 0) (local.get 1)) (local.get 2)))
    (func (export "wide") (param i64 i64) (result i64 i64) (local.get 1) (local.get 0))
    (func (export "back") (param i32) (result i32) (local $a i32)
        (loop $l (local.set $a (call $h (local.get 0) (local.get $a)))
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $a))
    (func (export "back_none") (param i32)
        (loop $l (call $none) (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
BACK = 1_000
"""Host calls in one call."""
WIDTH = 100
"""Characters of a table that goes to a file."""


@dataclass
class Row:
    """The same on both sides: how often it happens in one call of the function, and the functions."""

    name: str
    times: int
    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def make_rows() -> list[Row]:
    """All rows, on one instance of each side."""
    engine = Engine()
    compiled = compile_module(engine, bytes(wasmtime.wat2wasm(MODULE)))
    functions = HostFunctions(engine)
    functions.define("env", "h", "ii:i", lambda _, first, second: first + second & 0x7FFFFFFF)
    functions.define("env", "none", ":", lambda _: None)
    linked = Linked(compiled, functions)
    ours = linked.instantiate()

    linker = wasmtime.Linker(engine.handle)
    i32 = wasmtime.ValType.i32
    linker.define_func(
        "env", "h", wasmtime.FuncType([i32(), i32()], [i32()]), lambda first, second: first + second & 0x7FFFFFFF
    )
    linker.define_func("env", "none", wasmtime.FuncType([], []), lambda: None)
    pre = linker.instantiate_pre(compiled.handle)
    store = wasmtime.Store(engine.handle)
    theirs: Any = pre.instantiate(store).exports(store)
    memory, variable = theirs["memory"], theirs["g"]

    def their_instance() -> int:
        fresh = wasmtime.Store(engine.handle)
        fresh.set_limits(memory_size=512 << 16, table_elements=10_000, instances=1, tables=1, memories=1)
        exports: Any = pre.instantiate(fresh).exports(fresh)
        return int(exports["add"](fresh, 1, 2, 3))

    limits, data = Limits(), bytes(64)
    none, add, wide = ours.function("none", ":"), ours.function("add", "iii:i"), ours.function("wide", "II:II")
    back, back_none = ours.function("back", "i:i"), ours.function("back_none", "i:")
    held, counter = ours.memory, ours.variable("g")
    return [
        Row("call () -> ()", 1, none, partial(theirs["none"], store)),
        Row("call (i32, i32, i32) -> i32", 1, lambda: add(1, 2, 3), partial(theirs["add"], store, 1, 2, 3)),
        Row("call (i64, i64) -> (i64, i64)", 1, lambda: [*wide(1, 2)], partial(theirs["wide"], store, 1, 2)),
        Row("host call () -> ()", BACK, lambda: back_none(BACK), partial(theirs["back_none"], store, BACK)),
        Row("host call (i32, i32) -> i32", BACK, lambda: back(BACK), partial(theirs["back"], store, BACK)),
        Row("read 64 bytes of memory", 1, lambda: held.read(8, 64), lambda: bytes(memory.read(store, 8, 72))),
        Row("write 64 bytes of memory", 1, lambda: held.write(8, data), lambda: memory.write(store, data, 8) and None),
        Row("read a global", 1, counter.get, lambda: variable.value(store)),
        Row("write a global", 1, lambda: counter.set(5), lambda: variable.set_value(store, 5)),
        Row("instance and its first call", 1, lambda: linked.instantiate(limits).call("add", 1, 2, 3), their_instance),
    ]


def best(function: Callable[[], Any], budget: float) -> float:
    """Seconds of the quickest call, of a batch of some that takes about `budget` seconds."""
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < budget / 4:
        function()
        count += 1
    rounds = range(max(1, count // 2))
    found = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in rounds:
            function()
        found = min(found, (time.perf_counter() - begin) / len(rounds))
    return found


def measured(row: Row, repeats: int) -> dict[str, Any]:
    """Times in microseconds, the ratio, and whether results agree."""
    same = row.ours() == row.theirs()
    times = [(best(row.ours, 0.04), best(row.theirs, 0.04)) for _ in range(repeats)]
    ours, theirs = (min(side) / row.times * 1e6 for side in zip(*times, strict=True))
    return {"name": row.name, "vmloom_us": ours, "wasmtime_us": theirs, "ratio": theirs / ours, "same": same}


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    gc.disable()
    rows = [measured(row, options.repeats) for row in make_rows()]
    about = {"python": platform.python_version(), "wasmtime": version("wasmtime"), "machine": platform.machine()}
    if options.json:
        print(json.dumps({**about, "rows": rows}, indent=1))
    else:
        console = Console()
        table = Table(
            title="vmloom's layer against wasmtime's Python API", caption=", ".join(map(" ".join, about.items()))
        )
        for heading, justify in (
            ("what", "left"),
            ("vmloom us", "right"),
            ("wasmtime us", "right"),
            ("ratio", "right"),
        ):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for row in rows:
            name = row["name"] if row["same"] else f"[red]{row['name']}: results differ[/red]"
            table.add_row(name, f"{row['vmloom_us']:.2f}", f"{row['wasmtime_us']:.2f}", f"{row['ratio']:.1f}")
        Console(width=None if console.is_terminal else WIDTH).print(table)
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
