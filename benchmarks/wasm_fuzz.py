"""WebAssembly modules at random, valid and broken: each is refused with a typed error or runs, the same in all ways.

    uv run python benchmarks/wasm_fuzz.py [--modules N | --seconds S] [--seed S] [--workers W] [--save FOLDER]

Modules are made by a generator of valid code, and most of them changed: their parts, their instructions, their bytes.
With `--corpus FOLDER` they are made from the .wasm files there, too. What must hold for each:

* It is refused with a `CodeError`, or accepted. What wasmtime calls invalid is not accepted, and what is accepted can
  be written and read again, instrumented, compiled and run.
* The instrumented module does what the plain one does: results, traps, memory, globals, calls of the host.
* Gas, stack and all of that are the same compiled with and without optimization and with a profile, whether the run
  ends by itself or not; exactly the gas that was used is enough, and one unit less is not. Profiles add up.
* Nothing ends the process, hangs, or takes more memory than `--memory` MiB.

Each worker is a process of its own: if it dies or hangs, the module is known. A failure is printed, and its module kept
in the folder that `--save` names; the exit code is 1. `--only SEED:NUMBER` runs a module again, in this process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from wasm_modules.compare import Difference, case, check, corpus_in

try:
    import resource
except ImportError:  # Windows: memory is not limited there
    resource = None  # type: ignore[assignment]

EVERY = 0.5
"""s between the reports of a worker."""
MOST = 20
"""Failures after which it is enough."""


@dataclass
class Tally:
    """What has been done."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    slowest: tuple[float, int] = (0.0, 0)
    """Seconds, and the module's number."""

    @property
    def modules(self) -> int:
        """How many there were."""
        return self.outcomes.total()


@dataclass
class Worker:
    """A process, and what it does just now."""

    process: Any
    at: Any
    """The number of its module."""
    since: Any
    """When it began with it, in s as `time.monotonic` has it."""


def attempt(seed: int, number: int, corpus: tuple[bytes, ...]) -> tuple[str, str]:
    """What became of a module, and how it failed if it did."""
    try:
        return check(case(seed, number, corpus), f"{seed}:{number}"), ""
    except Difference as difference:
        return "failed", str(difference)
    except Exception as error:  # whatever is not a typed error
        return "failed", f"{type(error).__name__}: {error}"


def work(options: argparse.Namespace, seed: int, at: Any, since: Any, until: float, pipe: Connection) -> None:
    """Try every module that is this worker's, beginning at `at`; send (outcomes, slowest, number, failure)."""
    if resource is not None:  # machine code reserves far more addresses than memory, so those are not limited
        resource.setrlimit(resource.RLIMIT_DATA, (options.memory << 20, options.memory << 20))
    corpus = corpus_in(options.corpus)
    outcomes: Counter[str] = Counter()
    slowest, told = (0.0, 0), time.monotonic()
    with suppress(BrokenPipeError, KeyboardInterrupt):
        while time.time() < until:
            since.value = began = time.monotonic()
            outcome, failure = attempt(seed, at.value, corpus)
            outcomes[outcome] += 1
            slowest = max(slowest, (time.monotonic() - began, at.value))
            if failure or time.monotonic() - told > EVERY:
                pipe.send((outcomes, slowest, at.value, failure))
                outcomes, told = Counter(), time.monotonic()
            at.value += options.workers
        pipe.send((outcomes, slowest, 0, ""))


class Fuzz:
    """Workers, which are replaced when they die."""

    def __init__(self, options: argparse.Namespace, seed: int, fail: Callable[[int, str], None]) -> None:
        self._options, self._seed, self._fail = options, seed, fail
        self._context = multiprocessing.get_context("spawn")
        self._until = time.time() + options.seconds if options.seconds else float("inf")
        self._workers: dict[Any, Worker] = {}
        self.tally = Tally()

    def run(self) -> Iterator[None]:
        """Run all of it; yields when there may be news."""
        options, tally = self._options, self.tally
        for first in range(options.workers):
            self._start(first)
        try:
            while self._workers and tally.failures < MOST and (options.seconds or tally.modules < options.modules):
                for pipe in wait(list(self._workers), timeout=1.0):
                    self._hear(pipe)
                self._end_what_hangs()
                yield
        finally:
            for worker in self._workers.values():
                worker.process.terminate()
                worker.process.join()

    def _start(self, first: int) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        at, since = self._context.Value("Q", first, lock=False), self._context.Value("d", 0.0, lock=False)
        arguments = (self._options, self._seed, at, since, self._until, theirs)
        process = self._context.Process(target=work, args=arguments, daemon=True)
        self._workers[ours] = Worker(process, at, since)
        process.start()
        theirs.close()

    def _hear(self, pipe: Any) -> None:
        try:
            outcomes, slowest, number, failure = pipe.recv()
        except EOFError:
            worker = self._workers.pop(pipe)
            worker.process.join()
            if worker.process.exitcode:
                self._died(worker, f"its process ended with {worker.process.exitcode}")
            return
        self.tally.outcomes += outcomes
        self.tally.slowest = max(self.tally.slowest, slowest)
        if failure:
            self.tally.failures += 1
            self._fail(number, failure)

    def _end_what_hangs(self) -> None:
        for pipe, worker in list(self._workers.items()):
            seconds = time.monotonic() - worker.since.value if worker.since.value else 0.0
            if seconds > self._options.patience:
                worker.process.kill()
                worker.process.join()
                del self._workers[pipe]
                self._died(worker, f"it still runs after {seconds:.0f} s")

    def _died(self, worker: Worker, how: str) -> None:
        """Write down the module that a worker was at, and go on after it."""
        self.tally.failures += 1
        self.tally.outcomes["failed"] += 1
        self._fail(worker.at.value, how)
        self._start(worker.at.value + self._options.workers)


def main() -> int:
    """The command."""
    options = arguments()
    if options.only:
        seed, number = map(int, options.only.split(":"))
        outcome, failure = attempt(seed, number, corpus_in(options.corpus))
        print(f"{outcome}: {failure}" if failure else outcome)
        return bool(failure)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    console, corpus = Console(stderr=options.json), corpus_in(options.corpus)
    console.print(f"seed {seed}", highlight=False)
    began, found = time.monotonic(), []

    def fail(number: int, text: str) -> None:
        code = case(seed, number, corpus)
        found.append({"module": f"{seed}:{number}", "bytes": len(code), "failure": text})
        console.print(f"{seed}:{number} ({len(code)} bytes): {text}", markup=False, highlight=False, soft_wrap=True)
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            (options.save / f"{seed}-{number}.wasm").write_bytes(code)

    fuzz = Fuzz(options, seed, fail)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, suppress(KeyboardInterrupt):
        task = progress.add_task("modules", total=None if options.seconds else options.modules)
        for _ in fuzz.run():
            progress.update(task, completed=fuzz.tally.modules)
    report(console, options, seed, fuzz.tally, time.monotonic() - began, found)
    return 1 if fuzz.tally.failures else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=int, default=10_000, help="how many to try at least (default 10000)")
    parser.add_argument("--seconds", type=float, default=0.0, help="go on for so long instead")
    parser.add_argument("--seed", type=int, help="of everything; chosen and printed otherwise")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--corpus", type=Path, help="a folder with .wasm files to make modules from, too")
    parser.add_argument("--save", type=Path, help="a folder for the modules that failed")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds for one module (default 30)")
    parser.add_argument("--memory", type=int, default=2048, help="MiB for a worker (default 2048)")
    parser.add_argument("--only", metavar="SEED:NUMBER", help="try this module only, which a failure has named")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, all else to stderr")
    return parser.parse_args()


def report(
    console: Console, options: argparse.Namespace, seed: int, tally: Tally, seconds: float, found: list[Any]
) -> None:
    """What was done, in one line."""
    outcomes = dict(tally.outcomes.most_common())
    if options.json:
        result = {"seed": seed, "modules": tally.modules, "outcomes": outcomes, "failures": tally.failures}
        print(json.dumps({**result, "slowest": tally.slowest, "seconds": round(seconds, 1), "found": found}))
    parts = ", ".join(f"{count:,} {name}" for name, count in outcomes.items())
    console.print(
        f"{tally.modules:,} modules: {parts}; {tally.failures} failures; {seconds:.0f} s, the slowest module "
        f"{tally.slowest[0]:.1f} s ({seed}:{tally.slowest[1]}); seed {seed}",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
