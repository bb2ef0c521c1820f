"""The operators on typed expressions: which type they work in, what they may be given, what range comes out.

Errors are `Refused`, which the front end turns into a `KernelError` with file and line.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from .kinds import BOOL, I64, U64, U128, U256, UNSIGNED, Integer, Kind, Pointer
from .ranges import RANGES
from .tree import Choice, Comparison, Constant, Conversion, Expression, Operation

FOLDS: dict[str, Callable[[Any, Any], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""Python's operators by the names that the tree uses."""

CLOSED = frozenset({"//", "%", ">>"})
"""Operators that need exact operands: they look at bits which wrapping has lost."""

SIGNED = frozenset({"+", "-", "*", "//", ">>"})
FOLDED_SHIFT_LIMIT = 4096

CallKernel: TypeAlias = Callable[[str, Expression, Expression], Expression]
"""Call the kernel of that name in `vmloom_native.wide.divide`."""


class Refused(Exception):
    """The kernel language's rule that an expression breaks."""


def settle(value: Expression) -> Expression:
    """`value` as an exact member of its type. Wider than 64 bits that must be certain; else the author promises it."""
    kind = value.kind
    if not isinstance(kind, Integer) or kind.holds(value.low, value.high):
        return value
    if isinstance(value, Constant):
        return value if value.literal else _refuse(f"constant {value.value} does not fit {kind}")
    if kind.bits > 64:
        raise Refused(f"a result that may leave {kind} is masked or cast where it is computed")
    if value.high <= 0 and not kind.signed:
        raise Refused(f"a result below 0 is masked or cast where it is computed: it leaves {kind}")
    low, high = max(value.low, kind.low), min(value.high, kind.high)
    return replace(value, low=low, high=high) if low <= high else replace(value, low=kind.low, high=kind.high)


def may_leave(value: Expression) -> bool:
    """Whether the exact integer can lie outside its type."""
    return isinstance(value.kind, Integer) and not value.kind.holds(value.low, value.high)


def _widen(value: Expression, kind: Integer) -> Expression:
    """`value` before it becomes a wider `kind`: below 64 bits it is more likely a mistake than a promise."""
    own = value.kind
    if isinstance(own, Integer) and own.bits < kind.bits and own.bits < 64 and not own.holds(value.low, value.high):
        raise Refused(f"a result that may leave {own} becomes {kind}: cast an operand to {kind} first")
    return settle(value)


def _refuse(rule: str) -> Expression:
    raise Refused(rule)


def convert(value: Expression, kind: Kind) -> Expression:
    """`value` where a `kind` is needed. Its range must fit; only a u64 that becomes an i64 is a promise."""
    if value.kind == kind and not (isinstance(value, Constant) and value.literal):
        return settle(value)
    if not isinstance(kind, Integer) or not isinstance(value.kind, Integer):
        raise Refused(f"`{value.kind}` stands where `{kind}` is needed")
    if kind == BOOL:
        raise Refused("an integer stands where `bool` is needed: compare it with something")
    value = _widen(value, kind)
    if isinstance(value, Constant):
        if not kind.holds(value.value, value.value):
            raise Refused(f"constant {value.value} does not fit {kind}")
        return Constant(kind, value.low, value.high, value.line, literal=False)
    low, high = value.low, value.high
    if not kind.holds(low, high):
        if not (kind == I64 and value.kind == U64):
            raise Refused(f"{value.kind} becomes {kind} without a cast")
        high = kind.high
    return Conversion(kind, low, high, value.line, value)


def cast(value: Expression, kind: Integer) -> Expression:
    """`kind(value)`: as many of its low bits as fit. CPython's `i64(x)` cuts nothing off, so nothing may be lost."""
    if not isinstance(value.kind, Integer):
        raise Refused(f"`{value.kind}` cannot be cast to {kind}")
    if isinstance(value, Constant):
        if kind.signed:
            return convert(Constant(kind, value.low, value.high, value.line, literal=True), kind)
        number = value.value & kind.high
        return Constant(kind, number, number, value.line, literal=False)
    if value.kind.bits < kind.bits or (kind.signed and value.kind.bits > kind.bits):
        value = _widen(value, kind)
    assert isinstance(value.kind, Integer)
    if kind.signed and value.kind.bits > kind.bits and not kind.holds(value.low, value.high):
        raise Refused(f"{value.kind} becomes {kind} without a mask")
    if value.kind.holds(value.low, value.high) and kind.holds(value.low, value.high):
        return value if value.kind == kind else Conversion(kind, value.low, value.high, value.line, value)
    return Conversion(kind, kind.low, kind.high, value.line, value)


def join(a: Expression, b: Expression) -> Integer:
    """The type in which two operands meet: the wider one. A literal takes the other's, or the next that holds it."""
    kinds = []
    for it in (a, b):
        if not isinstance(it.kind, Integer):
            raise Refused(f"`{it.kind}` is not an integer")
        if not (isinstance(it, Constant) and it.literal):
            kinds.append(U64 if it.kind == BOOL else it.kind)
    if len(kinds) == 2 and kinds[0].signed != kinds[1].signed:
        unsigned = kinds[kinds[0].signed]
        if unsigned.bits > 64:
            raise Refused(f"i64 and {unsigned} meet: cast one of them")
        return I64
    kind = max(kinds, key=lambda it: it.bits)
    for it in (a, b):
        if isinstance(it, Constant) and it.literal and not kind.holds(it.value, it.value):
            kind = smallest_holding(it.value, it.value, kind)
    return kind


def smallest_holding(low: int, high: int, at_least: Integer) -> Integer:
    """The narrowest type, no narrower than `at_least`, for integers in `low` .. `high`."""
    for kind in (at_least, *UNSIGNED.values()):
        if kind.bits >= at_least.bits and kind.holds(low, high):
            return kind
    raise Refused(f"constant {high if low >= 0 else low} does not fit {at_least}")


def binary(name: str, a: Expression, b: Expression, line: int, call: CallKernel) -> Expression:
    """`a <operator> b`, of integers."""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return fold(name, a, b, line)
    boolean = a.kind == b.kind == BOOL and name in "&|^"
    kind = BOOL if boolean else join(a, b)
    if kind.signed and name not in SIGNED:
        raise Refused(f"`{name}` does not work on i64: cast it")
    if name == "&":
        for value, mask in ((a, b), (b, a)):
            wider = isinstance(mask, Constant) and isinstance(value.kind, Integer) and mask.value > value.kind.high
            if wider and may_leave(value):
                raise Refused(f"the mask is wider than {value.kind}, which the result may leave: cast an operand")
    left = _operand(a, kind, name in CLOSED)
    right = _operand(b, kind, name in CLOSED or name == "<<")
    if name in ("//", "%"):
        return _division(name, left, right, kind, line, call)
    if kind.signed and name == ">>" and not (isinstance(right, Constant) and right.value >= 0):
        raise Refused("i64 is shifted by constants only")
    low, high = RANGES[name]((left.low, left.high), (right.low, right.high))
    return Operation(kind, low, high, line, name, left, right)


def _operand(value: Expression, kind: Integer, exact: bool) -> Expression:
    literal = isinstance(value, Constant) and value.literal
    return value if value.kind == kind and not exact and not literal else convert(value, kind)


def fold(name: str, a: Constant, b: Constant, line: int) -> Constant:
    """An operator on two constants."""
    if name in ("//", "%") and b.value == 0:
        raise Refused("division by zero")
    if name in ("<<", ">>") and not 0 <= b.value <= FOLDED_SHIFT_LIMIT:
        raise Refused(f"shift by {b.value}")
    value = FOLDS[name](a.value, b.value)
    if a.kind == b.kind == BOOL and name in "&|^":
        return Constant(BOOL, value, value, line, literal=False)
    literal = a.literal and b.literal
    return Constant(U64 if literal else join(a, b), value, value, line, literal)


def counted(now: Expression, step: int, stop: Expression, kind: Integer, line: int) -> Expression:
    """A loop's counter after `now`, which is below `stop`: `now + step`, or `stop` if that could leave the type."""
    again = Operation(kind, kind.low, kind.high, line, "+", now, Constant(kind, step, step, line, literal=False))
    if kind.holds(now.low, now.high + step):
        return again
    if step > kind.high:
        return stop
    unsigned = Integer(kind.bits)
    rest = Operation(unsigned, 0, unsigned.high, line, "-", narrowed(stop, unsigned), narrowed(now, unsigned))
    enough = Constant(unsigned, step, step, line, literal=False)
    return Choice(kind, kind.low, kind.high, line, Comparison(BOOL, 0, 1, line, ">", rest, enough), again, stop)


# Division


def _division(name: str, a: Expression, b: Expression, kind: Integer, line: int, call: CallKernel) -> Expression:
    """Shifts and masks for powers of two; the machine's instruction up to 64 bits; kernels above."""
    low, high = RANGES[name]((a.low, a.high), (b.low, b.high)) if b.low >= 0 else (kind.low, kind.high)
    if isinstance(b, Constant):
        if b.value == 0:
            raise Refused("division by zero")
        if b.value > 0 and b.value & (b.value - 1) == 0:
            other = ("&", b.value - 1) if name == "%" else (">>", b.value.bit_length() - 1)
            if not (kind.signed and name == "%"):
                operand = Constant(kind, other[1], other[1], line, literal=False)
                return Operation(kind, low, high, line, other[0], a, operand)
    if kind.signed:
        raise Refused("i64 is divided, with `//`, by constant powers of two only")
    bits = max(a.high, b.high).bit_length()
    if kind.bits <= 64:
        return Operation(kind, low, high, line, name, a, b)
    if bits <= 64:
        result: Expression = Operation(U64, low, high, line, name, narrowed(a, U64), narrowed(b, U64))
    elif bits <= 256:
        width = U128 if bits <= 128 else U256
        verb = "divide" if name == "//" else "remainder"
        result = call(f"{verb}_u{width.bits}", narrowed(a, width), narrowed(b, width))
    elif name == "//":
        result = call("divide_u512", a, b)
    elif b.high <= U256.high:
        result = call("remainder_u512", a, narrowed(b, U256))
    else:
        result = call("remainder_u512_wide_divisor", a, b)
    return narrowed(replace(result, low=low, high=high), kind)


def narrowed(value: Expression, kind: Integer) -> Expression:
    """`value`, known to be in range, as a `kind`."""
    return value if value.kind == kind else Conversion(kind, value.low, value.high, value.line, value)


# Comparisons and truth


def compare(name: str, a: Expression, b: Expression, line: int) -> Expression:
    """Comparisons are exact whatever the types. Pointers compare by address."""
    if isinstance(a, Constant) and isinstance(b, Constant):
        value = int(FOLDS[name](a.value, b.value))
        return Constant(BOOL, value, value, line, literal=False)
    if isinstance(a.kind, Pointer) and a.kind == b.kind:
        if name not in ("==", "!="):
            raise Refused(f"`{name}` does not work on pointers: compare what `address_of` gives")
        return Comparison(BOOL, 0, 1, line, name, a, b)
    if a.kind == b.kind == BOOL:
        return Comparison(BOOL, 0, 1, line, name, a, b)
    for it, bound, way in ((a, b, name), (b, a, _MIRRORED[name])):
        if isinstance(bound, Constant) and decided(way, it, bound.value):
            raise Refused(f"`{name}` has one answer for each {it.kind}, which the result may leave: cast an operand")
    a, b = settle(a), settle(b)
    kind = _common(a, b)
    return Comparison(BOOL, 0, 1, line, name, narrowed_or_literal(a, kind), narrowed_or_literal(b, kind))


_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def decided(name: str, value: Expression, other: int) -> bool:
    """Whether `value`, which may leave its type, has one answer inside the type, as `x + y > U64_MAX` has."""
    kind = value.kind
    if not isinstance(kind, Integer) or kind.bits > 64 or not may_leave(value):
        return False
    if name in ("==", "!="):
        return not kind.holds(other, other)
    return FOLDS[name](kind.low, other) == FOLDS[name](kind.high, other)


def _common(a: Expression, b: Expression) -> Integer:
    """A type that holds whatever either operand may be: a signed one, wide enough, where signs differ."""
    typed = [it for it in (a, b) if not (isinstance(it, Constant) and it.literal)]
    kinds = [it.kind for it in typed if isinstance(it.kind, Integer)]
    if kinds == [I64] and len(typed) == 1:  # a literal may be beyond it, where only an unsigned type would hold it
        bits = max(it.high.bit_length() + 1 for it in (a, b))
        return Integer(-(-bits // 64) * 64, signed=True)
    if len(kinds) == 2 and kinds[0].signed != kinds[1].signed:
        unsigned = typed[kinds[0].signed]
        return I64 if unsigned.high <= I64.high else Integer(kinds[kinds[0].signed].bits + 64, signed=True)
    return join(a, b)


def narrowed_or_literal(value: Expression, kind: Integer) -> Expression:
    """`value` in a type that was chosen to hold it."""
    if isinstance(value, Constant):
        return Constant(kind, value.low, value.high, value.line, literal=False)
    return narrowed(value, kind)


def truth(value: Expression) -> Expression:
    """`value` as a condition: an integer is true if it is not 0."""
    if value.kind == BOOL:
        return value
    if not isinstance(value.kind, Integer):
        raise Refused(f"`{value.kind}` is no condition")
    if isinstance(value, Constant):
        return Constant(BOOL, int(value.value != 0), int(value.value != 0), value.line, literal=False)
    zero = Constant(value.kind, 0, 0, value.line, literal=False)
    return Comparison(BOOL, 0, 1, value.line, "!=", settle(value), zero)


def choose(test: Expression, a: Expression, b: Expression, line: int) -> Expression:
    """`a if test else b`, with a test that is not constant."""
    literals = [it.value for it in (a, b) if isinstance(it, Constant) and it.literal]
    kind: Kind
    if len(literals) == 2:
        low, high = min(literals), max(literals)
        kind = smallest_holding(low, high, I64 if low < 0 else U64)
    elif a.kind == b.kind:
        kind = a.kind if not literals else join(a, b)
    else:
        kind = join(a, b)
    a, b = convert(a, kind), convert(b, kind)
    return Choice(kind, min(a.low, b.low), max(a.high, b.high), line, test, a, b)
