"""Files that commands read and write, and what is said where their content is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from vmloom.cli.app import EXIT_USAGE
from vmloom.errors import InputError

from ..bytecode.container import MAGIC
from ..language.diagnostics import LanguageError

if TYPE_CHECKING:
    from rich.console import Console

STDIN: Final = "-"
MOST: Final = 10_000_000
"""Bytes of a source that are read."""
Command = TypeVar("Command", bound=Callable[..., Any])


def read_bytes(path: str) -> bytes:
    """What is in the file, or in stdin for `-`. Raises `InputError`."""
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if len(data) > MOST:
        raise InputError(f"{shown_name(path)}: {len(data):,} bytes; a source has at most {MOST:,}")
    return data


def read_source(path: str) -> str:
    """The text of a source. Raises `InputError`, also for a container."""
    data = read_bytes(path)
    if data.startswith(MAGIC):
        raise InputError(f"{shown_name(path)}: a compiled program, not a source").with_fix(f"vmloom run {path}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown_name(path)}: not UTF-8 at byte {error.start}") from None


def write_file(path: str, content: bytes) -> None:
    """Replace the content of a file, `-` for stdout. Raises `InputError`."""
    try:
        if path == STDIN:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            Path(path).write_bytes(content)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def shown_name(path: str) -> str:
    """What messages call the file."""
    return "<stdin>" if path == STDIN else path


def stderr() -> Console:
    """Where errors go, in colours if someone looks at them."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def explaining_errors(command: Command) -> Command:
    """Decorator of a command: errors of sources are shown with line and caret, and end it with `EXIT_USAGE`."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except LanguageError as error:
            stderr().print(error)
            count = len(error.diagnostics)
            click.echo(f"error: {count} error{'' if count == 1 else 's'} in {error.source.name}", err=True)
            return EXIT_USAGE

    return run  # type: ignore[return-value]  # it has the command's signature
