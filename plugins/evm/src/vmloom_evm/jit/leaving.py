"""Whether machine code is of use: code that leaves for the interpreter all the time is slower than the interpreter.

Where compiled code is entered, the stack is tested for what is known of it, and a contract may be written such that
the test is long and fails each time. So a contract whose run leaves its machine code often, twice from one pause to
the next, is interpreted until the one after. If more gas goes by in a second then, it stays interpreted for a while;
if not, it is let alone for a while. Neither is for good, since contracts do other things in other runs, and others
have a hand in what they do.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of

from ..native import layout

if TYPE_CHECKING:
    from ..native.memory import NativeMemory

OFTEN: Final = layout.PAUSE_INTERVAL // 32
"""Times that machine code is left between two pauses. Where that is seldom it costs little."""
RESTED: Final = 64
"""Pauses in a contract for which it stays interpreted: finding that out costs one or two times as much as they take."""
TRUSTED: Final = 256
"""Pauses in a contract for which it is not tried whether it would run faster interpreted."""
_GAS: Final = fields_of(layout.Frame)["gas"].offset


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is at a pause: the transaction, the gas that is left in it, the time in s, and how often code left.

    It takes a while to sum the gas up; it is None where it is not worth it.
    """

    stamp: int
    gas: int | None
    seconds: float
    left: int

    def speed_to(self, other: Sample) -> float | None:
        """Gas by second from this one to `other`, if that is known: another transaction may have begun."""
        took = other.seconds - self.seconds
        if self.gas is None or other.gas is None or self.stamp != other.stamp or took <= 0:
            return None
        return (self.gas - other.gas) / took


class Leaving:
    """Watches the runs on a native state, at their pauses."""

    def __init__(self, memory: NativeMemory) -> None:
        self._memory = memory
        self._last = self._sample(0.0)
        self._left_often = False
        """Before the last pause."""
        self._tried: tuple[int, float | None] | None = None
        """The row that is interpreted until the next pause, and its speed before that."""
        self._resting: dict[int, int] = {}
        """Pauses to go, by row."""
        self._trusted: dict[int, int] = {}

    def forget(self) -> None:
        """There are no rows any more."""
        self._last, self._tried, self._left_often = self._sample(0.0), None, False
        self._resting.clear()
        self._trusted.clear()

    def rests(self, row: int) -> bool:
        """Whether the code in `row` is not to run compiled now."""
        return row in self._resting

    def paused(self, row: int, seconds: float, *, is_compiled: bool) -> bool:
        """A pause in the code of `row`, at a time of the thread. Whether it is to go on interpreted."""
        before, now, tried = self._last, self._sample(seconds), self._tried
        leaves_often = now.left - before.left >= OFTEN
        if leaves_often or tried is not None:
            now = replace(now, gas=self._gas_left())
        self._last, self._tried = now, None
        speed = before.speed_to(now)
        if tried is not None and tried[0] == row:
            if speed is not None and tried[1] is not None and speed <= tried[1]:
                self._resting.pop(row, None)
                self._trusted[row] = TRUSTED
        elif leaves_often and self._left_often and is_compiled and row not in self._trusted:
            self._tried = row, speed
            self._resting[row] = RESTED
        self._left_often = leaves_often
        _count_down(self._trusted, row)
        _count_down(self._resting, row)
        return row in self._resting

    def _sample(self, seconds: float) -> Sample:
        return Sample(self._memory.get("stamp"), None, seconds, self._memory.get("deoptimised"))

    def _gas_left(self) -> int:
        """Of all frames: what a call was not given, and what it gives back, is its caller's."""
        memory, size = self._memory, size_of(layout.Frame)
        places = range(memory.get("frames"), memory.get("frame") + 1, size)
        return sum(ctypes.c_int64.from_address(place + _GAS).value for place in places)


def _count_down(pauses: dict[int, int], row: int) -> None:
    if row in pauses:
        pauses[row] -= 1
        if not pauses[row]:
            del pauses[row]
