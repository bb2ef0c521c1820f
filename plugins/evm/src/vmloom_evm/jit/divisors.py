"""Division by numbers that stand in the code: multiplication by their reciprocals, in the width that dividends need.

Exact quotients by an invariant divisor: Granlund and Montgomery, "Division by invariant integers using multiplication",
PLDI 1994, as compilers have it for machine words. Rests of products of words: `rest_of_large_words`, and for primes
just below 2**256 `folded_below_power`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from vmloom.kernel import U32_MAX, U64_MAX, U128_MAX, U256_MAX
from vmloom_native.kinds import Integer
from vmloom_native.wide.divide import folded_below_power
from vmloom_native.wide.words import rest_of_large_words

from .products import most_left_out, product
from .values import Returned, Value, narrowest, number

if TYPE_CHECKING:
    from .specialise import Specialiser

WORD: Final = 256
MOST_LEADING: Final = 5
"""Words of a dividend that a quotient is estimated by."""
MORE_BITS: Final = 8
"""A factor may have less than so many bits more than it needs, so that more may be left out of the product."""
PRODUCT_COST: Final = 7
"""Of a product of two words and the sums that it goes into, in quarters of a cycle."""
SHIFT_COST: Final = 3
"""Of a word of what is shifted by a known count."""
MOST_LISTED: Final = 16
"""Multiples of a divisor in a table."""
KEPT: Final = 256
"""Ways to divide that are remembered."""


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
    if x.high <= U64_MAX:
        return by.division(name, x, number(divisor))
    exact = _quotient if name == "//" else _remainder
    most = x.high // divisor if name == "//" else divisor - 1
    width = max(narrowest(most), 64)
    rest = (x.bare, divisor) if name == "%" else None
    if x.low > U64_MAX or divisor > U64_MAX:
        return replace(exact(by, x, divisor), low=0, high=most, rest=rest)
    base, times = x.multiple if x.multiple is not None and x.multiple[1] <= U32_MAX else (x, 1)
    room = 64 - (times - 1).bit_length()
    limit = by.writer.is_below_power(base, room)

    def small() -> Returned:
        word = Value(by.writer.cast(base, 64), 64, 0, min(base.high, (1 << room) - 1))
        word = by.operation("*", Integer(64), word, number(times))
        return Returned(_as(by, by.division(name, word, number(divisor)), width, most))

    def large() -> Returned:
        return Returned(_as(by, exact(by, x, divisor), width, most))

    found = by.two_ways(Value(limit, 1, 0, 1), small, large, {})
    assert found is not None
    result: Value = found.value
    return replace(result, rest=rest)


def _as(by: Specialiser, value: Value, width: int, most: int) -> Value:
    """`value` in `width` bits, at most `most`."""
    return Value(by.writer.cast(value, width), width, 0, most)


def _quotient(by: Specialiser, x: Value, divisor: int) -> Value:
    """`x // divisor`."""
    if x.high < divisor:
        return number(0)
    if _is_short(x, divisor):
        estimate, most_left = _estimate(by, x, divisor)
        width = max(narrowest(estimate.high + 1), 64)
        return by.operation("+", Integer(width), estimate, _rest_or_less(by, x, divisor, estimate, most_left)[1])
    base, times = x.multiple or (x, 1)
    aligned = _aligned(by, base, times, divisor)
    if aligned is not None:
        return aligned
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


class Aligned(NamedTuple):
    """`x * times // divisor` is `x * factor + plus >> shift`, without products of words below `least`."""

    shift: int
    factor: int
    least: int


def _aligned(by: Specialiser, x: Value, times: int, divisor: int) -> Value | None:
    """`x * times // divisor` by a product in which the quotient begins with a word, so that nothing is shifted.

    None where there is no such product, or none is to be written out any more.
    """
    way = aligning(x.high, times, divisor) if by.writer.products else None
    if way is None:
        return None
    by.writer.products -= 1
    width = 64 * (_words(x.high) + _words(way.factor))
    text = product(by.writer, x, number(way.factor), width, least=way.least, plus=cover(way.least))
    return _in_words(by, by.writer.emit(f"lshr i{width} {text}, {way.shift}"), width, x.high * times // divisor)


@lru_cache(KEPT)
def aligning(most: int, times: int, divisor: int) -> Aligned | None:
    """The way with the fewest products of words that is exact for all `x` up to `most`.

    The factor is `times / divisor` in units of `2**-shift`, rounded up, and for what is left out of the product at
    least as much is added. A quotient that is not whole lacks a `divisor`-th of the next number at least: what the
    product is too much has to be less than that.
    """
    ways = []
    for shift in range(WORD // 2, 2 * WORD, 64):
        factor = -(-(times << shift) // divisor)
        error = most * (factor * divisor - (times << shift))
        sizes = _words(most), _words(factor)
        for least in range(sum(sizes) - 1):
            plus = cover(least)
            if error + plus * divisor < 1 << shift and plus.bit_length() < 64 * max(sizes):
                ways.append((_count(*sizes, least), Aligned(shift, factor, least)))
    return min(ways)[1] if ways else None


def _words(most: int) -> int:
    """Words of integers up to `most`."""
    return max(1, -(-most.bit_length() // 64))


def cover(least: int) -> int:
    """At least what is left out of a product below word `least`, in one word."""
    return 2 * least + 2 << 64 * (least + 1) if least else 0


def _count(rows: int, columns: int, least: int) -> int:
    """Products of words that stand at word `least` or above."""
    return sum(1 for row in range(rows) for column in range(columns) if row + column >= least)


def _remainder(by: Specialiser, x: Value, divisor: int) -> Value:
    """`x % divisor`: what is left has no more bits than the divisor, so no more are looked at."""
    if x.high < 2 * divisor:
        return _less_once(by, x, divisor)[0]
    if x.high < 3 * divisor:
        return _less_twice(by, x, divisor)
    bits = divisor.bit_length()
    if divisor > U128_MAX and x.high >> bits - 1 < MOST_LISTED:
        return _less_once(by, _less_multiple(by, x, divisor), divisor)[0]
    below = (1 << bits) - divisor
    most = (1 << bits) - 1 + (x.high >> bits) * below
    if below <= U64_MAX < divisor and most < 2 * divisor:  # a few below a power of two, which leaves that few
        kind = Integer(x.width)
        high, low = by.operation(">>", kind, x, number(bits)), by.operation("&", kind, x, number((1 << bits) - 1))
        total = by.operation("+", kind, by.operation("*", kind, high, number(below)), low)
        return _less_once(by, replace(total, high=most), divisor)[0]
    if x.high > U128_MAX:
        folded = _folded(by, x, divisor)
        if folded is not None:
            return _remainder(by, folded, divisor)
    if _is_short(x, divisor):
        return _rest_or_less(by, x, divisor, *_estimate(by, x, divisor))[0]
    rest = _rest(by, x, divisor, _quotient(by, x, divisor), max(narrowest(divisor - 1), 64))
    return replace(rest, high=divisor - 1)


def _less_multiple(by: Specialiser, x: Value, divisor: int) -> Value:
    """A number below twice the divisor that leaves the same rest: the leading bits tell in a table what to take away.

    As many bits stand behind them as the divisor has without its highest.
    """
    behind = divisor.bit_length() - 1
    leading = by.operation(">>", Integer(WORD), x, number(behind))
    multiples = [(it << behind) // divisor * divisor for it in range((x.high >> behind) + 1)]
    multiple = by.writer.listed(f"multiples{len(multiples)}.{divisor:x}", multiples, by.writer.cast(leading, 64))
    text = by.writer.emit(f"sub nuw i{WORD} {by.writer.cast(x, WORD)}, {multiple}")
    return Value(text, WORD, 0, divisor - 1 + (1 << behind))


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


class Estimating(NamedTuple):
    """How a quotient is estimated: `(x >> behind) * factor >> shift`, without products of words below `least`.

    What is left is at most `most_left`.
    """

    behind: int
    shift: int
    least: int
    most_left: int


def _estimate(by: Specialiser, x: Value, divisor: int) -> tuple[Value, int]:
    """`x // divisor`, or less by one, and what is left then at most."""
    is_written = by.writer.products > 0 and x.high >> divisor.bit_length() - 2 > U128_MAX
    way = estimating(x.high, divisor, is_written=is_written)
    assert way is not None
    leading = by.operation(">>", Integer(max(narrowest(x.high), 64)), x, number(way.behind))
    factor = number((1 << way.behind + way.shift) // divisor)
    if not is_written:
        wide = Integer(2 * max(narrowest(leading.high), 64))
        return by.operation(">>", wide, by.operation("*", wide, leading, factor), number(way.shift)), way.most_left
    by.writer.products -= 1
    width = 64 * (_words(leading.high) + _words(factor.low))
    text = product(by.writer, leading, factor, width, least=way.least)
    estimate = by.writer.emit(f"lshr i{width} {text}, {way.shift}")
    return _in_words(by, estimate, width, x.high // divisor), way.most_left


@lru_cache(KEPT)
def estimating(most: int, divisor: int, *, is_written: bool) -> Estimating | None:
    """The way with the fewest instructions that gives the quotient or less by one, of dividends up to `most`.

    What is missing of the quotient before it is cut off must be 1 at most. It is less than the sum of what is cut off
    from the dividend, what the factor lacks, and what is left out; `missing` is that times the divisor. Shifts are
    spared where all of them are of words.
    """
    bits = divisor.bit_length()
    ways = []
    for behind in (bits - 2, (bits - 2) // 64 * 64)[: 1 + is_written]:
        leading = most >> behind
        if _words(leading) > MOST_LEADING:
            continue
        enough = leading.bit_length() + 1
        shifts = {enough, enough // 64 * 64}
        if is_written:
            shifts |= {*range(enough, enough + MORE_BITS), -(-enough // 64) * 64}
        for shift in shifts:
            factor, lacks = divmod(1 << behind + shift, divisor)
            sizes = _words(leading), _words(factor)
            for least in range(sum(sizes) - 1 if is_written else 1):
                missing = -(-((1 << behind + shift) + leading * lacks + most_left_out(least) * divisor) >> shift)
                if missing <= divisor:
                    shifted = (behind % 64 > 0) * sizes[0] + (shift % 64 > 0) * _words(most // divisor)
                    cost = PRODUCT_COST * _count(*sizes, least) + SHIFT_COST * shifted
                    way = Estimating(behind, shift, least, divisor - 1 + missing)
                    ways.append((cost, way))
    return min(ways)[1] if ways else None


def _rest_or_less(by: Specialiser, x: Value, divisor: int, estimate: Value, most_left: int) -> tuple[Value, Value]:
    """`x % divisor`, and whether the estimate of the quotient was less by one."""
    width = max(narrowest(x.high), 64)
    rest = _rest(by, x, divisor, estimate, width)
    return _less_once(by, replace(rest, high=min(rest.high, most_left)), divisor)


def _less_once(by: Specialiser, rest: Value, divisor: int) -> tuple[Value, Value]:
    """`rest % divisor` of what is less than twice the divisor, and whether it was the divisor or more."""
    width = 64 * _words(max(rest.high, divisor))
    given = by.writer.cast(rest, width)
    less, borrows = _taken_away(by, given, width, divisor)
    text = by.writer.emit(f"select i1 {borrows}, i{width} {given}, i{width} {less}")
    return _in_words(by, text, width, divisor - 1), by.negation(Value(borrows, 1, 0, 1))


def _less_twice(by: Specialiser, rest: Value, divisor: int) -> Value:
    """`rest % divisor` of what is less than three times the divisor: once and twice are taken away side by side."""
    width = 64 * _words(max(rest.high, 2 * divisor))
    given = by.writer.cast(rest, width)
    text = given
    for multiple in (divisor, 2 * divisor):
        less, borrows = _taken_away(by, given, width, multiple)
        text = by.writer.emit(f"select i1 {borrows}, i{width} {text}, i{width} {less}")
    return _in_words(by, text, width, divisor - 1)


def _taken_away(by: Specialiser, text: str, width: int, multiple: int) -> tuple[str, str]:
    """What is left of an integer, and whether that is below 0."""
    both = f"{{i{width}, i1}}"
    name = f"llvm.usub.with.overflow.i{width}"
    taken = by.writer.intrinsic(both, name, f"i{width} {text}", f"i{width} {multiple}")
    return by.writer.emit(f"extractvalue {both} {taken}, 0"), by.writer.emit(f"extractvalue {both} {taken}, 1")


def _in_words(by: Specialiser, text: str, width: int, most: int) -> Value:
    """An integer up to `most` that was computed in any width, in the one that values have."""
    fitted = max(narrowest(most), 64)
    if width != fitted:
        text = by.writer.emit(f"{'trunc' if fitted < width else 'zext'} i{width} {text} to i{fitted}")
    return Value(text, fitted, 0, most)


# What is wider than a word: sums and products


def unreduced(by: Specialiser, name: str, left: Value, right: Value, divisor: int) -> tuple[Value, Value]:
    """Operands whose sum or product leaves the same rest, and which need not be waited for as long."""
    if divisor <= U64_MAX:
        return left, right
    one, other = (it.rest[0] if it.rest is not None and it.rest[1] == divisor else it for it in (left, right))
    if name == "+":
        is_good = one.high + other.high < min(3 * divisor, 1 << WORD)
    else:  # written out, and so is the estimate
        is_good = by.writer.products > 1 and _leaves_one_word(by, one.high * other.high, divisor)
    return (one, other) if is_good else (left, right)


def _leaves_one_word(by: Specialiser, most: int, divisor: int) -> bool:
    """Whether the quotient of a product up to `most` can be estimated such that what is left has 256 bits."""
    is_written = by.writer.products > 0
    if not is_written and most >> divisor.bit_length() - 2 > U256_MAX:
        return False
    return divisor.bit_length() < WORD and estimating(most, divisor, is_written=is_written) is not None


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
        return _remainder_below_power(by, high, low, divisor)
    bits = divisor.bit_length()
    if _leaves_one_word(by, x.high, divisor):
        estimate, most_left = _estimate(by, x, divisor)
        rest = replace(_rest(by, low, divisor, estimate, WORD), high=most_left)
        return replace(_less_once(by, rest, divisor)[0], rest=(rest, divisor))
    if high.high >= divisor:
        by.leave_unless(by.writer.emit(f"icmp ult i{high.width} {high.text}, {divisor}"))
    zeros = WORD - bits
    normalised = divisor << zeros
    inverse = ((1 << 2 * WORD) - 1) // normalised - (1 << WORD)
    shifted = by.operation("<<", wide, replace(x, high=(divisor << WORD) - 1), number(zeros))
    high, low = by.operation(">>", wide, shifted, number(WORD)), _as(by, shifted, WORD, U256_MAX)
    rest = by.kernel_of(rest_of_large_words, high, low, number(normalised, WORD), number(inverse, WORD))
    return by.operation(">>", word, replace(rest, high=normalised - 1), number(zeros))


def _remainder_below_power(by: Specialiser, high: Value, low: Value, divisor: int) -> Value:
    """`remainder_below_power` of a known divisor. Carries are asked for: LLVM would compare all words once more."""
    writer = by.writer
    less = (1 << WORD) - divisor
    twice = by.kernel_of(folded_below_power, high, low, number(less))
    given = writer.cast(twice, WORD)
    both = f"{{i{WORD}, i1}}"
    added = writer.intrinsic(both, f"llvm.uadd.with.overflow.i{WORD}", f"i{WORD} {given}", f"i{WORD} {less}")
    rest, carries = (writer.emit(f"extractvalue {both} {added}, {place}") for place in (0, 1))
    carry = writer.emit(f"zext i1 {carries} to i64")
    above = writer.cast(by.operation(">>", Integer(2 * WORD), twice, number(WORD)), 64)
    is_above = writer.emit(f"icmp ne i64 {writer.emit(f'or i64 {above}, {carry}')}, 0")
    return Value(writer.emit(f"select i1 {is_above}, i{WORD} {rest}, i{WORD} {given}"), WORD, 0, divisor - 1)


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
