"""Where lines break: documents of text and possible line breaks, laid out within a width.

After Wadler, "A prettier printer" (2003): a group stands on one line if it fits, or else breaks at all of its own line
breaks. Knows nothing of the language; `formatter` makes the documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

WIDTH: Final = 100
"""Columns that a line should have at most."""
INDENT: Final = 4
"""Columns of one level."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line break, with `before` at the end of the line, if the group around it is broken; else `flat`."""

    flat: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True)
class Break:
    """A line break always, and `blank` lines after it."""

    blank: int = 0


@dataclass(slots=True)
class Block:
    """Parts that belong together. They are indented if `is_nested`, and on one line, if that fits, in a group."""

    parts: list[Document] = field(default_factory=list)
    is_nested: bool = False
    is_group: bool = False
    is_broken: bool = False
    """Whether a line break in it that is no choice breaks the group, too."""

    def add(self, part: Document) -> None:
        """Put `part` at the end."""
        self.parts.append(part)
        if isinstance(part, Break) or (isinstance(part, Block) and part.is_broken) or part is BROKEN:
            self.is_broken = True


@dataclass(frozen=True, slots=True)
class Nothing:
    """Breaks the groups around it."""


BROKEN: Final = Nothing()
Document: TypeAlias = "str | Line | Break | Block | Nothing"
_Waiting: TypeAlias = "list[tuple[Document, int, bool]]"
"""What is still to be laid out, the next last: each part with its indentation and whether it is on one line."""


def lay_out(document: Block) -> str:
    """The text, without blanks at the ends of lines."""
    out: list[str] = []
    column = 0
    waiting: _Waiting = [(document, 0, False)]
    while waiting:
        part, indent, is_flat = waiting.pop()
        match part:
            case str():
                out.append(part)
                column = len(part) - part.rfind("\n") - 1 if "\n" in part else column + len(part)
            case Break():
                out.append("\n" * (1 + part.blank) + " " * indent)
                column = indent
            case Line():
                out.append(part.flat if is_flat else f"{part.before}\n{' ' * indent}")
                column = column + len(part.flat) if is_flat else indent
            case Block():
                inner = indent + INDENT * part.is_nested
                if part.is_group and not is_flat:
                    is_flat = not part.is_broken and _fits(part, WIDTH - column, waiting)
                waiting += _reversed(part.parts, inner, is_flat)
    return "\n".join(line.rstrip() if not line.isspace() else "" for line in "".join(out).split("\n"))


def _fits(group: Block, room: int, after: _Waiting) -> bool:
    """Whether the group on one line, and what follows it up to the next line break, takes no more than `room`."""
    waiting: _Waiting = [(group, 0, True)]
    rest = len(after)
    while room >= 0:
        if not waiting:
            if not rest:
                return True
            rest -= 1
            waiting.append(after[rest])
        part, _, is_flat = waiting.pop()
        match part:
            case str():
                room -= len(part.partition("\n")[0])
                if "\n" in part:
                    return room >= 0
            case Break():
                return True
            case Line():
                if not is_flat:
                    return room >= len(part.before)
                room -= len(part.flat)
            case Block():
                waiting += _reversed(part.parts, 0, is_flat)
    return False


def _reversed(parts: Sequence[Document], indent: int, is_flat: bool) -> Iterable[tuple[Document, int, bool]]:
    return [(part, indent, is_flat) for part in reversed(parts)]
