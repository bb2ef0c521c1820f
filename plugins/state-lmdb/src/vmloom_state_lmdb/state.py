"""The state that `create_state("lmdb")` gives."""

from __future__ import annotations

from vmloom.store import StoredState

from .config import LmdbConfig
from .store import LmdbStore


class LmdbState(StoredState):
    """A `StoredState` over an `LmdbStore`. Raises `StateError` as that does."""

    def __init__(self, config: LmdbConfig | None = None) -> None:
        chosen = config or LmdbConfig()
        self.store = LmdbStore(
            chosen.path,
            history=chosen.history,
            map_size=chosen.map_size << 20,
            sync=chosen.sync,
            read_only=chosen.read_only,
        )
        super().__init__(self.store)

    def close(self) -> None:
        """Close the store."""
        self.store.close()
