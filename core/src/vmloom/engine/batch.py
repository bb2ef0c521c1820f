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
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ..result import ExecutionResult, ExecutionState
from ..state import StateAccess
from ..vm import VmHost, VmType
from .columns import CallColumns, FilledColumns, ResultColumns
from .intake import Given, Givens, Intake
from .offload import Choice, Offload, Opened
from .overlay import OverlayState
from .requests import Call
from .running import Item, cancelled, checked, refused, run_item

Progress: TypeAlias = Callable[[int], None]
"""Told, from the calling thread and in order, how many items have ended."""
CHUNK: Final = 1024
"""Items that a thread takes at once, at most: enough that taking them costs nothing."""
_CHUNK_SECONDS: Final = 0.01
"""What they should take: so little that threads end together."""
_AT_FIRST: Final = 16
"""Calls that a thread hands to a VM at once until it knows what they take."""
_FASTER: Final = 16
"""How many times as many it hands over next, at most, where they take little."""
_WORTH_THREADS: Final = 0.005
"""Seconds that what is left of a batch has to take for threads to be begun, which costs about a tenth of that."""
_LONG: Final = 0.005
"""Seconds of an item after which the others need not be looked at."""
_BEGINNING: Final = (2, 8)
"""Items by which it is judged how long the others take, after the first one, which makes things ready, too."""
_DOUBT: Final = 8
"""How many times as long the others have to seem to take where only two have been looked at."""
_AT_END_SECONDS: Final = 0.001
"""What a thread takes at once should take at least, where the items that are left are shared out."""
_UNFINISHED: Final = 2
"""Chunks that wait for, or run on, each thread but the calling one."""
_BUSY: Final = 4
"""How many times as long as it works a thread waits for others, at most: beyond that it waits for something else."""
_AT_ONCE_SECONDS: Final = 0.2
"""What a thread may take until it looks again whether the batch was cancelled, where single calls are shorter."""
_OFFLOADED: Final = (1 << 14, 1 << 16)
"""Items that are offered to accelerators at once: at first, and at most."""
_UNLIKE: Final = 64
"""Neighbours that are not all plain calls and alike run here if there are no more; of more, half may be."""


class Part(NamedTuple):
    """Neighbouring items that ran at once, and what came of each.

    `vm` is the VM of all of them, which are `Call`s or columns of them then; None if none of them ran. `seconds` is the
    share that each had of the time that all took.
    """

    vm: VmType | None
    items: Sequence[Item] | CallColumns
    results: Sequence[ExecutionResult]
    seconds: float

    @classmethod
    def of_one(cls, item: Item, result: ExecutionResult, seconds: float) -> Part:
        """An item that ran, or did not, by itself."""
        vm = item.vm if isinstance(item, Call) and result.state is not ExecutionState.PENDING else None
        return cls(vm, (item,), (result,), seconds)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a batch runs: on how many threads, and how many items may be taken before their turn to be handed out.

    Calls of a block run ahead of their turn from `ahead_from` seconds of a processor on.
    """

    threads: int
    queue: int
    serial_below: int
    ahead_from: float = 0.0


@dataclass(slots=True)
class ThreadCounts:
    """Where items of independent batches ran."""

    alone: int = 0
    """items that ran on the calling thread: too short, or too few, to be worth others"""
    on_threads: int = 0
    """items that ran on several threads, the calling one among them"""
    on_accelerators: int = 0
    """calls that accelerators ran"""
    escaped: int = 0
    """calls that accelerators could not finish, which ran again on the calling thread"""

    def to_dict(self) -> dict[str, int]:
        """All by name, without those of accelerators where none has run any."""
        return {name: count for name, count in asdict(self).items() if count or name in ("alone", "on_threads")}


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


Chunk: TypeAlias = Sequence[Item] | Givens
"""Neighbours that a thread takes at once."""


class Source(Protocol):
    """What the items of a batch are taken from, in their order."""

    def take(self, count: int) -> Chunk:
        """The next items, at most so many; none at the end, and fewer nowhere else."""

    def has(self, count: int) -> bool:
        """Whether there are so many, asked before any is taken."""

    @property
    def left(self) -> int | None:
        """How many are left; None where nobody knows."""


class ItemSource:
    """Items that are made as they are taken. A `Source`."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)

    def take(self, count: int) -> Chunk:
        """See `Source.take`."""
        return list(itertools.islice(self._items, count))

    def has(self, count: int) -> bool:
        """See `Source.has`. Makes so many."""
        first = list(itertools.islice(self._items, count))
        self._items = itertools.chain(first, self._items)
        return len(first) >= count

    @property
    def left(self) -> None:
        """See `Source.left`."""
        return None


class GivenSource:
    """What was handed in for items, of which threads make calls. A `Source`."""

    def __init__(self, contracts: Sequence[Any], data: Sequence[Any]) -> None:
        self._left = min(len(contracts), len(data))
        self._contracts, self._data = _Rest(contracts), _Rest(data)

    def take(self, count: int) -> Givens:
        """See `Source.take`."""
        taken = Givens(self._contracts.take(count), self._data.take(count))
        self._left -= len(taken)
        return taken

    def has(self, count: int) -> bool:
        """See `Source.has`."""
        return self._left >= count

    def put_back(self, taken: Givens) -> None:
        """Let these, the last ones, be the next ones to be taken."""
        self._contracts.put_back(taken.contracts)
        self._data.put_back(taken.data)
        self._left += len(taken)

    @property
    def left(self) -> int:
        """See `Source.left`."""
        return self._left


class _Rest:
    """What has not been taken of a sequence. Slices of the usual kinds take less than a step for each item."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._plain = items if type(items) in (list, tuple) else None
        self._begin = 0
        self._other = iter(items)

    def take(self, count: int) -> Sequence[Any]:
        """The next items, at most so many."""
        if self._plain is None:
            return list(itertools.islice(self._other, count))
        begin = self._begin
        taken = self._plain[begin : begin + count]
        self._begin += len(taken)
        return taken

    def put_back(self, taken: Sequence[Any]) -> None:
        """Let the items that were taken last be the next ones."""
        self._begin -= len(taken)
        self._other = itertools.chain(taken, self._other)


def run_independent(
    source: Source,
    state: StateAccess,
    host: VmHost,
    schedule: Schedule,
    *,
    intake: Intake,
    lock: threading.Lock,
    counts: ThreadCounts,
    offload: Offload | None = None,
    progress: Progress | None = None,
    cancellation: Cancellation | None = None,
) -> Generator[Part, None, None]:
    """Each item with its result, in order, some at once; an item that fails, or could not be read, hurts no other one.

    What an item changes is in its result; `state` stays as it is, nothing else may change it meanwhile, and whoever
    reads it, such as what makes the items, holds `lock`. `intake` makes items of what is given, in the threads that run
    them. What `source` raises when items are taken ends the batch. `counts` tells where they ran. `offload` are the
    accelerators that may run calls, of a `GivenSource`.
    """
    cancellation = cancellation or Cancellation()
    worker = _Worker(_Overlays(state, lock), host, intake, _Pace())
    least = schedule.serial_below
    run = _run_in_threads if schedule.threads > 1 and schedule.queue >= least and source.has(least) else _run_here
    batch = _Batch(source, worker, schedule, counts, cancellation)
    if offload is not None and isinstance(source, GivenSource):
        opened = offload.open(host, worker.own)
        parts = _run_offloaded(batch, source, opened, run)
    else:
        parts = run(batch, 0)
    count = 0
    with closing(worker.overlays), closing(parts):
        for part in itertools.chain.from_iterable(parts):
            yield part
            if progress is not None:
                for number in range(count + 1, count + len(part.results) + 1):
                    progress(number)
            count += len(part.results)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What runs, and what belongs to all ways of running it."""

    source: Source
    worker: _Worker
    schedule: Schedule
    counts: ThreadCounts
    cancellation: Cancellation


_Run: TypeAlias = Callable[[_Batch, int], Generator[list[Part], None, None]]
"""Runs what is left of a batch, of which so many items have begun."""


def _run_offloaded(batch: _Batch, source: GivenSource, opened: Opened, rest: _Run) -> Generator[list[Part], None, None]:
    """Give accelerators calls as long as one should take less time for those that are left than this processor.

    Then `rest` runs these.
    """
    worker, counts, cancellation = batch.worker, batch.counts, batch.cancellation
    begun, size = 0, _OFFLOADED[0]
    is_wanted = _is_wanted(source, worker, opened)  # asked before time is spent on many
    while is_wanted and not cancellation.is_cancelled and len(chunk := source.take(size)):
        alike = worker.intake.met(chunk)
        if alike is None and len(chunk) > _UNLIKE:
            source.put_back(chunk)
            size = len(chunk) // 2
            continue
        size = min(4 * size, _OFFLOADED[1])
        if alike is None:
            counts.alone += len(chunk)
            parts = worker.run(begun, chunk, cancellation)
        else:
            count = min(len(chunk) + source.left, _OFFLOADED[1])
            choice = opened.best(*alike, count)
            each = worker.pace.each
            if choice is not None and choice.seconds and each is None:
                source.put_back(chunk)
                begun += yield from _begin_here(batch, min(CHUNK, batch.schedule.queue), begun)
                continue
            found = None
            if choice is not None and choice.seconds <= count * (each or 0.0) / batch.schedule.threads:
                found = worker.offload(opened, choice, *alike, begun, counts, cancellation)
            if found is None:
                source.put_back(chunk)
                break
            parts = found
        yield parts
        begun += len(chunk)
    yield from rest(batch, begun)


def _is_wanted(source: GivenSource, worker: _Worker, opened: Opened) -> bool:
    """Whether an accelerator runs calls such as the first one, as far as it can be told."""
    first = source.take(1)
    alike = worker.intake.met(first)
    source.put_back(first)
    return alike is None or opened.best(*alike, 1) is not None


def _run_here(batch: _Batch, begun: int) -> Generator[list[Part], None, None]:
    source, worker = batch.source, batch.worker
    for first, chunk in _chunks(source, min(CHUNK, batch.schedule.queue), worker.pace, 1, begun):
        batch.counts.alone += len(chunk)
        yield worker.run(first, chunk, batch.cancellation)


def _run_in_threads(batch: _Batch, begun: int) -> Generator[list[Part], None, None]:
    """Begins on the calling thread, unless there are so few items that a long one would keep the threads waiting.

    That thread runs some, too: else it would be one more to wake, and to take a processor, for each chunk.
    """
    source, worker, schedule = batch.source, batch.worker, batch.schedule
    size = max(1, min(CHUNK, schedule.queue // schedule.threads))
    if source.left is None or source.left >= sum(_BEGINNING) * schedule.threads:
        begun += yield from _begin_here(batch, size, begun)
    chunks = _chunks(source, size, worker.pace, schedule.threads, begun)
    found = next(chunks, None)
    if found is None:
        return
    either = Cancellation(batch.cancellation)
    others = schedule.threads - 1
    free = threading.Semaphore(_UNFINISHED * others)
    waiting: deque[_Taken] = deque()
    ahead = 0
    with thread_pool(others, "vmloom-batch") as pool:
        try:
            for first, chunk in itertools.chain((found,), chunks):
                taken = _Taken(worker, first, chunk, either)
                if free.acquire(blocking=False):
                    taken.ended = pool.submit(taken.run, free)
                else:
                    taken.run_here()
                waiting.append(taken)
                ahead += len(chunk)
                batch.counts.on_threads += len(chunk)
                while waiting and (ahead + size > schedule.queue or waiting[0].ended.done()):
                    taken = waiting.popleft()
                    ahead -= len(taken.chunk)
                    yield taken.ended.result()
            for taken in reversed(waiting):
                if taken.ended.cancel():  # no other thread has begun with it
                    taken.run_here()
            while waiting:
                yield waiting.popleft().ended.result()
        except BaseException:  # whoever asked is gone, or was interrupted: do not finish what nobody reads
            either.cancel()
            raise


class _Taken:
    """A chunk that has its turn on some thread, and what comes of it."""

    __slots__ = ("_cancellation", "_first", "_worker", "chunk", "ended")

    def __init__(self, worker: _Worker, first: int, chunk: Chunk, cancellation: Cancellation) -> None:
        self._worker, self._first, self.chunk, self._cancellation = worker, first, chunk, cancellation
        self.ended: Future[list[Part]] = Future()

    def run(self, free: threading.Semaphore) -> list[Part]:
        """Run it, on another thread, which takes one more then."""
        try:
            return self._worker.run(self._first, self.chunk, self._cancellation)
        finally:
            free.release()

    def run_here(self) -> None:
        """Run it on the calling thread."""
        self.ended = Future()
        self.ended.set_result(self._worker.run(self._first, self.chunk, self._cancellation))


def _begin_here(batch: _Batch, most: int, first: int) -> Generator[list[Part], None, int]:
    """Run items, from number `first` on, on the calling thread as long as the others are worth no threads.

    Returns how many it has run.
    """
    source, worker = batch.source, batch.worker
    count, total, size = 0, 0.0, 1
    for step in itertools.count():
        chunk = source.take(min(size, most))
        if not chunk:
            break
        parts = worker.run(first + count, chunk, batch.cancellation)
        each = worker.pace.each or 0.0
        count, total = count + len(chunk), total + each * len(chunk)
        batch.counts.alone += len(chunk)
        yield parts
        if step or each > _LONG:
            expected = total if source.left is None else source.left * each
            if expected > _WORTH_THREADS * (_DOUBT if step == 1 else 1):
                break
        size = _BEGINNING[step] if step < len(_BEGINNING) else worker.pace.size(8 * size, source.left, 1)
    return count


@dataclass(slots=True)
class _Pace:
    """What threads of a batch know of its items: the seconds that one took lately, None before the first."""

    each: float | None = None

    def size(self, most: int, left: int | None, threads: int) -> int:
        """How many items to take at once, up to `most`, where so many are `left` for as many threads.

        Near the end they are fewer, so that threads end together.
        """
        if self.each is None:
            return min(_AT_FIRST, most)
        if left is not None and threads > 1:
            most = min(most, max(_some(_AT_END_SECONDS, self.each, most), left // (2 * threads)))
        return _some(_CHUNK_SECONDS, self.each, most)


def _some(seconds: float, each: float, most: int) -> int:
    """How many items of `each` seconds take so long, 1 to `most`."""
    return max(1, min(most, int(seconds / each) if each else most))


class _Overlays:
    """The states of threads over the one that all read."""

    def __init__(self, state: StateAccess, lock: threading.Lock) -> None:
        self._state, self._lock = state, lock
        self._made: list[OverlayState] = []

    def make(self) -> OverlayState:
        """One for the thread that asks."""
        made = OverlayState(self._state, self._lock)
        self._made.append(made)
        return made

    def close(self) -> None:
        """All threads have ended."""
        with ExitStack() as stack:
            for overlay in self._made:
                stack.callback(overlay.close)


class _Worker(threading.local):
    """Runs items in any thread: each has a state of its own over the one that all read.

    `at_once` is how many calls a thread hands to a VM together.
    """

    def __init__(self, overlays: _Overlays, host: VmHost, intake: Intake, pace: _Pace) -> None:
        self.overlays, self.own = overlays, overlays.make()
        self.host, self.intake, self.pace = host, intake, pace
        self.at_once = _AT_FIRST if pace.each is None else self._fitting(pace.each)
        self._is_ready = False

    def run(self, first: int, chunk: Chunk, cancellation: Cancellation) -> list[Part]:
        """Run items, of which the first one has this number."""
        if isinstance(chunk, Givens):
            alike = self.intake.columns(chunk)
            if alike is not None:
                return self._run_neighbours(*alike, first, cancellation)
            chunk = [self.intake.item(Given(*both)) for both in zip(chunk.contracts, chunk.data, strict=False)]
        parts: list[Part] = []
        for vm, group in itertools.groupby(chunk, _vm_of):
            items = list(group)
            parts += self._run_neighbours(vm, items, first, cancellation)
            first += len(items)
        return parts

    def offload(
        self,
        opened: Opened,
        choice: Choice,
        vm: VmType,
        calls: CallColumns,
        first: int,
        counts: ThreadCounts,
        cancellation: Cancellation,
    ) -> list[Part] | None:
        """Run calls on an accelerator, and what escapes here. None if it failed, and nothing has run."""
        begun = time.perf_counter()
        executed = opened.run(choice, vm, calls)
        if executed is None:
            return None
        filled, end = self._again(vm, calls, executed.escaped, first, cancellation)
        seconds = time.perf_counter() - begun
        opened.learn(choice, vm, calls, seconds)
        counts.escaped += len(filled)
        counts.on_accelerators += end - len(filled)
        results: Sequence[ExecutionResult] = executed.results
        if executed.escaped:
            results = FilledColumns(executed.results, filled)
        if end == len(calls):
            return [Part(vm, calls, results, seconds / end)]
        none = [cancelled(first + place) for place in range(end, len(calls))]
        ran = [Part(vm, calls[:end], results[:end], seconds / end)] if end else []
        return [*ran, Part(None, calls[end:], none, 0.0)]

    def _again(
        self, vm: VmType, calls: CallColumns, places: Sequence[int], first: int, cancellation: Cancellation
    ) -> tuple[dict[int, ExecutionResult], int]:
        """Run calls in `places` here. Returns their results, and before which place it was cancelled, or how many."""
        filled: dict[int, ExecutionResult] = {}
        for begin, end in _neighbours(places):
            for part in self._run_neighbours(vm, calls[begin:end], first + begin, cancellation):
                if part.vm is None:
                    return filled, begin
                filled.update(enumerate(part.results, begin))
                begin += len(part.results)
        return filled, len(calls)

    def _run_neighbours(
        self, vm: VmType | None, items: Sequence[Item] | CallColumns, first: int, cancellation: Cancellation
    ) -> list[Part]:
        """Run items of one VM, some at once; None is for those that are no calls."""
        parts = []
        start, count = 0, len(items)
        while start < count:
            is_all = start == 0 and count <= self.at_once
            some: Sequence[Any] = items if is_all else items[start : start + self.at_once]
            parts.append(self._run_at_once(vm, some, first + start, cancellation))
            start += len(some)
        return parts

    def _run_at_once(self, vm: VmType | None, items: Sequence[Any], first: int, cancellation: Cancellation) -> Part:
        if cancellation.is_cancelled:
            return Part(None, items, [cancelled(first + place) for place in range(len(items))], 0.0)
        if vm is None:
            return Part(None, items, [refused(index, item) for index, item in enumerate(items, first)], 0.0)
        begun, begun_here = time.perf_counter(), time.thread_time()
        results = _run_calls(vm, first, items, self.own, self.host)
        seconds, here = time.perf_counter() - begun, time.thread_time() - begun_here
        each = max(here, seconds / _BUSY) / len(items)
        if self._is_ready or self.pace.each is None:  # else it has made things ready, too, and tells too much
            self.pace.each = each
            self._adapt(each)
        self._is_ready = True
        return Part(vm, items, results, seconds / len(items))

    @staticmethod
    def _fitting(each: float) -> int:
        """Calls of `each` seconds that a VM may have at once."""
        return max(1, min(CHUNK, int(_AT_ONCE_SECONDS / 4 / each))) if each else CHUNK

    def _adapt(self, each: float) -> None:
        """Hand a VM more calls at once where they take no time, and fewer where nobody could cancel the rest."""
        fitting = self._fitting(each)
        if fitting > self.at_once:
            self.at_once = min(fitting, _FASTER * self.at_once)
        elif 4 * fitting < self.at_once:
            self.at_once = max(1, self.at_once // 2)


def _neighbours(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """From where to where there is no gap in `places`, which rise."""
    for _, group in itertools.groupby(enumerate(places), lambda one: one[1] - one[0]):
        found = [place for _, place in group]
        yield found[0], found[-1] + 1


def _vm_of(item: Item) -> VmType | None:
    """The VM of a call; None for items that are none."""
    return item.vm if isinstance(item, Call) else None


def _run_calls(
    vm: VmType, first: int, calls: Sequence[Call] | CallColumns, overlay: OverlayState, host: VmHost
) -> Sequence[ExecutionResult]:
    plain = calls if isinstance(calls, CallColumns) else [(call.code, call.context) for call in calls]
    found: Sequence[Any]
    try:
        found = host.get_vm(vm).execute_each(plain, overlay)
        if not isinstance(found, ResultColumns):
            found = list(found)
            if not all(issubclass(kind, ExecutionResult) for kind in set(map(type, found))):
                results = [checked(vm, result) for result in found]
                found = [refused(at, it) if isinstance(it, Exception) else it for at, it in enumerate(results, first)]
        fits = len(found) == len(calls)
    except Exception:  # no VM of that name, or one that breaks its promise: one by one it shows for which call
        fits = False
    overlay.restore()
    if fits:
        return found
    return [_run_alone(index, Call(vm, *call), overlay, host) for index, call in enumerate(plain, first)]


def _run_alone(index: int, call: Call, overlay: OverlayState, host: VmHost) -> ExecutionResult:
    try:
        return run_item(index, call, overlay, host).result
    finally:
        overlay.restore()


def _chunks(
    source: Source, most: int, pace: _Pace, threads: int, first: int = 0
) -> Generator[tuple[int, Chunk], None, None]:
    """Neighbours, each time with the number of the first, and as many as the pace allows."""
    while chunk := source.take(pace.size(most, source.left, threads)):
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
