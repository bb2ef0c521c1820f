"""`vmloom proz fmt`: sources in the one form that they have."""

from __future__ import annotations

import difflib
from pathlib import Path

import click
from vmloom.cli.app import EXIT_FAILED, EXIT_OK, EXIT_USAGE, App, pass_app
from vmloom.errors import InputError

from ..language.diagnostics import LanguageError
from ..language.formatter import format_source
from .sources import STDIN, read_source, shown_name, stderr, write_file


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", "with_diff", is_flag=True, help="Write nothing; show what would change.")
@pass_app
def fmt(app: App, files: tuple[str, ...], check: bool, with_diff: bool) -> int:
    """Format FILES, or the *.proz in folders; - formats stdin to stdout. Comments stay where they are.

    Exits with 2 if a file is not of the language; the others are formatted.
    """
    changed, failed = 0, 0
    for path in _sources(files):
        text = read_source(path)
        try:
            wanted = format_source(text, shown_name(path))
        except LanguageError as error:
            stderr().print(error)
            failed += 1
            continue
        if path == STDIN and not check and not with_diff:
            click.echo(wanted, nl=False)
        elif wanted != text:
            changed += 1
            if with_diff:
                _show_diff(app, path, text, wanted)
            elif check:
                click.echo(f"{shown_name(path)}: would be formatted")
            else:
                write_file(path, wanted.encode())
                click.echo(f"{path}: formatted")
    if failed:
        return EXIT_USAGE
    return EXIT_FAILED if changed and (check or with_diff) else EXIT_OK


def _sources(files: tuple[str, ...]) -> list[str]:
    """The files, and those in folders. Raises `InputError` for a folder without any."""
    found = []
    for name in files:
        if name != STDIN and Path(name).is_dir():
            inside = sorted(str(path) for path in Path(name).rglob("*.proz"))
            if not inside:
                raise InputError(f"{name}: no *.proz in this folder")
            found += inside
        else:
            found.append(name)
    return found


def _show_diff(app: App, path: str, text: str, wanted: str) -> None:
    from rich.text import Text

    name = shown_name(path)
    lines = difflib.unified_diff(text.splitlines(), wanted.splitlines(), name, f"{name} (formatted)", lineterm="")
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        app.console.print(Text(line, colours.get(line[:1], "")), soft_wrap=True)
