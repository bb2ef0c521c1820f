"""The constants of code that is being optimized: which are equal, and where new ones go.

Indices that the code already has stay valid: constants are only ever added, and nothing here changes one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

from ..values import cells

MAX_PARTS: Final = 256
"""Parts of a value, itself included, up to which it is compared with others."""
MAX_NAMES: Final = 1024
"""Names in sets of names: it bounds the memory for sets."""
NOT_PLAIN: Final = 1 << 40
"""Cells that a constant is taken to have if its size cannot be told quickly: nothing makes a second one of it."""
_SCALARS: Final = (type(None), bool, int, str, bytes)


class ConstantPool:
    """The constants of one body of code, with their indices. Equal means: of the same type and content throughout."""

    def __init__(self, values: Iterable[Any], most: int) -> None:
        """`most` is how many constants there may be; more than that stay if they are given."""
        self.values: Final = list(values)
        self._most = most
        self._cells: dict[int, int] = {}
        self._keys = [identity(value) for value in self.values]
        self._first: dict[Hashable, int] = {}
        for index, key in enumerate(self._keys):
            if key is not None:
                self._first.setdefault(key, index)
        self._name_bits: dict[Hashable, int] = {}

    def add(self, value: Any) -> int | None:
        """The index of a constant equal to `value`, which becomes a new one if there is none; None if all are taken."""
        key = identity(value)
        if key is not None and key in self._first:
            return self._first[key]
        if len(self.values) >= self._most:
            return None
        self.values.append(value)
        self._keys.append(key)
        if key is not None:
            self._first[key] = len(self.values) - 1
        return len(self.values) - 1

    def name(self, index: int) -> Hashable:
        """What tells names apart: constants of the same text are one name."""
        value = self.values[index]
        return value if isinstance(value, str) else index

    def name_bit(self, index: int) -> int:
        """The power of two that stands for the name at `index` in sets of names, 0 for names beyond `MAX_NAMES`."""
        return self.text_bit(self.name(index))

    def text_bit(self, name: Hashable) -> int:
        """The same for a name itself."""
        bit = self._name_bits.get(name)
        if bit is None:
            bit = self._name_bits[name] = 1 << len(self._name_bits) if len(self._name_bits) < MAX_NAMES else 0
        return bit

    def is_plain(self, index: int) -> bool:
        """Whether the constant is data small enough to calculate with: no function, nothing of the host's."""
        return self._keys[index] is not None

    def cells(self, index: int) -> int:
        """The size of the constant in cells of 8 bytes; for one that is not plain, more than any plain one has."""
        if not self.is_plain(index):
            return NOT_PLAIN
        if index not in self._cells:
            self._cells[index] = cells(self.values[index])
        return self._cells[index]

    def first(self, index: int) -> int:
        """The lowest index of a constant equal to this one."""
        key = self._keys[index]
        return index if key is None else self._first[key]


def identity(value: Any) -> Hashable | None:
    """Equal for equal values and for no others; None for what is no plain data or has more than `MAX_PARTS` parts.

    The order of a map's keys counts: two maps that differ in it stay two constants.
    """
    return _identity(value, [MAX_PARTS])


def _has_encoding(text: str) -> bool:
    """Whether the text has no lone surrogates: such a text is no value."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _identity(value: Any, left: list[int]) -> Hashable | None:
    """`left` holds how many more parts may be looked at: it bounds time and depth, also where parts are shared."""
    left[0] -= 1
    if left[0] < 0:
        return None
    kind = type(value)
    if kind in _SCALARS:
        return None if kind is str and not _has_encoding(value) else (kind, value)
    if kind is list:
        parts = value
    elif kind is dict:
        parts = [part for pair in value.items() for part in pair] if len(value) <= left[0] else None
    else:
        return None
    if parts is None or len(parts) > left[0]:
        return None
    keys = tuple(_identity(part, left) for part in parts)
    return None if None in keys else (kind, keys)
