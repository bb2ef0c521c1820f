"""Values of compiled code as they are computed, with what is known of them, and the text that computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

WIDTHS: Final = (1, 64, 128, 256, 512)
"""Bits in which values are computed."""


@dataclass(frozen=True, slots=True)
class Value:
    """An integer: LLVM's name of it or its digits, its width, and its range. Of width 0 it is a pointer.

    Where the range leaves the width, as a difference below 0 does, only the low bits count.
    """

    text: str
    width: int
    low: int = 0
    high: int = 0
    multiple: tuple[Value, int] | None = field(default=None, compare=False)
    """What it is the product of, if one factor is known: a division of it may multiply by a fraction at once."""
    rest: tuple[Value, int] | None = field(default=None, compare=False)
    """What it is the rest of, and of the division by what: the same, for another division by that."""

    @property
    def bare(self) -> Value:
        """Without what it was made of, so that long chains of operations are no long chains of values."""
        return Value(self.text, self.width, self.low, self.high)

    @property
    def constant(self) -> int | None:
        """The number that it is, if that is known."""
        return self.low if self.low == self.high and self.width else None


ViewValue: TypeAlias = tuple[Value, Value]
Given: TypeAlias = Any
"""A `Value`, a `ViewValue`, or a machine."""


def number(value: int, width: int = 0) -> Value:
    """A constant, at least 0."""
    width = width or narrowest(value)
    return Value(("true" if value else "false") if width == 1 else str(value), width, value, value)


def narrowest(high: int) -> int:
    """The least width for values up to `high`."""
    return next(width for width in WIDTHS if high >> width == 0)


MOST_PRODUCTS: Final = 64
"""Products of words that are written out row by row in one contract: each takes LLVM about 2 ms."""
MOST_WRAPPING: Final = 16
"""Products modulo 2**256 that are, too, of the first in a contract: each takes LLVM about a millisecond more."""


class Writer:
    """LLVM's text of a function, as it is written: `label` is the block in which control is.

    `products` more products of words may be written out, `wrapping` modulo 2**256; the others are LLVM's, which take
    less time to compile.
    `packed` are the functions that read and write what is not known to be aligned; see `Program.packed`.
    """

    def __init__(
        self, products: int = MOST_PRODUCTS, packed: Mapping[tuple[str, int], str] = MappingProxyType({})
    ) -> None:
        self.products = products
        self.wrapping = MOST_WRAPPING
        self.packed = packed
        self.lines: list[str] = []
        self.count = 0
        self.label = ""
        self.intrinsics: dict[str, None] = {}
        self.tables: dict[str, None] = {}
        """Definitions of numbers that stand in memory, named after what they are."""

    def emit(self, text: str) -> str:
        """Write an instruction; its result."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def put(self, text: str) -> None:
        """Write an instruction that has no result."""
        self.lines.append(f"  {text}")

    def new_label(self) -> str:
        """A name that no block has yet."""
        self.count += 1
        return f"l{self.count}"

    def begin(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.label = label

    def intrinsic(self, result: str, name: str, *arguments: str) -> str:
        """Call one of LLVM's intrinsics; arguments are `type value`."""
        types = ", ".join(argument.split(" ", 1)[0] for argument in arguments)
        self.intrinsics[f"declare {result} @{name}({types})"] = None
        return self.emit(f"call {result} @{name}({', '.join(arguments)})")

    def listed(self, name: str, numbers: Sequence[int], index: str) -> str:
        """The word of 256 bits that stands at `index`, an `i64`, in a table of `numbers`."""
        kind = f"[{len(numbers)} x [4 x i64]]"
        rows = (", ".join(f"i64 {it >> place & (1 << 64) - 1}" for place in range(0, 256, 64)) for it in numbers)
        words = ", ".join(f"[4 x i64] [{row}]" for row in rows)
        self.tables[f"@{name} = internal constant {kind} [{words}], align 32"] = None
        at = self.emit(f"getelementptr {kind}, ptr @{name}, i64 0, i64 {index}")
        return self.emit(f"load i256, ptr {at}, align 32")

    def moved(self, known: int, width: int, back: str) -> str:
        """A number of `width` bits, shifted left by `-back` bytes, an `i64`, which are up to as many as it has."""
        words = ", ".join(f"i64 {known << width >> place & (1 << 64) - 1}" for place in range(0, 2 * width, 64))
        name = f"@moved{width}.{known:x}"
        self.tables[f"{name} = internal constant [{width // 32} x i64] [{words}], align 64"] = None
        at = self.emit(f"getelementptr i8, ptr getelementptr (i8, ptr {name}, i64 {width // 8}), i64 {back}")
        return self.emit(f"load i{width}, ptr {at}, align 1")

    # Widths

    def word(self, value: Value, index: int) -> str:
        """64 bits of a value that has more, counted from the lowest."""
        moved = self.emit(f"lshr i{value.width} {value.text}, {64 * index}") if index else value.text
        return self.emit(f"trunc i{value.width} {moved} to i64")

    def is_below_power(self, value: Value, bits: int) -> str:
        """Whether a value, which may have more than 64 bits, has no more than `bits`, which are 64 at most.

        A comparison would be a chain of subtractions, one for each word.
        """
        text = ""
        for place in range(0, min(value.width, value.high.bit_length()), 64):
            if place or bits < 64:
                moved = self.emit(f"lshr i{value.width} {value.text}, {place}") if place else value.text
                word = self.emit(f"trunc i{value.width} {moved} to i64") if value.width > 64 else moved
                word = word if place else self.emit(f"lshr i64 {word}, {bits}")
                text = self.emit(f"or i64 {text}, {word}") if text else word
        return self.emit(f"icmp eq i64 {text}, 0")

    def cast(self, value: Value, width: int) -> str:
        """The low `width` bits of `value`, or all of it in more."""
        known = value.constant
        if known is not None:
            known &= (1 << width) - 1
            return ("true" if known else "false") if width == 1 else str(known)
        if value.width == width:
            return value.text
        verb = "trunc" if value.width > width else "sext" if value.low < 0 else "zext"
        return self.emit(f"{verb} i{value.width} {value.text} to i{width}")

    def fitted(self, value: Value) -> Value:
        """`value`, exact, in the least width."""
        if value.constant is not None:
            return number(value.low) if value.low >= 0 else value
        width = narrowest(value.high) if value.low >= 0 else value.width
        if width >= value.width or width == 1:  # a bit is made by comparisons alone: a test would cost more
            return value
        return Value(self.cast(value, width), width, value.low, value.high)


@dataclass(frozen=True, slots=True)
class Returned:
    """Control has left the function, with a value or none."""

    value: Given
