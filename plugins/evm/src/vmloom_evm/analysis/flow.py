"""Where jumps go: an abstract run of the code on stacks whose items are sets of constants.

An item of the stack is known by the pushes that it may come from, through copies and exchanges; what anything else
makes is unknown. Each block is gone through until nothing new comes, once for each *context*: stacks are united only if
they have the same jump destinations in the same places, so that what a function was called with goes back to where it
was called from. A jump is resolved if its target is known, and a push is a *label* if nothing but jumps ever look at
what it pushed: only a label may be changed when code moves. Every fact is an over-approximation of what a run can do;
code for which it would take too long is not resolved.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, NamedTuple, TypeAlias

from ..table import OpKind
from .instructions import EQ, JUMP, JUMPI, PUSH4, Block, Item, Listing

Known: TypeAlias = frozenset[int]
"""Numbers of the instructions that may have pushed an item."""


class _Unknown:
    """Anything."""

    __slots__ = ()


class _Selected:
    """Whether the input names the function called `selector`."""

    __slots__ = ("selector",)

    def __init__(self, selector: int) -> None:
        self.selector = selector


Context: TypeAlias = tuple[tuple[int, int], ...]
"""Where on the stack, counted from the top, which jump destinations are."""
Value: TypeAlias = Known | _Unknown | _Selected
UNKNOWN: Final = _Unknown()
STACK_LIMIT: Final = 1024


class Stack(NamedTuple):
    """What is known of a stack, the top first. Below `items` there is nothing or, if it `is_open`, anything."""

    items: tuple[Value, ...]
    is_open: bool = False


ANYTHING: Final = Stack((), is_open=True)
_MOST_ORIGINS: Final = 64
_MOST_CONTEXTS: Final = 64
"""Contexts of one block that are told apart; those that come later are united."""
_VISITS: Final = 200
"""of a block in one context"""
_WORK: Final = 2_000_000
"""Items of stacks gone through, all in all."""


@dataclass(slots=True)
class Flow:
    """What an abstract run has found. Blocks are numbers in `Listing.blocks`."""

    is_complete: bool = True
    """Whether it ended in time; if not, nothing below says anything."""
    successors: dict[int, set[int]] = field(default_factory=dict)
    """For each block that can be reached: those that may follow."""
    unresolved: set[int] = field(default_factory=set)
    """Numbers of the jumps whose target may be anything."""
    labels: dict[int, set[int]] = field(default_factory=dict)
    """Offsets that a push was jumped to with, by the number of the push."""
    escaped: set[int] = field(default_factory=set)
    """Pushes whose value something other than a jump may look at."""
    entered: set[int] = field(default_factory=set)
    """Blocks that a jump leads to."""
    selectors: dict[int, int] = field(default_factory=dict)
    """Offsets of functions by the selectors that they are compared with."""
    depths: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The least and greatest depth of the stack where a block begins."""


def follow(listing: Listing) -> Flow:
    """Run `listing` on abstract stacks."""
    return _Follower(listing).run()


class _Running(list[Value]):
    """A stack in the middle of a block, the top last."""

    is_open = False

    def has(self, count: int) -> bool:
        """Whether it may have that many items; those of an open one are made up."""
        if self.is_open and len(self) < count:
            self[:0] = [UNKNOWN] * (count - len(self))
        return len(self) >= count

    def frozen(self) -> Stack:
        """For the beginning of another block."""
        return Stack(tuple(reversed(self)), self.is_open)


@dataclass(slots=True)
class _Arrival:
    """What is known where a block begins, in one context."""

    stack: Stack
    depth: tuple[int, int]
    visits: int = 0
    is_pending: bool = False


class _Follower:
    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._flow = Flow()
        self._arrivals: dict[int, dict[Context, _Arrival]] = {}
        self._pending: deque[tuple[int, Context]] = deque()
        self._work = 0

    def run(self) -> Flow:
        flow = self._flow
        if self._listing.blocks:
            self._reach(0, Stack(()), (0, 0))
        while self._pending:
            number, context = self._pending.popleft()
            arrival = self._arrivals[number][context]
            arrival.is_pending = False
            arrival.visits += 1
            self._work += len(arrival.stack.items) + 8
            if arrival.visits > _VISITS or self._work > _WORK:
                return Flow(is_complete=False)
            self._go_through(number, self._listing.blocks[number], arrival)
            if flow.unresolved:
                self._reach_all()
        return flow

    def _reach(self, number: int, stack: Stack, depth: tuple[int, int]) -> None:
        """A stack arrives at a block, with its least and greatest depth."""
        contexts = self._arrivals.setdefault(number, {})
        context = self._context(stack)
        if context not in contexts and len(contexts) >= _MOST_CONTEXTS:
            context = ()
        arrival = contexts.get(context)
        if arrival is None:
            arrival = contexts[context] = _Arrival(stack, depth)
        elif not self._widen(arrival, stack, depth):
            return
        low, high = self._flow.depths.get(number, depth)
        self._flow.depths[number] = min(low, arrival.depth[0]), max(high, arrival.depth[1])
        if not arrival.is_pending:
            arrival.is_pending = True
            self._pending.append((number, context))

    def _widen(self, arrival: _Arrival, stack: Stack, depth: tuple[int, int]) -> bool:
        """Let `arrival` stand for what arrives now, too. Whether it did not already."""
        joined = self._join(arrival.stack, stack)
        bounds = min(arrival.depth[0], depth[0]), max(arrival.depth[1], depth[1])
        if bounds[1] > arrival.depth[1] and arrival.visits > 8:
            bounds = bounds[0], STACK_LIMIT  # it grows in a loop
        if joined == arrival.stack and bounds == arrival.depth:
            return False
        arrival.stack, arrival.depth = joined, bounds
        return True

    def _context(self, stack: Stack) -> Context:
        items, destinations = self._listing.items, self._listing.destinations
        found = []
        for place, value in enumerate(stack.items):
            if isinstance(value, frozenset):
                offsets = {items[origin].value for origin in value}
                offset = offsets.pop()
                if not offsets and offset in destinations:
                    found.append((place, offset))
        return tuple(found)

    def _reach_all(self) -> None:
        """A jump may lead anywhere, with anything on the stack."""
        for offset in self._listing.destinations:
            self._reach(self._listing.block_at[offset], ANYTHING, (0, STACK_LIMIT))

    def _join(self, one: Stack, other: Stack) -> Stack:
        if not (one.is_open or other.is_open):
            return Stack(tuple(self._union(first, second) for first, second in zip_longest(one.items, other.items)))
        depth = min(len(stack.items) for stack in (one, other) if stack.is_open)
        for lost in (*one.items[depth:], *other.items[depth:]):
            self._escape(lost)
        pairs = zip_longest(one.items[:depth], other.items[:depth])
        return Stack(tuple(self._union(first, second) for first, second in pairs), is_open=True)

    def _union(self, one: Value | None, other: Value | None) -> Value:
        """What an item may be that is one thing on one path and another on the other; None is what is not there."""
        if one is None or one is other:
            assert other is not None
            return other
        if other is None:
            return one
        if isinstance(one, frozenset) and isinstance(other, frozenset):
            both = one | other
            if len(both) <= _MOST_ORIGINS:
                return both
        elif isinstance(one, _Selected) and isinstance(other, _Selected) and one.selector == other.selector:
            return one
        self._escape(one)
        self._escape(other)
        return UNKNOWN

    def _escape(self, value: Value) -> None:
        if isinstance(value, frozenset):
            self._flow.escaped |= value

    # A block

    def _go_through(self, number: int, block: Block, arrival: _Arrival) -> None:
        stack = _Running(reversed(arrival.stack.items))
        stack.is_open = arrival.stack.is_open
        low, high = arrival.depth
        successors = self._flow.successors.setdefault(number, set())
        item: Item | None = None
        for index in range(block.first, block.last):
            item = self._listing.items[index]
            row = item.row
            if row is None:
                return
            if not stack.has(row.pops) or len(stack) - row.pops + row.pushes > STACK_LIMIT:
                return  # no run gets beyond this: the stack is too small or too large on every path
            low = max(low, row.pops) - row.pops + row.pushes
            high = min(max(high, row.pops) - row.pops + row.pushes, STACK_LIMIT)
            if item.code in (JUMP, JUMPI):
                target = stack.pop()
                condition = stack.pop() if item.code == JUMPI else None
                self._jump(index, successors, target, condition, stack, (low, high))
            else:
                self._step(index, item, stack)
        if item is None or not item.is_end:
            following = number + 1
            if following < len(self._listing.blocks):
                successors.add(following)
                self._reach(following, stack.frozen(), (low, high))

    def _step(self, index: int, item: Item, stack: _Running) -> None:
        row = item.row
        assert row is not None
        if row.kind is OpKind.PUSH:
            stack.append(frozenset((index,)))
        elif row.kind is OpKind.DUP:
            stack.append(stack[-row.pops])
        elif row.kind is OpKind.SWAP:
            stack[-1], stack[-row.pops] = stack[-row.pops], stack[-1]
        elif row.name == "POP":
            stack.pop()
        else:
            operands = [stack.pop() for _ in range(row.pops)]
            for operand in operands:
                self._escape(operand)
            stack.extend([self._selected(item, operands)] * row.pushes)

    def _selected(self, item: Item, operands: list[Value]) -> Value:
        """What an instruction makes: nothing that is known, but for the comparisons of a dispatcher."""
        if item.code == EQ:
            for operand in operands:
                if isinstance(operand, frozenset) and len(operand) == 1:
                    pushed = self._listing.items[next(iter(operand))]
                    if pushed.code == PUSH4 and pushed.value is not None:
                        return _Selected(pushed.value)
        return UNKNOWN

    def _jump(
        self,
        index: int,
        successors: set[int],
        target: Value,
        condition: Value | None,
        stack: _Running,
        depth: tuple[int, int],
    ) -> None:
        if condition is not None:
            self._escape(condition)
        if not isinstance(target, frozenset):
            self._flow.unresolved.add(index)
            return
        for origin in target:
            offset = self._listing.items[origin].value
            assert offset is not None
            self._flow.labels.setdefault(origin, set()).add(offset)
            number = self._listing.block_at.get(offset)
            if number is None or offset not in self._listing.destinations:
                continue  # such a jump fails
            successors.add(number)
            self._flow.entered.add(number)
            if isinstance(condition, _Selected) and len(target) == 1:
                self._flow.selectors[condition.selector] = offset
            self._reach(number, stack.frozen(), depth)


def effect(listing: Listing, block: Block) -> tuple[int, int]:
    """How many items a block has to find on the stack, and by how many the stack is deeper after it."""
    needs = changes = 0
    for item in listing.of(block):
        if item.row is not None:
            needs = max(needs, item.row.pops - changes)
            changes += item.row.pushes - item.row.pops
    return needs, changes


def peak(listing: Listing, flow: Flow, number: int) -> int:
    """The greatest depth that the stack would have within block `number`, were there no limit."""
    depth = most = flow.depths[number][1]
    for item in listing.of(listing.blocks[number]):
        if item.row is not None:
            depth = max(depth, item.row.pops) - item.row.pops + item.row.pushes
            most = max(most, depth)
    return most
