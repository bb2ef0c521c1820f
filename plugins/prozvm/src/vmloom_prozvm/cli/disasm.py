"""`vmloom proz disasm`: what a source compiles to, or what is in a container."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from vmloom.cli.app import EXIT_OK, App, pass_app
from vmloom.cli.execution import json_option
from vmloom.errors import CodeError, InputError

from ..bytecode.container import MAGIC, unpack
from ..bytecode.program import Bytecode
from ..language.bytecode_compiler import EvaluatorBytecodeCompiler
from ..language.contract import compile_contract
from ..language.lowering import lower
from ..language.parser import parse
from ..language.tree import Action, Source
from ..optimizer import optimize_bytecode
from .listing import lines_of, shown
from .sources import STDIN, explaining_errors, read_bytes, read_source, shown_name


@click.command()
@click.argument("file")
@click.option(
    "--source", "source_file", metavar="FILE", help="The source of a container that was compiled with --debug."
)
@click.option("--optimize", type=click.IntRange(0, 3), default=0, show_default=True, help="Level of the optimizer.")
@json_option
@pass_app
@explaining_errors
def disasm(app: App, file: str, source_file: str | None, optimize: int, as_json: bool) -> int:
    """Show FILE, a source or a container (- for a source from stdin), as instructions, with lines of the source.

    A source that exports actions is shown as the contract that it is, with what finds the action that a call names.
    """
    program, source = _program(file, source_file)
    if optimize:
        program = optimize_bytecode(program, optimize)
    if as_json:
        for one in lines_of(program):
            click.echo(json.dumps(asdict(one)))
    else:
        for line in shown(program, source):
            app.console.print(line, soft_wrap=True)
    return EXIT_OK


def _program(file: str, source_file: str | None) -> tuple[Bytecode, Source | None]:
    """The program in a file, and its source if that is there. Raises `InputError`, and `CodeError` for a source."""
    data = b"" if file == STDIN else read_bytes(file)
    if data.startswith(MAGIC):
        source = None if source_file is None else Source(read_source(source_file), source_file)
        try:
            return unpack(data), source
        except CodeError as error:
            raise InputError(f"{shown_name(file)}: {error}") from None
    if source_file is not None:
        raise InputError(f"--source: {shown_name(file)} is a source itself")
    text = read_source(file)
    program = parse(text, shown_name(file))
    if any(isinstance(one, Action) and one.export is not None for one in program.statements):
        return compile_contract(text, shown_name(file)).bytecode, program.source
    compiled = EvaluatorBytecodeCompiler(source_map=True).compile_core(lower(program))
    return compiled, program.source
