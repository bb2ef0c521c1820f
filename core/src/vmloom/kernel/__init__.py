"""Markers of the kernel language: plain typed Python that CPython runs and compilers translate.

A *kernel function* is an ordinary function in a small typed subset (see `subset`): parameters annotated
with the integer types below, `bool`, or a protocol that names a machine's vocabulary; assignments, `if`,
`while`, `for ... in range(...)`, `return`, `raise Halt(...)`, and calls of other kernel functions.

Three rules let one body mean the same everywhere:

* integers are exact, as in Python; a result that can leave its type is masked where it is computed
  (`(x + y) & U256_MAX`) or computed in a wider type (`u512(x) * y`);
* a cast truncates: `u64(x)` is `x & U64_MAX`; without one a value may only go where its range shows that it fits
  (a remainder fits the type of its divisor). `i64`, the signed type, is an annotation only;
* `a if c else b`, `and` and `or` evaluate only the side they need, so `x // y if y else 0` never divides by zero.

Importing this package costs nothing: no compiler is loaded, and the markers are C-level callables.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from .halt import Halt
from .specialise import specialise
from .wide import wrapping_pow

__all__ = [
    "U8_MAX",
    "U64_MAX",
    "U160_MAX",
    "U256_MAX",
    "Halt",
    "UInt",
    "i64",
    "specialise",
    "u8",
    "u64",
    "u160",
    "u256",
    "u512",
    "wrapping_pow",
]

U8_MAX = (1 << 8) - 1
U64_MAX = (1 << 64) - 1
U160_MAX = (1 << 160) - 1
U256_MAX = (1 << 256) - 1


class UInt(partial[int]):
    """An unsigned integer type of the kernel language: an annotation, and a truncating cast when called.

    `bits` is the width in bits. Compilers recognise the object in a function's globals.
    """

    bits: int

    @classmethod
    def of_width(cls, bits: int) -> UInt:
        """The type of unsigned integers of `bits` bits, 1 and up."""
        if bits < 1:
            raise ValueError(f"an integer type needs at least 1 bit, got {bits}")
        kind = cls(int.__and__, (1 << bits) - 1)
        kind.bits = bits
        return kind

    def __repr__(self) -> str:
        return f"u{self.bits}"


if TYPE_CHECKING:
    u8: TypeAlias = int
    u64: TypeAlias = int
    u160: TypeAlias = int
    u256: TypeAlias = int
    u512: TypeAlias = int
    i64: TypeAlias = int
else:
    u8 = UInt.of_width(8)
    u64 = UInt.of_width(64)
    u160 = UInt.of_width(160)
    u256 = UInt.of_width(256)
    u512 = UInt.of_width(512)
    i64 = int  # the one signed type: refund counters, which may go below zero inside a frame
