"""What became of state tests: as geth reports it, and as a table by folder and fork."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from vmloom.errors import UnknownRevision

from ..dump import go_json
from ..forks import FORKS, fork_named

Item = TypeVar("Item")

FAILURES_SHOWN = 40
_PYTEST_NAME = re.compile(r"tests/([^/]+)/([^/]+)/([^:]+)::([^[]+)\[fork_([^-\]]+)-[^-]+-(.+)\]")


@dataclass(frozen=True, slots=True)
class SubtestStats:
    """What a case costs: nanoseconds, blocks of memory that outlive it, most bytes at once, gas."""

    nanoseconds: int
    blocks: int
    peak_bytes: int
    gas_used: int

    def to_dict(self) -> dict[str, int]:
        """JSON-ready, in geth's fields."""
        return {
            "time": self.nanoseconds,
            "allocs": self.blocks,
            "bytesAllocated": self.peak_bytes,
            "gasUsed": self.gas_used,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a case. `error` is empty if it passed, `root` if there is no state."""

    name: str
    fork: str
    folder: str
    error: str = ""
    root: bytes = b""
    state: dict[str, Any] | None = None
    stats: SubtestStats | None = None

    @property
    def passed(self) -> bool:
        """Whether it did."""
        return not self.error

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, in geth's order of fields; what is empty is left out."""
        fields = {
            "name": self.name,
            "pass": self.passed,
            "stateRoot": "0x" + self.root.hex() if self.root else None,
            "fork": self.fork,
            "error": self.error or None,
            "state": self.state,
            "benchStats": self.stats.to_dict() if self.stats is not None else None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def print_human(findings: Sequence[Finding]) -> None:
    """One line a case and the count, on stdout."""
    for finding in findings:
        label = click.style("PASS", fg="green") if finding.passed else click.style("FAIL", fg="red")
        extra = "" if finding.passed else f", err={finding.error}, fork={finding.fork}"
        click.echo(f"[{label}] {_readable(finding.name)}{extra}")
        if finding.state is not None:
            click.echo(go_json(finding.state, indent=2))
    passed = sum(finding.passed for finding in findings)
    click.echo(f"--\n{passed} tests passed, {len(findings) - passed} tests failed.")


def _readable(name: str) -> str:
    match = _PYTEST_NAME.search(name)
    return f"{match[2]} {match[4]}, param={match[6]}" if match is not None else name


def print_summary(findings: Sequence[Finding], seconds: float, *, err: bool = False) -> None:
    """A table by folder and fork, the failures, and the sum; on stderr if `err`."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=err, highlight=False)
    if not console.is_terminal:  # what reads it is a file or a program, and nothing may be cut off
        console = Console(stderr=err, highlight=False, width=200)
    counts: Counter[tuple[str, str, bool]] = Counter((one.folder, one.fork, one.passed) for one in findings)
    table = Table("folder", "fork", show_footer=False)
    for title in ("passed", "failed"):
        table.add_column(title, justify="right")
    previous = ""
    for folder, fork in sorted({(folder, fork) for folder, fork, _ in counts}, key=_order):
        passed, failed = counts[folder, fork, True], counts[folder, fork, False]
        row = ["" if folder == previous else folder, fork, str(passed), f"[red]{failed}[/]" if failed else "0"]
        if previous and folder != previous:
            table.add_section()
        table.add_row(*row)
        previous = folder
    console.print(table)
    failures = [one for one in findings if not one.passed]
    for one in failures[:FAILURES_SHOWN]:
        console.print(f"FAIL {one.folder}: {one.name} ({one.fork}): {one.error}", style="red", markup=False)
    if len(failures) > FAILURES_SHOWN:
        console.print(f"... and {len(failures) - FAILURES_SHOWN} more")
    console.print(f"{len(findings)} cases, {len(failures)} failed, {seconds:.1f} s")


def _order(key: tuple[str, str]) -> tuple[str, int, str]:
    folder, fork = key
    names = list(FORKS)
    try:
        return folder, names.index(fork_named(fork).name), fork
    except UnknownRevision:
        return folder, len(names), fork


def with_progress(items: Iterable[Item], total: int) -> Iterator[Item]:
    """The items, with a bar on stderr that counts them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("state tests"), BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        for item in items:
            progress.advance(task)
            yield item
