"""Instruction combining: a constant that is stored in a name takes one instruction, STORE_CONST."""

from __future__ import annotations

from collections.abc import Sequence

from ..bytecode.opcodes import Opcode
from .code import Code
from .graph import Instruction
from .rewriting import Piece, Reduction, ends_with, rewrite


def combine_instructions(code: Code) -> int:
    """Make STORE_CONST where that is possible. Returns how many were made."""
    return rewrite(code, {Opcode.STORE_NAME: (_store_constant, _store_and_keep_constant)})


def _store_constant(_: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """LOAD_CONST k, STORE_NAME x."""
    if not ends_with(pieces, Opcode.LOAD_CONST, Opcode.STORE_NAME):
        return None
    constant, name = pieces[-2].instruction.operand, pieces[-1].instruction.operand
    return Reduction(2, (Instruction(Opcode.STORE_CONST, (name, constant)),))


def _store_and_keep_constant(_: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """LOAD_CONST k, DUP, STORE_NAME x: the constant stays on the stack."""
    if not ends_with(pieces, Opcode.LOAD_CONST, Opcode.DUP, Opcode.STORE_NAME):
        return None
    load, name = pieces[-3].instruction, pieces[-1].instruction.operand
    return Reduction(3, (Instruction(Opcode.STORE_CONST, (name, load.operand)), load))
