"""The root of a trie that is needed only once: built from the leaves up, with nothing kept.

Of a block's transactions, receipts and withdrawals, and of whole states in memory.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Mapping
from typing import TypeAlias

from vmloom.hashing import keccak256

from .nodes import EMPTY_TRIE_ROOT, NOTHING, NUMBERS, encode_extension, encode_leaf, list_of, reference, shared, string

Leaves: TypeAlias = list[tuple[bytes, bytes]]
"""Paths and values, in order."""


def built_root(leaves: Mapping[bytes, bytes]) -> bytes:
    """Root of the trie that holds `leaves`, whose values are not empty; 32 bytes."""
    if not leaves:
        return EMPTY_TRIE_ROOT
    items = sorted((hexlify(key), value) for key, value in leaves.items())
    return keccak256(_node(items, 0, len(items), 0))


def _node(items: Leaves, begin: int, end: int, depth: int) -> bytes:
    """The RLP of the node that holds the items from `begin` to `end`, whose paths are the same up to `depth`."""
    path = items[begin][0]
    if end - begin == 1:
        return encode_leaf(path[depth:], items[begin][1])
    fork = shared(path, items[end - 1][0])  # sorted: all others share as much
    branch = _branch(items, begin, end, fork)
    return branch if fork == depth else encode_extension(path[depth:fork], reference(branch))


def _branch(items: Leaves, begin: int, end: int, depth: int) -> bytes:
    children = [NOTHING] * 17
    if len(items[begin][0]) == depth:
        children[16] = string(items[begin][1])
        begin += 1
    while begin < end:
        digit = items[begin][0][depth]
        stop = begin + 1
        while stop < end and items[stop][0][depth] == digit:
            stop += 1
        children[NUMBERS[digit]] = reference(_node(items, begin, stop, depth + 1))
        begin = stop
    return list_of(b"".join(children))
