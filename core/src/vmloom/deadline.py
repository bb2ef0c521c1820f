"""How long what runs in this thread may take: a deadline that reaches engines without being passed along.

Who serves others sets it with `time_limit`; native code that runs for long, and whatever else may, looks at it now and
then. What must not be left half done, such as a block that is made, shuts it out with `no_time_limit`.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Final

_FOREVER: Final = float("inf")
_deadline: Final[ContextVar[float]] = ContextVar("vmloom_deadline", default=_FOREVER)


class TimeIsUp(Exception):
    """Ends a run whose time is up; the state is as it was before the run.

    It is no `VmloomError`: engines take one for a failure of the code that runs, and go on.
    """


class time_limit:  # noqa: N801 # it is called as a function is
    """Set the deadline of what runs inside the block, in seconds from now; 0 is no limit."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(time.monotonic() + self._seconds if self._seconds else _FOREVER)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


def no_time_limit() -> time_limit:
    """Have what runs inside the block take as long as it takes."""
    return time_limit(0)


def is_late() -> bool:
    """Whether the time is up."""
    deadline = _deadline.get()
    return deadline != _FOREVER and time.monotonic() > deadline


def check_time() -> None:
    """Raise `TimeIsUp` if it is."""
    if is_late():
        raise TimeIsUp("the time limit of this call is over")
