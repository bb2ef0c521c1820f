"""From instructions back to the source: maps in the metadata of bytecode, and errors shown with source lines.

A map is a list of integers, four for each run of instructions that stem from one place: how many they are, lines down
from the place before (the first from line 1), column, length in characters. Columns count characters from 1. Indices
are those of the bytecode as it was compiled: what the optimiser moved, it can trace back (`bytecode.origins`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Final, NamedTuple

from ..bytecode.program import Bytecode
from ..errors import ProzError, UserRevert
from ..values import Function, Value
from .diagnostics import Diagnostic, render
from .tree import Source, Span

MAP_KEY: Final = "source_map"
"""Where the metadata have the map."""
_LONGEST_MAP: Final = 60_000
"""Integers in a map; beyond, a body goes without one, since metadata are limited as values are."""
_MOST: Final = 1 << 62
"""Nothing in a map may be this: a map can be anything, since containers may come from anybody."""
_INNERMOST: Final = 8
_OUTERMOST: Final = 2
"""Calls of a trace that are shown, from its two ends."""


class Place(NamedTuple):
    """Where something is in the source: `line` and `column` from 1, `length` in characters, lines' ends included."""

    line: int
    column: int
    length: int

    def span(self, source: Source) -> Span:
        """The piece of `source`, cut where it is not the source that the place is of."""
        begin = 0
        for _ in range(min(self.line, source.lines) - 1):
            begin = source.text.index("\n", begin) + 1
        begin = min(begin + self.column - 1, len(source.text))
        return Span(begin, min(begin + self.length, len(source.text)))


class _Runs(NamedTuple):
    """The runs of a map: for each the index after its last instruction, and its place."""

    ends: list[int]
    places: list[Place]


def map_metadata(spans: Iterable[Span], source: Source) -> dict[str, Value]:
    """The metadata of a body whose instructions stem from `spans`; none if the map would be too large."""
    numbers: list[Value] = []
    before = 1
    for span, run in groupby(spans):
        line, column = source.position(span.start)
        numbers += [sum(1 for _ in run), line - before, column, span.end - span.start]
        before = line
    return {MAP_KEY: numbers} if 0 < len(numbers) <= _LONGEST_MAP else {}


class SourceMap:
    """The maps of a program and of its functions, read once. Functions are known by their names."""

    def __init__(self, bytecode: Bytecode) -> None:
        self._bodies: dict[str, Bytecode] = {"": bytecode}
        for function in _functions(bytecode):
            self._bodies.setdefault(function.name, function.bytecode)
        self._runs: dict[str, _Runs] = {}

    def place(self, function: str, index: int) -> Place | None:
        """Where an instruction stems from; of the end, where the last one does. None if there is no map of it."""
        runs = self._runs.get(function)
        if runs is None:
            body = self._bodies.get(function)
            runs = self._runs[function] = _Runs([], []) if body is None else _decode(body.metadata)
        if not runs.places or index < 0:
            return None
        return runs.places[min(bisect_right(runs.ends, index), len(runs.places) - 1)]

    def line_of(self, function: str, index: int) -> int | None:
        """The source line of an instruction, from 1; for profiles."""
        place = self.place(function, index)
        return place.line if place else None


def locate(bytecode: Bytecode, function: str, index: int) -> Place | None:
    """Where an instruction of a function, "" for the main program, stems from; None if there is no map of it.

    For many of them make a `SourceMap` once.
    """
    return SourceMap(bytecode).place(function, index)


def line_of(bytecode: Bytecode, function: str, index: int) -> int | None:
    """The source line, from 1, of an instruction; None if there is no map of it."""
    return SourceMap(bytecode).line_of(function, index)


def without_maps(bytecode: Bytecode) -> Bytecode:
    """A program without the maps that it and its functions have."""
    constants = [
        replace(constant, bytecode=without_maps(constant.bytecode)) if isinstance(constant, Function) else constant
        for constant in bytecode.constants
    ]
    metadata = {key: value for key, value in bytecode.metadata.items() if key != MAP_KEY}
    return Bytecode(constants, list(bytecode.instructions), metadata)


def describe_error(error: ProzError, bytecode: Bytecode | None, source: Source | str) -> str:
    """The error with the line of the source that caused it, and the calls that led there, the innermost first.

    `bytecode` is the program that failed, compiled with source maps; without them functions and indices are all that
    can be shown. It is not needed where the evaluator ran, which knows places itself.
    """
    text = source if isinstance(source, Source) else Source(source)
    trace = _trace(error, bytecode)
    lines = _shown(error_message(error), trace[0], text)
    hidden = len(trace) - _INNERMOST - _OUTERMOST
    for index, call in enumerate(trace[1:], 1):
        if hidden > 0 and index == _INNERMOST:
            lines.append(f"... and {hidden} more calls")
        if hidden <= 0 or not _INNERMOST <= index < _INNERMOST + hidden:
            lines += _called(call, text)
    return "\n".join(lines)


def error_message(error: ProzError) -> str:
    """What went wrong, without where."""
    if isinstance(error, UserRevert):
        return "reverted" if error.output is None else f"reverted: {error.output!r}"
    return str(error.args[0]) if error.args and error.args[0] else type(error).__name__


class _Call(NamedTuple):
    """A call that had not ended: where it was, as far as that is known."""

    function: str
    place: Place | None
    at: int | None

    @property
    def who(self) -> str:
        return f"`{self.function}`" if self.function else "the program"

    def where(self) -> str:
        return self.who if self.at is None else f"{self.who}, instruction {self.at}"


def _trace(error: ProzError, bytecode: Bytecode | None) -> list[_Call]:
    if error.places:
        return [_Call(function, place, None) for function, place in error.places]
    known = None if bytecode is None else SourceMap(bytecode)
    calls = error.trace or [(error.function, error.at or 0)]
    return [_Call(function, known.place(function, index) if known else None, index) for function, index in calls]


def _shown(message: str, call: _Call, source: Source) -> list[str]:
    if call.place is None:
        return [f"{source.name}: error: {message}", f"  in {call.where()}"]
    return render(source, Diagnostic(call.place.span(source), message)).splitlines()


def _called(call: _Call, source: Source) -> list[str]:
    if call.place is None:
        return [f"called in {call.where()}"]
    excerpt = render(source, Diagnostic(call.place.span(source), "")).splitlines()[1:]
    return [f"called in {call.who}, {source.name}:{call.place.line}:{call.place.column}:", *excerpt]


def _decode(metadata: Mapping[str, Value]) -> _Runs:
    """The runs of a body's instructions; none where the metadata have no map that could be one."""
    numbers = metadata.get(MAP_KEY)
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers) or len(numbers) % 4:
        return _Runs([], [])
    runs = _Runs([], [])
    end, line = 0, 1
    rest: Iterator[int] = iter(numbers)  # type: ignore[arg-type]  # all are integers
    for count, lines, column, length in zip(rest, rest, rest, rest, strict=True):
        end, line = end + count, line + lines
        if not (1 <= count < _MOST and 1 <= line < _MOST and 1 <= column < _MOST and 0 <= length < _MOST):
            return _Runs([], [])
        runs.ends.append(end)
        runs.places.append(Place(line, column, length))
    return runs


def _functions(bytecode: Bytecode) -> Iterator[Function]:
    """The functions among the constants of a program, and those among theirs."""
    pending = [bytecode]
    while pending:
        for constant in pending.pop().constants:
            if isinstance(constant, Function):
                yield constant
                pending.append(constant.bytecode)
