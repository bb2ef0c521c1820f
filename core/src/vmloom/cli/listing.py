"""`vmloom plugins`: what is installed, and what of it can be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from ..plugins import Offer, PluginRecord, PluginRegistry, Status
from .app import EXIT_FAILED, EXIT_OK, App, pass_app

_COLOURS = {Status.LOADED: "green", Status.DISABLED: "dim"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "show_all", is_flag=True, help="One row for each thing that a plugin offers.")
@pass_app
def plugins(app: App, as_json: bool, show_all: bool) -> int:
    """List the installed plugins, their status and what they offer.

    Exits with 1 if a plugin that is not disabled cannot be used.
    """
    registry = app.plugins
    reasons = _reasons(app)
    if as_json:
        click.echo(json.dumps([_record(registry, record, reasons) for record in registry.records], indent=2))
    else:
        _show(app, registry, show_all, reasons)
    return EXIT_FAILED if any(record.needs_attention for record in registry.records) else EXIT_OK


def _reasons(app: App) -> dict[str, str]:
    """Why accelerators cannot be used, by name, as far as can be told at once: `vmloom doctor` asks devices."""
    registry = app.plugins
    return {
        offer.spec.name: registry.absence(offer, app.settings.raw("accelerator", offer.spec.name))
        for offer in registry.offers("accelerator")
    }


def _record(registry: PluginRegistry, record: PluginRecord, reasons: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": record.name,
        "distribution": record.dist,
        "version": record.version,
        "status": record.status.value,
        "detail": record.detail,
        "fix": record.fix,
        "offers": [
            {
                "kind": offer.kind,
                "name": offer.spec.name,
                "summary": offer.spec.summary,
                "target": offer.spec.target,
                "usable": registry.is_usable(offer),
                "reason": _reason(registry, offer, reasons),
            }
            for offer in record.offers
        ],
    }


def _reason(registry: PluginRegistry, offer: Offer, reasons: Mapping[str, str]) -> str:
    """Why an accelerator cannot be used here; empty if it can, and for everything else."""
    return reasons.get(offer.spec.name, "") if offer.kind == "accelerator" and registry.is_usable(offer) else ""


def _show(app: App, registry: PluginRegistry, show_all: bool, reasons: Mapping[str, str]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not registry.records:
        click.echo("no plugins are installed; for the Ethereum Virtual Machine: pip install vmloom-evm")
        return
    table = Table("plugin", "package", "version", "status", "offers", "summary" if show_all else "remark", box=None)
    for record in registry.records:
        row = [record.name, record.dist, record.version]
        status = Text(record.status.value, _COLOURS.get(record.status, "red"))
        remark = record.detail + (f" (fix: {record.fix})" if record.fix else "")
        remark = "; ".join(filter(None, (remark, *(_reason(registry, offer, reasons) for offer in record.offers))))
        if not show_all:
            table.add_row(*row, status, Text(", ".join(_offer(registry, o) for o in record.offers)), Text(remark))
            continue
        for number, offer in enumerate(record.offers):
            first = [*row, status] if number == 0 else [""] * 4
            table.add_row(*first, Text(_offer(registry, offer)), Text(offer.spec.summary))
        if remark or not record.offers:
            table.add_row(*([""] * 4 if record.offers else [*row, status]), "", Text(remark))
    app.console.print(table)


def _offer(registry: PluginRegistry, offer: Offer) -> str:
    return f"{offer.kind} {offer.spec.name}" + ("" if registry.is_usable(offer) else " (not used)")
