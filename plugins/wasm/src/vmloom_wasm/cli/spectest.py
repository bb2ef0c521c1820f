"""`vmloom wasm spectest`: the official test suite of WebAssembly, on plain modules and on metered ones."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from vmloom.cli import EXIT_FAILED
from vmloom.errors import InputError

from ..metering.costs import DEFAULT, TABLES
from ..spectest import Report, Runner, read_script

if TYPE_CHECKING:
    from rich.console import Console

DIFFERENCES_SHOWN = 40
NOT_OF_THE_STANDARD = frozenset(("proposals", "legacy"))
"""Folders of the suite that are left out whole."""


@click.command()
@click.argument("directory", type=click.Path(exists=True, path_type=Path))
@click.option("--filter", "pattern", default="*", metavar="GLOB", help="Only scripts of such names, such as 'i32*'.")
@click.option(
    "--gas-table",
    type=click.Choice(sorted(TABLES)),
    default=DEFAULT.name,
    show_default=True,
    help="What metering uses.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout, and nothing else.")
@click.pass_context
def spectest(context: click.Context, directory: Path, pattern: str, gas_table: str, as_json: bool) -> None:
    """Run the official test suite of WebAssembly.

    DIRECTORY is a checkout of github.com/WebAssembly/testsuite (its *.wast), or what wast2json made of one (*.json
    and *.wasm), or one such file. Each command runs on the module as it is and on the metered one, with more gas
    than it needs; both must do what is expected, and do the same. Exits with 1 if one does not. What cannot be run is
    counted with its reason.
    """
    scripts = [path for path in scripts_in(directory) if fnmatch(path.stem, pattern) or fnmatch(path.name, pattern)]
    if not scripts:
        raise InputError(f"{directory}: no script is called {pattern}")
    started = time.perf_counter()
    runner = Runner(costs=TABLES[gas_table])
    reports = [runner.run(path.name, read_script(path)) for path in _shown(scripts)]
    folders = folders_left_out(directory)
    if as_json:
        click.echo(json.dumps(as_data(reports, folders), indent=2))
    else:
        print_reports(reports, folders, time.perf_counter() - started)
    if any(report.differences for report in reports):
        context.exit(EXIT_FAILED)


def scripts_in(directory: Path) -> list[Path]:
    """The scripts of a folder in order of their names: its *.wast, or else its *.json. Raises `InputError` if none."""
    if directory.is_file():
        return [directory]
    for kind in ("*.wast", "*.json"):
        if found := sorted(directory.glob(kind)):
            return found
    raise InputError(f"{directory}: no *.wast here, and no *.json of wast2json").with_fix(
        "git clone https://github.com/WebAssembly/testsuite, and give its folder"
    )


def folders_left_out(directory: Path) -> dict[str, str]:
    """Folders of the suite that are not looked into, and why."""
    found = sorted(path.parent for path in directory.glob("*/*.wast")) if directory.is_dir() else []
    found += [path for name in NOT_OF_THE_STANDARD if (path := directory / name).is_dir()]
    return {
        f"{folder.name}/": "not of the standard" if folder.name in NOT_OF_THE_STANDARD else "not looked into"
        for folder in sorted(set(found))
    }


def as_data(reports: Sequence[Report], folders: dict[str, str]) -> dict[str, Any]:
    """The reports as JSON-ready data."""
    scripts = {
        report.name: {
            "passed": report.passed,
            "failed": [{"line": one.line, "message": one.text} for one in report.differences],
            "left_out": dict(sorted(report.left_out.items())),
        }
        for report in reports
    }
    total = {
        "passed": sum(report.passed for report in reports),
        "failed": sum(len(report.differences) for report in reports),
        "left_out": dict(_left_out(reports).most_common()),
    }
    return {"scripts": scripts, "folders_left_out": folders, "total": total}


def print_reports(reports: Sequence[Report], folders: dict[str, str], seconds: float) -> None:
    """Tables for people: by script, what was left out whole, the differences, and the sum."""
    from rich.table import Table

    console = _console()
    table = Table("script", title="plain and metered", title_justify="left")
    for title in ("passed", "failed", "left out"):
        table.add_column(title, justify="right")
    table.add_column("why")
    for report in (one for one in reports if not one.is_left_out):
        failed = len(report.differences)
        counts = (f"{report.passed:,}", f"[red]{failed:,}[/]" if failed else "0", f"{report.left_out.total():,}")
        table.add_row(report.name, *counts, _reasons(report.left_out))
    console.print(table)
    whole = [one for one in reports if one.is_left_out]
    if whole or folders:
        skipped = Table("script or folder", "commands", "why", title="left out whole", title_justify="left")
        for report in whole:
            skipped.add_row(
                report.name, f"{report.left_out.total():,}", _reasons(report.left_out) or "no command in it"
            )
        for name, reason in folders.items():
            skipped.add_row(name, "", reason)
        console.print(skipped)
    _print_sum(console, reports, seconds)


def _print_sum(console: Console, reports: Sequence[Report], seconds: float) -> None:
    lines = [f"{report.name}:{one.line}: {one.text}" for report in reports for one in report.differences]
    for line in lines[:DIFFERENCES_SHOWN]:
        console.print(f"FAIL {line}", style="red", markup=False)
    if len(lines) > DIFFERENCES_SHOWN:
        console.print(f"... and {len(lines) - DIFFERENCES_SHOWN} more")
    left_out = _left_out(reports)
    for reason, count in left_out.most_common():
        console.print(f"{count:>8,} left out: {reason}", markup=False)
    passed = sum(report.passed for report in reports)
    console.print(
        f"{len(reports)} scripts, {passed:,} commands passed, {len(lines):,} failed, "
        f"{left_out.total():,} left out, {seconds:.1f} s"
    )


def _left_out(reports: Sequence[Report]) -> Counter[str]:
    return sum((report.left_out for report in reports), Counter[str]())


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common())


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    # What reads it otherwise is a file or a program, and nothing may be cut off.
    return console if console.is_terminal else Console(highlight=False, width=160)


def _shown(scripts: Sequence[Path]) -> Iterator[Path]:
    """The scripts, with a bar on stderr if someone looks at it."""
    if not sys.stderr.isatty():
        yield from scripts
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(scripts, "scripts", console=Console(stderr=True), transient=True)
