"""What operations cost: measured when somebody first asks, for whoever has to choose between accelerators."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from vmloom.accelerator import Capability

MEASURED: Final = 0.005
"""Seconds that a batch should take to be measured by."""
FIRST: Final = 64
"""Rows of the smallest batch that is measured beside a single row."""
MOST: Final = 1 << 22
"""Rows of the largest one."""
REPEATS: Final = 3


def fitted(name: str, prepare: Callable[[int], Callable[[], object]], item_size: int) -> Capability:
    """The line through the times of one row and of as many as take long enough.

    `prepare(rows)` gives what runs a batch of that many, made outside of what is measured.
    """

    def seconds(rows: int) -> float:
        run, best = prepare(rows), float("inf")
        for _ in range(REPEATS):
            began = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - began)
        return best

    one, rows = seconds(1), FIRST
    many = seconds(rows)
    while many - one < MEASURED and many < 10 * MEASURED and rows < MOST:
        rows *= 4
        many = seconds(rows)
    per_item = max(many - one, 0) / (rows - 1)
    return Capability(name, max(one - per_item, 0), per_item, item_size)


class Measured(Mapping[str, Capability]):
    """Operations by name, each measured when it is first looked up. Safe to share by threads."""

    def __init__(self, operations: Mapping[str, Any], measure: Callable[[str, Any], Capability]) -> None:
        self._operations, self._measure = operations, measure
        self._lock = threading.Lock()
        self._known: dict[str, Capability] = {}

    def __getitem__(self, name: str) -> Capability:
        operation = self._operations[name]
        with self._lock:  # two that measure at once would measure each other
            if name not in self._known:
                self._known[name] = self._measure(name, operation)
            return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._operations)

    def __len__(self) -> int:
        return len(self._operations)
