"""Whether running calls of a block ahead of their turn is worth its price, judged by what has run so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_LATELY: Final = 4
"""Calls in order by which the next ones are judged."""
_WINDOW: Final = 32
"""Calls that ran ahead after which it is looked at whether threads gain anything."""
_REST: Final = 256
"""Calls that run in order after threads have gained nothing; each next time twice as many."""


class Pace:
    """Decides between the two ways, by processor time: that of a call does not depend on who else is running.

    Running ahead takes some hundred microseconds of Python for a call, so calls have to take `ahead_from` seconds.
    Where they do, threads gain nothing still if all of them do Python, or the machine's processors are busy: then what
    they do takes longer than the processor time that it takes. With `ahead_from` 0 all calls run ahead.
    """

    def __init__(self, ahead_from: float) -> None:
        self._ahead_from = ahead_from
        self._lately: deque[float] = deque(maxlen=_LATELY)
        self._left_in_order, self._next_rest = 0, _REST
        self._window, self._seconds, self._begun = 0, 0.0, 0.0
        self._by_processor = True

    @property
    def clock(self) -> Callable[[], float]:
        """By which calls in order are to be timed.

        Asking for processor time takes ten times as long as asking for that on the wall, which is never less: while
        calls are short by the latter, so they are by the former.
        """
        return time.thread_time if self._by_processor else time.perf_counter

    def ran_in_order(self, seconds: float) -> None:
        """A call took so long by `clock`."""
        self._lately.append(seconds)
        self._left_in_order -= 1
        if len(self._lately) == _LATELY and (self._by_processor or seconds >= self._ahead_from):
            # The one that took longest may have made things ready.
            seems_long = sum(sorted(self._lately)[:-1]) >= (_LATELY - 1) * self._ahead_from
            if seems_long != self._by_processor:
                self._by_processor = seems_long
                self._lately.clear()

    def is_long(self) -> bool:
        """Whether the next calls should run ahead: lately they took long, even without the one that took longest."""
        if not self._ahead_from:
            return True
        return self._left_in_order <= 0 and len(self._lately) == _LATELY and self._by_processor

    def begin_ahead(self) -> None:
        """Calls run ahead from now on."""
        self._window, self._seconds, self._begun = 0, 0.0, time.perf_counter()

    def ran_ahead(self, seconds: float) -> None:
        """A call that took so much processor time ahead of its turn has had its turn."""
        self._window += 1
        self._seconds += seconds

    def gains_nothing(self) -> bool:
        """Whether calls should rather run in order again, because of those that ran ahead."""
        if not self._ahead_from or self._window < _WINDOW:
            return False
        gained = self._seconds - (time.perf_counter() - self._begun)
        self.begin_ahead()
        if gained > 0:
            return False
        self._left_in_order, self._next_rest = self._next_rest, 2 * self._next_rest
        return True
