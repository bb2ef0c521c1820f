"""What is known where a block of a function begins: stack, registers, keys of the state, and the open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .kinds import Kind
from .text import Entry


class DepthMismatch(Exception):
    """Two paths to an instruction bring stacks of different depths. Verified code has none of it."""


class Conflict(Exception):
    """Transactions that began at these instructions cannot be kept in variables."""

    def __init__(self, begins: Iterable[int]) -> None:
        super().__init__()
        self.begins = frozenset(begins)


class Sunk(NamedTuple):
    """A transaction that is in variables: where it began, and what it has written.

    `writes` are numbers of keys in the order in which they were first written, each with whether it certainly was.
    """

    begin: int
    writes: tuple[tuple[int, bool], ...] = ()

    def has(self, key: int) -> bool | None:
        """Whether it has written a key; None if that is not certain."""
        return next((certain or None for number, certain in self.writes if number == key), False)

    def join(self, other: Sunk) -> Sunk:
        """What has been written on either way. Raises `Conflict` where the orders do not agree."""
        shorter, longer = sorted((self.writes, other.writes), key=len)
        if self.begin != other.begin or any(one[0] != two[0] for one, two in zip(shorter, longer, strict=False)):
            raise Conflict((self.begin, other.begin))
        both = [(key, certain and two[1]) for (key, certain), two in zip(shorter, longer, strict=False)]
        return Sunk(self.begin, (*both, *((key, False) for key, _ in longer[len(shorter) :])))


@dataclass(slots=True)
class State:
    """The stack, the deepest first, and the kind of every register that has a value for certain.

    At the beginning of a block the stack's values are in the variables `s0`, `s1` and so on. `keys` are the kinds of
    the state's values that are known, by the key's number; `sunk` is the open transaction if it is in variables; `due`
    are keys whose committed value may not have been handed over. See `sinking`.
    """

    stack: list[Entry]
    registers: dict[int, Kind]
    keys: dict[int, Kind] = field(default_factory=dict)
    sunk: Sunk | None = None
    due: frozenset[int] = frozenset()

    @property
    def size(self) -> int:
        """How much is known."""
        return len(self.stack) + len(self.registers) + len(self.keys)

    def copy(self) -> State:
        """One that can be changed apart from this one."""
        return State(list(self.stack), dict(self.registers), dict(self.keys), self.sunk, self.due)

    def join(self, other: State, *, widen: bool) -> State:
        """What is known where control comes from either. Raises `DepthMismatch` and `Conflict`."""
        if len(self.stack) != len(other.stack):
            raise DepthMismatch(f"{len(self.stack)} or {len(other.stack)} values on the stack")
        sunk = self.sunk
        if sunk is not None and other.sunk is not None:
            sunk = sunk.join(other.sunk)
        elif sunk is not other.sunk:
            raise Conflict(one.begin for one in (sunk, other.sunk) if one is not None)
        return State(
            at_boundary([_join(one.kind, two.kind, widen) for one, two in zip(self.stack, other.stack, strict=True)]),
            _joined(self.registers, other.registers, widen),
            _joined(self.keys, other.keys, widen),
            sunk,
            self.due | other.due,
        )

    def learn(self, text: str, kind: Kind) -> None:
        """The value of this expression turned out to be of a kind: wherever it is."""
        if text.startswith("n"):
            self.registers[int(text[1:])] = kind
        if not text.isidentifier():
            return
        for depth, entry in enumerate(self.stack):
            if entry.text == text:
                self.stack[depth] = entry._replace(kind=kind)


def at_boundary(kinds: Sequence[Kind]) -> list[Entry]:
    """A stack at the beginning of a block."""
    return [Entry(f"s{depth}", kind) for depth, kind in enumerate(kinds)]


def _joined(one: dict[int, Kind], other: dict[int, Kind], widen: bool) -> dict[int, Kind]:
    return {slot: _join(kind, other[slot], widen) for slot, kind in one.items() if slot in other}


def _join(known: Kind, new: Kind, widen: bool) -> Kind:
    if known is new:
        return known
    joined = known.join(new)
    return joined.widen(known) if widen else joined
