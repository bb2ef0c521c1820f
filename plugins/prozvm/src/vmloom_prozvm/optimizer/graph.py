"""Where control goes: blocks, jump targets and what can be reached.

Used by every pass, through `Code.graph`. It describes one state of the code and is made anew after each change.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from ..bytecode.opcodes import ENDING, Opcode

JUMPS: Final = frozenset((Opcode.JUMP, Opcode.JUMP_IF_FALSE))
"""The instructions whose operand is the index of another."""


class Instruction(NamedTuple):
    """One instruction: its opcode, and an operand as `bytecode.opcodes.Operand` describes it."""

    opcode: Opcode
    operand: Any = None


class Block(NamedTuple):
    """Instructions `start` up to `stop` (not included): entered at the first only, left after the last only."""

    start: int
    stop: int


class ControlFlow:
    """The control-flow graph of `instructions`. A target equal to their number is the end of the code."""

    targets: Final[frozenset[int]]
    """Every index that some jump names, reachable or not."""
    blocks: Final[tuple[Block, ...]]
    """In the order of the code; together they are all of it."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._instructions = instructions
        self.targets = frozenset(operand for opcode, operand in instructions if opcode in JUMPS)
        self.blocks = self._split()

    def _split(self) -> tuple[Block, ...]:
        end = len(self._instructions)
        starts = {0, *self.targets}
        for index, (opcode, _) in enumerate(self._instructions):
            if opcode in JUMPS or opcode in ENDING:
                starts.add(index + 1)
        ordered = sorted(index for index in starts if index < end)
        return tuple(Block(start, stop) for start, stop in pairwise([*ordered, end]))

    def successors(self, index: int) -> tuple[int, ...]:
        """The indices that may run after instruction `index`; the end of the code is one."""
        opcode, operand = self._instructions[index]
        if opcode is Opcode.JUMP:
            return (operand,)
        if opcode is Opcode.JUMP_IF_FALSE:
            return (index + 1, operand)
        return () if opcode in ENDING else (index + 1,)

    def reachable_blocks(self) -> list[Block]:
        """The blocks that some path from the first instruction enters, in the order of the code."""
        by_start = {block.start: block for block in self.blocks}
        seen: set[int] = set()
        waiting = [0]
        while waiting:
            start = waiting.pop()
            if start in seen or start not in by_start:
                continue
            seen.add(start)
            waiting.extend(self.successors(by_start[start].stop - 1))
        return [block for block in self.blocks if block.start in seen]
