"""The time that a chain's next block gets, which may run apart from that of the world."""

from __future__ import annotations

from collections.abc import Callable

from vmloom.errors import InputError

MAX_TIME = (1 << 63) - 1


class Clock:
    """UNIX seconds for blocks: those of `now`, moved by `offset`; later than the parent's in any case."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.offset = 0
        """Seconds that blocks are ahead of the world."""
        self.step: int | None = None
        """If set, each block is exactly so many seconds after its parent."""
        self._next: int | None = None

    def increase(self, seconds: int) -> int:
        """Let time run ahead by `seconds` more; returns the whole offset. Raises `InputError` out of range."""
        if not -MAX_TIME <= self.offset + seconds <= MAX_TIME:
            raise InputError(f"{seconds} seconds: time would not fit 63 bits")
        self.offset += seconds
        return self.offset

    def set_next(self, timestamp: int, parent: int) -> None:
        """Have the next block at exactly `timestamp`, and time go on from there. Raises `InputError`.

        `parent` is the time of the last block, which must be earlier.
        """
        self._check(timestamp, parent)
        self._next = timestamp

    def set(self, timestamp: int) -> int:
        """Have it be `timestamp` now; returns the seconds by which time moved. Raises `InputError`."""
        self._check(timestamp, -1)
        before = self.offset
        self.offset = timestamp - int(self._now())
        return self.offset - before

    def _check(self, timestamp: int, parent: int) -> None:
        if timestamp <= parent:
            raise InputError(f"timestamp {timestamp} is not later than that of the last block, {parent}")
        if timestamp > MAX_TIME:
            raise InputError(f"timestamp {timestamp} does not fit 63 bits")

    def peek(self, parent: int) -> int:
        """The time of a block made now, after one at `parent`."""
        if self._next is not None and self._next > parent:
            return self._next
        if self.step is not None:
            return parent + self.step
        return max(parent + 1, int(self._now()) + self.offset)

    def take(self, parent: int) -> int:
        """`peek`, for a block that is made."""
        timestamp = self.peek(parent)
        if self._next is not None:
            self.offset = timestamp - int(self._now())
            self._next = None
        return timestamp

    def save(self) -> tuple[int, int | None, int | None]:
        """For `restore`."""
        return self.offset, self.step, self._next

    def restore(self, saved: tuple[int, int | None, int | None]) -> None:
        """Have it as when `save` was called; the world's time has gone on."""
        self.offset, self.step, self._next = saved
