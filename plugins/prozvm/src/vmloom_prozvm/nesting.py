"""Contracts that call contracts: each nested run takes some of the calls that Python allows a thread to nest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Final, TypeVar

from vmloom.calls import host_depth

T = TypeVar("T")
RUNS_PER_THREAD: Final = 4
"""Nested runs on one thread. Each takes some dozen of the thousand calls that Python allows a thread to nest, and up to
120 more for functions of compiled code; the rest is for the caller's own calls, for other VMs and for deep values."""


class _Thread(threading.local):
    began_at: int = 0
    """Runs that were nested already when this thread began."""


_thread: Final = _Thread()


def with_room(function: Callable[[], T]) -> T:
    """What `function` returns or raises, run where Python has room for a nested run: here, or in a new thread."""
    if host_depth.get() < _thread.began_at + RUNS_PER_THREAD:
        return function()
    outcome: list[T] = []
    raised: list[BaseException] = []
    context = copy_context()

    def work() -> None:
        _thread.began_at = context.get(host_depth, 0)
        try:
            outcome.append(context.run(function))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="vmloom-prozvm")
    thread.start()
    _join(thread)
    if raised:
        raise raised.pop()
    return outcome[0]


def _join(thread: threading.Thread) -> None:
    """Wait for the end, whatever interrupts: the state belongs to the thread as long as it runs."""
    interrupt: BaseException | None = None
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
