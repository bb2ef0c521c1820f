"""Operations on an integer's bits that machines have an instruction for and Python's operators do not.

The first argument is the type: `rotate_left(u64, x, 13)`. Values lie inside it; the results do as well.
"""

from __future__ import annotations

from typing import TypeAlias

Unsigned: TypeAlias = type[int]  # what mypy takes `u64` for


def byteswap(kind: Unsigned, x: int) -> int:
    """`x` with its bytes in reverse order. The width of `kind` is a multiple of 8."""
    size = width(kind) // 8
    return int.from_bytes(x.to_bytes(size, "little"), "big")


def rotate_left(kind: Unsigned, x: int, count: int) -> int:
    """`x` with its bits rotated by `count`, modulo the width, towards the most significant."""
    bits = width(kind)
    count %= bits
    return (x << count | x >> (bits - count)) & ((1 << bits) - 1)


def rotate_right(kind: Unsigned, x: int, count: int) -> int:
    """`x` with its bits rotated by `count`, modulo the width, towards the least significant."""
    bits = width(kind)
    return rotate_left(kind, x, bits - count % bits)


def count_ones(kind: Unsigned, x: int) -> int:  # noqa: ARG001 (compilers need the width)
    """How many bits of `x` are 1."""
    return x.bit_count()


def trailing_zeros(kind: Unsigned, x: int) -> int:
    """How many bits of `x` below its lowest 1 are 0; the width of `kind` if `x` is 0."""
    return (x & -x).bit_length() - 1 if x else width(kind)


def width(kind: object) -> int:
    """The number of bits of an unsigned integer type. Not a kernel function.

    Raises `TypeError` for anything else.
    """
    bits = getattr(kind, "bits", None)
    if not isinstance(bits, int):
        raise TypeError(f"{kind!r} is not an unsigned integer type")
    return bits
