"""What is known of the stack where a block of code begins, by an abstract run of the code on intervals.

The run follows jumps whose targets it knows, from the first byte on, and from blocks that only other jumps lead to.
What it finds holds for all that comes over such jumps *as long as it held where compiled code was entered from
elsewhere*: a jump with an unknown target, the end of a call, an interpreter that hands over in the middle of a loop.
There compiled code has to test it, by the `guards` of the block. So that this is cheap, only what fits 64 bits is kept
from block to block. How deep the stack is, it does not tell.

A word that only additions of small numbers make larger is a *counter*: it stays below 2**64 although nothing compares
it, since nothing runs for 2**56 additions. Where compiled code is entered, it has to be at most 2**62.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from math import prod
from typing import Final, NamedTuple, TypeAlias

from vmloom.kernel import U64_MAX, U256_MAX

from ..analysis.instructions import JUMP, JUMPI, Item, Listing
from ..ops import arithmetic, bitwise
from ..table import OpFunction, OpKind
from .narrow import Range, after, assumed

DEEPEST: Final = 48
"""Items of a stack that are told apart; of those below, nothing is known."""
COUNTER_BASE: Final = 1 << 62
"""The greatest value that a counter may begin with."""
COUNTER_STEP: Final = 1 << 7
"""The greatest number that may be added to it: 2**56 times that much is less than 2**63."""
_CONTEXTS: Final = 24
"""of one block that are told apart; those that come later are united."""
_WORDS: Final = 8
"""Constants of which an item is known to be one."""
_ROWS: Final = 128
"""Items that are tested where a block is entered, at most."""
_SETTLED: Final = 2
"""Visits of a block in one context after which what still grows is taken to grow without end."""
_WORK_PER_ITEM: Final = 40
_WORK_AT_LEAST: Final = 2_000
_LONGEST_CHAIN: Final = 64
"""Negations of a condition that are looked through."""


class Known(NamedTuple):
    """What is known of an item: it lies from `low` to `high`, and is one of `words` if they are given."""

    low: int
    high: int
    counts: bool = False
    """Whether it is a counter."""
    words: frozenset[int] | None = None
    """The jump destinations that it may be; None if it may be something else."""

    @property
    def guard(self) -> int:
        """The greatest that it may be where compiled code is entered from elsewhere."""
        return min(self.high, COUNTER_BASE) if self.counts else self.high

    @property
    def range(self) -> Range:
        """The interval alone."""
        return Range(self.low, self.high)


UNKNOWN: Final = Known(0, U256_MAX)


Stack: TypeAlias = tuple[Known, ...]
"""What is known of the items of a stack, the top first; of those below, nothing is."""
Guard: TypeAlias = tuple[tuple[int, int, int], ...]
"""What to test of a stack: items by their place, the top being 0, with the least and the greatest that they may be."""


@dataclass(slots=True)
class Facts:
    """What an abstract run has found. Offsets are those of instructions in the code."""

    entries: dict[int, Stack] = field(default_factory=dict)
    """By the offset at which a block begins; blocks that are not here are not known to be reached."""
    guards: dict[int, tuple[Guard, ...]] = field(default_factory=dict)
    """By the offset of a block: a stack may come from elsewhere if it passes all of any of these tests. An item that is
    not there passes. With no test at all, none may."""
    targets: dict[int, frozenset[int]] = field(default_factory=dict)
    """By the offset of a JUMP or JUMPI, where it may lead, if all of that is known."""
    is_complete: bool = True
    """Whether the run ended in time. If not, nothing is known."""

    def at(self, offset: int) -> Stack:
        """What is known where the block at `offset` begins."""
        return self.entries.get(offset, ())


def find(listing: Listing, cuts: Collection[int] = (), check: Callable[[], None] = lambda: None) -> Facts:
    """What is known of the stack wherever a block of `listing` begins, and at the instructions with offsets `cuts`.

    After an instruction that may open a frame a block begins, too. The time is bounded by the length of the code;
    before each block `check` is called, which may raise.
    """
    blocks = list(_cut(listing, frozenset(cuts)))
    for contexts in (_CONTEXTS, 1):
        found = _Run(listing, blocks, contexts).run(check)
        if found.is_complete:
            return found
    return Facts(is_complete=False)


def _cut(listing: Listing, cuts: frozenset[int]) -> Iterator[Sequence[Item]]:
    """The instructions of each block."""
    for block in listing.blocks:
        first = block.first
        for number in range(block.first + 1, block.last):
            before = listing.items[number - 1].row
            opens = before is not None and before.kind is OpKind.FRAME
            if opens or listing.items[number].offset in cuts:
                yield listing.items[first:number]
                first = number
        yield listing.items[first : block.last]


# Joining what is known


def joined(one: Known, other: Known) -> Known:
    """What is known of an item that may be either."""
    if one == other:
        return one
    low, high = min(one.low, other.low), max(one.high, other.high)
    counts = one.counts or other.counts
    if counts and not all(it.counts or it.high <= COUNTER_BASE for it in (one, other)):
        counts = False
    words = None
    if one.words is not None and other.words is not None and len(both := one.words | other.words) <= _WORDS:
        words = both
    return Known(low, high, counts, words)


def widened(former: Known, now: Known) -> Known:
    """What to take for known of an item that was `former` and goes on to grow, to `now`."""
    if now.words is not None:
        return now
    low = now.low if now.low >= former.low else min(now.low, 1)  # what counts down often ends at 1
    if now.high <= former.high:
        return Known(low, now.high, now.counts)
    if now.counts or now.high <= COUNTER_BASE:
        return Known(low, U64_MAX, counts=True)
    return UNKNOWN


def _joined_stacks(one: Stack, other: Stack) -> Stack:
    return one if one == other else tuple(map(joined, one, other))


def _guards(stacks: Sequence[Stack]) -> tuple[Guard, ...]:
    """The tests that let in what is like one of `stacks`, or like some of them if there is too much to test."""
    found: dict[Guard, None] = {}
    rows = 0
    for stack in stacks:
        known = [(place, item) for place, item in enumerate(stack) if item.high <= U64_MAX]
        choices = [sorted(item.words) if item.words else [None] for _, item in known]
        if prod(map(len, choices)) > _WORDS:
            continue
        for words in product(*choices):
            guard = tuple(
                (place, it.low, it.guard) if word is None else (place, word, word)
                for (place, it), word in zip(known, words, strict=True)
            )
            rows += len(guard)
            if rows <= _ROWS:
                found[guard] = None
    return ((),) if () in found else tuple(found)


# The abstract run

_Context: TypeAlias = tuple[tuple[int, int], ...]
"""Where on the stack, counted from the top, which jump destinations are: to where functions go back."""


@dataclass(slots=True)
class _Arrival:
    """What is known where a block begins, in one context."""

    stack: Stack
    visits: int = 0
    is_pending: bool = False


class _Run:
    def __init__(self, listing: Listing, blocks: list[Sequence[Item]], contexts: int) -> None:
        self.blocks = blocks
        self.destinations = listing.destinations
        self.block_at = {items[0].offset: number for number, items in enumerate(blocks)}
        self.contexts = contexts
        self.arrivals: list[dict[_Context, _Arrival]] = [{} for _ in blocks]
        self.pending: deque[tuple[int, _Context]] = deque()
        self.work = _WORK_AT_LEAST + _WORK_PER_ITEM * len(listing.items)
        self.targets: dict[int, frozenset[int] | None] = {}
        pushed = {item.value for item in listing.items if item.value is not None}
        # Where no constant leads, something else does, if anything: those are looked at first.
        self.roots = deque(sorted(self.destinations, key=lambda it: (it in pushed, it)))

    def run(self, check: Callable[[], None]) -> Facts:
        if self.blocks:
            self.reach(0, ())
        while self.pending or self.next_root():
            check()
            number, context = self.pending.popleft()
            arrival = self.arrivals[number][context]
            arrival.is_pending = False
            arrival.visits += 1
            self.work -= len(self.blocks[number]) + len(arrival.stack) // 4 + 1
            if self.work < 0:
                return Facts(is_complete=False)
            _Passage(self, number, arrival.stack).go_through()
        facts = Facts()
        for items, contexts in zip(self.blocks, self.arrivals, strict=True):
            if contexts:
                stacks = [arrival.stack for arrival in contexts.values()]
                facts.entries[items[0].offset] = reduce(_joined_stacks, stacks)
                # Each context by itself: what is known where a function goes back to is known of that caller alone.
                facts.guards[items[0].offset] = _guards(stacks)
        facts.targets = {offset: targets for offset, targets in self.targets.items() if targets is not None}
        return facts

    def next_root(self) -> bool:
        """Begin where compiled code may only be entered from elsewhere."""
        while self.roots:
            number = self.block_at[self.roots.popleft()]
            if not self.arrivals[number]:
                self.reach(number, ())
                return True
        return False

    def reach(self, number: int, stack: Stack) -> None:
        """A stack arrives at a block."""
        self.work -= 1
        stack = tuple(item if item.high <= U64_MAX else UNKNOWN for item in stack)
        contexts = self.arrivals[number]
        context = self.context(stack) if self.contexts > 1 else ()
        if context not in contexts and len(contexts) >= self.contexts:
            context = ()
        arrival = contexts.get(context)
        if arrival is None:
            arrival = contexts[context] = _Arrival(stack)
        else:
            now = _joined_stacks(arrival.stack, stack)
            if now == arrival.stack:
                return
            if arrival.visits >= _SETTLED:
                now = tuple(map(widened, arrival.stack, now))
            arrival.stack = now
        if not arrival.is_pending:
            arrival.is_pending = True
            self.pending.append((number, context))

    def context(self, stack: Stack) -> _Context:
        destinations = self.destinations
        return tuple(
            (place, item.low) for place, item in enumerate(stack) if item.low == item.high and item.low in destinations
        )

    def jump(self, offset: int, target: Known) -> Iterator[int]:
        """The blocks to which the jump at `offset` leads if its operand is `target`."""
        words = frozenset((target.low,)) if target.low == target.high else target.words
        known = self.targets.get(offset, frozenset())
        if words is None or known is None:
            self.targets[offset] = None
            words = words or frozenset()
        else:
            self.targets[offset] = known | words
        for word in sorted(words):
            if word in self.destinations:
                yield self.block_at[word]


class _Passage:
    """A way through one block. Items have numbers, so that what a condition says of one holds for its copies."""

    def __init__(self, run: _Run, number: int, stack: Stack) -> None:
        self.run = run
        self.number = number
        self.known: list[Known] = list(reversed(stack))
        self.stack: list[int] = list(range(len(self.known)))
        self.made: dict[int, tuple[OpFunction, Sequence[int]]] = {}

    def go_through(self) -> None:
        items = self.run.blocks[self.number]
        for item in items:
            row = item.row
            if row is None:
                return
            while len(self.stack) < row.pops:
                self.stack.insert(0, self.new(UNKNOWN))
            if item.code in (JUMP, JUMPI):
                self.jump(item)
                return
            self.step(item)
        if not items[-1].is_end and self.number + 1 < len(self.run.blocks):
            self.run.reach(self.number + 1, self.frozen({}))

    def new(self, known: Known) -> int:
        self.known.append(known)
        return len(self.known) - 1

    def frozen(self, changes: Mapping[int, Known]) -> Stack:
        """The stack for the beginning of another block, with what is known better there."""
        known = self.known
        return tuple(changes.get(it) or known[it] for it in reversed(self.stack[-DEEPEST:]))

    def step(self, item: Item) -> None:
        row, stack = item.row, self.stack
        assert row is not None
        if item.value is not None:
            words = frozenset((item.value,)) if item.value in self.run.destinations else None
            stack.append(self.new(Known(item.value, item.value, words=words)))
        elif row.kind is OpKind.DUP:
            stack.append(stack[-row.pops])
        elif row.kind is OpKind.SWAP:
            stack[-1], stack[-row.pops] = stack[-row.pops], stack[-1]
        else:
            operands = [stack.pop() for _ in range(row.pops)]
            if row.pushes:
                assert row.function is not None
                stack.append(self.new(made(row.function, [self.known[it] for it in operands])))
                self.made[stack[-1]] = row.function, operands

    def jump(self, item: Item) -> None:
        """Go on where the jump leads, with what its condition says there."""
        target = self.known[self.stack.pop()]
        if item.code == JUMP:
            self.lead(item, target, {})
            return
        condition = self.stack.pop()
        taken = self.assume(condition, True, {})
        if taken is not None:
            self.lead(item, target, taken)
        passed = self.assume(condition, False, {})
        if passed is not None and self.number + 1 < len(self.run.blocks):
            self.run.reach(self.number + 1, self.frozen(passed))

    def lead(self, item: Item, target: Known, changes: Mapping[int, Known]) -> None:
        for number in self.run.jump(item.offset, target):
            self.run.reach(number, self.frozen(changes))

    def assume(self, number: int, holds: bool, changes: dict[int, Known]) -> dict[int, Known] | None:
        """What is known better where the item `number` is not 0 (`holds`), or 0; None where it cannot be."""
        for _ in range(_LONGEST_CHAIN):
            narrower = assumed(bitwise.iszero, [self.known[number].range], holds=not holds)
            if narrower is None:
                return None
            changes[number] = _within(self.known[number], narrower[0])
            function, operands = self.made.get(number, (None, ()))
            ranges = assumed(function, [self.known[it].range for it in operands], holds=holds)
            if ranges is None:
                return None
            for operand, it in zip(operands, ranges, strict=True):
                if it != self.known[operand].range:
                    changes[operand] = _within(self.known[operand], it)
            if function is not bitwise.iszero:
                break
            number, holds = operands[0], not holds
        return changes


def _within(known: Known, better: Range) -> Known:
    """What is known of an item that is found to be within `better`, too."""
    low, high = max(known.low, better.low), min(known.high, better.high)
    if low > high:  # another condition has said otherwise: nothing comes here
        return known
    return Known(low, high, known.counts and high > COUNTER_BASE, known.words)


def made(function: OpFunction, operands: Sequence[Known]) -> Known:
    """What an instruction makes of items of which this is known."""
    result = after(function, [it.range for it in operands])
    if function is arithmetic.add:
        counter, step = sorted(operands, key=lambda it: not it.counts)
        if counter.counts and step.high <= COUNTER_STEP:
            return Known(result.low, min(result.high, U64_MAX), counts=True)
    elif function is arithmetic.sub and operands[0].counts and operands[0].low >= operands[1].high:
        return Known(result.low, result.high, counts=True)
    return Known(result.low, result.high)
