"""Types of command line parameters, with errors that say where a value is wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import InputError
from ..hexadecimal import parse_address, parse_hex, parse_number

_PRINTABLE = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n\f")


# Generic since click 8.4 only, and nothing is gained by saying what it is generic in.
class Parsed(click.ParamType):  # type: ignore[type-arg]
    """A type whose `parse(text, label)` raises `InputError`; the label names the parameter in its message."""

    def __init__(self, name: str, parse: Callable[[str, str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parsed value; a default that is not text is one already."""
        return self._parse(value, _label(param)) if isinstance(value, str) else value


def read_code(text: str, what: str = "CODE") -> bytes:
    """The code that an argument stands for: `-` for stdin, a file, or hex. Raises `InputError`."""
    if text == "-":
        return decode_code(sys.stdin.buffer.read(), "stdin")
    if not text or text[:2] in ("0x", "0X"):
        return parse_hex(text, what)
    looks_like_path = any(mark in text for mark in "/\\.")
    try:
        return decode_code(Path(text).read_bytes(), text)
    except FileNotFoundError:
        if looks_like_path:
            raise InputError(f"{text}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{text}: is a directory") from None
    except (OSError, ValueError) as error:  # unreadable, a NUL in the name, or hex too long for the name of a file
        if looks_like_path:
            raise InputError(f"{text}: {getattr(error, 'strerror', None) or error}") from None
    return parse_hex(text, what)


def decode_code(data: bytes, name: str) -> bytes:
    """The code in a file: the bytes that it spells if all of it is printable text, else its own bytes."""
    if _PRINTABLE.issuperset(data):
        return parse_hex(data.decode("ascii"), name)
    return data


def _assignment(text: str, what: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise InputError(f"{what} {text}: must have the form key=value")
    return key.strip(), value.strip()


def _label(param: click.Parameter | None) -> str:
    if param is None:
        return "value"
    return param.opts[0] if isinstance(param, click.Option) else (param.name or "value").upper()


HEX = Parsed("hex", parse_hex)
"""Bytes in hex."""
ADDRESS = Parsed("address", parse_address)
"""A 20-byte address in hex."""
NUMBER = Parsed("number", parse_number)
"""A number of at most 256 bits, decimal or `0x` hex."""
GAS = Parsed("number", functools.partial(parse_number, bits=63))
"""An amount of gas."""
CODE = Parsed("code", read_code)
"""Code: hex, the path of a file (`-` for stdin) that holds hex text or the code itself."""
ASSIGNMENT = Parsed("key=value", _assignment)
"""A key and the text of its value."""
