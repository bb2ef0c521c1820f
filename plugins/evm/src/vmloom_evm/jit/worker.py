"""The thread that compiles. There is one for the process, only while there is work, and none survives a fork.

It is no daemon, for a process that ended while LLVM runs would crash; at the end of the process it finishes the job
that it is at, and leaves the others.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

QUEUE_LENGTH: Final = 256
"""Jobs that may wait; who comes later has to come again."""


class Forked(Protocol):
    """What has to be put right in a forked child: its locks may be those of threads that do not exist there."""

    def after_fork(self) -> None:
        """Begin with new locks."""


class Worker:
    """Runs jobs one after the other in a thread of its own. Jobs raise nothing."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Be without thread and jobs."""
        self._guard = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._busy = False
        self.working = threading.RLock()
        """Held while something is compiled, by whichever thread: LLVM must not be in the midst of it in a fork."""

    @property
    def pending(self) -> int:
        """Jobs that are not done."""
        with self._guard:
            return len(self._jobs) + self._busy

    def submit(self, job: Callable[[], None]) -> bool:
        """Have `job` done soon. False if too many wait already, or there can be no thread."""
        with self._guard:
            if len(self._jobs) >= QUEUE_LENGTH:
                return False
            self._jobs.append(job)
            if self._busy:
                return True
            self._busy = True
            try:
                threading.Thread(target=self._work, name="vmloom-jit", daemon=False).start()
            except RuntimeError:  # no more threads, or the process is ending
                self._busy = False
                self._jobs.pop()
                return False
            return True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all jobs are done, at most that long. Whether they are."""
        with self._guard:
            return self._guard.wait_for(lambda: not self._busy and not self._jobs, seconds)

    def _work(self) -> None:
        while True:
            with self._guard:
                if not self._jobs or not threading.main_thread().is_alive():
                    self._jobs.clear()
                    self._busy = False
                    self._guard.notify_all()
                    return
                job = self._jobs.popleft()
            with self.working:
                job()


WORKER: Final = Worker()
FORKED: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()
"""What else has locks."""


def _after_fork() -> None:
    WORKER.after_fork()
    for one in FORKED:
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: WORKER.working.acquire(),
        after_in_parent=lambda: WORKER.working.release(),
        after_in_child=_after_fork,
    )
