"""`vmloom evm ...`: Ethereum's tools with the flags, output and exit codes of geth's `evm`.

Exit codes: 0 if the command did what it was asked, be the outcome of a contract or a test what it may (with
`statetest --summary`, 1 if a case failed); 1 if an input cannot be used; 2 if the command line cannot.
"""

from __future__ import annotations

import importlib

import click
from vmloom.hookspecs import STDERR_IS_DATA

SUBCOMMANDS = {
    "run": ("vmloom_evm.cli.run:run", "Run EVM code."),
    "statetest": ("vmloom_evm.cli.statetest:statetest", "Run state tests."),
    "t8n": ("vmloom_evm.cli.t8n:t8n", "Apply transactions to a state, as a block would."),
}
"""Where each subcommand is, and what it does; imported when it is used."""


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are used, so that help and completion stay instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without importing anything."""
        return sorted(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, imported. None if there is none of that name."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, name = SUBCOMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBCOMMANDS[name][1]) for name in sorted(SUBCOMMANDS)])


@click.group(cls=LazyGroup)
@click.pass_context
def evm(context: click.Context) -> None:
    """Ethereum tools, with the flags of geth's `evm`."""
    context.meta[STDERR_IS_DATA] = True  # traces and roots, which other tools take line by line
