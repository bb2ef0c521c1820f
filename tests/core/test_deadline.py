"""Deadlines of what runs in a thread."""

from __future__ import annotations

import threading

import pytest
from vmloom.deadline import TimeIsUp, check_time, is_late, no_time_limit, time_limit


def test_nothing_is_late_without_a_limit() -> None:
    check_time()
    with time_limit(0):
        assert not is_late()


def test_a_limit_holds_inside_its_block_and_in_its_thread() -> None:
    seen = []
    with time_limit(1e-9):
        assert is_late()
        with pytest.raises(TimeIsUp):
            check_time()
        with no_time_limit():
            check_time()
        other = threading.Thread(target=lambda: seen.append(is_late()))
        other.start()
        other.join()
        assert is_late()
    assert seen == [False]
    assert not is_late()
