"""Value numbering of one block: which values are certainly the same.

Copy propagation and the elimination of common subexpressions walk over a block with it. Two values with one number are
the same value; nothing follows from two numbers. Values never change in place, so numbers stay right for ever, and only
what is known of names is forgotten when other code may run.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

from ..bytecode.opcodes import BINARY, UNARY, Opcode
from ..bytecode.program import stack_effect
from .code import Code
from .facts import FORGETTING
from .graph import Instruction

PURE: Final = frozenset(
    (
        *BINARY,
        Opcode.LOAD_CONST,
        Opcode.LOAD_NAME,
        *UNARY,
        Opcode.BUILD_LIST,
        Opcode.BUILD_MAP,
        Opcode.INDEX,
        Opcode.STORE_INDEX,
        Opcode.SLICE,
        Opcode.CONTAINS,
        Opcode.RANGE,
        Opcode.CLOSURE,  # closures of the same function and values are the same value
        Opcode.TO_BYTES,
        Opcode.HASH_BLOCK,
        Opcode.VERIFY_SIGNATURE,
        Opcode.MERKLE_ROOT,
        Opcode.INPUT,
        Opcode.CALLER,
        Opcode.ADDRESS,
        Opcode.VALUE,
        Opcode.BLOCK,
    )
)
"""The instructions that do nothing but make one value from those they take, the same one each time, or fail each time.

STATE_READ is not one of them: reading the state is seen by who keeps it. Nor is what cells hold the same for long.
"""


class Slot(NamedTuple):
    """A value on the stack."""

    number: int
    start: int | None
    """Where the pure instructions begin that make this value and nothing else; None where other ones are among them."""
    stop: int


class Numbering:
    """What is known while walking over one block, instruction by instruction."""

    def __init__(self, code: Code) -> None:
        self._code: Final = code
        self._stack: list[Slot] = []
        self._names: dict[Hashable, int] = {}
        self._numbers: dict[Hashable, int] = {}
        self._constants: dict[int, int] = {}
        self._count = 0

    def step(self, index: int) -> tuple[Slot, bool] | None:
        """Go on over instruction `index`. For a pure one: the value it makes, and whether that was made before."""
        instruction = self._code.instructions[index]
        opcode, operand = instruction
        taken, made = stack_effect(opcode, operand)
        if opcode in PURE:
            return self._make(index, instruction, self._take(taken))
        if opcode is Opcode.DUP:
            number = self.peek() or self._fresh()
            self._take(1)
            self._stack += [Slot(number, None, index), Slot(number, None, index)]
            return None
        values = self._take(taken)
        if opcode is Opcode.STORE_NAME:
            self._names[self._code.constants.name(operand)] = values[0].number if values else self._fresh()
        elif opcode is Opcode.STORE_CONST:
            self._names[self._code.constants.name(operand[0])] = self._constant(operand[1])
        elif opcode is Opcode.STORE_GLOBAL:  # in a function, the name may be one of its own as well
            self._names.pop(self._code.constants.name(operand), None)
        elif opcode in FORGETTING:
            self._names.clear()
        self._stack += [Slot(self._fresh(), None, index)] * made
        return None

    def peek(self, below: int = 0) -> int | None:
        """The number of the value `below` places under the top of the stack, None if nothing is known of it."""
        return self._stack[-1 - below].number if len(self._stack) > below else None

    def holds(self, name: int, number: int) -> bool:
        """Whether the name at constant `name` certainly holds the value of this number."""
        return self._names.get(self._code.constants.name(name)) == number

    def constant(self, number: int) -> int | None:
        """The index of a constant that is the value of this number, None if it is not known to be one."""
        return self._constants.get(number)

    def _make(self, index: int, instruction: Instruction, values: list[Slot] | None) -> tuple[Slot, bool]:
        if values is None:
            slot, known = Slot(self._fresh(), None, index + 1), False
        else:
            number, known = self._number(instruction, values)
            slot = Slot(number, _beginning(values, index), index + 1)
        self._stack.append(slot)
        return slot, known

    def _number(self, instruction: Instruction, values: list[Slot]) -> tuple[int, bool]:
        """The number of what a pure instruction makes of these values, and whether it has been made before."""
        opcode, operand = instruction
        constants = self._code.constants
        if opcode is Opcode.LOAD_CONST:
            before = self._count
            number = self._constant(operand)
            return number, number <= before
        if opcode is Opcode.LOAD_NAME:
            table, key = self._names, constants.name(operand)
        else:
            about = constants.first(operand) if opcode is Opcode.BLOCK else operand
            table, key = self._numbers, (opcode, about, *(value.number for value in values))
        if key in table:
            return table[key], True
        table[key] = self._fresh()
        return table[key], False

    def _take(self, count: int) -> list[Slot] | None:
        """The last `count` values, the deepest first; None if some of them are from before the block."""
        if count > len(self._stack):
            self._stack.clear()
            return None
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _fresh(self) -> int:
        self._count += 1
        return self._count

    def _constant(self, index: int) -> int:
        first = self._code.constants.first(index)
        key = (Opcode.LOAD_CONST, first)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._fresh()
            self._constants[number] = first
        return number


def _beginning(values: list[Slot], index: int) -> int | None:
    """Where the code for `values` begins if it reaches up to `index` without a gap; `index` if there are none."""
    end = index
    for value in reversed(values):
        if value.start is None or value.stop != end:
            return None
        end = value.start
    return end
