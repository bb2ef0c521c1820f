"""Hex text as bytes and numbers, with errors that say what is wrong where. Shared by all command lines and files."""

from __future__ import annotations

import re

from .context import ADDRESS_SIZE
from .errors import InputError

_NOT_HEX = re.compile(r"[^0-9a-fA-F]")
_SHOWN = 20
"""Characters of bad input that a message repeats."""


def parse_hex(text: str, what: str = "hex", *, size: int | None = None, allow_empty: bool = True) -> bytes:
    """The bytes that `text` spells, with or without `0x`; white space around it and line breaks in it are ignored.

    `size` is the number of bytes there must be. `what` names the input in the message of an `InputError`, which
    counts characters from 1 in the text as it was given.
    """
    digits = text.strip()
    start = len(text) - len(text.lstrip())
    if digits[:2] in ("0x", "0X"):
        digits = digits[2:]
        start += 2
    bad = next((match for match in _NOT_HEX.finditer(digits) if match.group() not in "\r\n\t "), None)
    if bad is not None:
        raise InputError(f"{what}: character {start + bad.start() + 1} is {bad.group()!r}, not a hex digit")
    digits = "".join(digits.split())
    if not digits and not allow_empty:
        raise InputError(f"{what}: empty")
    if len(digits) % 2:
        raise InputError(f"{what}: {len(digits)} hex digits, an odd number: two make a byte")
    if size is not None and len(digits) != 2 * size:
        raise InputError(f"{what}: must have {size} bytes ({2 * size} hex digits), got {len(digits)} digits")
    return bytes.fromhex(digits)


def parse_address(text: str, what: str = "address") -> bytes:
    """A 20-byte address. Raises `InputError`."""
    return parse_hex(text, what, size=ADDRESS_SIZE, allow_empty=False)


def parse_number(value: object, what: str = "number", *, bits: int = 256) -> int:
    """A number from 0 to 2**bits - 1: an `int`, or text in decimal or with `0x` in hex. Raises `InputError`."""
    if isinstance(value, str):
        number = _number_of_text(value.strip(), what)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise InputError(f"{what}: must be a whole number, got {_shown(value)}")
    if number < 0:
        raise InputError(f"{what}: must not be negative, got {_shown(value)}")
    if number >> bits:
        raise InputError(f"{what}: does not fit in {bits} bits: {_shown(value)}")
    return number


def _number_of_text(text: str, what: str) -> int:
    if text[:2] in ("0x", "0X"):
        digits = text[2:]
        bad = _NOT_HEX.search(digits)
        if bad is not None:
            raise InputError(f"{what}: character {bad.start() + 3} is {bad.group()!r}, not a hex digit")
        if not digits:
            raise InputError(f"{what}: no digits after 0x")
        return int(digits, 16)
    if not re.fullmatch(r"[+-]?[0-9]+(_[0-9]+)*", text, re.ASCII):
        raise InputError(f"{what}: must be a decimal number or 0x and hex digits, got {_shown(text)}")
    if len(text) > 1_000:  # int() refuses thousands of digits with a message about itself
        raise InputError(f"{what}: {len(text)} digits are too many")
    return int(text)


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) else str(value) if value.bit_length() < 4_000 else "a huge number"
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
