"""Markers of the kernel language: plain typed Python that CPython runs and compilers translate.

A *kernel function* is an ordinary function in a small typed subset (see `subset`): parameters annotated with the
integer types below, `bool`, `bytes`, pointers, structs, or a protocol that names a machine's vocabulary;
assignments, `if`, `while`, `for ... in range(...)`, `return`, `raise Halt(...)`, and calls of other kernel functions.

Four rules let one body mean the same everywhere:

* integers are exact, as in Python; a result that can leave its type is masked where it is computed
  (`(x + y) & U256_MAX`) or computed in a wider type (`u512(x) * y`);
* a cast truncates: `u64(x)` is `x & U64_MAX`; without one a value may only go where its range shows that it fits
  (a remainder fits the type of its divisor). `i64`, the signed type, is an annotation only;
* `a if c else b`, `and` and `or` evaluate only the side they need, so `x // y if y else 0` never divides by zero;
* memory is that of the process: `Ptr` and structs refer to it by address, and nothing checks the address.

Importing this package costs nothing: no compiler is loaded, casts are C-level callables, and what works on memory is
imported when one of its names is asked for.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from .bits import byteswap, count_ones, rotate_left, rotate_right, trailing_zeros
from .halt import Halt, attempt
from .inline import inline, intrinsic, outline, unlikely
from .specialise import specialise
from .wide import wrapping_pow

if TYPE_CHECKING:
    from .memory import (
        Ptr,
        Table,
        address_of,
        copy,
        fill,
        is_null,
        load,
        local,
        pointer,
        size_of,
        start,
        store,
        table,
        view,
    )
    from .structs import Field, embedded, fields_of, struct

__all__ = [
    "U8_MAX",
    "U16_MAX",
    "U32_MAX",
    "U64_MAX",
    "U128_MAX",
    "U160_MAX",
    "U256_MAX",
    "U512_MAX",
    "Field",
    "Halt",
    "Ptr",
    "Table",
    "UInt",
    "address_of",
    "attempt",
    "byteswap",
    "copy",
    "count_ones",
    "embedded",
    "fields_of",
    "fill",
    "i64",
    "inline",
    "intrinsic",
    "is_null",
    "load",
    "local",
    "outline",
    "pointer",
    "rotate_left",
    "rotate_right",
    "size_of",
    "specialise",
    "start",
    "store",
    "struct",
    "table",
    "trailing_zeros",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "u160",
    "u256",
    "u512",
    "unlikely",
    "view",
    "wrapping_pow",
]

_LAZY = {"Field": "structs", "embedded": "structs", "fields_of": "structs", "struct": "structs"}
_LAZY |= dict.fromkeys(
    (
        "Ptr",
        "Table",
        "address_of",
        "copy",
        "fill",
        "is_null",
        "load",
        "local",
        "pointer",
        "size_of",
        "start",
        "store",
        "table",
        "view",
    ),
    "memory",
)


def __getattr__(name: str) -> object:
    """What works on memory is loaded when it is first asked for: it needs ctypes, and most kernels do not."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    return found


U8_MAX = (1 << 8) - 1
U16_MAX = (1 << 16) - 1
U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1
U128_MAX = (1 << 128) - 1
U160_MAX = (1 << 160) - 1
U256_MAX = (1 << 256) - 1
U512_MAX = (1 << 512) - 1


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
    u16: TypeAlias = int
    u32: TypeAlias = int
    u64: TypeAlias = int
    u128: TypeAlias = int
    u160: TypeAlias = int
    u256: TypeAlias = int
    u512: TypeAlias = int
    i64: TypeAlias = int
else:
    u8 = UInt.of_width(8)
    u16 = UInt.of_width(16)
    u32 = UInt.of_width(32)
    u64 = UInt.of_width(64)
    u128 = UInt.of_width(128)
    u160 = UInt.of_width(160)
    u256 = UInt.of_width(256)
    u512 = UInt.of_width(512)
    i64 = int  # the one signed type: refund counters, which may go below zero inside a frame
