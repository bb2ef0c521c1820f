"""Runs nested on the host's own stack: how many a thread has, and a new thread where it has room for no more.

Python lets a thread nest about a thousand calls, and compiled code needs stack besides. How many runs fit on a thread
is each VM's own number; how deep contracts may call each other is `calls.HOST_DEPTH_LIMIT`, whatever the threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Final, TypeVar

from .calls import host_depth

T = TypeVar("T")


class _Thread(threading.local):
    began_at: int = 0
    """Runs that were nested already when this thread began."""


_thread: Final = _Thread()
_size_lock: Final = threading.Lock()


def nested_here() -> int:
    """Runs that are nested on this thread."""
    return host_depth.get() - _thread.began_at


def in_a_thread(function: Callable[[], T], *, stack_bytes: int = 0) -> T:
    """What `function` returns or raises, run in a new thread within the same context, while this one waits.

    Its stack has `stack_bytes`, of address space only; with 0 what threads of this process usually have.
    """
    outcome: list[T] = []
    raised: list[BaseException] = []
    context = copy_context()

    def work() -> None:
        _thread.began_at = context.get(host_depth, 0)
        try:
            outcome.append(context.run(function))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="vmloom")
    with _size_lock:
        former = threading.stack_size(stack_bytes) if stack_bytes else None
        try:
            thread.start()
        finally:
            if former is not None:
                threading.stack_size(former)
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
