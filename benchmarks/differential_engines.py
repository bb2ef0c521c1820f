"""Engines against each other: random and mutated programs on random states, on all forks.

    uv run python benchmarks/differential_engines.py [--engines reference,native,jit,tiered]
        [--programs N | --seconds S] [--seed S] [--workers W] [--fork NAME]

A case is a state, a block and a few dozen steps. Each step runs programs that nobody has run before: as a call, a
transaction of any type, several transactions, a message or a system call; many run again with less gas than they used,
or with a tracer. Everything that can be seen of a run is compared, and the states, also after undoing and committing.
All engines are compared with the first one. `jit` compiles every contract in full before it first runs; `tiered`
compiles them in the midst of their runs, first quickly and then in full. With either, each program runs some more times
with less gas.
A program is what a run of either engine began with; contracts that it called do not count, nor do refusals.

A difference is made smaller and printed, and the exit code is 1. `--only SEED:NUMBER` runs its case again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from differential.compare import ENGINES, USUAL, Difference, compare
from differential.shrink import PATIENCE, report, shrunk
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from vmloom_evm.forks import FORKS

EVERY = 0.5
"""s between the reports of a worker."""
MOST = 10
"""Differences after which it is enough."""
LONGEST = 600.0
"""s that a case may take; all take less than one, or a few where all is compiled anew."""


@dataclass
class Tally:
    """What has been done."""

    programs: int = 0
    cases: int = 0
    differences: int = 0


def work(options: argparse.Namespace, seed: int, at: Any, until: float, pipe: Connection) -> None:
    """Run every case that is this worker's, beginning at `at`; send (programs, cases, difference) now and then."""
    number, programs, cases, told = at.value, 0, 0, 0.0
    with suppress(BrokenPipeError, KeyboardInterrupt):
        while time.time() < until:
            if time.monotonic() - told > EVERY:
                pipe.send((programs, cases, ""))
                programs, cases, told = 0, 0, time.monotonic()
            at.value = number  # for the case that native code ends the process
            try:
                programs += compare(seed, number, options.fork, options.engines)
            except Difference as difference:
                pipe.send((0, 0, report(shrunk(difference, options.patience))))
            cases += 1
            number += options.workers
        pipe.send((programs, cases, ""))


def fuzz(options: argparse.Namespace, seed: int, tally: Tally, show: Callable[[str], None]) -> Iterator[None]:
    """Run all workers to the end, showing differences; yields now and then.

    A worker that tells nothing for too long is ended: there is no code that runs forever, but engines might.
    """
    context = multiprocessing.get_context("spawn")
    until = time.time() + options.seconds if options.seconds else float("inf")
    workers: dict[Any, Any] = {}
    heard: dict[Any, float] = {}
    longest = options.longest + options.patience
    for first in range(options.workers):
        ours, theirs = context.Pipe(duplex=False)
        at = context.Value("Q", first, lock=False)
        process = context.Process(target=work, args=(options, seed, at, until, theirs), daemon=True)
        workers[ours], heard[ours] = (process, at), time.monotonic()
        process.start()
        theirs.close()
    try:
        while workers and tally.differences < MOST and (options.seconds or tally.programs < options.programs):
            for pipe in [pipe for pipe in workers if time.monotonic() - heard[pipe] > longest]:
                process, at = workers.pop(pipe)
                process.terminate()
                process.join()
                tally.differences += 1
                show(f"case {seed}:{at.value} did not end within {options.longest:g} s")
            for pipe in wait(list(workers), timeout=EVERY):
                heard[pipe] = time.monotonic()
                try:
                    programs, cases, found = pipe.recv()  # type: ignore[union-attr]
                except EOFError:
                    process, at = workers.pop(pipe)
                    process.join()
                    if process.exitcode:
                        tally.differences += 1
                        show(f"case {seed}:{at.value} ended its process with {process.exitcode}")
                    continue
                tally.programs += programs
                tally.cases += cases
                if found:
                    tally.differences += 1
                    show(found)
            yield
    finally:
        for process, _ in workers.values():
            process.terminate()
            process.join()


def again(options: argparse.Namespace) -> int:
    """Run one case, in this process."""
    seed, number = map(int, options.only.split(":"))
    try:
        print(f"no difference in {compare(seed, number, options.fork, options.engines)} programs")
    except Difference as difference:
        print(report(shrunk(difference, options.patience)))
        return 1
    return 0


def engines(text: str) -> tuple[str, ...]:
    """The engines that are named, at least two."""
    names = tuple(text.split(","))
    for name in names:
        if name not in ENGINES:
            raise argparse.ArgumentTypeError(f"unknown engine {name!r}; known: {', '.join(ENGINES)}")
    if len(set(names)) < 2:
        raise argparse.ArgumentTypeError("name two engines at least, with a comma between them")
    return names


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--engines",
        type=engines,
        default=USUAL,
        metavar="NAME,NAME",
        help=f"of {', '.join(ENGINES)}; the first one sets the standard (default {','.join(USUAL)})",
    )
    parser.add_argument("--programs", type=int, default=20_000, help="how many to run at least (default 20000)")
    parser.add_argument("--seconds", type=float, default=0.0, help="run for so long instead")
    parser.add_argument("--seed", type=int, help="of everything; chosen and printed otherwise")
    parser.add_argument("--fork", choices=list(FORKS), help="only this one; otherwise all in turn")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for making a difference smaller")
    parser.add_argument(
        "--longest", type=float, default=LONGEST, help="seconds after which a case counts as one that never ends"
    )
    parser.add_argument("--only", metavar="SEED:NUMBER", help="run this case only, which a difference has named")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, all else to stderr")
    options = parser.parse_args()
    if options.only:
        return again(options)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    console = Console(stderr=options.json)
    console.print(f"seed {seed}", highlight=False)
    tally, began, found = Tally(), time.monotonic(), []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("programs", total=None if options.seconds else options.programs)

        def show(text: str) -> None:
            found.append(text)
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        with suppress(KeyboardInterrupt):
            for _ in fuzz(options, seed, tally, show):
                progress.update(task, completed=tally.programs)
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps({"seed": seed, **vars(tally), "seconds": round(seconds, 1), "found": found}))
    forks = options.fork or f"{len(FORKS)} forks"
    console.print(
        f"{tally.programs:,} programs in {tally.cases:,} cases on {forks}: {tally.differences} differences; "
        f"{seconds:.0f} s, {tally.programs / seconds:.0f} a second; seed {seed}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
