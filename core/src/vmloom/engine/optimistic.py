"""Calls that depend on one another, run ahead of their turn: the results are those of running them in order.

Threads run calls on overlays of the state as it happens to be, noting what they read and who had written it. The
calling thread takes them in order. If nobody has written since what a call has read, its changes are those that it
would have made in its turn, and are made; otherwise it runs again, now in its turn, on the state itself. This is
Block-STM (Gelashvili et al., 2022) with one thread that commits, so that calls read what is committed and nothing else:
no call ever runs twice ahead of its turn. Where too many have to run again the rest runs in order at once.

All this takes some hundred microseconds of Python for a call. So calls run in order, on the calling thread, as long as
they are short, and for a while after threads have turned out to gain nothing, be it that all of them do Python or that
the machine's processors are busy.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from ..errors import CodeError, UnknownVm
from ..result import Event, StateChange
from ..state import Account, StateAccess
from ..vm import VmHost
from .batch import Cancellation, Part, Progress, Schedule, thread_pool
from .overlay import OverlayState
from .pacing import Pace
from .requests import UnknownContract
from .running import Item, cancelled, run_item

_AHEAD: Final = 4
"""Calls that run ahead for each thread. More would read what is older, and run again more often."""
_CERTAIN_AFTER: Final = 32
"""Calls after which the share of those that had to run again says something."""

_TOLD: Final = (CodeError, UnknownVm, UnknownContract)
"""What follows from what a call has read, unlike all else that a VM may raise."""

Place: TypeAlias = tuple[str, bytes] | tuple[str, bytes, int | bytes]
"""What can be read and written: ("account", address), ("storage", address, slot), ("record", address, key), and
("slots", address) for which slots there are."""


@dataclass(slots=True)
class BlockCounts:
    """What came of running ahead."""

    ahead: int = 0
    """calls whose first run stood"""
    again: int = 0
    """calls that ran again in their turn"""
    in_order: int = 0
    """calls that did not run ahead at all, for want of threads, or since too many before them had to run again"""
    short: int = 0
    """calls that ran in order since they were short lately, or threads had gained nothing"""

    def have_conflicts(self, limit: float) -> bool:
        """Whether enough calls ran ahead to say so, and a share of at least `limit` of them had to run again."""
        ran = self.ahead + self.again
        return ran > _CERTAIN_AFTER and self.again >= limit * ran


class _Versions:
    """Which call wrote a place last. Reads and commits of the state go through its lock."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.writers: dict[Place, int] = {}

    def written(self, number: int, changes: Iterable[StateChange]) -> None:
        """Call `number` has made `changes`."""
        for change in changes:
            if change.field in ("storage", "record"):
                assert change.key is not None
                self.writers[change.field, change.address, change.key] = number
                if change.field == "storage":
                    self.writers["slots", change.address] = number
            else:
                self.writers["account", change.address] = number


class _WatchedState(OverlayState):
    """An overlay that notes what was read from below, and whose it was."""

    def __init__(self, source: StateAccess, versions: _Versions) -> None:
        self._versions = versions
        self.reads: dict[Place, int | None] = {}
        super().__init__(source, versions.lock)

    def load_account(self, address: bytes) -> Account | None:
        """The source's."""
        self._note(("account", address))
        return super().load_account(address)

    def load_storage(self, address: bytes, slot: int) -> int:
        """The source's."""
        self._note(("storage", address, slot))
        return super().load_storage(address, slot)

    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        """The source's."""
        self._note(("record", address, key))
        return super().load_record(address, key)

    def load_slots(self, address: bytes) -> Iterable[int]:
        """The source's."""
        self._note(("slots", address))
        return super().load_slots(address)

    def load_has_storage(self, address: bytes) -> bool:
        """The source's."""
        self._note(("slots", address))
        return super().load_has_storage(address)

    def _note(self, place: Place) -> None:
        # Before it is read: who writes in between makes the run look older than it is, which is safe.
        self.reads.setdefault(place, self._versions.writers.get(place))

    def forget(self) -> None:
        """Begin anew."""
        super().forget()
        self.reads = {}


class _Ahead(NamedTuple):
    """A run ahead of its turn, with what it did to its overlay.

    `is_certain` says that reads and changes tell all: no VM broke down, and no storage was emptied without being read.
    """

    part: Part
    reads: dict[Place, int | None]
    changes: tuple[StateChange, ...]
    events: tuple[Event, ...]
    is_certain: bool
    seconds: float
    """of a processor"""


@dataclass
class _Block:
    """The calls of a block, and what runs them."""

    items: Sequence[Item]
    state: StateAccess
    host: VmHost
    versions: _Versions = field(default_factory=_Versions)
    own: threading.local = field(default_factory=threading.local)

    def run_ahead(self, number: int) -> _Ahead:
        """Run call `number` on what is committed by now, in whichever thread this is."""
        overlay: _WatchedState | None = getattr(self.own, "overlay", None)
        if overlay is None:
            overlay = self.own.overlay = _WatchedState(self.state, self.versions)
        overlay.forget()
        begun, begun_here = time.perf_counter(), time.thread_time()
        item, result, error = run_item(number, self.items[number], overlay, self.host)
        part = Part.of_one(item, result, time.perf_counter() - begun)
        changes = tuple(overlay.changes_since(0))  # not the result's: they are what a VM says of itself
        assert result.state_changes is not None  # read now: engines may have them in places that the next run uses
        is_certain = not overlay.has_cleared() and (error is None or error is item or isinstance(error, _TOLD))
        return _Ahead(part, overlay.reads, changes, tuple(overlay.events), is_certain, time.thread_time() - begun_here)

    def run_in_turn(self, number: int, *, is_watched: bool) -> Part:
        """Run call `number` on the state itself, all before it being committed; threads run ahead if `is_watched`."""
        begun = time.perf_counter()
        with self.versions.lock:
            checkpoint = self.state.snapshot()
            item, result, _ = run_item(number, self.items[number], self.state, self.host)
            if is_watched:
                self.versions.written(number, self.state.changes_since(checkpoint))
        return Part.of_one(item, result, time.perf_counter() - begun)

    def stands(self, ahead: _Ahead) -> bool:
        """Whether what a run has read is still what there is."""
        writers = self.versions.writers
        return ahead.is_certain and all(writers.get(place) == writer for place, writer in ahead.reads.items())

    def commit(self, number: int, ahead: _Ahead) -> None:
        """Do to the state what call `number` did to its overlay."""
        with self.versions.lock:
            self.state.begin_transaction()
            _apply(ahead.changes, self.state)
            for event in ahead.events:
                self.state.emit(event)
            self.versions.written(number, ahead.changes)


def run_block(
    items: Sequence[Item],
    state: StateAccess,
    host: VmHost,
    schedule: Schedule,
    *,
    conflict_limit: float,
    counts: BlockCounts | None = None,
    progress: Progress | None = None,
    cancellation: Cancellation | None = None,
) -> Generator[Part, None, None]:
    """Each item with its result, as if each had run on `state` after the one before it; `state` has all changes.

    Once at least `conflict_limit` of the calls that ran ahead, 0 to 1, had to run again, the rest runs in order. If
    this is closed or interrupted before its end, the state is as it was before the block; if it is cancelled, the state
    has what ran.
    """
    counts = counts or BlockCounts()
    block = _Block(items, state, host)
    checkpoint = state.snapshot()
    try:
        # Closed before the state goes back: threads may be reading it.
        with closing(_results(block, schedule, conflict_limit, counts, cancellation or Cancellation())) as parts:
            for count, part in enumerate(parts, 1):
                yield part
                if progress is not None:
                    with block.versions.lock:  # it may look at the state
                        progress(count)
    except BaseException:
        state.revert(checkpoint)
        raise


def _results(
    block: _Block, schedule: Schedule, conflict_limit: float, counts: BlockCounts, cancellation: Cancellation
) -> Generator[Part, None, None]:
    """One after the other, with the seconds that each took."""
    pace, count, done = Pace(schedule.ahead_from), len(block.items), 0
    may_be_ahead = schedule.threads > 1 and count >= schedule.serial_below
    while done < count and not cancellation.is_cancelled:
        if may_be_ahead and pace.is_long():
            with closing(_ahead(block, done, schedule.threads, pace, counts, cancellation)) as parts:
                for part in parts:
                    yield part
                    done += 1
                    if counts.have_conflicts(conflict_limit):
                        may_be_ahead = False
                        break
            continue
        clock = pace.clock
        begun = clock()
        part = block.run_in_turn(done, is_watched=False)
        pace.ran_in_order(clock() - begun)
        counts.short += may_be_ahead
        counts.in_order += not may_be_ahead
        yield part
        done += 1
    for number in range(done, count):
        yield Part.of_one(block.items[number], cancelled(number), 0.0)


def _ahead(
    block: _Block, first: int, threads: int, pace: Pace, counts: BlockCounts, cancellation: Cancellation
) -> Generator[Part, None, None]:
    """One after the other from number `first` on, as long as that seems to gain something."""
    waiting: deque[Future[_Ahead]] = deque()
    begun = first
    pace.begin_ahead()
    with thread_pool(threads, "vmloom-block") as pool:
        for number in range(first, len(block.items)):
            while begun < len(block.items) and len(waiting) < threads * _AHEAD:
                waiting.append(pool.submit(block.run_ahead, begun))
                begun += 1
            ahead = waiting.popleft().result()
            if cancellation.is_cancelled:
                return
            pace.ran_ahead(ahead.seconds)
            if block.stands(ahead):
                counts.ahead += 1
                block.commit(number, ahead)
                yield ahead.part
            else:
                counts.again += 1
                yield block.run_in_turn(number, is_watched=True)
            if pace.gains_nothing():
                return


def _apply(changes: Sequence[StateChange], state: StateAccess) -> None:
    """Make `changes`, those of one account's fields together."""
    accounts: dict[bytes, dict[str, object]] = {}
    for change in changes:
        if change.field not in ("storage", "record"):
            accounts.setdefault(change.address, {})[change.field] = change.new
    for address, new in accounts.items():
        if new.pop("exists", True):
            state.set_account(address, (state.get_account(address) or Account())._replace(**new))  # type: ignore[arg-type]
        else:
            state.delete_account(address)
    for change in changes:
        if change.field == "storage":
            assert isinstance(change.key, int)
            state.set_storage(change.address, change.key, change.new)
        elif change.field == "record":
            assert isinstance(change.key, bytes)
            state.set_record(change.address, change.key, change.new)
