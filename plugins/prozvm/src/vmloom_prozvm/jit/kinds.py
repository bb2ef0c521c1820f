"""What is known of a value before a program runs: its kind and, of an integer, between which bounds it lies.

`codegen` leaves out every check that this shows to be needless. Bounds are right whatever the program does: an
operation whose result may be anything gives no bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from ..bytecode.opcodes import Opcode
from ..values import Value

INT: Final = 1
BOOL: Final = 2
TEXT: Final = 4
BYTES: Final = 8
LIST: Final = 16
MAP: Final = 32
NOTHING: Final = 64
OTHER: Final = 128
"""Functions and tasks."""

LIMB: Final = 2**64 - 1
"""The largest integer of one limb; the smallest is -LIMB."""

_MASKS: Final[Mapping[type, int]] = MappingProxyType(
    {int: INT, bool: BOOL, str: TEXT, bytes: BYTES, list: LIST, dict: MAP, type(None): NOTHING}
)
_STEPS: Final = (-LIMB, 0, LIMB)
"""A bound that keeps moving goes to the next of these."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`mask` has a bit for every kind that the value may have; bounds are inclusive, None where there is none.

    Only what is an integer and nothing else has bounds.
    """

    mask: int
    low: int | None = None
    high: int | None = None

    @property
    def is_int(self) -> bool:
        """Whether it is an integer for certain."""
        return self.mask == INT

    @property
    def is_limb(self) -> bool:
        """Whether it is an integer of one limb for certain."""
        return self.above(-LIMB) and self.below(LIMB)

    @property
    def is_small(self) -> bool:
        """Whether it has one cell for certain."""
        return not self.mask & ~(INT | BOOL | NOTHING) and (not self.mask & INT or self.is_limb)

    def above(self, bound: int) -> bool:
        """Whether it is an integer of at least `bound` for certain."""
        return self.is_int and self.low is not None and self.low >= bound

    def below(self, bound: int) -> bool:
        """Whether it is an integer of at most `bound` for certain."""
        return self.is_int and self.high is not None and self.high <= bound

    def within(self, low: int | None, high: int | None) -> Kind:
        """The same, known to be an integer within these bounds as well."""
        low = self.low if low is None else low if self.low is None else max(low, self.low)
        high = self.high if high is None else high if self.high is None else min(high, self.high)
        return Kind(INT, low, high)

    def join(self, other: Kind) -> Kind:
        """What is known of a value that is either of the two."""
        if not (self.is_int and other.is_int):
            return Kind(self.mask | other.mask)
        low = None if self.low is None or other.low is None else min(self.low, other.low)
        high = None if self.high is None or other.high is None else max(self.high, other.high)
        return Kind(INT, low, high)

    def widen(self, before: Kind) -> Kind:
        """The same with bounds that moved since `before` moved further, so that they do not move for ever."""
        low, high = self.low, self.high
        if self.is_int and before.is_int:
            if low != before.low and low is not None:
                low = max((step for step in _STEPS if step <= low), default=None)
            if high != before.high and high is not None:
                high = min((step for step in _STEPS if step >= high), default=None)
        return replace(self, low=low, high=high)


ANY: Final = Kind(255)
INTEGER: Final = Kind(INT)
ONE_LIMB: Final = Kind(INT, -LIMB, LIMB)
TRUTH: Final = Kind(BOOL)
STRING: Final = Kind(TEXT)


def of(value: Value) -> Kind:
    """All there is to know of a constant."""
    if type(value) is int:
        return Kind(INT, value, value)
    return Kind(_MASKS.get(type(value), OTHER))


def result(opcode: Opcode, left: Kind, right: Kind) -> Kind:
    """The result of arithmetic on two values, if there is one."""
    if opcode is Opcode.ADD and not (left.is_int or right.is_int):
        return Kind(left.mask & right.mask & (INT | TEXT | BYTES | LIST) or INT)
    if left.is_int and right.is_int and opcode in _BOUNDS:
        return Kind(INT, *_BOUNDS[opcode](left, right))
    if opcode is Opcode.MOD:
        return Kind(INT, *_modulo(left, right))  # only the divisor matters
    return INTEGER


def negated(kind: Kind) -> Kind:
    """The result of NEG."""
    return Kind(INT, _negative(kind.high), _negative(kind.low)) if kind.is_int else INTEGER


def after_comparison(opcode: Opcode, left: Kind, right: Kind) -> tuple[Kind, Kind]:
    """What is known of two integers for which the comparison is true."""
    match opcode:
        case Opcode.LT:
            return left.within(None, _moved(right.high, -1)), right.within(_moved(left.low, 1), None)
        case Opcode.LTE:
            return left.within(None, right.high), right.within(left.low, None)
        case Opcode.GT:
            return left.within(_moved(right.low, 1), None), right.within(None, _moved(left.high, -1))
        case Opcode.GTE:
            return left.within(right.low, None), right.within(None, left.high)
        case Opcode.EQ:
            return left.within(right.low, right.high), right.within(left.low, left.high)
    return left, right


OPPOSITE: Final[Mapping[Opcode, Opcode]] = MappingProxyType(
    {
        Opcode.LT: Opcode.GTE,
        Opcode.GTE: Opcode.LT,
        Opcode.GT: Opcode.LTE,
        Opcode.LTE: Opcode.GT,
        Opcode.EQ: Opcode.NEQ,
        Opcode.NEQ: Opcode.EQ,
    }
)
"""The comparison of integers that is true where another is false."""

_Bounds = tuple[int | None, int | None]


def _moved(bound: int | None, by: int) -> int | None:
    return None if bound is None else bound + by


def _negative(bound: int | None) -> int | None:
    return None if bound is None else -bound


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _add(left: Kind, right: Kind) -> _Bounds:
    return _sum(left.low, right.low), _sum(left.high, right.high)


def _subtract(left: Kind, right: Kind) -> _Bounds:
    return _sum(left.low, _negative(right.high)), _sum(left.high, _negative(right.low))


def _multiply(left: Kind, right: Kind) -> _Bounds:
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return (0 if left.above(0) and right.above(0) else None), None
    corners = [one * other for one in (left.low, left.high) for other in (right.low, right.high)]
    return min(corners), max(corners)


def _divide(left: Kind, right: Kind) -> _Bounds:
    if right.low is None or right.low < 1:
        return None, None
    # The quotient is between the dividend and 0, or -1 where it is rounded down from there.
    return (
        None if left.low is None else min(left.low, 0),
        None if left.high is None else max(left.high, 0),
    )


def _modulo(_: Kind, right: Kind) -> _Bounds:
    if right.low is not None and right.low >= 1:
        return 0, _moved(right.high, -1)
    if right.high is not None and right.high <= -1:
        return _moved(right.low, 1), 0
    return None, None


_BOUNDS: Final[Mapping[Opcode, Callable[[Kind, Kind], _Bounds]]] = MappingProxyType(
    {
        Opcode.ADD: _add,
        Opcode.SUB: _subtract,
        Opcode.MUL: _multiply,
        Opcode.DIV: _divide,
        Opcode.MOD: _modulo,
    }
)
