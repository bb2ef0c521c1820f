"""The order in which tasks run: that of their spawning, one after the other, with no threads and no clock.

A task that was spawned waits until somebody awaits it or a later one, or until the main program has ended. Then the
tasks begin in order, each running until it ends or awaits another itself. So every run of a program sees the same
order. The interpreter keeps the frames; here is only who comes next and what the ended ones returned.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from ..errors import TaskCycle, TaskLimitExceeded, TypeMismatch
from ..values import Function, Task, Value, kind_of

MAIN: Final = Task(-1)
"""The main program, which no program can await."""


class Spawned(NamedTuple):
    """A task that has not begun."""

    task: Task
    function: Function
    arguments: list[Value]


class Tasks:
    """The tasks of one run. At most `limit` wait to begin."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Spawned] = deque()
        self._spawned: list[Task] = []
        self._results: dict[int, Value] = {}

    def spawn(self, function: Function, arguments: list[Value]) -> Task:
        """A new task that will call `function`. Raises `TaskLimitExceeded` if too many wait already."""
        if len(self._waiting) >= self._limit:
            raise TaskLimitExceeded(f"SPAWN: {self._limit} tasks wait already; no more are allowed")
        task = Task(len(self._spawned))
        self._spawned.append(task)
        self._waiting.append(Spawned(task, function, arguments))
        return task

    def next(self) -> Spawned | None:
        """The task to begin now, which is not waiting any more; None if there is none."""
        return self._waiting.popleft() if self._waiting else None

    def end(self, task: Task, result: Value) -> None:
        """`task` has ended and returned `result`."""
        self._results[task.number] = result

    def has_ended(self, task: Task) -> bool:
        """Whether `result` can be asked."""
        return task.number in self._results

    def result(self, task: Task) -> Value:
        """What the ended `task` returned. Tasks may be awaited any number of times."""
        return self._results[task.number]

    def check_awaitable(self, value: Value) -> Task:
        """`value` as a task that has ended or will.

        Raises `TypeMismatch` for anything but a task of this run, and `TaskCycle` for one that has begun and not
        ended: it waits, directly or not, for who awaits it.
        """
        if type(value) is not Task:
            raise TypeMismatch(f"AWAIT takes a task, not {kind_of(value)}")
        if not (value.number < len(self._spawned) and self._spawned[value.number] is value):
            raise TypeMismatch("AWAIT: the task belongs to another run")
        begun = len(self._spawned) - len(self._waiting)
        if value.number < begun and not self.has_ended(value):
            raise TaskCycle(f"AWAIT: task {value.number} waits for this one, so that neither could end")
        return value
