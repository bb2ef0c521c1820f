"""What the curves have in common: inverses modulo a prime, signed digits of scalars."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import (
    U64_MAX,
    U128_MAX,
    U512_MAX,
    Ptr,
    inline,
    outline,
    trailing_zeros,
    u16,
    u64,
    u128,
    u256,
    u512,
)


@inline
def square(x: u256) -> u512:
    """x * x; faster than the product of numbers that compilers do not know to be equal."""
    low = x & U128_MAX
    high = x >> 128
    return ((u512(high * high) << 256) + (u512(low * high) << 129) + low * low) & U512_MAX


# Inverses

STEPS: Final = 31
"""Halvings in a round of `inverse`; factors of up to 31 bits and a sign share a word."""
BIAS: Final = (1 << STEPS) - 1
"""What makes a factor non-negative. The factors of a round are -BIAS .. BIAS + 1."""
BIASES: Final = BIAS << 32 | BIAS
ONE_AND_ZERO: Final = 1
"""The packed factors (1, 0): the first is the low half."""
ZERO_AND_ONE: Final = 1 << 32


@outline
def inverse(x: u256, modulus: u256, negated_inverse: u64) -> u256:
    """1 / x modulo an odd prime, or 0 for 0. x is below `modulus`; `negated_inverse` is -1 / modulus modulo 2**64.

    The binary algorithm, 31 halvings at a time on the highest and lowest bits of its two numbers: T. Pornin,
    "Optimized Binary GCD for Modular Inversion" (2020). It takes less time for some numbers: for public data only.
    """
    a = x
    b = modulus
    u = u256(1)
    v = u256(0)
    while a != 0:
        # a = u * x and b = v * x modulo the prime; b is odd.
        length = max((a | b).bit_length(), 64)
        p = u64(a) & BIAS | u64(a >> (length - 33)) << STEPS
        q = u64(b) & BIAS | u64(b >> (length - 33)) << STEPS
        first = u64(ONE_AND_ZERO)
        second = u64(ZERO_AND_ONE)
        left = u64(STEPS)
        while True:
            zeros = min(trailing_zeros(u64, p), left)
            p = p >> zeros
            second = u64(second << zeros)
            left = left - zeros
            if left == 0:
                break
            smaller = p < q
            subtracted = p if smaller else q
            p = q - p if smaller else p - q
            q = subtracted
            kept = first if smaller else second
            first = u64(second - first) if smaller else u64(first - second)
            second = kept

        first = u64(first + BIASES)
        second = u64(second + BIASES)
        bias = (u512(a) + b) * BIAS
        next_a = combine(a, b, first)
        next_b = combine(a, b, second)
        negative_a = next_a < bias
        negative_b = next_b < bias
        next_u = combine_modulo(u, v, first, negative_a, modulus, negated_inverse)
        v = combine_modulo(u, v, second, negative_b, modulus, negated_inverse)
        u = next_u
        a = u256(((bias - next_a) & U512_MAX if negative_a else (next_a - bias) & U512_MAX) >> STEPS)
        b = u256(((bias - next_b) & U512_MAX if negative_b else (next_b - bias) & U512_MAX) >> STEPS)
    return v


@inline
def combine(a: u256, b: u256, factors: u64) -> u512:
    """a * f + b * g from the packed factors, where f and g are BIAS more than they should be."""
    return u512(a) * (factors & 0xFFFFFFFF) + u512(b) * (factors >> 32)


@inline
def combine_modulo(u: u256, v: u256, factors: u64, negated: bool, modulus: u256, negated_inverse: u64) -> u256:
    """(u * f + v * g) / 2**31, or its negative, modulo `modulus`; u, v and the result are below that."""
    # With the modulus times 2**31 the sum is not negative, for |f| + |g| is at most that.
    total = (combine(u, v, factors) + (u512(modulus) << STEPS) - (u512(u) + v) * BIAS) & U512_MAX
    # Adding this multiple of the modulus makes the low 31 bits 0.
    multiple = u64(u64(total) * negated_inverse) & BIAS
    result = ((total + u512(modulus) * multiple) & U512_MAX) >> STEPS
    if result >= modulus:
        result = (result - modulus) & U512_MAX
    if result >= modulus:
        result = (result - modulus) & U512_MAX
    if negated and result != 0:
        result = (u512(modulus) - result) & U512_MAX
    return u256(result)


# Scalars

DIGITS: Final = 144
"""Room for the digits of `signed_digits`: 129 and what lies between the last and the end of its window."""
NEGATIVE: Final = 1 << 15


@outline
def signed_digits(digits: Ptr[u16], scalar: u128, width: u64, negative: bool) -> u64:
    """Write `scalar` in base 2 with few digits that are not 0: odd ones below 2**(width - 1) in magnitude.

    The lowest comes first. A negative digit is its magnitude and `NEGATIVE`; `negative` turns all signs around.
    `digits` is all 0 before. Returns the number of digits: the highest is not 0. `width` is 2..15.
    """
    turn = u64(NEGATIVE if negative else 0)
    window = (u64(1) << width) - 1
    half = (u64(1) << width) >> 1
    position = u64(0)
    length = u64(0)
    carry = u64(0)
    while position <= 128:
        rest = u64(scalar >> position)
        skipped = trailing_zeros(u64, rest ^ U64_MAX if carry else rest)
        position = position + skipped
        if skipped == 0:
            digit = (rest & window) + carry
            carry = u64(digit > half)
            magnitude = (half << 1) - digit if carry else digit
            digits[position] = u16(magnitude | (NEGATIVE if carry else 0) ^ turn)
            length = position + 1
            position = position + width
    return length
