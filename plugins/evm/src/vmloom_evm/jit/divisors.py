"""Division by numbers that stand in the code: multiplication by their reciprocals, in the width that dividends need.

Exact quotients by an invariant divisor: Granlund and Montgomery, "Division by invariant integers using multiplication",
PLDI 1994, as compilers have it for machine words. Rests of products of words: `rest_of_large_words`, and for primes
just below 2**256 `remainder_below_power`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from vmloom.kernel import U64_MAX, U128_MAX, U256_MAX
from vmloom_native.kinds import Integer
from vmloom_native.wide.divide import remainder_below_power
from vmloom_native.wide.words import rest_of_large_words

from .products import most_left_out, product
from .values import Returned, Value, narrowest, number

if TYPE_CHECKING:
    from .specialise import Specialiser

WORD: Final = 256
LEFT_OUT: Final = 2
"""Words of a product of words that are hardly ever of weight in an estimate."""


class Reciprocal(NamedTuple):
    """`x // divisor` is `x * factor >> shift` for all `x` up to a bound."""

    factor: int
    shift: int


def reciprocal(divisor: int, most: int) -> Reciprocal:
    """With the least factor, for dividends up to `most`. `divisor` is at least 2.

    `factor * divisor` is above `2**shift` by less than `divisor`. What that is too much must stay, times the dividend,
    below `2**shift`: then the quotient of the largest dividend is right, and so are all. Twice the factor errs no
    more than twice as much, so that one shift which is enough has none above it that is not.
    """
    enough = most.bit_length() + divisor.bit_length()
    low, high = 0, enough
    while low < high:
        middle = (low + high) // 2
        if most * (-(1 << middle) % divisor) < 1 << middle:
            high = middle
        else:
            low = middle + 1
    return Reciprocal(-(-(1 << low) // divisor), low)


def divided(by: Specialiser, name: str, x: Value, divisor: int) -> Value:
    """`x // divisor` or `x % divisor`, as `name` says, for an `x` that may have more than 64 bits.

    Many numbers of which nothing is known are small, and the processor's own multiplication is enough for them.
    """
    if x.high < divisor:
        return number(0) if name == "//" else x
    exact = _quotient if name == "//" else _remainder
    most = x.high // divisor if name == "//" else divisor - 1
    width = max(narrowest(most), 64)
    if x.low > U64_MAX or divisor > U64_MAX:
        return replace(exact(by, x, divisor), low=0, high=most)
    limit = by.writer.emit(f"icmp ule i{x.width} {x.text}, {U64_MAX}")

    def small() -> Returned:
        word = Value(by.writer.cast(x, 64), 64, x.low, U64_MAX)
        return Returned(_as(by, by.division(name, word, number(divisor)), width, most))

    def large() -> Returned:
        return Returned(_as(by, exact(by, x, divisor), width, most))

    found = by.two_ways(Value(limit, 1, 0, 1), small, large, {})
    assert found is not None
    result: Value = found.value
    return result


def _as(by: Specialiser, value: Value, width: int, most: int) -> Value:
    """`value` in `width` bits, at most `most`."""
    return Value(by.writer.cast(value, width), width, 0, most)


def _quotient(by: Specialiser, x: Value, divisor: int) -> Value:
    """`x // divisor`."""
    if x.high < divisor:
        return number(0)
    if _is_short(x, divisor):
        estimate = _estimate(by, x, divisor)
        width = max(narrowest(estimate.high + 1), 64)
        return by.operation("+", Integer(width), estimate, _rest_or_less(by, x, divisor, estimate)[1])
    factor, shift = reciprocal(divisor, x.high)
    width = max(narrowest(x.high), 64)
    if factor >> width == 0:
        product = by.operation("*", Integer(2 * width), x, number(factor))
        return by.operation(">>", Integer(2 * width), product, number(shift))
    zeros = (divisor & -divisor).bit_length() - 1
    if zeros:  # a dividend that is shorter has a shorter factor
        return _quotient(by, by.operation(">>", Integer(width), x, number(zeros)), divisor >> zeros)
    # The factor has one bit more, which stands for `x` itself: the sum of both parts is halved before it can overflow.
    kind = Integer(width)
    product = by.operation("*", Integer(2 * width), x, number(factor - (1 << width)))
    part = by.operation(">>", Integer(2 * width), product, number(width))
    half = by.operation(">>", kind, by.operation("-", kind, x, part), number(1))
    return by.operation(">>", kind, by.operation("+", kind, half, part), number(shift - width - 1))


def _remainder(by: Specialiser, x: Value, divisor: int) -> Value:
    """`x % divisor`: what is left has no more bits than the divisor, so no more are looked at."""
    if x.high > U128_MAX:
        folded = _folded(by, x, divisor)
        if folded is not None:
            return _remainder(by, folded, divisor)
    if _is_short(x, divisor):
        return _rest_or_less(by, x, divisor, _estimate(by, x, divisor))[0]
    rest = _rest(by, x, divisor, _quotient(by, x, divisor), max(narrowest(divisor - 1), 64))
    return replace(rest, high=divisor - 1)


def _folded(by: Specialiser, x: Value, divisor: int) -> Value | None:
    """A number of at most 128 bits that leaves the same rest: each word times what its place leaves."""
    places = range(0, x.high.bit_length(), 64)
    if sum(min(x.high >> place, U64_MAX) * ((1 << place) % divisor) for place in places) > U128_MAX:
        return None
    pair = Integer(128)
    total = number(0)
    for place in places:
        moved = by.operation(">>", Integer(x.width), x, number(place))
        word = _as(by, moved, 64, min(moved.high, U64_MAX))
        total = by.operation("+", pair, total, by.operation("*", pair, word, number((1 << place) % divisor)))
    return total


def _rest(by: Specialiser, x: Value, divisor: int, quotient: Value, width: int) -> Value:
    """`x - quotient * divisor` in `width` bits."""
    kind = Integer(width)
    multiple = by.operation("*", kind, _as(by, quotient, width, min(quotient.high, kind.high)), number(divisor))
    rest = by.operation("-", kind, _as(by, x, width, kind.high), _as(by, multiple, width, kind.high))
    return _as(by, rest, width, kind.high)


# Short quotients, which the leading bits of the dividend tell nearly


def _is_short(x: Value, divisor: int) -> bool:
    """Whether the leading bits of `x` that `_estimate` looks at are fewer words than `x` has."""
    return narrowest(x.high >> divisor.bit_length() - 2) < narrowest(x.high)


def _estimate(by: Specialiser, x: Value, divisor: int) -> Value:
    """`x // divisor`, or less by one.

    The quotient is that of the leading bits and of those behind them. Of what is behind comes less than
    `2**behind / divisor`, of the reciprocal and of what is left out of its product no more than
    `(leading + left out) / 2**bits`: where both are 1 together, what is cut off is another 1 at most, and the sum is
    less than 2.
    """
    behind = divisor.bit_length() - 2
    width = max(narrowest(x.high), 64)
    leading = by.operation(">>", Integer(width), x, number(behind))
    wide = 2 * max(narrowest(leading.high), 64)
    least = LEFT_OUT if wide > WORD and by.writer.products else 0

    def is_exact(bits: int, least: int) -> bool:
        return (leading.high + most_left_out(least)) * divisor <= (divisor - (1 << behind)) << bits

    bits = leading.high.bit_length() + 1
    whole = bits - bits % 64  # whole words need no shift
    ways = [(whole, least), (bits, least), (whole, 0), (bits, 0)]
    bits, least = next(way for way in ways if way == (bits, 0) or is_exact(*way))
    factor = number((1 << behind + bits) // divisor)
    if least:
        by.writer.products -= 1
        multiple = Value(product(by.writer, leading, factor, wide, least=least), wide, 0, leading.high * factor.low)
    else:
        multiple = by.operation("*", Integer(wide), leading, factor)
    return by.operation(">>", Integer(wide), multiple, number(bits))


def _rest_or_less(by: Specialiser, x: Value, divisor: int, estimate: Value) -> tuple[Value, Value]:
    """`x % divisor`, and whether the estimate of the quotient was less by one."""
    width = max(narrowest(x.high), 64)
    rest = _rest(by, x, divisor, estimate, width)
    both = f"{{i{width}, i1}}"
    name = f"llvm.usub.with.overflow.i{width}"
    taken = by.writer.intrinsic(both, name, f"i{width} {rest.text}", f"i{width} {divisor}")
    less, borrows = (by.writer.emit(f"extractvalue {both} {taken}, {place}") for place in (0, 1))
    text = by.writer.emit(f"select i1 {borrows}, i{width} {rest.text}, i{width} {less}")
    exact = by.writer.fitted(Value(text, width, 0, divisor - 1))
    return exact, by.negation(Value(borrows, 1, 0, 1))


# What is wider than a word: sums and products


def remainder_of_wide(by: Specialiser, x: Value, divisor: int) -> Value:
    """`x % divisor` of a sum or product of words. Control leaves where operands were not reduced before."""
    if divisor & (divisor - 1) == 0:
        return by.division("%", x, number(divisor))
    if x.high <= U256_MAX:
        return divided(by, "%", by.writer.fitted(x), divisor)
    wide, word = Integer(2 * WORD), Integer(WORD)
    low = _as(by, x, WORD, U256_MAX)
    if x.high >> WORD <= 1:
        return _remainder_of_sum(by, x, low, divisor)
    high = by.operation(">>", wide, x, number(WORD))
    if divisor > U256_MAX - U64_MAX:
        return replace(by.kernel_of(remainder_below_power, high, low, number(divisor, WORD)), high=divisor - 1)
    bits = divisor.bit_length()
    if bits < WORD and x.high >> bits - 2 <= U256_MAX:  # factors that were reduced: twice the divisor fits a word, too
        return _rest_or_less(by, low, divisor, _estimate(by, x, divisor))[0]
    if high.high >= divisor:
        by.leave_unless(by.writer.emit(f"icmp ult i{high.width} {high.text}, {divisor}"))
    zeros = WORD - bits
    normalised = divisor << zeros
    inverse = ((1 << 2 * WORD) - 1) // normalised - (1 << WORD)
    shifted = by.operation("<<", wide, replace(x, high=(divisor << WORD) - 1), number(zeros))
    high, low = by.operation(">>", wide, shifted, number(WORD)), _as(by, shifted, WORD, U256_MAX)
    rest = by.kernel_of(rest_of_large_words, high, low, number(normalised, WORD), number(inverse, WORD))
    return by.operation(">>", word, replace(rest, high=normalised - 1), number(zeros))


def _remainder_of_sum(by: Specialiser, x: Value, low: Value, divisor: int) -> Value:
    """Of a sum of two words that are below the divisor, as they mostly are: it is taken away once, or not at all."""
    writer = by.writer
    if x.high >= 2 * divisor:
        by.leave_unless(writer.emit(f"icmp ult i{x.width} {x.text}, {2 * divisor}"))
    taken = writer.intrinsic(
        f"{{i{WORD}, i1}}", f"llvm.usub.with.overflow.i{WORD}", f"i{WORD} {low.text}", f"i{WORD} {divisor}"
    )
    rest, borrows = (writer.emit(f"extractvalue {{i{WORD}, i1}} {taken}, {place}") for place in (0, 1))
    carry = writer.cast(by.operation(">>", Integer(x.width), x, number(WORD)), 1)
    is_above = writer.emit(f"select i1 {borrows}, i1 {carry}, i1 true")
    return Value(writer.emit(f"select i1 {is_above}, i{WORD} {rest}, i{WORD} {low.text}"), WORD, 0, divisor - 1)
