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
from ..runtime.operations import BINARY, TERNARY, UNARY, build_list, build_map
from ..values import ValueLimits, cells, truth
from .code import Code
from .constants import identity
from .graph import Instruction
from .rewriting import Piece, Reduction, Rules, rewrite

MAX_CELLS: Final = 16
"""Size of a new constant, in cells of 8 bytes, so that constants cannot outgrow the code that they replace."""
MAX_TAKEN: Final = 256
"""Cells of all constants that are calculated with: it bounds the time for operations whose results are not used."""
_FOLDED: Final = frozenset((*BINARY, *UNARY, *TERNARY, Opcode.BUILD_LIST, Opcode.BUILD_MAP))


class _NotFolded:
    """Stands for no value at all: None is one. It has no `identity`."""


def fold_constants(code: Code) -> int:
    """Replace operations on constants by their results. Returns how many were."""
    return rewrite(code, _RULES)


def _operation(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    opcode, operand = pieces[-1].instruction
    if opcode not in _FOLDED:
        return None
    taken, _ = stack_effect(opcode, operand)
    indices = _constants(code, pieces, taken)
    if indices is None or sum(map(code.constants.cells, indices)) > MAX_TAKEN:
        return None
    values = [code.constants.values[index] for index in indices]
    if not _is_quick(opcode, values):
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
    indices = _constants(code, pieces, 1) if opcode is Opcode.JUMP_IF_FALSE else None
    if indices is None:
        return None
    return Reduction(2, () if truth(code.constants.values[indices[0]]) else (Instruction(Opcode.JUMP, target),))


def _constants(code: Code, pieces: Sequence[Piece], count: int) -> list[int] | None:
    """The constants that the `count` instructions before the last one load, None if one loads no plain constant."""
    if count >= len(pieces):
        return None
    loads = [piece.instruction for piece in pieces[len(pieces) - 1 - count : -1]]
    if any(opcode is not Opcode.LOAD_CONST or not code.constants.is_plain(index) for opcode, index in loads):
        return None
    return [index for _, index in loads]


def _is_quick(opcode: Opcode, values: list[Any]) -> bool:
    """Whether the result is not large for what it is made of: integers can announce more than one wants to make."""
    if opcode is not Opcode.RANGE and opcode is not Opcode.TO_BYTES:
        return True
    begin = values[0] if opcode is Opcode.RANGE else 0
    return type(begin) is not int or type(values[1]) is not int or values[1] - begin <= 8 * MAX_CELLS


def _calculated(opcode: Opcode, values: list[Any], limits: ValueLimits) -> Any:
    try:
        if opcode in BINARY:
            return BINARY[opcode](values[0], values[1], limits)
        if opcode in UNARY:
            return UNARY[opcode](values[0], limits)
        if opcode in TERNARY:
            return TERNARY[opcode](values[0], values[1], values[2], limits)
        return build_list(values, limits) if opcode is Opcode.BUILD_LIST else build_map(values, limits)
    except ProzError:
        return _NotFolded


_RULES: Final[Rules] = {**dict.fromkeys(_FOLDED, (_operation,)), Opcode.JUMP_IF_FALSE: (_branch,)}
