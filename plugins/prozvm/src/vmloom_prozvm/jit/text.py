"""The text of generated functions: lines of Python, and where the interpreter goes on if one of them cannot.

`codegen` writes it. All that goes into a line are opcodes' names, integers and names made of integers; no string of a
program is ever part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, NamedTuple

from ..values import Value
from .kinds import Kind, of

MAX_SIZE: Final = 400_000
"""Characters of a function's text: Python takes a hundred bytes for each when it compiles it."""
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


class Failure(Enum):
    """What it means that a line of an instruction raised an exception."""

    REPEAT = auto()
    """Nothing was done yet: the interpreter runs the instruction again, and fails as it should or goes on."""
    FINAL = auto()
    """It has failed as the interpreter would have."""
    CALL = auto()
    """A called function has failed and seen to everything, unless the call was not made."""
    STEP = auto()
    """The interpreter's own instruction has failed, and has charged what it charges."""


class Literal(NamedTuple):
    """A value that is written into the text."""

    value: Value


class Resume(NamedTuple):
    """The state of the interpreter before an instruction.

    `stack` has names of Python variables and literals, the deepest first. `refund` is gas that was charged in advance.
    `writes` are those of the open transaction if it is in variables (see `sinking`), None if it is not.
    """

    at: int
    refund: int
    stack: tuple[str | Literal, ...]
    failure: Failure = Failure.REPEAT
    writes: tuple[tuple[int, bool], ...] | None = None


class Entry(NamedTuple):
    """A value on the stack: the expression that has it, which is a variable or a literal, and what is known of it."""

    text: str
    kind: Kind
    literal: Literal | None = None

    @property
    def item(self) -> str | Literal:
        """As `Resume` has it."""
        return self.text if self.literal is None else self.literal


class Line(NamedTuple):
    """A line without its indentation, which is `indent` levels."""

    indent: int
    text: str
    resume: Resume | None


class TooLong(Exception):
    """The text is longer than it may be."""


class Text:
    """Lines as they are written, with at most `MAX_SIZE` characters. Raises `TooLong` for more."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.size = 0
        """characters"""
        self._indent = 0

    def line(self, text: str, resume: Resume | None = None) -> None:
        """Append a line; `resume` if it can raise an exception."""
        self._grow(self._indent + len(text) + 1)
        self.lines.append(Line(self._indent, text, resume))

    @contextmanager
    def suite(self, header: str) -> Iterator[None]:
        """Lines below `header`, `pass` if there are none."""
        self.line(header)
        self._indent += 1
        length = len(self.lines)
        yield
        if len(self.lines) == length:
            self.line("pass")
        self._indent -= 1

    def append(self, other: Text) -> None:
        """Append the lines of another text at this level."""
        self._grow(other.size + self._indent * len(other.lines))
        self.lines += [line._replace(indent=self._indent + line.indent) for line in other.lines]

    def names(self) -> set[str]:
        """All the names in it."""
        return {name for line in self.lines for name in _NAME.findall(line.text)}

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > MAX_SIZE:
            raise TooLong

    def source(self) -> str:
        """All of it."""
        return "".join(f"{' ' * line.indent}{line.text}\n" for line in self.lines)

    def resumes(self) -> Mapping[int, Resume]:
        """By number of line, 1 being the first."""
        return {number: line.resume for number, line in enumerate(self.lines, 1) if line.resume is not None}


class Constants:
    """The values that the text has names for, since they cannot be written into it."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self.values: dict[str, Value] = {}

    def entry(self, value: Value) -> Entry:
        """`value` as an expression: itself if it is a small integer, a truth or nothing, otherwise a name of ours."""
        kind = of(value)
        if kind.is_small:
            text = f"({value})" if type(value) is int and value < 0 else repr(value)
            return Entry(text, kind, Literal(value))
        name = self._names.setdefault(id(value), f"k{len(self._names)}")
        self.values[name] = value  # kept alive, so that the identity stays its own
        return Entry(name, kind, Literal(value))
