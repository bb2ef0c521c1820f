"""The three kinds of node, as Python works on them and as they are hashed. Yellow paper, appendix D.

Paths are strings of hexadecimal digits, one for each nibble: they compare and cut as paths do, and cost no conversion
but that of `bytes.hex`. A *reference* is what a node says of its child: the child's RLP if that has fewer than 32
bytes, else the RLP of its hash.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from vmloom.errors import StateError
from vmloom.hashing import keccak256

from .. import rlp

NOTHING: Final = b"\x80"
"""The reference to no node, and the value of a branch that has none."""
HASHED: Final = 0xA0
"""The first byte of a reference that is a hash."""
EMPTY_TRIE_ROOT: Final = keccak256(NOTHING)
DIGITS: Final = "0123456789abcdef"
_NOTHING: Final = NOTHING[0]
_FULL_BRANCH: Final = bytes([HASHED]) * 16 + NOTHING
"""Every 33rd byte of a branch whose children are all there and hashed, from its first item on."""


class Leaf(NamedTuple):
    """The end of a key: what is left of its path, and its value."""

    path: str
    value: bytes


class Extension(NamedTuple):
    """A way without forks: `path`, never empty, to a branch."""

    path: str
    child: bytes


Branch: TypeAlias = list[bytes]
"""16 references, and the RLP of the value of the key that ends here."""
Node: TypeAlias = "Leaf | Extension | Branch"


class BrokenTrie(StateError):
    """A trie whose nodes are not what their parents say, or no nodes at all."""


def encode(node: Node) -> bytes:
    """The node's RLP."""
    if isinstance(node, list):
        return list_of(b"".join(node))
    if isinstance(node, Leaf):
        return encode_leaf(node.path, node.value)
    return encode_extension(node.path, node.child)


def encode_leaf(path: str, value: bytes) -> bytes:
    """The RLP of a leaf."""
    return list_of(string(bytes.fromhex(("3" if len(path) & 1 else "20") + path)) + string(value))


def encode_extension(path: str, child: bytes) -> bytes:
    """The RLP of an extension to the branch with the reference `child`."""
    return list_of(string(bytes.fromhex(("1" if len(path) & 1 else "00") + path)) + child)


def string(data: bytes) -> bytes:
    """The RLP of a byte string; short ones, which most are, the short way."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return b"%c%b" % (0x80 + size, data) if size <= 55 else rlp.encode(data)


def shared(one: str, other: str) -> int:
    """How long the beginnings of two paths are that do not differ."""
    if one == other:
        return len(one)
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def list_of(payload: bytes) -> bytes:
    """The RLP of a list whose items are encoded already."""
    size = len(payload)
    if size <= 55:
        return b"%c%b" % (0xC0 + size, payload)
    if size < 256:
        return b"\xf8%c%b" % (size, payload)
    if size < 65536:
        return b"\xf9%c%c%b" % (size >> 8, size & 255, payload)
    digits = rlp.integer(size)
    return b"%c%b%b" % (0xF7 + len(digits), digits, payload)


def reference(encoded: bytes) -> bytes:
    """What a parent says of a node with this RLP."""
    return encoded if len(encoded) < 32 else b"\xa0" + keccak256(encoded)


def decode(encoded: bytes) -> Node:
    """The node of an RLP. Raises `BrokenTrie` for what is none."""
    if len(encoded) == 532 and encoded[3::33] == _FULL_BRANCH:
        return [*(encoded[at : at + 33] for at in range(3, 531, 33)), NOTHING]
    items = _items(encoded)
    if len(items) == 17:
        return items
    if len(items) != 2:
        raise BrokenTrie(f"a node of {len(items)} items, where 2 or 17 are possible: 0x{encoded[:64].hex()}")
    packed = string_in(items[0]).hex()
    if not packed or packed[0] not in "0123" or (packed[0] in "02" and packed[1] != "0"):
        raise BrokenTrie(f"a node whose path is none: 0x{encoded[:64].hex()}")
    path = packed[1:] if packed[0] in "13" else packed[2:]
    if packed[0] in "23":
        return Leaf(path, string_in(items[1]))
    return Extension(path, items[1])


def string_in(encoded: bytes) -> bytes:
    """The byte string of an RLP. Raises `BrokenTrie` for a list."""
    try:
        item = rlp.decode(encoded)
    except rlp.RlpError as error:
        raise BrokenTrie(f"a node with an item that is no RLP: {error}") from None
    if isinstance(item, list):
        raise BrokenTrie("a node with a list where a byte string belongs")
    return item


def _items(encoded: bytes) -> list[bytes]:
    """The items of a list, each with its header. Raises `BrokenTrie` for anything but one list."""
    try:
        is_list, at, end = rlp.extent(encoded, 0, len(encoded))
        items = []
        while at < end:
            first = encoded[at]
            if first == HASHED:  # a hash or nothing, which most items are
                after = at + 33
            elif first == _NOTHING:
                after = at + 1
            else:
                after = rlp.extent(encoded, at, end)[2]
            items.append(encoded[at:after])
            at = after
    except rlp.RlpError as error:
        raise BrokenTrie(f"a node that is no RLP: {error}") from None
    if not is_list or not at == end == len(encoded):
        raise BrokenTrie(f"a node that is not one list: 0x{encoded[:64].hex()}")
    return items
