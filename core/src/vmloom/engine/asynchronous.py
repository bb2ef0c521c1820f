"""Work of an engine for callers that must not block: in threads that have ended before the caller goes on.

Whoever cancels a task goes on at once with something else, such as the state. So a task that is cancelled first waits
for its thread, which hears of it and ends soon.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Final, TypeVar

from ..result import ExecutionResult
from ..state import StateAccess
from .batch import Cancellation

T = TypeVar("T")
_FEW: Final = 256
"""Results collected for one hop between threads, at most."""
_FEW_SECONDS: Final = 0.02
"""What collecting results for one hop between threads may take."""


class Turn:
    """Whose turn it is to use a state, among the tasks of an event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for the turn, and have it until this is left."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a lock belongs to the loop in which somebody first waited for it
            self._loop, self._lock = loop, asyncio.Lock()
        async with self._lock:
            yield


async def in_thread(function: Callable[[], T], cancellation: Cancellation) -> T:
    """What `function` returns or raises in a thread. If this is cancelled so is `cancellation`, and the thread ends."""
    # Not a task, which whoever shuts a loop down would cancel without the thread noticing.
    future = asyncio.get_running_loop().run_in_executor(None, copy_context().run, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancellation.cancel()
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        future.exception()  # nobody else will ask for it
        raise


async def undone_if_cancelled(state: StateAccess, function: Callable[[], T], cancellation: Cancellation) -> T:
    """`in_thread`, taking back what it did to `state` if this is cancelled."""
    checkpoint = state.snapshot()
    try:
        return await in_thread(function, cancellation)
    except asyncio.CancelledError:
        # In a thread, too: there may be a hundred thousand changes to take back, and others wait for the event loop.
        with suppress(asyncio.CancelledError):  # once more; it is raised below
            await in_thread(functools.partial(state.revert, checkpoint), Cancellation())
        raise


def next_few(results: Iterator[ExecutionResult]) -> list[ExecutionResult]:
    """At least one of `results`, more if they come fast, and none at their end."""
    found: list[ExecutionResult] = []
    begun = time.perf_counter()
    for result in results:
        found.append(result)
        if len(found) >= _FEW or time.perf_counter() - begun > _FEW_SECONDS:
            break
    return found
