"""`vmloom config`: the configuration as it takes effect, and whether it is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from ..errors import ConfigError, VmloomError
from ..factory import ENABLED
from ..settings import DEFAULT, Value
from .app import EXIT_OK, EXIT_USAGE, App, pass_app


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
def show(app: App, as_json: bool) -> int:
    """Show every value and where it was set, defaults included."""
    values = list(_values(app))
    if as_json:
        rows = {".".join(value.key): {"value": _plain(value.value), "source": str(value.origin)} for value in values}
        click.echo(json.dumps(rows, indent=2))
        return EXIT_OK
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    table.add_column("key", no_wrap=True)
    table.add_column("value", overflow="fold", max_width=60)
    table.add_column("source", no_wrap=True)
    for value in values:
        style = "dim" if value.origin == DEFAULT else ""
        cells = (".".join(value.key), json.dumps(_plain(value.value)), str(value.origin))
        table.add_row(*(Text(cell, style) for cell in cells))
    app.console.print(table)
    return EXIT_OK


@config.command()
@pass_app
def check(app: App) -> int:
    """Check every section against the plugin that owns it. Exits with 2 if anything is wrong."""
    factory, failures = app.factory, 0
    for offer in _configurable(app):
        try:
            factory.check(offer.kind, offer.spec.name)
        except VmloomError as error:
            failures += 1
            click.echo(f"error: {error}", err=True)
    if failures:
        return EXIT_USAGE
    click.echo("ok")
    return EXIT_OK


def _configurable(app: App) -> list[Any]:
    return [offer for kind in ("vm", "precompiles", "accelerator", "state") for offer in app.plugins.offers(kind)]


def _values(app: App) -> Iterator[Value]:
    settings, factory = app.settings, app.factory
    for offer in _configurable(app):
        key = (offer.kind, offer.spec.name)
        if offer.kind == "precompiles":
            raw = settings.raw(*key)
            yield Value((*key, ENABLED), raw.get(ENABLED, True), settings.origin((*key, ENABLED)))
        try:
            checked = factory.check(*key)
        except ConfigError:
            raise
        except VmloomError as error:
            click.echo(f"warning: {error}", err=True)
            continue
        if checked is not None:
            yield from settings.values(key, checked)
    yield from settings.values(("plugins",), settings.plugins)
    yield from settings.values(("logging",), settings.logging)
    yield from settings.values(("engine",), settings.engine)


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, bytes_mode="hex", fallback=str)
