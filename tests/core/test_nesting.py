"""Runs nested on the host's stack: counted by thread, and handed to new threads within their context."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest
from vmloom.calls import host_depth
from vmloom.nesting import in_a_thread, nested_here

SEEN: ContextVar[str] = ContextVar("seen", default="")


def test_thread_begins_its_own_count_in_the_same_context() -> None:
    seen, depth = SEEN.set("outside"), host_depth.set(5)
    try:
        assert nested_here() == 5
        found = in_a_thread(lambda: (nested_here(), host_depth.get(), SEEN.get(), threading.current_thread()))
        assert found[:3] == (0, 5, "outside")
        assert found[3] is not threading.current_thread()
        assert nested_here() == 5
    finally:
        SEEN.reset(seen)
        host_depth.reset(depth)
    assert nested_here() == 0


def test_what_is_raised_comes_out() -> None:
    def fail() -> None:
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        in_a_thread(fail)


def test_size_of_other_threads_stays() -> None:
    former = threading.stack_size()
    assert in_a_thread(lambda: 7, stack_bytes=1 << 20) == 7
    assert threading.stack_size() == former


def test_interrupted_wait_goes_on_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state belongs to the thread as long as it runs."""
    ended, join = [], threading.Thread.join
    interrupts = [KeyboardInterrupt()]

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        if interrupts:
            raise interrupts.pop()
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    gate = threading.Event()
    threading.Timer(0.05, gate.set).start()
    with pytest.raises(KeyboardInterrupt):
        in_a_thread(lambda: (gate.wait(), ended.append(True)))
    assert ended == [True]
