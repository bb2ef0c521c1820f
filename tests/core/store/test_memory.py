"""The store in memory: against a list of dicts under random commits, and what it refuses."""

from __future__ import annotations

import threading

import pytest
from hypothesis import settings
from vmloom.errors import StateError
from vmloom.store import EMPTY, MemoryStore
from vmloom.store.interface import KEY_LIMIT

from ...stores import StoreComparison


class Comparison(StoreComparison):
    def make(self, history: int) -> MemoryStore:
        return MemoryStore(history=history)


TestAgainstModel = Comparison.TestCase
TestAgainstModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_unlimited_history_goes_back_to_nothing() -> None:
    store = MemoryStore()
    for number in range(50):
        assert store.commit({b"key": b"%d" % number}) == number
    assert store.oldest == EMPTY
    assert [store.at(number).get(b"key") for number in (0, 25, 49)] == [b"0", b"25", b"49"]
    assert store.at(EMPTY).get(b"key") is None
    store.rollback(EMPTY)
    assert (store.version, list(store.scan(b""))) == (EMPTY, [])


@pytest.mark.parametrize("key", [b"", bytes(KEY_LIMIT + 1)])
def test_impossible_keys_commit_nothing(key: bytes) -> None:
    store = MemoryStore()
    with pytest.raises(StateError, match=f"a key has 1 to {KEY_LIMIT} bytes"):
        store.commit({b"good": b"1", key: b"2"})
    assert (store.version, store.get(b"good")) == (EMPTY, None)


def test_a_view_that_has_been_pruned_says_so() -> None:
    store = MemoryStore(history=1)
    store.commit({b"key": b"0"})
    with store.at(0) as view:
        store.commit({b"key": b"1"})
        assert view.get(b"key") == b"0"
        store.commit({b"key": b"2"})
        with pytest.raises(StateError, match="version 0 is not kept any more, the oldest is 1"):
            view.get(b"key")


def test_negative_history_is_refused() -> None:
    with pytest.raises(ValueError, match="history of -1"):
        MemoryStore(history=-1)


def test_views_in_other_threads_see_one_version_whole() -> None:
    """A writer changes two keys together; no reader ever sees one without the other."""
    store = MemoryStore(history=10)
    store.commit({b"a": b"0", b"b": b"0"})
    failures: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            view = store.at(store.version)
            try:
                seen = {view.get(b"a"), view.get(b"b"), *(value for _, value in view.scan(b""))}
            except StateError:  # pruned meanwhile
                continue
            if seen != {b"%d" % view.version}:
                failures.append((view.version, seen))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 300):
        store.commit({b"a": b"%d" % number, b"b": b"%d" % number})
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
