"""Natural numbers of any size, as arrays of 64-bit words, the lowest first. For numbers that are public.

Sizes are in words. Results may be written over arguments only where that is said.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, U128_MAX, Ptr, inline, outline, u64, u128, unlikely

WORD: Final = 64
"""bits"""


@inline
def pair(high: u64, low: u64) -> u128:
    """high * 2**64 + low."""
    return u128(high) << 64 | low


@outline
def clear(out: Ptr[u64], size: u64) -> None:
    """0."""
    for i in range(size):
        out[i] = 0


@outline
def copy_words(out: Ptr[u64], x: Ptr[u64], size: u64) -> None:
    """x."""
    for i in range(size):
        out[i] = x[i]


@inline
def length(x: Ptr[u64], size: u64) -> u64:
    """The size of x without zeros at the top."""
    while size != 0 and x[size - 1] == 0:
        size = size - 1
    return size


# Sums


@outline
def add(out: Ptr[u64], x: Ptr[u64], y: Ptr[u64], size: u64) -> u64:
    """x + y, and the carry returned. `out` may be x or y."""
    carry = u64(0)
    for i in range(size):
        total = u128(x[i]) + y[i] + carry
        out[i] = u64(total)
        carry = u64(total >> 64)
    return carry


@outline
def subtract(out: Ptr[u64], x: Ptr[u64], y: Ptr[u64], size: u64) -> u64:
    """x - y, and the borrow returned. `out` may be x or y."""
    borrow = u64(0)
    for i in range(size):
        difference = (u128(x[i]) - y[i] - borrow) & U128_MAX
        out[i] = u64(difference)
        borrow = u64(difference >> 64) & 1
    return borrow


@outline
def is_below(x: Ptr[u64], y: Ptr[u64], size: u64) -> bool:
    """Whether x < y."""
    while size != 0:
        size = size - 1
        if x[size] != y[size]:
            return x[size] < y[size]
    return False


# Shifts


@outline
def shift_left(out: Ptr[u64], x: Ptr[u64], size: u64, count: u64) -> u64:
    """x shifted by less than a word, and what falls out at the top returned. `out` may be x."""
    below = u64(0)
    for i in range(size):
        word = x[i]
        out[i] = u64((pair(word, below) << count & U128_MAX) >> 64)
        below = word
    return u64((u128(below) << count & U128_MAX) >> 64)


@outline
def shift_right(out: Ptr[u64], x: Ptr[u64], size: u64, count: u64) -> None:
    """x shifted by less than a word. `out` may be x, or below it."""
    for i in range(size):
        out[i] = u64(pair(x[i + 1] if i + 1 < size else u64(0), x[i]) >> count)


# Products


@inline
def add_step(out: Ptr[u64], x: Ptr[u64], i: u64, y: u64, carry: u64) -> u64:
    """A step of `add_product`."""
    total = u128(x[i]) * y + out[i] + carry
    out[i] = u64(total)
    return u64(total >> 64)


@outline
def add_product(out: Ptr[u64], x: Ptr[u64], size: u64, y: u64) -> u64:
    """Add x * y to `out`; the carry is returned."""
    carry = u64(0)
    i = u64(0)
    while i + 4 <= size:
        carry = add_step(out, x, i, y, carry)
        carry = add_step(out, x, i + 1, y, carry)
        carry = add_step(out, x, i + 2, y, carry)
        carry = add_step(out, x, i + 3, y, carry)
        i = i + 4
    while i < size:
        carry = add_step(out, x, i, y, carry)
        i = i + 1
    return carry


@outline
def subtract_product(out: Ptr[u64], x: Ptr[u64], size: u64, y: u64) -> u64:
    """Subtract x * y from `out`; what is lacking is returned."""
    borrow = u64(0)
    for i in range(size):
        product = u128(x[i]) * y + borrow
        word = out[i]
        out[i] = u64(word - u64(product))
        borrow = u64(product >> 64) + u64(word < u64(product))
    return borrow


@outline
def multiply(out: Ptr[u64], x: Ptr[u64], x_size: u64, y: Ptr[u64], y_size: u64) -> None:
    """x * y, of as many words as both have together."""
    clear(out, x_size)
    for i in range(y_size):
        out[x_size + i] = add_product(out + i, x, x_size, y[i])


@outline
def multiply_low(out: Ptr[u64], x: Ptr[u64], y: Ptr[u64], size: u64) -> None:
    """x * y modulo 2**(64 * size)."""
    clear(out, size)
    for i in range(size):
        add_product(out + i, x, size - i, y[i])


@outline
def square(out: Ptr[u64], x: Ptr[u64], size: u64) -> None:
    """x * x, of twice the size: products of different words are computed once and doubled."""
    clear(out, 2 * size)
    for i in range(size):
        out[size + i] = add_product(out + (2 * i + 1), x + (i + 1), size - i - 1, x[i])
    above = u64(0)
    carry = u64(0)
    for i in range(size):
        low = out[2 * i]
        high = out[2 * i + 1]
        total = u128(x[i]) * x[i] + carry
        first = u128(u64(total)) + u64(low << 1 | above)
        second = u128(u64(total >> 64)) + u64(high << 1 | low >> 63) + u64(first >> 64)
        out[2 * i] = u64(first)
        out[2 * i + 1] = u64(second)
        above = high >> 63
        carry = u64(second >> 64)


# Remainders


@outline
def reciprocal(divisor: u64) -> u64:
    """(2**128 - 1) // divisor - 2**64, of a word whose highest bit is set."""
    return u64(u128(U128_MAX) // divisor)


@inline
def digit(high: u64, low: u64, divisor: u64, inverse: u64) -> u128:
    """The quotient of two words by one, and below it the rest; `high` is below the divisor, `inverse` its reciprocal.

    Möller and Granlund, "Improved division by invariant integers" (2011), algorithm 4.
    """
    estimate = (u128(inverse) * high + pair(high, low)) & U128_MAX
    quotient = u64(u64(estimate >> 64) + 1)
    rest = u64(low - quotient * divisor)
    if rest > u64(estimate):
        quotient = u64(quotient - 1)
        rest = u64(rest + divisor)
    if unlikely(rest >= divisor):
        quotient = u64(quotient + 1)
        rest = rest - divisor
    return pair(quotient, rest)


@inline
def estimated_digit(x: Ptr[u64], divisor: Ptr[u64], size: u64, inverse: u64) -> u64:
    """The quotient of the `size` + 1 words of x by the divisor, or a little more."""
    top = divisor[size - 1]
    if unlikely(x[size] >= top):
        return u64(U64_MAX)
    found = digit(x[size], x[size - 1], top, inverse)
    quotient = u64(found >> 64)
    rest = u64(found)
    if size > 1:
        while u128(quotient) * divisor[size - 2] > pair(rest, x[size - 2]):
            quotient = quotient - 1
            rest = u64(rest + top)
            if rest < top:  # it has 65 bits
                break
    return quotient


@outline
def remainder(x: Ptr[u64], x_size: u64, divisor: Ptr[u64], size: u64) -> None:
    """Let the lower `size` words of x be its remainder; the others become 0.

    The divisor's highest bit is set, and its highest word is more than that of x. Knuth, The Art of Computer
    Programming, volume 2, algorithm 4.3.1 D.
    """
    inverse = reciprocal(divisor[size - 1])
    for i in range(x_size - size):
        part = x + (x_size - size - 1 - i)
        lacking = subtract_product(part, divisor, size, estimated_digit(part, divisor, size, inverse))
        top = u64(part[size] - lacking)
        while top != 0:  # the estimate was more
            top = u64(top + add(part, part, divisor, size))
        part[size] = 0


# Modulo odd numbers: P. L. Montgomery, "Modular Multiplication Without Trial Division" (1985)


@inline
def inverse_of_word(x: u64) -> u64:
    """1 / x modulo 2**64, for odd x: each step of Newton's doubles the right bits, 5 to begin with."""
    inverse = u64(u64(3 * x) ^ 2)
    for _ in range(4):
        inverse = u64(inverse * u64(2 - x * inverse))
    return inverse


@outline
def reduce(out: Ptr[u64], x: Ptr[u64], modulus: Ptr[u64], size: u64, negated_inverse: u64) -> None:
    """x / 2**(64 * size) modulo the modulus. x has twice the size, is below modulus * 2**(64 * size), and is lost."""
    for i in range(size):
        # This makes x[i] 0, so that there is room for the carry, which belongs to x[i + size].
        x[i] = add_product(x + i, modulus, size, u64(x[i] * negated_inverse))
    carry = add(out, x + size, x, size)
    if carry != 0 or not is_below(out, modulus, size):
        subtract(out, out, modulus, size)
