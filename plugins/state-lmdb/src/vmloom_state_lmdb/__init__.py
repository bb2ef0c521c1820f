"""Durable state on LMDB: a `vmloom.store.Store` in one memory-mapped file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmloom.lazy import importer

if TYPE_CHECKING:
    from .config import LmdbConfig
    from .state import LmdbState
    from .store import LmdbStore

__all__ = ["LmdbConfig", "LmdbState", "LmdbStore"]

__getattr__ = importer(__name__, {"LmdbStore": "store", "LmdbState": "state", "LmdbConfig": "config"})
