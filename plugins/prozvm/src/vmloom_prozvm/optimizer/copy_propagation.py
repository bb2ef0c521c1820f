"""Copy propagation: a value that is at hand is not loaded from where it was put.

STORE_NAME x, LOAD_NAME x becomes DUP, STORE_NAME x. This holds one value more for one instruction, so it is done only
where the stack certainly has room. A name that certainly holds a constant is replaced by it, within a block and as long
as no other code runs. Stores stay: functions, tasks and the host may read the name.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..bytecode.opcodes import Opcode
from .code import Code, Edit
from .graph import Instruction
from .numbering import Numbering
from .rewriting import Piece, Reduction, ends_with, rewrite


def propagate_copies(code: Code) -> int:
    """Apply both rules everywhere. Returns how many loads of names went."""
    return _load_constants(code) + rewrite(code, {Opcode.LOAD_NAME: (_store_and_load,)})


def _store_and_load(code: Code, pieces: Sequence[Piece]) -> Reduction | None:
    if not ends_with(pieces, Opcode.STORE_NAME, Opcode.LOAD_NAME):
        return None
    store, load = pieces[-2].instruction, pieces[-1].instruction
    if code.constants.name(store.operand) != code.constants.name(load.operand):
        return None
    if code.facts(pieces[-2].origin).high + 1 > code.stack_bound:
        return None
    return Reduction(2, (Instruction(Opcode.DUP), store))


def _load_constants(code: Code) -> int:
    edits = []
    for block in code.graph.blocks:
        numbering = Numbering(code)
        for index in range(block.start, block.stop):
            made = numbering.step(index)
            instruction = code.instructions[index]
            if made is None or instruction.opcode is not Opcode.LOAD_NAME:
                continue
            constant = numbering.constant(made[0].number)
            if constant is not None:
                load = Instruction(Opcode.LOAD_CONST, constant)
                if code.no_dearer([instruction], [load]):
                    edits.append(Edit(index, index + 1, (load,)))
    code.apply(edits)
    return len(edits)
