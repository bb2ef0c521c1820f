"""Powers modulo 2**256: what the compiler calls for `vmloom.kernel.wrapping_pow`."""

from __future__ import annotations

from vmloom.kernel import U256_MAX, trailing_zeros, u64, u256


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
    return power_by_squaring(base, exponent)


def power_by_squaring(base: u256, exponent: u256) -> u256:
    """`base ** exponent` modulo 2**256, for an `exponent` from 1.

    Its lowest bit comes first: so a step's product and square do not wait for each other.
    """
    result = u256(1)
    word = u64(exponent)
    rest = exponent >> 64
    bits = 64
    while True:
        if word & 1:
            result = result * base & U256_MAX
        word >>= 1
        bits -= 1
        if word == 0 and rest == 0:
            return result
        if bits == 0:
            word = u64(rest)
            rest = rest >> 64
            bits = 64
        base = base * base & U256_MAX
