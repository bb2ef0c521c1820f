"""Interval arithmetic on Python's exact integers: what a result can be, given what its operands can be.

A range that lies outside an operation's type means that the machine's result may differ from Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]
"""The least and the greatest value."""

SHIFT_LIMIT = 1024
"""Shifts by more than this are not told apart: every type is narrower."""


def add(a: Range, b: Range) -> Range:
    """x + y"""
    return a[0] + b[0], a[1] + b[1]


def subtract(a: Range, b: Range) -> Range:
    """x - y"""
    return a[0] - b[1], a[1] - b[0]


def multiply(a: Range, b: Range) -> Range:
    """x * y"""
    corners = (a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
    return min(corners), max(corners)


def shift_left(a: Range, b: Range) -> Range:
    """x << y, with y from 0"""
    least, most = min(b[0], SHIFT_LIMIT), min(b[1], SHIFT_LIMIT)
    return min(a[0] << least, a[0] << most), max(a[1] << least, a[1] << most)


def shift_right(a: Range, b: Range) -> Range:
    """x >> y, with y from 0"""
    least, most = min(b[0], SHIFT_LIMIT), min(b[1], SHIFT_LIMIT)
    return min(a[0] >> least, a[0] >> most), max(a[1] >> least, a[1] >> most)


def divide(a: Range, b: Range) -> Range:
    """x // y, with y from 0; 0 where y is 0"""
    least, most = max(b[0], 1), max(b[1], 1)
    corners = (a[0] // least, a[0] // most, a[1] // least, a[1] // most)
    return (min(corners), max(corners)) if b[0] > 0 else (min(0, *corners), max(0, *corners))


def remainder(a: Range, b: Range) -> Range:
    """x % y, with y from 0; 0 where y is 0"""
    highest = max(b[1] - 1, 0)
    return 0, min(a[1], highest) if a[0] >= 0 else highest


def both(a: Range, b: Range) -> Range:
    """x & y"""
    positive = [high for low, high in (a, b) if low >= 0]
    return (0, min(positive)) if positive else (-_power(a, b), _power(a, b) - 1)


def either(a: Range, b: Range) -> Range:
    """x | y"""
    positive = a[0] >= 0 and b[0] >= 0
    return (max(a[0], b[0]) if positive else -_power(a, b)), _power(a, b) - 1


def differing(a: Range, b: Range) -> Range:
    """x ^ y"""
    return (0 if a[0] >= 0 and b[0] >= 0 else -_power(a, b)), _power(a, b) - 1


def _power(a: Range, b: Range) -> int:
    """A power of two above every value."""
    return 1 << max(*(it.bit_length() for it in a), *(it.bit_length() for it in b))


RANGES: dict[str, Callable[[Range, Range], Range]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "<<": shift_left,
    ">>": shift_right,
    "//": divide,
    "%": remainder,
    "&": both,
    "|": either,
    "^": differing,
}
