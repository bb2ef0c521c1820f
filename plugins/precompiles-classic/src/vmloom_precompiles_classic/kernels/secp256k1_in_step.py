"""`secp256k1.combine` for processors whose threads run in step, such as GPUs.

There a branch costs all threads of a group what it costs one. Digits that are mostly 0, at places that depend on the
scalar, would have hardly any group skip an addition. Here all digits are odd, at places that are the same for all
scalars: more additions for a thread, and fewer than a third for a group. M. Joye, M. Tunstall, "Exponent Recoding and
Regular Exponentiation Algorithms" (2009). Such a digit can be told from the scalar alone, so none are kept.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U256_MAX, Ptr, inline, local, outline, u64, u128, u256

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
    sub,
)

POINT_STEP: Final = POINT_WINDOW - 1
"""Bits from one digit to the next: odd digits below 2**POINT_STEP are what the tables have multiples for."""
BASE_STEP: Final = BASE_WINDOW - 1
LAST_BASE_PLACE: Final = 128 // BASE_STEP * BASE_STEP
PLACES: Final = 128
"""Here, behind all bits of a scalar, stands the last digit of those for the point, which is always 1."""


@inline
def odd_digit(scalar: u128, place: u64, step: u64, last: bool) -> u64:
    """The digit at `place` of `scalar`, or of one more if it is even, in base 2**step with digits that are all odd.

    A negative digit is its magnitude and `NEGATIVE`. Places are multiples of `step`; the last digit is what is left.
    """
    half = u64(1) << step
    window = u64(scalar >> place) & (2 * half - 1) | 1
    if last:
        return window & (half - 1)
    return half - window | NEGATIVE if window < half else window - half


@inline
def add_point_multiple(p: Point, digit: u64, entries: Ptr[u256], is_second: u64) -> None:
    """Add a multiple of the point of the table, or of lambda times it."""
    entry = 3 * ((digit & (NEGATIVE - 1)) >> 1)
    add_multiple(p, digit, entries[entry + 2 * is_second], entries[entry + 1])


@outline
def combine_in_step(p: Point, k: u256, m: u256, x: u256, y: u256) -> None:
    """Set `p` to k * G + m * (x, y), where (x, y) is a point; k and m are below N. See `secp256k1.combine`."""
    entries = local(u256, 3 * POINT_ENTRIES)
    scale = fill_table(entries, x, y)
    low = u128(k)
    high = u128(k >> BASE_BITS)
    part = first_part(m)
    first_sign = u64(NEGATIVE if part >> 255 != 0 else 0)
    first = u128((0 - part) & U256_MAX if first_sign else part)
    part = second_part(m)
    second_sign = u64(NEGATIVE if part >> 255 != 0 else 0)
    second = u128((0 - part) & U256_MAX if second_sign else part)
    p.x = entries[0]
    p.y = sub(0, entries[1]) if first_sign else entries[1]
    p.z = 1
    add_point_multiple(p, 1 | second_sign, entries, 1)
    place = u64(PLACES)
    while place > 0:
        place = place - 1
        double(p)
        if place % BASE_STEP == 0:
            add_base_multiple(p, odd_digit(low, place, BASE_STEP, place == LAST_BASE_PLACE), 0, scale)
            add_base_multiple(p, odd_digit(high, place, BASE_STEP, place == LAST_BASE_PLACE), 2 * BASE_ENTRIES, scale)
        if place % POINT_STEP == 0:
            add_point_multiple(p, odd_digit(first, place, POINT_STEP, False) ^ first_sign, entries, 0)
            add_point_multiple(p, odd_digit(second, place, POINT_STEP, False) ^ second_sign, entries, 1)

    # Of even scalars one too many was added.
    if low & 1 == 0:
        add_base_multiple(p, 1 | NEGATIVE, 0, scale)
    if high & 1 == 0:
        add_base_multiple(p, 1 | NEGATIVE, 2 * BASE_ENTRIES, scale)
    if first & 1 == 0:
        add_point_multiple(p, 1 | NEGATIVE ^ first_sign, entries, 0)
    if second & 1 == 0:
        add_point_multiple(p, 1 | NEGATIVE ^ second_sign, entries, 1)
    p.z = mul(p.z, scale)
