"""What compiling ProzVM programs brings: four kinds of work on each tier; and how much smaller optimizing makes code.

    uv run python benchmarks/prozvm.py [--repeats N] [--json]

Tiers run the same program in this process, in turns, on a world of their own; the best of all turns counts. A ratio is
the time of the interpreter over that of the tier. Results, gas, state and ledger are compared first: if any differ,
the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import Compiled
from vmloom_prozvm.optimizer import BytecodeOptimizer
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.loaded import Loaded, load
from vmloom_prozvm.runtime.world import DictWorld

GAS = 1 << 40
"""For one run: never used up, but counted."""
WIDTH = 100
"""Characters of a table that goes to a file."""
Runner = Callable[[Machine], Any]


@dataclass
class Workload:
    """A program and what it finds in the state; `times` is how often its loop runs."""

    name: str
    program: Bytecode
    times: int
    state: dict[str, int]


def loop(times: int, *steps: tuple[Any, ...]) -> Bytecode:
    """A program that runs `steps` with `i` from 0, and returns `s`."""
    builder = BytecodeBuilder().emit("STORE_CONST", "i", 0).emit("STORE_CONST", "s", 0).label("top")
    builder.emit("LOAD_NAME", "i").emit("LOAD_CONST", times).emit("LT").emit("JUMP_IF_FALSE", "end")
    for name, *operands in steps:
        if name == "label":
            builder.label(*operands)
        else:
            builder.emit(name, *operands)
    builder.emit("LOAD_NAME", "i").emit("LOAD_CONST", 1).emit("ADD").emit("STORE_NAME", "i").emit("JUMP", "top")
    return builder.label("end").emit("LOAD_NAME", "s").emit("RETURN").build()


def workloads() -> list[Workload]:
    """The four kinds: arithmetic, state, hashes, and a contract that transfers tokens and writes it down."""
    arithmetic = loop(
        10_000,
        *(("LOAD_NAME", "s"), ("LOAD_NAME", "i"), ("LOAD_CONST", 3), ("MUL",), ("ADD",)),
        *(("LOAD_CONST", 1_000_003), ("MOD",), ("STORE_NAME", "s")),
    )
    state = loop(
        1_000,
        *(("TX_BEGIN",), ("STATE_READ", "counter"), ("LOAD_CONST", 1), ("ADD",), ("STATE_WRITE", "counter")),
        ("TX_COMMIT",),
    )
    hashes = loop(
        1_000,
        *(("LOAD_CONST", "block header"), ("LOAD_NAME", "i"), ("BUILD_LIST", 2), ("HASH_BLOCK",), ("STORE_NAME", "s")),
    )
    transfer = loop(
        1_000,
        *(("GAS_CHARGE", 5), ("TX_BEGIN",)),
        *(("STATE_READ", "alice"), ("LOAD_CONST", 10), ("GTE",), ("JUMP_IF_FALSE", "poor")),
        *(("STATE_READ", "alice"), ("LOAD_CONST", 10), ("SUB",), ("STATE_WRITE", "alice")),
        *(("STATE_READ", "bob"), ("LOAD_CONST", 10), ("ADD",), ("STATE_WRITE", "bob")),
        *(("LOAD_CONST", "moved"), ("LEDGER_APPEND",), ("TX_COMMIT",), ("JUMP", "done")),
        *(("label", "poor"), ("TX_REVERT",), ("label", "done")),
    )
    return [
        Workload("arithmetic loop", arithmetic, 10_000, {}),
        Workload("state operations", state, 1_000, {"counter": 0}),
        Workload("hash operations", hashes, 1_000, {}),
        Workload("smart contract", transfer, 1_000, {"alice": 5_000, "bob": 0}),
    ]


def tiers(loaded: Loaded, schedule: GasSchedule) -> dict[str, Runner]:
    """How to run a program on a machine, by tier. The first one is what others are compared with."""
    compiled = Compiled(loaded, schedule=schedule, metered=True)
    return {"interpreted": lambda machine: machine.run(loaded), "compiled": compiled.run}


def measured(workload: Workload, schedule: GasSchedule, repeats: int) -> dict[str, Any]:
    """Microseconds of each tier for one turn of the loop, ratios, and whether all tiers do the same."""
    runners = tiers(load(workload.program), schedule)
    seen = {}
    times = dict.fromkeys(runners, float("inf"))
    for _ in range(repeats):
        for name, run in runners.items():
            env: dict[str, Any] = {"_blockchain_state": dict(workload.state)}
            machine = Machine(DictWorld(env), schedule=schedule, gas=GAS)
            begin = time.perf_counter()
            result = run(machine)
            times[name] = min(times[name], time.perf_counter() - begin)
            seen[name] = repr((result, machine.gas_left, env))
    first = next(iter(times.values()))
    return {
        "name": workload.name,
        "us": {name: seconds / workload.times * 1e6 for name, seconds in times.items()},
        "ratio": {name: first / seconds for name, seconds in times.items()},
        "same": len(set(seen.values())) == 1,
    }


def patterns() -> dict[str, tuple[list[tuple[str, Any]], list[Any]]]:
    """Instructions and constants of the patterns that the optimizer is measured on."""
    nested = [("LOAD_CONST", 0), ("LOAD_CONST", 1), ("ADD", None)]
    nested += [("LOAD_CONST", 0), ("LOAD_CONST", 1), ("ADD", None), ("MUL", None)]
    nested += [("STORE_NAME", 2), ("LOAD_NAME", 2), ("RETURN", None)]
    dead = [("LOAD_CONST", 0), ("STORE_NAME", 2), ("LOAD_NAME", 2), ("RETURN", None)]
    dead += [("LOAD_CONST", 1), ("POP", None), ("LOAD_CONST", 0), ("RETURN", None)]
    return {
        "constant arithmetic": (
            [("LOAD_CONST", 0), ("LOAD_CONST", 1), ("ADD", None), ("RETURN", None)],
            [10, 20],
        ),
        "nested constants": (nested, [10, 20, "x"]),
        "with dead code": (dead, [10, 20, "x"]),
        "load and pop": ([("LOAD_CONST", 0), ("POP", None)] * 2 + [("LOAD_CONST", 1), ("RETURN", None)], [10, 20]),
        "jump chains": (
            [("JUMP", 1), ("JUMP", 2), ("JUMP", 3), ("LOAD_CONST", 0), ("RETURN", None)],
            [10],
        ),
    }


def sizes() -> list[dict[str, Any]]:
    """Instructions before and after optimization, at the highest level."""
    rows = []
    for name, (instructions, constants) in patterns().items():
        optimized, _ = BytecodeOptimizer(level=3).optimize(list(instructions), list(constants))
        rows.append({"name": name, "before": len(instructions), "after": len(optimized)})
    return rows


def tables(rows: Sequence[dict[str, Any]], reductions: Sequence[dict[str, Any]]) -> list[Table]:
    """Both tables."""
    names = list(rows[0]["us"])
    speed = Table("work", *(f"{name} (us)" for name in names), *(f"{name} (ratio)" for name in names[1:]), "same")
    for row in rows:
        cells = [f"{row['us'][name]:.3f}" for name in names] + [f"{row['ratio'][name]:.1f}" for name in names[1:]]
        speed.add_row(row["name"], *cells, "yes" if row["same"] else "NO")
    size = Table("code", "before", "after", "smaller by")
    for row in reductions:
        size.add_row(row["name"], str(row["before"]), str(row["after"]), f"{1 - row['after'] / row['before']:.0%}")
    return [speed, size]


def main() -> int:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each tier")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    gc.disable()
    schedule = GasSchedule()
    rows = [measured(workload, schedule, arguments.repeats) for workload in workloads()]
    reductions = sizes()
    if arguments.json:
        print(json.dumps({"python": platform.python_version(), "work": rows, "sizes": reductions}, indent=2))
    else:
        console = Console() if Console().is_terminal else Console(width=WIDTH)
        for table in tables(rows, reductions):
            console.print(table)
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
