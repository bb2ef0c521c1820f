"""`vmloom proz ...`: the contract language of ProzVM on the command line.

Exit codes are those of `vmloom`: 0 all went well; 1 the program failed or reverted, or files are not formatted; 2 a
source or another input cannot be used.
"""

from __future__ import annotations

import click
from vmloom.cli.groups import LazyGroup

SUBCOMMANDS = {
    "compile": ("vmloom_prozvm.cli.compile:compile_", "Compile a contract to a container, with its ABI."),
    "disasm": ("vmloom_prozvm.cli.disasm:disasm", "Show a program as instructions, beside its source."),
    "fmt": ("vmloom_prozvm.cli.fmt:fmt", "Format sources."),
    "profile": ("vmloom_prozvm.cli.profile:profile", "Call a contract, and show the gas of each line of its source."),
    "repl": ("vmloom_prozvm.cli.repl:repl", "Type programs and see what they give."),
    "run": ("vmloom_prozvm.cli.run:run", "Run a program, and show what it gives, changes and costs."),
}
"""Where each subcommand is, and what it does; imported when it is used."""


@click.group(cls=LazyGroup, subcommands=SUBCOMMANDS)
def proz() -> None:
    """The contract language of ProzVM: run, compile, inspect and format programs."""
