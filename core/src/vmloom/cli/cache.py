"""`vmloom cache`: what compiled code is kept on disk."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from ..object_cache import Entry, ObjectCache
from .app import EXIT_FAILED, EXIT_OK, App, pass_app


@click.group()
def cache() -> None:
    """Show or delete the compiled code that is kept on disk.

    It is made again when needed, so deleting it costs nothing but the time to compile.
    """


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
def list_(app: App, as_json: bool) -> int:
    """List what is kept, last used first. Exits with 1 if the folder cannot be used, and says why."""
    store = ObjectCache()
    entries = store.entries()
    if as_json:
        click.echo(json.dumps([_plain(entry) for entry in entries], indent=2))
    elif entries:
        _show(app, entries)
    elif not store.problem:
        click.echo("nothing is kept")
    return _status(store)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def clear(as_json: bool) -> int:
    """Delete all that is kept. Exits with 1 if something could not be deleted."""
    store = ObjectCache()
    before = store.entries()
    removed = store.clear()
    freed = sum(entry.size for entry in before) - sum(entry.size for entry in store.entries())
    if as_json:
        click.echo(json.dumps({"removed": removed, "bytes": freed}))
    elif not store.problem:
        click.echo(f"{removed} removed, {_size(freed)} freed" if removed else "nothing was kept")
    return EXIT_FAILED if removed < len(before) else _status(store)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the limit in bytes for each kind of code.")
def path(as_json: bool) -> int:
    """Print the folder, which the variable VMLOOM_CACHE_DIR can move."""
    store = ObjectCache()
    if as_json:
        click.echo(json.dumps({"path": str(store.folder), "limit": store.limit_bytes}))
    elif store.folder.is_absolute():  # it is not where the user has no home, which the warning says
        click.echo(str(store.folder))
    return _status(store)


def _status(store: ObjectCache) -> int:
    """The warning with the reason has gone to the log when the store found it."""
    return EXIT_FAILED if store.problem else EXIT_OK


def _plain(entry: Entry) -> dict[str, str | int]:
    return {"key": entry.key, "subject": entry.label, "bytes": entry.size, "used": _used(entry).isoformat()}


def _show(app: App, entries: list[Entry]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=len(entries) > 1)
    total = sum(entry.size for entry in entries)
    table.add_column("what", footer="together")
    table.add_column("size", justify="right", footer=_size(total))
    table.add_column("last used")
    table.add_column("key")
    for entry in entries:
        used = _used(entry).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(entry.label), _size(entry.size), used, entry.key[:12])
    app.console.print(table)


def _used(entry: Entry) -> datetime:
    return datetime.fromtimestamp(int(entry.used), UTC)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB" if count >= 1e3 else f"{count} bytes"
