"""Many calls that do not depend on one another: each runs on the state as it is, and leaves it as it was.

Items are taken from their source as threads get to them, so that a long source is never held whole. Results come in the
order of the items, whoever finishes first.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ..result import ExecutionResult
from ..state import StateAccess
from ..vm import VmHost
from .overlay import OverlayState
from .requests import Call
from .running import cancelled, refused

Item: TypeAlias = Call | Exception
"""A call, or why there is none."""
Progress: TypeAlias = Callable[[int], None]
"""Told, from the calling thread and in order, how many items have ended."""
CHUNK: Final = 256
"""Items that a thread takes at once: enough that taking them costs nothing, few enough that threads end together."""


class Run(NamedTuple):
    """An item and what came of it. `seconds` is its share of the time that those took that ran at once with it."""

    item: Item
    result: ExecutionResult
    seconds: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a batch runs: on how many threads, and how many items may be taken before their turn to be handed out."""

    threads: int
    queue: int
    serial_below: int


class Cancellation:
    """Ends a batch early: items that have not begun are not begun. Safe to use from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """No further item begins."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()


def run_independent(
    items: Iterable[Item],
    state: StateAccess,
    host: VmHost,
    schedule: Schedule,
    *,
    lock: threading.Lock,
    progress: Progress | None = None,
    cancellation: Cancellation | None = None,
) -> Iterator[Run]:
    """Each item with its result, in order; an item that fails, or could not be read, hurts no other one.

    What an item changes is in its result; `state` stays as it is, nothing else may change it meanwhile, and whoever
    reads it, such as what makes the items, holds `lock`.
    """
    cancellation = cancellation or Cancellation()
    numbered = enumerate(items)
    first = list(itertools.islice(numbered, schedule.serial_below))
    overlays = _Overlays(state, lock)
    if schedule.threads < 2 or len(first) < schedule.serial_below:
        runs = _run_here(itertools.chain(first, numbered), overlays, host, cancellation)
    else:
        runs = _run_in_threads(itertools.chain(first, numbered), overlays, host, schedule, cancellation)
    for count, run in enumerate(runs, 1):
        yield run
        if progress is not None:
            progress(count)


Numbered: TypeAlias = Iterable[tuple[int, Item]]


class _Overlays(threading.local):
    """Each thread's own state over the one that all read."""

    def __init__(self, state: StateAccess, lock: threading.Lock) -> None:
        self.own = OverlayState(state, lock)


def _run_here(items: Numbered, overlays: _Overlays, host: VmHost, cancellation: Cancellation) -> Iterator[Run]:
    for chunk in _chunks(items):
        yield from _run_chunk(chunk, overlays.own, host, cancellation)


def _run_in_threads(
    items: Numbered, overlays: _Overlays, host: VmHost, schedule: Schedule, cancellation: Cancellation
) -> Iterator[Run]:
    def run(chunk: list[tuple[int, Item]]) -> list[Run]:
        return _run_chunk(chunk, overlays.own, host, cancellation)

    waiting: deque[Future[list[Run]]] = deque()
    most = max(schedule.threads, schedule.queue // CHUNK)
    with ThreadPoolExecutor(schedule.threads, thread_name_prefix="vmloom-batch") as pool:
        try:
            for chunk in _chunks(items):
                waiting.append(pool.submit(run, chunk))
                if len(waiting) >= most:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:  # whoever asked is gone, or was interrupted: do not finish what nobody reads
            cancellation.cancel()
            raise


def _run_chunk(
    chunk: Sequence[tuple[int, Item]], state: StateAccess, host: VmHost, cancellation: Cancellation
) -> list[Run]:
    runs: list[Run] = []
    for vm, group in itertools.groupby(chunk, lambda numbered: getattr(numbered[1], "vm", None)):
        members = list(group)
        if cancellation.is_cancelled:
            runs += [Run(item, cancelled(index), 0.0) for index, item in members]
        elif vm is None:
            runs += [Run(item, refused(index, item), 0.0) for index, item in members if isinstance(item, Exception)]
        else:
            calls = [(index, item) for index, item in members if isinstance(item, Call)]
            runs += _run_calls(vm, calls, state, host)
    return runs


def _run_calls(vm: str, calls: Sequence[tuple[int, Call]], state: StateAccess, host: VmHost) -> list[Run]:
    begun = time.perf_counter()
    try:
        results = host.get_vm(vm).execute_each([(call.code, call.context) for _, call in calls], state)
    except Exception as error:  # no VM of that name, or one that breaks its promise
        return [Run(call, refused(index, error), 0.0) for index, call in calls]
    share = (time.perf_counter() - begun) / len(calls)
    return [
        Run(call, refused(index, result) if isinstance(result, Exception) else result, share)
        for (index, call), result in zip(calls, results, strict=True)
    ]


def _chunks(items: Numbered) -> Iterator[list[tuple[int, Item]]]:
    source = iter(items)
    while chunk := list(itertools.islice(source, CHUNK)):
        yield chunk
