"""Deterministic CBOR (RFC 8949, 4.2.1) of None, bool, int, str, bytes, lists and maps: `values` and containers use it.

Written and read here, since it is most of the work of programs that hash and store: general libraries take longer for
small values than for the rest of such a program. What is read is what `encode` writes, to the byte, or is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from .errors import NotCanonical, NotStorable, ValueTooLarge

_INT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_BIGNUM_TAGS: Final = (2, 3)
_SIMPLE_VALUES: Final = {0xF4: False, 0xF5: True, 0xF6: None}
_ANY_NUMBER: Final = 1 << 62


# Writing


def encode(tree: Any) -> bytes:
    """The deterministic encoding. `tree` must be of bounded depth. Raises `NotStorable` for what has none."""
    kind = type(tree)
    if kind is not list and kind is not dict:
        return _scalar(tree)
    pieces: list[bytes] = []
    _collect(tree, pieces.append)
    return b"".join(pieces)


def size(tree: Any) -> int:
    """Bytes of the encoding, found without making it. Raises `NotStorable` for what has none."""
    kind = type(tree)
    if kind is int:
        return _integer_size(tree)
    if kind is str:
        count = len(tree) if tree.isascii() else len(tree.encode())
        return _head_size(count) + count
    if kind is bytes:
        return _head_size(len(tree)) + len(tree)
    if kind is list:
        return _head_size(len(tree)) + sum(map(size, tree))
    if kind is dict:
        return _head_size(len(tree)) + sum(map(size, tree)) + sum(map(size, tree.values()))
    return len(_scalar(tree))


def in_order(keys: Iterable[Any]) -> list[Any]:
    """Keys of a map as its encoding has them: in bytewise order of their own encodings."""
    return sorted(keys, key=_scalar)


def _head(major: int, count: int) -> bytes:
    major <<= 5
    if count < 24:
        return bytes((major | count,))
    if count < 1 << 8:
        return bytes((major | 24, count))
    if count < 1 << 16:
        return bytes((major | 25, count >> 8, count & 0xFF))
    if count < 1 << 32:
        return bytes((major | 26,)) + count.to_bytes(4, "big")
    return bytes((major | 27,)) + count.to_bytes(8, "big")


_SMALL: Final = tuple(_head(_INT, number) for number in range(256))
"""Encodings of the integers below 256."""
_TEXT_HEADS: Final = tuple(_head(_TEXT, count) for count in range(64))
"""Heads of strings of less than 64 bytes."""


def _integer(number: int) -> bytes:
    if number >= 0:
        if number < 256:
            return _SMALL[number]
        major, count = _INT, number
    else:
        major, count = _NEGATIVE, -1 - number
    if count >> 64:
        content = count.to_bytes((count.bit_length() + 7) >> 3, "big")
        return bytes((0xC2 + major,)) + _head(_BYTES, len(content)) + content
    return _head(major, count)


def _scalar(value: Any) -> bytes:
    kind = type(value)
    if kind is int:
        return _integer(value)
    if kind is str:
        text: bytes = value.encode()
        count = len(text)
        return (_TEXT_HEADS[count] if count < 64 else _head(_TEXT, count)) + text
    if kind is bytes:
        return b"".join((_head(_BYTES, len(value)), value))
    if value is None:
        return b"\xf6"
    if kind is bool:
        return b"\xf5" if value else b"\xf4"
    raise NotStorable(f"a {kind.__name__.lower()} has no encoding")


def _collect(tree: Any, add: Callable[[bytes], None]) -> None:
    """Add the pieces of a list's or map's encoding."""
    if type(tree) is list:
        add(_head(_LIST, len(tree)))
        for item in tree:
            kind = type(item)
            if kind is int and 0 <= item < 256:
                add(_SMALL[item])
            elif kind is list or kind is dict:
                _collect(item, add)
            else:
                add(_scalar(item))
        return
    add(_head(_MAP, len(tree)))
    pairs = [(_scalar(key), item) for key, item in tree.items()]
    if len(pairs) > 1:
        pairs.sort(key=_first)
    for key, item in pairs:
        add(key)
        kind = type(item)
        if kind is list or kind is dict:
            _collect(item, add)
        else:
            add(_scalar(item))


def _first(pair: tuple[bytes, Any]) -> bytes:
    return pair[0]


def _integer_size(number: int) -> int:
    count = number if number >= 0 else -1 - number
    if count >> 64:
        content = (count.bit_length() + 7) >> 3
        return 1 + _head_size(content) + content
    return _head_size(count)


def _head_size(count: int) -> int:
    if count < 24:
        return 1
    return 2 if count < 1 << 8 else 3 if count < 1 << 16 else 5 if count < 1 << 32 else 9


# Reading


def decode(data: bytes, *, depth: int, integer_keys: int = _ANY_NUMBER) -> Any:
    """Read exactly what `encode` writes: lists and maps at most `depth` deep, one inside the other.

    Raises:
        NotCanonical: For anything else, with the offset.
        ValueTooLarge: For a map of more than `integer_keys` integer keys, which is not made.
    """
    try:
        tree, at = _read(data, 0, depth, integer_keys)
    except _TooDeep as error:
        raise NotCanonical(f"nested deeper than {depth}", offset=error.offset) from None
    if at != len(data):
        raise NotCanonical("data after the end", offset=at)
    return tree


class _TooDeep(Exception):
    """A list or map at `offset` that is inside too many others."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset


def _read(data: bytes, start: int, depth: int, integer_keys: int) -> tuple[Any, int]:
    """The item that begins at `start`, and where the next one would begin. One frame of Python for each list."""
    if start >= len(data):
        raise NotCanonical("truncated", offset=start)
    first = data[start]
    if first < 24:
        return first, start + 1
    if first == 0x18 and start + 1 < len(data) and data[start + 1] > 23:  # these two are most numbers in code
        return data[start + 1], start + 2
    if first == 0x19 and start + 2 < len(data) and data[start + 1]:
        return data[start + 1] << 8 | data[start + 2], start + 3
    major, count = first >> 5, first & 0x1F
    at = start + 1
    if count > 23 and major != _SIMPLE:
        _, count, at = _read_head(data, start)
        if at - start != _head_size(count):
            raise _not_canonical(start)
    if major != _LIST and major != _MAP:
        return _read_scalar(data, start, at, count)
    if (count if major == _LIST else 2 * count) > len(data) - at:  # an item takes a byte at least
        raise NotCanonical("truncated", offset=start)
    if depth < 1:
        raise _TooDeep(start)
    if major == _MAP:
        return _read_map(data, at, count, depth - 1, integer_keys)
    items = []
    for _ in range(count):
        small = data[at] if at < len(data) else 0xFF
        if small < 24:
            items.append(small)
            at += 1
        else:
            item, at = _read(data, at, depth - 1, integer_keys)
            items.append(item)
    return items, at


def _read_scalar(data: bytes, start: int, at: int, count: int) -> tuple[Any, int]:
    """What is neither list nor map; its head is from `start` to `at`."""
    major = data[start] >> 5
    if major == _TEXT:
        end = _past(data, at, count, start)
        try:
            return data[at:end].decode(), end
        except UnicodeDecodeError:
            raise NotCanonical("not CBOR: a string that is not UTF-8", offset=start) from None
    if major == _INT:
        return count, at
    if major == _BYTES:
        end = _past(data, at, count, start)
        return data[at:end], end
    if major == _NEGATIVE:
        return -1 - count, at
    if major == _TAG:
        return _read_bignum(data, start, at, count)
    if data[start] not in _SIMPLE_VALUES:
        raise NotCanonical("floats and simple values other than true, false and null are not allowed", offset=start)
    return _SIMPLE_VALUES[data[start]], at


def _read_map(data: bytes, at: int, count: int, depth: int, integer_keys: int) -> tuple[dict[Any, Any], int]:
    """Keys must be in order, so that none is there twice. They can be counted before the map is made."""
    pairs = []
    before = b""
    integers = 0
    for _ in range(count):
        start = at
        if start < len(data) and data[start] >> 5 in (_LIST, _MAP, _SIMPLE):
            raise NotCanonical("a key that is no string, integer or bytes", offset=start)
        key, at = _read(data, start, 0, 0)
        if type(key) is int:
            integers += 1
        written = data[start:at]
        if written <= before:
            raise _not_canonical(start)
        before = written
        item, at = _read(data, at, depth, integer_keys)
        pairs.append((key, item))
    if integers > integer_keys:
        raise ValueTooLarge(f"a map of more than {integer_keys} integer keys; strings and bytes have no such limit")
    return dict(pairs), at


def _read_bignum(data: bytes, start: int, at: int, tag: int) -> tuple[int, int]:
    if tag not in _BIGNUM_TAGS:
        raise NotCanonical(f"tag {tag} is not allowed", offset=start)
    major, count, content = _read_head(data, at)
    if major != _BYTES:
        raise NotCanonical("an integer's tag that is not followed by bytes", offset=start)
    end = _past(data, content, count, start)
    if count < 9 or not data[content]:  # it has a shorter form
        raise _not_canonical(start)
    if content - at != _head_size(count):
        raise _not_canonical(at)
    number = int.from_bytes(data[content:end], "big")
    return number if tag == _BIGNUM_TAGS[0] else -1 - number, end


def offset_of(data: bytes, path: Sequence[int]) -> int:
    """Where an item begins: `path` has the index in each list from the outermost inwards. For well-formed data."""
    at = 0
    for index in path:
        major, _, at = _read_head(data, at)
        if major != _LIST:
            raise ValueError("the path leads through something other than lists")
        for _ in range(index):
            at = _skip(data, at)
    return at


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where the content begins. The argument of a long simple value is -1."""
    if at >= len(data):
        raise NotCanonical("truncated", offset=at)
    major, short = data[at] >> 5, data[at] & 0x1F
    if major == _SIMPLE:
        return major, short if short < 24 else -1, at + 1
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise NotCanonical("indefinite or reserved length", offset=at)
    end = at + 1 + (1 << (short - 24))
    if end > len(data):
        raise NotCanonical("truncated", offset=at)
    return major, int.from_bytes(data[at + 1 : end], "big"), end


def _past(data: bytes, at: int, count: int, start: int) -> int:
    if count > len(data) - at:
        raise NotCanonical("truncated", offset=start)
    return at + count


def _skip(data: bytes, at: int) -> int:
    """Where the item after this one begins."""
    left = 1
    while left:
        left -= 1
        major, count, at = _read_head(data, at)
        if major in (_BYTES, _TEXT):
            at += count
        elif major != _SIMPLE and major >= _LIST:
            left += {_LIST: count, _MAP: 2 * count, _TAG: 1}[major]
    return at


def _not_canonical(offset: int) -> NotCanonical:
    return NotCanonical("not in canonical form", offset=offset)
