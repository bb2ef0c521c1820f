"""What is known where a block of a function begins: the stack and the registers, by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .kinds import Kind
from .text import Entry


class DepthMismatch(Exception):
    """Two paths to an instruction bring stacks of different depths. Verified code has none of it."""


@dataclass(slots=True)
class State:
    """The stack, the deepest first, and the kind of every register that has a value for certain.

    At the beginning of a block the stack's values are in the variables `s0`, `s1` and so on.
    """

    stack: list[Entry]
    registers: dict[int, Kind]

    def copy(self) -> State:
        """One that can be changed apart from this one."""
        return State(list(self.stack), dict(self.registers))

    def join(self, other: State, *, widen: bool) -> State:
        """What is known where control comes from either. Raises `DepthMismatch`."""
        if len(self.stack) != len(other.stack):
            raise DepthMismatch(f"{len(self.stack)} or {len(other.stack)} values on the stack")
        return State(
            at_boundary([_join(one.kind, two.kind, widen) for one, two in zip(self.stack, other.stack, strict=True)]),
            {
                slot: _join(kind, other.registers[slot], widen)
                for slot, kind in self.registers.items()
                if slot in other.registers
            },
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


def _join(known: Kind, new: Kind, widen: bool) -> Kind:
    joined = known.join(new)
    return joined.widen(known) if widen else joined
