"""The undo log by itself."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom import Journal
from vmloom.journal import ABSENT


def test_reverts_nest_and_undo_in_reverse_order() -> None:
    journal, mapping, items = Journal(), {"a": 1}, ["x"]
    outer = journal.checkpoint()
    journal.set(mapping, "a", 2)
    journal.set(mapping, "b", 3)
    inner = journal.checkpoint()
    journal.append(items, "y")
    journal.delete(mapping, "a")
    journal.set(mapping, "a", 9)
    assert (mapping, items) == ({"a": 9, "b": 3}, ["x", "y"])
    journal.revert(inner)
    assert (mapping, items) == ({"a": 2, "b": 3}, ["x"])
    journal.revert(outer)
    assert (mapping, items) == ({"a": 1}, ["x"])


def test_deleting_what_is_not_there_is_nothing() -> None:
    journal = Journal()
    journal.delete({}, "a")
    assert journal.checkpoint() == 0


@pytest.mark.parametrize("checkpoint", [-1, 2])
def test_checkpoints_outside_the_log_are_refused(checkpoint: int) -> None:
    journal, mapping = Journal(), dict[str, int]()
    journal.set(mapping, "a", 1)
    with pytest.raises(ValueError, match="not in the undo log, which has 1 entries"):
        journal.revert(checkpoint)
    assert mapping == {"a": 1}


def test_changes_are_told_once_with_the_oldest_value() -> None:
    journal, one, other = Journal(), dict[str, Any](), {"k": 5}
    journal.set(one, "k", 1)
    start = journal.checkpoint()
    journal.set(one, "k", 2)
    journal.set(other, "k", 6)
    journal.set(one, "k", 3)
    journal.append([], 1)
    assert list(journal.changes_since(start)) == [(one, "k", 1), (other, "k", 5)]
    assert next(iter(journal.changes_since(0))) == (one, "k", ABSENT)
    assert repr(ABSENT) == "ABSENT"


def test_clearing_keeps_the_changes() -> None:
    journal, mapping = Journal(), dict[str, int]()
    journal.set(mapping, "a", 1)
    journal.clear()
    assert journal.checkpoint() == 0
    assert mapping == {"a": 1}
