"""What is wrong with a source, and how people are shown it: place, line, caret, what to do.

Used by everything that reads sources. What is shown never contains a character that a terminal would act on, whatever
the source has, and no line that is too long to read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from vmloom.errors import CodeError

from .tree import Position, Source, Span

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

MOST: Final = 20
"""Errors that are reported of one source."""
_WIDTH: Final = 100
"""Columns of a source line that are shown."""
_BEFORE: Final = 60
"""Of those, how many are before the place at fault where a line is cut."""
_SHORT: Final = 40
"""Characters of a piece of source that a message quotes."""


@dataclass(frozen=True, slots=True)
class Note:
    """Another place that has to do with an error: `text` is followed by where it is."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error: where, what, and what to do about it (`hint`, empty if there is nothing to say)."""

    span: Span
    message: str
    hint: str = ""
    note: Note | None = None


class LanguageError(CodeError):
    """A source that cannot be compiled: `diagnostics` are what is wrong with it, in the order of the source.

    As a string it has all of them; printed by rich, in colours.
    """

    def __init__(self, source: Source, diagnostics: Iterable[Diagnostic]) -> None:
        self.source = source
        self.diagnostics = tuple(sorted(diagnostics, key=lambda found: found.span.start))[:MOST]
        super().__init__("\n".join(render(source, found) for found in self.diagnostics))

    def __reduce__(self) -> tuple[type[LanguageError], tuple[Source, tuple[Diagnostic, ...]]]:
        return type(self), (self.source, self.diagnostics)

    @property
    def positions(self) -> tuple[Position, ...]:
        """Where the errors begin."""
        return tuple(self.source.position(found.span.start) for found in self.diagnostics)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for found in self.diagnostics:
            yield render_rich(self.source, found)


class SyntaxErrors(LanguageError):
    """A source that is not of the language: what the parser raises."""


def render(source: Source, diagnostic: Diagnostic) -> str:
    """The error as lines of plain text."""
    return "\n".join("".join(text for text, _ in line) for line in _lines(source, diagnostic))


def render_rich(source: Source, diagnostic: Diagnostic) -> Text:
    """The error as lines of text for a terminal."""
    from rich.text import Text

    lines = [Text.assemble(*line, no_wrap=True, overflow="ignore") for line in _lines(source, diagnostic)]
    return Text("\n").join(lines)


def quote(text: str) -> str:
    """A piece of source in a message: short, in one line, and harmless."""
    shown = "".join(_visible(character) for character in text[: _SHORT + 1])
    return f"`{shown}`" if len(text) <= _SHORT else f"`{shown[:_SHORT]}...`"


def visible(text: str) -> str:
    """The text with every character that a terminal would act on, or not show, written out; lines stay lines."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter in "\n\t" else _visible(letter) for letter in text)


def closest(word: str, known: Iterable[str]) -> str:
    """What of `known` was probably meant by `word`; empty if nothing is like it."""
    import difflib

    found = difflib.get_close_matches(word[:_SHORT], list(known), n=1, cutoff=0.7)
    return found[0] if found else ""


class _Piece(NamedTuple):
    """A line of source as it is shown, and what is to be marked of it, in columns."""

    text: str
    indent: int
    width: int


_Line = Sequence[tuple[str, str]]
"""Pieces of text, each with a style of rich."""


def _lines(source: Source, diagnostic: Diagnostic) -> Iterator[_Line]:
    place = source.position(diagnostic.span.start)
    name = "".join(_visible(character) for character in source.name)
    yield [(f"{name}:{place}: ", "bold"), ("error: ", "bold red"), (diagnostic.message, "bold")]
    piece = _excerpt(source, diagnostic.span, place)
    number = str(place.line)
    margin = " " * len(number)
    yield [(f"  {number} | ", "blue"), (piece.text, "")]
    yield [(f"  {margin} | ", "blue"), (" " * piece.indent, ""), ("^" * piece.width, "bold red")]
    if diagnostic.note is not None:
        where = source.position(diagnostic.note.span.start)
        yield [(f"  {margin} = ", "blue"), (f"{diagnostic.note.text} at {where}", "")]
    if diagnostic.hint:
        yield [(f"  {margin} = ", "blue"), ("hint: ", "green"), (diagnostic.hint, "")]


def _excerpt(source: Source, span: Span, place: Position) -> _Piece:
    line = source.line(place.line)
    begin = place.column - 1
    end = max(begin + 1, min(begin + span.end - span.start, len(line)))
    first = 0 if len(line) <= _WIDTH else max(0, begin - _BEFORE)
    last = min(len(line), first + _WIDTH)
    shown = [_visible(character) for character in line[first:last]]
    before = _columns(shown[: begin - first])
    marked = max(1, _columns(shown[begin - first : end - first]))
    lead = "..." if first else ""
    return _Piece(lead + "".join(shown) + ("..." if last < len(line) else ""), len(lead) + before, marked)


def _visible(character: str) -> str:
    """The character, or what stands for it where it would be invisible or acted on."""
    if character == "\t":
        return "    "
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def _columns(shown: Iterable[str]) -> int:
    return sum(_width(character) for text in shown for character in text)


def _width(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
