"""Peephole optimization: short sequences that do nothing, or nothing that lasts.

An instruction that could fail stays: LOAD_NAME goes only where the name is certainly bound, DUP only where the stack
certainly has a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..bytecode.opcodes import Opcode
from .code import Code, Edit
from .graph import JUMPS, Instruction
from .rewriting import Piece, Reduction, Rules, ends_with, rewrite

_POP: Final = Instruction(Opcode.POP)
_STORES: Final = frozenset((Opcode.STORE_NAME, Opcode.STORE_CONST))


def simplify_sequences(code: Code) -> int:
    """Apply the rules of this module everywhere. Returns how many times one did."""
    return rewrite(code, _RULES) + _remove_jumps_to_the_next(code)


def _push_and_pop(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """A value that is dropped at once."""
    if len(pieces) < 2:
        return None
    opcode, operand = pieces[-2].instruction
    facts = code.facts(pieces[-2].origin) if opcode in (Opcode.DUP, Opcode.LOAD_NAME) else None
    useless = opcode is Opcode.LOAD_CONST
    if facts is not None:
        useless = facts.low > 0 if opcode is Opcode.DUP else bool(facts.bound & code.constants.name_bit(operand))
    return Reduction(2) if useless else None


def _keep_and_pop(_: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """DUP, STORE_NAME x, POP: the copy is for nothing."""
    if not ends_with(pieces, Opcode.DUP, Opcode.STORE_NAME, Opcode.POP):
        return None
    return Reduction(3, (pieces[-2].instruction,))


def _load_and_store(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """LOAD_NAME x, STORE_NAME x: only of a name bound in this frame, since else it would copy a global."""
    if not ends_with(pieces, Opcode.LOAD_NAME, Opcode.STORE_NAME):
        return None
    bit = code.constants.name_bit(pieces[-2].instruction.operand)
    if bit != code.constants.name_bit(pieces[-1].instruction.operand):
        return None
    return Reduction(2) if code.facts(pieces[-2].origin).bound & bit else None


def _store_twice(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """Of two stores in one name, the first is for nothing."""
    if len(pieces) < 2 or pieces[-2].instruction.opcode not in _STORES:
        return None
    first, second = pieces[-2].instruction, pieces[-1].instruction
    if _stored(code, first) != _stored(code, second):
        return None
    return Reduction(2, (second,) if first.opcode is Opcode.STORE_CONST else (_POP, second))


def _stored(code: Code, store: Instruction) -> object:
    return code.constants.name(store.operand if store.opcode is Opcode.STORE_NAME else store.operand[0])


def _double_negation(_: Code, pieces: Sequence[Piece]) -> Reduction | None:
    """NOT, NOT before a jump that only asks whether the value is true."""
    if not ends_with(pieces, Opcode.NOT, Opcode.NOT, Opcode.JUMP_IF_FALSE):
        return None
    return Reduction(3, (pieces[-1].instruction,))


_RULES: Final[Rules] = {
    Opcode.POP: (_push_and_pop, _keep_and_pop),
    Opcode.STORE_NAME: (_load_and_store, _store_twice),
    Opcode.STORE_CONST: (_store_twice,),
    Opcode.JUMP_IF_FALSE: (_double_negation,),
}


def _remove_jumps_to_the_next(code: Code) -> int:
    """Both ways lead to the next instruction: a jump is nothing, a conditional one drops the condition."""
    edits = []
    for index, instruction in enumerate(code.instructions):
        if instruction.opcode in JUMPS and instruction.operand == index + 1:
            replacement = () if instruction.opcode is Opcode.JUMP else (_POP,)
            if code.no_dearer([instruction], replacement):
                edits.append(Edit(index, index + 1, replacement))
    code.apply(edits)
    return len(edits)
