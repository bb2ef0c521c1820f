"""`vmloom proz compile`: from a contract's source to the container that is deployed, and its ABI."""

from __future__ import annotations

from pathlib import Path

import click
from vmloom.cli.app import EXIT_OK
from vmloom.errors import InputError

from ..language.abi import dump_abi
from ..language.contract import compile_contract
from .sources import STDIN, explaining_errors, read_source, shown_name, write_file


@click.command()
@click.argument("file")
@click.option("-o", "--output", metavar="OUT", help="Where the container goes.  [default: FILE with .prozc]")
@click.option("--abi", "abi_file", metavar="OUT", help="Write the actions with their types as JSON.")
@click.option("--debug", is_flag=True, help="Keep the source map in the container, so that errors name lines.")
@explaining_errors
def compile_(file: str, output: str | None, abi_file: str | None, debug: bool) -> int:
    """Compile FILE, the source of a contract (- for stdin), to a container that can be deployed.

    Every name must be declared. Exported actions can be called: `vmloom run OUT --input ...`, where the input is the
    canonical encoding of a list of the action's name and its arguments.
    """
    if output is None:
        if file == STDIN:
            raise InputError("a source from stdin has no name to derive that of the container from").with_fix("-o OUT")
        output = str(Path(file).with_suffix(".prozc"))
    contract = compile_contract(read_source(file), shown_name(file), debug=debug)
    write_file(output, contract.code)
    if abi_file is not None:
        write_file(abi_file, dump_abi(contract.abi).encode())
    actions = ", ".join(entry["name"] for entry in contract.abi if entry["type"] == "action") or "none"
    click.echo(f"{output}: {len(contract.code):,} bytes; actions: {actions}", err=output == STDIN)
    return EXIT_OK


compile_.name = "compile"
