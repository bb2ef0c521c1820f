"""Untrusted JSON, read field by field: every error names its place. Knows no format in particular."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmloom.errors import InputError
from vmloom.hexadecimal import parse_hex, parse_number
from vmloom.json_text import NestedTooDeeply, read_json

ADDRESS_SIZE = 20
WORD_SIZE = 32


def parse_json(text: str | bytes, place: str) -> Any:
    """The value that `text` holds. Raises `InputError`."""
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: byte {error.start}: not UTF-8") from None
    except NestedTooDeeply:
        raise InputError(f"{place}: nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"{place}: {str(error).partition(';')[0]}") from None


class Fields:
    """A JSON object at `place`. A field that is null counts as absent. All methods raise `InputError`."""

    def __init__(self, values: object, place: str) -> None:
        if not isinstance(values, Mapping):
            raise InputError(f"{place}: must be an object, not {type(values).__name__}")
        self.values: Mapping[str, Any] = values
        self.place = place

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def first(self, *names: str) -> str:
        """The first of `names` that is there; the first of all if none is."""
        return next((name for name in names if self.has(name)), names[0])

    def number(self, name: str, *, bits: int = 256, default: int | None = None) -> int:
        """A number as JSON, decimal or hex text; without a `default` it must be there."""
        if not self.has(name):
            return self._missing(name) if default is None else default
        return parse_number(self.values[name], self._at(name), bits=bits)

    def optional_number(self, name: str, *, bits: int = 256) -> int | None:
        """A number, None if it is not there."""
        return self.number(name, bits=bits) if self.has(name) else None

    def data(self, name: str, *, size: int | None = None, default: bytes | None = None) -> bytes:
        """Bytes as hex text, `size` of them; without a `default` they must be there."""
        if not self.has(name):
            return self._missing(name) if default is None else default
        value = self.values[name]
        if not isinstance(value, str):
            raise InputError(f"{self._at(name)}: must be hex text, not {type(value).__name__}")
        return parse_hex(value, self._at(name), size=size)

    def address(self, name: str) -> bytes:
        """A 20-byte address."""
        return self.data(name, size=ADDRESS_SIZE)

    def word(self, name: str) -> bytes | None:
        """32 bytes, None if they are not there; shorter text is a number."""
        return self.number(name).to_bytes(WORD_SIZE, "big") if self.has(name) else None

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InputError(f"{self._at(name)}: must be true or false")
        return value

    def items(self, name: str) -> list[Any]:
        """A list; absent is empty."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise InputError(f"{self._at(name)}: must be a list, not {type(value).__name__}")
        return value

    def objects(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        for index, item in enumerate(self.items(name)):
            yield Fields(item, f"{self._at(name)}[{index}]")

    def table(self, name: str) -> Fields:
        """An object; absent is empty."""
        return Fields(self.values.get(name) or {}, self._at(name))

    def _at(self, name: str) -> str:
        return f"{self.place}.{name}"

    def _missing(self, name: str) -> Any:
        raise InputError(f"{self._at(name)}: missing")
