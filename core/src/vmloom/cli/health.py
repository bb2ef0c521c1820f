"""`vmloom doctor`: whether what is installed works here; and what keeps an accelerator from being used."""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import click

from ..accelerator import AcceleratorStatus
from ..errors import VmloomError
from ..object_cache import ObjectCache
from ..plugins import one_line
from .app import EXIT_FAILED, EXIT_OK, App, pass_app

if TYPE_CHECKING:
    from ..factory import VmFactory


class Verdict(StrEnum):
    """Of what was examined."""

    OK = "ok"
    UNUSED = "not usable"
    """It cannot be used here, and nothing else needs it: a GPU that there is not."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was examined, and what came out. `fix` is the way out of what is broken, if one is known."""

    kind: str
    name: str
    verdict: Verdict
    remark: str = ""
    fix: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_app
def doctor(app: App, as_json: bool) -> int:
    """Try what is installed: every plugin, VM, precompile set and accelerator, and the cache of compiled code.

    Exits with 1 if something is broken. An accelerator whose device is not there is not broken; the remark says why it
    is not used.
    """
    found = list(_findings(app))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _show(app, found)
    return EXIT_FAILED if any(one.verdict is Verdict.BROKEN for one in found) else EXIT_OK


def accelerator_status(factory: VmFactory, name: str) -> AcceleratorStatus:
    """Whether an accelerator can be used. One that cannot be created cannot, for that reason."""
    try:
        return factory.accelerator(name).status()
    except VmloomError as error:
        return AcceleratorStatus(False, str(error))
    except Exception as error:  # it promised not to raise
        return AcceleratorStatus(False, one_line(error))


def _findings(app: App) -> Iterator[Finding]:
    yield Finding("python", platform.python_version(), Verdict.OK, platform.platform())
    for record in app.plugins.records:
        verdict = Verdict.BROKEN if record.needs_attention else Verdict.OK
        yield Finding("plugin", record.name, verdict, record.detail or f"{record.dist} {record.version}", record.fix)
    factory, names = app.factory, app.plugins.names
    for name in names("vm"):
        yield _tried("vm", name, functools.partial(_version_of, factory, name))
        yield from _tried_sets(factory, name)
    for name in names("accelerator"):
        yield _accelerator(factory, name)
    store = ObjectCache()
    store.entries()
    yield Finding("cache", str(store.folder), Verdict.BROKEN if store.problem else Verdict.OK, store.problem)


def _version_of(factory: VmFactory, name: str) -> str:
    return str(factory.get_vm(name).vm_version)


def _tried(kind: str, name: str, attempt: Callable[[], str]) -> Finding:
    """What happens when it is created: what it says of itself, or why it cannot be."""
    try:
        return Finding(kind, name, Verdict.OK, attempt())
    except VmloomError as error:
        return Finding(kind, name, Verdict.BROKEN, str(error), error.fix)


def _tried_sets(factory: VmFactory, vm: str) -> Iterator[Finding]:
    finding = _tried("precompiles", vm, lambda: f"{len(factory.precompile_sets(vm))} sets")
    if finding.remark != "0 sets":
        yield finding


def _accelerator(factory: VmFactory, name: str) -> Finding:
    status = accelerator_status(factory, name)
    if not status.available:
        return Finding("accelerator", name, Verdict.UNUSED, status.reason)
    return Finding(
        "accelerator", name, Verdict.OK, f"{status.device}, by {status.path}" if status.path else status.device
    )


def _show(app: App, found: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    colours = {Verdict.OK: "green", Verdict.UNUSED: "yellow", Verdict.BROKEN: "red"}
    table = Table("what", "name", "verdict", "remark", box=None)
    for one in found:
        remark = one.remark + (f" (fix: {one.fix})" if one.fix else "")
        table.add_row(one.kind, one.name, Text(one.verdict.value, colours[one.verdict]), Text(remark))
    app.console.print(table)
