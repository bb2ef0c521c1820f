"""`vmloom wasm inspect`: what is in a module."""

from __future__ import annotations

import json
from typing import Any

import click
from vmloom.cli.app import EXIT_FAILED, EXIT_OK, App, pass_app
from vmloom.cli.execution import json_option
from vmloom.cli.parameters import CODE
from vmloom.errors import CodeError

from ..binary.module import FunctionType, Kind, Module, decode
from ..binary.names import function_names
from ..vm import WasmVm


@click.command()
@click.argument("code", type=CODE)
@json_option
@pass_app
def inspect(app: App, code: bytes, as_json: bool) -> int:
    """Show imports, exports and sizes of CODE (a file, hex, or - for stdin), and whether it may be deployed.

    Exits with 1 if it may not.
    """
    vm = app.factory.get_vm("wasm")
    assert isinstance(vm, WasmVm)
    verdict = ""
    try:
        vm.validate_code(code)
    except CodeError as error:
        verdict = str(error)
    try:
        found = _described(decode(code), len(code))
    except CodeError:
        found = {"size": len(code)}
    if as_json:
        click.echo(json.dumps({"valid": not verdict, "error": verdict, **found}, indent=2))
    else:
        _print(app, found, verdict)
    return EXIT_FAILED if verdict else EXIT_OK


def _described(module: Module, size: int) -> dict[str, Any]:
    names = function_names(module)
    imported = module.imported(Kind.FUNCTION)
    exports = []
    for export in module.exports:
        kind = _type_of(module, export.index) if export.kind is Kind.FUNCTION else ""
        exports.append({"name": export.name, "kind": export.kind.name.lower(), "type": str(kind)})
    largest_first = sorted(enumerate(module.bodies, len(imported)), key=lambda entry: -len(entry[1].code))
    bodies = [{"index": index, "name": names.get(index), "size": len(body.code)} for index, body in largest_first]
    return {
        "size": size,
        "imports": [
            {
                "name": f"{entry.module}.{entry.name}",
                "kind": entry.kind.name.lower(),
                "type": _import_type(module, entry),
            }
            for entry in module.imports
        ],
        "exports": exports,
        "functions": bodies,
        "memory": [{"minimum": one.minimum, "maximum": one.maximum} for one in module.memories],
        "globals": len(module.globals),
        "data_bytes": sum(len(one.content) for one in module.datas),
        "custom_sections": [{"name": one.name, "size": len(one.data)} for one in module.customs],
    }


def _type_of(module: Module, index: int) -> FunctionType | str:
    imported = [entry.description for entry in module.imported(Kind.FUNCTION)]
    types = [*imported, *module.functions]
    place = types[index] if index < len(types) else None
    return module.types[place] if isinstance(place, int) and place < len(module.types) else "?"


def _import_type(module: Module, entry: Any) -> str:
    place = entry.description
    return str(module.types[place]) if isinstance(place, int) and place < len(module.types) else ""


def _print(app: App, found: dict[str, Any], verdict: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    summary = Table(box=None, show_header=False, pad_edge=False)
    summary.add_row("deployable", Text("yes", "green") if not verdict else Text(f"no: {verdict}", "red"))
    summary.add_row("size", f"{found['size']:,} bytes")
    for memory in found.get("memory", ()):
        most = "what is configured" if memory["maximum"] is None else f"{memory['maximum'] * 64:,} KiB"
        summary.add_row("memory", f"begins with {memory['minimum'] * 64:,} KiB, at most {most}")
    if "globals" in found:
        summary.add_row("globals", f"{found['globals']:,}")
        summary.add_row("data", f"{found['data_bytes']:,} bytes")
    app.console.print(summary)
    columns = {
        "imports": ("name", "kind", "type"),
        "exports": ("name", "kind", "type"),
        "functions": ("index", "name", "size"),
    }
    for title, keys in columns.items():
        rows = found.get(title, ())
        if not rows:
            continue
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for key in keys:
            table.add_column("bytes" if key == "size" else key, justify="right" if key in ("index", "size") else "left")
        for row in rows:
            cells = ("" if row[key] is None else str(row[key]) for key in keys)
            table.add_row(
                *(Text("".join(c if c.isprintable() else "?" for c in cell), overflow="fold") for cell in cells)
            )
        app.console.print(table)
