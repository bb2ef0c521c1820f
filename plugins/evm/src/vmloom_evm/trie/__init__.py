"""Merkle Patricia tries that live in a store: roots after changes without reading the rest, and proofs.

`StateTrie` is the one that a block's state root commits to. Yellow paper, appendix D; EIP-1186 for the proofs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmloom.lazy import importer

if TYPE_CHECKING:
    from .built import built_root
    from .nodes import BrokenTrie
    from .proof import verify_proof
    from .state import AccountProof, StateTrie, StorageProof
    from .tree import Trie

__all__ = ["AccountProof", "BrokenTrie", "StateTrie", "StorageProof", "Trie", "built_root", "verify_proof"]

# Hashing lists of transactions takes the one of these that knows no store.
__getattr__ = importer(
    __name__,
    {
        "built_root": "built",
        "BrokenTrie": "nodes",
        "verify_proof": "proof",
        "AccountProof": "state",
        "StateTrie": "state",
        "StorageProof": "state",
        "Trie": "tree",
    },
)
