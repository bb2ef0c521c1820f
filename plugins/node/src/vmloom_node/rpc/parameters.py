"""Parameters of methods: from JSON to the types of the functions that answer, strictly, and with words for mistakes.

A method is a function whose annotations say what its parameters are: `Annotated` types with a `Shape`, lists of them,
and what may be left out; `shape_of` finds what reads them. Every reader takes a value and its place, and raises
`InputError` with the place. Wording follows geth, whose messages clients look for.
"""

from __future__ import annotations

import binascii
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

from vmloom.errors import InputError
from vmloom.hexadecimal import parse_number

Read: TypeAlias = Callable[[Any, str], Any]

_SHOWN: Final = 40
"""Characters of a wrong value that a message repeats."""
_HEX_DIGITS: Final = re.compile(r"[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a parameter looks like in JSON: a name for documentation, and what reads it."""

    name: str
    read: Read


# Bytes and numbers


def read_data(value: Any, place: str) -> bytes:
    """Bytes of any number: `0x` and two hex digits for each."""
    digits = _digits(value, place)
    if len(digits) % 2:
        raise InputError(f"{place}: hex string of odd length")
    return _unhexlify(digits, place)


def sized_data(size: int, what: str) -> Read:
    """What reads exactly `size` bytes; `what` they are."""

    def read(value: Any, place: str) -> bytes:
        digits = _digits(value, place)
        if len(digits) != 2 * size:
            raise InputError(f"{place}: hex string has length {len(digits)}, want {2 * size} for {what}")
        return _unhexlify(digits, place)

    return read


def quantity(bits: int) -> Read:
    """What reads a number of at most `bits` bits: `0x` and hex digits, the first one not zero but for `0x0`."""

    def read(value: Any, place: str) -> int:
        digits = _digits(value, place)
        if not digits:
            raise InputError(f'{place}: hex string "0x" has no digits, zero is 0x0')
        if len(digits) > 1 and digits[0] == "0":
            raise InputError(f"{place}: hex number with leading zero digits")
        if not _HEX_DIGITS.fullmatch(digits):
            raise InputError(f"{place}: invalid hex string")
        if len(digits) > bits // 4:
            raise InputError(f"{place}: hex number > {bits} bits")
        return int(digits, 16)

    return read


def read_word(value: Any, place: str) -> int:
    """A slot or a word of storage: up to 64 hex digits, leading zeros allowed."""
    digits = _digits(value, place)
    if len(digits) > 64:
        raise InputError(f"{place}: hex string too long, want at most 32 bytes")
    if not _HEX_DIGITS.fullmatch(digits or "0"):
        raise InputError(f"{place}: invalid hex string")
    return int(digits or "0", 16)


def _lenient(bits: int) -> Read:
    def read(value: Any, place: str) -> int:
        return parse_number(value, place, bits=bits)

    return read


def _digits(value: Any, place: str) -> str:
    """What follows `0x`."""
    if not isinstance(value, str):
        raise InputError(f"{place}: must be a hex string, got {kind_of(value)}")
    if value[:2] not in ("0x", "0X"):
        raise InputError(f"{place}: hex string without 0x prefix: {shown(value)}")
    return value[2:]


def _unhexlify(digits: str, place: str) -> bytes:
    try:
        return binascii.unhexlify(digits)
    except ValueError:
        raise InputError(f"{place}: invalid hex string") from None


# Everything else


def read_flag(value: Any, place: str) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise InputError(f"{place}: must be true or false, got {kind_of(value)}")
    return value


def read_text(value: Any, place: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise InputError(f"{place}: must be text, got {kind_of(value)}")
    return value


def read_object(value: Any, place: str) -> Mapping[str, Any]:
    """Any object."""
    if not isinstance(value, dict):
        raise InputError(f"{place}: must be an object, got {kind_of(value)}")
    return value


def read_percentile(value: Any, place: str) -> float:
    """A number from 0 to 100."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100 or math.isnan(value):
        raise InputError(f"{place}: must be a number from 0 to 100, got {shown(value)}")
    return float(value)


def one_of(*names: str) -> Read:
    """What reads one of `names`."""

    def read(value: Any, place: str) -> str:
        if value not in names or not isinstance(value, str):
            raise InputError(f"{place}: must be one of {', '.join(names)}, got {shown(value)}")
        return value

    return read


def list_of(read: Read) -> Read:
    """What reads a list of what `read` reads."""

    def read_list(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise InputError(f"{place}: must be a list, got {kind_of(value)}")
        return [read(entry, f"{place}[{i}]") for i, entry in enumerate(value)]

    return read_list


def maybe(read: Read) -> Read:
    """What reads `null` as None, and anything else as `read` does."""
    return lambda value, place: None if value is None else read(value, place)


def field_of(value: Mapping[str, Any], name: str, read: Read, place: str) -> Any:
    """The field `name` of an object, None if it is missing or null."""
    found = value.get(name)
    return None if found is None else read(found, f"{place}.{name}" if place else name)


def kind_of(value: Any) -> str:
    """What JSON calls a value of this kind."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names[type(value)]


def shown(value: Any) -> str:
    """The value as a message shows it: not more than a few characters of it."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a huge number"
    text = repr(value) if isinstance(value, str | int | float) else kind_of(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


Address: TypeAlias = Annotated[bytes, Shape("address", sized_data(20, "an address"))]
Hash: TypeAlias = Annotated[bytes, Shape("32-byte hash", sized_data(32, "a hash"))]
Data: TypeAlias = Annotated[bytes, Shape("data", read_data)]
Quantity: TypeAlias = Annotated[int, Shape("quantity", quantity(256))]
ShortQuantity: TypeAlias = Annotated[int, Shape("quantity", quantity(64))]
Slot: TypeAlias = Annotated[int, Shape("slot", read_word)]
Number: TypeAlias = Annotated[int, Shape("number or quantity", _lenient(256))]
"""As the development methods take it: a JSON number too, and leading zeros."""
read_short_number: Final = _lenient(64)
ShortNumber: TypeAlias = Annotated[int, Shape("number or quantity", read_short_number)]
Percentile: TypeAlias = Annotated[float, Shape("number from 0 to 100", read_percentile)]
JsonObject: TypeAlias = Annotated[Mapping[str, Any], Shape("object", read_object)]

_PLAIN: Final[Mapping[Any, Shape]] = {bool: Shape("true or false", read_flag), str: Shape("text", read_text)}


def shape_of(annotation: Any) -> Shape:
    """How a parameter that is annotated so is read. Raises `TypeError` for one that no JSON stands for."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        shape = next((one for one in arguments[1:] if isinstance(one, Shape)), None)
        if shape is not None:
            return shape
    if origin in (Union, types.UnionType) and len(arguments) == 2 and arguments[1] is type(None):
        shape = shape_of(arguments[0])
        return Shape(shape.name, maybe(shape.read))
    if origin is list:
        shape = shape_of(arguments[0])
        return Shape(f"list of {shape.name}", list_of(shape.read))
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    raise TypeError(f"no JSON shape is known for the annotation {annotation!r}")
