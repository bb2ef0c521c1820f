"""When calls of a block run ahead of their turn: long ones, as long as threads gain something."""

from __future__ import annotations

import time

import pytest
from vmloom.engine import pacing
from vmloom.engine.pacing import Pace

LONG = 0.001


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        raise AssertionError("tests tell what calls took")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def pace_after(*seconds: float) -> Pace:
    pace = Pace(LONG)
    for one in seconds:
        pace.ran_in_order(one)
    return pace


def run_ahead(pace: Pace, clock: Clock, wall: float, count: int = 32) -> bool:
    """Calls of two milliseconds each that come in `wall` seconds each. Returns whether threads should stop."""
    pace.begin_ahead()
    stops = []
    for _ in range(count):
        clock.now += wall
        pace.ran_ahead(2 * LONG)
        stops.append(pace.gains_nothing())
    return any(stops)


@pytest.mark.parametrize(
    ("seconds", "is_long"),
    [
        ((), False),
        ((9.0, 9.0, 9.0), False),
        ((LONG, LONG, LONG, LONG), True),
        ((0.0, 0.0, 0.0, 0.0, *[LONG] * 7), False),  # on the wall, and then not often enough on the processor
        ((0.0, 0.0, 0.0, 0.0, *[LONG] * 8), True),
        ((0.0, 0.0, 0.0, 0.0, *[LONG] * 4, 0.0, 0.0, LONG, LONG, *[LONG] * 3), False),
        ((LONG, LONG, LONG, LONG, 0.0, 0.0), False),
        ((9.0, 0.0, 0.0, 0.0), False),
        ((9.0, LONG, LONG, LONG), True),
    ],
)
def test_the_last_calls_but_the_longest_decide(seconds: tuple[float, ...], is_long: bool) -> None:
    assert pace_after(*seconds).is_long() == is_long


def test_short_calls_are_timed_by_what_costs_least() -> None:
    pace = pace_after(0.0, 0.0, 0.0)
    assert pace.clock is time.thread_time
    pace.ran_in_order(0.0)
    assert pace.clock is time.perf_counter
    for _ in range(4):
        pace.ran_in_order(LONG)
    assert pace.clock is time.thread_time


def test_threads_that_gain_go_on(clock: Clock) -> None:
    assert not run_ahead(pace_after(), clock, wall=LONG, count=200)


def test_threads_that_gain_nothing_rest_twice_as_long_each_time(clock: Clock) -> None:
    pace = pace_after(*[LONG] * 4)
    for rest in (256, 512, 1024):
        assert run_ahead(pace, clock, wall=3 * LONG)
        for _ in range(rest):
            assert not pace.is_long()
            pace.ran_in_order(LONG)
        assert pace.is_long()


def test_a_few_calls_say_nothing_of_threads(clock: Clock) -> None:
    assert not run_ahead(pace_after(), clock, wall=3 * LONG, count=31)


def test_with_nothing_to_reach_all_run_ahead(clock: Clock) -> None:
    pace = Pace(0.0)
    assert pace.is_long()
    assert not run_ahead(pace, clock, wall=9 * LONG, count=100)
