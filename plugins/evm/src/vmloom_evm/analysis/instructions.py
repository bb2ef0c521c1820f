"""Code as a list of instructions, with the places where it divides into blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..table import OpKind, OpRow

STOP: Final = 0x00
EQ: Final = 0x14
JUMP: Final = 0x56
JUMPI: Final = 0x57
JUMPDEST: Final = 0x5B
PUSH0: Final = 0x5F
PUSH4: Final = 0x63
PUSH32: Final = 0x7F
ENDING: Final = frozenset((STOP, JUMP, 0xF3, 0xFD, 0xFE, 0xFF))
"""STOP, JUMP, RETURN, REVERT, INVALID, SELFDESTRUCT: the next instruction does not run next."""


class Item(NamedTuple):
    """An instruction at byte `offset`. `row` is None for a byte that is none, which ends the run; `value` is pushed."""

    offset: int
    code: int
    row: OpRow | None
    value: int | None

    @property
    def size(self) -> int:
        """bytes"""
        return 1 + (self.row.immediate if self.row is not None else 0)

    @property
    def is_end(self) -> bool:
        """Whether nothing runs after it without a jump."""
        return self.row is None or self.code in ENDING


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions `first` up to `last`, not included, that run one after the other."""

    first: int
    last: int


class Listing:
    """The instructions of `code` by `rows`, their blocks, and where jumps may go."""

    def __init__(self, code: bytes, rows: Mapping[int, OpRow]) -> None:
        self.code: Final = code
        self.items: Final = list(_read(code, rows))
        self.blocks: Final = list(_blocks(self.items))
        self.block_at: Final = {self.items[block.first].offset: number for number, block in enumerate(self.blocks)}
        """Number of the block that begins at an offset."""
        self.destinations: Final = {item.offset for item in self.items if item.code == JUMPDEST and item.row}

    def of(self, block: Block) -> Sequence[Item]:
        """Its instructions."""
        return self.items[block.first : block.last]

    def start(self, block: Block) -> int:
        """Its first byte."""
        return self.items[block.first].offset

    def end(self, block: Block) -> int:
        """The byte behind it, within the code."""
        last = self.items[block.last - 1]
        return min(last.offset + last.size, len(self.code))


def _read(code: bytes, rows: Mapping[int, OpRow]) -> list[Item]:
    items = []
    offset = 0
    while offset < len(code):
        row = rows.get(code[offset])
        value = None
        size = 1
        if row is not None and row.kind is OpKind.PUSH:
            size += row.immediate
            data = code[offset + 1 : offset + size]
            value = int.from_bytes(data.ljust(row.immediate, b"\0"), "big")  # beyond the end there are zeros
        elif row is not None:
            size += row.immediate
        items.append(Item(offset, code[offset], row, value))
        offset += size
    return items


def _blocks(items: Sequence[Item]) -> list[Block]:
    blocks = []
    first = 0
    for number, item in enumerate(items):
        following = number + 1
        if item.is_end or item.code == JUMPI or (following < len(items) and items[following].code == JUMPDEST):
            blocks.append(Block(first, following))
            first = following
    if first < len(items):
        blocks.append(Block(first, len(items)))
    return blocks
