"""BN254's prime field. An element x is the u256 x * 2**256 modulo P.

P. L. Montgomery, "Modular Multiplication Without Trial Division" (1985).
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, U256_MAX, U512_MAX, inline, outline, table, u64, u128, u256, u512

from ..field256 import inverse, square

X: Final = 4965661367192848881
"""The parameter from which the curve is built."""
P: Final = 36 * X**4 + 36 * X**3 + 24 * X**2 + 6 * X + 1
"""The field's prime, of 254 bits."""
ORDER: Final = 36 * X**4 + 36 * X**3 + 18 * X**2 + 6 * X + 1
"""The number of points of G1 and of G2, a prime."""

R: Final = (1 << 256) % P
"""The number 1."""
R2: Final = R * R % P
R3: Final = R2 * R % P
NEGATED_INVERSE: Final = -pow(P, -1, 1 << 64) % (1 << 64)
COMPLEMENT: Final = (1 << 256) - P
PP: Final = P * P
"""A zero among products, which are below it."""

P0: Final = P & U64_MAX
P1: Final = P >> 64 & U64_MAX
P2: Final = P >> 128 & U64_MAX
P3: Final = P >> 192


def number(x: int) -> int:
    """x modulo P as a constant. Not a kernel function."""
    return x * R % P


@inline
def below(x: u256) -> u256:
    """x, which is below 2 * P, modulo P."""
    t = u512(x) + COMPLEMENT
    return u256(t) if t >> 256 != 0 else x


@inline
def shift_out(low: u256) -> u256:
    """`low` / 2**64 modulo P, at most P: the sum of `low` and the multiple of P that makes the low 64 bits 0."""
    multiple = u64(u64(low) * NEGATED_INVERSE)
    t = u128(multiple) * P0 + u64(low)
    t = u128(multiple) * P1 + u64(low >> 64) + u64(t >> 64)
    r0 = u64(t)
    t = u128(multiple) * P2 + u64(low >> 128) + u64(t >> 64)
    r1 = u64(t)
    t = u128(multiple) * P3 + u64(low >> 192) + u64(t >> 64)
    return u256(r0) | u256(r1) << 64 | u256(t) << 128


@inline
def reduce(t: u512) -> u256:
    """`t` / 2**256 modulo P; `t` is below 2**256 * P, as is the sum of five products."""
    low = shift_out(shift_out(shift_out(shift_out(u256(t)))))
    return below((low + u256(t >> 256)) & U256_MAX)


@inline
def mul(x: u256, y: u256) -> u256:
    """The product x * y. One of them may be up to 5 * P."""
    return reduce(u512(x) * y)


@outline
def times(x: u256, y: u256) -> u256:
    """`mul` as a call, for where code should be small rather than fast."""
    return mul(x, y)


@inline
def sqr(x: u256) -> u256:
    """The square x * x."""
    return reduce(square(x))


@inline
def add(x: u256, y: u256) -> u256:
    """The sum x + y."""
    return below((x + y) & U256_MAX)


@inline
def sub(x: u256, y: u256) -> u256:
    """The difference x - y."""
    t = (u512(x) - y) & U512_MAX
    return (u256(t) + (P if t >> 256 != 0 else 0)) & U256_MAX


@inline
def neg(x: u256) -> u256:
    """-x."""
    return (P - x) & U256_MAX if x != 0 else x


@inline
def half(x: u256) -> u256:
    """x / 2."""
    return ((x + (P if x & 1 != 0 else 0)) & U256_MAX) >> 1


MULTIPLES: Final = table(u256, [(i << 252) // P * P & U256_MAX for i in range(64)])
"""The largest multiple of P that is at most i * 2**252, modulo 2**256."""


@inline
def small(t: u512) -> u256:
    """`t`, below 20 * P, modulo P."""
    return below(u256(t - MULTIPLES[u64(t >> 252) & 63]))


@outline
def invert(x: u256) -> u256:
    """1 / x, or 0 for 0."""
    return times(inverse(x, P, NEGATED_INVERSE), R3)
