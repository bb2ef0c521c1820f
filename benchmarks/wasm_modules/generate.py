"""Valid modules at random: every instruction that contracts may have, in code that mostly ends.

A body is made from its types downwards, so that it is valid by itself; what it computes is of no interest. Nothing here
looks at the machinery that is tested, except for the lists of opcodes and the encoding.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from vmloom_wasm.binary.module import (
    FUNCREF,
    Body,
    Custom,
    Data,
    Element,
    Export,
    FunctionType,
    Global,
    GlobalType,
    Import,
    Kind,
    Limits,
    Module,
    Section,
    TableType,
)
from vmloom_wasm.binary.opcodes import OPCODES, Group, Immediate
from vmloom_wasm.binary.writer import signed, unsigned

LETTERS: Final = "iIfF"
CODES: Final = dict(zip(LETTERS, (0x7F, 0x7E, 0x7D, 0x7C), strict=True))
HOST: Final = {"note": "i:", "ask": "I:I"}
"""Functions of the host in `env`, as the engine writes types."""
EDGES: Final = (0, 1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 1 << 15, 65535, 65536, (1 << 31) - 1, 1 << 31)
_GROUPS = frozenset((Group.MVP, Group.SIGN_EXTENSION, Group.SATURATING))
_SIMPLE = [op for op in OPCODES.values() if op.group in _GROUPS and op.pushes and op.pops and not op.immediates]
_ACCESS = [op for op in OPCODES.values() if op.group in _GROUPS and op.immediates == (Immediate.MEMORY_ARGUMENT,)]
_OPERATIONS = {letter: [op for op in _SIMPLE if op.pushes == letter] for letter in LETTERS}
_LOADS = {letter: [op for op in _ACCESS if op.pushes == letter] for letter in LETTERS}
_STORES = [op for op in _ACCESS if not op.pushes]
_NANS = {"f": (0x7FC00000, 0x7F800001, 0xFFC12345, 0xFF800000), "F": (0x7FF8 << 48, (0x7FF0 << 48) + 1, 0xFFF0 << 48)}
_MOST = 1500
"""Instructions, about, after which a body comes to its end."""


def function_type(params: str, results: str) -> FunctionType:
    """A type from letters such as `"iI"`."""
    return FunctionType(bytes(CODES[letter] for letter in params), bytes(CODES[letter] for letter in results))


def generated(rng: random.Random) -> Module:
    """A valid module that exports `main`, its memory and globals, and some of its functions."""
    return _Draft(rng).module()


class _Draft:
    """What is known of a module while its code is written."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.types: list[FunctionType] = []
        self.hosts = [name for name in HOST if rng.random() < 0.6]
        self.signatures = [tuple(HOST[name].split(":")) for name in self.hosts]
        self.signatures.append(("iii", "i"))
        for _ in range(rng.randrange(6)):
            self.signatures.append((self.letters(4), self.letters(rng.choice((0, 1, 1, 3)))))
        self.globals = [(rng.choice(LETTERS), rng.random() < 0.8) for _ in range(rng.randrange(5))]
        self.has_memory = rng.random() < 0.85
        self.table = rng.randrange(1, 12) if rng.random() < 0.6 else 0
        self.datas = rng.randrange(4) if self.has_memory else 0
        self.elements = rng.randrange(3) if self.table else 0

    def letters(self, most: int) -> str:
        """Up to so many types."""
        return "".join(self.rng.choices(LETTERS, weights=(4, 3, 1, 1), k=self.rng.randint(0, most)))

    def type_index(self, params: str, results: str) -> int:
        """The index of a type, which is added if need be."""
        kind = function_type(params, results)
        if kind not in self.types:
            self.types.append(kind)
        return self.types.index(kind)

    def module(self) -> Module:
        """All of it."""
        rng, first = self.rng, len(self.hosts)
        indices = [self.type_index(*signature) for signature in self.signatures]
        bodies = [_Code(self, number).body() for number in range(first, len(self.signatures))]
        names = rng.sample(range(first + 1, len(indices)), k=rng.randint(0, len(indices) - first - 1))
        exports = [Export("main", Kind.FUNCTION, first)]
        exports += [Export(f"f{number}", Kind.FUNCTION, number) for number in names]
        exports += [Export(f"g{number}", Kind.GLOBAL, number) for number in range(len(self.globals))]
        if self.has_memory:
            exports.append(Export("memory", Kind.MEMORY, 0))
        starts = [number for number in range(first, len(indices)) if self.signatures[number] == ("", "")]
        made = Module(
            types=tuple(self.types),
            imports=tuple(
                Import("env", name, Kind.FUNCTION, index) for name, index in zip(self.hosts, indices, strict=False)
            ),
            functions=tuple(indices[first:]),
            tables=(TableType(FUNCREF, Limits(self.table, rng.choice((None, 20)))),) if self.table else (),
            memories=(Limits(rng.choice((0, 1, 1, 1, 2)), rng.choice((None, 3, 65536))),) if self.has_memory else (),
            globals=tuple(
                Global(GlobalType(CODES[letter], mutable), constant(rng, letter) + b"\x0b")
                for letter, mutable in self.globals
            ),
            exports=tuple(exports),
            start=rng.choice(starts) if starts and rng.random() < 0.5 else None,
            elements=tuple(self.element() for _ in range(self.elements)),
            data_count=self.datas if self.datas else None,
            bodies=tuple(bodies),
            datas=tuple(self.data() for _ in range(self.datas)),
        )
        return replace(made, customs=self.customs())

    def element(self) -> Element:
        """A segment of functions, active and in place, or passive."""
        rng = self.rng
        functions = tuple(rng.choices(range(len(self.signatures)), k=rng.randint(0, self.table)))
        if rng.random() < 0.7:
            at = rng.randint(0, self.table - len(functions))
            return Element(0, 0, b"\x41" + signed(at) + b"\x0b", FUNCREF, functions)
        return Element(1, 0, b"", FUNCREF, functions)

    def data(self) -> Data:
        """A segment of bytes, active or passive. An active one may be beyond the end of an empty memory."""
        content = self.rng.randbytes(self.rng.randrange(40))
        if self.rng.random() < 0.5:
            return Data(1, 0, b"", content)
        return Data(0, 0, b"\x41" + signed(self.rng.randrange(60000)) + b"\x0b", content)

    def customs(self) -> tuple[Custom, ...]:
        """Sections that mean nothing, or names that may be broken."""
        rng = self.rng
        if rng.random() < 0.8:
            return ()
        return (Custom(rng.choice(("name", "", "producers")), rng.randbytes(rng.randrange(30)), Section.CODE),)


class _Code:
    """The code of one function."""

    def __init__(self, draft: _Draft, number: int) -> None:
        self.draft, self.rng, self.number = draft, draft.rng, number
        self.params, self.results = draft.signatures[number]
        declared = draft.letters(6)
        self.locals = self.params + declared
        self.counters = draft.rng.randrange(3)
        self.declared = declared + "i" * self.counters
        self.loops = 0
        self.labels: list[str] = [self.results]
        self.left = draft.rng.choice((10, 60, 300, _MOST))

    def body(self) -> Body:
        """Statements, then the results."""
        code = self.statements(self.rng.randint(0, 6), 4) + self.values(self.results, 3)
        return Body(tuple((1, CODES[letter]) for letter in self.declared), code + b"\x0b")

    # Statements, which leave the stack as it is

    def statements(self, count: int, depth: int) -> bytes:
        return b"".join(self.statement(depth) for _ in range(count))

    def statement(self, depth: int) -> bytes:
        self.left -= 1
        if self.left <= 0:
            return b""
        rng = self.rng
        simple = [self.set_local, self.set_global, self.store, self.dropped, self.bulk, self.called, self.branch_if]
        nested = [self.block, self.choice, self.loop, self.table_branch, self.leave]
        if depth <= 0 or rng.random() < 0.55:
            return rng.choice(simple)(depth - 1)
        return rng.choice(nested)(depth - 1)

    def set_local(self, depth: int) -> bytes:
        if not self.locals:
            return b"\x01"
        index = self.rng.randrange(len(self.locals))
        return self.value(self.locals[index], depth) + b"\x21" + unsigned(index)

    def set_global(self, depth: int) -> bytes:
        mutable = [index for index, (_, mutable) in enumerate(self.draft.globals) if mutable]
        if not mutable:
            return b""
        index = self.rng.choice(mutable)
        return self.value(self.draft.globals[index][0], depth) + b"\x24" + unsigned(index)

    def store(self, depth: int) -> bytes:
        if not self.draft.has_memory:
            return b""
        op = self.rng.choice(_STORES)
        assert op.pops is not None
        return self.place(depth) + self.value(op.pops[1], depth) + bytes((op.code, 0)) + self.offset()

    def dropped(self, depth: int) -> bytes:
        return self.value(self.rng.choice(LETTERS), depth) + b"\x1a"

    def bulk(self, depth: int) -> bytes:
        draft, rng = self.draft, self.rng
        places = self.place(depth) + self.place(depth) + self.size(depth)
        elements = self.size(0) + self.size(0) + self.size(0)
        possible = []
        if draft.has_memory:
            possible += [places + b"\xfc\x0a\0\0", places + b"\xfc\x0b\0"]
        if draft.datas:
            segment = unsigned(rng.randrange(draft.datas))
            start = self.place(depth) + self.size(0) + self.size(0)
            possible += [start + b"\xfc\x08" + segment + b"\0", b"\xfc\x09" + segment]
        if draft.table:
            possible.append(elements + b"\xfc\x0e\0\0")
        if draft.elements:
            segment = unsigned(rng.randrange(draft.elements))
            possible += [elements + b"\xfc\x0c" + segment + b"\0", b"\xfc\x0d" + segment]
        return rng.choice(possible) if possible else b"\x01"

    def called(self, depth: int) -> bytes:
        """A call whose results are dropped. Mostly of a function further on, so that most calls come to an end."""
        signatures, rng = self.draft.signatures, self.rng
        later = [*range(len(self.draft.hosts)), *range(self.number + 1, len(signatures))]
        target = rng.choice(later) if later and rng.random() < 0.93 else rng.randrange(len(signatures))
        params, results = signatures[target]
        return self.values(params, depth) + b"\x10" + unsigned(target) + b"\x1a" * len(results)

    def branch_if(self, depth: int) -> bytes:
        label = self.rng.randrange(len(self.labels))
        types = self.label(label)
        left = self.values(types, depth) + self.value("i", depth)
        return left + b"\x0d" + unsigned(label) + b"\x1a" * len(types)

    def block(self, depth: int) -> bytes:
        params, results = self.draft.letters(2), self.draft.letters(2)
        with self.within(results):
            inner = b"\x1a" * len(params) + self.statements(2, depth) + self.values(results, depth)
        kind = signed(self.draft.type_index(params, results)) if params or len(results) > 1 else self.short(results)
        return self.values(params, depth) + b"\x02" + kind + inner + b"\x0b" + b"\x1a" * len(results)

    def choice(self, depth: int) -> bytes:
        with self.within(""):
            first, second = self.statements(2, depth), self.statements(self.rng.randrange(2), depth)
        return self.value("i", depth) + b"\x04\x40" + first + (b"\x05" + second if second else b"") + b"\x0b"

    def loop(self, depth: int) -> bytes:
        """A loop that a counter of its own ends; where there is none left, a block."""
        if self.loops >= self.counters:
            return self.block(depth)
        counter = unsigned(len(self.locals) + self.loops)
        self.loops += 1
        with self.within(""):
            inner = self.statements(3, depth)
        step = b"\x20" + counter + b"\x41\x01\x6a\x22" + counter + b"\x41" + signed(self.rng.choice((1, 3, 20, 900)))
        return b"\x03\x40" + inner + step + b"\x49\x0d\x00\x0b"

    def table_branch(self, depth: int) -> bytes:
        types = self.label(self.rng.randrange(len(self.labels)))
        alike = [index for index in range(len(self.labels)) if self.label(index) == types]
        chosen = self.rng.choices(alike, k=self.rng.randint(1, 5))
        labels = unsigned(len(chosen) - 1) + b"".join(map(unsigned, chosen))
        return self.values(types, depth) + self.value("i", depth) + b"\x0e" + labels + self.dead(depth)

    def leave(self, depth: int) -> bytes:
        """Something after which nothing is reached, in a branch that is not always taken."""
        with self.within(""):
            label = self.rng.randrange(len(self.labels))
            ways = [b"\x00", self.values(self.results, depth) + b"\x0f"]
            ways.append(self.values(self.label(label), depth) + b"\x0c" + unsigned(label))
            code = self.rng.choices(ways, weights=(1, 2, 4))[0] + self.dead(depth)
        return self.value("i", depth) + b"\x04\x40" + code + b"\x0b"

    def dead(self, depth: int) -> bytes:
        """Code that is not reached, whose operands need not be there."""
        rng = self.rng
        pieces = (b"", b"\x6a\x1a", b"\x1b\x1a", b"\x01", b"\x00", b"\x45\x1a", self.statement(depth - 1))
        return b"".join(rng.choices(pieces, k=rng.randrange(3)))

    # Values

    def values(self, types: str, depth: int) -> bytes:
        return b"".join(self.value(letter, depth) for letter in types)

    def value(self, letter: str, depth: int) -> bytes:
        self.left -= 1
        rng = self.rng
        if depth <= 0 or self.left <= 0 or rng.random() < 0.2:
            return self.leaf(letter)
        makers = [self.operation] * 5 + [self.load, self.tee, self.choice_of, self.result, self.indirect, self.inner]
        if letter == "i" and self.draft.has_memory:
            makers.append(self.pages)
        return rng.choice(makers)(letter, depth - 1)

    def leaf(self, letter: str) -> bytes:
        found = [index for index, own in enumerate(self.locals) if own == letter]
        if found and self.rng.random() < 0.6:
            return b"\x20" + unsigned(self.rng.choice(found))
        known = [index for index, (own, _) in enumerate(self.draft.globals) if own == letter]
        if known and self.rng.random() < 0.4:
            return b"\x23" + unsigned(self.rng.choice(known))
        return constant(self.rng, letter)

    def operation(self, letter: str, depth: int) -> bytes:
        op = self.rng.choice(_OPERATIONS[letter])
        code = bytes((op.code,)) if op.code < 0x100 else bytes((op.code >> 8, op.code & 0xFF))
        return self.values(op.pops or "", depth) + code

    def load(self, letter: str, depth: int) -> bytes:
        if not self.draft.has_memory:
            return self.leaf(letter)
        return self.place(depth) + bytes((self.rng.choice(_LOADS[letter]).code, 0)) + self.offset()

    def tee(self, letter: str, depth: int) -> bytes:
        found = [index for index, own in enumerate(self.locals) if own == letter]
        value = self.value(letter, depth)
        return value + b"\x22" + unsigned(self.rng.choice(found)) if found else value

    def choice_of(self, letter: str, depth: int) -> bytes:
        values = self.values(letter * 2 + "i", depth)
        return values + (b"\x1b" if self.rng.random() < 0.7 else b"\x1c\x01" + bytes((CODES[letter],)))

    def result(self, letter: str, depth: int) -> bytes:
        fits = [
            number
            for number, (_, results) in enumerate(self.draft.signatures)
            if results[:1] == letter and (number > self.number or number < len(self.draft.hosts))
        ]
        if not fits:
            return self.leaf(letter)
        target = self.rng.choice(fits)
        params, results = self.draft.signatures[target]
        return self.values(params, depth) + b"\x10" + unsigned(target) + b"\x1a" * (len(results) - 1)

    def indirect(self, letter: str, depth: int) -> bytes:
        fits = [signature for signature in self.draft.signatures if signature[1][:1] == letter]
        if not fits or not self.draft.table:
            return self.leaf(letter)
        params, results = self.rng.choice(fits)
        index = b"\x41" + signed(self.rng.randrange(self.draft.table + 1))
        called = b"\x11" + unsigned(self.draft.type_index(params, results)) + b"\0"
        return self.values(params, depth) + index + called + b"\x1a" * (len(results) - 1)

    def inner(self, letter: str, depth: int) -> bytes:
        """A block, a choice or a loop with this result."""
        way = self.rng.choice((b"\x02", b"\x03", b"\x04"))
        label = "" if way == b"\x03" else letter
        with self.within(label):
            code = self.body_of(letter, depth)
            if way == b"\x04":
                code += b"\x05" + self.body_of(letter, depth)
        operand = self.value("i", depth) if way == b"\x04" else b""
        return operand + way + self.short(letter) + code + b"\x0b"

    def pages(self, letter: str, depth: int) -> bytes:
        if self.rng.random() < 0.6:
            return b"\x3f\0"
        return b"\x41" + signed(self.rng.choice((0, 0, 1, 2, 70, -1))) + b"\x40\0"

    # Parts

    def body_of(self, letter: str, depth: int) -> bytes:
        return self.statements(self.rng.randrange(3), depth) + self.value(letter, depth)

    @contextmanager
    def within(self, label: str) -> Iterator[None]:
        """Write code inside a block to whose label a branch takes these types."""
        self.labels.append(label)
        yield
        self.labels.pop()

    def short(self, results: str) -> bytes:
        return bytes((CODES[results],)) if results else b"\x40"

    def label(self, index: int) -> str:
        """What a branch to a label takes."""
        return self.labels[-1 - index]

    def place(self, depth: int) -> bytes:
        """An address, which is mostly within the first page."""
        if self.rng.random() < 0.05:
            return self.value("i", depth)
        return self.value("i", depth) + b"\x41" + signed(0xFFF8) + b"\x71"

    def size(self, depth: int) -> bytes:
        """A small number of bytes or elements, or any number."""
        if self.rng.random() < 0.04:
            return self.value("i", depth)
        return b"\x41" + signed(self.rng.choice((0, 0, 1, 2, 3, 8, 9)))

    def offset(self) -> bytes:
        return unsigned(
            self.rng.choice((0, 0, 0, 1, 8, 100, 65535, (1 << 32) - 1) if self.rng.random() < 0.1 else (0, 4))
        )


def constant(rng: random.Random, letter: str) -> bytes:
    """`t.const` of a number that is often at an edge."""
    if letter in "fF":
        width = 4 if letter == "f" else 8
        bits = rng.choice(_NANS[letter]) if rng.random() < 0.3 else rng.getrandbits(8 * width)
        if rng.random() < 0.5:
            bits = {4: 0x3F800000, 8: 0x3FF0 << 48}[width] + (rng.getrandbits(10) << 8 * width - 14)
            bits &= (1 << 8 * width) - 1
        return bytes((0x43 if letter == "f" else 0x44,)) + bits.to_bytes(width, "little")
    bits = 32 if letter == "i" else 64
    number = rng.choice(EDGES) if rng.random() < 0.6 else rng.getrandbits(rng.choice((8, bits - 1)))
    number = -number if rng.random() < 0.2 else number
    number = max(-(1 << bits - 1), min((1 << bits - 1) - 1, number))
    return bytes((0x41 if letter == "i" else 0x42,)) + signed(number)
