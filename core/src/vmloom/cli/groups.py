"""Groups of commands that plugins add to the command line."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are used, so that help and completion stay instant.

    `subcommands` has for each name the import path `package.module:name` of the command, and what it does in a line.
    """

    def __init__(self, *arguments: Any, subcommands: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without importing anything."""
        return sorted(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, imported. None if there is none of that name."""
        if cmd_name not in self.subcommands:
            return None
        module, _, name = self.subcommands[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.subcommands[name][1]) for name in sorted(self.subcommands)])
