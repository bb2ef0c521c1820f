"""Checks proofs against a root: all that somebody without a state needs. EIP-1186."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence

from vmloom.hashing import keccak256

from .nodes import EMPTY_TRIE_ROOT, HASHED, NOTHING, NUMBERS, BrokenTrie, Extension, Leaf, decode, string_in


def verify_proof(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value that the trie with that `root` (32 bytes) has under `key`, None if it has none; `proof` shows it.

    `proof` holds the RLP of nodes from the root down, as `Trie.prove` gives them. Keys of the state's tries are
    keccak256 of the address or of the slot in 32 bytes. Raises `BrokenTrie` for a proof that does not show it.
    """
    if root == EMPTY_TRIE_ROOT and not proof:
        return None
    path, at, step = hexlify(key), 0, 0
    expected = root
    while True:
        if step == len(proof) or keccak256(proof[step]) != expected:
            raise BrokenTrie(f"node {step} of the proof is not the one with hash 0x{expected.hex()}")
        encoded = proof[step]
        step += 1
        value, at, child = _down(encoded, path, at)
        while child is not None and child[0] != HASHED:
            value, at, child = _down(child, path, at)
        if child is None:
            if step != len(proof):
                raise BrokenTrie(f"the proof goes on after node {step - 1}, where the way ends")
            return value
        expected = child[1:]


def _down(encoded: bytes, path: bytes, at: int) -> tuple[bytes | None, int, bytes | None]:
    """One step from position `at` of the path: the value there, the new position, and the child if the way goes on."""
    node = decode(encoded)
    if isinstance(node, Leaf):
        return (node.value if node.path == path[at:] else None), at, None
    if isinstance(node, Extension):
        if not path.startswith(node.path, at):
            return None, at, None
        return None, at + len(node.path), node.child
    if at == len(path):
        return string_in(node[16]) or None, at, None
    child = node[NUMBERS[path[at]]]
    return None, at + 1, None if child == NOTHING else child
