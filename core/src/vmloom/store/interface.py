"""What a store is: an ordered map of bytes whose commits are atomic, numbered, readable later, and taken back.

Chains and states build on it and need not know whether it is memory or a file. A store knows nothing of what its keys
and values mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self, TypeAlias

from ..errors import StateError

Changes: TypeAlias = Mapping[bytes, bytes | None]
"""What a commit does: values by key, None removing the key."""

EMPTY: Final = -1
"""The version of a store in which nothing was ever committed."""
KEY_LIMIT: Final = 255
"""Bytes that a key may have."""
DEFAULT_HISTORY: Final = 1024
"""Versions before the last that are kept where nobody says otherwise; a block is one."""


class StoreView(ABC):
    """One version of a store, to be read by one thread. Close it, or use it as a context manager."""

    @property
    @abstractmethod
    def version(self) -> int:
        """Number of the commit whose outcome is seen, `EMPTY` before the first."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, None if there is none."""

    @abstractmethod
    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All keys that begin with `prefix` and their values, in order of key. Nothing may be committed meanwhile."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the view holds; it is not to be used any more. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Store(StoreView):
    """A store; as a view it shows the last commit.

    Commits are numbered 0, 1, ... and one thread at a time makes them. `at` may be called by any thread, and gives
    views that later commits do not change. How many versions before the last can be seen and rolled back to is decided
    where a store is made.
    """

    @property
    @abstractmethod
    def oldest(self) -> int:
        """The least version that `at` and `rollback` take."""

    @abstractmethod
    def commit(self, changes: Changes) -> int:
        """Do all of `changes`, or nothing if that fails; returns the version, which is the last one and 1.

        Raises `StateError` for keys that are empty or longer than `KEY_LIMIT`, and where the store cannot be written.
        """

    @abstractmethod
    def fill(self, items: Iterable[tuple[bytes, bytes]]) -> int:
        """The first commit of an empty store, for more than fits in memory; returns its version, 0.

        Raises `StateError` if the store is not empty. What `items` raises is passed on, and nothing is committed.
        """

    @abstractmethod
    def at(self, version: int) -> StoreView:
        """The store as it was after the commit `version`. Raises `StateError` for one that is not there (any more)."""

    @abstractmethod
    def rollback(self, version: int) -> None:
        """Take back all commits after `version`. Raises `StateError` for one that is not there (any more)."""

    @abstractmethod
    def prune(self, keep: int) -> None:
        """Forget what is needed only for versions more than `keep` before the last; `keep` is 0 and up."""

    def check_version(self, version: int) -> None:
        """Raises `StateError` unless `version` can be read and rolled back to."""
        if version > self.version:
            raise StateError(f"version {version} was never committed, the last is {self.version}")
        if version < self.oldest:
            raise StateError(f"version {version} is not kept any more, the oldest is {self.oldest}").with_fix(
                "keep a longer history"
            )


def check_key(key: bytes) -> None:
    """Raises `StateError` for a key that a store does not take."""
    if not 0 < len(key) <= KEY_LIMIT:
        raise StateError(f"a key has 1 to {KEY_LIMIT} bytes, got {len(key)}: 0x{key[:32].hex()}")
