"""Common subexpression elimination: what a block has calculated already is taken from where it is.

A calculation is a run of pure instructions that makes one value from names and constants. Where the same one was done
before in the block, and its value is on top of the stack or in a name, it becomes DUP or LOAD_NAME. It would not have
failed: it did not the first time, on the same values.
"""

from __future__ import annotations

from ..bytecode.opcodes import Opcode
from .code import Code, Edit
from .graph import Block, Instruction
from .numbering import Numbering, Slot


def eliminate_common_subexpressions(code: Code) -> int:
    """Replace repeated calculations. Returns how many were."""
    edits = [edit for block in code.graph.blocks for edit in _edits(code, block)]
    code.apply(edits)
    return len(edits)


def _edits(code: Code, block: Block) -> list[Edit]:
    edits: list[Edit] = []
    numbering = Numbering(code)
    holders: dict[int, int] = {}  # number of a value -> a constant that is a name which has held it
    for index in range(block.start, block.stop):
        opcode, operand = code.instructions[index]
        stored = numbering.peek()
        made = numbering.step(index)
        if opcode is Opcode.STORE_NAME and stored is not None:
            holders[stored] = operand
        if made is None or not made[1] or made[0].start is None or made[0].start == index:
            continue
        edit = _replacement(code, numbering, made[0], holders)
        if edit is not None:
            while edits and edits[-1].start >= edit.start:
                edits.pop()  # a part of this calculation
            edits.append(edit)
    return edits


def _replacement(code: Code, numbering: Numbering, value: Slot, holders: dict[int, int]) -> Edit | None:
    assert value.start is not None
    old = code.instructions[value.start : value.stop]
    ways = []
    if numbering.peek(1) == value.number:
        ways.append(Instruction(Opcode.DUP))
    name = holders.get(value.number)
    if name is not None and numbering.holds(name, value.number):
        ways.append(Instruction(Opcode.LOAD_NAME, name))
    for way in ways:
        if code.no_dearer(old, [way]):
            return Edit(value.start, value.stop, (way,))
    return None
