"""Types of functions as short strings, and values in the form in which compiled code takes them.

`"iI:f"` is a function of an i32 and an i64 that returns an f32; `":"` takes and returns nothing. Integers come out
unsigned (WebAssembly specification, 4.2.1: what an iN means is up to the instruction), and addresses and lengths are.
Floats are given and come out as their IEEE 754 bits, as Python's own would lose the payload of a NaN.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ctypes import Array, c_char
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from vmloom.errors import CodeError

SLOT: Final = 16
"""Bytes that wasmtime has for each value, `wasmtime_val_raw_t`. Little-endian on every machine."""
_FORMATS: Final = {"i": "I12x", "f": "I12x", "I": "Q8x", "F": "Q8x"}
_BITS: Final = {"i": 32, "f": 32, "I": 64, "F": 64}
_NAMES: Final = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "?": "reference"}


class SignatureMismatch(CodeError):
    """A function that has other parameters or results than asked for, or types that this layer does not pass on."""


def signed(value: int, bits: int = 32) -> int:
    """The two's complement reading of an unsigned `value` of `bits` bits."""
    return value - (1 << bits) if value >> (bits - 1) else value


@dataclass(frozen=True)
class Signature:
    """Parameters and results, a letter each: i, I, f, F for i32, i64, f32, f64, and ? for what is not passed on."""

    parameters: str
    results: str

    def __str__(self) -> str:
        sides = (", ".join(_NAMES[letter] for letter in side) for side in (self.parameters, self.results))
        return "({}) -> ({})".format(*sides)

    @property
    def slots(self) -> int:
        """How many values the area holds that parameters and results share."""
        return max(len(self.parameters), len(self.results))

    @cached_property
    def parameter_layout(self) -> struct.Struct:
        """Parameters in their area. Raises `SignatureMismatch` for references."""
        return _layout(self, self.parameters)

    @cached_property
    def result_layout(self) -> struct.Struct:
        """Results in the same area. Raises `SignatureMismatch` for references."""
        return _layout(self, self.results)

    def put_parameters(self, area: Array[c_char], values: Sequence[Any]) -> None:
        """Write parameters that may be negative. Raises `TypeError` for their number or type, else `OverflowError`."""
        _put(self.parameter_layout, self.parameters, "parameter", area, values)

    def put_results(self, area: Array[c_char], values: Sequence[Any]) -> None:
        """Write results that may be negative. Raises `TypeError` for their number or type, else `OverflowError`."""
        _put(self.result_layout, self.results, "result", area, values)


@lru_cache(maxsize=1024)
def signature(text: str) -> Signature:
    """Read one such as `"iiI:i"`. Raises `ValueError` if it is none."""
    parameters, colon, results = text.partition(":")
    if not colon or not set(parameters + results) <= set(_FORMATS):
        raise ValueError(f"{text!r} is no signature: letters of i, I, f, F, a colon, and such letters")
    return Signature(parameters, results)


def _layout(whole: Signature, letters: str) -> struct.Struct:
    if "?" in letters:
        raise SignatureMismatch(f"{whole}: references cannot be passed between the host and a module")
    return struct.Struct("<" + "".join(_FORMATS[letter] for letter in letters))


def _put(layout: struct.Struct, letters: str, what: str, area: Array[c_char], values: Sequence[Any]) -> None:
    if len(values) != len(letters):
        raise TypeError(f"{len(letters)} {what}s expected, {len(values)} given")
    unsigned = []
    for number, (letter, value) in enumerate(zip(letters, values, strict=True), 1):
        if not isinstance(value, int):
            raise TypeError(f"{what} {number} is an {_NAMES[letter]}, not {type(value).__name__}")
        lowest = 0 if letter in "fF" else -(1 << (_BITS[letter] - 1))  # bits have no sign
        if not lowest <= value < 1 << _BITS[letter]:
            raise OverflowError(f"{what} {number} is out of the range of an {_NAMES[letter]}: {value:#x}")
        unsigned.append(value & ((1 << _BITS[letter]) - 1))
    layout.pack_into(area, 0, *unsigned)
