"""`vmloom evm compile`: machine code of contracts made ahead of time, for the processes that will run them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from vmloom.cli import EXIT_FAILED, EXIT_OK, App, pass_app
from vmloom.cli.parameters import read_code
from vmloom.errors import ConfigError, InputError

from ..forks import fork_named
from ..vm import Evm
from .flags import ends_as_geth

if TYPE_CHECKING:
    from ..jit.tiers import Ahead

KILOBYTE = 1024


@click.command("compile")
@click.argument("codes", metavar="CODE...", nargs=-1, required=True)
@click.option("--fork", metavar="FORK", help="The fork that will run them; by default the configured one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
@ends_as_geth
def compile_(app: App, codes: tuple[str, ...], fork: str | None, as_json: bool) -> int:
    """Compile the runtime code of contracts: each CODE is hex, or a file (- for stdin) with hex or the bytes.

    What comes of it is kept on the disk. A process with the same configuration takes it from there as soon as one of
    the contracts has run for a millisecond. Exits with 1 if one of them stays interpreted.
    """
    found = [read_code(one) for one in codes]
    vm = app.factory_with("vmloom evm compile", {"vm": {"evm": {"engine": "jit"}}}).get_vm("evm")
    if not isinstance(vm, Evm):
        raise InputError(f"the configured VM `evm` is {type(vm).__name__}, not that of vmloom-evm")
    if not vm.config.jit.disk_cache:
        raise ConfigError("[vm.evm.jit] disk_cache: it is off, so nothing would be kept").with_fix("disk_cache = true")
    chosen = fork_named(fork or vm.config.revision)
    made = [vm.compile(code, chosen) for code in found]
    if as_json:
        rows = [{"code": name, **one.to_dict()} for name, one in zip(codes, made, strict=True)]
        click.echo(json.dumps(rows, indent=2))
    else:
        _show(app, codes, made)
    return EXIT_FAILED if any(one.refusal for one in made) else EXIT_OK


def _show(app: App, names: Sequence[str], made: Sequence[Ahead]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("code", box=None)
    for column in ("bytes", "machine code", "time", "ms per KB"):
        table.add_column(column, justify="right")
    table.add_column("")
    for name, one in zip(names, made, strict=True):
        compiled = one.origin == "compiled"
        table.add_row(
            Text(_shortened(name)),
            f"{one.code_bytes:,}",
            f"{one.machine_code_bytes:,}" if one.machine_code_bytes else "-",
            f"{one.seconds * 1e3:.1f} ms",
            f"{one.seconds * 1e3 * KILOBYTE / max(one.code_bytes, 1):.1f}" if compiled else "-",
            Text(f"stays interpreted: {one.refusal}" if one.refusal else one.origin),
        )
    app.console.print(table)


def _shortened(name: str, length: int = 40) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
