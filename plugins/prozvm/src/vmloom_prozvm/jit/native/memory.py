"""The memory that a run of native code works in, and values of Python in its cells and out of them."""

from __future__ import annotations

import ctypes
import inspect
import mmap
import struct
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from ...runtime.loaded import UNSET as UNSET_VALUE
from ...values import Value
from . import layout as at
from .facts import INT_MAX, INT_MIN, Kind
from .layout import ANY, BOOL, CELL, DIGEST, INT, LIST, MAP, NONE, OBJECT, UNSET

Need = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
Answer = Callable[[int, int], bool]
"""What a run does for native code: (what, which), and whether that is to go on."""


def _leave(_what: int, _which: int) -> bool:
    return False


class Memory:
    """Words of 64 bits in the layout of `layout`, for a program of these sizes, and the objects of a run.

    Belongs to one run at a time.
    """

    def __init__(
        self,
        objects: Sequence[Any],
        *,
        registers: int,
        incoming: int,
        slots: int,
        spill: int,
        sha256: int,
    ) -> None:
        """`registers` of the main program, `incoming` cells, `slots`, words of `spill`; `sha256` is an address."""
        sizes = {
            at.GLOBALS: registers * CELL,
            at.INCOMING: incoming * CELL,
            at.SLOTS: slots * at.SLOT,
            at.UNDO: at.UNDO_ROOM * at.UNDO_ENTRY,
            at.MARKS: at.MARKS_ROOM * at.MARK,
            at.LEDGER: at.LEDGER_ROOM * CELL,
            at.CHECKED: len(objects) + 2,
            at.SCRATCH: at.SCRATCH_ROOM // 8,
            at.SPILL: spill,
        }
        total = at.HEAD + sum(sizes.values())
        self._pages = mmap.mmap(-1, 8 * total)  # of which only what is used takes memory
        self._first = ctypes.c_int64.from_buffer(self._pages)
        self.address: Final = ctypes.addressof(self._first)
        self.words: Final = memoryview(self._pages).cast("q")
        self.begin: Final[dict[int, int]] = {}
        """Where each area begins."""
        place = at.HEAD
        for field, size in sizes.items():
            self.begin[field] = place
            self.words[field] = self.address + 8 * place
            place += size
        self.constants: Final = len(objects)
        self._base: Final = objects
        self._known: Final = {id(value): number for number, value in enumerate(objects)}
        self.objects: list[Any] = list(objects)
        self.slots: Final = slots
        self.answer: Answer = _leave
        """Set by whoever runs."""
        self.raised: BaseException | None = None
        """What was raised while native code waited: it is to be raised again."""
        self.words[at.SHA256] = sha256
        self._answers: Generator[int, int, None] | None = None

    def reset(self) -> None:
        """Forget the run before."""
        words = self.words
        self.objects = list(self._base)
        self.answer, self.raised = _leave, None
        if self._answers is None or inspect.getgeneratorstate(self._answers) == inspect.GEN_CLOSED:
            self._answers = self._answering()
            next(self._answers)
            self._callback = Need(self._answers.send)
            words[at.NEED] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        first = self.begin[at.CHECKED]
        for number in range(self.constants + 2):
            words[first + number] = 0
        first = self.begin[at.SLOTS]
        for place in range(first, first + self.slots * at.SLOT):
            words[place] = 0
        words[at.STAMPS] = 0

    def forget(self) -> None:
        """Hold nothing of the run that has ended."""
        self.objects, self.answer, self.raised = [], _leave, None

    def _answering(self) -> Generator[int, int, None]:
        """Answers native code's questions, one after the other, and keeps what is raised.

        A generator, for it is within its `try` when it goes on: there, before its next instruction, Python handles
        signals, and a function would be left before it had begun.
        """
        answer = 0
        while True:
            try:
                need = yield answer
                answer = self.answer(need & ((1 << at.WHAT_BITS) - 1), need >> at.WHAT_BITS)
            except GeneratorExit:
                return
            except BaseException as error:
                self.raised, answer = error, 0

    # Cells

    def put(self, place: int, value: Any) -> None:
        """Write a value of Python into a cell."""
        words = self.words
        kind = type(value)
        if kind is int and INT_MIN <= value <= INT_MAX:
            words[place], words[place + 1] = INT, value
        elif kind is bool:
            words[place], words[place + 1] = BOOL, value
        elif value is None:
            words[place], words[place + 1] = NONE, 0
        elif value is UNSET_VALUE:
            words[place], words[place + 1] = UNSET, 0
        else:
            number = self._known.get(id(value))
            if number is None or self._base[number] is not value:
                number = len(self.objects)
                self.objects.append(value)
            words[place], words[place + 1] = OBJECT, number

    def get(self, place: int) -> Any:
        """The value of Python in a cell; `UNSET` of the loader for none."""
        words = self.words
        kind = words[place]
        if kind == INT:
            return words[place + 1]
        if kind == BOOL:
            return words[place + 1] != 0
        if kind == NONE:
            return None
        if kind == OBJECT:
            return self.objects[words[place + 1]]
        if kind == DIGEST:
            return struct.pack("<4q", *words[place + 1 : place + 5]).hex()
        return UNSET_VALUE

    def get_stack(self, place: int, count: int) -> list[Value]:
        """`count` values from cells, of which collections take as many more as they have items."""
        values = []
        for _ in range(count):
            value, place = self._get_built(place)
            values.append(value)
        return values

    def _get_built(self, place: int) -> tuple[Value, int]:
        kind, size = self.words[place], self.words[place + 1]
        if kind not in (LIST, MAP):
            return self.get(place), place + CELL
        items: list[Any] = []
        place += CELL
        for _ in range(size):
            item, place = self._get_built(place)
            items.append(item)
        if kind == LIST:
            return items, place
        return dict(zip(items[::2], items[1::2], strict=True)), place

    def fits(self, place: int, kind: Kind) -> bool:
        """Whether what a cell holds is what native code relies on."""
        if kind.tag == ANY:
            return True
        if self.words[place] != kind.tag:
            return False
        return not kind.known or kind.tag != OBJECT or self.words[place + 1] == kind.constant
