"""Division digit by digit: the steps that `divide` is made of, all inlined into its kernels.

Schoolbook division in 64-bit words (Knuth, The Art of Computer Programming, volume 2, algorithm 4.3.1 D), whose digits
come from a reciprocal of the divisor's leading words: Möller and Granlund, "Improved division by invariant integers",
IEEE Transactions on Computers 60 (2011). The numbers of algorithms below are those of that paper.

Divisors are *normalised*: shifted left until their highest bit is set, and the dividend with them. A digit function
divides `rest * 2**64 + word` by the divisor, where `rest` is below the divisor. It returns the quotient digit (64 bits)
and below it the new rest, in one integer, which compilers take apart again for nothing.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import (
    U64_MAX,
    U128_MAX,
    U256_MAX,
    U512_MAX,
    inline,
    intrinsic,
    table,
    u16,
    u64,
    u128,
    u256,
    u512,
    unlikely,
)

from . import instructions

SEEDS: Final = table(u16, (0x7FD00 // (256 + i) for i in range(256)))
"""The first 11 bits of a word's reciprocal, by the 8 bits of the word that follow its highest."""


@inline
def pair(high: u64, low: u64) -> u128:
    """`high * 2**64 + low`."""
    return u128(high) << 64 | low


# Shifts by less than a word


@inline
def shifted_word(word: u64, lower: u64, shift: u64) -> u64:
    """The higher word of `word * 2**64 + lower`, shifted left by 0 to 63 bits."""
    return u64(shifted_128(pair(word, lower), shift) >> 64)


@inline
def shifted_128(x: u128, shift: u64) -> u128:
    """`x` shifted left by 0 to 63 bits, modulo 2**128."""
    return x << (shift & 63) & U128_MAX


@inline
def shifted_256(x: u256, below: u64, shift: u64) -> u256:
    """The highest 256 of the 320 bits `x * 2**64 + below`, shifted left by 0 to 63 bits, modulo 2**256."""
    low = pair(shifted_word(u64(x >> 64), u64(x), shift), shifted_word(u64(x), below, shift))
    third = shifted_word(u64(x >> 128), u64(x >> 64), shift)
    return u256(pair(shifted_word(u64(x >> 192), u64(x >> 128), shift), third)) << 128 | low


@inline
def unshifted_word(word: u64, higher: u64, shift: u64) -> u64:
    """The lower word of `higher * 2**64 + word`, shifted right by 0 to 63 bits."""
    return u64(pair(higher, word) >> (shift & 63))


@inline
def unshifted_256(x: u256, shift: u64) -> u256:
    """`x` shifted right by 0 to 63 bits."""
    low = pair(unshifted_word(u64(x >> 64), u64(x >> 128), shift), unshifted_word(u64(x), u64(x >> 64), shift))
    third = unshifted_word(u64(x >> 128), u64(x >> 192), shift)
    return u256(pair(u64(x >> 192) >> (shift & 63), third)) << 128 | low


# Reciprocals


@inline
@intrinsic(instructions.FEATURES, instructions.RECIPROCAL)
def reciprocal(divisor: u64) -> u64:
    """`(2**128 - 1) // divisor - 2**64` of a normalised word. Algorithm 2: each step doubles the right bits."""
    seed = u64(SEEDS[divisor >> 55 & 255])
    high_40 = (divisor >> 24) + 1
    second = (seed << 11) - (seed * seed * high_40 >> 40) - 1
    third = (second << 13) + (second * ((1 << 60) - second * high_40) >> 47)
    odd = divisor & 1
    error = u64((third >> 1 & u64(0 - odd)) - third * ((divisor >> 1) + odd))
    fourth = u64((third << 31) + (high_word(third, error) >> 1))
    return u64(fourth - u64((u128(fourth) * divisor + divisor) >> 64) - divisor)


@inline
def high_word(x: u64, y: u64) -> u64:
    """The higher word of `x * y`."""
    return u64(u128(x) * y >> 64)


@inline
def reciprocal_of_two(divisor: u128) -> u64:
    """`(2**192 - 1) // divisor - 2**64` of a normalised divisor of two words. Algorithm 6."""
    high = u64(divisor >> 64)
    low = u64(divisor)
    inverse = reciprocal(high)
    product = u64(high * inverse + low)
    less = u64(product < low)  # a branch would go either way as often
    twice = less & u64(product >= high)
    inverse = u64(inverse - less - twice)
    product = u64(product - (high & u64(0 - less)) - (high & u64(0 - twice)))
    tail = u128(inverse) * low
    product = u64(product + u64(tail >> 64))
    less = u64(product < u64(tail >> 64))
    twice = less & u64(pair(product, u64(tail)) >= divisor)
    return u64(inverse - less - twice)


# Digits


@inline
def digit_1(rest: u64, word: u64, divisor: u64, inverse: u64) -> u128:
    """The digit above the new rest (64 bits), for a divisor of one word. Algorithm 4."""
    estimate = (u128(inverse) * rest + pair(rest, word)) & U128_MAX
    digit = u64(u64(estimate >> 64) + 1)
    left = u64(word - digit * divisor)
    excess = u64(left > u64(estimate))
    digit = u64(digit - excess)
    left = u64(left + (divisor & u64(0 - excess)))
    if unlikely(left >= divisor):
        digit = u64(digit + 1)
        left = left - divisor
    return pair(digit, left)


@inline
@intrinsic(instructions.FEATURES, instructions.QUOTIENT_1)
def quotient_1(rest: u64, word: u64, divisor: u64, inverse: u64) -> u64:
    """The digit alone, for a divisor of one word. Algorithm 4."""
    return u64(digit_1(rest, word, divisor, inverse) >> 64)


@inline
def digit_2(rest: u128, word: u64, divisor: u128, inverse: u64) -> u256:
    """The digit above the new rest (128 bits), for a divisor of two words. Algorithm 5."""
    high = u64(rest >> 64)
    estimate = (u128(inverse) * high + rest) & U128_MAX
    digit = u64(estimate >> 64)
    top = u64(u64(rest) - digit * u64(divisor >> 64))
    left = (pair(top, word) - u128(digit) * u64(divisor) - divisor) & U128_MAX
    excess = u128(u64(left >> 64) >= u64(estimate))
    digit = u64(digit + 1 - u64(excess))
    left = (left + (divisor & u128(0 - excess))) & U128_MAX
    if unlikely(left >= divisor):
        digit = u64(digit + 1)
        left = (left - divisor) & U128_MAX
    return u256(digit) << 128 | left


@inline
def digit_4(rest: u256, word: u64, divisor: u256, inverse: u64) -> u512:
    """The digit above the new rest (256 bits), for a divisor of four words; `inverse` is of the leading two."""
    top = u128(divisor >> 128)
    if unlikely(u128(rest >> 128) == top):  # the leading words give no digit, but then it is the highest
        behind = ((divisor - rest) << 64) - word & U256_MAX
        return u512(U64_MAX) << 256 | (divisor - behind) & U256_MAX
    estimate = digit_2(u128(rest >> 128), u64(rest >> 64), top, inverse)
    digit = u64(estimate >> 128)
    left = u256(u128(estimate)) << 128 | pair(u64(rest), word)
    product = u256(digit) * u128(divisor)
    if unlikely(left < product):  # the digit is too large by one
        return u512(digit - 1) << 256 | (left - product + divisor) & U256_MAX
    return u512(digit) << 256 | (left - product) & U256_MAX


@inline
def digit_alone(rest: u256, word: u64, divisor: u256, inverse: u64) -> u512:
    """The same by the leading word alone, of which `inverse` is: where one digit is wanted, that is the shorter way.

    The quotient of the leading words is too large by two at most (Knuth, theorem B).
    """
    top = u64(divisor >> 192)
    digit = U64_MAX
    if u64(rest >> 192) != top:
        digit = quotient_1(u64(rest >> 192), u64(rest >> 128), top, inverse)
    left = (u512(rest) << 64 | word) - u512(divisor) * digit & U512_MAX
    excess = u64(left >> 256) >> 63
    digit = u64(digit - excess)
    left = left + (divisor if excess else 0) & U512_MAX
    if unlikely(u64(left >> 256) != 0):
        digit = u64(digit - 1)
        left = left + divisor & U512_MAX
    return u512(digit) << 256 | u256(left)


@inline
def rest_of_large_words(high: u256, low: u256, divisor: u256, inverse: u256) -> u256:
    """The rest alone, by algorithm 4 for words of 256 bits: of `high * 2**256 + low`, for `high` below the divisor.

    `inverse` is `(2**512 - 1) // divisor - 2**256`: it pays to multiply by all of it where it is known beforehand.
    """
    estimate = (u512(inverse) * high + (u512(high) << 256 | low)) & U512_MAX
    digit = (u256(estimate >> 256) + 1) & U256_MAX
    left = (low - digit * divisor) & U256_MAX
    left = (left + (divisor if left > u256(estimate) else 0)) & U256_MAX
    return (left - divisor) & U256_MAX if left >= divisor else left
