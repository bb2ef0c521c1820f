"""`secp256k1.combine` for processors whose threads run in step, such as GPUs.

There a branch costs all threads of a group what it costs one. Digits that are mostly 0, at places that depend on the
scalar, would have hardly any group skip an addition. Here all digits are odd, at places that are the same for all
scalars: more additions for a thread, and fewer than a third for a group. M. Joye, M. Tunstall, "Exponent Recoding and
Regular Exponentiation Algorithms" (2009).
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U256_MAX, Ptr, local, outline, u16, u64, u128, u256

from .field256 import NEGATIVE
from .secp256k1 import (
    BASE_BITS,
    BASE_ENTRIES,
    BASE_WINDOW,
    POINT_ENTRIES,
    POINT_WINDOW,
    Point,
    add_base_multiple,
    add_multiple,
    double,
    fill_table,
    first_part,
    mul,
    second_part,
)

POINT_STEP: Final = POINT_WINDOW - 1
"""Bits from one digit to the next: odd digits below 2**POINT_STEP are what the tables have multiples for."""
POINT_DIGITS: Final = 128 // POINT_STEP + 1
BASE_STEP: Final = BASE_WINDOW - 1
BASE_DIGITS: Final = 128 // BASE_STEP + 1
PLACES: Final = 129
"""The last digit of `POINT_DIGITS` is at 128; that of `BASE_DIGITS` is before it."""


@outline
def odd_digits(digits: Ptr[u16], scalar: u128, step: u64, count: u64, negative: bool) -> None:
    """Write `scalar`, or one more if it is even, in base 2**step: with `count` digits, all odd, the lowest first.

    A negative digit is its magnitude and `NEGATIVE`; `negative` turns all signs around. 2**(step * count) > 2**128.
    """
    turn = u64(NEGATIVE if negative else 0)
    half = u64(1) << step
    rest = u128(scalar | 1)
    for i in range(count - 1):
        low = u64(rest) & (2 * half - 1)
        # The digit is low - half; what is left is odd again.
        magnitude = half - low if low < half else low - half
        digits[i] = u16(magnitude | (NEGATIVE if low < half else 0) ^ turn)
        rest = u128(rest >> (step + 1) << 1 | 1)
    digits[count - 1] = u16(u64(rest) & (half - 1) | turn)


@outline
def combine_in_step(p: Point, k: u256, m: u256, x: u256, y: u256) -> None:
    """Set `p` to k * G + m * (x, y), where (x, y) is a point; k and m are below N. See `secp256k1.combine`."""
    entries = local(u256, 3 * POINT_ENTRIES)
    scale = fill_table(entries, x, y)
    low = local(u16, BASE_DIGITS)
    high = local(u16, BASE_DIGITS)
    odd_digits(low, u128(k), BASE_STEP, BASE_DIGITS, False)
    odd_digits(high, u128(k >> BASE_BITS), BASE_STEP, BASE_DIGITS, False)
    part = first_part(m)
    first_negative = part >> 255 != 0
    first_size = u128((0 - part) & U256_MAX if first_negative else part)
    part = second_part(m)
    second_negative = part >> 255 != 0
    second_size = u128((0 - part) & U256_MAX if second_negative else part)
    first = local(u16, POINT_DIGITS)
    second = local(u16, POINT_DIGITS)
    odd_digits(first, first_size, POINT_STEP, POINT_DIGITS, first_negative)
    odd_digits(second, second_size, POINT_STEP, POINT_DIGITS, second_negative)
    p.x = 0
    p.y = 0
    p.z = 0
    place = u64(PLACES)
    while place > 0:
        place = place - 1
        double(p)
        if place % BASE_STEP == 0:
            at = place // BASE_STEP
            add_base_multiple(p, low[at], 0, scale)
            add_base_multiple(p, high[at], 2 * BASE_ENTRIES, scale)
        if place % POINT_STEP == 0:
            at = place // POINT_STEP
            digit = u64(first[at])
            entry = 3 * ((digit & (NEGATIVE - 1)) >> 1)
            add_multiple(p, digit, entries[entry], entries[entry + 1])
            digit = u64(second[at])
            entry = 3 * ((digit & (NEGATIVE - 1)) >> 1)
            add_multiple(p, digit, entries[entry + 2], entries[entry + 1])

    # Of even scalars one too many was added.
    if u64(k) & 1 == 0:
        add_base_multiple(p, 1 | NEGATIVE, 0, scale)
    if u64(k >> BASE_BITS) & 1 == 0:
        add_base_multiple(p, 1 | NEGATIVE, 2 * BASE_ENTRIES, scale)
    if u64(first_size) & 1 == 0:
        add_multiple(p, 1 if first_negative else 1 | NEGATIVE, entries[0], entries[1])
    if u64(second_size) & 1 == 0:
        add_multiple(p, 1 if second_negative else 1 | NEGATIVE, entries[2], entries[1])
    p.z = mul(p.z, scale)
