"""`vmloom wasm profile`: where the gas of a run went."""

from __future__ import annotations

import json
from typing import Any

import click
from vmloom.cli.app import EXIT_FAILED, EXIT_OK, EXIT_USAGE, App, pass_app
from vmloom.cli.execution import call_options, described_call, execute_call, json_option
from vmloom.cli.rendering import print_result
from vmloom.result import ExecutionResult

from ..metering.profile import FunctionProfile
from ..vm import WasmVm


@click.command()
@call_options
@json_option
@pass_app
def profile(app: App, /, as_json: bool, engine: str | None, **options: Any) -> int:
    """Run CODE as `vmloom run` does, and show the gas of each function: its own, without those that it called.

    Exits with 0 if it succeeds, 1 if it reverts or fails, 2 if it cannot be run.
    """
    call = described_call(app, **{**options, "vm_name": options["vm_name"] or "wasm"})
    vm = app.factory.get_vm(call.vm)
    if engine is not None or not isinstance(vm, WasmVm):
        click.echo("error: only WebAssembly contracts can be profiled, and there is one engine for them", err=True)
        return EXIT_USAGE
    functions: list[FunctionProfile] = []

    def run(*arguments: Any) -> ExecutionResult:
        result, found = vm.profile(*arguments)
        functions.extend(found)
        return result

    result = execute_call(call, run)
    of_host = max(0, result.gas_used * vm.config.units_per_gas - sum(one.gas for one in functions))
    if as_json:
        rows = [{"index": one.index, "name": one.name, "calls": one.calls, "units": one.gas} for one in functions]
        click.echo(json.dumps({**result.to_dict(), "functions": rows, "host_units": of_host}, indent=2))
    else:
        print_result(app.console, result, call.context.gas_limit)
        app.console.print(_table(functions, of_host, result.success))
    return EXIT_OK if result.success else EXIT_FAILED


def _table(functions: list[FunctionProfile], of_host: int, succeeded: bool) -> Any:
    """Functions, the dearest first, and what is left for the host."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="gas by function, in units", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, side in (("function", "left"), ("calls", "right"), ("own gas", "right"), ("", "right"), ("", "left")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    total = sum(one.gas for one in functions) + of_host
    rows = [(one.name or f"function {one.index}", f"{one.calls:,}", one.gas) for one in functions]
    rest = "host functions, entry and memory" if succeeded else "host functions, and what the failure took"
    for name, calls, gas in [*rows, (rest, "", of_host)]:
        part = gas / total if total else 0.0
        printable = "".join(letter if letter.isprintable() else "?" for letter in name)
        table.add_row(Text(printable), calls, f"{gas:,}", f"{part:.1%}", "█" * round(20 * part))
    return table
