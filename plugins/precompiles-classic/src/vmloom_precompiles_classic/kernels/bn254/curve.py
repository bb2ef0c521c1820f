"""The group G1 of BN254: y^2 = x^3 + 3 over Fp. It has a prime order, so all points but infinity are alike."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U256_MAX, U512_MAX, Ptr, inline, local, outline, struct, u16, u64, u128, u256, u512

from ..field256 import DIGITS, NEGATIVE, signed_digits, square
from .field import ORDER, PP, R, X, add, half, invert, mul, neg, number, reduce, sqr, sub, times

B: Final = number(3)


@outline
def on_curve(x: u256, y: u256) -> bool:
    """Whether (x, y) is a point of G1."""
    return times(y, y) == add(times(times(x, x), x), B)


@struct
class Point:
    """The point (x / z^2, y / z^3), or the point at infinity if z is 0."""

    x: u256
    y: u256
    z: u256


@outline
def double(p: Point) -> None:
    """Add `p` to itself."""
    x = p.x
    y = p.y
    s = sqr(y)
    minus_xs = (PP - u512(x) * s) & U512_MAX
    slope = half(reduce((square(x) * 3) & U512_MAX))
    slope_2 = square(slope)
    p.z = mul(y, p.z)
    p.x = reduce((slope_2 + 2 * minus_xs) & U512_MAX)
    below = reduce((slope_2 + 3 * minus_xs) & U512_MAX)  # the new x minus x * s
    p.y = reduce((2 * PP - u512(below) * slope - square(s)) & U512_MAX)


@outline
def add_affine(p: Point, x: u256, y: u256) -> u256:
    """Add (x, y) to `p`, which is not infinity, and return by what that multiplied p.z."""
    z = p.z
    zz = sqr(z)
    h = sub(mul(x, zz), p.x)
    i = sub(p.y, mul(mul(y, z), zz))
    if h == 0:
        return add_same_x(p, i == 0)
    minus_hh = neg(sqr(h))
    hhh = mul(minus_hh, h)
    t = mul(p.x, minus_hh)
    p.x = add(add(sqr(i), hhh), add(t, t))
    p.y = reduce((u512(add(p.x, t)) * i + u512(hhh) * p.y) & U512_MAX)
    p.z = mul(z, h)
    return h


@outline
def add_same_x(p: Point, same_y: bool) -> u256:
    """Add to `p` a point of the same x: itself, or else its opposite. Returns what `add_affine` does."""
    if same_y:
        ratio = p.y
        double(p)
        return ratio
    p.z = 0
    return u256(0)


@outline
def add_multiple(p: Point, digit: u64, x: u256, y: u256) -> None:
    """Add (x, y), or its opposite for a negative digit, to `p`."""
    if digit & NEGATIVE != 0:
        y = neg(y)
    if p.z == 0:
        p.x = x
        p.y = y
        p.z = R
    else:
        add_affine(p, x, y)


WINDOW: Final = 5
ENTRIES: Final = 1 << (WINDOW - 2)


@outline
def fill_table(entries: Ptr[u256], x: u256, y: u256) -> u256:
    """Write (X, Y, BETA * X) of the odd multiples of (x, y), which are (X / z^2, Y / z^3), and return z.

    They are on one and the same curve isomorphic to ours, where they are affine; so is twice the point, from the start.
    """
    p = local(Point, 1)[0]
    p.x = x
    p.y = y
    p.z = R
    double(p)
    twice_x = p.x
    twice_y = p.y
    scale = p.z
    zz = times(scale, scale)
    p.x = times(x, zz)
    p.y = times(y, times(zz, scale))
    p.z = R
    entries[0] = p.x
    entries[1] = p.y
    ratios = local(u256, ENTRIES + 1)
    ratios[ENTRIES] = R
    for i in range(1, ENTRIES):
        ratios[i] = add_affine(p, twice_x, twice_y)
        entries[3 * i] = p.x
        entries[3 * i + 1] = p.y

    z = u256(R)
    for j in range(ENTRIES):
        i = ENTRIES - 1 - j
        z = times(z, ratios[i + 1])
        zz = times(z, z)
        entries[3 * i] = times(entries[3 * i], zz)
        entries[3 * i + 1] = times(entries[3 * i + 1], times(zz, z))
        entries[3 * i + 2] = times(entries[3 * i], BETA)
    return times(p.z, scale)


# For k = k1 + k2 * lambda modulo ORDER, where lambda times a point (x, y) is (BETA * x, y): from the short vectors
# (A1, B1) and (B1, -B2) of the lattice of all (a, b) with a + b * lambda = 0. Gallant, Lambert, Vanstone (2001).
BETA: Final = number(18 * X**3 + 18 * X**2 + 9 * X + 1)
LAMBDA: Final = 36 * X**3 + 18 * X**2 + 6 * X + 1
A1: Final = 6 * X**2 + 4 * X + 1
B1: Final = 2 * X + 1
B2: Final = 6 * X**2 + 2 * X
PRECISION: Final = 380
B1_RATIO: Final = ((B1 << PRECISION) + ORDER // 2) // ORDER
B2_RATIO: Final = ((B2 << PRECISION) + ORDER // 2) // ORDER
ROUNDING: Final = 1 << (PRECISION - 1)


@inline
def first_part(k: u256) -> u256:
    """k1, below 2**127 in magnitude, as a two's complement."""
    c1 = u256((u512(k) * B2_RATIO + ROUNDING) >> PRECISION)
    c2 = u256((u512(k) * B1_RATIO + ROUNDING) >> PRECISION)
    return (k - c1 * A1 - c2 * B1) & U256_MAX


@inline
def second_part(k: u256) -> u256:
    """k2, below 2**127 in magnitude, as a two's complement."""
    c1 = u256((u512(k) * B2_RATIO + ROUNDING) >> PRECISION)
    c2 = u256((u512(k) * B1_RATIO + ROUNDING) >> PRECISION)
    return (c2 * B2 - c1 * B1) & U256_MAX


@outline
def part_digits(digits: Ptr[u16], part: u256) -> u64:
    """The signed digits of a two's complement of at most 128 bits and a sign, for the table of a point."""
    negative = part >> 255 != 0
    size = (0 - part) & U256_MAX if negative else part
    return signed_digits(digits, u128(size), WINDOW, negative)


@outline
def multiply(p: Point, k: u256, x: u256, y: u256) -> None:
    """Set `p` to k * (x, y), any k."""
    while k >= ORDER:  # at most five times
        k = (k - ORDER) & U256_MAX
    entries = local(u256, 3 * ENTRIES)
    scale = fill_table(entries, x, y)
    first = local(u16, 2 * DIGITS)
    second = first + DIGITS
    length = part_digits(first, first_part(k))
    length = max(length, part_digits(second, second_part(k)))
    p.x = 0
    p.y = 0
    p.z = 0
    while length > 0:
        length = length - 1
        double(p)
        digit = u64(first[length])
        if digit != 0:
            place = 3 * ((digit & (NEGATIVE - 1)) >> 1)
            add_multiple(p, digit, entries[place], entries[place + 1])
        digit = u64(second[length])
        if digit != 0:
            place = 3 * ((digit & (NEGATIVE - 1)) >> 1)
            add_multiple(p, digit, entries[place + 2], entries[place + 1])
    p.z = times(p.z, scale)


@outline
def make_affine(p: Point) -> None:
    """Make z 1, unless it is 0."""
    inverse = invert(p.z)
    zz = times(inverse, inverse)
    p.x = times(p.x, zz)
    p.y = times(p.y, times(zz, inverse))
    if p.z != 0:
        p.z = R


@outline
def add_points(p: Point, x1: u256, y1: u256, x2: u256, y2: u256) -> None:
    """Set `p` to (x1, y1) + (x2, y2)."""
    p.x = x1
    p.y = y1
    p.z = R
    add_affine(p, x2, y2)
    make_affine(p)
