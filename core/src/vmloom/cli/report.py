"""`vmloom report`: a page about a trace, to be looked at in a browser."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from ..errors import InputError
from .app import EXIT_OK, App, pass_app
from .execution import vm_for, vm_option
from .parameters import read_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..report import Code, Run

_MAX_STEPS: Final = 200_000


@click.command()
@click.argument("trace")
@click.option("--html", "out_file", metavar="FILE", required=True, help="The page to write.")
@click.option(
    "--code",
    "code_files",
    metavar="FILE",
    multiple=True,
    help="Code that the trace runs, as hex text or bytes: its instructions are shown beside steps, and the file's name "
    "with its calls. May be repeated.",
)
@vm_option
@click.option("--title", metavar="TEXT", help="Title of the page; by default the name of the trace.")
@click.option(
    "--first-step", metavar="NUMBER", type=click.IntRange(min=0), default=0, help="Where the list of steps begins."
)
@click.option(
    "--max-steps",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    default=_MAX_STEPS,
    show_default=True,
    help="Steps that the list may have. Calls, gas and storage count every step of the trace.",
)
@click.option("--open", "show", is_flag=True, help="Show the page in the browser.")
@pass_app
def report(
    app: App,
    /,
    trace: str,
    out_file: str,
    code_files: Sequence[str],
    vm_name: str | None,
    title: str | None,
    first_step: int,
    max_steps: int,
    show: bool,
) -> int:
    """Make a page of TRACE: EIP-3155 lines, or the answer of debug_traceTransaction (- for stdin).

    The page is one file, which works offline: calls, gas, instructions, storage, and every step. `vmloom run CODE
    --trace FILE --trace-memory` records all that it can show; traces of other tools may have less.
    """
    from ..report import build, page, read_trace

    codes = [_code(app, name, vm_name) for name in code_files]
    label = "stdin" if trace == "-" else Path(trace).name
    with _opened(trace) as source:
        try:
            run = build(read_trace(source), codes=codes, first_step=first_step, max_steps=max_steps)
        except InputError as error:
            raise InputError(f"{label}: {error}") from None
    target = Path(out_file)
    try:
        target.write_text(page(run, title=title or f"Trace {label}"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--html {out_file}: {error.strerror}") from None
    for notice in run.notices:
        click.echo(f"warning: {notice}", err=True)
    click.echo(f"{out_file}: {_summary(run)}")
    if show and not webbrowser.open(target.resolve().as_uri()):
        click.echo("warning: no browser was found to show the page", err=True)
    return EXIT_OK


def _summary(run: Run) -> str:
    gas = run.frames[0].gas_used
    used = "" if gas is None else f", {gas:,} gas"
    return f"{_count(run.step_count, 'step')}, {_count(len(run.frames), 'call')}{used}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def _code(app: App, name: str, vm_name: str | None) -> Code:
    from ..report import Code

    code = read_code(name, "--code")
    vm = app.factory.get_vm(vm_for(app, vm_name, code))
    return Code(Path(name).stem[:80], code, list(vm.disassemble(code)))


@contextmanager
def _opened(trace: str) -> Iterator[BinaryIO]:
    """The trace as bytes. Raises `InputError` for a file that cannot be read."""
    if trace == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(trace).open("rb") as source:
            yield source
    except FileNotFoundError:
        raise InputError(f"{trace}: no such file") from None
    except OSError as error:
        raise InputError(f"{trace}: {error.strerror}") from None
