"""Comparison, bit logic and shifts. Signed ops read words as two's complement."""

from __future__ import annotations

from vmloom.kernel import U256_MAX, u64, u256, u512

from ..table import op
from .arithmetic import SIGN_BIT, word_of_byte


@op(0x10, "LT")
def lt(x: u256, y: u256) -> u256:
    """1 if `x < y`, else 0."""
    return 1 if x < y else 0


@op(0x11, "GT")
def gt(x: u256, y: u256) -> u256:
    """1 if `x > y`, else 0."""
    return 1 if x > y else 0


@op(0x12, "SLT")
def slt(x: u256, y: u256) -> u256:
    """Signed less-than: flipping the sign bit maps signed order to unsigned order."""
    return 1 if (x ^ SIGN_BIT) < (y ^ SIGN_BIT) else 0


@op(0x13, "SGT")
def sgt(x: u256, y: u256) -> u256:
    """Signed greater-than."""
    return 1 if (x ^ SIGN_BIT) > (y ^ SIGN_BIT) else 0


@op(0x14, "EQ")
def eq(x: u256, y: u256) -> u256:
    """1 if equal, else 0."""
    return 1 if x == y else 0


@op(0x15, "ISZERO")
def iszero(x: u256) -> u256:
    """1 if `x` is 0, else 0."""
    return 0 if x else 1


@op(0x16, "AND")
def and_(x: u256, y: u256) -> u256:
    """Bits set in both."""
    return x & y


@op(0x17, "OR")
def or_(x: u256, y: u256) -> u256:
    """Bits set in either."""
    return x | y


@op(0x18, "XOR")
def xor(x: u256, y: u256) -> u256:
    """Bits set in one only."""
    return x ^ y


@op(0x19, "NOT")
def not_(x: u256) -> u256:
    """Every bit flipped."""
    return x ^ U256_MAX


@op(0x1A, "BYTE")
def byte(index: u256, word: u256) -> u256:
    """Byte `index` of `word`, counted from the most significant; 0 from 32 on."""
    if index >= 32:
        return 0
    place = 31 - u64(index)
    return word_of_byte(word, place) >> (place * 8 & 63) & 0xFF


@op(0x1B, "SHL")
def shl(shift: u256, value: u256) -> u256:
    """`value << shift`, wrapping; 0 from 256 on. EIP-145."""
    return (value << shift) & U256_MAX if shift < 256 else 0


@op(0x1C, "SHR")
def shr(shift: u256, value: u256) -> u256:
    """`value >> shift`; 0 from 256 on. EIP-145."""
    return value >> shift if shift < 256 else 0


@op(0x1D, "SAR")
def sar(shift: u256, value: u256) -> u256:
    """Signed `value >> shift`; from 256 on, all copies of the sign. EIP-145."""
    sign = U256_MAX if value & SIGN_BIT else 0
    if shift >= 256:
        return sign
    return u256((u512(sign) << 256 | value) >> shift & U256_MAX)


@op(0x1E, "CLZ")
def clz(value: u256) -> u256:
    """Leading zero bits; 256 of zero. EIP-7939."""
    return 256 - value.bit_length()
