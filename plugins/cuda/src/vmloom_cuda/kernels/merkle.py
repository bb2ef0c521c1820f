"""Trees of hashes, level by level: RFC 6962, 2.1. All trees of a batch at once; a thread for each node that is made.

Nodes are four words each, those of a tree one after the other, from `begins` of the tree on. What is hashed is put
together at addresses that are multiples of 8, so modules of this are made with `aligned`.
"""

from __future__ import annotations

from vmloom.kernel import Ptr, address_of, copy, inline, local, pointer, u8, u64
from vmloom_native.operations import LEAF, NODE

from .digests import DIGEST, hash_bytes


def leaf(
    row: u64,
    count: u64,  # noqa: ARG001 (all row bodies are given it)
    data: Ptr[u8],
    offsets: Ptr[u64],
    room: Ptr[u8],
    nodes: Ptr[u8],
) -> None:
    """The hash of a leaf, with what stands before leaves. `room` is 16 bytes for each of them, and their sizes."""
    start = offsets[row]
    size = offsets[row + 1] - start
    message = room + ((start >> 3 << 3) + 16 * row)
    message[0] = LEAF
    copy(message + 1, data + start, size)
    hash_bytes(message, size + 1, nodes + DIGEST * row)


def level(
    row: u64,
    count: u64,  # noqa: ARG001
    nodes: Ptr[u64],
    begins: Ptr[u64],
    begins_above: Ptr[u64],
    trees: u64,
    above: Ptr[u64],
) -> None:
    """A node of the level above, of `trees` trees: the hash of two, or what is left over and moves up."""
    tree = tree_of(begins_above, trees, row)
    left = begins[tree] + 2 * (row - begins_above[tree])
    if left + 1 < begins[tree + 1]:
        hash_children(nodes + 4 * left, above + 4 * row)
    else:
        copy_node(nodes + 4 * left, above + 4 * row)


def root(row: u64, count: u64, nodes: Ptr[u64], begins: Ptr[u64], roots: Ptr[u64]) -> None:  # noqa: ARG001
    """The root of a tree of which at most one node is left; that of no leaves is the hash of nothing."""
    if begins[row] == begins[row + 1]:
        nothing = local(u64, 1)
        hash_bytes(pointer(u8, address_of(nothing)), 0, pointer(u8, address_of(roots + 4 * row)))
    else:
        copy_node(nodes + 4 * begins[row], roots + 4 * row)


@inline
def tree_of(begins: Ptr[u64], trees: u64, node: u64) -> u64:
    """To which tree a node belongs: the last one that begins at it or before."""
    low = u64(0)
    high = trees
    while high - low > 1:
        middle = (low + high) >> 1
        if begins[middle] <= node:
            low = middle
        else:
            high = middle
    return low


@inline
def hash_children(children: Ptr[u64], node: Ptr[u64]) -> None:
    """The hash of two nodes one after the other, with what stands before them."""
    message = local(u64, 9)
    before = u64(NODE)
    for at in range(8):
        word = children[at]
        message[at] = u64(word << 8) | before
        before = word >> 56
    message[8] = before
    hash_bytes(pointer(u8, address_of(message)), 2 * DIGEST + 1, pointer(u8, address_of(node)))


@inline
def copy_node(node: Ptr[u64], to: Ptr[u64]) -> None:
    """Four words."""
    for at in range(4):
        to[at] = node[at]
