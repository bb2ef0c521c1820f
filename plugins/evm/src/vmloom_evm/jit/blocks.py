"""Code as blocks of instructions for the compiler: what each costs and asks of the stack, and where control goes next.

Time and memory are linear in the size of the code: blocks are cut where they grow long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..analysis.instructions import ENDING, JUMP, JUMPDEST, JUMPI, Item, Listing
from ..table import OpKind, OpRow
from .dominators import dominators, search
from .facts import Facts, Guard, Stack, find

LONGEST: Final = 160
"""Instructions of a block: the registers of a longer one take LLVM more than linear time."""
FATHOMED: Final = 12
"""Times that a block's depths are made wider before they are taken for any."""
MOST_AHEAD: Final = 500
"""Gas that is looked for ahead of time: runs that have less, but enough for what they do, are the interpreter's."""
MOST_PARAMETERS: Final = 8
"""Items of the stack that go from block to block in registers."""


@dataclass(slots=True)
class Block:
    """Instructions that run one after the other. Depths are relative to that at the beginning, in items."""

    number: int
    items: list[Item]
    gas: int
    needs: int
    """Items that have to be on the stack."""
    growth: int
    """The greatest depth."""
    change: int
    """The depth at the end."""
    targets: tuple[int, ...] = ()
    """Numbers of the blocks that the jump at the end may lead to, unless it fails."""
    is_open: bool = False
    """Whether the jump at the end may lead elsewhere."""
    following: int | None = None
    """Number of the block that runs next without a jump."""
    parameters: int = 0
    """Items at the top of the stack that it takes in registers."""
    known: Stack = ()
    """What is known of the stack, the top first; ways in from elsewhere have to see to it, by `guards`."""
    guards: tuple[Guard, ...] = ((),)
    """What stacks have to pass on those other ways; with none, there are no such ways."""
    least_depth: int = 0
    """Of the stack, in items, at the beginning; ways in from elsewhere have to see to this and the next."""
    greatest_depth: int = 0
    is_entry: bool = False
    """Whether control may come from the interpreter, or from a jump that may lead anywhere."""
    ahead: int = 0
    """Gas that there has to be at the end: what blocks after it need that do not look for themselves."""
    is_covered: bool = False
    """Whether all blocks before it have seen to its gas."""

    @property
    def offset(self) -> int:
        """Its first byte."""
        return self.items[0].offset

    @property
    def successors(self) -> list[int]:
        """Blocks to which control goes directly."""
        return [*self.targets, *(() if self.following is None else (self.following,))]

    @property
    def is_destination(self) -> bool:
        """Whether jumps may lead to it."""
        return self.items[0].code == JUMPDEST and self.items[0].row is not None


@dataclass(slots=True)
class Blocks:
    """All blocks of a code, in order, those that are to be compiled, and the prices they were summed by."""

    code: bytes
    blocks: list[Block]
    at: dict[int, int]
    """Number of the block that begins at an offset."""
    reached: list[int] = field(default_factory=list)
    """Blocks to be compiled, each after the one that control comes through before it."""
    dominators: dict[int, int] = field(default_factory=dict)
    """The block through which all control comes to another one, from within compiled code; none for some."""


def blocks_of(
    code: bytes,
    rows: Mapping[int, OpRow],
    gas: Mapping[str, int],
    depth_limit: int,
    check: Callable[[], None] = lambda: None,
) -> Blocks:
    """The blocks of `code` by the instructions in `rows`, at the static prices `gas`.

    Now and then `check` is called, which may raise.
    """
    listing = Listing(code, rows)
    groups: list[list[Item]] = []
    for block in listing.blocks:
        group: list[Item] = []
        for item in listing.of(block):
            group.append(item)
            if (item.row is not None and item.row.kind is OpKind.FRAME) or len(group) >= LONGEST:
                groups.append(group)
                group = []
        if group:
            groups.append(group)
    found = Blocks(code, [_measured(number, group, gas) for number, group in enumerate(groups)], {})
    found.at = {block.offset: block.number for block in found.blocks}
    facts = find(listing, found.at, check)
    for one in found.blocks:
        one.known = facts.at(one.offset)
        if facts.is_complete:
            one.guards = facts.guards.get(one.offset, ())
        _link(one, found, facts)
    _reach(found, facts)
    _fathom(found, depth_limit)
    _share(found)
    _cover(found)
    return found


def _measured(number: int, items: list[Item], prices: Mapping[str, int]) -> Block:
    gas = needs = growth = depth = 0
    for item in items:
        row = item.row
        if row is None:
            break  # it fails, whatever there is; the interpreter says how
        gas += prices[row.name]
        needs = max(needs, row.pops - depth)
        depth += row.pushes - row.pops
        growth = max(growth, depth)
    return Block(number, items, gas, needs, growth, depth)


def _link(block: Block, blocks: Blocks, facts: Facts) -> None:
    """Find where `block` leads. What is known of other blocks counts on these ways and no others."""
    last = block.items[-1]
    if last.row is None or last.row.kind is OpKind.FRAME:
        return
    if last.code in (JUMP, JUMPI):
        offsets = facts.targets.get(last.offset)
        block.is_open = offsets is None
        numbers = (blocks.at.get(offset) for offset in sorted(offsets or ()))
        found = tuple(number for number in numbers if number is not None and blocks.blocks[number].is_destination)
        block.targets = found
        if offsets is not None and len(found) < len(offsets):
            block.is_open = True
    if last.code not in ENDING and block.number + 1 < len(blocks.blocks):
        block.following = block.number + 1


def _reach(blocks: Blocks, facts: Facts) -> None:
    """Mark entries, and list the blocks that control may come to.

    A jump whose target is not known may lead to any destination. Those that are compiled for it are the ones that
    nothing else leads to; at others, the interpreter goes on.
    """
    if not blocks.blocks:
        return
    led_to = {number for block in blocks.blocks for number in block.successors}
    dynamic = [it.number for it in blocks.blocks if it.is_destination and it.number not in led_to]
    blocks.blocks[0].is_entry = True
    open_ = [0]
    seen = {0}
    while open_:
        block = blocks.blocks[open_.pop()]
        ways = block.successors
        last = block.items[-1]
        for target in block.targets:
            if target <= block.number:
                blocks.blocks[target].is_entry = True  # a loop may get hot while it is interpreted
        if last.row is not None and last.row.kind is OpKind.FRAME and last.code not in ENDING:
            following = block.number + 1
            if following < len(blocks.blocks):
                blocks.blocks[following].is_entry = True
                ways = [*ways, following]
        if block.is_open and dynamic:
            for number in dynamic:
                blocks.blocks[number].is_entry = True
            ways = [*ways, *dynamic]
            dynamic = []
        for number in ways:
            if number not in seen and (not facts.is_complete or blocks.blocks[number].offset in facts.entries):
                seen.add(number)
                open_.append(number)
    _dominate(blocks, seen)
    for block in blocks.blocks:
        block.is_entry = block.is_entry and block.number in seen and (block.number == 0 or bool(block.guards))


def _ways(blocks: Blocks, number: int) -> list[int]:
    """Where control goes from a block, also with the interpreter in between."""
    block = blocks.blocks[number]
    last = block.items[-1]
    if last.row is not None and last.row.kind is OpKind.FRAME and last.code not in ENDING:
        return [number + 1] if number + 1 < len(blocks.blocks) else []
    return block.successors


def _dominate(blocks: Blocks, reached: set[int]) -> None:
    """Put `reached` in order, and find the dominators. What only circles of blocks lead to comes last."""
    ways = {number: [way for way in _ways(blocks, number) if way in reached] for number in reached}
    before: dict[int, list[int]] = {number: [] for number in reached}
    for number, leads in ways.items():
        for way in leads:
            before[way].append(number)
    roots = [number for number in sorted(reached) if number == 0 or not before[number]]
    tree = search([*roots, *sorted(reached)], ways.__getitem__)
    blocks.reached = tree.finished[::-1]
    blocks.dominators = dominators(tree, before)


def _fathom(blocks: Blocks, limit: int) -> None:
    """Find how deep the stack is where blocks begin, given that what a block checks holds after it."""
    depths: dict[int, tuple[int, int]] = {}
    visits = dict.fromkeys(blocks.reached, 0)
    led_to = {way for number in blocks.reached for way in _ways(blocks, number)}
    open_ = []
    for number in blocks.reached:
        if number == 0 or number not in led_to or number not in blocks.dominators:
            depths[number] = (0, 0 if number == 0 else limit)
            open_.append(number)
    while open_:
        number = open_.pop()
        block = blocks.blocks[number]
        low, high = depths[number]
        low, high = max(low, block.needs) + block.change, min(high, limit - block.growth) + block.change
        if low > high:
            continue  # no run gets through it
        for way in _ways(blocks, number):
            if way not in visits:
                continue
            former = depths.get(way)
            now = (low, high) if former is None else (min(low, former[0]), max(high, former[1]))
            if now == former:
                continue
            visits[way] += 1
            if visits[way] > FATHOMED:
                now = (0, limit)
            depths[way] = now
            open_.append(way)
    for number in blocks.reached:
        blocks.blocks[number].least_depth, blocks.blocks[number].greatest_depth = depths.get(number, (0, limit))


def _share(blocks: Blocks) -> None:
    """Let each block take as many items in registers as it, or what follows it, is going to use, if it has them."""
    all_ = blocks.blocks
    for block in all_:
        block.parameters = min(block.needs, block.least_depth, MOST_PARAMETERS)
    before: dict[int, list[Block]] = {}
    for block in all_:
        for number in block.successors:
            before.setdefault(number, []).append(block)
    open_ = list(blocks.reached)
    while open_:
        number = open_.pop()
        wanted = all_[number].parameters
        for block in before.get(number, ()):
            more = min(wanted - block.change, block.least_depth, MOST_PARAMETERS)
            if more > block.parameters:
                block.parameters = more
                open_.append(block.number)


def _cover(blocks: Blocks) -> None:
    """Let gas be looked for once where ways part, and not again by the blocks that only they lead to."""
    place = {number: index for index, number in enumerate(blocks.reached)}
    before: dict[int, list[int]] = {number: [] for number in blocks.reached}
    for number in blocks.reached:
        for way in blocks.blocks[number].successors:
            if way in before:
                before[way].append(number)
    wanted: dict[int, int] = {}
    for number in reversed(blocks.reached):
        block = blocks.blocks[number]
        block.ahead = max((wanted[way] for way in block.successors if way in wanted), default=0)
        comes_later = all(place[it] < place[number] for it in before[number])
        if before[number] and comes_later and not block.is_entry and block.gas + block.ahead <= MOST_AHEAD:
            block.is_covered = True
            wanted[number] = block.gas + block.ahead


__all__ = ["JUMPDEST", "Block", "Blocks", "blocks_of"]
