"""Measuring: the same work on several sides, in turns, until there are figures enough.

Runs in a process of its own for each repetition (`evm.py` starts it), reads a job from stdin and writes a line of JSON
for each row as soon as it is done. Nothing here knows which sides there are.
"""

from __future__ import annotations

import gc
import statistics
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from peers.side import Outcome, Prepared, Side, Unsupported
from suite.work import Work

T = TypeVar("T")
SHORT = 1_000_000
"""ns; longer runs are measured in CPU time of the thread, shorter ones in wall time, whose clock is read faster."""
BATCH = 20_000_000
"""ns; runs are repeated for about so long before it is the next side's turn: the first one finds the caches as another
side has left them."""
MOST = 2_000
"""Runs in a batch."""
SETTLE_TURNS = 3
"""How many times its budget a side may take to become as fast as it gets."""
CANNOT = "cannot: "
"""How a failure begins that is none: the side has no way to do such work."""


@dataclass
class Measured:
    """What one process found out about one row on one side. Times are ns."""

    outcome: Outcome | None = None
    times: list[int] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    """The median of each turn. Those of the same turn of several sides were taken at about the same time."""
    failure: str = ""
    settling: Mapping[str, float] = field(default_factory=dict)
    """What it has cost to make the side ready, beside the runs."""

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready values."""
        outcome = None
        if self.outcome is not None:
            one = self.outcome
            outcome = [one.success, one.gas, one.refund, one.output.hex(), one.logs.hex()]
        median = statistics.median(self.times) if self.times else None
        return {
            "outcome": outcome,
            "ns": median,
            "runs": len(self.times),
            "turns": self.turns,
            "failure": self.failure,
            "settling": dict(self.settling),
        }


class Contestant:
    """A side with the work ready to run."""

    def __init__(self, side: Side, work: Work) -> None:
        self.measured = Measured()
        self._spent = 0
        self._batch = 1
        self._clock: Callable[[], int] = time.thread_time_ns
        self._prepared = side.prepare(work)

    def warm_up(self, budget: int, settle: int) -> None:
        """The first run, which tells the outcome and the pace. It counts only if it alone takes `budget` ns.

        After it the side has `settle` ns to become as fast as it gets.
        """
        start = time.perf_counter_ns()
        returned = self._prepared.run()
        elapsed = time.perf_counter_ns() - start
        self.measured.outcome = self._prepared.outcome(returned)
        self._prepared.reset()
        if elapsed >= budget:
            self.measured.times.append(elapsed)
            self.measured.turns.append(elapsed)
            self._spent = elapsed
            return
        if settle:
            self.measured.settling = self._prepared.settle(settle)
        pace = self._time_one(self._prepared, time.perf_counter_ns)
        self._batch = max(1, min(MOST, BATCH // (pace + 1)))
        if pace < SHORT:
            self._clock = time.perf_counter_ns

    def take_turn(self, budget: int) -> None:
        """Another run, or a batch of short ones, unless `budget` ns are spent."""
        if self._spent >= budget:
            return
        times = [self._time_one(self._prepared, self._clock) for _ in range(self._batch)]
        self.measured.times += times
        self.measured.turns.append(statistics.median(times))
        self._spent += sum(times)

    @staticmethod
    def _time_one(prepared: Prepared, clock: Callable[[], int]) -> int:
        run = prepared.run
        start = clock()
        run()
        elapsed = clock() - start
        prepared.reset()
        return elapsed


def measure(work: Work, sides: Sequence[Side], *, rounds: int, budget: int) -> Mapping[str, Measured]:
    """Run `work` on each of `sides`, in turns. `budget` is the ns after which a side that is slow has had its turns.

    What a side raises is its failure, and not the end of the comparison.
    """
    found: dict[str, Measured] = {}
    contestants: list[Contestant] = []
    for side in sides:
        try:
            contestant = Contestant(side, work)
            contestant.warm_up(budget, SETTLE_TURNS * budget if rounds > 1 else 0)
        except Unsupported as error:
            found[side.name] = Measured(failure=f"{CANNOT}{error}")
            continue
        except Exception as error:
            found[side.name] = Measured(failure=_told(error))
            continue
        found[side.name] = contestant.measured
        contestants.append(contestant)
    for turn in range(rounds):
        for contestant in in_order(contestants, turn):
            gc.collect()
            gc.disable()  # as timeit does: a side shall not pay for what another one has left
            try:
                contestant.take_turn(budget)
            finally:
                gc.enable()
    return found


def in_order(contestants: Sequence[T], turn: int) -> Sequence[T]:
    """The contestants in the order of this turn: each is first as often as the others, and none always after the same.

    Who comes after a peer that has filled the caches with its own pays for that.
    """
    first = turn // 2 % max(1, len(contestants))
    turned = [*contestants[first:], *contestants[:first]]
    return turned[::-1] if turn % 2 else turned


def _told(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"
