"""Powers modulo 2**256: what the compiler calls for `vmloom.kernel.wrapping_pow`."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, U128_MAX, U256_MAX, inline, trailing_zeros, u64, u128, u256

SQUARINGS: Final = 14
"""Squarings of an odd base before a series takes over."""
MOST_SQUARED: Final = 18
"""Bits of exponents for which the series does not pay."""


def coefficient(k: int) -> int:
    """`2**k / k!` modulo 2**256: an odd number's inverse, and a power of two, for 2 divides k! less than k times."""
    odd, twos = 1, k
    for factor in range(1, k + 1):
        zeros = (factor & -factor).bit_length() - 1
        odd, twos = odd * (factor >> zeros), twos - zeros
    return pow(odd, -1, 1 << 256) << twos & U256_MAX


C2: Final = coefficient(2)
C3: Final = coefficient(3)
C4: Final = coefficient(4)
C5: Final = coefficient(5)
C6: Final = coefficient(6)
C7: Final = coefficient(7)
C8: Final = coefficient(8)
C9: Final = coefficient(9) & U128_MAX
C10: Final = coefficient(10) & U128_MAX
C11: Final = coefficient(11) & U128_MAX
C12: Final = coefficient(12) & U128_MAX
C13: Final = coefficient(13) & U64_MAX
C14: Final = coefficient(14) & U64_MAX
C15: Final = coefficient(15) & U64_MAX


def wrapping_pow_u256(base: u256, exponent: u256) -> u256:
    """`base ** exponent` modulo 2**256; `0 ** 0` is 1."""
    if exponent == 0:
        return 1
    if base & 1 == 0:  # each factor brings that many zeros at the low end
        zeros = trailing_zeros(u256, base)
        if exponent >= 256 or zeros * u64(exponent) >= 256:
            return 0
        if base == u256(1) << zeros & U256_MAX:
            return u256(1) << zeros * u64(exponent) & U256_MAX
        return power_by_squaring(base, u64(exponent))
    if exponent >> MOST_SQUARED == 0:
        return power_by_squaring(base, u64(exponent))
    return power_by_series(base, exponent)


def power_by_squaring(base: u256, exponent: u64) -> u256:
    """`base ** exponent` modulo 2**256, for an `exponent` from 1.

    Its lowest bit comes first: so a step's product and square do not wait for each other.
    """
    result = u256(1)
    while True:
        if exponent & 1:
            result = result * base & U256_MAX
        exponent >>= 1
        if exponent == 0:
            return result
        base = base * base & U256_MAX


def power_by_series(base: u256, exponent: u256) -> u256:
    """`base ** exponent` modulo 2**256, for an odd `base`.

    Each squaring brings an odd number nearer to 1: after n of them it is `1 + y`, where 2**(n + 2) divides y. So after
    14, the powers of y that are not 0 modulo 2**256 are few, and so are the terms of `(1 + y) ** f`, the binomial
    series, which takes the place of the other 242 squarings. With w = y / 2 and ck = 2**k / k!, it is by Horner's rule

        1 + f*w * (2 + (f - 1)*w * (c2 + (f - 2)*w * (c3 + ...)))

    Inner sums are multiplied by w, and so 2**15, as often as they are deep, and need as many bits less.
    """
    result = u256(1)
    low = u64(exponent)
    for _ in range(SQUARINGS):
        result = result * (base if low & 1 else 1) & U256_MAX
        low >>= 1
        base = base * base & U256_MAX
    w = base >> 1
    f = exponent >> SQUARINGS
    return (result + result * (f * w * series_from_1(f, w) & U256_MAX)) & U256_MAX


@inline
def series_from_1(f: u256, w: u256) -> u256:
    """`2 + (f - 1)*w * (c2 + (f - 2)*w * (c3 + ...))` modulo 2**256, up to c15."""
    word_f = u64(f)
    word_w = u64(w)
    words = u64(C14 + (word_f - 14) * word_w * C15)
    words = u64(C13 + (word_f - 13) * word_w * words)
    pair_f = u128(f)
    pair_w = u128(w)
    pairs = (C12 + (pair_f - 12) * pair_w * words) & U128_MAX
    pairs = (C11 + (pair_f - 11) * pair_w * pairs) & U128_MAX
    pairs = (C10 + (pair_f - 10) * pair_w * pairs) & U128_MAX
    pairs = (C9 + (pair_f - 9) * pair_w * pairs) & U128_MAX
    total = (C8 + (f - 8) * w * pairs) & U256_MAX
    total = (C7 + (f - 7) * w * total) & U256_MAX
    total = (C6 + (f - 6) * w * total) & U256_MAX
    total = (C5 + (f - 5) * w * total) & U256_MAX
    total = (C4 + (f - 4) * w * total) & U256_MAX
    total = (C3 + (f - 3) * w * total) & U256_MAX
    total = (C2 + (f - 2) * w * total) & U256_MAX
    return (2 + (f - 1) * w * total) & U256_MAX
