"""Random programs as compilers of languages write them: functions that are called and return, loops, locals, masks.

What a compiler of contracts can know of such a program is much: counters, widths, the places to go back to. That is
what it can be wrong about.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from vmloom_evm.assembly import push

from .programs import U64, WORD, Grammar, shown

WORDS: Final = (
    *(0, 0, 1, 1, 2, 3, 5, 8, 31, 32, 33, 255, 256, 257, 1000),
    *(U64 - 1, U64, U64 + 1, (1 << 63) - 1, 1 << 63, (1 << 62) + 1, (1 << 128) - 1, 1 << 128),
    *((1 << 160) - 1, (1 << 255) - 1, 1 << 255, WORD - 2, WORD - 1, WORD - 32, 0x1234567890ABCDEF << 70),
)
MASKS: Final = (
    1,
    7,
    31,
    255,
    0xFFFF,
    0xFFFFFFFF,
    (1 << 63) - 1,
    U64,
    U64,
    (1 << 65) - 1,
    (1 << 128) - 1,
    (1 << 160) - 1,
)
DEEPEST: Final = 3
"""of expressions, and of statements within statements"""
MOST_LOCALS: Final = 6
OBSCURED: Final = 0.08
"""Of calls: compiled code has to take the function, or where it goes back to, for any."""
ADD, ISZERO, AND, MLOAD, MSTORE, JUMP, JUMPI, DEST, POP = (
    bytes([code]) for code in (0x01, 0x15, 0x16, 0x51, 0x52, 0x56, 0x57, 0x5B, 0x50)
)


class Functions:
    """Writes a program that calls functions of its own and returns all that it has in the end.

    A function finds its arguments on top of the place to go back to, and leaves one word instead of all. `height` is
    the number of words above the bottom of the function, which are its locals and what an expression has so far.
    """

    def __init__(self, grammar: Grammar, rng: Random) -> None:
        self.rng = rng
        self.pure = [(code, pops) for code, pops in grammar.pure if code != 0x0A]
        self.shifts = [code for code, _ in self.pure if 0x1B <= code <= 0x1D] or [0x02]
        """Forks before EIP-145 have none, and multiply."""
        self.code = bytearray()
        self.height = 0
        self.places: list[int] = []
        """Where labels are, by their number; -1 for those that are not yet."""
        self.uses: list[tuple[int, int]] = []
        """Where in the code the place of a label belongs, and its number."""
        self.takes = [rng.randint(1, 3) for _ in range(rng.randint(1, 4))]
        """How many arguments each function takes."""
        self.entries = [self.new_label() for _ in self.takes]

    def program(self) -> bytes:
        """A whole one."""
        rng = self.rng
        for _ in range(rng.randint(2, 6)):
            self.statement(0, 0)
        for number in range(len(self.takes)):
            if rng.random() < 0.7 and self.height < MOST_LOCALS:
                self.call(number, 0)
        self.code += shown(self.height) + bytes(push(32 * self.height)) + b"\x60\x00\xf3"
        for number in range(len(self.takes)):
            self.function(number)
        for place, label in self.uses:
            self.code[place : place + 2] = self.places[label].to_bytes(2, "big")
        return bytes(self.code)

    def function(self, number: int) -> None:
        """One that may call those behind it. Its arguments are its first locals."""
        self.place(self.entries[number])
        self.height = self.takes[number]
        for _ in range(self.rng.randint(1, 4)):
            self.statement(0, number + 1)
        self.expression(0)
        while self.height > 1:  # the result takes the place of one local after the other
            self.write(b"\x90" + POP, -1)
        self.write(b"\x90" + JUMP, 0)

    # Labels and heights

    def new_label(self) -> int:
        """The number of a label that is nowhere yet."""
        self.places.append(-1)
        return len(self.places) - 1

    def place(self, label: int) -> None:
        """Put a label here."""
        self.places[label] = len(self.code)
        self.code += DEST

    def push_label(self, label: int) -> None:
        """Push where a label is, or is going to be."""
        self.code += b"\x61"
        self.uses.append((len(self.code), label))
        self.code += b"\0\0"
        self.height += 1

    def write(self, code: bytes, change: int) -> None:
        """Write instructions that change the height by so much."""
        self.code += code
        self.height += change

    def obscure(self) -> None:
        """Seldom, let nobody know which label is on top: add a word of the input where there is none."""
        if self.rng.random() < OBSCURED:
            self.write(b"\x61\x03\xff\x35" + ADD, 0)

    # Statements

    def statement(self, depth: int, first: int) -> None:
        """A statement; functions from number `first` on may be called. Within others, no new locals are made."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.3 and depth == 0 and self.height < MOST_LOCALS:
            self.expression(0)
        elif chance < 0.55:
            self.expression(0)
            self.assign()
        elif chance < 0.7 and depth < DEEPEST:
            self.branch(depth, first)
        elif chance < 0.82 and depth < DEEPEST - 1:
            self.loop(depth, first)
        elif chance < 0.9:
            self.expression(1)
            self.address()
            self.write(MSTORE if rng.random() < 0.8 else b"\x53", -2)
        elif chance < 0.94:
            self.expression(1)
            self.write(bytes((0x60, rng.randrange(3), 0x55)), -1)
        elif first < len(self.takes):
            self.call(rng.randrange(first, len(self.takes)), 1)
            self.assign()

    def assign(self) -> None:
        """Let a local be the word on top, if there is any."""
        if self.height > 1:
            other = self.rng.randrange(1, min(self.height, 17))
            self.write(bytes((0x8F + other,)) + POP, -1)
        else:
            self.write(POP, -1)

    def branch(self, depth: int, first: int) -> None:
        """An `if`, some with another side."""
        other, behind = self.new_label(), self.new_label()
        self.condition()
        self.push_label(other)
        self.write(JUMPI, -2)
        self.body(depth, first)
        if self.rng.random() < 0.5:
            self.push_label(behind)
            self.write(JUMP, -1)
            self.place(other)
            self.body(depth, first)
            self.place(behind)
        else:
            self.place(other)

    def body(self, depth: int, first: int) -> None:
        """Statements that leave the height as it was."""
        for _ in range(self.rng.randint(0, 3)):
            self.statement(depth + 1, first)

    def loop(self, depth: int, first: int) -> None:
        """A counter on top of all, up to a number or down to 0."""
        rng = self.rng
        head = self.new_label()
        step = rng.choice((1, 1, 1, 2, 32, 127, 128, 129))
        if rng.random() < 0.5:  # down; the counter is changed by assignments now and then, and gas ends it
            self.write(bytes((0x60, rng.randint(1, 6))), 1)
            self.place(head)
            self.body(depth, first)
            self.write(b"\x60\x01\x90\x03\x80", 1)
            self.push_label(head)
            self.write(JUMPI, -2)
        else:
            self.write(bytes(push(rng.choice((0, 0, 1, (1 << 62) - 1, 1 << 62, U64 - 300)))), 1)
            self.place(head)
            self.body(depth, first)
            self.write(bytes(push(step)) + ADD, 0)
            limit = rng.choice((3 * step, 5, (1 << 62) + 2 * step, U64 + 2, U64 - 200))
            self.write(b"\x80" + bytes(push(limit)) + b"\x11", 1)  # limit > counter
            self.push_label(head)
            self.write(JUMPI, -2)
        self.write(POP, -1)

    def call(self, number: int, depth: int) -> None:
        """Call a function: its result is on top then."""
        back, height = self.new_label(), self.height
        self.push_label(back)
        self.obscure()
        for _ in range(self.takes[number]):
            self.expression(depth + 1)
        self.push_label(self.entries[number])
        self.obscure()
        self.write(JUMP, 0)
        self.place(back)
        self.height = height + 1

    # Expressions

    def condition(self) -> None:
        """A word that is 0 or not, about as often."""
        if self.rng.random() < 0.7:
            self.expression(1)
            self.expression(1)
            self.write(bytes((self.rng.choice((0x10, 0x11, 0x12, 0x13, 0x14)),)), -1)
            self.write(ISZERO * self.rng.choice((0, 0, 1, 2)), 0)
        else:
            self.expression(1)
            self.write(b"\x60\x01" + AND, 0)

    def address(self) -> None:
        """A place in memory that is not far."""
        if self.rng.random() < 0.7:
            self.write(bytes((0x60, self.rng.choice((0, 0, 32, 64, 65, 128, 200)))), 1)
        else:
            self.expression(1)
            self.write(b"\x60\xff" + AND, 0)

    def expression(self, depth: int) -> None:
        """Any word."""
        rng = self.rng
        chance = rng.random()
        if depth >= DEEPEST or chance < 0.25:
            self.leaf()
        elif chance < 0.45:
            self.expression(depth + 1)
            self.write(bytes(push(rng.choice(MASKS))) + AND, 0)
        elif chance < 0.52:
            self.shift(depth)
        elif chance < 0.58:
            self.division(depth)
        elif chance < 0.63:
            self.address()
            self.write(MLOAD, 0)
        else:
            code, pops = rng.choice(self.pure)
            for _ in range(pops):
                self.expression(depth + 1)
            self.write(bytes((code,)), 1 - pops)

    def shift(self, depth: int) -> None:
        """By an amount that stands there, or by any."""
        rng = self.rng
        self.expression(depth + 1)
        if rng.random() < 0.5:
            self.write(bytes(push(rng.choice(MASKS))) + AND, 0)
        if rng.random() < 0.4:
            self.write(bytes(push(rng.choice((1, 8, 32, 63, 64, 65, 128, 192, 255, 256)))), 1)
        else:
            self.masked_leaf((63, 127, 255, 511))
        self.write(bytes((rng.choice(self.shifts),)), -1)

    def division(self, depth: int) -> None:
        """Of numbers that are not large, some of them 0."""
        self.expression(depth + 1)
        self.write(bytes(push(self.rng.choice(MASKS))) + AND, 0)
        self.masked_leaf(MASKS)
        swap = b"\x90" * self.rng.randrange(2)
        self.write(swap + bytes((self.rng.choice((0x04, 0x05, 0x06, 0x07)),)), -1)

    def masked_leaf(self, masks: Sequence[int]) -> None:
        """Bits of a word."""
        self.leaf()
        self.write(bytes(push(self.rng.choice(masks))) + AND, 0)

    def leaf(self) -> None:
        """A word that is there, a constant, or one of the input."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.45 and self.height:
            self.write(bytes((0x7F + rng.randint(1, min(self.height, 16)),)), 1)
        elif chance < 0.8:
            self.write(bytes(push(rng.choice(WORDS))), 1)
        elif chance < 0.9:
            self.write(bytes((0x60, rng.choice((0, 1, 4, 32, 64)), 0x35)), 1)
        elif chance < 0.97:
            self.write(bytes((rng.choice((0x5A, 0x59, 0x36, 0x34, 0x33, 0x3D if rng.random() < 0.1 else 0x30)),)), 1)
        else:
            self.write(bytes((0x60, rng.randrange(3), 0x54)), 1)
