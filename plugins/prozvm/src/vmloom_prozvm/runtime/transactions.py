"""Transactions over a world: what is written inside one is seen inside it, and is nobody's until the last one commits.

They nest. Beginning one costs nothing and reverting one costs as much as was written in it, however deep they are:
there is one overlay and one undo log, not a copy for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vmloom.journal import Journal

from ..errors import NoTransaction, OpenTransaction, StateOutsideTransaction
from ..values import Value
from .world import Path, World, stamped


class TransactionStack:
    """The open transactions of one run, and the world below them.

    `strict` is how contracts run: writing the state outside a transaction raises `StateOutsideTransaction`, ending
    one that was not begun `NoTransaction`, and finishing with an open one `OpenTransaction`. Otherwise such a write
    goes straight to the world, such an end does nothing, and what is still open is dropped.

    Nothing pending is seen by other runs, not even by those of the same contract that this one calls; so who runs
    contracts lets none call another while `depth` is not 0.
    """

    __slots__ = ("_checkpoints", "_effects", "_journal", "_overlay", "_strict", "_world")

    def __init__(self, world: World, *, strict: bool) -> None:
        self._world: Final = world
        self._strict: Final = strict
        self._journal = Journal()
        self._overlay: dict[Path, Value] = {}
        self._effects: list[Callable[[], None]] = []
        self._checkpoints: list[int] = []

    @property
    def depth(self) -> int:
        """How many transactions are open."""
        return len(self._checkpoints)

    def begin(self) -> None:
        """TX_BEGIN: open a transaction inside the present one."""
        self._checkpoints.append(self._journal.checkpoint())

    def commit(self) -> None:
        """TX_COMMIT: close the innermost; what it wrote is now the next one's, or the world's if it was the last."""
        if not self._close("TX_COMMIT"):
            return
        if not self._checkpoints:
            # Nothing of this can fail: it was checked when it was written.
            overlay, effects = self._overlay, self._effects
            self._drop()
            for key, value in overlay.items():
                self._world.put(key, value)
            for effect in effects:
                effect()

    def revert(self) -> None:
        """TX_REVERT: close the innermost and forget what it wrote."""
        checkpoint = self._checkpoints[-1] if self._checkpoints else 0
        if self._close("TX_REVERT"):
            self._journal.revert(checkpoint)

    def revert_all(self) -> None:
        """Forget what every open transaction wrote, and close them all: what follows an error."""
        self._checkpoints.clear()
        self._drop()

    def finish(self) -> None:
        """The program has ended: drop what is open. Raises `OpenTransaction`, if strict, where something is."""
        still_open = self.depth
        if not still_open and not self._overlay and not self._effects:  # as after most runs
            return
        self.revert_all()
        if still_open and self._strict:
            raise OpenTransaction(f"the program ended {still_open} deep in transactions: it must commit or revert them")

    def read(self, key: Path) -> Value:
        """STATE_READ: what was last written, None if nothing."""
        if key in self._overlay:
            return self._overlay[key]
        return self._world.read(key)

    def size(self, key: Path) -> int:
        """Bytes that `read` decodes, to be charged for before; 0 for what this run wrote, which was paid for then."""
        return 0 if key in self._overlay else self._world.size(key)

    def has(self, key: Path) -> bool:
        """Whether `read` gives anything but None."""
        if key in self._overlay:
            return self._overlay[key] is not None
        return self._world.has(key)

    def write(self, key: Path, value: Value) -> None:
        """STATE_WRITE: set `key`; None removes it. Raises what `World.check` does."""
        self._world.check(value)
        if self._checkpoints:
            self._journal.set(self._overlay, key, value)
        elif self._strict:
            raise StateOutsideTransaction(f"STATE_WRITE of {_shown(key)} outside a transaction: TX_BEGIN comes first")
        else:
            self._world.put(key, value)

    def check(self, value: Value) -> None:
        """Raise now what writing `value` would raise for its own sake."""
        self._world.check(value)

    def put(self, key: Path, value: Value) -> None:
        """What a transaction amounts to that writes this alone, after `check`."""
        if self._checkpoints:
            self._journal.set(self._overlay, key, value)
        else:
            self._world.put(key, value)

    def append(self, entry: Value) -> None:
        """LEDGER_APPEND: add `entry` to the ledger, once the open transactions commit; at once if there are none.

        Raises what `World.check` does.
        """
        self.append_stamped(self.stamp(entry))

    def stamp(self, entry: Value) -> Value:
        """The entry as the ledger will have it. Raises what `World.check` does."""
        entry = stamped(entry, self._world.timestamp)
        self._world.check(entry)
        return entry

    def append_stamped(self, entry: Value) -> None:
        """What `append` does with what `stamp` gave."""
        self.after(lambda: self._world.add((entry,)))

    def append_all(self, entries: Sequence[Value]) -> None:
        """What `append` does with each of several; `stamp` must have taken them all before. They must not change."""
        time = self._world.timestamp
        made = {id(entry): stamped(entry, time) for entry in entries}  # what is there many times stays one
        self.after(lambda: self._world.add([made[id(entry)] for entry in entries]))

    def after(self, effect: Callable[[], None]) -> None:
        """Do what cannot be undone, and cannot fail, once the open transactions commit; at once if there are none."""
        if self._checkpoints:
            self._journal.append(self._effects, effect)
        else:
            effect()

    def _close(self, instruction: str) -> bool:
        if self._checkpoints:
            self._checkpoints.pop()
            return True
        if self._strict:
            raise NoTransaction(f"{instruction} without a transaction: none is open")
        return False

    def _drop(self) -> None:
        self._overlay, self._effects = {}, []
        self._journal.clear()


def _shown(key: Path) -> str:
    """A name, or the first key of a path, in so few characters that a message can have it."""
    first = key if type(key) is str else key[0]
    if type(first) is int:
        return "a number" if first.bit_length() > 64 else str(first)
    return repr(first[:64])  # type: ignore[index]  # a string or bytes
