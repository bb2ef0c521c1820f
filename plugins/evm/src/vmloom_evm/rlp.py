"""RLP, strictly: what Ethereum hashes and sends. Yellow paper, appendix B.

Read by everything that takes transactions from outside, so it takes time in proportion to the length of its input,
whatever that is, and stops at a fixed depth. (The `rlp` package copies the rest of a list for each of its items: a
list of 4 million empty strings takes it minutes. It also takes a quarter of a second to import. Tests compare both.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from vmloom.errors import InputError

RlpItem: TypeAlias = "bytes | list[RlpItem]"
"""What RLP can say: a byte string or a list of items."""

MAX_DEPTH = 64
"""Lists within lists that are read; a transaction has four."""

_STRING = 0x80
_LIST = 0xC0
_SHORT = 55
"""The longest payload, in bytes, whose length fits the first byte."""
_HEADS = [bytes([first]) for first in range(256)]
"""First bytes, made once."""
EMPTY_LIST = _HEADS[_LIST]
_SHORT_STRINGS = _HEADS[_STRING : _STRING + _SHORT + 1]
"""What stands before a string, by its length."""


class RlpError(InputError):
    """Bytes that are no RLP in its only valid form; the message begins with the offset at fault."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(f"offset {offset}: {detail}")
        self.offset = offset


def encode(item: RlpItem) -> bytes:
    """The encoding of a byte string or of a list of items. Lists may be as deep as Python's recursion limit allows."""
    if isinstance(item, list):
        # Most items are short strings, which are encoded here: a call costs more than the rest of it.
        payload = b"".join(
            [
                (it if len(it) == 1 and it[0] < _STRING else _SHORT_STRINGS[len(it)] + it)
                if type(it) is bytes and len(it) <= _SHORT
                else encode(it)
                for it in item
            ]
        )
        return _with_length(payload, _LIST)
    if len(item) == 1 and item[0] < _STRING:
        return item
    return _with_length(item, _STRING)


def list_of(items: Iterable[bytes]) -> bytes:
    """The encoding of a list whose items are encoded already."""
    return _with_length(b"".join(items), _LIST)


def _with_length(payload: bytes, base: int) -> bytes:
    length = len(payload)
    if length <= _SHORT:
        return _HEADS[base + length] + payload
    if length < 0x100:
        return b"%c%c%b" % (base + _SHORT + 1, length, payload)
    if length < 0x10000:
        return b"%c%c%c%b" % (base + _SHORT + 2, length >> 8, length & 0xFF, payload)
    digits = integer(length)
    return _HEADS[base + _SHORT + len(digits)] + digits + payload


def integer(value: int) -> bytes:
    """A number as RLP has it: big-endian without leading zeros, so 0 is the empty string. `value` is 0 and up."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def number(value: int) -> bytes:
    """The encoding of a number, 0 to 2**440 - 1."""
    if value < _STRING:
        return _HEADS[value or _STRING]
    size = (value.bit_length() + 7) >> 3
    return _SHORT_STRINGS[size] + value.to_bytes(size, "big")


def decode(data: bytes, start: int = 0) -> RlpItem:
    """The one item that `data` encodes from byte `start` to its end.

    Raises `RlpError` for truncated or superfluous bytes, for an encoding longer than needed, and for lists nested
    deeper than `MAX_DEPTH`.
    """
    item, end = _read(data, start, len(data), 0)
    if end != len(data):
        raise RlpError(end, f"{len(data) - end} bytes after the end of the item")
    return item


def _read(data: bytes, offset: int, limit: int, depth: int) -> tuple[RlpItem, int]:
    """The item at `offset`, which must end by `limit`, and the offset after it."""
    is_list, begin, end = extent(data, offset, limit)
    if not is_list:
        return data[begin:end], end
    if depth == MAX_DEPTH:
        raise RlpError(offset, f"lists nested deeper than {MAX_DEPTH}")
    items: list[RlpItem] = []
    while begin < end:
        first = data[begin]
        after = begin + first - _STRING + 1
        if first <= _STRING:  # most items are bytes for themselves and short strings, which are read here
            items.append(data[begin : begin + 1] if first < _STRING else b"")
            begin += 1
        elif _STRING + 1 < first <= _STRING + _SHORT and after <= end:
            items.append(data[begin + 1 : after])
            begin = after
        else:
            item, begin = _read(data, begin, end, depth + 1)
            items.append(item)
    return items, end


def extent(data: bytes, offset: int, limit: int) -> tuple[bool, int, int]:
    """Whether the item at `offset` is a list, and where its payload begins and ends."""
    if offset >= limit:
        raise RlpError(offset, "an item is missing")
    first = data[offset]
    if first < _STRING:
        return False, offset, offset + 1
    is_list = first >= _LIST
    length = first - (_LIST if is_list else _STRING)
    begin = offset + 1
    if length > _SHORT:
        digits = data[begin : begin + length - _SHORT]
        begin += length - _SHORT
        if begin > limit:
            raise RlpError(offset, "the length is cut short")
        length = int.from_bytes(digits, "big")
        if digits[0] == 0 or length <= _SHORT:
            raise RlpError(offset, "the length takes more bytes than it needs")
    end = begin + length
    if end > limit:
        raise RlpError(offset, f"{length} bytes announced, {limit - begin} there")
    if length == 1 and not is_list and data[begin] < _STRING:
        raise RlpError(offset, "a byte below 0x80 stands for itself")
    return is_list, begin, end
