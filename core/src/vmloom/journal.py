"""The undo log: every change of journaled state is one entry, and a checkpoint is a position in it.

Taking a checkpoint costs nothing, reverting costs the number of changes undone, and the changes since a
checkpoint can be read off it. Nothing is ever copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ABSENT: Final = _Marker("ABSENT")
"""The old value of a key that a mapping did not have."""
_APPENDED: Final = _Marker("APPENDED")


class Journal:
    """Records changes of dicts, sets (as dicts) and lists, and takes them back in reverse order."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[Any, Any, Any]] = []

    def checkpoint(self) -> int:
        """The current position, 0 and up, to be given to `revert`."""
        return len(self._entries)

    def set(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        """`mapping[key] = value`, to be undone."""
        self._entries.append((mapping, key, mapping.get(key, ABSENT)))
        mapping[key] = value

    def delete(self, mapping: dict[Any, Any], key: Any) -> None:
        """`del mapping[key]` if it is there, to be undone."""
        if key in mapping:
            self._entries.append((mapping, key, mapping.pop(key)))

    def append(self, items: list[Any], item: Any) -> None:
        """`items.append(item)`, to be undone."""
        self._entries.append((items, _APPENDED, len(items)))
        items.append(item)

    def revert(self, checkpoint: int) -> None:
        """Undo every change since `checkpoint`. Raises `ValueError` for one that lies ahead of the log."""
        entries = self._entries
        if not 0 <= checkpoint <= len(entries):
            raise ValueError(f"checkpoint {checkpoint} is not in the undo log, which has {len(entries)} entries")
        # An interrupt may come between any two steps, here and where entries are made, and another revert follow it.
        while len(entries) > checkpoint:
            container, key, old = entries[-1]
            if key is _APPENDED:
                del container[old:]
            elif old is ABSENT:
                container.pop(key, None)
            else:
                container[key] = old
            entries.pop()

    def clear(self) -> None:
        """Forget the log: what was changed stays, and earlier checkpoints are gone."""
        self._entries.clear()

    def changes_since(self, checkpoint: int) -> Iterator[tuple[dict[Any, Any], Any, Any]]:
        """(mapping, key, value at the checkpoint) once for each dict entry changed since `checkpoint`, oldest first."""
        seen: set[tuple[int, Any]] = set()
        for container, key, old in self._entries[checkpoint:]:
            if key is not _APPENDED and (id(container), key) not in seen:
                seen.add((id(container), key))
                yield container, key, old
