"""`vmloom wasm ...`: tools for WebAssembly contracts."""

from __future__ import annotations

import click
from vmloom.cli.groups import LazyGroup

SUBCOMMANDS = {
    "inspect": ("vmloom_wasm.cli.inspect:inspect", "Show what a module has, needs and may not have."),
    "profile": ("vmloom_wasm.cli.profile:profile", "Run a contract and show where its gas went."),
    "sdk": ("vmloom_wasm.cli.sdk:sdk", "Write the declarations of the host functions for C, Rust and AssemblyScript."),
    "spectest": ("vmloom_wasm.cli.spectest:spectest", "Run the official WebAssembly test suite."),
}
"""Where each subcommand is, and what it does; imported when it is used."""


@click.group(cls=LazyGroup, subcommands=SUBCOMMANDS)
def wasm() -> None:
    """Tools for WebAssembly contracts."""
