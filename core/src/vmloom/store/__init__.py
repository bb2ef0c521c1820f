"""Stores of versions: what a node keeps, in memory or on disk, with the history of its last commits.

`Store` is an ordered map from bytes to bytes that changes in whole commits, each a version that can be read and rolled
back to. `StoredState` is a `StateAccess` over one. Stores that outlive the process come as plugins.
"""

from __future__ import annotations

from .archive import Contents, export_state, import_state
from .encoding import ACCOUNT, CHAIN, CODE, RECORD, SLOT, TRIE
from .interface import EMPTY, Changes, Store, StoreView
from .memory import MemoryStore
from .state import StateSource, StoredState

__all__ = [
    "ACCOUNT",
    "CHAIN",
    "CODE",
    "EMPTY",
    "RECORD",
    "SLOT",
    "TRIE",
    "Changes",
    "Contents",
    "MemoryStore",
    "StateSource",
    "Store",
    "StoreView",
    "StoredState",
    "export_state",
    "import_state",
]
