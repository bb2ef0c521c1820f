"""ProzVM's interpreter against compiled code, machine code and every optimisation level, on generated programs.

    uv run python benchmarks/differential_prozvm.py [--programs N] [--seconds T] [--seed S] [--jobs J] [--json]

Some of the programs are written in the contract language; those are evaluated directly, too. Machine code is made of
one in fifty. Each program runs with ample gas, and with two amounts that may run out anywhere. Everything that can be
seen of a run is compared: result, error and its place, gas, state, ledger, events and variables. What a way of running
does not take is counted as skipped. A difference is made smaller and printed, and the exit code is 1.
`--only SEED:NUMBER` runs one program again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from prozvm_programs.cases import COMPILED, NATIVE, WITHOUT, case
from prozvm_programs.compare import Difference, Tally, compare
from prozvm_programs.reduce import PATIENCE, reduced, replay, report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PORTION = 100
"""Programs that a process runs before it reports."""
MOST = 10
"""Differences after which it is enough."""


def portion(task: tuple[int, int, int, float, tuple[str, ...]]) -> tuple[Tally, list[str]]:
    """Run programs `start` up to `stop` of `seed`: what was done, and a report of each difference."""
    seed, start, stop, patience, without = task
    WITHOUT.update(without)
    tally, found = Tally(), []
    for number in range(start, stop):
        made = case(seed, number)
        try:
            compare(made, tally)
        except Exception as error:
            difference = error if isinstance(error, Difference) else replay(made)
            if difference is None:
                raise
            difference.number = f"{seed}:{number}"
            found.append(report(reduced(difference, patience)))
            if len(found) == MOST:
                break
    return tally, found


def portions(options: argparse.Namespace, seed: int) -> Iterator[tuple[Tally, list[str]]]:
    """Run all programs, in `--jobs` processes."""
    starts = range(0, options.programs, PORTION)
    rest = options.patience, tuple(options.without)
    tasks = [(seed, start, min(start + PORTION, options.programs), *rest) for start in starts]
    if options.jobs == 1:
        yield from map(portion, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        yield from pool.imap_unordered(portion, tasks)


def again(text: str, patience: float) -> int:
    """Run one program, in this process."""
    seed, number = map(int, text.split(":"))
    difference = replay(case(seed, number))
    if difference is None:
        print("no difference")
        return 0
    difference.number = text
    print(report(reduced(difference, patience)))
    return 1


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=10_000, help="how many to run (default 10000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long, whatever is left")
    parser.add_argument("--seed", type=int, help="of everything; chosen and printed otherwise")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for making a difference smaller")
    parser.add_argument("--without", nargs="+", choices=(COMPILED, NATIVE), default=[], help="ways to leave out")
    parser.add_argument("--only", metavar="SEED:NUMBER", help="run this program only, which a difference has named")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, all else to stderr")
    options = parser.parse_args()
    if options.only:
        WITHOUT.update(options.without)
        return again(options.only, options.patience)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    console = Console(stderr=options.json)
    console.print(f"seed {seed}", highlight=False)
    tally, found, began = Tally(), [], time.monotonic()
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    with Progress(*columns, console=console, transient=True) as progress, suppress(KeyboardInterrupt):
        task = progress.add_task("programs", total=options.programs)
        for done, reports in portions(options, seed):
            tally.add(done)
            progress.update(task, completed=tally.programs)
            for text in reports:
                found.append(text)
                console.print(text, markup=False, highlight=False, soft_wrap=True)
            if len(found) >= MOST or time.monotonic() - began > options.seconds:
                break
    result = summary(seed, tally, found, time.monotonic() - began)
    if options.json:
        print(json.dumps(result, indent=2))
    console.print(_sentence(result), highlight=False, soft_wrap=True)
    return 1 if found else 0


def summary(seed: int, tally: Tally, found: list[str], seconds: float) -> dict[str, Any]:
    """The result in figures."""
    return {
        "seed": seed,
        "programs": tally.programs,
        "sources": tally.sources,
        "runs": tally.runs,
        "instructions": tally.instructions,
        "skipped": dict(tally.skipped),
        "ends": dict(tally.ends.most_common()),
        "differences": len(found),
        "seconds": round(seconds, 1),
        "found": found,
    }


def _sentence(result: dict[str, Any]) -> str:
    skipped = ", ".join(f"{name} {count:,}" for name, count in result["skipped"].items()) or "none"
    rate = result["programs"] / max(result["seconds"], 0.1)
    return (
        f"{result['programs']:,} programs in {result['runs']:,} runs: {result['differences']} differences; "
        f"skipped: {skipped}; {result['seconds']:.0f} s, {rate:.0f} a second; seed {result['seed']}"
    )


if __name__ == "__main__":
    sys.exit(main())
