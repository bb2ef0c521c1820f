"""What a commit replaced, as one value of the file: to take it back, and to see what was before it."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

_STAMP: Final = Struct(">Q")
STAMP_SIZE: Final = _STAMP.size
_SIZES: Final = Struct(">BI")
"""Bytes of the key; bytes of the former value and 1, 0 being that there was none."""


class Replaced(NamedTuple):
    """The values that keys had before a commit, None for those that it made; `size` is that of the packed form."""

    values: dict[bytes, bytes | None]
    size: int


def pack(stamp: int, replaced: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """The former values by key behind the `stamp` of the commit."""
    parts = [_STAMP.pack(stamp)]
    sizes = _SIZES.pack
    for key, value in replaced:
        if value is None:
            parts += sizes(len(key), 0), key
        else:
            parts += sizes(len(key), len(value) + 1), key, value
    return b"".join(parts)


def stamp_of(packed: bytes) -> int:
    """The stamp alone."""
    stamp: int = _STAMP.unpack_from(packed)[0]
    return stamp


def unpack(packed: bytes) -> Replaced:
    """What `pack` was given."""
    values: dict[bytes, bytes | None] = {}
    at, end = _STAMP.size, len(packed)
    while at < end:
        key_size, value_size = _SIZES.unpack_from(packed, at)
        at += _SIZES.size
        key = packed[at : at + key_size]
        at += key_size
        if value_size:
            values[key] = packed[at : at + value_size - 1]
            at += value_size - 1
        else:
            values[key] = None
    return Replaced(values, end)
