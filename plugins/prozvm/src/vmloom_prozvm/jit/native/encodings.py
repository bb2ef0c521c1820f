"""Kernels that generated code calls for powers, and for the canonical CBOR of integers and digests."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, Halt, Ptr, byteswap, i64, store, table, u8, u16, u32, u64, u128

NOT_HERE: Final = 1
"""Why `power` halts: the interpreter is to do it."""
DIGITS: Final = table(u8, b"0123456789abcdef")


def power(base: i64, exponent: i64) -> i64:
    """`base` to the power of `exponent`. Halts if the exponent is negative, or the result has more than 64 bits."""
    if exponent < 0:
        raise Halt(NOT_HERE)
    rest = u64(exponent)
    negative = base < 0 and rest & 1 != 0
    most = u64(1 << 63) if negative else u64((1 << 63) - 1)
    factor = u64(-base) if base < 0 else u64(base)
    result = u64(1)
    while rest != 0:
        if rest & 1 != 0:
            product = u128(result) * factor
            if product > most:
                raise Halt(NOT_HERE)
            result = u64(product)
        rest = rest >> 1
        if rest != 0:
            square = u128(factor) * factor
            if square > U64_MAX:
                raise Halt(NOT_HERE)
            factor = u64(square)
    return -i64(result) if negative else i64(result)


def put_integer(place: Ptr[u8], value: i64) -> Ptr[u8]:
    """Write the shortest encoding of an integer; where it ends. RFC 8949, section 3.1."""
    major = u8(0x20 if value < 0 else 0)
    argument = u64(-1 - value) if value < 0 else u64(value)
    if argument < 24:
        place[0] = u8(major + argument)
        return place + 1
    if argument < 1 << 8:
        place[0] = u8(major + 24)
        place[1] = u8(argument)
        return place + 2
    if argument < 1 << 16:
        place[0] = u8(major + 25)
        store(u16, place + 1, byteswap(u16, u16(argument)))
        return place + 3
    if argument < 1 << 32:
        place[0] = u8(major + 26)
        store(u32, place + 1, byteswap(u32, u32(argument)))
        return place + 5
    place[0] = u8(major + 27)
    store(u64, place + 1, byteswap(u64, argument))
    return place + 9


def put_digest(place: Ptr[u8], first: u64, second: u64, third: u64, fourth: u64) -> Ptr[u8]:
    """Write the encoding of the hexadecimal digits of a digest, of which these are the words; where it ends."""
    place[0] = 0x78  # a string whose length is in the next byte
    place[1] = 64
    put_digits(place + 2, first)
    put_digits(place + 18, second)
    put_digits(place + 34, third)
    put_digits(place + 50, fourth)
    return place + 66


def put_digits(place: Ptr[u8], word: u64) -> None:
    """Write the 16 digits of 8 bytes, the lowest first."""
    for index in range(8):
        byte = word >> 8 * index & 0xFF
        place[2 * index] = DIGITS[byte >> 4]
        place[2 * index + 1] = DIGITS[byte & 15]
