"""All public state tests with compiled contracts, fork by fork, the newest first.

    uv run python benchmarks/state_tests.py FOLDER [--mode forced|tiered|eager] [--fork NAME ...] [--workers W]
                                                   [--only TEXT] [--every N] [--log FILE] [--json]

`forced` compiles every contract in full before it first runs. `tiered` is what users get: contracts are interpreted
until it pays to compile them, which few tests live to see. `eager` is `tiered` without its patience: contracts are
compiled when they run again or have jumped a few times, first quickly and then in full, and machine code takes over in
the midst of runs. Nothing is done in the background then, where it would come too late for tests, which are short. What
is compiled for one test serves the others of its fork.

State root, logs and receipt of each case must be what the test says. A process that dies counts as a failure of the
case it was at, and another one goes on behind it. With `--log`, each file that is done is noted in that file, and what
is noted there is not run again: a long run may be interrupted. The exit code is 1 if any case failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from vmloom_evm.config import EvmConfig, EvmJitConfig
from vmloom_evm.forks import FORKS, fork_named
from vmloom_evm.statetest.fixture import Case, read_cases
from vmloom_evm.statetest.run import run_case
from vmloom_evm.vm import Evm

if TYPE_CHECKING:
    from vmloom_evm.native.memory import NativeMemory

MODES: Final = ("forced", "tiered", "eager")
EAGER_RUNS: Final = 2
"""Runs of a code until Python is asked about it, in the mode `eager`."""
EAGER_PATIENCE: Final = 1e-9
EAGER_JUMPS: Final = 5
"""Jumps from one pause to the next, at which machine code takes over."""
ROOM: Final = 2 << 30
"""Bytes of machine code: enough for all contracts of a fork, so that none is compiled twice."""


@dataclass(frozen=True, order=True)
class Unit:
    """The cases of a file on a fork."""

    fork: str
    path: str


@dataclass
class Done:
    """What came of units: cases, and failures as lines of text."""

    cases: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Done) -> None:
        """Take in what came of others."""
        self.cases += other.cases
        self.seconds += other.seconds
        self.failures += other.failures


# The process that runs cases


def make_vm(mode: str) -> Evm:
    """An EVM that compiles as `mode` has it; to be called once in a process."""
    if mode == "forced":
        bounds = EvmJitConfig(trigger="first", disk_cache=False, cache_size=ROOM)
    elif mode == "tiered":
        bounds = EvmJitConfig(disk_cache=False, cache_size=ROOM)
    else:
        be_eager()
        bounds = EvmJitConfig(disk_cache=False, cache_size=ROOM, patience=EAGER_PATIENCE)
    return Evm(EvmConfig(engine="jit", jit=bounds))


def be_eager() -> None:
    """Have this process compile soon, and at once."""
    from vmloom_evm.jit import tiers

    class Eager(tiers.Installation):
        def __init__(self, memory: NativeMemory, tier: tiers.Tier) -> None:
            super().__init__(memory, tier)
            memory.set("countdown", EAGER_JUMPS)

        def paused(self) -> None:
            super().paused()
            self._memory.set("countdown", EAGER_JUMPS)

    def at_once(job: Callable[[], None]) -> bool:
        job()
        return True

    tiers.PATIENCE = EAGER_RUNS  # type: ignore[misc]
    tiers.Installation = Eager  # type: ignore[misc]
    tiers.WORKER.submit = at_once  # type: ignore[method-assign]


def cases_of(unit: Unit) -> list[Case]:
    """Its cases, in order."""
    return [case for case in read_cases(Path(unit.path)) if fork_of(case) == unit.fork]


def fork_of(case: Case) -> str:
    """The name that the fork of a case has here."""
    return fork_named(case.fork).name


def complaint(case: Case, vm: Evm) -> str:
    """Why a case fails, empty if it passes."""
    try:
        return run_case(case, vm.specification, engine=vm.executor).error
    except Exception as error:  # one that fails must not hide the others
        return f"{type(error).__name__}: {error}"


def work(mode: str, units: Sequence[Unit], at: Any, pipe: Connection) -> None:
    """Run units, sending for each its number and what came of it, and what the compiler has done in all."""
    vm, fork = make_vm(mode), ""
    with suppress(BrokenPipeError, KeyboardInterrupt):
        for number, unit in enumerate(units):
            if unit.fork != fork:
                fork = unit.fork
                next_fork(vm)
            done, began = Done(), time.thread_time()
            for index, case in enumerate(cases_of(unit)):
                at[0], at[1] = number, index  # for the case that native code ends the process
                error = complaint(case, vm)
                done.cases += 1
                if error:
                    done.failures.append(f"{unit.path}: {case.name}: {error}")
            done.seconds = time.thread_time() - began
            pipe.send((number, done, statistics_of(vm)))


def next_fork(vm: Evm) -> None:
    """Forget the machine code of other forks, which is of no use any more."""
    tiers = getattr(vm.executor, "tiers", None)
    assert tiers is not None
    assert tiers.wait(60)
    tiers.cache.clear()


def statistics_of(vm: Evm) -> dict[str, Any]:
    """What the compiler of this process has done so far."""
    found = vm.jit_statistics()
    return {} if found is None else found.to_dict()


# The process that shows what they do


def units_of(folder: Path, forks: Sequence[str], only: str, every: int) -> Iterator[tuple[Unit, int]]:
    """The units of one of `every` files below `folder` with the number of their cases, of the newest fork first."""
    found: Counter[Unit] = Counter()
    paths = [path for path in sorted(folder.rglob("*.json")) if only in str(path)]
    for path in paths[::every]:
        found.update(Unit(fork_of(case), str(path)) for case in read_cases(path))
    order = {fork: number for number, fork in enumerate(reversed(FORKS))}
    for unit in sorted(found, key=lambda one: (order[one.fork], one.path)):
        if not forks or unit.fork in forks:
            yield unit, found[unit]


class Log:
    """The file that says what is done; none, and it forgets."""

    def __init__(self, path: Path | None, mode: str) -> None:
        self._path, self._mode = path, mode

    def read(self) -> dict[Unit, Done]:
        """What was done before in this mode."""
        found: dict[Unit, Done] = {}
        if self._path is not None and self._path.exists():
            for line in self._path.read_text("utf-8").splitlines():
                one = json.loads(line)
                if one["mode"] == self._mode:
                    done = Done(one["cases"], one["seconds"], one["failures"])
                    found[Unit(one["fork"], one["file"])] = done
        return found

    def write(self, unit: Unit, done: Done) -> None:
        """Note what was done."""
        if self._path is not None:
            entry = {"mode": self._mode, "fork": unit.fork, "file": unit.path, **vars(done)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


class Workers:
    """Processes that share out units; one that dies is replaced by one that goes on behind the case it was at."""

    def __init__(self, mode: str, units: Sequence[Unit], count: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._mode = mode
        self._open: dict[Any, tuple[Any, list[Unit], Any]] = {}
        self.statistics: dict[str, Any] = {}
        for first in range(count):
            self._start([*units[first::count]])

    def _start(self, units: list[Unit]) -> None:
        if not units:
            return
        ours, theirs = self._context.Pipe(duplex=False)
        at = self._context.Array("Q", 2, lock=False)
        process = self._context.Process(target=work, args=(self._mode, units, at, theirs), daemon=True)
        process.start()
        theirs.close()
        self._open[ours] = process, units, at

    def results(self) -> Iterator[tuple[Unit, Done]]:
        """What came of each unit, as it comes."""
        last: dict[Any, dict[str, Any]] = {}
        try:
            while self._open:
                for pipe in wait(list(self._open)):
                    process, units, at = self._open[pipe]
                    try:
                        number, done, last[process] = pipe.recv()  # type: ignore[union-attr]
                        yield units[number], done
                    except EOFError:
                        del self._open[pipe]
                        process.join()
                        if process.exitcode:
                            yield units[at[0]], self._dead(units[at[0]], at[1], process.exitcode)
                            self._start(units[at[0] + 1 :])
                    self.statistics = _sum(last.values())
        finally:
            for process, _, _ in self._open.values():
                process.terminate()
                process.join()

    @staticmethod
    def _dead(unit: Unit, index: int, code: int) -> Done:
        """Of a unit whose process has died at a case; what came behind it in the file did not run."""
        name = cases_of(unit)[index].name
        return Done(index + 1, 0.0, [f"{unit.path}: {name}: ended its process with {code}"])


def _sum(all_: Any) -> dict[str, Any]:
    """The figures of several processes together."""
    found: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for one in all_:
        failures.update(one.get("failures") or {})
        found.update({name: one.get(name, 0) for name in ("compiles", "code_bytes", "seconds", "promotions")})
        found.update({name: one.get(name, 0) for name in ("improvements", "deoptimisations", "memory_hits")})
    return {**found, "failures": dict(failures)}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the state tests, such as FIXTURES/state_tests, or a part of them")
    parser.add_argument("--mode", choices=MODES, default="forced", help="when contracts are compiled (default forced)")
    parser.add_argument(
        "--fork", action="append", choices=list(FORKS), default=[], help="only this one; may be given more than once"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only files whose path contains this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one of so many files (default 1: all)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--log", type=Path, help="note here what is done, and leave out what is noted")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, all else to stderr")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    options = parse(arguments)
    console = Console(stderr=options.json)
    log = Log(options.log, options.mode)
    before, units, total = log.read(), [], 0
    by_fork: dict[str, Done] = {}
    for unit, cases in units_of(options.folder, options.fork, options.only, options.every):
        total += cases
        by_fork.setdefault(unit.fork, Done())
        if unit in before:
            by_fork[unit.fork].add(before[unit])
        else:
            units.append(unit)
    if not total:
        raise SystemExit(f"error: {options.folder}: no state tests that were asked for")
    workers = Workers(options.mode, units, options.workers)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress, suppress(KeyboardInterrupt):
        done = sum(one.cases for one in by_fork.values())
        task = progress.add_task("cases", total=total, completed=done)
        for unit, result in workers.results():
            log.write(unit, result)
            by_fork[unit.fork].add(result)
            for failure in result.failures:
                console.print(failure, markup=False, highlight=False, soft_wrap=True)
            progress.update(task, advance=result.cases, description=unit.fork)
    return report(options, by_fork, total, workers.statistics, console)


def report(
    options: argparse.Namespace, by_fork: dict[str, Done], total: int, statistics: dict[str, Any], console: Console
) -> int:
    """Say what came of it."""
    ran = sum(one.cases for one in by_fork.values())
    failures = [failure for one in by_fork.values() for failure in one.failures]
    if options.json:
        forks = {fork: {"cases": one.cases, "failures": len(one.failures)} for fork, one in by_fork.items()}
        print(
            json.dumps(
                {
                    "mode": options.mode,
                    "cases": ran,
                    "of": total,
                    "forks": forks,
                    "failures": failures,
                    "compiler": statistics,
                }
            )
        )
    for fork, one in by_fork.items():
        console.print(
            f"{fork:18} {one.cases:7,} cases, {len(one.failures)} failures, {one.seconds:.0f} s", highlight=False
        )
    console.print(
        f"{options.mode}: {ran:,} of {total:,} cases, {len(failures)} failures; the compiler: {statistics}",
        highlight=False,
        soft_wrap=True,
    )
    mistakes = [
        reason for reason in statistics.get("failures", ()) if not reason.islower()
    ]  # limits are in small letters
    for reason in mistakes:
        console.print(f"the compiler has failed with {reason}", highlight=False)
    return 1 if failures or mistakes or ran < total else 0


if __name__ == "__main__":
    sys.exit(main())
