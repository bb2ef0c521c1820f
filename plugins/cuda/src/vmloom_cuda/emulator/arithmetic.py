"""Instructions on integers that are more than an expression of Python, as the PTX ISA defines them.

Operands and results are bit patterns: integers from 0, of the width of the instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_ALL_32: Final = 0xFFFFFFFF


def signed(value: int, width: int) -> int:
    """The number that a bit pattern stands for in two's complement."""
    return value - (1 << width) if value >> (width - 1) else value


def saturated(value: int, width: int, sign: bool) -> int:
    """The pattern of the nearest number that the width holds."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if sign else (0, (1 << width) - 1)
    return min(max(value, low), high) & ((1 << width) - 1)


def quotient(a: int, b: int) -> int:
    """`a / b`, towards zero."""
    result = abs(a) // abs(b)
    return result if (a < 0) == (b < 0) else -result


def remainder(a: int, b: int) -> int:
    """What `quotient` leaves: it has the sign of `a`."""
    return a - b * quotient(a, b)


def reverse(value: int, width: int) -> int:
    """`brev`: the bits from the last one to the first."""
    return int(f"{value:0{width}b}"[::-1], 2)


def field(value: int, start: int, length: int, width: int, sign: bool) -> int:
    """`bfe`: `length` bits from bit `start` on; beyond the highest one there are copies of the sign, or zeros."""
    start, length = start & 255, length & 255
    bits = value >> start & ((1 << length) - 1)
    if not sign or length == 0:
        return bits
    highest = value >> min(start + length - 1, width - 1) & 1
    present = max(min(length, width - start), 0)
    return (bits | -highest << present) & ((1 << width) - 1)


def inserted(part: int, value: int, start: int, length: int, width: int) -> int:
    """`bfi`: `value` with its `length` bits from bit `start` on replaced by the lowest ones of `part`."""
    start, length = start & 255, length & 255
    mask = ((1 << length) - 1) << start & ((1 << width) - 1)
    return value & ~mask | part << start & mask


def highest(value: int, width: int, sign: bool, shift: bool) -> int:
    """`bfind`: the place of the highest bit that is no copy of the sign, or its distance to the top; or all ones."""
    if sign and value >> (width - 1):
        value ^= (1 << width) - 1
    place = value.bit_length() - 1
    return _ALL_32 if place < 0 else width - 1 - place if shift else place


def extended(value: int, bits: int, sign: bool, wrap: bool) -> int:
    """`szext`: the lowest `bits` of 32, with copies of their sign or zeros above them."""
    bits = bits & 31 if wrap else min(bits, 32)
    low = value & ((1 << bits) - 1)
    return low | -1 << bits & _ALL_32 if sign and bits and low >> (bits - 1) else low


def mask(start: int, length: int, wrap: bool) -> int:
    """`bmsk`: `length` ones from bit `start` on."""
    start, length = (start & 31, length & 31) if wrap else (min(start, 32), min(length, 32))
    return ((1 << length) - 1) << start & _ALL_32


def looked_up(a: int, b: int, c: int, table: int) -> int:
    """`lop3`: for each bit, that of the table which the three bits choose."""
    result = 0
    for row in range(8):
        if table >> row & 1:
            result |= (a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c)
    return result & _ALL_32


def permuted(a: int, b: int, selectors: int) -> int:
    """`prmt`: four of the eight bytes of `b * 2**32 + a`; a selector's bit 3 asks for copies of the byte's sign."""
    both, result = b << 32 | a, 0
    for place in range(4):
        selector = selectors >> 4 * place & 15
        byte = both >> 8 * (selector & 7) & 255
        if selector & 8:
            byte = 255 if byte >> 7 else 0
        result |= byte << 8 * place
    return result


def permuted_by(mode: str, a: int, b: int, control: int) -> int:
    """`prmt` with a mode, which makes the selectors from two bits."""
    start = control & 3
    chosen: dict[str, Callable[[int], int]] = {
        "f4e": lambda place: start + place,
        "b4e": lambda place: (start - place) & 7,
        "rc8": lambda _: start,
        "ecl": lambda place: max(start, place),
        "ecr": lambda place: min(start, place),
        "rc16": lambda place: 2 * (start & 1) + (place & 1),
    }
    return permuted(a, b, sum(chosen[mode](place) << 4 * place for place in range(4)))


def funnelled(low: int, high: int, count: int, left: bool) -> int:
    """`shf`: 64 bits shifted by 0 to 32, of which the upper word (left) or the lower one (right) is the result."""
    both = high << 32 | low
    return both << count >> 32 & _ALL_32 if left else both >> count & _ALL_32


def dotted(a: int, b: int, c: int, signs: tuple[bool, bool]) -> int:
    """`dp4a`: the sum of four products of bytes, and `c`."""
    total = c
    for place in range(0, 32, 8):
        x, y = a >> place & 255, b >> place & 255
        total += (signed(x, 8) if signs[0] else x) * (signed(y, 8) if signs[1] else y)
    return total & _ALL_32


def dotted_pairs(a: int, b: int, c: int, signs: tuple[bool, bool], high: bool) -> int:
    """`dp2a`: the sum of two products of a half word and a byte, from the lower or the upper half of `b`, and `c`."""
    total = c
    for place in range(2):
        x, y = a >> 16 * place & 0xFFFF, b >> 8 * (place + 2 * high) & 255
        total += (signed(x, 16) if signs[0] else x) * (signed(y, 8) if signs[1] else y)
    return total & _ALL_32
