"""The fields of BN254: Fp, Fp2 = Fp[u] / (u^2 + 1), and Fp12 = Fp[w] / (w^12 - 18 w^6 + 82), where w^6 = 9 + u.

An Fp2 element a + bu is the tuple (a, b). An Fp12 element is one big integer that holds its twelve coefficients in
slots of `SLOT` bits, so that one multiplication of integers multiplies polynomials (Kronecker substitution).
Coefficients of arguments and results are always in 0..P-1.
"""

from __future__ import annotations

from collections.abc import Iterable

from gmpy2 import invert, mpz, pack, unpack  # type: ignore[import-untyped]

X: int = mpz(4965661367192848881)
"""The parameter from which the curve is built."""
P: int = 36 * X**4 + 36 * X**3 + 24 * X**2 + 6 * X + 1
"""The field's prime."""
ORDER: int = 36 * X**4 + 36 * X**3 + 18 * X**2 + 6 * X + 1
"""The number of points of G1, of G2, and of the target group; a prime."""

Fp2 = tuple[int, int]
Fp12 = int

FP2_ZERO: Fp2 = (mpz(0), mpz(0))
XI: Fp2 = (mpz(9), mpz(1))
"""9 + u = w^6"""


def fp2_mul(x: Fp2, y: Fp2) -> Fp2:
    """The product x * y."""
    a, b = x
    c, d = y
    return (a * c - b * d) % P, (a * d + b * c) % P


def fp2_square(x: Fp2) -> Fp2:
    """The square x * x."""
    a, b = x
    return (a + b) * (a - b) % P, 2 * a * b % P


def fp2_inverse(x: Fp2) -> Fp2:
    """The inverse 1 / x. Raises ZeroDivisionError for 0."""
    a, b = x
    scale = invert(a * a + b * b, P)
    return a * scale % P, -b * scale % P


def fp2_power(x: Fp2, exponent: int) -> Fp2:
    """The power x ** exponent."""
    result: Fp2 = (mpz(1), mpz(0))
    for bit in bin(exponent)[2:]:
        result = fp2_square(result)
        if bit == "1":
            result = fp2_mul(result, x)
    return result


SLOT = 576
"""Bits of a slot. A coefficient of a product, before it is reduced by P, stays below 2**528 (see `fp12_mul`)."""
LOW_SLOTS: int = (mpz(1) << 6 * SLOT) - 1
FP12_ONE: Fp12 = mpz(1)


def fp12(coefficients: Iterable[int]) -> Fp12:
    """The element whose coefficient of w^i is the i-th number, 0 and up, modulo P."""
    packed: int = pack([c % P for c in coefficients], SLOT)
    return packed


def coefficients_of(x: Fp12) -> list[int]:
    """The twelve coefficients of `x`."""
    coefficients: list[int] = unpack(x, SLOT)
    return coefficients + [mpz(0)] * (12 - len(coefficients))


POSITIVE: int = pack([(82 + 1476) * 12 * P**2] * 6, SLOT)
"""A multiple of P in each of six slots, larger than what `fp12_mul` subtracts from them."""


def fp12_mul(x: Fp12, y: Fp12) -> Fp12:
    """The product x * y.

    The product has 23 coefficients below 12 P^2, in four parts of six slots: it is a + b w^6 + c w^12 + d w^18. With
    w^12 = 18 w^6 - 82 and w^18 = 242 w^6 - 1476 that is (a - 82 c - 1476 d) + (b + 18 c + 242 d) w^6.
    """
    product = x * y
    a = product & LOW_SLOTS
    product >>= 6 * SLOT
    b = product & LOW_SLOTS
    product >>= 6 * SLOT
    c = product & LOW_SLOTS
    d = product >> 6 * SLOT
    low = a + POSITIVE - 82 * c - 1476 * d
    high = b + 18 * c + 242 * d
    return fp12(unpack(low | high << 6 * SLOT, SLOT))


def fp12_conjugate(x: Fp12) -> Fp12:
    """The power x ** (P ** 6): w becomes -w. The inverse of x where x ** (P ** 6 + 1) is 1."""
    return fp12(-c if i & 1 else c for i, c in enumerate(coefficients_of(x)))


def fp12_frobenius(x: Fp12, power: int) -> Fp12:
    """The power x ** (P ** power), for a power of 1, 2 or 3.

    The coefficients of w^i and w^(i + 6) make one Fp2 coefficient of w^i, and w ** (P ** power) is a constant times w.
    """
    c = coefficients_of(x)
    low, high = [], []
    for i in range(6):
        real, imaginary = c[i] + 9 * c[i + 6], c[i + 6]
        a, b = fp2_mul((real, -imaginary if power & 1 else imaginary), FROBENIUS[power][i])
        low.append(a - 9 * b)
        high.append(b)
    return fp12(low + high)


FROBENIUS = {power: [fp2_power(XI, i * (P**power - 1) // 6) for i in range(6)] for power in (1, 2, 3)}
"""By power and i: w^i ** (P ** power - 1), as an Fp2 element."""


def fp12_inverse(x: Fp12) -> Fp12:
    """The inverse 1 / x. Raises ZeroDivisionError for 0.

    The product of x and its conjugates over Fp2, which are x ** (P ** 2k), is in Fp2, where inverting is easy.
    """
    others = fp12_conjugate(x)
    even = fp12_mul(x, others)
    for turn in (fp12_frobenius(even, 2), fp12_frobenius(fp12_frobenius(even, 2), 2)):
        others = fp12_mul(others, turn)
    norm = coefficients_of(fp12_mul(x, others))
    a, b = fp2_inverse((norm[0] + 9 * norm[6], norm[6]))
    return fp12_mul(others, fp12([a - 9 * b, 0, 0, 0, 0, 0, b]))


def fp12_power_x(x: Fp12) -> Fp12:
    """The power x ** X, for an x whose conjugate is its inverse."""
    inverse = fp12_conjugate(x)
    result = x
    for digit in X_DIGITS[1:]:
        result = fp12_mul(result, result)
        if digit:
            result = fp12_mul(result, x if digit > 0 else inverse)
    return result


def signed_digits(number: int) -> list[int]:
    """`number` (1 and up) in base 2, highest digit first, with digits 1, 0 and -1 and a 0 next to each that is not."""
    digits = []
    while number:
        digit = 2 - int(number % 4) if number & 1 else 0
        digits.append(digit)
        number = (number - digit) >> 1
    return digits[::-1]


X_DIGITS = signed_digits(X)
