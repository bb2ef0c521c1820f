"""BN254's optimal ate pairing: whether a product of pairings is 1. F. Vercauteren, "Optimal Pairings" (2008).

Pairs are taken in batches of `BATCH`, which share the squarings of a Miller loop; memory does not grow with the input.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, embedded, inline, local, outline, struct, table, u64, u128, u256

from .field import P, R, X, number
from .tower import (
    FROBENIUS,
    Fp2,
    add2,
    conjugate2,
    conjugate12,
    copy2,
    copy12,
    equal2,
    frobenius12,
    half2,
    invert12,
    is_one,
    is_zero2,
    mul2,
    mul12,
    mul12_line,
    neg2,
    power_minus_x,
    scale2,
    set2,
    signed_digits_of,
    sqr2,
    sqr12,
    sqr_cyclotomic,
    sub2,
)

BATCH: Final = 8


@struct
class Pair:
    """A point of G1 and one of the twist, which is not infinity."""

    at_infinity: bool
    """Whether the point of G1 is: then its pairing is 1, if the other point is in G2."""
    x: u256
    y: u256
    q: Ptr[Fp2] = embedded(2)
    """x and y of the point of the twist"""
    t: Ptr[Fp2] = embedded(3)
    """A multiple of that, (t[0] / t[2], t[1] / t[2])."""


_SCALE: Final = pow(82, -1, P)
"""1 / (9 + u) is (9 - u) / 82."""
TWIST_B: Final = table(u256, [number(27 * _SCALE), number(-3 * _SCALE)])
"""The twist is y^2 = x^3 + 3 / XI: a and b of that, and three times it."""
THRICE_TWIST_B: Final = table(u256, [number(81 * _SCALE), number(-9 * _SCALE)])


@outline
def on_twist(x: Fp2, y: Fp2) -> bool:
    """Whether (x, y) is a point of the twist; few of these are in G2."""
    t = local(Fp2, 2)
    b = local(Fp2, 1)[0]
    sqr2(t[0], x)
    mul2(t[0], t[0], x)
    set2(b, TWIST_B[0], TWIST_B[1])
    add2(t[0], t[0], b)
    sqr2(t[1], y)
    return equal2(t[0], t[1])


# Steps of the Miller loop, on homogeneous coordinates: C. Costello, T. Lange, M. Naehrig, "Faster Pairing Computations
# on Curves with High-Degree Twists" (2010). A line is line[0] * y + line[1] * x * w + line[2] * w^3, at (x, y) of G1.


@outline
def double_step(line: Ptr[Fp2], t: Ptr[Fp2]) -> None:
    """t = t + t, and the tangent there."""
    s = local(Fp2, 8)
    xy = s[0]
    yy = s[1]
    zz = s[2]
    e = s[3]
    thrice_e = s[4]
    g = s[5]
    h = s[6]
    mul2(xy, t[0], t[1])
    half2(xy, xy)
    sqr2(yy, t[1])
    sqr2(zz, t[2])
    set2(s[7], THRICE_TWIST_B[0], THRICE_TWIST_B[1])
    mul2(e, zz, s[7])
    add2(thrice_e, e, e)
    add2(thrice_e, thrice_e, e)
    add2(g, yy, thrice_e)
    half2(g, g)
    add2(h, t[1], t[2])
    sqr2(h, h)
    add2(zz, zz, yy)
    sub2(h, h, zz)
    neg2(line[0], h)
    sqr2(line[1], t[0])
    add2(zz, line[1], line[1])
    add2(line[1], zz, line[1])
    sub2(line[2], e, yy)

    sub2(thrice_e, yy, thrice_e)
    mul2(t[0], xy, thrice_e)
    sqr2(e, e)
    add2(zz, e, e)
    add2(e, zz, e)
    sqr2(t[1], g)
    sub2(t[1], t[1], e)
    mul2(t[2], yy, h)


@outline
def add_step(line: Ptr[Fp2], t: Ptr[Fp2], x: Fp2, y: Fp2) -> None:
    """t = t + (x, y), and the line through both. Where they are equal or opposite, t[2] becomes 0, and stays so."""
    s = local(Fp2, 7)
    theta = s[0]
    d = line[0]
    dd = s[1]
    ddd = s[2]
    g = s[3]
    h = s[4]
    u = s[5]
    mul2(u, y, t[2])
    sub2(theta, t[1], u)
    mul2(u, x, t[2])
    sub2(d, t[0], u)
    sqr2(dd, d)
    mul2(ddd, dd, d)
    mul2(g, t[0], dd)
    sqr2(u, theta)
    mul2(u, u, t[2])
    add2(h, ddd, u)
    add2(u, g, g)
    sub2(h, h, u)
    mul2(t[0], d, h)
    sub2(g, g, h)
    mul2(g, g, theta)
    mul2(u, ddd, t[1])
    sub2(t[1], g, u)
    mul2(t[2], t[2], ddd)

    neg2(line[1], theta)
    mul2(u, theta, x)
    mul2(h, d, y)
    sub2(line[2], u, h)


@inline
def meet(value: Ptr[Fp2], line: Ptr[Fp2], pair: Pair) -> None:
    """Multiply `value` by the line at the pair's point of G1."""
    if not pair.at_infinity:
        scale2(line[0], line[0], pair.y)
        scale2(line[1], line[1], pair.x)
        mul12_line(value, line)


LOOP_PLUS, LOOP_MINUS = signed_digits_of(6 * X + 2)
LOOP_LENGTH: Final = max(LOOP_PLUS, LOOP_MINUS).bit_length()


@outline
def miller_loop(value: Ptr[Fp2], pairs: Ptr[Pair], count: u64) -> bool:
    """Set `value` to the product of the pairs' Miller functions; False if a point of the twist is not in G2.

    F being the Frobenius map, the walk ends at T = (6X + 2) Q + F(Q) - F(F(Q)), and T = -F(F(F(Q))) says that Q is
    in G2: for that equation is f(F) Q = 0 with f = 6X + 2 + F - F^2 + F^3, so the order of Q divides the norm of f in
    Z[F], whose only common factor with the order of the twist is the order of G2. On its way, the walk of a Q in G2
    never adds points that are equal or opposite, since the multiples of Q that occur are below its order; so a T at
    infinity says that Q is not in G2.
    """
    line = local(Fp2, 3)
    minus_y = local(Fp2, 1)[0]
    for k in range(6):
        set2(value[k], 0, 0)
    value[0].a = R
    for j in range(count):
        pair = pairs[j]
        copy2(pair.t[0], pair.q[0])
        copy2(pair.t[1], pair.q[1])
        set2(pair.t[2], R, 0)
    for i in range(1, LOOP_LENGTH):
        plus = u128(LOOP_PLUS) >> (LOOP_LENGTH - 1 - i) & 1 != 0
        minus = u128(LOOP_MINUS) >> (LOOP_LENGTH - 1 - i) & 1 != 0
        sqr12(value, value)
        for j in range(count):
            pair = pairs[j]
            double_step(line, pair.t)
            meet(value, line, pair)
            if plus:
                add_step(line, pair.t, pair.q[0], pair.q[1])
                meet(value, line, pair)
            if minus:
                neg2(minus_y, pair.q[1])
                add_step(line, pair.t, pair.q[0], minus_y)
                meet(value, line, pair)
    fine = True
    for j in range(count):
        fine = end_walk(value, pairs[j]) and fine
    return fine


@outline
def end_walk(value: Ptr[Fp2], pair: Pair) -> bool:
    """The last two lines of the pair's Miller function. Whether its point of the twist is in G2."""
    line = local(Fp2, 3)
    image = local(Fp2, 2)
    frobenius_of_twist(image, pair.q, 1)
    add_step(line, pair.t, image[0], image[1])
    meet(value, line, pair)
    frobenius_of_twist(image, pair.q, 2)
    neg2(image[1], image[1])
    add_step(line, pair.t, image[0], image[1])
    meet(value, line, pair)

    frobenius_of_twist(image, pair.q, 3)
    neg2(image[1], image[1])
    z = pair.t[2]
    mul2(image[0], image[0], z)
    mul2(image[1], image[1], z)
    return not is_zero2(z) and equal2(image[0], pair.t[0]) and equal2(image[1], pair.t[1])


@outline
def frobenius_of_twist(out: Ptr[Fp2], q: Ptr[Fp2], power: u64) -> None:
    """The twist's image of the point with coordinates x ** (P ** power), y ** (P ** power); power is 1, 2 or 3."""
    factor = local(Fp2, 1)[0]
    for i in range(2):
        place = 12 * (power - 1) + (2 if i == 0 else 8)  # where those of w^2 and w^3 are
        set2(factor, FROBENIUS[place], FROBENIUS[place + 1])
        if power == 2:
            copy2(out[i], q[i])
        else:
            conjugate2(out[i], q[i])
        mul2(out[i], out[i], factor)


@outline
def is_one_in_target_group(x: Ptr[Fp2]) -> bool:
    """Whether x ** ((P ** 12 - 1) / ORDER) is 1; x is not 0, and is overwritten.

    The power that is computed is a multiple of that which ORDER does not divide: L. Fuentes-Castaneda et al., "Faster
    Hashing to G2" (2011).
    """
    y = local(Fp2, 36)
    # x ** ((P ** 6 - 1) * (P ** 2 + 1)). From here on the conjugate is the inverse.
    invert12(y, x)
    conjugate12(x, x)
    mul12(y, y, x)
    frobenius12(x, y, 2)
    mul12(x, x, y)

    a = y
    b = y + 6
    c = y + 12
    d = y + 18
    e = y + 24
    f = y + 30
    power_minus_x(a, x)
    sqr_cyclotomic(a)  # x ** -2X
    copy12(b, a)
    sqr_cyclotomic(b)
    mul12(b, b, a)  # x ** -6X
    power_minus_x(c, b)  # x ** 6X^2
    copy12(d, c)
    sqr_cyclotomic(d)
    power_minus_x(e, d)  # x ** -12X^3
    conjugate12(b, b)
    conjugate12(e, e)
    mul12(e, e, c)
    mul12(e, e, b)  # x ** (12X^3 + 6X^2 + 6X)
    mul12(d, e, a)  # x ** (12X^3 + 6X^2 + 4X)
    mul12(b, e, c)
    mul12(b, b, x)  # x ** (12X^3 + 12X^2 + 6X + 1)
    frobenius12(f, d, 1)
    mul12(b, b, f)
    frobenius12(f, e, 2)
    mul12(b, b, f)
    conjugate12(x, x)
    mul12(x, x, d)
    frobenius12(f, x, 3)
    mul12(x, b, f)
    return is_one(x)
