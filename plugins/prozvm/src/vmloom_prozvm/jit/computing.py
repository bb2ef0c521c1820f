"""Operations on values: in place where kinds show that Python does the same, otherwise by `runtime.operations`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Final

from ..bytecode.opcodes import Opcode
from ..runtime.limits import Limits
from ..runtime.loaded import Instruction
from .hashing import HashWriter
from .kinds import (
    ANY,
    BYTES,
    INT,
    INTEGER,
    LIMB,
    LIST,
    MAP,
    ONE_LIMB,
    STRING,
    TEXT,
    TRUTH,
    Kind,
    negated,
    result,
)
from .structure import Flow
from .text import Constants, Entry
from .writing import Mode, in_limb

SIGNS: Final[Mapping[Opcode, str]] = {
    Opcode.ADD: "+",
    Opcode.SUB: "-",
    Opcode.MUL: "*",
    Opcode.DIV: "//",
    Opcode.MOD: "%",
    Opcode.EQ: "==",
    Opcode.NEQ: "!=",
    Opcode.LT: "<",
    Opcode.GT: ">",
    Opcode.LTE: "<=",
    Opcode.GTE: ">=",
}
_PRODUCTS: Final = frozenset((Opcode.MUL, Opcode.DIV, Opcode.MOD, Opcode.POW))
_ORDERS: Final = frozenset((Opcode.LT, Opcode.GT, Opcode.LTE, Opcode.GTE))
_MEASURED: Final = TEXT | BYTES | LIST | MAP
RESULTS: Final[Mapping[Opcode, Kind]] = {
    Opcode.BUILD_LIST: Kind(LIST),
    Opcode.BUILD_MAP: Kind(MAP),
    Opcode.STORE_INDEX: Kind(LIST | MAP),
    Opcode.MERKLE_ROOT: STRING,
    Opcode.VERIFY_SIGNATURE: TRUTH,
    Opcode.ITEMS: Kind(LIST),
    Opcode.SLICE: Kind(TEXT | BYTES | LIST),
    Opcode.CONTAINS: TRUTH,
    Opcode.RANGE: Kind(LIST),
    Opcode.TO_STRING: STRING,
    Opcode.TO_INTEGER: INTEGER,
    Opcode.TO_BYTES: Kind(BYTES),
    Opcode.KIND: STRING,
    Opcode.ENCODE: Kind(BYTES),
    Opcode.DECODE: ANY,
    Opcode.TRY_DECODE: ANY,
}


class OperationWriter(HashWriter):
    """Writes the instructions that compute from values alone."""

    def __init__(self, mode: Mode, constants: Constants, limits: Limits, instructions: Sequence[Instruction]) -> None:
        super().__init__(mode, constants, limits)
        self._instructions: Final = instructions
        self._flow: Final = Flow(instructions)
        self._comparison: tuple[Opcode, Entry, Entry] | None = None
        """The comparison that decides the jump at the end of the block."""

    def _is_next(self, opcode: Opcode) -> bool:
        """Whether the next instruction is one, which nothing jumps to."""
        following = self._instructions[self._at + 1 : self._at + 2]
        return bool(following) and following[0][0] is opcode and self._at + 1 not in self._flow.blocks

    def _arithmetic(self, opcode: Opcode) -> None:
        left, right = self._pop(2)
        kind = result(opcode, left.kind, right.kind)
        if opcode is Opcode.POW or not left.kind.mask & right.kind.mask & INT:
            self._slow(opcode, (left, right), kind)
        else:
            guards = [*self._int_guards(left, priced=opcode in _PRODUCTS)]
            guards += self._int_guards(right, priced=opcode in _PRODUCTS)
            if opcode in (Opcode.DIV, Opcode.MOD) and not (right.kind.above(1) or right.kind.below(-1)):
                guards.append(f"{right.text} != 0")
            sure = [self._guarded(entry, opcode in _PRODUCTS) for entry in (left, right)]
            bounds = result(opcode, *sure)
            value = f"{left.text} {SIGNS[opcode]} {right.text}"
            self._fast(opcode, (left, right), value, guards, bounds, kind)
        if opcode is not Opcode.ADD:  # it would have failed otherwise
            for entry in (left, right):
                if not entry.kind.is_int:
                    self._state.learn(entry.text, INTEGER)

    def _fast(
        self, opcode: Opcode, taken: Sequence[Entry], value: str, guards: list[str], bounds: Kind, kind: Kind
    ) -> None:
        """Compute `value` in place where the guards hold and it has one limb; leave the rest to the operation."""
        name = f"t{self._at}"
        # `bounds` are those of the value where the guards hold, `kind` is what it is in any case.
        if not guards:
            self._text.line(f"{name} = {value}")
            if not bounds.is_limb:
                with self._text.suite(f"if not {in_limb(name, bounds)}:"):
                    self._slow(opcode, taken, kind, push=False)
        else:
            guards = list(dict.fromkeys(guards))
            if bounds.is_limb:
                with self._text.suite(f"if {' and '.join(guards)}:"):
                    self._text.line(f"{name} = {value}")
                with self._text.suite("else:"):
                    self._slow(opcode, taken, kind, push=False)
            else:
                guards.append(in_limb(f"({name} := {value})", bounds))
                with self._text.suite(f"if not ({' and '.join(guards)}):"):
                    self._slow(opcode, taken, kind, push=False)
        self._push(kind)

    def _compare(self, opcode: Opcode) -> None:
        left, right = self._pop(2)
        guards = [*self._int_guards(left, priced=True), *self._int_guards(right, priced=True)]
        value = f"{left.text} {SIGNS[opcode]} {right.text}"
        if opcode in (Opcode.EQ, Opcode.NEQ) and right.literal is not None and right.literal.value is None:
            self._is_none(opcode, left, right)
        elif not left.kind.mask & right.kind.mask & INT:
            self._slow(opcode, (left, right), TRUTH)
        elif guards:
            with self._text.suite(f"if {' and '.join(guards)}:"):
                self._text.line(f"t{self._at} = {value}")
            with self._text.suite("else:"):
                self._slow(opcode, (left, right), TRUTH, push=False)
            self._push(TRUTH)
            if opcode in _ORDERS:  # what has an order with an integer is one
                for one, other in ((left, right), (right, left)):
                    if one.kind.is_int and not other.kind.is_int:
                        self._state.learn(other.text, INTEGER)
        elif self._is_next(Opcode.JUMP_IF_FALSE):
            self._comparison = opcode, left, right
            self._state.stack.append(Entry(value, TRUTH))
        else:
            self._text.line(f"{self._push(TRUTH)} = {value}")

    def _is_none(self, opcode: Opcode, left: Entry, right: Entry) -> None:
        """Compare with None, which costs more only for what is large."""
        guards = self._int_guards(left, priced=True)
        with self._text.suite(f"if {left.text} is None or {' and '.join(guards) or 'True'}:"):
            self._text.line(f"t{self._at} = {left.text} is {'' if opcode is Opcode.EQ else 'not '}None")
        with self._text.suite("else:"):
            self._slow(opcode, (left, right), TRUTH, push=False)
        self._push(TRUTH)

    def _int_guards(self, entry: Entry, *, priced: bool) -> list[str]:
        """What must hold for an operation on integers to be done in place."""
        guards = [] if entry.kind.is_int else [f"type({entry.text}) is int"]
        if priced and self._mode.priced and not entry.kind.is_limb:
            guards.append(in_limb(entry.text, entry.kind))
        return guards

    def _guarded(self, entry: Entry, priced: bool) -> Kind:
        """The kind where `_int_guards` hold."""
        return entry.kind.within(-LIMB, LIMB) if priced and self._mode.priced else entry.kind.within(None, None)

    def _negate(self, _: None) -> None:
        (entry,) = self._pop(1)
        guards = self._int_guards(entry, priced=False)
        bounds = negated(entry.kind.within(None, None))
        self._fast(Opcode.NEG, (entry,), f"-{entry.text}", guards, bounds, negated(entry.kind))
        if guards:
            self._state.learn(entry.text, INTEGER)

    def _logic(self, word: str) -> None:
        left, right = self._pop(2)
        value = f"{left.text} {word} {right.text}"
        if left.kind.mask | right.kind.mask != TRUTH.mask:
            value = f"not not ({value})"
        self._text.line(f"{self._push(TRUTH)} = {value}")

    def _not(self, _: None) -> None:
        (entry,) = self._pop(1)
        self._text.line(f"{self._push(TRUTH)} = not {entry.text}")

    def _length(self, _: None) -> None:
        (entry,) = self._pop(1)
        name, kind = f"t{self._at}", ONE_LIMB.within(0, None)
        if not entry.kind.mask & ~_MEASURED:
            self._text.line(f"{name} = len({entry.text})")
        else:
            with self._text.suite(f"if type({entry.text}) is list:"):
                self._text.line(f"{name} = len({entry.text})")
            with self._text.suite("else:"):
                self._slow(Opcode.LENGTH, (entry,), kind, push=False)
        self._push(kind)

    def _index(self, _: None) -> None:
        collection, key = self._pop(2)
        name = f"t{self._at}"
        found = [*self._item_guards(collection, key)]
        for number, (guard, value) in enumerate(found):
            with self._text.suite(f"{'elif' if number else 'if'} {guard}:"):
                self._text.line(f"{name} = {value}")
        with self._text.suite("else:") if found else nullcontext():
            self._slow(Opcode.INDEX, (collection, key), ANY, push=False)
        self._push(ANY)

    def _item_guards(self, collection: Entry, key: Entry) -> Iterator[tuple[str, str]]:
        """Where INDEX needs nothing but Python's own: the condition, and the item."""
        if collection.kind.mask & LIST and key.kind.mask & INT:
            guards = [] if collection.kind.mask == LIST else [f"type({collection.text}) is list"]
            guards += [] if key.kind.is_int else [f"type({key.text}) is int"]
            lower = "" if key.kind.above(0) else "0 <= "
            guards.append(f"{lower}{key.text} < len({collection.text})")
            yield " and ".join(guards), f"{collection.text}[{key.text}]"
        if collection.kind.mask & MAP and key.kind.mask & TEXT:
            guards = [f"type({collection.text}) is dict"]
            guards += [] if key.kind.mask == TEXT else [f"type({key.text}) is str"]
            yield " and ".join(guards), f"{collection.text}.get({key.text})"

    def _build_list(self, count: int) -> None:
        if self._is_next(Opcode.HASH_BLOCK) and self._delay_list(count):
            self._push(Kind(LIST))
        else:
            self._operation(Opcode.BUILD_LIST, self._pop(count))

    def _operation(self, opcode: Opcode, taken: Sequence[Entry]) -> None:
        self._slow(opcode, taken, RESULTS.get(opcode, ANY))
