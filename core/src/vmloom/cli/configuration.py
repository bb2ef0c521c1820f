"""`vmloom config`: the configuration as it takes effect, and whether it is right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, VmloomError
from ..factory import ENABLED
from ..plugins import KINDS
from ..settings import DEFAULT, Value, section_key
from ..suggest import nearest
from .app import EXIT_OK, EXIT_USAGE, App, pass_app


@click.group()
def config() -> None:
    """Write, show or check the configuration."""


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


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, writable=True), default="vmloom.toml")
@click.option(
    "--section", "sections", multiple=True, help="Only this section, such as node or vm.evm. May be repeated."
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@pass_app
def init(app: App, file: str, sections: tuple[str, ...], force: bool) -> int:
    """Write FILE with every key of every installed plugin, commented out, with its default."""
    factory = app.factory_with_defaults()
    known: dict[str, Any] = {name: getattr(factory.settings, name) for name in ("plugins", "logging", "engine")}
    for offer in _configurable(app):
        known[".".join(section_key(offer.kind, offer.spec.name))] = factory.check(offer.kind, offer.spec.name)
    for name in sections:
        if name not in known:
            close = nearest(name, known)
            raise ConfigError(f"--section {name}: unknown section" + (f" (did you mean `{close}`?)" if close else ""))
    path = Path(file)
    if path.exists() and not force:
        raise ConfigError(f"{file}: is there already").with_fix(f"vmloom config init {file} --force")
    lines = ["# Every value here is its default; `vmloom config show` prints what is in effect and where it was set."]
    for name in sections or known:
        lines += template(name, known[name]) if known[name] is not None else []
    path.write_text("\n".join(lines) + "\n", "utf-8")
    click.echo(f"wrote {file}")
    return EXIT_OK


def template(section: str, checked: Any) -> list[str]:
    """The lines of a section of a file: its keys commented out with their values, tables within it below."""
    lines, tables = ["", f"[{section}]"], []
    names = getattr(type(checked), "model_fields", None) or type(checked).__dataclass_fields__
    for name in names:
        value = getattr(checked, name)
        if hasattr(type(value), "model_fields"):
            tables += template(f"{section}.{name}", value)
        elif value is None or (isinstance(value, Mapping) and not all(isinstance(key, str) for key in value)):
            lines.append(f"# {name} =")  # unset, or by numbers that a file gives by their names
        else:
            lines.append(f"# {name} = {_toml(_plain(value))}")
    return lines + tables


def _toml(value: Any) -> str:
    """A plain value as TOML writes it. JSON writes all but tables the same way."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value)


def _configurable(app: App) -> list[Any]:
    """The offers that may have a section; of commands only those that say so."""
    return [offer for kind in KINDS for offer in app.plugins.offers(kind) if kind != "command" or offer.spec.config]


def _values(app: App) -> Iterator[Value]:
    settings, factory = app.settings, app.factory
    for offer in _configurable(app):
        key = section_key(offer.kind, offer.spec.name)
        if offer.kind == "precompiles":
            raw = settings.raw(offer.kind, offer.spec.name)
            yield Value((*key, ENABLED), raw.get(ENABLED, True), settings.origin((*key, ENABLED)))
        try:
            checked = factory.check(offer.kind, offer.spec.name)
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
