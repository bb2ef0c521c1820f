"""vmloom against other EVMs: the same programs, states and inputs, gas and results compared, medians and ratios.

    uv run --group bench python benchmarks/evm.py [--engines native,jit] [--peers pyrevm,py-evm,evmone]
                                                  [--rows WORD ...] [--least RATIO] [--json]

Each row runs on all sides in one process, in turns; several fresh processes repeat that, and the median process counts.
What is timed is the call alone, as each side's Python API has it: the state is made before and put back afterwards.
Runs over 1 ms count CPU time of the thread, shorter ones wall time; short ones are repeated for 20 ms in a turn. A
ratio is the peer's time over vmloom's: the median of all turns, as both sides of a turn have had the same machine.

Of several engines the last one is vmloom's side, and the others are compared with it like peers. Where it compiles
contracts, it runs the work until they are compiled before anything is timed. What compiling them took is told beside,
for the first row that needs a contract, and after how many runs that is paid for, going by the first other engine.

Gas, return data, logs and success must agree on all sides: a row where they do not is marked, and the exit code is 1.
So it is where a ratio is below `--least`: `--engines native,jit --peers '' --least 0.97` holds compiled contracts to it
that none is more than 3 % slower than interpreted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comparison import CANNOT, measure
from peers import ENGINES, PEERS, is_installed, make_side
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from suite.rows import ROWS, chosen
from suite.work import REVISION, Row

OURS = "vmloom"
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
"""glibc gives memory back to the system between runs unless told otherwise, and native peers would pay for that."""
FOREVER = 1 << 62
"""ns"""
JSON_DIGITS = 4
WIDTH = 120
"""Characters of a table that goes to a file."""


@dataclass
class Finding:
    """All that is known about a row: medians of each process in ns and failures, by side, and the outcomes."""

    row: Row
    times: dict[str, list[float]] = field(default_factory=dict)
    turns: dict[str, list[list[float]]] = field(default_factory=dict)
    """Medians of each turn in each process, by side."""
    failures: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, list[Any]] = field(default_factory=dict)
    compiling: list[dict[str, float]] = field(default_factory=list)
    """What our side's compiler did in each process, see `JitStatistics`."""

    def add(self, side: str, measured: dict[str, Any]) -> None:
        """Take in what one process measured on `side`."""
        if measured["failure"]:
            self.failures[side] = measured["failure"]
        if measured["ns"] is not None:
            self.times.setdefault(side, []).append(measured["ns"])
            self.turns.setdefault(side, []).append(measured["turns"])
        if measured["outcome"] is not None:
            self.outcomes.setdefault(side, measured["outcome"])
        if side == OURS and measured.get("settling"):
            self.compiling.append(measured["settling"])

    def time(self, side: str) -> float | None:
        """ns: the median process."""
        return statistics.median(self.times[side]) if side in self.times else None

    def ratio(self, peer: str) -> float | None:
        """How many times as long the peer takes: the median of all turns that both sides had."""
        processes = zip(self.turns.get(OURS, ()), self.turns.get(peer, ()), strict=False)
        ratios = [theirs / ours for turns in processes for ours, theirs in zip(*turns, strict=False)]
        return statistics.median(ratios) if ratios else None

    def compiled(self, name: str) -> float:
        """A figure of our side's compiler: the median process."""
        return statistics.median(one[name] for one in self.compiling) if self.compiling else 0.0

    def pays_after(self, engine: str) -> float | None:
        """Runs after which compiling has taken less time than it saved; None where nothing was compiled, or saved."""
        ours, other, seconds = self.time(OURS), self.time(engine), self.compiled("seconds")
        return seconds * 1e9 / (other - ours) if seconds and ours and other and other > ours else None

    @property
    def gas(self) -> int | None:
        """Of our side, or of the first that has any."""
        outcome = self.outcomes.get(OURS) or next(iter(self.outcomes.values()), None)
        return outcome[1] if outcome else None

    def faults(self) -> Iterator[str]:
        """What is wrong with the row, one line each: sides that failed, runs that failed, and outcomes that differ."""
        for side, failure in self.failures.items():
            if not failure.startswith(CANNOT):
                yield f"{self.row.name}: {side}: {failure}"
        first = next(iter(self.outcomes), None)
        for side, outcome in self.outcomes.items():
            if not outcome[0]:
                yield f"{self.row.name}: {side}: the run failed"
            for what, a, b in zip(
                ("success", "gas", "refund", "return data", "logs"), self.outcomes[first or side], outcome, strict=True
            ):
                if a != b:
                    yield f"{self.row.name}: {what} differs: {first} {a}, {side} {b}"


@dataclass
class Comparison:
    """What was measured on which sides."""

    sides: list[str]
    findings: list[Finding]
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def peers(self) -> list[str]:
        """All sides but ours."""
        return [side for side in self.sides if side != OURS]

    def mean(self, peer: str, group: str = "") -> float | None:
        """Geometric mean of the ratios, of all rows or of a group."""
        ratios = [one.ratio(peer) for one in self.findings if not group or one.row.group == group]
        known = [ratio for ratio in ratios if ratio]
        return statistics.geometric_mean(known) if known else None

    def faults(self) -> list[str]:
        """What is wrong, one line each."""
        return [fault for finding in self.findings for fault in finding.faults()]

    def slow(self, least: float) -> list[str]:
        """Rows on which our side is slower than a peer by so much that the ratio is below `least`, one line each."""
        return [
            f"{finding.row.name}: {ratio:.3f} times as fast as {peer}, which is less than {least:g}"
            for finding in self.findings
            for peer in self.peers
            if (ratio := finding.ratio(peer)) is not None and ratio < least
        ]

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready values; times are in seconds."""
        return {
            "revision": REVISION,
            "machine": {"processor": processor(), "python": platform.python_version()},
            "versions": self.versions,
            "rows": [self._row_to_json(finding) for finding in self.findings],
            "milliseconds_per_kilobyte": self.milliseconds_per_kilobyte(),
            "geometric_means": {peer: _rounded(self.mean(peer)) for peer in self.peers},
            "faults": self.faults(),
        }

    def milliseconds_per_kilobyte(self) -> float | None:
        """Of compiling, by 1024 bytes of code; None where nothing was compiled."""
        size = sum(one.compiled("code_bytes") for one in self.findings)
        return sum(one.compiled("seconds") for one in self.findings) * 1e3 * 1024 / size if size else None

    def _row_to_json(self, finding: Finding) -> dict[str, Any]:
        seconds = {side: time / 1e9 for side in self.sides if (time := finding.time(side)) is not None}
        ratios = {peer: _rounded(ratio) for peer in self.peers if (ratio := finding.ratio(peer)) is not None}
        return {
            "row": finding.row.name,
            "group": finding.row.group,
            "gas": finding.gas,
            "agree": not list(finding.faults()),
            "seconds": seconds,
            "ratios": ratios,
            "compiling": {name: finding.compiled(name) for name in finding.compiling[0]} if finding.compiling else {},
            "note": finding.row.note,
        }

    def table(self) -> Table:
        """One line for each row, and a mean for each group and for all."""
        versions = ", ".join(f"{side} {version}" for side, version in self.versions.items())
        table = Table(title=f"{REVISION.title()}: {versions}", caption=self._caption(), caption_justify="left")
        table.add_column("row", no_wrap=True)
        for column in ("gas", *_columns(self.sides), *(("compiling", "pays after") if self._compiles else ())):
            table.add_column(column, justify="right", no_wrap=True)
        notes = self._notes()
        for number, finding in enumerate(self.findings):
            row = finding.row
            mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
            wrong = any(True for _ in finding.faults())
            name = f"[red]{row.name}: they differ[/red]" if wrong else row.name
            table.add_row(name + mark.replace("[", r"\["), _number(finding.gas), *self._cells(finding))
            following = self.findings[number + 1].row.group if number + 1 < len(self.findings) else ""
            if following != row.group:
                self._add_mean(table, row.group, f"{row.group}: mean")
        self._add_mean(table, "", "geometric mean of all rows")
        return table

    def _cells(self, finding: Finding) -> Iterator[str]:
        for side in self.sides:
            yield _duration(finding.time(side))
            if side != OURS:
                yield _times(finding.ratio(side))
        if self._compiles:
            yield _duration(finding.compiled("seconds") * 1e9 or None)
            runs = finding.pays_after(self.peers[0]) if self.peers else None
            yield "-" if runs is None else f"{runs:,.0f} runs" if runs > 1 else "1 run"

    @property
    def _compiles(self) -> bool:
        return any(finding.compiling for finding in self.findings)

    def _add_mean(self, table: Table, group: str, name: str) -> None:
        means = [cell for peer in self.peers for cell in ("", _times(self.mean(peer, group)))]
        table.add_row(name, "", *([""] if OURS in self.sides else []), *means, style="bold", end_section=True)

    def _notes(self) -> list[str]:
        return list(dict.fromkeys(finding.row.note for finding in self.findings if finding.row.note))

    def _caption(self) -> str:
        notes = [rf"\[{number}] {note}" for number, note in enumerate(self._notes(), 1)]
        if (rate := self.milliseconds_per_kilobyte()) is not None:
            notes.append(f"compiling took {rate:.1f} ms for each KB of code")
        return "\n".join(notes)


# The process that measures


def work_off(job: dict[str, Any]) -> None:
    """Measure the rows of `job`; a line of JSON for each."""
    evmone = Path(job["evmone"]) if job["evmone"] else None
    sides = [make_side(name, engine=job["engine"], evmone=evmone) for name in job["sides"]]
    print(json.dumps({side.name: side.version for side in sides}), flush=True)
    for row in (ROWS[0], ROWS[-1]):  # a call and a block: what an engine does at its first run belongs to no row
        measure(row.make(row.quick), sides, rounds=0, budget=FOREVER)
    for index in job["rows"]:
        row = ROWS[index]
        measure(row.make(row.quick), sides, rounds=0, budget=FOREVER)  # nor that of the precompiles that it calls
        work = row.make(row.quick if job["quick"] else row.count)
        wanted = [side for side in sides if side.name not in job["done"].get(str(index), [])]
        found = measure(work, wanted, rounds=job["rounds"], budget=job["budget"])
        print(json.dumps([index, {name: one.to_json() for name, one in found.items()}]), flush=True)


def run_process(job: dict[str, Any]) -> Iterator[Any]:
    """The lines that a fresh process writes about `job`. Raises `SystemExit` if it does not end well, with the row."""
    at = "before the first row"
    command = [sys.executable, __file__, "--worker"]
    environment = {**os.environ, **KEPT_MEMORY}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        left = iter(job["rows"])
        for line in process.stdout:
            at = ROWS[index].name if (index := next(left, None)) is not None else "after the last row"
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"error: a measuring process ended with {process.returncode}, at: {at}")


def compare(options: argparse.Namespace, rows: list[Row], sides: list[str], progress: Progress) -> Comparison:
    """Measure `rows` on `sides` in as many processes as `options` says.

    A side that spent its whole time on a row in one process, and is slow beyond doubt, sits out the others.
    """
    comparison = Comparison(sides, [Finding(row) for row in rows])
    by_index = {ROWS.index(finding.row): finding for finding in comparison.findings}
    job: dict[str, Any] = {
        "engine": options.engine,
        "evmone": str(options.evmone or ""),
        "sides": sides,
        "rows": list(by_index),
        "quick": options.quick,
        "rounds": options.rounds,
        "budget": int(options.seconds * 1e9),
        "done": {},
    }
    task = progress.add_task("measuring", total=len(rows) * options.processes)
    for _ in range(options.processes):
        lines = run_process(job)
        comparison.versions = next(lines)
        for index, found in lines:
            for side, measured in found.items():
                by_index[index].add(side, measured)
                if measured["runs"] and measured["ns"] >= job["budget"]:
                    job["done"].setdefault(str(index), []).append(side)
            progress.update(task, advance=1, description=by_index[index].row.name)
    return comparison


# What is shown


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _columns(sides: list[str]) -> Iterator[str]:
    for side in sides:
        yield side
        if side != OURS:
            yield "ratio"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else float(f"{ratio:.{JSON_DIGITS}g}")


def _duration(ns: float | None) -> str:
    """With three digits, in the unit that suits."""
    if ns is None:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{_three_digits(ns / size)} {unit}"
    return f"{ns:.0f} ns"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    text = f"{_three_digits(ratio)}x"
    return f"[red]{text}[/red]" if ratio < 1 else text


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


# The command


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help=f"of {', '.join(PEERS)}, with commas; by default those that are installed")
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="rows or groups whose name has the word")
    parser.add_argument("--list", action="store_true", help="name the rows and do nothing")
    parser.add_argument("--engines", default="auto", help=f"of {', '.join(ENGINES)}, with commas; the last is our side")
    parser.add_argument("--evmone", type=Path, default=os.environ.get("EVMONE_LIBRARY") or None, metavar="PATH")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes (default 3)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side in a process (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one side on a row, per process (default 1)")
    parser.add_argument("--quick", action="store_true", help="little work, once: shows that all run, not how fast")
    parser.add_argument("--least", type=float, default=0.0, metavar="RATIO", help="fail where a ratio is less")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.processes, options.rounds, options.seconds = 1, 1, 0.0
    *others, options.engine = _engines(parser, options)
    options.sides = [OURS, *others, *_peers(parser, options)]
    return options


def _engines(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    asked = [engine for engine in options.engines.split(",") if engine]
    for engine in asked:
        if engine not in ENGINES:
            parser.error(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if not asked or len(set(asked)) < len(asked):
        parser.error("--engines: name each engine once")
    return asked


def _peers(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    if options.peers is None:
        return [peer for peer in PEERS if is_installed(peer, options.evmone)]
    asked = [peer for peer in options.peers.split(",") if peer]
    for peer in asked:
        if peer not in PEERS:
            parser.error(f"unknown peer {peer!r}; known: {', '.join(PEERS)}")
        if not is_installed(peer, options.evmone):
            how = "name its library with --evmone or EVMONE_LIBRARY" if peer == "evmone" else "uv sync --group bench"
            parser.error(f"{peer} is not installed: {how}")
    return asked


def main() -> int:
    """Measure and show; 1 if the sides do not agree, or ours is too slow."""
    options = parse()
    if options.worker:
        work_off(json.load(sys.stdin))
        return 0
    try:
        rows = chosen(options.rows)
    except ValueError as error:
        raise SystemExit(f"error: {error}; --list names them") from None
    if options.list:
        print("\n".join(f"{row.group}: {row.name}" for row in rows))
        return 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        comparison = compare(options, rows, options.sides, progress)
    if options.json:
        print(json.dumps(comparison.to_json(), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(comparison.table())
    wrong = comparison.faults() + comparison.slow(options.least)
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
