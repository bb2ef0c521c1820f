"""Strength reduction: cheaper arithmetic with the same result, on what is certainly an integer.

The type is proven by the facts, because ADD of a string with itself works and MUL of it by 2 fails. All results are
integers; division by 2 stays, since half of an integer is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..bytecode.opcodes import Opcode
from .code import Code
from .graph import Instruction
from .rewriting import Piece, Reduction, Rules, ends_with, rewrite

_DUP: Final = Instruction(Opcode.DUP)
_NEG: Final = Instruction(Opcode.NEG)
_POP: Final = Instruction(Opcode.POP)
_DOUBLE: Final = (_DUP, Instruction(Opcode.ADD))
_SQUARE: Final = (_DUP, Instruction(Opcode.MUL))
_NOTHING: Final[tuple[Instruction, ...]] = ()

_BY_CONSTANT: Final = {
    (Opcode.ADD, 0): _NOTHING,
    (Opcode.SUB, 0): _NOTHING,
    (Opcode.MUL, 1): _NOTHING,
    (Opcode.MUL, 2): _DOUBLE,
    (Opcode.MUL, -1): (_NEG,),
    (Opcode.DIV, 1): _NOTHING,
    (Opcode.DIV, -1): (_NEG,),
    (Opcode.POW, 1): _NOTHING,
    (Opcode.POW, 2): _SQUARE,
}
"""What to do with the integer on top of the stack instead of loading the constant and calculating with both."""
_TO_CONSTANT: Final = {(Opcode.MUL, 0): 0, (Opcode.MOD, 1): 0, (Opcode.MOD, -1): 0, (Opcode.POW, 0): 1}
"""Results that no integer changes."""
_EITHER_ORDER: Final = frozenset((Opcode.ADD, Opcode.MUL))


def reduce_strength(code: Code) -> int:
    """Apply the rules of this module everywhere. Returns how many times one did."""
    return rewrite(code, _RULES)


def _with_constant(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """An integer, LOAD_CONST k, operation."""
    if len(pieces) < 2:
        return None
    opcode = pieces[-1].instruction.opcode
    constant = _integer(code, pieces[-2].instruction)
    if constant is None or ((opcode, constant) not in _BY_CONSTANT and (opcode, constant) not in _TO_CONSTANT):
        return None
    if not code.facts(pieces[-2].origin).top_is_integer():
        return None
    replacement = _on_integer(code, opcode, constant)
    return None if replacement is None else Reduction(2, replacement)


def _constant_first(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """LOAD_CONST k, LOAD_NAME x, operation, where the order makes no difference."""
    if len(pieces) < 3 or pieces[-2].instruction.opcode is not Opcode.LOAD_NAME:
        return None
    opcode, load = pieces[-1].instruction.opcode, pieces[-2].instruction
    constant = _integer(code, pieces[-3].instruction)
    if opcode not in _EITHER_ORDER or constant is None or (opcode, constant) not in _BY_CONSTANT:
        return None
    if not code.facts(pieces[-3].origin).integer_names & code.constants.name_bit(load.operand):
        return None
    return Reduction(3, (load, *_BY_CONSTANT[opcode, constant]))


def _double_negation(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """NEG, NEG of an integer."""
    if not ends_with(pieces, Opcode.NEG, Opcode.NEG) or not code.facts(pieces[-2].origin).top_is_integer():
        return None
    return Reduction(2)


def _integer(code: Code, load: Instruction) -> int | None:
    """The integer that the instruction loads, None if it does anything else."""
    if load.opcode is not Opcode.LOAD_CONST:
        return None
    value = code.constants.values[load.operand]
    return value if type(value) is int else None


def _on_integer(code: Code, opcode: Opcode, constant: int) -> tuple[Instruction, ...] | None:
    """What to do with the integer on top of the stack; None where there is no room for a constant."""
    if (opcode, constant) in _BY_CONSTANT:
        return _BY_CONSTANT[opcode, constant]
    result = code.constants.add(_TO_CONSTANT[opcode, constant])
    return None if result is None else (_POP, Instruction(Opcode.LOAD_CONST, result))


_RULES: Final[Rules] = {
    **dict.fromkeys((opcode for opcode, _ in (*_BY_CONSTANT, *_TO_CONSTANT)), (_with_constant,)),
    **dict.fromkeys(_EITHER_ORDER, (_with_constant, _constant_first)),
    Opcode.NEG: (_double_negation,),
}
