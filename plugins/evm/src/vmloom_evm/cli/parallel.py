"""Work spread over processes, with results in order and an end when the user wants one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

_runner: Callable[[Any], Any] | None = None
"""What a worker process runs; made once in each."""


def in_processes(
    make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...], items: Sequence[Any], workers: int
) -> Iterator[Any]:
    """`make(*arguments)(item)` for each item, in order, in `workers` processes (0: one for each core).

    An error in a worker is raised here. Leaving the iteration, by an interrupt too, ends the workers.
    """
    count = min(workers or os.cpu_count() or 1, len(items))
    # Fresh processes: a fork would copy threads' locks, and not every platform has it.
    context = multiprocessing.get_context("spawn")
    with _without_interrupts():  # which the workers inherit: an interrupt is this process's to handle
        pool = context.Pool(count, _begin, (make, arguments))
    with pool:
        yield from pool.imap(_work, items, chunksize=max(1, min(16, len(items) // (count * 8))))


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold back interrupts, which come afterwards: one that came in between would be lost if it were ignored."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where processes inherit nothing of the kind
        yield
        return
    resource_tracker.ensure_running()  # begun with the first worker, it would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _runner
    _runner = make(*arguments)


def _work(item: Any) -> Any:
    assert _runner is not None
    return _runner(item)
