"""How control goes through a function: its blocks, and the registers that may be read before they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .errors import PtxError
from .syntax import Address, Function, Group, Operand, Register, Statement, Symbol, Vector

ENDS = ("ret", "exit", "trap")
"""What nothing follows, unless it is guarded."""
_NO_RESULT = (
    *ENDS,
    "st",
    "red",
    "bra",
    "brx",
    "call",
    "fence",
    "membar",
    "prefetch",
    "prefetchu",
    "nanosleep",
    "brkpt",
)


@dataclass(slots=True)
class Block:
    """Statements `first` to `end` of a function; the last one may go to other blocks, and `after` is what follows."""

    first: int
    end: int
    targets: tuple[int, ...] = ()
    after: int | None = None
    entries: int = 0
    """From how many places control comes here, or more."""
    live: set[str] = field(default_factory=set)

    @property
    def successors(self) -> tuple[int, ...]:
        """Numbers of blocks."""
        return self.targets if self.after is None else (*self.targets, self.after)


def blocks_of(function: Function) -> list[Block]:
    """The blocks, in the order of the text. Raises `PtxError` for branches to nowhere and for control that runs out."""
    statements = function.statements
    last = len(statements)
    leaders = {0, *(place for place in function.labels.values() if place < last)}
    leaders |= {place + 1 for place, it in enumerate(statements) if _leaves(it) and place + 1 < last}
    starts = sorted(leaders) if statements else []
    numbers = {place: number for number, place in enumerate(starts)}
    found = [Block(first, end) for first, end in zip(starts, (*starts[1:], last), strict=True)]
    for number, block in enumerate(found):
        it = statements[block.end - 1]
        block.targets = tuple(numbers[_place(function, name, it)] for name in targets_of(function, it))
        if it.guard is not None or it.parts[0] not in ("bra", "brx", *ENDS):
            if number + 1 == len(found):
                raise PtxError(it.line, f"control runs out of {function.name!r}")
            block.after = number + 1
    _count_entries(found, statements)
    return found


def _leaves(it: Statement) -> bool:
    return it.parts[0] in ("bra", "brx", *ENDS)


def targets_of(function: Function, it: Statement) -> tuple[str, ...]:
    """The labels that a branch may go to."""
    names = [operand.name for operand in it.operands if isinstance(operand, Symbol)]
    if it.parts[0] == "bra" and len(it.operands) == 1 and names:
        return (names[0],)
    if it.parts[0] == "brx" and len(it.operands) == 2 and names:
        if names[0] not in function.tables:
            raise PtxError(it.line, f"{names[0]!r} is no list of branch targets")
        return function.tables[names[0]]
    if it.parts[0] in ("bra", "brx"):
        raise PtxError(it.line, f"{it.text!r} without a label")
    return ()


def _place(function: Function, name: str, it: Statement) -> int:
    place = function.labels.get(name)
    if place is None:
        raise PtxError(it.line, f"{name!r} is no label of {function.name!r}")
    if place >= len(function.statements):
        raise PtxError(it.line, f"nothing follows the label {name!r}")
    return place


def _count_entries(blocks: list[Block], statements: list[Statement]) -> None:
    """A branch by an index counts twice: what it goes to cannot be written in its place."""
    if blocks:
        blocks[0].entries = 1
    for block in blocks:
        for number in set(block.successors):
            blocks[number].entries += 2 if statements[block.end - 1].parts[0] == "brx" else 1


# Registers


def registers_in(operand: Operand) -> Iterator[str]:
    """The names of registers that an operand has."""
    match operand:
        case Register(name=name):
            yield name
        case Address(base=base):
            yield from registers_in(base)
        case Vector(elements=elements) | Group(elements=elements):
            for element in elements:
                yield from registers_in(element)


def unset_registers(function: Function, blocks: list[Block]) -> set[str]:
    """The registers that may be read before they are written."""
    if not blocks:
        return set()
    effects = [_effects(function.statements[block.first : block.end]) for block in blocks]
    before: list[list[int]] = [[] for _ in blocks]
    for number, block in enumerate(blocks):
        for successor in set(block.successors):
            before[successor].append(number)
    open_ = list(range(len(blocks)))
    while open_:
        number = open_.pop()
        block, (read, written) = blocks[number], effects[number]
        live = set().union(*(blocks[it].live for it in block.successors)) if block.successors else set()
        live = read | (live - written)
        if live != block.live:
            block.live = live
            open_.extend(before[number])
    return blocks[0].live


def _effects(statements: list[Statement]) -> tuple[set[str], set[str]]:
    """What a block reads before it writes it, and what it writes in any case."""
    read: set[str] = set()
    written: set[str] = set()
    for it in statements:
        results = () if it.parts[0] in _NO_RESULT else it.operands[:1]
        used = {name for operand in it.operands[len(results) :] for name in registers_in(operand)}
        if it.guard is not None:
            used.add(it.guard.name)
        made = {name for operand in results for name in registers_in(operand)}
        if it.guard is not None:
            used |= made  # what it was before, where the guard says no
        read |= used - written
        if it.guard is None:
            written |= made
    return read, written
