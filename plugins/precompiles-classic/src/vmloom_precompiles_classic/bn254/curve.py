"""The groups of BN254: G1 = y^2 = x^3 + 3 over Fp, and G2 in the twist y^2 = x^3 + 3 / (9 + u) over Fp2."""

from __future__ import annotations

from gmpy2 import invert  # type: ignore[import-untyped]

from .field import FROBENIUS, XI, Fp2, P, fp2_inverse, fp2_mul, fp2_square

G1Point = tuple[int, int] | None
"""x, y in 0..P-1, or None for the point at infinity"""
G2Point = tuple[Fp2, Fp2] | None

B = 3
TWIST_B = fp2_mul((B, 0), fp2_inverse(XI))


def g1_on_curve(x: int, y: int) -> bool:
    """Whether (x, y) is a point of G1, which has no subgroups."""
    return (y * y - x * x * x - B) % P == 0


def g1_add(p: G1Point, q: G1Point) -> G1Point:
    """The sum p + q. G1 has odd order, so y is never 0."""
    if p is None:
        return q
    if q is None:
        return p
    (x1, y1), (x2, y2) = p, q
    if x1 != x2:
        slope = (y2 - y1) * invert(x2 - x1, P) % P
    elif y1 == y2:
        slope = 3 * x1 * x1 * invert(2 * y1, P) % P
    else:
        return None
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


WINDOW = 4
"""Bits of the scalar that `g1_mul` takes at a time."""


def g1_mul(p: G1Point, scalar: int) -> G1Point:
    """The sum of `scalar` times p; scalar is 0 and up, and may be above the order."""
    multiples: list[G1Point] = [None]
    for _ in range(2**WINDOW - 1):
        multiples.append(g1_add(multiples[-1], p))
    result: G1Point = None
    for shift in range(scalar.bit_length() // WINDOW * WINDOW, -1, -WINDOW):
        for _ in range(WINDOW):
            result = g1_add(result, result)
        result = g1_add(result, multiples[scalar >> shift & 2**WINDOW - 1])
    return result


def g2_on_curve(x: Fp2, y: Fp2) -> bool:
    """Whether (x, y) is a point of the twist; few of these are in G2."""
    a, b = fp2_square(y)
    c, d = fp2_mul(fp2_square(x), x)
    return (a - c - TWIST_B[0]) % P == 0 == (b - d - TWIST_B[1]) % P


def g2_frobenius(x: Fp2, y: Fp2, power: int) -> tuple[Fp2, Fp2]:
    """The twist's image of the point with coordinates x ** (P ** power), y ** (P ** power); power is 1, 2 or 3."""
    if power & 1:
        x, y = (x[0], -x[1]), (y[0], -y[1])
    return fp2_mul(x, FROBENIUS[power][2]), fp2_mul(y, FROBENIUS[power][3])
