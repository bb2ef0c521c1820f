"""`vmloom proz profile`: where the gas of a contract's call went, by line of its source."""

from __future__ import annotations

import json
from typing import Any

import click
from vmloom.cli.app import EXIT_FAILED, EXIT_OK, App, pass_app
from vmloom.cli.execution import call_options, described_call, execute_call, json_option
from vmloom.cli.rendering import print_result
from vmloom.errors import InputError
from vmloom.result import ExecutionResult

from ..bytecode.container import unpack
from ..language.sourcemap import MAP_KEY, SourceMap
from ..language.tree import Source
from ..prozvm import ProzVm
from .profiling import Profiler, profile_table
from .sources import explaining_errors, read_source


@click.command()
@call_options
@click.option("--source", "source_file", metavar="FILE", required=True, help="The source that CODE was compiled from.")
@json_option
@pass_app
@explaining_errors
def profile(app: App, /, source_file: str, as_json: bool, engine: str | None, **options: Any) -> int:
    """Run CODE, a contract compiled with --debug, as `vmloom run` does, and show the gas of each line.

    A line that calls another contract has what that took. Exits with 0 if it succeeds, 1 if it reverts or fails, 2 if
    it cannot be run.
    """
    source = Source(read_source(source_file), source_file)
    call = described_call(app, **{**options, "vm_name": options["vm_name"] or "prozvm"})
    vm = app.factory.get_vm(call.vm)
    if engine is not None or not isinstance(vm, ProzVm):
        raise InputError("only contracts of ProzVM can be profiled, and there is one engine for them")
    bytecode = unpack(call.code, vm.config.limits)
    if MAP_KEY not in bytecode.metadata:
        raise InputError("CODE: no source map in it").with_fix(f"vmloom proz compile {source_file} --debug")
    profiler = Profiler()

    def run(*arguments: Any) -> ExecutionResult:
        return vm.execute_by(profiler, *arguments)

    result = execute_call(call, run)
    lines = profiler.profile.by_line(SourceMap(bytecode))
    if as_json:
        rows = [{"line": line, "gas": gas, "instructions": count} for line, (gas, count) in lines.items()]
        click.echo(json.dumps({**result.to_dict(), "lines": rows}, indent=2))
    else:
        print_result(app.console, result, call.context.gas_limit)
        app.console.print(profile_table(lines, source))
    return EXIT_OK if result.success else EXIT_FAILED
