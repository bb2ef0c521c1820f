"""What every store has to do, as a machine that compares one with a list of dicts, one for each version."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from vmloom.errors import StateError
from vmloom.store import EMPTY, Store, StoreView

KEY = st.binary(min_size=1, max_size=2).map(lambda key: bytes(byte & 3 for byte in key))
"""Few enough to meet again, some being the beginnings of others."""
VALUE = st.one_of(st.none(), st.binary(max_size=3), st.just(b"long" * 300))
CHANGES = st.dictionaries(KEY, VALUE, max_size=8)


class StoreComparison(RuleBasedStateMachine):
    """`make` gives the store to be compared."""

    def make(self, history: int) -> Store:
        raise NotImplementedError

    @initialize(history=st.integers(0, 4))
    def begin(self, history: int) -> None:
        self.history = history
        self.store = self.make(history)
        self.versions: list[dict[bytes, bytes]] = [{}]
        """From the version `EMPTY` on."""
        self.oldest = EMPTY
        self.views: list[tuple[StoreView, dict[bytes, bytes]]] = []

    @property
    def version(self) -> int:
        return len(self.versions) - 2

    @rule(changes=CHANGES)
    def commit(self, changes: dict[bytes, bytes | None]) -> None:
        now = dict(self.versions[-1])
        for key, value in changes.items():
            now.pop(key, None)
            if value is not None:
                now[key] = value
        self.versions.append(now)
        assert self.store.commit(changes) == self.version
        self.oldest = max(self.oldest, self.version - self.history)
        self.forget_views()

    @rule(items=st.dictionaries(KEY, VALUE.filter(lambda value: value is not None), max_size=8))
    def fill(self, items: dict[bytes, bytes]) -> None:
        if self.version == EMPTY:
            assert self.store.fill(iter(items.items())) == 0
            self.versions.append(dict(items))
            self.oldest = 0
        else:
            with pytest.raises(StateError, match="only an empty"):
                self.store.fill(iter(items.items()))
        self.forget_views()

    @rule(back=st.integers(0, 5))
    def rollback(self, back: int) -> None:
        target = self.version - back
        if target < self.oldest:
            with pytest.raises(StateError, match="is not kept any more"):
                self.store.rollback(target)
            return
        self.store.rollback(target)
        del self.versions[target + 2 :]
        self.forget_views()

    @rule(keep=st.integers(0, 5))
    def prune(self, keep: int) -> None:
        self.store.prune(keep)
        self.oldest = max(self.oldest, self.version - keep)
        self.forget_views()

    @rule(back=st.integers(0, 5))
    def look(self, back: int) -> None:
        version = self.version - back
        try:
            view = self.store.at(version)
        except StateError:
            assert version < self.oldest
            return
        assert version >= self.oldest
        assert view.version == version
        self.views.append((view, self.versions[version + 1]))

    def forget_views(self) -> None:
        """Keep those whose version was neither taken back nor pruned: stores differ in what others show."""
        kept = []
        for view, items in self.views:
            inside = self.oldest <= view.version <= self.version
            if inside and self.versions[view.version + 1] is items:
                kept.append((view, items))
            else:
                view.close()
        self.views = kept

    @invariant()
    def all_versions_are_those_of_the_model(self) -> None:
        if not hasattr(self, "store"):
            return
        assert (self.store.version, self.store.oldest) == (self.version, self.oldest)
        for view, items in [(self.store, self.versions[-1]), *self.views]:
            assert list(view.scan(b"")) == sorted(items.items())
            assert list(view.scan(b"\x01")) == sorted(item for item in items.items() if item[0][0] == 1)
            for key in (b"\x00", b"\x01", b"\x01\x02", b"\x03\x03", b""):
                assert view.get(key) == items.get(key)

    def teardown(self) -> None:
        for view, _ in getattr(self, "views", ()):
            view.close()
        if hasattr(self, "store"):
            self.store.close()
