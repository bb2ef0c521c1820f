"""`vmloom state`: look at durable state, and carry it elsewhere. What only reads may be used while a node runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from vmloom.cli import EXIT_OK
from vmloom.store import Contents, export_state, import_state

from .store import FORMAT, LmdbStore

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def state() -> None:
    """Look at durable state, and carry it elsewhere.

    DIR is the folder of a node's state. `info`, `export` and `backup` may be used while the node runs.
    """


@state.command()
@click.argument("folder", metavar="DIR")
@_JSON
def info(folder: str, as_json: bool) -> int:
    """Say which versions are kept, and how large the file is."""
    with LmdbStore(folder, read_only=True) as store:
        data = store.path / "data.mdb"
        _print(
            {
                "format": FORMAT.decode(),
                "version": store.version,
                "oldest": store.oldest,
                "bytes": data.stat().st_size,
            },
            as_json,
        )
    return EXIT_OK


@state.command("export")
@click.argument("folder", metavar="DIR")
@click.argument("file")
@click.option("--version", type=int, metavar="NUMBER", help="A version that is kept. Default: the last.")
@_JSON
def export(folder: str, file: str, version: int | None, as_json: bool) -> int:
    """Write one version to FILE, compressed if its name ends in .gz."""
    with LmdbStore(folder, read_only=True) as store, store.at(store.version if version is None else version) as view:
        _print(_plain(export_state(view, file)), as_json)
    return EXIT_OK


@state.command("import")
@click.argument("folder", metavar="DIR")
@click.argument("file")
@_JSON
def import_(folder: str, file: str, as_json: bool) -> int:
    """Make DIR from a FILE that `export` wrote. Every entry is checked; DIR must not hold state yet."""
    with LmdbStore(folder) as store:
        _print(_plain(import_state(store, file)), as_json)
    return EXIT_OK


@state.command()
@click.argument("folder", metavar="DIR")
@click.argument("target")
def backup(folder: str, target: str) -> int:
    """Copy DIR with its history, without unused space, to the folder TARGET, which must be empty or not there."""
    with LmdbStore(folder, read_only=True) as store:
        store.backup(target)
    return EXIT_OK


@state.command()
@click.argument("folder", metavar="DIR")
@click.option("--keep", type=click.IntRange(min=0), required=True, metavar="NUMBER", help="Versions before the last.")
def prune(folder: str, keep: int) -> int:
    """Forget versions more than NUMBER before the last. The file keeps its size: `backup` makes a small one."""
    with LmdbStore(folder) as store:
        store.prune(keep)
    return EXIT_OK


def _plain(contents: Contents) -> dict[str, Any]:
    return {name: value for name, value in asdict(contents).items() if not name.startswith("_")}


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            click.echo(f"{name.replace('_', ' '):<12}{value}")
