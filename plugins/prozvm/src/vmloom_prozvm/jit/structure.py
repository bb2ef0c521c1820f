"""Jumps made into `while` and `if`: the blocks of a function, and a tree of statements that runs them in that order.

`codegen` calls it with the instructions of one function and writes a Python statement for every node of the tree.
Nothing here knows what an instruction computes. Where no tree is found (loops with two entries, jumps out of two loops
at once) `Unstructured` says so, and the caller writes a loop that picks the next block by number instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from ..bytecode.opcodes import ENDING, OPERATIONS, Opcode, Operand

Instruction: TypeAlias = tuple[Opcode, object]

_MAX_LOOPS: Final = 16  # CPython refuses more than 20 statically nested blocks
_MAX_INDENT: Final = 60  # and more than 100 levels of indentation
_MAX_COPY: Final = 6  # instructions of a block that may be written at each of its jumps


class Unstructured(Exception):
    """The jumps do not nest, or nest deeper than Python's own statements may."""


class Block(NamedTuple):
    """Instructions that run one after the other: `start` up to and without `end`.

    `successors` are the starts of blocks; of two, the first is where a false condition does not jump.
    """

    start: int
    end: int
    successors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Straight:
    """Run the block that starts here; a jump or condition at its end is left to the nodes after it."""

    block: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The condition at the end of `block`, which a `Straight` before has run."""

    block: int
    when_true: tuple[Node, ...]
    when_false: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """Run `body` again and again until a `Leave` or the end of the function."""

    body: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """Go on behind the innermost loop."""


@dataclass(frozen=True, slots=True)
class Again:
    """Go to the head of the innermost loop."""


Node: TypeAlias = Straight | Choice | Loop | Leave | Again


class Flow:
    """The blocks that can be reached, in reverse postorder, and which of them every path to another passes."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self.blocks: Mapping[int, Block] = _blocks(instructions)
        self.order: Sequence[int] = _reverse_postorder(self.blocks)
        self.rank: Mapping[int, int] = {start: rank for rank, start in enumerate(self.order)}
        self.predecessors: dict[int, list[int]] = {start: [] for start in self.order}
        for start in self.order:
            for successor in self.blocks[start].successors:
                self.predecessors[successor].append(start)
        self.dominator: Mapping[int, int] = _dominators(self.order, self.rank, self.predecessors)
        self.dominated: dict[int, list[int]] = {start: [] for start in self.order}
        for start in self.order[1:]:
            self.dominated[self.dominator[start]].append(start)

    def dominates(self, above: int, below: int) -> bool:
        """Whether every path from the entry to `below` passes `above`."""
        rank = self.rank[above]
        while self.rank[below] > rank:
            below = self.dominator[below]
        return below == above

    def loops(self) -> dict[int, set[int]]:
        """The blocks of every loop by its head.

        Raises:
            Unstructured: a loop has more than one entry.
        """
        found: dict[int, set[int]] = {}
        for start in self.order:
            for head in self.blocks[start].successors:
                if self.rank[head] > self.rank[start]:
                    continue
                if not self.dominates(head, start):
                    raise Unstructured("a loop has more than one entry")
                body = found.setdefault(head, {head})
                pending = [start]
                while pending:
                    member = pending.pop()
                    if member not in body:
                        body.add(member)
                        pending += self.predecessors[member]
        return found


def structured(flow: Flow) -> tuple[Node, ...]:
    """The statements that run `flow` from its entry.

    Raises:
        Unstructured: there are none, or they would nest too deeply.
    """
    return tuple(_Writer(flow).region(flow.order[0], _Place(None, None, None, 0, 0)))


def _blocks(instructions: Sequence[Instruction]) -> dict[int, Block]:
    length = len(instructions)
    leaders = {0, length}
    for index, (opcode, operand) in enumerate(instructions):
        if OPERATIONS[opcode].operand is Operand.TARGET:
            assert isinstance(operand, int)
            leaders |= {operand, index + 1}
        elif opcode in ENDING:
            leaders.add(index + 1)
    starts = sorted(leaders)
    found = {length: Block(length, length, ())}  # where a program that falls off its end arrives
    for start, end in pairwise(starts):
        opcode, operand = instructions[end - 1]
        after: tuple[int, ...] = () if opcode in ENDING else (end,)
        if OPERATIONS[opcode].operand is Operand.TARGET:
            assert isinstance(operand, int)
            after = tuple(dict.fromkeys((*after, operand)))
        found[start] = Block(start, end, after)
    return found


def _reverse_postorder(blocks: Mapping[int, Block]) -> list[int]:
    order: list[int] = []
    seen = {0}
    path = [(0, iter(blocks[0].successors))]
    while path:
        start, successors = path[-1]
        following = next((one for one in successors if one not in seen), None)
        if following is None:
            path.pop()
            order.append(start)
        else:
            seen.add(following)
            path.append((following, iter(blocks[following].successors)))
    order.reverse()
    return order


def _dominators(
    order: Sequence[int], rank: Mapping[int, int], predecessors: Mapping[int, Sequence[int]]
) -> dict[int, int]:
    """The closest block that every path to a block passes.

    Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm.
    """
    above = {order[0]: order[0]}
    changed = True
    while changed:
        changed = False
        for start in order[1:]:
            closest: int | None = None
            for one in predecessors[start]:
                if one not in above:
                    continue
                other = one
                while closest is not None and closest != other:
                    if rank[closest] > rank[other]:
                        closest = above[closest]
                    else:
                        other = above[other]
                closest = other
            assert closest is not None
            if above.get(start) != closest:
                above[start] = closest
                changed = True
    return above


class _Place(NamedTuple):
    """Where in the text a block is written: which blocks can be reached from there without naming them."""

    follow: int | None
    head: int | None
    exit: int | None
    loops: int
    indent: int

    def inside(self) -> _Place:
        """One level further in."""
        if self.indent >= _MAX_INDENT or self.loops > _MAX_LOOPS:
            raise Unstructured("nested too deeply")
        return self._replace(indent=self.indent + 1)


class _Writer:
    """Writes blocks in order of dominance.

    Each jump must be a fall-through, a `break` or a `continue` where it stands.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._loops = flow.loops()
        self._entries = {
            start: sum(flow.rank[one] < flow.rank[start] for one in flow.predecessors[start]) for start in flow.order
        }
        self._copies: set[int] = set()
        self._room = 4 * len(flow.order) + 16

    def region(self, start: int, place: _Place) -> list[Node]:
        """The block `start` and all that only it leads to."""
        nodes: list[Node] = []
        following: int | None = start
        while following is not None:
            start, following = following, None
            if start in self._loops and start != place.head:
                loop, leave = self._loop(start, place)
                nodes.append(loop)
                if leave is not None:
                    tail, following = self._jump(start, leave, place, owned=self._flow.dominates(start, leave))
                    nodes += tail
                continue
            merge = self._merge(start, place)
            tail, following = self._block(start, place if merge is None else place._replace(follow=merge))
            nodes += tail
            if merge is not None:
                if following is not None:
                    nodes += self.region(following, place._replace(follow=merge))
                following = merge
        return nodes

    def _loop(self, head: int, place: _Place) -> tuple[Loop, int | None]:
        body = self._loops[head]
        flow = self._flow
        exits: dict[int, tuple[bool, int, int]] = {}
        for start in body:
            for one in flow.blocks[start].successors:
                if one not in body:
                    at_head, count, _ = exits.get(one, (False, 0, 0))
                    exits[one] = (at_head or start == head, count + 1, flow.rank[one])
        leave = max(exits, key=exits.__getitem__) if exits else None
        inside = place._replace(follow=head, head=head, exit=leave, loops=place.loops + 1).inside()
        return Loop(tuple(self.region(head, inside))), leave

    def _merge(self, start: int, place: _Place) -> int | None:
        """The block where the paths from `start` meet again, which is written behind all of them."""
        below = self._flow.dominated[start]
        merges = [one for one in below if self._entries[one] > 1 and one != place.exit and not self._copied(one)]
        if not merges:
            return None
        # Of several, all but the last are written at each of their jumps: the way conditions are joined makes such.
        *others, last = sorted(merges, key=self._flow.rank.__getitem__)
        if not all(map(self._may_be_copied, others)):
            raise Unstructured("paths meet in more than one place")
        self._copies.update(others)
        return last

    def _block(self, start: int, place: _Place) -> tuple[list[Node], int | None]:
        self._room -= 1
        if self._room < 0:
            raise Unstructured("too many copies")
        nodes: list[Node] = [Straight(start)]
        successors = self._flow.blocks[start].successors
        if not successors:
            return nodes, None
        if len(successors) == 1:
            tail, following = self._jump(start, successors[0], place)
            return nodes + tail, following
        arms = [self._arm(start, successor, place.inside()) for successor in successors]
        nodes.append(Choice(start, tuple(arms[0]), tuple(arms[1])))
        return nodes, None

    def _arm(self, start: int, target: int, place: _Place) -> list[Node]:
        nodes, following = self._jump(start, target, place)
        return nodes if following is None else nodes + self.region(following, place)

    def _jump(self, start: int, target: int, place: _Place, *, owned: bool = False) -> tuple[list[Node], int | None]:
        """The statements of a jump, and the block to write right behind them if that is how it is done."""
        if target == place.follow:
            return [], None
        if target == place.head:
            return [Again()], None
        if target == place.exit:
            return [Leave()], None
        if self._flow.rank[target] <= self._flow.rank[start]:
            raise Unstructured("a jump to the head of an outer loop")
        if owned or self._entries[target] == 1 or self._copied(target):
            return [], target
        raise Unstructured("a jump over other blocks")

    def _copied(self, start: int) -> bool:
        block = self._flow.blocks[start]
        return start in self._copies or (not block.successors and block.end - block.start <= _MAX_COPY)

    def _may_be_copied(self, start: int) -> bool:
        """Whether it is a short block that only leads on."""
        block, rank = self._flow.blocks[start], self._flow.rank
        forward = len(block.successors) == 1 and rank[block.successors[0]] > rank[start]
        return forward and start not in self._loops and block.end - block.start <= _MAX_COPY
