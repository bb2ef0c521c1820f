"""Many calls that do not depend on one another: each runs on the state as it is, and leaves it as it was.

Items are taken from their source as threads get to them, so that a long source is never held whole. Results come in the
order of the items, whoever finishes first.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ..result import ExecutionResult
from ..state import StateAccess
from ..vm import VmHost
from .overlay import OverlayState
from .requests import Call
from .running import Item, cancelled, checked, refused, run_item

Progress: TypeAlias = Callable[[int], None]
"""Told, from the calling thread and in order, how many items have ended."""
CHUNK: Final = 256
"""Items that a thread takes at once: enough that taking them costs nothing, few enough that threads end together."""
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
    items: Iterable[Item],
    state: StateAccess,
    host: VmHost,
    schedule: Schedule,
    *,
    lock: threading.Lock,
    progress: Progress | None = None,
    cancellation: Cancellation | None = None,
) -> Generator[Run, None, None]:
    """Each item with its result, in order; an item that fails, or could not be read, hurts no other one.

    What an item changes is in its result; `state` stays as it is, nothing else may change it meanwhile, and whoever
    reads it, such as what makes the items, holds `lock`. What `items` raises when one is taken ends the batch.
    """
    cancellation = cancellation or Cancellation()
    numbered = enumerate(items)
    first = list(itertools.islice(numbered, min(schedule.serial_below, schedule.queue)))
    overlays = _Overlays(state, lock)
    everything = itertools.chain(first, numbered)
    if schedule.threads < 2 or len(first) < schedule.serial_below:
        runs = _run_here(everything, overlays, host, schedule, cancellation)
    else:
        runs = _run_in_threads(everything, overlays, host, schedule, cancellation)
    with closing(runs):
        for count, run in enumerate(runs, 1):
            yield run
            if progress is not None:
                progress(count)


Numbered: TypeAlias = Iterable[tuple[int, Item]]


class _Overlays(threading.local):
    """Each thread's own state over the one that all read, and how many calls it hands to a VM at once."""

    def __init__(self, state: StateAccess, lock: threading.Lock) -> None:
        self.own = OverlayState(state, lock)
        self.at_once = _AT_FIRST


def _run_here(
    items: Numbered, overlays: _Overlays, host: VmHost, schedule: Schedule, cancellation: Cancellation
) -> Generator[Run, None, None]:
    for chunk in _chunks(items, min(CHUNK, schedule.queue)):
        yield from _run_chunk(chunk, overlays, host, cancellation)


def _run_in_threads(
    items: Numbered, overlays: _Overlays, host: VmHost, schedule: Schedule, cancellation: Cancellation
) -> Generator[Run, None, None]:
    def run(chunk: list[tuple[int, Item]]) -> list[Run]:
        return _run_chunk(chunk, overlays, host, either)

    either = Cancellation(cancellation)
    waiting: deque[Future[list[Run]]] = deque()
    size = max(1, min(CHUNK, schedule.queue // schedule.threads))
    most = max(1, schedule.queue // size)
    with thread_pool(schedule.threads, "vmloom-batch") as pool:
        try:
            for chunk in _chunks(items, size):
                waiting.append(pool.submit(run, chunk))
                while waiting and (len(waiting) >= most or waiting[0].done()):
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:  # whoever asked is gone, or was interrupted: do not finish what nobody reads
            either.cancel()
            raise


def _run_chunk(
    chunk: Sequence[tuple[int, Item]], overlays: _Overlays, host: VmHost, cancellation: Cancellation
) -> list[Run]:
    runs: list[Run] = []
    for vm, group in itertools.groupby(chunk, lambda numbered: getattr(numbered[1], "vm", None)):
        members = deque(group)
        while members:
            part = [members.popleft() for _ in range(min(len(members), overlays.at_once))]
            if cancellation.is_cancelled:
                runs += [Run(item, cancelled(index), 0.0) for index, item in part]
            elif vm is None:
                runs += [Run(item, refused(index, item), 0.0) for index, item in part if isinstance(item, Exception)]
            else:
                calls = [(index, item) for index, item in part if isinstance(item, Call)]
                begun = time.perf_counter()
                results = _run_calls(vm, calls, overlays.own, host)
                seconds = time.perf_counter() - begun
                _pace(overlays, seconds)
                share = seconds / len(calls)
                runs += [Run(call, result, share) for (_, call), result in zip(calls, results, strict=True)]
    return runs


def _pace(overlays: _Overlays, seconds: float) -> None:
    """Hand a VM more calls at once where they take no time, and fewer where nobody could cancel the rest."""
    if seconds < _AT_ONCE_SECONDS / 4:
        overlays.at_once = min(CHUNK, 2 * overlays.at_once)
    elif seconds > _AT_ONCE_SECONDS:
        overlays.at_once = max(1, overlays.at_once // 2)


def _run_calls(
    vm: str, calls: Sequence[tuple[int, Call]], overlay: OverlayState, host: VmHost
) -> list[ExecutionResult]:
    try:
        found = host.get_vm(vm).execute_each([(call.code, call.context) for _, call in calls], overlay)
        results = [checked(vm, result) for result in found]
    except Exception:  # no VM of that name, or one that breaks its promise: one by one it shows for which call
        results = []
    overlay.restore()
    if len(results) == len(calls):
        return [
            refused(index, result) if isinstance(result, Exception) else result
            for (index, _), result in zip(calls, results, strict=True)
        ]
    return [_run_alone(index, call, overlay, host) for index, call in calls]


def _run_alone(index: int, call: Call, overlay: OverlayState, host: VmHost) -> ExecutionResult:
    try:
        return run_item(index, call, overlay, host).result
    finally:
        overlay.restore()


def _chunks(items: Numbered, size: int) -> Iterator[list[tuple[int, Item]]]:
    source = iter(items)
    while chunk := list(itertools.islice(source, size)):
        yield chunk


@contextmanager
def thread_pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that have ended when this has, whatever interrupts: what they read is then somebody else's to change.

    What they have not begun by then is dropped.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield pool
    finally:
        _end(pool)


def _end(pool: ThreadPoolExecutor) -> None:
    interrupt: BaseException | None = None
    while True:
        try:
            pool.shutdown(wait=True, cancel_futures=True)
            break
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
