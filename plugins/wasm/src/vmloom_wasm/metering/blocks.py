"""Splits code into metered blocks: straight lines that are paid for at once.

Called by `instrument`. Code that is never reached (after an unconditional branch, up to the next `else` or `end` of
its block) is in no block. Takes code that the validator of the engine accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vmloom.errors import ProhibitedOpcode

from ..binary.code import Instruction
from ..binary.opcodes import OPCODES
from .costs import WasmGasCosts

UNREACHABLE, BLOCK, LOOP, IF, ELSE, END, BR, BR_TABLE, RETURN = 0x00, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0E, 0x0F

_OPENING = frozenset((BLOCK, LOOP, IF))
_DIVERTING = frozenset((UNREACHABLE, BR, BR_TABLE, RETURN))


class Block(NamedTuple):
    """Instructions that run one after another, or up to one that traps."""

    begin: int
    """Where the first one begins in the code."""
    last: int
    """Where the last one begins."""
    cost: int
    """The sum of their fixed prices, in units of the table."""


def blocks(code: Iterable[Instruction], costs: WasmGasCosts) -> Iterator[Block]:
    """Yield the metered blocks of a function in the order of the code, those that cost nothing too.

    Raises:
        ProhibitedOpcode: an instruction that the table can not price, reached or not.
    """
    begin = cost = 0
    unreached = 0  # how many blocks are open since the last unconditional branch; 0 where code is reached
    for instruction in code:
        opcode = instruction.code
        try:
            price = costs.of(opcode)
        except KeyError:
            raise ProhibitedOpcode(f"{OPCODES[opcode].name} can not be metered", offset=instruction.at) from None
        if unreached:
            unreached = _still_unreached(unreached, opcode)
            begin, cost = instruction.end, 0
            continue
        cost += price
        if opcode in costs.ends or (opcode == UNREACHABLE and costs.pays_ahead):
            yield Block(begin, instruction.begin, cost)
            begin, cost = instruction.end, 0
        if opcode in _DIVERTING:
            unreached = 1


def _still_unreached(unreached: int, opcode: int) -> int:
    """How many blocks are open since the last unconditional branch, after `opcode`."""
    if opcode in _OPENING:
        return unreached + 1
    if opcode == END:
        return unreached - 1
    return 0 if opcode == ELSE and unreached == 1 else unreached
