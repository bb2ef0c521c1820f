"""The options `--trace...` of geth's `evm`, and the tracers that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

import click

from ..table import OpRow
from ..trace.calltree import CallTreeTracer, draw
from ..trace.eip3155 import Eip3155Tracer
from ..trace.hooks import Tracer
from ..trace.markdown import MarkdownTracer
from ..trace.structlog import StructTextTracer
from .flags import switch

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("json", "struct", "md", "markdown", "tree")
"""geth's, and a drawing of the calls."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """What to trace. `form` is one of `FORMATS`, empty for no trace."""

    form: str = ""
    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False

    def tracer(self, sink: TextIO, rows: Mapping[int, OpRow]) -> Tracer | None:
        """The tracer that writes to `sink`; None if none is asked for. `rows` are the fork's instructions."""
        if self.form == "json":
            return Eip3155Tracer(sink, rows, memory=self.memory, stack=self.stack, return_data=self.return_data)
        if self.form == "struct":
            return StructTextTracer(
                sink, memory=self.memory, stack=self.stack, storage=self.storage, return_data=self.return_data
            )
        if self.form == "tree":
            return CallTreeTracer(with_log=True)
        return MarkdownTracer(sink, stack=self.stack) if self.form else None


def tracing_options(command: Command) -> Command:
    """Decorator: the options, which `tracing_of` makes sense of."""
    options = [
        switch("--trace", help="Write a trace to stderr."),
        click.option(
            "--trace.format", "trace_format", type=click.Choice(FORMATS), default="json", help="Its form.  [json]"
        ),
        switch("--trace.nomemory", "--nomemory", "nomemory", default=True, help="Leave memory out; =false shows it."),
        switch("--trace.nostack", "--nostack", "nostack", help="Leave the stack out."),
        switch("--trace.nostorage", "--nostorage", "nostorage", help="Leave storage out."),
        switch(
            "--trace.noreturndata",
            "--noreturndata",
            "noreturndata",
            default=True,
            help="Leave return data out; =false shows it.",
        ),
        switch("--debug", hidden=True, help="Old for --trace --trace.format struct."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def tracing_of(values: dict[str, Any], *, machine: bool = False) -> Tracing:
    """Take the options of `tracing_options` out of `values`. `machine` is the old `--json`."""
    trace, form, debug = values.pop("trace"), values.pop("trace_format"), values.pop("debug")
    if not trace:
        form = "json" if machine else "struct" if debug else ""
    return Tracing(
        form,
        memory=not values.pop("nomemory"),
        stack=not values.pop("nostack"),
        storage=not values.pop("nostorage"),
        return_data=not values.pop("noreturndata"),
    )


def end_trace(tracer: Tracer | None, sink: TextIO, output: bytes, gas_used: int, error: str) -> None:
    """Let the tracer write to `sink` what it has not: a drawing, or the outcome of a call declined at once."""
    if isinstance(tracer, Eip3155Tracer):
        tracer.finish(output, gas_used, error)
    elif isinstance(tracer, CallTreeTracer) and tracer.root is not None:
        from rich.console import Console

        width = None if sink.isatty() else 200  # what reads it is a file or a program, and nothing may be cut off
        Console(file=sink, width=width, highlight=False).print(draw(tracer.root))
