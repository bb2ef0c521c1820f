"""Quotients and remainders of integers of 128, 256 and 512 bits: what the compiler calls where a kernel divides them.

A quotient or remainder by 0 is 0. Inlined into the caller are the cases that take a few instructions; the others are
functions of their own. How digits are found is in `words`.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, U128_MAX, U256_MAX, U512_MAX, inline, intrinsic, outline, u64, u128, u256, u512

from . import instructions
from .words import (
    digit_1,
    digit_2,
    digit_4,
    digit_alone,
    pair,
    reciprocal,
    reciprocal_of_two,
    shifted_128,
    shifted_256,
    shifted_word,
    unshifted_256,
)

U192_MAX: Final = (1 << 192) - 1


# 128 bits


@inline
def divide_u128(x: u128, y: u128) -> u128:
    """`x // y`, or 0."""
    if (x | y) <= U64_MAX:
        return u64(x) // u64(y) if y else 0
    return divide_u128_wide(x, y)


@inline
def remainder_u128(x: u128, y: u128) -> u128:
    """`x % y`, or 0."""
    if (x | y) <= U64_MAX:
        return u64(x) % u64(y) if y else 0
    return remainder_u128_wide(x, y)


@outline
def divide_u128_wide(x: u128, y: u128) -> u128:
    """`x // y`, where not both are words."""
    return u128(divided_128(x, y))


@outline
def remainder_u128_wide(x: u128, y: u128) -> u128:
    """`x % y`, where not both are words."""
    return u128(divided_128(x, y) >> 128)


@inline
def divided_128(x: u128, y: u128) -> u256:
    """The remainder (128 bits) above the quotient."""
    if x < y:
        return u256(x) << 128
    if y <= U64_MAX:
        return divided_by_word_128(x, u64(y)) if y else 0
    shift = 64 - u64(y >> 64).bit_length()
    divisor = shifted_128(y, shift)
    inverse = reciprocal_of_two(divisor)
    rest = pair(shifted_word(0, u64(x >> 64), shift), shifted_word(u64(x >> 64), u64(x), shift))
    last = digit_2(rest, u64(u64(x) << shift), divisor, inverse)
    return u256(u128(last) >> shift) << 128 | last >> 128


@inline
def divided_by_word_128(x: u128, y: u64) -> u256:
    """`divided_128` by a word other than 0."""
    shift = 64 - y.bit_length()
    divisor = u64(y << shift)
    inverse = reciprocal(divisor)
    rest = shifted_word(0, u64(x >> 64), shift)
    first = digit_1(rest, shifted_word(u64(x >> 64), u64(x), shift), divisor, inverse)
    last = digit_1(u64(first), u64(u64(x) << shift), divisor, inverse)
    return u256(u64(last) >> shift) << 128 | pair(u64(first >> 64), u64(last >> 64))


# 256 bits


@inline
def divide_u256(x: u256, y: u256) -> u256:
    """`x // y`, or 0."""
    if (x | y) <= U64_MAX:
        return u64(x) // u64(y) if y else 0
    return divide_u256_wide(x, y)


@inline
def remainder_u256(x: u256, y: u256) -> u256:
    """`x % y`, or 0."""
    if (x | y) <= U64_MAX:
        return u64(x) % u64(y) if y else 0
    return remainder_u256_wide(x, y)


@outline
def divide_u256_wide(x: u256, y: u256) -> u256:
    """`x // y`, where not both are words."""
    if x < y or y == 0:
        return 0
    if y <= U64_MAX:
        return quotient_by_word(0, x, u64(y))
    if y <= U128_MAX:
        return u256(divided_by_two(x, u128(y)) >> 128)
    return u128(divided_by_many(x, y) >> 256)


@outline
def remainder_u256_wide(x: u256, y: u256) -> u256:
    """`x % y`, where not both are words."""
    if x < y:
        return x
    if y <= U64_MAX:
        return remainder_by_word(0, x, u64(y))
    if y <= U128_MAX:
        return u128(divided_by_two(x, u128(y)))
    return u256(divided_by_many(x, y))


@inline
@intrinsic(instructions.FEATURES, instructions.QUOTIENT_BY_WORD)
def quotient_by_word(above: u64, x: u256, y: u64) -> u256:
    """`(above * 2**256 + x) // y` modulo 2**256, where `above` < `y`."""
    power = y.bit_length() - 1
    if y == 1 << power and above == 0:
        return x >> power
    shift = 63 - power
    divisor = u64(y << shift)
    inverse = reciprocal(divisor)
    rest = shifted_word(u64(x >> 128), u64(x >> 64), shift)
    high = u128(0)
    if above or x > U128_MAX:
        rest = shifted_word(above, u64(x >> 192), shift)
        fourth = digit_1(rest, shifted_word(u64(x >> 192), u64(x >> 128), shift), divisor, inverse)
        third = digit_1(u64(fourth), shifted_word(u64(x >> 128), u64(x >> 64), shift), divisor, inverse)
        high = pair(u64(fourth >> 64), u64(third >> 64))
        rest = u64(third)
    second = digit_1(rest, shifted_word(u64(x >> 64), u64(x), shift), divisor, inverse)
    first = digit_1(u64(second), u64(u64(x) << shift), divisor, inverse)
    return u256(high) << 128 | pair(u64(second >> 64), u64(first >> 64))


@inline
@intrinsic(instructions.FEATURES, instructions.REMAINDER_BY_WORD)
def remainder_by_word(above: u64, x: u256, y: u64) -> u64:
    """`(above * 2**256 + x) % y`, or 0, where `above` < `y`."""
    if y & u64(y - 1) == 0:
        return u64(x) & (y - 1) if y else 0
    shift = 64 - y.bit_length()
    divisor = u64(y << shift)
    inverse = reciprocal(divisor)
    rest = shifted_word(u64(x >> 128), u64(x >> 64), shift)
    if above or x > U128_MAX:
        rest = shifted_word(above, u64(x >> 192), shift)
        rest = u64(digit_1(rest, shifted_word(u64(x >> 192), u64(x >> 128), shift), divisor, inverse))
        rest = u64(digit_1(rest, shifted_word(u64(x >> 128), u64(x >> 64), shift), divisor, inverse))
    rest = u64(digit_1(rest, shifted_word(u64(x >> 64), u64(x), shift), divisor, inverse))
    rest = u64(digit_1(rest, u64(u64(x) << shift), divisor, inverse))
    return rest >> shift


@inline
def divided_by_two(x: u256, y: u128) -> u512:
    """The quotient above the remainder (128 bits), for a `y` of two words."""
    shift = 64 - u64(y >> 64).bit_length()
    divisor = shifted_128(y, shift)
    inverse = reciprocal_of_two(divisor)
    fourth = shifted_word(u64(x >> 192), u64(x >> 128), shift)
    third = shifted_word(u64(x >> 128), u64(x >> 64), shift)
    rest = pair(fourth, third)
    top = u64(0)
    if x >> 192:
        highest = digit_2(pair(shifted_word(0, u64(x >> 192), shift), fourth), third, divisor, inverse)
        top = u64(highest >> 128)
        rest = u128(highest)
    second = digit_2(rest, shifted_word(u64(x >> 64), u64(x), shift), divisor, inverse)
    first = digit_2(u128(second), u64(u64(x) << shift), divisor, inverse)
    quotient = u256(top) << 128 | pair(u64(second >> 128), u64(first >> 128))
    return u512(quotient) << 128 | u128(first) >> shift


@inline
def divided_by_many(x: u256, y: u256) -> u512:
    """The quotient above the remainder (256 bits), for a `y` of three or four words that is not above `x`."""
    three = y <= U192_MAX
    if three:
        y = y << 64 & U256_MAX
    twice = three and x > U192_MAX
    if three and not twice:
        x = x << 64 & U256_MAX
    shift = 64 - u64(y >> 192).bit_length()
    divisor = shifted_256(y, 0, shift)
    inverse = reciprocal(u64(divisor >> 192))
    digit = digit_alone(shifted_256(x >> 64, u64(x), shift), u64(u64(x) << shift), divisor, inverse)
    quotient = u128(digit >> 256)
    if twice:
        digit = digit_alone(u256(digit), 0, divisor, inverse)
        quotient = pair(u64(quotient), u64(digit >> 256))
    rest = unshifted_256(u256(digit), shift)
    return u512(quotient) << 256 | (rest >> 64 if three else rest)


# 512 bits


@inline
def remainder_u512(x: u512, y: u256) -> u256:
    """`x % y`, or 0."""
    high = u256(x >> 256)
    low = u256(x)
    if high <= 1:  # a sum, of summands that are mostly below `y`
        below = low < y
        if below and high == 0:
            return low
        rest = (low - y) & U256_MAX
        if rest < y and below == (high == 1):
            return rest
    return remainder_u512_wide(high, low, y)


@outline
def remainder_u512_wide(high: u256, low: u256, y: u256) -> u256:
    """`(high * 2**256 + low) % y`, or 0."""
    if y <= U64_MAX:
        return remainder_by_word(remainder_by_word(0, high, u64(y)), low, u64(y))
    if y == U256_MAX:  # what the usual way to multiply to 512 bits in contracts divides by
        total = (high + low) & U256_MAX
        total = (total + (total < high)) & U256_MAX
        return total if total != U256_MAX else 0
    if y > U256_MAX - U64_MAX:
        return remainder_below_power(high, low, y)
    if high >= y:
        high = remainder_u256_wide(high, y)
    if high == 0:
        return remainder_u256_wide(low, y)
    return u256(divided_512(high, low, y))


@inline
def remainder_below_power(high: u256, low: u256, y: u256) -> u256:
    """`(high * 2**256 + low) % y`, for a `y` that is less than 2**64 below 2**256, as the primes of some curves are.

    Then 2**256 leaves a rest of one word.
    """
    rest = u64((0 - y) & U256_MAX)
    twice = folded_below_power(high, low, rest)
    less = (twice + rest) & U512_MAX  # `y`, modulo 2**256: there is a carry if `twice` is not below `y`
    return u256(less) if less > U256_MAX else u256(twice)


@inline
def folded_below_power(high: u256, low: u256, rest: u64) -> u512:
    """A number below twice `2**256 - rest` that leaves the same rest by it as `high * 2**256 + low`.

    The upper half times what 2**256 leaves takes its place: twice, and where that carries, there is less than 2**128.
    """
    once = u512(high) * rest + low
    return u512(u256(once)) + u128(u64(once >> 256)) * rest


@inline
def divided_512(high: u256, low: u256, y: u256) -> u512:
    """The quotient above the remainder (256 bits), for a `y` of two to four words that is above `high`."""
    words_less = u64(0)
    while y <= U192_MAX:
        high = (high << 64 | low >> 192) & U256_MAX
        low = low << 64 & U256_MAX
        y = y << 64 & U256_MAX
        words_less += 1
    shift = 64 - u64(y >> 192).bit_length()
    divisor = shifted_256(y, 0, shift)
    inverse = reciprocal_of_two(u128(divisor >> 128))
    rest = shifted_256(high, u64(low >> 192), shift)
    fourth = digit_4(rest, shifted_word(u64(low >> 192), u64(low >> 128), shift), divisor, inverse)
    third = digit_4(u256(fourth), shifted_word(u64(low >> 128), u64(low >> 64), shift), divisor, inverse)
    second = digit_4(u256(third), shifted_word(u64(low >> 64), u64(low), shift), divisor, inverse)
    first = digit_4(u256(second), u64(u64(low) << shift), divisor, inverse)
    rest = unshifted_256(u256(first), shift)
    while words_less:
        rest = rest >> 64
        words_less -= 1
    higher = pair(u64(fourth >> 256), u64(third >> 256))
    quotient = u256(higher) << 128 | pair(u64(second >> 256), u64(first >> 256))
    return u512(quotient) << 256 | rest


def divide_u512(x: u512, y: u512) -> u512:
    """`x // y`, or 0."""
    if y > U256_MAX:
        return divide_by_bits(x, y)
    if y == 0:
        return 0
    divisor = u256(y)
    higher = divide_u256(u256(x >> 256), divisor)
    above = remainder_u256(u256(x >> 256), divisor)
    low = u256(x)
    if above == 0:
        lower = divide_u256(low, divisor)
    elif y <= U64_MAX:
        lower = quotient_by_word(u64(above), low, u64(y))
    else:
        lower = u256(divided_512(above, low, divisor) >> 256)
    return u512(higher) << 256 | lower


def remainder_u512_wide_divisor(x: u512, y: u512) -> u512:
    """`x % y`, or 0: no instruction of a VM needs it."""
    return u512(x - divide_u512(x, y) * y) if y else 0


@outline
def divide_by_bits(x: u512, y: u512) -> u256:
    """`x // y` bit by bit, for a `y` of more than 256 bits: no instruction of a VM needs it."""
    if x < y:
        return 0
    count = x.bit_length() - y.bit_length()
    multiple = y << count & U512_MAX
    quotient = u256(0)
    for _ in range(count + 1):
        quotient = quotient << 1 & U256_MAX
        if x >= multiple:
            quotient |= 1
            x = (x - multiple) & U512_MAX
        multiple >>= 1
    return quotient
