"""What a commit replaced, as one value of the file: to take it back, and to see what was before it.

The stamp of the commit, the number of keys, where each key begins, and then in order of key: its length, that of the
former value and 1 or else 0 where there was none, the key, the value. So a key is found without reading the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from struct import Struct, unpack_from
from struct import pack as packed_numbers
from typing import Final, NamedTuple, TypeAlias

_HEAD: Final = Struct(">QI")
_SIZES: Final = Struct(">BI")
_PLACE: Final = Struct(">I")
STAMP_SIZE: Final = 8


Buffer: TypeAlias = "bytes | memoryview"


class Replaced(NamedTuple):
    """The values that keys had before a commit, None for those that it made; `size` is that of the packed form."""

    values: dict[bytes, bytes | None]
    size: int


def pack(stamp: int, replaced: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """The former values by key, in order of key, behind the `stamp` of the commit."""
    sizes = _SIZES.pack
    parts = [
        sizes(len(key), 0) + key if value is None else b"".join((sizes(len(key), len(value) + 1), key, value))
        for key, value in replaced
    ]
    count = len(parts)
    places = list(accumulate(map(len, parts), initial=_HEAD.size + 4 * count))[:count]
    return b"".join((_HEAD.pack(stamp, count), packed_numbers(f">{count}I", *places), *parts))


def stamp_of(packed: Buffer) -> int:
    """The stamp alone."""
    return int.from_bytes(packed[:STAMP_SIZE], "big")


def unpack(packed: bytes) -> Replaced:
    """What `pack` was given."""
    count = _HEAD.unpack_from(packed)[1]
    values = dict(_entry(packed, at) for at in unpack_from(f">{count}I", packed, _HEAD.size))
    return Replaced(values, len(packed))


def find(packed: Buffer, key: bytes) -> tuple[bytes | None] | None:
    """The former value of `key` in a tuple, None if the commit did not change it."""
    at = _first(packed, key)
    if at is None:
        return None
    found, value = _entry(packed, at)
    return (value,) if found == key else None


def beginning_with(packed: Buffer, prefix: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The former values of the keys that begin with `prefix`, in order of key."""
    at = _first(packed, prefix)
    while at is not None and at < len(packed):
        key_size, value_size = _SIZES.unpack_from(packed, at)
        key, value = _entry(packed, at)
        if not key.startswith(prefix):
            return
        yield key, value
        at += _SIZES.size + key_size + max(value_size - 1, 0)


def _first(packed: Buffer, key: bytes) -> int | None:
    """Where the first key begins that is not before `key`."""
    low, count = 0, _HEAD.unpack_from(packed)[1]
    high = count
    while low < high:
        middle = (low + high) // 2
        at = _place(packed, middle)
        begin = at + _SIZES.size
        if bytes(packed[begin : begin + packed[at]]) < key:
            low = middle + 1
        else:
            high = middle
    return None if low == count else _place(packed, low)


def _place(packed: Buffer, number: int) -> int:
    place: int = _PLACE.unpack_from(packed, _HEAD.size + 4 * number)[0]
    return place


def _entry(packed: Buffer, at: int) -> tuple[bytes, bytes | None]:
    key_size, value_size = _SIZES.unpack_from(packed, at)
    begin = at + _SIZES.size + key_size
    key = bytes(packed[begin - key_size : begin])
    return key, bytes(packed[begin : begin + value_size - 1]) if value_size else None
