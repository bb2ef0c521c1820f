"""Instructions taken apart: what stands between their dots, and the numbers that they take and give."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from .errors import PtxError
from .scope import Scope, all_ones
from .syntax import WIDTHS, Statement

Handler = Callable[[Scope, Statement], list[str]]
"""Translates one instruction."""
_LENIENT: Final = ("mov", "ld", "ldu", "st", "selp")
"""Instructions that move patterns, whatever they stand for."""


class Form:
    """An instruction taken apart: `types`, in their order, and the other `modifiers`. Raises `PtxError`."""

    def __init__(self, it: Statement, operands: int | Collection[int], types: int = 1, allowed: Collection[str] = ()):
        self.types = [part for part in it.parts[1:] if part in WIDTHS]
        self.modifiers = [part for part in it.parts[1:] if part not in WIDTHS]
        unknown = [part for part in self.modifiers if part not in allowed]
        if unknown:
            raise PtxError(it.line, f"{it.text!r} is not emulated: .{unknown[0]} is not known here")
        if len(self.types) != types:
            raise PtxError(it.line, f"{it.text!r} has {len(self.types)} types, not {types}")
        if any(one[0] == "f" for one in self.types) and it.parts[0] not in _LENIENT:
            raise PtxError(it.line, f"{it.text!r}: floating point is not emulated")
        counts = (operands,) if isinstance(operands, int) else operands
        if len(it.operands) not in counts:
            raise PtxError(it.line, f"{it.text!r} has {len(it.operands)} operands")

    def has(self, modifier: str) -> bool:
        """Whether it has this modifier."""
        return modifier in self.modifiers

    @property
    def width(self) -> int:
        """Bits of the last type."""
        return WIDTHS[self.types[-1]]

    @property
    def sign(self) -> bool:
        """Whether the last type is a signed one."""
        return self.types[-1][0] == "s"

    def one_of(self, names: Collection[str], it: Statement) -> str:
        """The only modifier that is among the names."""
        found = [one for one in self.modifiers if one in names]
        if len(found) != 1:
            raise PtxError(it.line, f"{it.text!r} needs one of {', '.join('.' + one for one in names)}")
        return found[0]


def only(form: Form, it: Statement, *widths: int) -> int:
    """The width, if it is one of these."""
    if form.width not in widths:
        raise PtxError(it.line, f"{it.text!r} is no instruction: it has no form of {form.width} bits")
    return form.width


def value(scope: Scope, it: Statement, place: int, form: Form) -> str:
    """An operand as the number that it stands for."""
    read = scope.signed if form.sign else scope.value
    return read(it.operands[place], form.width, it)


def result(scope: Scope, it: Statement, width: int, expression: str, *, masked: bool = False) -> list[str]:
    """An assignment; `masked` where the expression may leave the width."""
    variable, _ = scope.target(it.operands[0], width, it)
    return [f"{variable} = {expression} & {all_ones(width)}" if masked else f"{variable} = {expression}"]
