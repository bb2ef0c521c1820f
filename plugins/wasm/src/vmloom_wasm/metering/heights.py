"""How many words a function's frame takes: a number that depends on the module only, not on its compiler.

Called by `instrument`. Follows the heights of the operand stack as validation does (Core specification 2.0, appendix
"Validation Algorithm"), without the types; takes code that the validator of the engine accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..binary.code import Instruction
from ..binary.module import FunctionType, Kind, Module
from ..binary.opcodes import OPCODES
from .blocks import BLOCK, BR, BR_TABLE, ELSE, END, IF, LOOP, RETURN, UNREACHABLE

_BR_IF, _CALL, _CALL_INDIRECT = 0x0D, 0x10, 0x11
_EMPTY_BLOCK = -64

# Operands and results of what has no fixed types: `drop`, `select`, variables, tables, references.
_UNTYPED = {
    _BR_IF: (1, 0),
    0x1A: (1, 0),
    0x1B: (3, 1),
    0x1C: (3, 1),
    0x20: (0, 1),
    0x21: (1, 0),
    0x22: (1, 1),
    0x23: (0, 1),
    0x24: (1, 0),
    0x25: (1, 1),
    0x26: (2, 0),
    0xD0: (0, 1),
    0xD1: (1, 1),
    0xD2: (0, 1),
    0xFC0F: (2, 1),
    0xFC11: (3, 0),
}
_EFFECTS: Mapping[int, tuple[int, int]] = {
    code: (len(opcode.pops), len(opcode.pushes))
    for code, opcode in OPCODES.items()
    if opcode.pops is not None and opcode.pushes is not None
} | _UNTYPED


class _Open(NamedTuple):
    """A block that is open: the height below its operands, and how many operands and results it has."""

    base: int
    params: int
    results: int


class Signatures:
    """The types of a module's functions, imported ones first."""

    def __init__(self, module: Module) -> None:
        self.types = module.types
        imported = (entry.description for entry in module.imported(Kind.FUNCTION))
        self.functions = (*(index for index in imported if isinstance(index, int)), *module.functions)
        self.imported = len(self.functions) - len(module.functions)

    def of_function(self, index: int) -> FunctionType:
        """The type of a function, by its index."""
        return self.types[self.functions[index]]

    def of_block(self, block_type: int) -> tuple[int, int]:
        """How many operands and results a block with this immediate has."""
        if block_type >= 0:
            return len(self.types[block_type].params), len(self.types[block_type].results)
        return 0, int(block_type != _EMPTY_BLOCK)

    def effect(self, instruction: Instruction) -> tuple[int, int]:
        """How many operands an instruction that opens, closes and leaves no block takes, and how many it gives."""
        if instruction.code == _CALL:
            called = self.of_function(instruction.immediates[0])
            return len(called.params), len(called.results)
        if instruction.code == _CALL_INDIRECT:
            called = self.types[instruction.immediates[0]]
            return len(called.params) + 1, len(called.results)
        return _EFFECTS[instruction.code]


def highest(code: Iterable[Instruction], signatures: Signatures, results: int) -> int:
    """The largest number of operands on the stack at any place of a function with this many `results`.

    In code that is never reached, operands that are not there are taken as given: its height counts too, so that
    no analysis of what is reached can change the result.
    """
    open_blocks = [_Open(0, 0, results)]
    height = peak = 0
    for instruction in code:
        opcode = instruction.code
        current = open_blocks[-1]
        if opcode in (BLOCK, LOOP, IF):
            params, block_results = signatures.of_block(instruction.immediates[0])
            base = max(current.base, height - params - (opcode == IF))
            open_blocks.append(_Open(base, params, block_results))
            height = base + params
        elif opcode == ELSE:
            height = current.base + current.params
        elif opcode == END:
            height = current.base + current.results
            open_blocks.pop()
        elif opcode in (UNREACHABLE, BR, BR_TABLE, RETURN):
            height = current.base
        else:
            taken, given = signatures.effect(instruction)
            height = max(current.base, height - taken) + given
        peak = max(peak, height)
    return peak
