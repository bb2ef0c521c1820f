"""The code that passes work on, and the one place where it is changed.

A pass looks at `instructions`, `graph` and `facts`, and hands `apply` what to replace. Jumps are retargeted there and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

from ..bytecode.opcodes import OPERATIONS, Opcode, Operand
from ..gas import GasSchedule
from ..values import ValueLimits
from .constants import ConstantPool
from .facts import UNKNOWN, Analysis, Facts
from .graph import JUMPS, ControlFlow, Instruction


class Bounds(NamedTuple):
    """What the machine that will run the code allows and charges; changes stay within it."""

    schedule: GasSchedule
    values: ValueLimits
    constants: int
    """of one body of code"""
    stack: int
    """values on the stack of one frame, which a change may use although the given code does not"""


class Edit(NamedTuple):
    """Put `replacement` where instructions `start` up to `stop` (not included) are. Its jumps name old indices."""

    start: int
    stop: int
    replacement: Sequence[Instruction] = ()
    places: Sequence[int] | None = None
    """For each instruction of `replacement` the old index of the one that it is or stands for: where it fails, that one
    would have failed. None if that is the last one replaced, for all of them."""


class Code:
    """One body of code: a program's or a function's."""

    def __init__(
        self,
        instructions: Iterable[Instruction],
        constants: Iterable[Any],
        bounds: Bounds,
        parameters: Iterable[str] = (),
    ) -> None:
        self.instructions = list(instructions)
        self.origins: list[int] = list(range(len(self.instructions) + 1))
        """The index that each instruction had at first, and last how many there were."""
        self.constants: Final = ConstantPool(constants, bounds.constants)
        self.bounds: Final = bounds
        self.parameters: Final = frozenset(parameters)

    @classmethod
    def read(
        cls, instructions: Iterable[Any], constants: Sequence[Any], bounds: Bounds, parameters: Iterable[str] = ()
    ) -> Self | None:
        """Code from pairs of an opcode's name and an operand, or None where one of them has not the right form.

        Such code fails when it is loaded, and must go on doing so: it is left as it is.
        """
        read = []
        given = list(instructions)
        for pair in given:
            if not isinstance(pair, tuple) or len(pair) != 2:
                return None
            opcode = _opcode(pair[0])
            if opcode is None or not _is_operand(OPERATIONS[opcode].operand, pair[1], len(constants), len(given)):
                return None
            read.append(Instruction(opcode, pair[1]))
        return cls(read, constants, bounds, parameters)

    def written(self) -> list[tuple[str, Any]]:
        """The instructions as `Bytecode` has them: pairs of a name and an operand."""
        return [(opcode.name, operand) for opcode, operand in self.instructions]

    @cached_property
    def graph(self) -> ControlFlow:
        """The control flow of the code as it is now."""
        return ControlFlow(self.instructions)

    @cached_property
    def analysis(self) -> Analysis:
        """What is known of the code as it is now; `facts` asks it."""
        parameters = sum(map(self.constants.text_bit, self.parameters))
        return Analysis(self.instructions, self.graph, self.constants, parameters)

    @cached_property
    def stack_bound(self) -> int:
        """How deep a change may make the stack: as deep as the code first seen, or what every machine allows."""
        return max(self.bounds.stack, self.analysis.peak())

    def facts(self, index: int | None) -> Facts:
        """What is known whenever instruction `index` is about to run; nothing, if None."""
        return UNKNOWN if index is None else self.analysis.before(index)

    def no_dearer(self, old: Iterable[Instruction], new: Iterable[Instruction], saved: int = 0) -> bool:
        """Whether what is known beforehand of the price of `new` is at most that of `old`.

        `saved` is gas that `old` certainly costs because of the sizes of values, and `new` does not.
        """
        return sum(map(self._price, new)) <= sum(map(self._price, old)) + saved

    def _price(self, instruction: Instruction) -> int:
        opcode, operand = instruction
        schedule = self.bounds.schedule
        if opcode is Opcode.LOAD_CONST or opcode is Opcode.STORE_CONST:
            index = operand if opcode is Opcode.LOAD_CONST else operand[1]
            return schedule.base[opcode] + schedule.constant_cell * (self.constants.cells(index) - 1)
        return schedule.base[opcode]

    def apply(self, edits: Sequence[Edit]) -> None:
        """Make the changes, in ascending order and apart from one another, and retarget every jump.

        A jump to the first instruction of an edit goes to what replaces it, or to what follows. Raises `ValueError`
        for an edit with a target behind its first instruction: nobody could say where such a jump should go.
        """
        if not edits:
            return
        moved: list[int] = []
        result: list[Instruction] = []
        origins: list[int] = []
        for start, stop, replacement, places in edits:
            if start < len(moved) or stop <= start:
                raise ValueError(f"edit {start} to {stop} is empty or overlaps the one before")
            if any(index in self.graph.targets for index in range(start + 1, stop)):
                raise ValueError(f"a jump leads into the middle of {start} to {stop}")
            self._keep(start, moved, result, origins)
            moved.extend([len(result)] * (stop - start))
            result.extend(replacement)
            origins.extend(self.origins[place] for place in places or [stop - 1] * len(replacement))
        self._keep(len(self.instructions), moved, result, origins)
        moved.append(len(result))
        self.origins = [*origins, self.origins[-1]]
        self.instructions = [
            Instruction(opcode, moved[operand]) if opcode in JUMPS else Instruction(opcode, operand)
            for opcode, operand in result
        ]
        self._forget()

    def _keep(self, stop: int, moved: list[int], result: list[Instruction], origins: list[int]) -> None:
        """Take over, unchanged, what lies between the last edit and `stop`."""
        begin = len(moved)
        moved.extend(range(len(result), len(result) + stop - begin))
        result.extend(self.instructions[begin:stop])
        origins.extend(self.origins[begin:stop])

    def _forget(self) -> None:
        """Drop what was derived from the code before the change, all but the bound of the stack, which stays valid."""
        self.__dict__.pop("graph", None)
        self.__dict__.pop("analysis", None)


def _opcode(name: Any) -> Opcode | None:
    if isinstance(name, Opcode):
        return name
    return Opcode.__members__.get(name) if isinstance(name, str) else None


def _is_operand(form: Operand, given: Any, constants: int, instructions: int) -> bool:
    """Whether `given` has the form: indices exist, numbers are not negative. Kinds of constants do not matter."""
    match form:
        case Operand.NONE:
            return given is None
        case Operand.CONSTANT | Operand.NAME:
            return _is_number(given, constants)
        case Operand.TARGET:
            return _is_number(given, instructions + 1)
        case Operand.COUNT | Operand.AMOUNT:
            return _is_number(given, 1 << 63)
    if not isinstance(given, tuple) or len(given) != 2 or not _is_number(given[0], constants):
        return False
    return _is_number(given[1], constants if form is Operand.NAME_AND_CONSTANT else 1 << 63)


def _is_number(given: Any, bound: int) -> bool:
    return type(given) is int and 0 <= given < bound
