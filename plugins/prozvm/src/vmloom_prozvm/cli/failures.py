"""Programs that failed: what went wrong, the line of the source, and the calls that led there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..bytecode.program import Bytecode
from ..errors import ProzError, UserRevert
from ..language.diagnostics import Diagnostic, render_rich
from ..language.sourcemap import Place, SourceMap, error_message
from ..language.tree import Source
from ..literals import literal, to_json
from ..values import Value

if TYPE_CHECKING:
    from rich.text import Text

NO_SOURCES: Final[Mapping[str, Source]] = MappingProxyType({})
_INNERMOST: Final = 8
_OUTERMOST: Final = 2
"""Calls that are shown, from the two ends of a trace."""


def trace_of(error: ProzError, bytecode: Bytecode | None) -> list[tuple[str, Place | None]]:
    """The calls that had not ended, the innermost first: name of the function, "" the program, and place."""
    if error.places:
        return list(error.places)
    if bytecode is None:
        return [(function, None) for function, _ in error.trace]
    known = SourceMap(bytecode)
    return [(function, known.place(function, at)) for function, at in error.trace]


def message_of(error: ProzError) -> str:
    """What went wrong, in one line; a reason that a program gave is shown as it is written there."""
    if isinstance(error, UserRevert):
        return "reverted" if error.output is None else f"reverted: {reason_of(error)}"
    return error_message(error)


def reason_of(error: UserRevert) -> str:
    """The value that REVERT was given: text as it is."""
    output: Value = error.output  # type: ignore[assignment]  # a value
    return output if isinstance(output, str) and output.isprintable() else literal(output)


def shown(
    error: ProzError,
    trace: Sequence[tuple[str, Place | None]],
    source: Source,
    others: Mapping[str, Source] = NO_SOURCES,
) -> Text:
    """The error for a terminal. `others` are the sources of functions, by name, that are not from `source`."""
    from rich.text import Text

    function, place = trace[0] if trace else ("", None)
    program, source = source, others.get(function, source)
    message = message_of(error)
    if place is None:
        lines = [Text.assemble((f"{source.name}: ", "bold"), ("error: ", "bold red"), (message, "bold"))]
    else:
        lines = [render_rich(source, Diagnostic(place.span(source), message))]
    if function:
        lines.append(Text(f"  in {_who(function)}", "dim"))
    hidden = len(trace) - _INNERMOST - _OUTERMOST
    for index, (caller, where) in enumerate(trace[1:], 1):
        if hidden > 0 and index == _INNERMOST:
            lines.append(Text(f"... and {hidden} more calls", "dim"))
        if hidden <= 0 or not _INNERMOST <= index < _INNERMOST + hidden:
            lines += _caller(caller, where, others.get(caller, program))
    return Text("\n").join(lines)


def as_data(error: ProzError, trace: Sequence[tuple[str, Place | None]]) -> dict[str, Any]:
    """The error as JSON-ready data."""
    calls = [
        {"function": function, **({} if place is None else {"line": place.line, "column": place.column})}
        for function, place in trace
    ]
    found: dict[str, Any] = {"kind": type(error).__name__, "message": message_of(error), "trace": calls}
    if isinstance(error, UserRevert):
        found["reason"] = to_json(error.output)  # type: ignore[arg-type]  # a value
    return found


def _caller(function: str, place: Place | None, source: Source) -> list[Text]:
    from rich.text import Text

    if place is None:
        return [Text(f"  called in {_who(function)}", "dim")]
    number = str(place.line)
    line = Text.assemble((f"  {number} | ", "blue"), source.line(min(place.line, source.lines)).strip("\r")[:100])
    return [Text(f"called in {_who(function)}, {source.name}:{place.line}:{place.column}:", "dim"), line]


def _who(function: str) -> str:
    """A function by the name that it has in the source: `~` and a number tell apart what has one name there."""
    return f"`{function.partition('~')[0][:100]}`" if function else "the program"
