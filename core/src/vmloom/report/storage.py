"""Storage as a trace lets it be known: values from reads and writes, those of failed frames taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_Key: TypeAlias = tuple[int, str]
"""Account and slot."""


@dataclass(frozen=True, slots=True)
class Change:
    """A slot that was written. `before` is None where nobody had read it; words are hex digits.

    `undone`: the frames that wrote `after` failed, so that it is not there at the end.
    """

    account: int
    slot: str
    before: str | None
    after: str
    writes: int
    undone: bool


@dataclass(slots=True)
class _Write:
    key: _Key
    value: str
    former: str | None
    undone: bool = False


class Storage:
    """What is known at each step. `events` tell from which step on a slot holds what; None: that is not known."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, str, str | None]] = []
        self._known: dict[_Key, str] = {}
        self._before: dict[_Key, str | None] = {}
        self._writes: list[_Write] = []
        self._undoable: list[_Write] = []
        """Those that frames which are open, or ended well within such, made."""
        self._marks: list[int] = []
        """How many of these there were as each open frame began."""

    def enter(self) -> None:
        """A frame begins."""
        self._marks.append(len(self._undoable))

    def leave(self, *, failed: bool, at: int) -> None:
        """The innermost frame ends before step `at`; if it failed, what it and those below it wrote is gone."""
        mark = self._marks.pop()
        while failed and len(self._undoable) > mark:
            write = self._undoable.pop()
            write.undone = True
            self._know(write.key, write.former, at)

    def read(self, account: int, slot: str, value: str, at: int) -> None:
        """A slot was seen to hold `value`."""
        self._know((account, slot), value, at)

    def write(self, account: int, slot: str, value: str, at: int) -> None:
        """A slot holds `value` from step `at` on."""
        key = account, slot
        former = self._known.get(key)
        self._before.setdefault(key, former)
        write = _Write(key, value, former)
        self._writes.append(write)
        self._undoable.append(write)
        self._know(key, value, at)

    def changes(self) -> list[Change]:
        """One row for each slot that was written, and one for what was undone; in the order of first writes."""
        return list(self._rows())

    def _rows(self) -> Iterator[Change]:
        by_key: dict[_Key, list[_Write]] = {}
        for write in self._writes:
            by_key.setdefault(write.key, []).append(write)
        for key, writes in by_key.items():
            for undone in (False, True):
                found = [write for write in writes if write.undone is undone]
                if found:
                    yield Change(*key, self._before[key], found[-1].value, len(found), undone)

    def _know(self, key: _Key, value: str | None, at: int) -> None:
        if self._known.get(key) == value:
            return
        if value is None:
            del self._known[key]
        else:
            self._known[key] = value
        self.events.append((at, *key, value))
