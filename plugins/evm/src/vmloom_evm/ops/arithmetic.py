"""Integer arithmetic modulo 2**256. Signed ops read words as two's complement."""

from __future__ import annotations

from vmloom.kernel import U256_MAX, inline, u64, u256, u512, wrapping_pow

from ..gas import use_gas
from ..machine import Machine
from ..table import op

SIGN_BIT = 1 << 255
SIGNS_OF_BYTE = U256_MAX ^ 0x7F
"""The sign of the lowest byte, and all bits above it."""


def negate(x: u256) -> u256:
    """The two's complement of `x`."""
    return (0 - x) & U256_MAX


def magnitude(x: u256) -> u256:
    """The absolute value of the signed word `x`; that of -2**255 is 2**255."""
    return negate(x) if x & SIGN_BIT else x


@inline
def word_of_byte(x: u256, place: u64) -> u64:
    """The 64 bits of `x` in which byte `place` stands, which is at most 31 and counted from the least significant.

    One of two words is chosen by a mask: of two choices in a row, LLVM makes a shift of all of `x`, through memory.
    """
    low = u64(x >> 64) if place & 8 else u64(x)
    high = u64(x >> 192) if place & 8 else u64(x >> 128)
    return low ^ (low ^ high) & u64(0 - (place >> 4))


@op(0x01, "ADD")
def add(x: u256, y: u256) -> u256:
    """`x + y`, wrapping."""
    return (x + y) & U256_MAX


@op(0x02, "MUL")
def mul(x: u256, y: u256) -> u256:
    """`x * y`, wrapping."""
    return (x * y) & U256_MAX


@op(0x03, "SUB")
def sub(x: u256, y: u256) -> u256:
    """`x - y`, wrapping."""
    return (x - y) & U256_MAX


@op(0x04, "DIV")
def div(x: u256, y: u256) -> u256:
    """`x // y`; by zero it is zero."""
    return x // y if y else 0


@op(0x05, "SDIV")
def sdiv(x: u256, y: u256) -> u256:
    """Signed `x / y` rounded towards zero; by zero it is zero; -2**255 / -1 wraps to -2**255."""
    if y == 0:
        return 0
    quotient = magnitude(x) // magnitude(y)
    return negate(quotient) if (x ^ y) & SIGN_BIT else quotient


@op(0x06, "MOD")
def mod(x: u256, y: u256) -> u256:
    """`x % y`; by zero it is zero."""
    return x % y if y else 0


@op(0x07, "SMOD")
def smod(x: u256, y: u256) -> u256:
    """Signed remainder with the sign of `x`; by zero it is zero."""
    if y == 0:
        return 0
    remainder = magnitude(x) % magnitude(y)
    return negate(remainder) if x & SIGN_BIT else remainder


@op(0x08, "ADDMOD")
def addmod(x: u256, y: u256, modulus: u256) -> u256:
    """`(x + y) % modulus` with a 257-bit sum; by zero it is zero."""
    return (u512(x) + y) % modulus if modulus else 0


@op(0x09, "MULMOD")
def mulmod(x: u256, y: u256, modulus: u256) -> u256:
    """`(x * y) % modulus` with a 512-bit product; by zero it is zero."""
    return (u512(x) * y) % modulus if modulus else 0


@op(0x0A, "EXP")
def exp(m: Machine, base: u256, exponent: u256) -> u256:
    """`base ** exponent`, wrapping; gas grows with the bytes of the exponent. EIP-160."""
    size = (exponent.bit_length() + 7) // 8
    use_gas(m, m.rules.exp_byte * size)
    return wrapping_pow(base, exponent)


@op(0x0B, "SIGNEXTEND")
def signextend(width: u256, value: u256) -> u256:
    """Extend the sign of the (`width` + 1)-byte integer in `value` to 256 bits; `width` >= 31 leaves it alone."""
    if width > 31:
        return value
    place = u64(width)
    signs = (SIGNS_OF_BYTE << place * 8) & U256_MAX
    leading = word_of_byte(value, place) << ((place ^ 7) * 8 & 63)  # its highest bit is the sign
    sign = U256_MAX if leading & 1 << 63 else 0
    return value ^ ((value ^ sign) & signs)
