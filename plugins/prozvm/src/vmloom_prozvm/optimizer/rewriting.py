"""Rewriting by rules on neighbouring instructions, as a parser reduces: in one sweep over each block.

A rule looks at the instructions last seen and may offer what to put in the place of some of them. What it puts there
can be part of the next match, so that nested patterns vanish in one sweep. Within a block nobody jumps between two
instructions, which is why rules need not think of jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ..bytecode.opcodes import Opcode
from .code import Code, Edit
from .graph import Block, Instruction


class Piece(NamedTuple):
    """An instruction of the new block."""

    instruction: Instruction
    origin: int | None
    """The index in the old code before which the same holds as before this one; None if there is none."""
    place: int
    """The index in the old code of the instruction that it is or stands for."""


class Reduction(NamedTuple):
    """What a rule offers: the last `taken` instructions become `replacement`."""

    taken: int
    replacement: tuple[Instruction, ...] = ()
    saved: int = 0
    """As for `Code.no_dearer`."""


Rule: TypeAlias = Callable[[Code, Sequence[Piece]], Reduction | None]
"""Given the block so far, never empty. `Code.facts` may be asked about the origin of a piece."""
Rules: TypeAlias = Mapping[Opcode, Sequence[Rule]]
"""The rules to try, by the opcode of the last instruction."""


def rewrite(code: Code, rules: Rules) -> int:
    """Apply `rules` to every block. Returns how many times one did; none ever makes code dearer."""
    edits = []
    total = 0
    for block in code.graph.blocks:
        pieces, count = _reduce(code, block, rules)
        if count:
            places = [piece.place for piece in pieces]
            edits.append(Edit(block.start, block.stop, [piece.instruction for piece in pieces], places))
            total += count
    code.apply(edits)
    return total


def _reduce(code: Code, block: Block, rules: Rules) -> tuple[list[Piece], int]:
    pieces: list[Piece] = []
    count = 0
    for index in range(block.start, block.stop):
        pieces.append(Piece(code.instructions[index], index, index))
        while pieces and (reduction := _match(code, pieces, rules)) is not None:
            taken, replacement, _ = reduction
            pieces[-taken:] = _replaced(pieces[-taken:], replacement)
            count += 1
    return pieces, count


def _replaced(old: Sequence[Piece], new: Sequence[Instruction]) -> list[Piece]:
    """Before the first of the new ones all is as before the first of the old; of the others nothing is known.

    What a rule only moves stays what it was; all else stands for the last of the old ones, the operation.
    """
    places = {id(piece.instruction): piece.place for piece in old}
    return [
        Piece(instruction, None if number else old[0].origin, places.get(id(instruction), old[-1].place))
        for number, instruction in enumerate(new)
    ]


def _match(code: Code, pieces: Sequence[Piece], rules: Rules) -> Reduction | None:
    for rule in rules.get(pieces[-1].instruction.opcode, ()):
        reduction = rule(code, pieces)
        if reduction is not None:
            old = [piece.instruction for piece in pieces[-reduction.taken :]]
            if code.no_dearer(old, reduction.replacement, reduction.saved):
                return reduction
    return None


def ends_with(pieces: Sequence[Piece], *opcodes: int) -> bool:
    """Whether the last instructions have these opcodes."""
    return len(pieces) >= len(opcodes) and all(
        piece.instruction.opcode is opcode for piece, opcode in zip(pieces[-len(opcodes) :], opcodes, strict=True)
    )
