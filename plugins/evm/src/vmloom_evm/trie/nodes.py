"""The three kinds of node, as Python works on them and as they are hashed. Yellow paper, appendix D.

Paths are hexadecimal digits in ASCII, one for each nibble: they compare and cut as paths do, and stand in keys. A
*reference* is what a node says of its child: the child's RLP if that has fewer than 32 bytes, else the RLP of its hash.
"""

from __future__ import annotations

import re
from binascii import hexlify, unhexlify
from typing import Final, NamedTuple, TypeAlias

from vmloom.errors import StateError
from vmloom.hashing import keccak256

from .. import rlp

NOTHING: Final = b"\x80"
"""The reference to no node, and the value of a branch that has none."""
HASHED: Final = 0xA0
"""The first byte of a reference that is a hash."""
EMPTY_TRIE_ROOT: Final = keccak256(NOTHING)
DIGITS: Final = tuple(b"%x" % number for number in range(16))
NUMBERS: Final = tuple(int(chr(code), 16) if chr(code) in "0123456789abcdef" else -1 for code in range(128))
"""What a digit stands for, by its code."""
_LEAF_FLAGS: Final = (b"2", b"3")
_EXTENSION_FLAGS: Final = (b"0", b"1")
_HASHES: Final = re.compile(rb"\x80|\xa0[\x00-\xff]{32}")
"""The items of a branch that has neither a value nor children of fewer than 32 bytes, as most."""


class Leaf(NamedTuple):
    """The end of a key: what is left of its path, and its value."""

    path: bytes
    value: bytes


class Extension(NamedTuple):
    """A way without forks: `path`, never empty, to a branch."""

    path: bytes
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


def encode_leaf(path: bytes, value: bytes) -> bytes:
    """The RLP of a leaf."""
    return list_of(leaf_path(path) + string(value))


def leaf_path(path: bytes) -> bytes:
    """The first item of a leaf."""
    return string(unhexlify((b"3" if len(path) & 1 else b"20") + path))


def encode_extension(path: bytes, child: bytes) -> bytes:
    """The RLP of an extension to the branch with the reference `child`."""
    return list_of(string(unhexlify((b"1" if len(path) & 1 else b"00") + path)) + child)


def string(data: bytes) -> bytes:
    """The RLP of a byte string; short ones, which most are, the short way."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return b"%c%b" % (0x80 + size, data) if size <= 55 else rlp.encode(data)


def shared(one: bytes, other: bytes) -> int:
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
    branch = decode_branch(encoded) if encoded else None
    if branch is not None:
        return branch
    items = _items(encoded)
    if len(items) == 17:
        return items
    if len(items) != 2:
        raise BrokenTrie(f"a node of {len(items)} items, where 2 or 17 are possible: 0x{encoded[:64].hex()}")
    packed = hexlify(string_in(items[0]))
    if packed[:1] not in _LEAF_FLAGS + _EXTENSION_FLAGS or (packed[:1] in (b"0", b"2") and packed[1:2] != b"0"):
        raise BrokenTrie(f"a node whose path is none: 0x{encoded[:64].hex()}")
    path = packed[1:] if packed[:1] in (b"1", b"3") else packed[2:]
    if packed[:1] in _LEAF_FLAGS:
        return Leaf(path, string_in(items[1]))
    return Extension(path, items[1])


def decode_branch(encoded: bytes) -> Branch | None:
    """The node if it is a branch whose children are hashed or not there, as most; else it takes `decode`."""
    if encoded[0] < 0xF8:  # less than 56 bytes
        return None
    found: Branch = _HASHES.findall(encoded, encoded[0] - 0xF6)
    return found if len(found) == 17 and list_of(b"".join(found)) == encoded else None


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
            after = rlp.extent(encoded, at, end)[2]
            items.append(encoded[at:after])
            at = after
    except rlp.RlpError as error:
        raise BrokenTrie(f"a node that is no RLP: {error}") from None
    if not is_list or end != len(encoded):
        raise BrokenTrie(f"a node that is not one list: 0x{encoded[:64].hex()}")
    return items
