"""The optimal ate pairing of BN254: whether a product of pairings is 1.

Vercauteren, "Optimal pairings" (2008); the final exponentiation as Scott et al. (2009) chain it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gmpy2 import mpz, pack  # type: ignore[import-untyped]

from .curve import G1Point, G2Point, g2_frobenius
from .field import (
    FP12_ONE,
    SLOT,
    Fp2,
    Fp12,
    P,
    X,
    fp2_inverse,
    fp2_mul,
    fp2_square,
    fp12_conjugate,
    fp12_frobenius,
    fp12_inverse,
    fp12_mul,
    fp12_power_x,
    signed_digits,
)

LOOP_DIGITS = signed_digits(6 * X + 2)[1:]
"""The Miller loop's steps: a doubling each, and an addition of Q or -Q where the digit is not 0."""

Line = tuple[Fp2, Fp2]
"""Slope and constant: the line y = slope * x - constant on the twist."""


class NotInSubgroupError(ValueError):
    """A point of the twist that is not in G2, so that no pairing is defined for it."""


def pairing_product_is_one(pairs: Sequence[tuple[G1Point, G2Point]]) -> bool:
    """Whether the product of e(p, q) over all pairs is 1; pairs with a point at infinity count as 1.

    Points must be on their curves. Raises `NotInSubgroupError` if a q is not in G2, whatever its p.
    """
    prepared = [(p, lines_through(*q)) for p, q in pairs if q is not None]
    miller = miller_loop([(p, lines) for p, lines in prepared if p is not None])
    return final_exponentiation(miller) == FP12_ONE


def lines_through(x: Fp2, y: Fp2) -> list[Line]:
    """The lines of the Miller loop of Q = (x, y), in the order in which the loop meets them.

    F being the Frobenius map, the walk ends at R = (6X + 2) Q + F(Q) - F(F(Q)), and R = -F(F(F(Q))) says that Q is
    in G2: for that equation is f(F) Q = 0 with f = 6X + 2 + F - F^2 + F^3, so the order of Q divides the norm of f in
    Z[F], whose only common factor with the order of the twist is the order of G2. On its way, the walk of a Q in G2
    never adds points that are equal or opposite, since the multiples of Q that occur are below its order; so a
    division by zero says that Q is not in G2.

    Raises `NotInSubgroupError`.
    """
    lines: list[Line] = []
    minus_y = (-y[0], -y[1])
    try:
        at = x, y
        for digit in LOOP_DIGITS:
            at = step(at, at, lines)
            if digit:
                at = step(at, (x, y if digit > 0 else minus_y), lines)
        at = step(at, g2_frobenius(x, y, 1), lines)
        at = step(at, g2_frobenius(x, minus_y, 2), lines)
    except ZeroDivisionError:
        raise NotInSubgroupError from None
    if at != g2_frobenius(x, minus_y, 3):
        raise NotInSubgroupError
    return lines


def step(p: tuple[Fp2, Fp2], q: tuple[Fp2, Fp2], lines: list[Line]) -> tuple[Fp2, Fp2]:
    """The sum p + q, adding the line through both to `lines`. Raises ZeroDivisionError where that is vertical."""
    (x1, y1), (x2, y2) = p, q
    if p is q:
        square = fp2_square(x1)
        slope = fp2_mul((3 * square[0], 3 * square[1]), fp2_inverse((2 * y1[0], 2 * y1[1])))
    else:
        slope = fp2_mul((y1[0] - y2[0], y1[1] - y2[1]), fp2_inverse((x1[0] - x2[0], x1[1] - x2[1])))
    a, b = fp2_mul(slope, x1)
    constant = (a - y1[0]) % P, (b - y1[1]) % P
    lines.append((slope, constant))

    a, b = fp2_square(slope)
    x = (a - x1[0] - x2[0]) % P, (b - x1[1] - x2[1]) % P
    a, b = fp2_mul(slope, x)
    return x, ((constant[0] - a) % P, (constant[1] - b) % P)


def miller_loop(pairs: Sequence[tuple[tuple[int, int], list[Line]]]) -> Fp12:
    """The product of the Miller functions of all pairs of a point of G1 and the lines of one of G2."""
    value = FP12_ONE
    upcoming = [(p, iter(lines)) for p, lines in pairs]

    def meet_lines() -> None:
        nonlocal value
        for p, lines in upcoming:
            value = fp12_mul(value, line_at(p, next(lines)))

    for digit in LOOP_DIGITS:
        value = fp12_mul(value, value)
        meet_lines()
        if digit:
            meet_lines()
    meet_lines()
    meet_lines()
    return value


def line_at(p: tuple[int, int], line: Line) -> Fp12:
    """The line's value at p, y - slope * x * w + constant * w^3.

    For the point (x, y) of the twist is (x w^2, y w^3) on the curve over Fp12.
    """
    x, y = p
    (a, b), (c, d) = line
    minus_x = P - x
    zero = mpz(0)
    value: Fp12 = pack(
        [y, (a - 9 * b) * minus_x % P, zero, (c - 9 * d) % P, zero, zero, zero, b * minus_x % P, zero, d], SLOT
    )
    return value


def final_exponentiation(x: Fp12) -> Fp12:
    """The power x ** ((P ** 12 - 1) / ORDER)."""
    # The easy part, x ** ((P ** 6 - 1) * (P ** 2 + 1)). From here on the conjugate is the inverse.
    x = fp12_mul(fp12_conjugate(x), fp12_inverse(x))
    x = fp12_mul(fp12_frobenius(x, 2), x)

    # The hard part, x ** ((P ** 4 - P ** 2 + 1) / ORDER), by powers of X.
    x1 = fp12_power_x(x)
    x2 = fp12_power_x(x1)
    x3 = fp12_power_x(x2)
    y0 = fp12_mul(fp12_mul(fp12_frobenius(x, 1), fp12_frobenius(x, 2)), fp12_frobenius(x, 3))
    y1 = fp12_conjugate(x)
    y2 = fp12_frobenius(x2, 2)
    y3 = fp12_conjugate(fp12_frobenius(x1, 1))
    y4 = fp12_conjugate(fp12_mul(x1, fp12_frobenius(x2, 1)))
    y5 = fp12_conjugate(x2)
    y6 = fp12_conjugate(fp12_mul(x3, fp12_frobenius(x3, 1)))

    # y0 * y1^2 * y2^6 * y3^12 * y4^18 * y5^30 * y6^36
    t0 = fp12_mul(fp12_mul(fp12_mul(y6, y6), y4), y5)
    t1 = fp12_mul(fp12_mul(y3, y5), t0)
    t0 = fp12_mul(t0, y2)
    t1 = fp12_mul(fp12_mul(t1, t1), t0)
    t1 = fp12_mul(t1, t1)
    t0 = fp12_mul(t1, y1)
    t1 = fp12_mul(t1, y0)
    return fp12_mul(fp12_mul(t0, t0), t1)
