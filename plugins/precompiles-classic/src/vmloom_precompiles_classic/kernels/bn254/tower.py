"""BN254's extension fields: Fp2 = Fp[u] / (u^2 + 1), Fp6 = Fp2[v] / (v^3 - XI), Fp12 = Fp6[w] / (w^2 - v), XI = 9 + u.

An element of Fp6 is an array of three of Fp2; one of Fp12 is one of six, the first three those of its Fp6 part without
w. So the six go with 1, w^2, w^4, w, w^3, w^5, since v = w^2. Results may be written over arguments.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U256_MAX, U512_MAX, Ptr, inline, local, outline, struct, table, u64, u128, u256, u512

from .field import PP, P, R, X, add, half, invert, mul, neg, number, reduce, small, sub, times


@struct
class Fp2:
    """a + b * u."""

    a: u256
    b: u256


# Fp2


@inline
def copy2(out: Fp2, x: Fp2) -> None:
    """x."""
    out.a = x.a
    out.b = x.b


@inline
def set2(out: Fp2, a: u256, b: u256) -> None:
    """a + b * u."""
    out.a = a
    out.b = b


@outline
def add2(out: Fp2, x: Fp2, y: Fp2) -> None:
    """x + y."""
    out.a = add(x.a, y.a)
    out.b = add(x.b, y.b)


@outline
def sub2(out: Fp2, x: Fp2, y: Fp2) -> None:
    """x - y."""
    out.a = sub(x.a, y.a)
    out.b = sub(x.b, y.b)


@outline
def neg2(out: Fp2, x: Fp2) -> None:
    """-x."""
    out.a = neg(x.a)
    out.b = neg(x.b)


@outline
def conjugate2(out: Fp2, x: Fp2) -> None:
    """x ** P."""
    out.a = x.a
    out.b = neg(x.b)


@outline
def half2(out: Fp2, x: Fp2) -> None:
    """x / 2."""
    out.a = half(x.a)
    out.b = half(x.b)


@outline
def mul2(out: Fp2, x: Fp2, y: Fp2) -> None:
    """x * y, in three products (Karatsuba)."""
    a = u512(x.a) * y.a
    b = u512(x.b) * y.b
    both = u512((x.a + x.b) & U256_MAX) * ((y.a + y.b) & U256_MAX)
    out.a = reduce((a + PP - b) & U512_MAX)
    out.b = reduce((both - a - b) & U512_MAX)


@outline
def sqr2(out: Fp2, x: Fp2) -> None:
    """x * x."""
    a = x.a
    b = x.b
    out.a = mul((a + b) & U256_MAX, (a + P - b) & U256_MAX)
    out.b = mul((a + a) & U256_MAX, b)


@outline
def scale2(out: Fp2, x: Fp2, y: u256) -> None:
    """x * y for a y of Fp."""
    out.a = mul(x.a, y)
    out.b = mul(x.b, y)


@outline
def mul2_xi(out: Fp2, x: Fp2) -> None:
    """x * XI."""
    a = x.a
    b = x.b
    out.a = small((u512(a) * 9 + P - b) & U512_MAX)
    out.b = small(u512(b) * 9 + a)


@outline
def invert2(out: Fp2, x: Fp2) -> None:
    """1 / x, or 0 for 0."""
    scale = invert(add(times(x.a, x.a), times(x.b, x.b)))
    out.a = times(x.a, scale)
    out.b = neg(times(x.b, scale))


@inline
def is_zero2(x: Fp2) -> bool:
    """Whether x is 0."""
    return x.a | x.b == 0


@inline
def equal2(x: Fp2, y: Fp2) -> bool:
    """Whether x is y."""
    return x.a == y.a and x.b == y.b


# Fp6


@inline
def add6(out: Ptr[Fp2], x: Ptr[Fp2], y: Ptr[Fp2]) -> None:
    """x + y."""
    for i in range(3):
        add2(out[i], x[i], y[i])


@inline
def sub6(out: Ptr[Fp2], x: Ptr[Fp2], y: Ptr[Fp2]) -> None:
    """x - y."""
    for i in range(3):
        sub2(out[i], x[i], y[i])


@outline
def mul6(out: Ptr[Fp2], x: Ptr[Fp2], y: Ptr[Fp2]) -> None:
    """x * y, in six products of Fp2 (Devegili et al., 2006)."""
    t = local(Fp2, 6)
    mul2(t[0], x[0], y[0])
    mul2(t[1], x[1], y[1])
    mul2(t[2], x[2], y[2])
    cross(t[3], x[1], x[2], y[1], y[2], t[1], t[2])
    cross(t[4], x[0], x[1], y[0], y[1], t[0], t[1])
    cross(t[5], x[0], x[2], y[0], y[2], t[0], t[2])
    add2(out[2], t[5], t[1])
    mul2_xi(t[3], t[3])
    add2(out[0], t[3], t[0])
    mul2_xi(t[2], t[2])
    add2(out[1], t[4], t[2])


@outline
def cross(out: Fp2, x: Fp2, y: Fp2, s: Fp2, t: Fp2, xs: Fp2, yt: Fp2) -> None:
    """x * t + y * s, given x * s and y * t."""
    sums = local(Fp2, 2)
    add2(sums[0], x, y)
    add2(sums[1], s, t)
    mul2(sums[0], sums[0], sums[1])
    out.a = sub(sub(sums[0].a, xs.a), yt.a)
    out.b = sub(sub(sums[0].b, xs.b), yt.b)


@outline
def mul6_01(out: Ptr[Fp2], x: Ptr[Fp2], y: Fp2, z: Fp2) -> None:
    """x * (y + z * v)."""
    t = local(Fp2, 4)
    mul2(t[0], x[0], y)
    mul2(t[1], x[1], z)
    cross(t[2], x[0], x[1], y, z, t[0], t[1])
    mul2(t[3], x[2], y)
    add2(t[3], t[3], t[1])
    mul2(t[1], x[2], z)
    mul2_xi(t[1], t[1])
    add2(out[0], t[0], t[1])
    copy2(out[1], t[2])
    copy2(out[2], t[3])


@inline
def mul6_v(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """x * v. `out` is not x."""
    mul2_xi(out[0], x[2])
    copy2(out[1], x[0])
    copy2(out[2], x[1])


@outline
def invert6(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """1 / x, or 0 for 0."""
    t = local(Fp2, 3)
    s = local(Fp2, 1)[0]
    # The product of the two conjugates of x over Fp2.
    sqr2(t[0], x[0])
    mul2(s, x[1], x[2])
    mul2_xi(s, s)
    sub2(t[0], t[0], s)
    sqr2(t[1], x[2])
    mul2_xi(t[1], t[1])
    mul2(s, x[0], x[1])
    sub2(t[1], t[1], s)
    sqr2(t[2], x[1])
    mul2(s, x[0], x[2])
    sub2(t[2], t[2], s)

    norm = local(Fp2, 1)[0]
    mul2(norm, x[1], t[2])
    mul2(s, x[2], t[1])
    add2(norm, norm, s)
    mul2_xi(norm, norm)
    mul2(s, x[0], t[0])
    add2(norm, norm, s)
    invert2(norm, norm)
    for i in range(3):
        mul2(out[i], t[i], norm)


# Fp12


@inline
def copy12(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """x."""
    for i in range(6):
        copy2(out[i], x[i])


@inline
def is_one(x: Ptr[Fp2]) -> bool:
    """Whether x is 1."""
    rest = x[0].b
    for i in range(1, 6):
        rest = rest | x[i].a | x[i].b
    return x[0].a == R and rest == 0


@outline
def mul12(out: Ptr[Fp2], x: Ptr[Fp2], y: Ptr[Fp2]) -> None:
    """x * y, in three products of Fp6 (Karatsuba)."""
    t = local(Fp2, 12)
    s = t + 3
    sums = t + 6
    add6(sums, x, x + 3)
    add6(sums + 3, y, y + 3)
    mul6(t, x, y)
    mul6(s, x + 3, y + 3)
    mul6(sums, sums, sums + 3)
    sub6(sums, sums, t)
    sub6(out + 3, sums, s)
    mul6_v(sums, s)
    add6(out, t, sums)


@outline
def sqr12(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """x * x: with x = a + b w, (a + b) (a + b v) - a b - a b v + 2 a b w."""
    t = local(Fp2, 9)
    s = t + 3
    product = t + 6
    mul6_v(s, x + 3)
    add6(s, s, x)
    add6(t, x, x + 3)
    mul6(product, x, x + 3)
    mul6(t, t, s)
    sub6(t, t, product)
    mul6_v(s, product)
    sub6(out, t, s)
    add6(out + 3, product, product)


@outline
def mul12_line(x: Ptr[Fp2], line: Ptr[Fp2]) -> None:
    """x = x * (line[0] + line[1] * w + line[2] * w^3)."""
    t = local(Fp2, 9)
    s = t + 3
    sums = t + 6
    sum_of_line = local(Fp2, 1)[0]
    for i in range(3):
        mul2(t[i], x[i], line[0])
    mul6_01(s, x + 3, line[1], line[2])
    add6(sums, x, x + 3)
    add2(sum_of_line, line[0], line[1])
    mul6_01(sums, sums, sum_of_line, line[2])
    sub6(sums, sums, t)
    sub6(x + 3, sums, s)
    mul6_v(sums, s)
    add6(x, t, sums)


@inline
def conjugate12(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """x ** (P ** 6), the inverse of x where x ** (P ** 6 + 1) is 1."""
    for i in range(3):
        copy2(out[i], x[i])
        neg2(out[i + 3], x[i + 3])


@outline
def invert12(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """1 / x, or 0 for 0."""
    t = local(Fp2, 9)
    s = t + 3
    shifted = t + 6
    mul6(t, x, x)
    mul6(s, x + 3, x + 3)
    mul6_v(shifted, s)
    sub6(t, t, shifted)
    invert6(t, t)
    mul6(s, x + 3, t)
    mul6(out, x, t)
    for i in range(3):
        neg2(out[i + 3], s[i])


def _power(x: tuple[int, int], exponent: int) -> tuple[int, int]:
    """x ** exponent in Fp2, of ordinary numbers. Not a kernel function."""
    result = 1, 0
    for bit in bin(exponent)[2:]:
        a, b = result
        result = (a * a - b * b) % P, 2 * a * b % P
        if bit == "1":
            a, b = result
            result = (a * x[0] - b * x[1]) % P, (a * x[1] + b * x[0]) % P
    return result


FROBENIUS: Final = table(
    u256,
    [
        number(part)
        for power in (1, 2, 3)
        for i in (0, 2, 4, 1, 3, 5)
        for part in _power((9, 1), i * (P**power - 1) // 6)
    ],
)
"""For each power of 1, 2, 3 and each of the six parts: what its power of w is multiplied by; a and b."""


@outline
def frobenius12(out: Ptr[Fp2], x: Ptr[Fp2], power: u64) -> None:
    """x ** (P ** power); power is 1, 2 or 3."""
    factor = local(Fp2, 1)[0]
    for i in range(6):
        place = 12 * (power - 1) + 2 * i
        set2(factor, FROBENIUS[place], FROBENIUS[place + 1])
        if power == 2:
            copy2(out[i], x[i])
        else:
            conjugate2(out[i], x[i])
        mul2(out[i], out[i], factor)


# Fp12 where x ** (P ** 4 - P ** 2 + 1) is 1


@outline
def sqr4(low: Fp2, high: Fp2, x: Fp2, y: Fp2) -> None:
    """The square of x + y * s with s^2 = XI."""
    t = local(Fp2, 3)
    sqr2(t[0], x)
    sqr2(t[1], y)
    add2(t[2], x, y)
    sqr2(t[2], t[2])
    high.a = sub(sub(t[2].a, t[0].a), t[1].a)
    high.b = sub(sub(t[2].b, t[0].b), t[1].b)
    mul2_xi(t[1], t[1])
    add2(low, t[0], t[1])


@inline
def thrice_minus(out: Fp2, x: Fp2, y: Fp2) -> None:
    """3 x - 2 y."""
    sub2(out, x, y)
    add2(out, out, out)
    add2(out, out, x)


@inline
def thrice_plus(out: Fp2, x: Fp2, y: Fp2) -> None:
    """3 x + 2 y."""
    add2(out, x, y)
    add2(out, out, out)
    add2(out, out, x)


@outline
def sqr_cyclotomic(x: Ptr[Fp2]) -> None:
    """x = x * x. R. Granger, M. Scott, "Faster Squaring in the Cyclotomic Subgroup" (2009), 3.2."""
    t = local(Fp2, 6)
    sqr4(t[0], t[1], x[0], x[4])
    sqr4(t[2], t[3], x[3], x[2])
    sqr4(t[4], t[5], x[1], x[5])
    thrice_minus(x[0], t[0], x[0])
    thrice_minus(x[1], t[2], x[1])
    thrice_minus(x[2], t[4], x[2])
    mul2_xi(t[5], t[5])
    thrice_plus(x[3], t[5], x[3])
    thrice_plus(x[4], t[1], x[4])
    thrice_plus(x[5], t[3], x[5])


def signed_digits_of(k: int) -> tuple[int, int]:
    """Two numbers with few ones in base 2, none at the same place, whose difference is k. Not a kernel function."""
    both = k ^ 3 * k
    return (both & 3 * k) >> 1, (both & ~(3 * k)) >> 1


X_PLUS, X_MINUS = signed_digits_of(X)
X_LENGTH: Final = max(X_PLUS, X_MINUS).bit_length()


@outline
def power_minus_x(out: Ptr[Fp2], x: Ptr[Fp2]) -> None:
    """x ** -X. `out` is not x."""
    inverse = local(Fp2, 6)
    conjugate12(inverse, x)
    copy12(out, inverse)
    for i in range(1, X_LENGTH):
        sqr_cyclotomic(out)
        if u128(X_PLUS) >> (X_LENGTH - 1 - i) & 1 != 0:
            mul12(out, out, inverse)
        if u128(X_MINUS) >> (X_LENGTH - 1 - i) & 1 != 0:
            mul12(out, out, x)
