"""Many calls that do not depend on one another: each runs on the state as it is, and leaves it as it was.

Items are taken from their source as threads get to them, so that a long source is never held whole. Results come in the
order of the items, whoever finishes first.
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ..result import ExecutionResult
from ..state import StateAccess
from ..vm import VmHost
from .intake import Given, Intake
from .overlay import OverlayState
from .requests import Call
from .running import Item, cancelled, checked, refused, run_item

Progress: TypeAlias = Callable[[int], None]
"""Told, from the calling thread and in order, how many items have ended."""
CHUNK: Final = 256
"""Items that a thread takes at once, at most: enough that taking them costs nothing."""
_CHUNK_SECONDS: Final = 0.01
"""What they should take: so little that threads end together."""
_AT_FIRST: Final = 16
"""Calls that a thread hands to a VM at once until it knows what they take."""
_AT_ONCE_SECONDS: Final = 0.2
"""What a thread may take until it looks again whether the batch was cancelled, where single calls are shorter."""


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
    """Ends a batch early: items that have not begun are not begun. Safe to use from any thread.

    With `other`, what cancels that one cancels this one, too.
    """

    def __init__(self, other: Cancellation | None = None) -> None:
        self._event = threading.Event()
        self._other = other

    def cancel(self) -> None:
        """No further item begins."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set() or (self._other is not None and self._other.is_cancelled)


def run_independent(
    items: Iterable[Item | Given],
    state: StateAccess,
    host: VmHost,
    schedule: Schedule,
    *,
    intake: Intake,
    lock: threading.Lock,
    progress: Progress | None = None,
    cancellation: Cancellation | None = None,
) -> Generator[list[Run], None, None]:
    """Each item with its result, in order, some at once; an item that fails, or could not be read, hurts no other one.

    What an item changes is in its result; `state` stays as it is, nothing else may change it meanwhile, and whoever
    reads it, such as what makes the items, holds `lock`. `intake` makes items of what is given, in the threads that run
    them. What `items` raises when one is taken ends the batch.
    """
    cancellation = cancellation or Cancellation()
    source = iter(items)
    first = list(itertools.islice(source, min(schedule.serial_below, schedule.queue)))
    worker = _Worker(state, host, lock, intake, _Pace())
    everything = itertools.chain(first, source)
    if schedule.threads < 2 or len(first) < schedule.serial_below:
        parts = _run_here(everything, worker, schedule, cancellation)
    else:
        parts = _run_in_threads(everything, worker, schedule, cancellation)
    count = 0
    with closing(parts):
        for part in parts:
            yield part
            if progress is not None:
                for number in range(count + 1, count + len(part) + 1):
                    progress(number)
            count += len(part)


def _run_here(
    items: Iterable[Item | Given], worker: _Worker, schedule: Schedule, cancellation: Cancellation
) -> Generator[list[Run], None, None]:
    for first, chunk in _chunks(items, min(CHUNK, schedule.queue), worker.pace):
        yield worker.run(first, chunk, cancellation)


def _run_in_threads(
    items: Iterable[Item | Given], worker: _Worker, schedule: Schedule, cancellation: Cancellation
) -> Generator[list[Run], None, None]:
    either = Cancellation(cancellation)
    waiting: deque[tuple[int, Future[list[Run]]]] = deque()
    size = max(1, min(CHUNK, schedule.queue // schedule.threads))
    ahead = 0
    with thread_pool(schedule.threads, "vmloom-batch") as pool:
        try:
            for first, chunk in _chunks(items, size, worker.pace):
                waiting.append((len(chunk), pool.submit(worker.run, first, chunk, either)))
                ahead += len(chunk)
                while waiting and (ahead + size > schedule.queue or waiting[0][1].done()):
                    count, future = waiting.popleft()
                    ahead -= count
                    yield future.result()
            while waiting:
                yield waiting.popleft()[1].result()
        except BaseException:  # whoever asked is gone, or was interrupted: do not finish what nobody reads
            either.cancel()
            raise


@dataclass(slots=True)
class _Pace:
    """What threads of a batch know of its items: the seconds that one took lately, None before the first."""

    each: float | None = None

    def size(self, most: int) -> int:
        """How many items to take at once, up to `most`."""
        if self.each is None:
            return min(_AT_FIRST, most)
        return max(1, min(most, int(_CHUNK_SECONDS / self.each) if self.each else most))


class _Worker(threading.local):
    """Runs items in any thread: each has a state of its own over the one that all read.

    `at_once` is how many calls a thread hands to a VM together.
    """

    def __init__(self, state: StateAccess, host: VmHost, lock: threading.Lock, intake: Intake, pace: _Pace) -> None:
        self.own = OverlayState(state, lock)
        self.host, self.intake, self.pace = host, intake, pace
        self.at_once = _AT_FIRST

    def run(self, first: int, chunk: Sequence[Item | Given], cancellation: Cancellation) -> list[Run]:
        """Run items, of which the first one has this number."""
        items = [self.intake.item(one) if isinstance(one, Given) else one for one in chunk]
        runs: list[Run] = []
        for start, end, vm in _stretches([item.vm if isinstance(item, Call) else None for item in items]):
            while start < end:
                part = items[start : min(end, start + self.at_once)]
                runs += self._run_part(vm, first + start, part, cancellation)
                start += len(part)
        return runs

    def _run_part(self, vm: str | None, first: int, part: Sequence[Item], cancellation: Cancellation) -> Iterable[Run]:
        if cancellation.is_cancelled:
            return [Run(item, cancelled(index), 0.0) for index, item in enumerate(part, first)]
        if vm is None:
            return [
                Run(item, refused(index, item), 0.0)
                for index, item in enumerate(part, first)
                if isinstance(item, Exception)
            ]
        calls = cast("Sequence[Call]", part)
        begun = time.perf_counter()
        results = _run_calls(vm, first, calls, self.own, self.host)
        seconds = time.perf_counter() - begun
        self.pace.each = seconds / len(calls)
        self._adapt(seconds)
        # As `Run(...)` for each, without a step of Python.
        return map(_NEW_RUN, zip(calls, results, itertools.repeat(seconds / len(calls)), strict=False))

    def _adapt(self, seconds: float) -> None:
        """Hand a VM more calls at once where they take no time, and fewer where nobody could cancel the rest."""
        if seconds < _AT_ONCE_SECONDS / 4:
            self.at_once = min(CHUNK, 2 * self.at_once)
        elif seconds > _AT_ONCE_SECONDS:
            self.at_once = max(1, self.at_once // 2)


_NEW_RUN: Final[Callable[[tuple[Any, ...]], Run]] = functools.partial(tuple.__new__, Run)


def _stretches(vms: Sequence[str | None]) -> Iterator[tuple[int, int, str | None]]:
    """Where neighbours of one VM begin and end; None is for items that are no calls."""
    if vms and vms.count(vms[0]) == len(vms):
        yield 0, len(vms), vms[0]
        return
    start = 0
    for vm, group in itertools.groupby(vms):
        end = start + sum(1 for _ in group)
        yield start, end, vm
        start = end


def _run_calls(
    vm: str, first: int, calls: Sequence[Call], overlay: OverlayState, host: VmHost
) -> Sequence[ExecutionResult]:
    try:
        found = list(host.get_vm(vm).execute_each([(call.code, call.context) for call in calls], overlay))
        if not all(issubclass(kind, ExecutionResult) for kind in set(map(type, found))):
            results = [checked(vm, result) for result in found]
            found = [refused(index, it) if isinstance(it, Exception) else it for index, it in enumerate(results, first)]
    except Exception:  # no VM of that name, or one that breaks its promise: one by one it shows for which call
        found = []
    overlay.restore()
    if len(found) == len(calls):
        return cast("Sequence[ExecutionResult]", found)
    return [_run_alone(index, call, overlay, host) for index, call in enumerate(calls, first)]


def _run_alone(index: int, call: Call, overlay: OverlayState, host: VmHost) -> ExecutionResult:
    try:
        return run_item(index, call, overlay, host).result
    finally:
        overlay.restore()


def _chunks(items: Iterable[Item | Given], most: int, pace: _Pace) -> Iterator[tuple[int, list[Item | Given]]]:
    """Lists of items, each with the number of its first, and as long as the pace allows."""
    source, first = iter(items), 0
    while chunk := list(itertools.islice(source, pace.size(most))):
        yield first, chunk
        first += len(chunk)


@contextmanager
def thread_pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that have ended when this has, whatever interrupts: what they read is then somebody else's to change.

    What they have not begun by then is dropped.
    """
    prefix = f"{name}-{next(_pools)}"
    pool = ThreadPoolExecutor(threads, thread_name_prefix=prefix)
    try:
        yield pool
    finally:
        _end(pool, prefix)


_pools: Final = itertools.count()


def _end(pool: ThreadPoolExecutor, prefix: str) -> None:
    interrupt: BaseException | None = None
    while True:
        try:
            pool.shutdown(wait=True, cancel_futures=True)
            # One whose start was interrupted is not known to the pool. If it has not begun, it finds nothing to do.
            for thread in threading.enumerate():
                if thread.name.startswith(f"{prefix}_") and thread.ident is not None:
                    thread.join()
            break
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
