"""The list of steps: columns of numbers, and for stacks and memory only what each step changed in its frame.

A stack is told as how many words of the one before it, in the same frame, are gone, and which are new. Memory is told
as the rows of 32 bytes that changed. What steps and frames have of memory and data is bounded together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from .reading import Step, word

ROW: Final = 32
"""Bytes of memory in a row."""
_DATA_BYTES: Final = 32 << 20
"""Memory and return data that a page holds."""
_STACK_WORDS: Final = 8_000_000
"""New words of stacks that a page holds: once it has them, its list of steps ends."""
_BLOCK: Final = 128 * ROW
_LIKELY: Final = (0, 1, 2, 3, 4, 8, 17)
"""How many words instructions take off the stack."""


@dataclass(slots=True)
class _Last:
    """What the step before it in the same frame had."""

    stack: list[Any] = field(default_factory=list)
    memory: bytes = b""
    return_data: bytes = b""


class Steps:
    """Columns of the steps from `first` on, at most `limit`. Words, names and data are told once, and then by index."""

    def __init__(self, first: int = 0, limit: int = 0) -> None:
        self.first: Final = first
        self._limit = limit
        self.pc: list[int] = []
        self.op: list[int] = []
        self.gas: list[int] = []
        self.cost: list[int] = []
        self.frame: list[int] = []
        self.refund: list[int] = []
        self.memory_size: list[int] = []
        """Bytes, -1 where it is not told."""
        self.popped: list[int] = []
        self.pushed: list[int] = []
        """How many words of `words` belong to each step."""
        self.stack_words: list[int] = []
        """The words that are new, those of all steps one behind the other."""
        self.words: dict[str, int] = {}
        self.names: dict[str, int] = {}
        self.errors: dict[int, str] = {}
        self.memory: dict[int, list[tuple[int, int, list[tuple[int, str]]]]] = {}
        """For each frame: the step, the size in bytes then, and the rows that changed, in hex."""
        self.return_data: dict[int, list[tuple[int, str]]] = {}
        """For each frame: from which step on which bytes, in hex."""
        self.has_stack = False
        self.has_memory = False
        self.has_return_data = False
        self.clipped_at: int | None = None
        """The step from which on memory and data are left out, since a page has no room for them."""
        self._data_left = _DATA_BYTES
        self._last: dict[int, _Last] = {}

    def add(self, number: int, frame: int, step: Step) -> None:
        """Take step `number` of the trace, unless it is not to be listed."""
        if not self.first <= number < self.first + self._limit:
            return
        if len(self.stack_words) > _STACK_WORDS:
            self._limit = number - self.first
            return
        last = self._last.setdefault(frame, _Last())
        self.pc.append(step.pc)
        self.op.append(self.names.setdefault(step.name, len(self.names)))
        self.gas.append(step.gas)
        self.cost.append(step.cost)
        self.frame.append(frame)
        self.refund.append(step.refund)
        self.memory_size.append(-1 if step.memory_size is None else step.memory_size)
        if step.error:
            self.errors[number] = step.error
        self._add_stack(last, step)
        if step.memory is not None:
            self.has_memory = True
            self._add_memory(last, number, frame, step.memory)
        self.has_return_data |= step.return_data is not None
        self._add_return_data(last, number, frame, step.return_data or b"")

    def note_error(self, number: int, error: str) -> None:
        """A step that is listed already turned out to fail."""
        if self.first <= number < self.first + self._limit:
            self.errors[number] = error

    def _add_stack(self, last: _Last, step: Step) -> None:
        stack = step.stack
        if stack is None:
            stack = []
        else:
            self.has_stack = True
        same = _common(last.stack, stack)
        new = [self.words.setdefault(word(one, step.place), len(self.words)) for one in stack[same:]]
        self.popped.append(len(last.stack) - same)
        self.pushed.append(len(new))
        self.stack_words += new
        last.stack = stack

    def _add_memory(self, last: _Last, number: int, frame: int, memory: bytes) -> None:
        if memory == last.memory:
            return
        rows = list(_changed_rows(last.memory, memory))
        if self._takes(ROW * len(rows), number):
            self.memory.setdefault(frame, []).append((number, len(memory), rows))
        last.memory = memory

    def _add_return_data(self, last: _Last, number: int, frame: int, data: bytes) -> None:
        if data != last.return_data and self._takes(len(data), number):
            self.return_data.setdefault(frame, []).append((number, data.hex()))
        last.return_data = data

    def _takes(self, size: int, number: int) -> bool:
        """Whether so many bytes still have room. Once something had not, nothing has: a gap would be a lie."""
        if self.clipped_at is None and size > self._data_left:
            self.clipped_at = number
        if self.clipped_at is not None:
            return False
        self._data_left -= size
        return True


def _common(one: list[Any], other: list[Any]) -> int:
    """How many items at the beginning are the same."""
    shorter = min(len(one), len(other))
    begin = 0
    for off in _LIKELY:
        end = shorter - off
        if end <= 0:
            break
        if one[:end] == other[:end]:
            begin = end
            break
    while begin < shorter and one[begin] == other[begin]:
        begin += 1
    return begin


def _changed_rows(before: bytes, after: bytes) -> Iterator[tuple[int, str]]:
    """Rows that differ, by number, with their new bytes."""
    for block in range(0, len(after), _BLOCK):
        if before[block : block + _BLOCK] == after[block : block + _BLOCK]:
            continue
        for start in range(block, min(block + _BLOCK, len(after)), ROW):
            row = after[start : start + ROW]
            if row != before[start : start + ROW]:
                yield start // ROW, row.hex()
