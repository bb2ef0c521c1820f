"""Constant folding: what can be calculated beforehand is.

Only with data, by the same functions that the machine runs, and never where they fail: such code goes on failing when
it runs. Conditional jumps on a constant become jumps or nothing. Hashes and signatures are left alone: programs that
contain them are often there to do that work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..bytecode.program import stack_effect
from ..errors import ProzError
from ..runtime.operations import BINARY, UNARY, build_list, build_map, store_index
from ..values import ValueLimits, cells, truth
from .code import Code
from .constants import identity
from .graph import Instruction
from .rewriting import Piece, Reduction, rewrite

MAX_CELLS: Final = 16
"""Size of a new constant, in cells of 8 bytes, so that constants cannot outgrow the code that they replace."""
_FOLDED: Final = frozenset((*BINARY, *UNARY, Opcode.BUILD_LIST, Opcode.BUILD_MAP, Opcode.STORE_INDEX))


class _NotFolded:
    """Stands for no value at all: None is one. It has no `identity`."""


def fold_constants(code: Code) -> int:
    """Replace operations on constants by their results. Returns how many were."""
    return rewrite(code, (_operation, _branch))


def _operation(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    opcode, operand = pieces[-1].instruction
    if opcode not in _FOLDED:
        return None
    taken, _ = stack_effect(opcode, operand)
    values = _constants(code, pieces, taken)
    if values is None:
        return None
    result = _calculated(opcode, values, code.bounds.values)
    if identity(result) is None or cells(result) > MAX_CELLS:
        return None
    constant = code.constants.add(result)
    if constant is None:
        return None
    schedule = code.bounds.schedule
    saved = schedule.cost(opcode, operand, values, result) - schedule.base[opcode]
    return Reduction(taken + 1, (Instruction(Opcode.LOAD_CONST, constant),), saved)


def _branch(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    opcode, target = pieces[-1].instruction
    values = _constants(code, pieces, 1) if opcode is Opcode.JUMP_IF_FALSE else None
    if values is None:
        return None
    return Reduction(2, () if truth(values[0]) else (Instruction(Opcode.JUMP, target),))


def _constants(code: Code, pieces: Sequence[Piece], count: int) -> list[Any] | None:
    """What the `count` instructions before the last one load, None if one of them loads no plain constant."""
    if count >= len(pieces):
        return None
    loads = [piece.instruction for piece in pieces[len(pieces) - 1 - count : -1]]
    if any(opcode is not Opcode.LOAD_CONST or not code.constants.is_plain(index) for opcode, index in loads):
        return None
    return [code.constants.values[index] for _, index in loads]


def _calculated(opcode: Opcode, values: list[Any], limits: ValueLimits) -> Any:
    try:
        if opcode in BINARY:
            return BINARY[opcode](values[0], values[1], limits)
        if opcode in UNARY:
            return UNARY[opcode](values[0], limits)
        if opcode is Opcode.STORE_INDEX:
            return store_index(values[0], values[1], values[2], limits)
        return build_list(values, limits) if opcode is Opcode.BUILD_LIST else build_map(values, limits)
    except ProzError:
        return _NotFolded
