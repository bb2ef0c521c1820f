"""EVM code made shorter and cheaper by named rules, where it is certain that nothing but gas can tell.

Code moves, so every jump has to be known and every push of a target has to be used for nothing else; and the code must
not look at itself: CODECOPY, CODESIZE, PC and EXTCODE* anywhere that can be reached keep all of it as it is. GAS shows
that less is used, as any change of prices does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from vmloom.bytecode import Applied, OptimisationReport, Refusal

from ..table import OpKind, OpRow
from .flow import STACK_LIMIT, Flow, effect, follow, peak
from .instructions import ENDING, PUSH0, Block, Listing
from .rules import PEEPHOLES, WINDOW, Op, Pushes, Rule

UNREACHABLE: Final = "drop-unreachable"
UNTARGETED: Final = "drop-untargeted"
NEXT: Final = "jump-to-next"
THREAD: Final = "thread-jumps"
RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        UNREACHABLE: "Drop what no run gets to, data at the end included.",
        UNTARGETED: "Drop jump destinations that nothing jumps to.",
        NEXT: "Drop jumps to what follows them.",
        THREAD: "Jump at once to where a jump leads to that does nothing but jump.",
        **{name: (rule.__doc__ or "").splitlines()[0] for name, rule in PEEPHOLES.items()},
    }
)
"""What each rule does, by name."""
_FIRST: Final = (UNREACHABLE, UNTARGETED, "drop-unused", "cancel-pairs", "shorten-pushes")
_SECOND: Final = (NEXT, "order-operands", "fold-constants", "drop-neutral", "jump-on-number")
LEVELS: Final = ((), _FIRST, (*_FIRST, *_SECOND), tuple(RULES))
"""The rules of levels 0 to 3."""
OBSERVERS: Final = frozenset(("CODECOPY", "CODESIZE", "PC", "EXTCODECOPY", "EXTCODESIZE", "EXTCODEHASH"))
"""Instructions that may show how long or what code is."""
NONE: Final = "a byte that is no instruction"
_ROUNDS: Final = 16


def optimise(
    code: bytes, rows: Mapping[int, OpRow], gas: Mapping[str, int], *, rules: Sequence[str] | None, level: int
) -> OptimisationReport:
    """`code` by `rules`, or by those of `level`; `gas` has the static price of each instruction by name.

    Raises `ValueError` for a rule or level that does not exist.
    """
    names = _chosen(rules, level)
    if not code or not names:
        return OptimisationReport(code, code)
    listing = Listing(code, rows)
    flow = follow(listing)
    reason = _why_not(listing, flow)
    if reason is not None:
        return OptimisationReport(code, code, refused=tuple(replace(reason, rule=name) for name in names))
    work = _Work(listing, flow, rows, gas)
    work.apply(names)
    made = work.assembled()
    if len(made) > len(code):
        longer = Refusal("", f"the result has {len(made)} bytes, the original {len(code)}")
        return OptimisationReport(code, code, refused=(longer,))
    return OptimisationReport(code, made, tuple(work.applied))


def _chosen(rules: Sequence[str] | None, level: int) -> Sequence[str]:
    if rules is None:
        if not 0 <= level < len(LEVELS):
            raise ValueError(f"level: 0 to {len(LEVELS) - 1}, not {level}")
        return [name for name in RULES if name in LEVELS[level]]
    for rule in rules:
        if rule not in RULES:
            raise ValueError(f"there is no rule {rule!r}: {', '.join(RULES)}")
    return [name for name in RULES if name in rules]


def _why_not(listing: Listing, flow: Flow) -> Refusal | None:
    """What makes moving this code unsafe, None if nothing does."""
    if not flow.is_complete:
        return Refusal("", "the code's jumps could not be followed in time")
    for index in sorted(flow.unresolved):
        return Refusal("", "a jump whose target is not known", listing.items[index].offset)
    for number in sorted(flow.successors):
        block = listing.blocks[number]
        for item in listing.of(block):
            if item.row is not None and item.row.name in OBSERVERS:
                return Refusal("", f"{item.row.name} may look at the code", item.offset)
        # Without these instructions that need or take room on the stack would fail where they did not before.
        if effect(listing, block)[0] > flow.depths[number][0]:
            return Refusal("", "there may be too few items on the stack", listing.start(block))
        if peak(listing, flow, number) > STACK_LIMIT:
            return Refusal("", "there may be too many items on the stack", listing.start(block))
    for origin, offsets in sorted(flow.labels.items()):
        offset = listing.items[origin].offset
        if origin in flow.escaped:
            return Refusal("", "a number that is jumped to and also used otherwise", offset)
        if not offsets <= listing.destinations:
            return Refusal("", "a jump to what is no jump destination", offset)
    return None


@dataclass(slots=True)
class _Body:
    """A block in the making, from offset `start` of the original. `raw` are bytes that are kept as they are."""

    start: int
    ops: list[Op]
    raw: bytes = b""

    @property
    def is_open(self) -> bool:
        """Whether what follows it runs after it."""
        return not self.raw and not (self.ops and (self.ops[-1].row.code in ENDING or self.ops[-1].row.name == NONE))


class _Work:
    """The blocks of code that can be moved, and what was done to them."""

    def __init__(self, listing: Listing, flow: Flow, rows: Mapping[int, OpRow], gas: Mapping[str, int]) -> None:
        self.applied: list[Applied] = []
        self._gas = gas
        self._pushes = Pushes(rows)
        self._bodies = [
            _Body(listing.start(block), _ops(listing, flow, block))
            if number in flow.successors
            else _Body(listing.start(block), [], listing.code[listing.start(block) : listing.end(block)])
            for number, block in enumerate(listing.blocks)
        ]

    def apply(self, names: Sequence[str]) -> None:
        """Use the rules until nothing changes."""
        whole = {
            UNREACHABLE: self._drop_unreachable,
            THREAD: self._thread_jumps,
            NEXT: self._drop_jumps_to_next,
            UNTARGETED: self._drop_untargeted,
        }
        peepholes = {name: PEEPHOLES[name] for name in names if name in PEEPHOLES}
        for _ in range(_ROUNDS):
            before = len(self.applied)
            for name, rule in whole.items():
                if name in names:
                    rule()
            for body in self._bodies:
                self._peephole(body, peepholes)
            if len(self.applied) == before:
                return

    def assembled(self) -> bytes:
        """The code, with every label pushed in as few bytes as it takes."""
        widths: dict[int, int] = {}
        while True:
            places, size = {}, 0
            for body in self._bodies:
                places[body.start] = size
                size += len(body.raw) + sum(_width(op, widths) for op in body.ops)
            wider = {
                label: _bytes_of(place) for label, place in places.items() if _bytes_of(place) > widths.get(label, 1)
            }
            if not wider:
                break
            widths.update(wider)
        return b"".join(
            body.raw + b"".join(self._assembled(op, places, widths) for op in body.ops) for body in self._bodies
        )

    def _assembled(self, op: Op, places: Mapping[int, int], widths: Mapping[int, int]) -> bytes:
        if op.label is not None:
            width = widths.get(op.label, 1)
            return bytes([PUSH0 + width]) + places[op.label].to_bytes(width, "big")
        if op.value is not None:
            return bytes([op.row.code]) + op.value.to_bytes(op.row.immediate, "big")
        return bytes([op.row.code])

    # Rules on the whole code

    def _labels(self) -> set[int]:
        return {op.label for body in self._bodies for op in body.ops if op.label is not None}

    def _drop_unreachable(self) -> None:
        labels, kept = self._labels(), list[_Body]()
        for body in self._bodies:
            if (kept and not body.raw and (body.start in labels or kept[-1].is_open)) or (not kept and not body.raw):
                kept.append(body)
            else:
                size = len(body.raw) + sum(1 + op.row.immediate for op in body.ops)
                self.applied.append(Applied(UNREACHABLE, body.start, size, 0))
        self._bodies = kept

    def _thread_jumps(self) -> None:
        onward = {}
        for body in self._bodies:
            if [op.name for op in body.ops] == ["JUMPDEST", "PUSH", "JUMP"] and body.ops[1].label is not None:
                onward[body.start] = body.ops[1].label
        for body in self._bodies:
            for index, op in enumerate(body.ops):
                if op.label is None or body.start in onward:
                    continue
                target, seen = op.label, {op.label}
                while target in onward and onward[target] not in seen:
                    target = onward[target]
                    seen.add(target)
                if target != op.label and target not in onward:
                    body.ops[index] = replace(op, label=target)
                    saved = (len(seen) - 1) * (self._price("JUMPDEST") + self._price("PUSH1") + self._price("JUMP"))
                    self.applied.append(Applied(THREAD, op.offset, 0, saved))

    def _drop_jumps_to_next(self) -> None:
        for body, following in pairwise(self._bodies):
            ops = body.ops
            if (
                len(ops) > 1
                and ops[-1].name == "JUMP"
                and ops[-2].label is not None
                and ops[-2].label == following.start
            ):
                saved = self._price("PUSH1") + self._price("JUMP")
                self.applied.append(Applied(NEXT, ops[-2].offset, 2 + ops[-2].row.immediate, saved))
                del ops[-2:]

    def _drop_untargeted(self) -> None:
        labels, merged = self._labels(), list[_Body]()
        for body in self._bodies:
            follows = bool(merged) and merged[-1].is_open and not merged[-1].raw
            if body.raw or body.start in labels or not (follows or not merged):
                merged.append(body)
                continue
            if body.ops and body.ops[0].name == "JUMPDEST":
                self.applied.append(Applied(UNTARGETED, body.start, 1, self._price("JUMPDEST")))
                del body.ops[0]
            if follows:
                merged[-1].ops.extend(body.ops)
            else:
                merged.append(body)
        self._bodies = merged

    # Rules on neighbours

    def _peephole(self, body: _Body, rules: Mapping[str, Rule]) -> None:
        ops, at = body.ops, 0
        while at < len(ops):
            for name, rule in rules.items():
                change = rule(ops[at : at + WINDOW], self._pushes)
                if change is not None:
                    count, replacement = change
                    self._note(name, ops[at : at + count], replacement)
                    ops[at : at + count] = replacement
                    at = max(0, at - WINDOW)
                    break
            else:
                at += 1

    def _note(self, rule: str, old: Sequence[Op], new: Sequence[Op]) -> None:
        size = sum(1 + op.row.immediate for op in old) - sum(1 + op.row.immediate for op in new)
        gas = sum(self._price(op.row.name) for op in old) - sum(self._price(op.row.name) for op in new)
        self.applied.append(Applied(rule, old[0].offset, size, gas))

    def _price(self, name: str) -> int:
        return self._gas.get(name, 0)


def _ops(listing: Listing, flow: Flow, block: Block) -> list[Op]:
    ops = []
    for index in range(block.first, block.last):
        item = listing.items[index]
        if item.row is None:  # ends the run, whichever byte it is
            ops.append(Op(OpRow(item.code, NONE, None, OpKind.FLOW, 0, 0), None, None, item.offset))
            break
        label = item.value if index in flow.labels else None
        ops.append(Op(item.row, item.value, label, item.offset))
    return ops


def _width(op: Op, widths: Mapping[int, int]) -> int:
    return 1 + (op.row.immediate if op.label is None else widths.get(op.label, 1))


def _bytes_of(place: int) -> int:
    return max(1, (place.bit_length() + 7) // 8)
