"""What all parts of a writer of functions use: the text, what is known at this place, and how values are taken and put.

`sinking` and `codegen` build on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..bytecode.opcodes import OPERATIONS, Opcode, Operand
from ..gas import GasSchedule
from ..runtime.instructions import static_price
from .kinds import LIMB, Kind
from .state import State
from .text import Constants, Entry, Failure, Resume, Text


@dataclass(frozen=True, slots=True)
class Mode:
    """What the text is made for. Without `metered` no gas is counted; without `schedule` only GAS_CHARGE costs any."""

    metered: bool
    schedule: GasSchedule | None
    strict: bool
    depth: int
    """Calls within each other at which generated functions leave further ones to the interpreter."""

    @property
    def priced(self) -> bool:
        """Whether sizes of values cost gas."""
        return self.metered and self.schedule is not None


class Emitter:
    """Writes the lines of one function, instruction by instruction."""

    def __init__(self, mode: Mode, constants: Constants) -> None:
        self._mode: Final = mode
        self._constants: Final = constants
        self._text = Text()
        self._state = State([], {})
        self._at = 0
        """The instruction that is written."""
        self._refund = 0
        self._before: list[Entry] = []
        self._writes: tuple[tuple[int, bool], ...] | None = None
        self._resume: Resume | None = None

    def _arrive(self, refund: int) -> None:
        """Remember what there is before the instruction, of which `refund` gas was charged in advance."""
        self._refund = refund
        self._before = list(self._state.stack)
        self._writes = None if self._state.sunk is None else self._state.sunk.writes
        self._resume = None

    @property
    def _here(self) -> Resume:
        """How the interpreter goes on before the instruction."""
        if self._resume is None:
            stack = tuple([entry.item for entry in self._before])
            self._resume = Resume(self._at, self._refund, stack, writes=self._writes)
        return self._resume

    @_here.setter
    def _here(self, resume: Resume) -> None:
        self._resume = resume

    def _price(self, opcode: Opcode, operand: Any) -> int:
        """Gas of an instruction that is known now."""
        return static_price(opcode, operand, self._mode.schedule) if self._mode.metered else 0

    def _pop(self, count: int) -> list[Entry]:
        stack = self._state.stack
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return taken

    def _push(self, kind: Kind) -> str:
        """A variable for the result of this instruction, which is now on the stack."""
        name = f"t{self._at}"
        self._state.stack.append(Entry(name, kind))
        return name

    def _pure(self, opcode: Opcode, operand: Any, kind: Kind) -> None:
        """Let the interpreter's own instruction make a value: one that changes nothing, and can be run again."""
        arguments = ", ".join(entry.text for entry in self._pop(taken_by(opcode, operand)))
        known = self._constants.entry(operand).text
        if self._mode.metered:
            text = f"gas = pure(m, gas, i_{opcode.name}, {known}, [{arguments}])"
            self._text.line(f"{self._push(kind)}, {text}", self._here)
        else:
            text = f"step(m, i_{opcode.name}, {known}, [{arguments}])"
            self._text.line(f"{self._push(kind)} = {text}", self._here)

    def _final(self, opcode: Opcode, operand: Any) -> Resume:
        """For a line that does what cannot be done twice: when it raises, the instruction has failed."""
        refund = self._here.refund - self._price(opcode, operand)
        return self._here._replace(refund=refund, stack=(), failure=Failure.FINAL)


def taken_by(opcode: Opcode, operand: Any) -> int:
    """How many values an instruction, with its operand decoded, takes from the stack."""
    form = OPERATIONS[opcode]
    if opcode is Opcode.BUILD_MAP:
        return 2 * int(operand)
    if form.operand is Operand.COUNT:
        return form.pops + int(operand)
    if form.operand in (Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT):
        return form.pops + int(operand[1])
    return form.pops


def in_limb(text: str, kind: Kind) -> str:
    """The condition that an integer of this kind has one limb."""
    if kind.above(-LIMB):
        return f"{text} <= {LIMB}"
    if kind.below(LIMB):
        return f"{text} >= -{LIMB}"
    return f"-{LIMB} <= {text} <= {LIMB}"


def is_limb(entry: Entry) -> Iterator[str]:
    """The conditions, to be joined by `and`, that a value is an integer of one limb."""
    if not entry.kind.is_int:
        yield f"type({entry.text}) is int"
    if not entry.kind.is_limb:
        yield in_limb(entry.text, entry.kind)
