"""Merkle Patricia tries that live in a store: roots after changes without reading the rest, and proofs.

`StateTrie` is the one that a block's state root commits to. Yellow paper, appendix D; EIP-1186 for the proofs.
"""

from __future__ import annotations

from .nodes import BrokenTrie
from .proof import verify_proof
from .state import AccountProof, StateTrie, StorageProof
from .tree import Trie

__all__ = ["AccountProof", "BrokenTrie", "StateTrie", "StorageProof", "Trie", "verify_proof"]
