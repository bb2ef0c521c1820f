"""Deterministic CBOR (RFC 8949, 4.2.1) of None, bool, int, str, bytes, lists and maps: `values` and containers use it.

cbor2 writes and reads. Here is what it leaves open: the order of keys, and what hostile data may make it do. Data are
walked before they are read, without recursion, so that no tag, float, indefinite length or depth reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import cbor2

from vmloom_prozvm.errors import NotCanonical

_INT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_BIGNUM_TAGS: Final = (2, 3)
_SIMPLE_VALUES: Final = (20, 21, 22)
"""False, true and null."""


def encode(tree: Any) -> bytes:
    """The deterministic encoding. `tree` must hold nothing but the types above and be of bounded depth."""
    return cbor2.dumps(_sorted(tree))


def decode(data: bytes, *, depth: int) -> Any:
    """Read exactly what `encode` writes: lists and maps at most `depth` deep, one inside the other.

    Raises:
        NotCanonical: For anything else, with the offset.
    """
    _walk(data, depth)
    try:
        tree = cbor2.loads(data)
    except (cbor2.CBORDecodeError, UnicodeDecodeError) as error:
        raise NotCanonical(f"not CBOR: {error}", offset=0) from None
    again = encode(tree)
    if again != data:
        raise NotCanonical("not in canonical form", offset=_first_difference(data, again))
    return tree


def in_order(keys: Iterable[Any]) -> list[Any]:
    """Keys of a map as its encoding has them: in bytewise order of their own encodings."""
    return sorted(keys, key=cbor2.dumps)


def offset_of(data: bytes, path: Sequence[int]) -> int:
    """Where an item begins: `path` has the index in each list from the outermost inwards. For well-formed data."""
    at = 0
    for index in path:
        major, _, at = _head(data, at)
        if major != _LIST:
            raise ValueError("the path leads through something other than lists")
        for _ in range(index):
            at = _skip(data, at)
    return at


def _sorted(tree: Any) -> Any:
    """The same tree with keys in bytewise order of their encodings (cbor2's own order is by length first)."""
    kind = type(tree)
    if kind is list:
        return [_sorted(item) for item in tree]
    if kind is dict:
        return {key: _sorted(tree[key]) for key in in_order(tree)}
    return tree


def _walk(data: bytes, depth: int) -> None:
    """Check that `data` are one item of allowed kinds that ends where they do."""
    at = 0
    open_items = [1]  # how many items are still to come in each list and map around the current place
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        start = at
        major, count, at = _head(data, at)
        if major in (_BYTES, _TEXT):
            at = _past(data, at, count, start)
        elif major in (_LIST, _MAP):
            items = count if major == _LIST else 2 * count
            if items > len(data) - at:  # an item takes a byte at least
                raise NotCanonical("truncated", offset=start)
            if len(open_items) > depth:
                raise NotCanonical(f"nested deeper than {depth}", offset=start)
            open_items.append(items)
        elif major == _TAG:
            at = _bignum(data, at, count, start)
        elif major == _SIMPLE and count not in _SIMPLE_VALUES:
            raise NotCanonical("floats and simple values other than true, false and null are not allowed", offset=start)
    if at != len(data):
        raise NotCanonical("data after the end", offset=at)


def _head(data: bytes, at: int) -> tuple[int, int, int]:
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


def _bignum(data: bytes, at: int, tag: int, start: int) -> int:
    if tag not in _BIGNUM_TAGS:
        raise NotCanonical(f"tag {tag} is not allowed", offset=start)
    major, count, content = _head(data, at)
    if major != _BYTES:
        raise NotCanonical("an integer's tag that is not followed by bytes", offset=start)
    return _past(data, content, count, start)


def _skip(data: bytes, at: int) -> int:
    """Where the item after this one begins."""
    left = 1
    while left:
        left -= 1
        major, count, at = _head(data, at)
        if major in (_BYTES, _TEXT):
            at += count
        elif major != _SIMPLE and major >= _LIST:
            left += {_LIST: count, _MAP: 2 * count, _TAG: 1}[major]
    return at


def _first_difference(one: bytes, other: bytes) -> int:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
