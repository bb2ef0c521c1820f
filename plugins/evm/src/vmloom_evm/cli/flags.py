"""Options as geth's `evm` reads them, and its way to end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from vmloom.cli import EXIT_FAILED
from vmloom.errors import VmloomError

Command = TypeVar("Command", bound=Callable[..., Any])


class GethCommand(click.Command):
    """A command whose options may be written as Go programs read them.

    `-name` is `--name`, and a switch may carry its value: `--trace.nomemory=false`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite the arguments into click's form, then parse them."""
        return super().parse_args(ctx, list(self._rewritten(args)))

    def _rewritten(self, args: Iterable[str]) -> Iterable[str]:
        options = {name: one for one in self.params if isinstance(one, click.Option) for name in one.opts}
        remaining = iter(args)
        for arg in remaining:
            if arg == "--":
                yield arg
                yield from remaining
                return
            name, separator, value = arg.partition("=")
            if f"-{name}" in options:
                name = f"-{name}"
            option = options.get(name)
            if option is None:
                yield arg
            elif isinstance(option, Switch):
                yield f"{name}={value if separator else 'true'}"
            else:
                yield name + separator + value
                if not separator and not option.is_flag:  # the next one is its value, be it what it may
                    yield from (following for following in (next(remaining, None),) if following is not None)


class Switch(click.Option):
    """A switch of a `GethCommand`, with an optional value. In the help it looks like a flag."""

    def __init__(self, names: list[str], **options: Any) -> None:
        super().__init__(names, type=bool, **{"default": False, **options})

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The help, without the value, and with the default where it is not `off`."""
        if self.hidden:
            return None
        return ", ".join(self.opts), f"{self.help or ''}{'  [default: on]' if self.default else ''}"


def switch(*names: str, **options: Any) -> Callable[[Command], Command]:
    """Decorator: a `Switch`."""
    return click.option(*names, cls=Switch, **options)


def ends_as_geth(command: Command) -> Command:
    """Decorator: what cannot be used is one line on stderr and exit code 1, as in geth."""

    @functools.wraps(command)
    def guarded(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except VmloomError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            if error.fix:
                click.echo(f"  fix: {error.fix}", err=True)
            return EXIT_FAILED

    return guarded  # type: ignore[return-value]
