"""`vmloom evm statetest`: run state tests, with the output of geth's `evm statetest` or a summary for people."""

from __future__ import annotations

import itertools
import re
import sys
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import click
from vmloom.cli import EXIT_FAILED, EXIT_OK, App, pass_app
from vmloom.errors import InputError, UnknownRevision, VmloomError
from vmloom.settings import Settings

from ..dump import dump_state, go_json
from ..forks import Fork, fork_named
from ..statetest.fixture import Case, read_cases
from ..statetest.run import run_case
from ..vm import Evm
from .flags import GethCommand, ends_as_geth, switch
from .parallel import in_processes
from .report import Finding, SubtestStats, print_human, print_summary
from .tracing_options import Tracing, end_trace, tracing_of, tracing_options

BENCH_SECONDS = 1.0
"""How long `--bench` repeats a case."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cases to run, and what to show of each."""

    pattern: str
    fork: Fork | None
    index: int | None
    storage_collision: bool | None
    tracing: Tracing
    dump: bool
    bench: bool
    roots: bool
    """Whether the line with the state root is written."""

    def cases(self, path: Path) -> Iterator[Case]:
        """The cases of the file that are selected."""
        for name, cases in itertools.groupby(read_cases(path), key=lambda case: case.test):
            if re.search(self.pattern, name) is None:
                continue
            for position, case in enumerate(cases):
                if self.index in (None, position) and (self.fork is None or _fork_of(case) is self.fork):
                    yield case


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file to run, and the folder that it counts for in the summary."""

    __test__ = False  # not a test class for pytest

    path: Path
    folder: str


@click.command(cls=GethCommand)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--run", "pattern", default=".*", metavar="REGEX", help="Only tests whose name matches.")
@click.option("--statetest.fork", "--fork", "fork", metavar="FORK", help="Only this fork, by any of its names.")
@click.option("--statetest.index", "--index", "index", type=int, default=-1, help="Only this one of a test's cases.")
@click.option("--engine", metavar="NAME", help="Engine of the EVM: sets vm.evm.engine.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes; 0 is one for each core. Traces need one.",
)
@switch("--human", help="One line a case and the count, instead of JSON.")
@switch("--json", "as_json", help="The results as JSON on stdout, which is the default; with --summary, beside it.")
@switch("--summary", help="A table by folder and fork instead of JSON; exits with 1 if a case failed.")
@switch("--dump", help="Add the state after each case.")
@switch("--bench", help="Add time, memory and gas of each case.")
@click.option(
    "--eip7610/--no-eip7610",
    "storage_collision",
    default=None,
    help="Refuse creation onto storage, or do not; by default as the file was filled.",
)
@tracing_options
@pass_app
@ends_as_geth
def statetest(
    app: App,
    /,
    paths: tuple[str, ...],
    pattern: str,
    fork: str | None,
    index: int,
    engine: str | None,
    workers: int,
    human: bool,
    as_json: bool,
    summary: bool,
    **options: Any,
) -> int:
    """Run the state tests in files and folders (all their *.json), or in files named on stdin, one a line.

    Results go to stdout as a JSON array, the root of each state to stderr.
    """
    tracing = tracing_of(options)
    has_bar = bool(paths) and sys.stderr.isatty() and not tracing.form
    selection = Selection(
        checked_pattern(pattern),
        fork_named(fork) if fork else None,
        index if index >= 0 else None,
        tracing=tracing,
        roots=not (has_bar or summary),
        **options,
    )
    factory = app.factory_with("--engine", {"vm": {"evm": {"engine": engine}}}) if engine else app.factory
    run = Run(factory.settings, selection, workers=1 if tracing.form else workers, has_bar=has_bar)
    if paths:
        batches: Iterable[list[TestFile]] = [collect(paths)]
    elif sys.stdin.isatty():
        raise click.UsageError("name files or folders, or pipe the names of files into it")
    else:
        batches = ([TestFile(Path(line), str(Path(line).parent))] for line in _names(sys.stdin))
    failed = False
    for batch in batches:
        started = time.perf_counter()
        findings = list(run.findings(batch))
        failed = failed or not all(finding.passed for finding in findings)
        if human and not as_json:
            print_human(findings)
        elif as_json or not summary:
            click.echo(go_json([finding.to_dict() for finding in findings], indent=2))
        if summary or (human and has_bar):
            print_summary(findings, time.perf_counter() - started, err=as_json or human)
    return EXIT_FAILED if summary and failed else EXIT_OK


class Run:
    """Runs files in this process or in several, and shows how far it is."""

    def __init__(self, settings: Settings, selection: Selection, *, workers: int, has_bar: bool) -> None:
        self._settings = settings
        self._selection = selection
        self._workers = workers
        self._has_bar = has_bar

    def findings(self, files: Sequence[TestFile]) -> Iterator[Finding]:
        """What became of each case, in order."""
        if self._has_bar:
            from .report import with_progress

            return itertools.chain.from_iterable(with_progress(self._by_file(files), len(files)))
        return itertools.chain.from_iterable(self._by_file(files))

    def _by_file(self, files: Sequence[TestFile]) -> Iterator[list[Finding]]:
        if self._workers == 1 or len(files) < 2:
            runner = Runner(self._settings, self._selection)
            for file in files:
                yield runner.run(file, sys.stderr)
            return
        for findings, text in in_processes(Runner, (self._settings, self._selection), files, self._workers):
            sys.stderr.write(text)
            yield findings


class Runner:
    """Runs one file after another on an EVM of its own; each worker process has one."""

    def __init__(self, settings: Settings, selection: Selection) -> None:
        from vmloom.factory import VmFactory

        vm = VmFactory(settings).get_vm("evm")
        if not isinstance(vm, Evm):
            raise InputError(f"the configured VM `evm` is {type(vm).__name__}, not that of vmloom-evm")
        self._evm = vm
        self._selection = selection

    def __call__(self, file: TestFile) -> tuple[list[Finding], str]:
        """`run`, with what it writes."""
        sink = StringIO()
        return self.run(file, sink), sink.getvalue()

    def run(self, file: TestFile, sink: TextIO) -> list[Finding]:
        """What became of the selected cases of `file`; traces and roots go to `sink`. Raises `InputError`."""
        return [self._finding(case, file, sink) for case in self._selection.cases(file.path)]

    def _finding(self, case: Case, file: TestFile, sink: TextIO) -> Finding:
        selection = self._selection
        try:
            fork = fork_named(case.fork)
        except UnknownRevision:
            return Finding(case.test, case.fork, file.folder, f'unsupported fork "{case.fork}"')
        tracer = selection.tracing.tracer(sink, self._evm.specification(fork).rows)
        verdict = run_case(
            case,
            self._evm.specification,
            tracers=[tracer] if tracer is not None else [],
            reject_storage_collision=selection.storage_collision,
            engine=self._evm.executor,
        )
        if verdict.result is not None:
            result = verdict.result
            end_trace(tracer, sink, result.return_data, result.gas_used, result.error)
        if selection.roots:
            sink.write(f'{{"stateRoot": "0x{verdict.state_root.hex()}"}}\n')
        return Finding(
            case.test,
            case.fork,
            file.folder,
            verdict.error,
            root=verdict.state_root,
            state=dump_state(verdict.state) if selection.dump else None,
            stats=self._measure(case) if selection.bench else None,
        )

    def _measure(self, case: Case) -> SubtestStats:
        """Repeat the case for a while, then once more to see its memory."""
        times: list[int] = []
        until = time.perf_counter() + BENCH_SECONDS
        while not times or time.perf_counter() < until:
            started = time.perf_counter_ns()
            verdict = self._again(case)
            times.append(time.perf_counter_ns() - started)
        blocks = sys.getallocatedblocks()
        tracemalloc.start()
        verdict = self._again(case)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gas = verdict.result.gas_used if verdict.result is not None else 0
        return SubtestStats(sum(times) // len(times), max(0, sys.getallocatedblocks() - blocks), peak, gas)

    def _again(self, case: Case) -> Any:
        return run_case(
            case,
            self._evm.specification,
            reject_storage_collision=self._selection.storage_collision,
            engine=self._evm.executor,
        )


def collect(paths: Iterable[str]) -> list[TestFile]:
    """The files that `paths` name; of folders all *.json, in order. Raises `InputError` for what is not there.

    A file counts for the first folder below the one that was named.
    """
    files = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found = sorted(path.rglob("*.json"), key=lambda one: one.parts)
            for one in found:
                below = one.relative_to(path).parts
                files.append(TestFile(one, below[0] if len(below) > 1 else path.name or text))
        elif path.exists():
            files.append(TestFile(path, path.parent.name or "."))
        else:
            raise InputError(f"{text}: no such file or folder")
    return files


def checked_pattern(pattern: str) -> str:
    """`pattern`, if it is a regular expression. Raises `InputError`."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError) as error:
        raise InputError(f"--run {pattern}: not a regular expression: {error}") from None
    return pattern


def _names(source: TextIO) -> Iterator[str]:
    """Lines up to the first empty one."""
    for line in source:
        if not line.strip():
            return
        yield line.strip()


def _fork_of(case: Case) -> Fork | None:
    try:
        return fork_named(case.fork)
    except VmloomError:
        return None
