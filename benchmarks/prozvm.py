"""What each way of running ProzVM programs brings: four kinds of work on each tier; and how much optimizing saves.

    uv run python benchmarks/prozvm.py [--repeats N] [--json]

The work is written in the language. Tier 0 walks the tree, tier 1 interprets bytecode, tier 2 is compiled, to Python
and to machine code where a program has a loop that pays for it. Each runs as a loop inside one program, and as many
executions of a short one, metered in full, in turns in this process, on a world of its own; the best of all turns
counts. A ratio is the time of tier 0 over that of the tier; the target is for the better tier 2. Results, gas, state
and ledger are compared first: if any differ, the exit code is 1.
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
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import Compiled
from vmloom_prozvm.jit.cache import native_compiler
from vmloom_prozvm.language.bytecode_compiler import compile_program
from vmloom_prozvm.language.core import CoreProgram
from vmloom_prozvm.language.evaluator import TreeEvaluator
from vmloom_prozvm.language.lowering import lower
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.optimizer import BytecodeOptimizer
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld

GAS = 1 << 40
"""For one run: never used up, but counted."""
WIDTH = 120
"""Characters of a table that goes to a file."""
EVALUATOR, INTERPRETER, PYTHON, NATIVE = "tier 0", "tier 1", "tier 2 Python", "tier 2 native"
COMPILED = (PYTHON, NATIVE)
SEED_REDUCTIONS = {
    "constant arithmetic": 50,
    "nested constants": 70,
    "with dead code": 50,
    "load and pop": 66,
    "jump chains": 40,
}
"""Per cent by which the optimizer's first description says that it makes these smaller."""
Runner = Callable[[Machine], Any]


@dataclass
class Workload:
    """Work, what it finds in the state, and how many times faster than tier 0 the better tier 2 is meant to be."""

    name: str
    work: str
    """what is done once"""
    result: str
    times: int
    """turns of the loop"""
    target: int
    state: dict[str, int]

    @property
    def loop(self) -> str:
        """A program that does the work many times."""
        return f"let s = 1; let i = 0; while (i < {self.times}) {{ {self.work} i += 1; }} {self.result}"

    @property
    def short(self) -> str:
        """A program that does it once."""
        return f"let s = 1; let i = 5; {self.work} {self.result}"


def workloads() -> list[Workload]:
    """Arithmetic, state, hashes, and a contract that charges gas, looks at a balance and transfers in a transaction."""
    state = "TX { STATE.counter = STATE.counter + 1; }"
    contract = "GAS 5; if (STATE.from_balance >= 100) { GAS 10; TX { "
    contract += "STATE.from_balance = STATE.from_balance - 100; STATE.to_balance = STATE.to_balance + 100; } }"
    balances = {"from_balance": 10**9, "to_balance": 0}
    return [
        Workload("arithmetic loop", "s = (s + i * 3) % 1_000_003;", "s", 10_000, 100, {}),
        Workload("state operations", state, "STATE.counter", 1_000, 50, {"counter": 0}),
        Workload("hash operations", 's = HASH(["block header", i]);', "s", 1_000, 50, {}),
        Workload("smart contract", contract, "STATE.to_balance", 1_000, 50, balances),
    ]


def tiers(program: CoreProgram, schedule: GasSchedule) -> dict[str, Runner]:
    """How to run a program on a machine, by tier."""
    loaded = load(compile_program(program))
    runners: dict[str, Runner] = {
        EVALUATOR: lambda machine: TreeEvaluator(machine).evaluate(program),
        INTERPRETER: lambda machine: machine.run(loaded),
        PYTHON: Compiled(loaded, schedule=schedule, metered=True).run,
    }
    compile_native = native_compiler()
    native = None if compile_native is None else compile_native(loaded, schedule, True, loaded.limits)
    return runners if native is None else {**runners, NATIVE: native.run}


def measured(workload: Workload, form: str, executions: int, schedule: GasSchedule, repeats: int) -> dict[str, Any]:
    """Microseconds of each tier for the work done once, ratios, and whether all tiers do the same."""
    source, turns = (workload.loop, workload.times) if form == "loop" else (workload.short, executions)
    runners = tiers(lower(parse(source)), schedule)
    machines = 1 if form == "loop" else executions
    seen = {name: run_many(run, workload, schedule, machines)[1] for name, run in runners.items()}
    times = dict.fromkeys(runners, float("inf"))
    for _ in range(repeats):
        for name, run in runners.items():
            times[name] = min(times[name], run_many(run, workload, schedule, machines)[0])
    ratio = {name: times[EVALUATOR] / seconds for name, seconds in times.items()}
    best = max((name for name in times if name in COMPILED), key=lambda name: ratio[name])
    return {
        "name": workload.name,
        "form": form,
        "us": {name: seconds / turns * 1e6 for name, seconds in times.items()},
        "ratio": ratio,
        "target": workload.target,
        "met": ratio[best] >= workload.target,
        "same": len(set(seen.values())) == 1,
    }


def run_many(run: Runner, workload: Workload, schedule: GasSchedule, machines: int) -> tuple[float, str]:
    """Seconds that runs take one after the other on one world, and what the last gives and all leave."""
    env: dict[str, Any] = {"_blockchain_state": dict(workload.state)}
    result, machine = None, None
    begin = time.perf_counter()
    for _ in range(machines):
        machine = Machine(DictWorld(env), schedule=schedule, gas=GAS)
        result = run(machine)
    seconds = time.perf_counter() - begin
    assert machine is not None
    return seconds, repr((result, machine.gas_left, env))


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
    """Instructions before and after optimization, at the highest level, and how much smaller the seed says, in %."""
    rows = []
    for name, (instructions, constants) in patterns().items():
        optimized, _ = BytecodeOptimizer(level=3).optimize(list(instructions), list(constants))
        rows.append({"name": name, "before": len(instructions), "after": len(optimized), "seed": SEED_REDUCTIONS[name]})
    return rows


def tables(rows: Sequence[dict[str, Any]], reductions: Sequence[dict[str, Any]]) -> list[Table]:
    """The tables: both forms of work, and sizes."""
    made = [speeds(form, [row for row in rows if row["form"] == form]) for form in ("loop", "short")]
    size = Table("code", "before", "after", "smaller by", "in the first description", "met")
    for row in reductions:
        reduction = 1 - row["after"] / row["before"]
        met = "met" if round(reduction * 100) >= row["seed"] else "MISSED"
        size.add_row(row["name"], str(row["before"]), str(row["after"]), f"{reduction:.0%}", f"{row['seed']}%", met)
    return [*made, size]


def speeds(form: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Microseconds and ratios to tier 0 of one form."""
    names = [name for name in (EVALUATOR, INTERPRETER, *COMPILED) if any(name in row["us"] for row in rows)]
    title = "a loop inside one program" if form == "loop" else "executions of a short program"
    table = Table("us", *names, "tier 2 / tier 0", "same", title=title, title_justify="left")
    for row in rows:
        cells = [row["name"]]
        for name in names:
            ratio = "" if name == EVALUATOR else f" ({row['ratio'].get(name, 0):.1f}x)"
            cells.append(f"{row['us'][name]:.2f}{ratio}" if name in row["us"] else "not compiled")
        verdict = "met" if row["met"] else "MISSED"
        table.add_row(*cells, f"{row['target']}x {verdict}", "yes" if row["same"] else "NO")
    return table


def main() -> int:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each tier")
    parser.add_argument("--executions", type=int, default=1_000, help="of each short program in a turn")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    gc.disable()
    schedule = GasSchedule()
    rows = [
        measured(workload, form, arguments.executions, schedule, arguments.repeats)
        for form in ("loop", "short")
        for workload in workloads()
    ]
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
