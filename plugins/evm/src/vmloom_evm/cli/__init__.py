"""`vmloom evm ...`: Ethereum's tools with the flags, output and exit codes of geth's `evm`, and a demo.

Exit codes: 0 if the command did what it was asked, be the outcome of a contract or a test what it may (with
`statetest --summary`, 1 if a case failed); 1 if an input cannot be used; 2 if the command line cannot.
"""

from __future__ import annotations

import click
from vmloom.cli.groups import LazyGroup
from vmloom.hookspecs import STDERR_IS_DATA

SUBCOMMANDS = {
    "compile": ("vmloom_evm.cli.compile:compile_", "Compile contracts to machine code ahead of time."),
    "demo": ("vmloom_evm.demo:demo", "Send signed transactions to a token and show all that happens."),
    "run": ("vmloom_evm.cli.run:run", "Run EVM code."),
    "statetest": ("vmloom_evm.cli.statetest:statetest", "Run state tests."),
    "t8n": ("vmloom_evm.cli.t8n:t8n", "Apply transactions to a state, as a block would."),
}
"""Where each subcommand is, and what it does; imported when it is used."""


@click.group(cls=LazyGroup, subcommands=SUBCOMMANDS)
@click.pass_context
def evm(context: click.Context) -> None:
    """Ethereum tools, with the flags of geth's `evm`."""
    context.meta[STDERR_IS_DATA] = True  # traces and roots, which other tools take line by line
