"""A trie in a store: many keys are changed at once, and only the nodes on their paths are read and hashed.

A node lies in the store under its path, not its hash. So a node that is replaced leaves nothing behind, and the history
of the store is that of the trie. Nodes of fewer than 32 bytes lie in their parents; the root always has a place.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from vmloom.hashing import keccak256

from .nodes import (
    DIGITS,
    EMPTY_TRIE_ROOT,
    HASHED,
    NOTHING,
    NUMBERS,
    Branch,
    BrokenTrie,
    Extension,
    Leaf,
    Node,
    decode,
    decode_branch,
    encode,
    leaf_path,
    list_of,
    shared,
    string,
    string_in,
)

_SHORT_LIST: Final = 0xF8
"""The greatest first byte of a list of less than 256 bytes; what is longer is a branch, or holds a long value."""
Item: TypeAlias = tuple[bytes, bytes | None]
"""A path and its value, None to remove it."""


class Trie:
    """The trie whose nodes `read` finds under keys that begin with `prefix`.

    Changes are collected in `changes`, what the store must be told: nodes by key, None removing one. Several tries may
    share them.
    """

    def __init__(
        self, read: Callable[[bytes], bytes | None], prefix: bytes, changes: dict[bytes, bytes | None] | None = None
    ) -> None:
        self._read = read
        self._prefix = prefix
        self.changes: dict[bytes, bytes | None] = {} if changes is None else changes

    # What it says

    def root(self) -> bytes:
        """Hash of the root node, 32 bytes."""
        encoded = self._find(b"")
        return EMPTY_TRIE_ROOT if encoded is None else keccak256(encoded)

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, None if there is none. Raises `BrokenTrie`."""
        return self._walk(hexlify(key))[0]

    def prove(self, key: bytes) -> list[bytes]:
        """The RLP of the nodes from the root towards `key`, those of fewer than 32 bytes being in their parents.

        They prove the value of `key`, or that there is none. Of an empty trie there is no node. Raises `BrokenTrie`.
        """
        return self._walk(hexlify(key))[1]

    def _walk(self, path: bytes) -> tuple[bytes | None, list[bytes]]:
        """The value at the end of `path`, and the nodes on the way that are not in their parents."""
        seen: list[bytes] = []
        encoded = self._find(b"")
        if encoded is None:
            return None, seen
        seen.append(encoded)
        at = 0
        while True:
            node = decode(encoded)
            if isinstance(node, Leaf):
                return node.value if node.path == path[at:] else None, seen
            if isinstance(node, Extension):
                if not path.startswith(node.path, at):
                    return None, seen
                at, child = at + len(node.path), node.child
            elif at == len(path):
                return string_in(node[16]) or None, seen
            else:
                at, child = at + 1, node[NUMBERS[path[at]]]
            if child == NOTHING:
                return None, seen
            if child[0] == HASHED:
                encoded = self._fetch(path[:at])
                seen.append(encoded)
            else:
                encoded = child

    # Changes

    def update(self, items: Iterable[tuple[bytes, bytes | None]]) -> bytes:
        """Set the values of keys, None or nothing at all removing one; returns the new root, 32 bytes.

        Keys are distinct. Raises `BrokenTrie` where the store lacks a node.
        """
        return self.update_paths([(hexlify(key), value or None) for key, value in items])

    def update_paths(self, items: list[Item]) -> bytes:
        """`update` for keys that are written as hexadecimal digits."""
        encoded = self._find(b"")
        items.sort(key=_path_of)
        if items:
            node = self._changed(None if encoded is None else decode(encoded), b"", items)
            encoded = self.changes[self._prefix] = None if node is None else encode(node)
        return EMPTY_TRIE_ROOT if encoded is None else keccak256(encoded)

    def _changed(self, node: Node | None, at: bytes, items: Sequence[Item]) -> Node | None:
        """The node at the path `at` after `items`, whose paths begin with it, are done; it has no place yet."""
        if isinstance(node, list):
            return self._changed_branch(node, at, items)
        if isinstance(node, Leaf):
            return self._changed_leaf(node, at, items)
        if isinstance(node, Extension):
            return self._changed_extension(node, at, items)
        return self._built(at, [item for item in items if item[1] is not None])

    def _changed_branch(self, node: Branch, at: bytes, items: Sequence[Item]) -> Node | None:
        depth = len(at)
        if len(items) == 1 and len(items[0][0]) > depth:
            return self._changed_way(node, depth, items)
        begin, count, removed = 0, len(items), False
        if len(items[0][0]) == depth:  # sorted: a key that ends here comes first
            value = items[0][1]
            removed = value is None
            node[16] = NOTHING if value is None else string(value)
            begin = 1
        while begin < count:
            digit = items[begin][0][depth]
            end = begin + 1
            while end < count and items[end][0][depth] == digit:
                end += 1
            number, place = NUMBERS[digit], items[begin][0][: depth + 1]
            child = self._changed_child(node[number], place, items[begin:end])
            removed = removed or child == NOTHING
            node[number] = child
            begin = end
        return self._collapsed(node, at) if removed else node

    def _changed_way(self, node: Branch, depth: int, items: Sequence[Item]) -> Node | None:
        """`_changed_branch` for one item, which does not end here: down through branches, and up again."""
        path = items[0][0]
        way: list[tuple[Branch, int]] = []
        while True:
            number = NUMBERS[path[depth]]
            way.append((node, number))
            depth += 1
            child, below = node[number], None
            if child[0] == HASHED and depth < len(path):
                below = decode_branch(self._fetch(path[:depth]))
            if below is None:
                break
            self.changes[self._prefix + path[:depth]] = None
            node = below
        reference = self._changed_child(child, path[:depth], items)
        while True:
            node, number = way.pop()
            node[number] = reference
            depth -= 1
            changed = self._collapsed(node, path[:depth]) if reference == NOTHING else node
            if not way:
                return changed
            reference = NOTHING if changed is None else self._placed_as(encode(changed), path[:depth])

    def _changed_child(self, child: bytes, place: bytes, items: Sequence[Item]) -> bytes:
        """The reference to a child after `items` are done."""
        if child[0] != HASHED:
            node = None if child == NOTHING else decode(child)
        else:
            encoded = self._fetch(place)
            if len(items) == 1:
                leaf = _with_another_value(encoded, len(place), *items[0])
                if leaf is not None:
                    return self._placed_as(leaf, place)
            self.changes[self._prefix + place] = None
            node = decode(encoded)
        node = self._changed(node, place, items)
        return NOTHING if node is None else self._placed_as(encode(node), place)

    def _changed_leaf(self, node: Leaf, at: bytes, items: Sequence[Item]) -> Node | None:
        path = at + node.path
        if len(items) == 1 and items[0][0] == path:
            value = items[0][1]
            return None if value is None else Leaf(node.path, value)
        values: dict[bytes, bytes | None] = {path: node.value}
        values.update(items)
        return self._built(at, sorted((path, value) for path, value in values.items() if value is not None))

    def _changed_extension(self, node: Extension, at: bytes, items: Sequence[Item]) -> Node | None:
        end = at + node.path
        # What is not there cannot be removed.
        items = [item for item in items if item[1] is not None or item[0].startswith(end)]
        if not items:
            return node
        parting = min(shared(end, items[0][0]), shared(end, items[-1][0]))  # sorted: all others share as much
        if parting == len(end):
            return self._prefixed(node.path, self._changed(self._taken(node.child, end), end, items), end)
        fork: Branch = [NOTHING] * 17
        rest, below = end[parting + 1 :], end[: parting + 1]
        fork[NUMBERS[end[parting]]] = self._placed(Extension(rest, node.child), below) if rest else node.child
        place = end[:parting]
        return self._prefixed(place[len(at) :], self._changed_branch(fork, place, items), place)

    def _built(self, at: bytes, items: Sequence[Item]) -> Node | None:
        """A node that holds `items`, sorted values that are all there, where there was none."""
        if len(items) < 2:
            return Leaf(items[0][0][len(at) :], items[0][1] or b"") if items else None
        place = items[0][0][: shared(items[0][0], items[-1][0])]
        return self._prefixed(place[len(at) :], self._changed_branch([NOTHING] * 17, place, items), place)

    def _collapsed(self, node: Branch, at: bytes) -> Node | None:
        """A branch that has lost something: it is one no more if it has less than two children or values."""
        left = [number for number in range(17) if node[number] != NOTHING]
        if len(left) > 1:
            return node
        if not left:
            return None
        if left[0] == 16:
            return Leaf(b"", string_in(node[16]))
        digit = DIGITS[left[0]]
        place, child = at + digit, node[left[0]]
        below = decode(self._fetch(place) if child[0] == HASHED else child)
        if isinstance(below, list):
            return Extension(digit, child)
        self.changes[self._prefix + place] = None
        return below._replace(path=digit + below.path)

    def _prefixed(self, path: bytes, node: Node | None, end: bytes) -> Node | None:
        """`node` below a way `path` that ends at the path `end`."""
        if not path or node is None:
            return node
        if isinstance(node, list):
            return Extension(path, self._placed(node, end))
        return node._replace(path=path + node.path)

    # Places

    def _taken(self, child: bytes, place: bytes) -> Node | None:
        """The node that a parent refers to, to be changed: it leaves its place."""
        if child == NOTHING:
            return None
        if child[0] != HASHED:
            return decode(child)
        encoded = self._fetch(place)
        self.changes[self._prefix + place] = None
        return decode(encoded)

    def _placed(self, node: Node, place: bytes) -> bytes:
        """The reference to a node, which gets its place in the store unless it fits its parent."""
        return self._placed_as(encode(node), place)

    def _placed_as(self, encoded: bytes, place: bytes) -> bytes:
        if len(encoded) < 32:
            return encoded
        self.changes[self._prefix + place] = encoded
        return b"\xa0" + keccak256(encoded)

    def _fetch(self, place: bytes) -> bytes:
        encoded = self._find(place)
        if encoded is None:
            raise BrokenTrie(
                f"the store has no node at path {place.decode()} of the trie 0x{self._prefix.hex()}"
            ).with_fix("import the state again from a file that `vmloom state export` wrote")
        return encoded

    def _find(self, place: bytes) -> bytes | None:
        key = self._prefix + place
        if key in self.changes:
            return self.changes[key]
        return self._read(key)


def _path_of(item: Item) -> bytes:
    return item[0]


def _with_another_value(encoded: bytes, depth: int, path: bytes, value: bytes | None) -> bytes | None:
    """The leaf of `path` with its new value if `encoded` is that leaf, as it mostly is: it need not be decoded then."""
    if value is None or encoded[0] > _SHORT_LIST:
        return None
    way = leaf_path(path[depth:])
    begin = 1 if encoded[0] < _SHORT_LIST else 2
    return list_of(way + string(value)) if encoded.startswith(way, begin) else None
