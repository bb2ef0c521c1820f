"""Random programs: written phrase by phrase, so that most of what they do succeeds, and mutations of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Final, TypeVar

from vmloom_evm.assembly import push
from vmloom_evm.delegation import designator
from vmloom_evm.forks import FORKS, Fork
from vmloom_evm.table import OPS

from .places import CONTRACTS, PRECOMPILES, TARGETS

T = TypeVar("T")
WORD: Final = 1 << 256
U64: Final = (1 << 64) - 1
P: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The prime of bn254."""
SMALL: Final = [bytes(push(number)) for number in (*range(10), 16, 31, 32, 33, 64, 100, 255, 256, 1000)]
EDGES: Final = [
    bytes(push(number))
    for bits in (8, 16, 31, 32, 63, 64, 127, 128, 159, 160, 191, 192, 255, 256)
    for number in ((1 << bits) - 2, (1 << bits) - 1, *((1 << bits, (1 << bits) + 1) if bits < 256 else ()))
]
ADDRESSES: Final = [bytes(push(one)) for one in TARGETS]
KEYS: Final = [bytes(push(key)) for key in (0, 0, 0, 1, 1, 2, WORD - 1)]
"""Slots that all programs use."""
OFFSETS: Final = [bytes(push(number)) for number in (0, 0, 0, 1, 31, 32, 32, 33, 64, 96, 100, 128, 200)]
SIZES: Final = [bytes(push(number)) for number in (0, 1, 4, 20, 31, 32, 32, 32, 33, 64, 64, 96, 128, 213)]
LARGE: Final = [bytes(push(number)) for number in (256, 500, 1024, 1025, 4096, 10_000, 1 << 15, 1 << 17)]
GIANT: Final = [
    bytes(push(number))
    for number in (1 << 31, (1 << 32) - 32, 1 << 32, (1 << 63) - 1, 1 << 63, U64 - 31, U64, 1 << 64, 1 << 255, WORD - 1)
]
GAS: Final = b"\x5a"
RETURNDATASIZE: Final = OPS["RETURNDATASIZE"].code
RETURNDATACOPY: Final = OPS["RETURNDATACOPY"].code
GAS_LIMITS: Final = [
    *[GAS] * 6,
    *(bytes(push(number)) for number in (0, 100, 700, 2300, 2301, 3000, 9000, 20_000, 20_000, 50_000)),
]
WEI: Final = [bytes(push(number)) for number in (*[0] * 8, 1, 1, 7, 1000, 1 << 70, WORD - 1)]
ARGUMENTS: Final = [bytes(push(number)) for number in (0, 1, 1, 1, 2, 2, 3, 27, 28, 32, WORD - 1, P - 2, P, 12 << 224)]
"""Words of the input of a precompile: points of curves, sizes of numbers, a count of rounds."""
INPUTS: Final = [bytes(push(number)) for number in (0, 32, 64, 96, 97, 98, 100, 128, 128, 128, 160, 192, 192, 213)]
OUTPUTS: Final = [bytes(push(number)) for number in (0, 32, 32, 64, 64, 100)]
PRECOMPILE_PUSHES: Final = [bytes(push(one)) for one in PRECOMPILES]
SALTS: Final = [bytes(push(number)) for number in (0, 0, 0, 1, WORD - 1)]
RUNTIMES: Final = [
    *(bytes.fromhex(text) for text in ("33ff", "30ff", "fe", "ef00", "600160005560016000f3", "600054600101600055")),
    *(bytes.fromhex(text) for text in ("60006000fd", "60206000f3", "5b600056", "3660006000373660006000f3")),
    *map(designator, (CONTRACTS[0], CONTRACTS[1])),
]
"""Code of new contracts, short enough to fit one word with what returns it."""


def returning(runtime: bytes) -> bytes:
    """Initcode of at most a word for `runtime`."""
    size = len(runtime)
    return bytes(push(runtime)) + b"\x60\x00\x52" + bytes((0x60, size, 0x60, 32 - size, 0xF3))


INITCODES: Final = [
    *map(returning, RUNTIMES),
    *(
        bytes.fromhex(text)
        for text in (
            "",
            "00",
            "fe",
            "33ff",
            "30ff",
            "ef",
            "60006000f3",
            "60016000f3",
            "60ef60005360016000f3",  # code 0xef
            "6160006000f3",  # as much code as a contract may have
            "6160016000f3",  # more
            "61c0016000f3",
            "60006000fd",
            "60206000fd",
            "6001600055600080f3",
            "60016000556000600055600080f3",
            "600160005d60005c60005560016000a000",
            "3360005260206000f3",
            "34600155473155600080f3",
            "6000600060006000600033 5af1600055".replace(" ", ""),
            "6000600060006000335af4600055",
            "30318060005560205260206000f3",
            "60016000f060005500",  # underflow
            "600060006000f060005500",
            "36600055386001553d600255",
        )
    ),
]
"""Short programs that create a contract, or fail at it."""
TEMPLATES: Final = [
    bytes.fromhex(text)
    for text in (
        "600054600101600055",  # count
        "60003560005260206000a0",
        "3660006000373660006000a1",
        "60206000f3",
        "60003580600057005b",
        "5b6103e85a1160005700",
        "60006000600060006000335af150",
        "33ff",
    )
]


class Grammar:
    """What the programs of a fork are made of."""

    def __init__(self, fork: Fork) -> None:
        rows = [row for row in OPS.values() if row.name in fork.gas]
        self.has = frozenset(row.name for row in rows)
        pure = [row for row in rows if row.code < 0x20 and row.function is not None and row.name != "STOP"]
        self.pure = [(row.code, row.pops) for row in pure]
        self.nullary = [row.code for row in rows if row.pops == 0 and row.pushes == 1 and not row.immediate]
        self.of_account = [OPS[name].code for name in ("BALANCE", "EXTCODESIZE", "EXTCODEHASH") if name in self.has]
        self.of_number = [OPS[name].code for name in ("BLOCKHASH", "BLOBHASH", "CALLDATALOAD") if name in self.has]
        copies = ("CALLDATACOPY", "CODECOPY", "RETURNDATACOPY", "MCOPY")
        self.copies = [OPS[name].code for name in copies if name in self.has]
        self.calls = [OPS[name].code for name in ("CALL", "CALL", "CALLCODE") if name in self.has]
        self.calls += [OPS[name].code for name in ("DELEGATECALL", "STATICCALL") if name in self.has]
        self.creates = [OPS[name].code for name in ("CREATE", "CREATE2", "CREATE2") if name in self.has]
        self.absent = [code for code in range(256) if code not in {row.code for row in rows}]
        weighted: Sequence[tuple[int, Callable[[Writer], None]]] = (
            (26, Writer.compute),
            (8, Writer.ask),
            (5, Writer.ask_account),
            (3, Writer.ask_number),
            (5, Writer.store_word),
            (3, Writer.load_word),
            (3, Writer.copy),
            (1, Writer.copy_code),
            (2, Writer.hash),
            (6, Writer.load_slot),
            (8, Writer.store_slot),
            (4 if "TLOAD" in self.has else 0, Writer.transient),
            (2, Writer.log),
            (8, Writer.call),
            (1, Writer.precompile),
            (3, Writer.create),
            (8, Writer.shuffle),
            (3, Writer.branch),
            (2, Writer.loop),
            (1, Writer.template),
        )
        self.phrases = [phrase for weight, phrase in weighted for _ in range(weight)]
        self.rare: list[Callable[[Writer], None]] = [
            Writer.noise,
            Writer.wild_jump,
            Writer.jump_into_data,
            Writer.finish,
            Writer.underflow,
            Writer.overflow,
            Writer.spin,
        ]


@cache
def grammar_of(fork: str) -> Grammar:
    """The grammar of the fork of this name."""
    return Grammar(FORKS[fork])


class Writer:
    """Writes one program. `height` is how many words the stack holds for certain."""

    __slots__ = ("blobs", "code", "grammar", "height", "level", "random", "rng")

    def __init__(self, grammar: Grammar, rng: Random, level: int = 0) -> None:
        self.grammar = grammar
        self.rng = rng
        self.random = rng.random
        self.code = bytearray()
        self.height = 0
        self.level = level
        self.blobs: list[tuple[int, bytes]] = []

    def pick(self, items: Sequence[T]) -> T:
        """Any of them."""
        return items[int(self.random() * len(items))]

    def program(self, phrases: int) -> bytes:
        """A program of so many phrases."""
        self.write(phrases)
        chance = self.random()
        if chance < 0.4:
            self.show()
        elif chance < 0.9:
            self.finish()
        for place, blob in self.blobs:
            self.code[place : place + 2] = len(self.code).to_bytes(2, "big")
            self.code += blob
        return bytes(self.code)

    def write(self, phrases: int) -> None:
        """Write so many phrases."""
        grammar, random = self.grammar, self.random
        for _ in range(phrases):
            choices = grammar.rare if random() < 0.004 else grammar.phrases
            choices[int(random() * len(choices))](self)
            if self.height > 12:
                self.code += b"\x50"
                self.height -= 1

    # Pieces

    def push(self, pushed: bytes) -> None:
        """Write an instruction that pushes a word."""
        self.code += pushed
        self.height += 1

    def op(self, code: int, pops: int, pushes: int) -> None:
        """Write an instruction whose operands are there."""
        self.code.append(code)
        self.height += pushes - pops

    def word(self) -> None:
        """Push anything."""
        chance = self.random()
        if chance < 0.3 and self.height:
            self.push(bytes((0x80 + int(self.random() * min(self.height, 16)),)))
        elif chance < 0.62:
            self.push(self.pick(SMALL))
        elif chance < 0.82:
            self.push(self.pick(EDGES))
        elif chance < 0.87:
            self.push(self.pick(ADDRESSES))
        else:
            size = 1 + int(self.random() * 32)
            self.push(bytes((0x5F + size,)) + self.rng.randbytes(size))

    def operands(self, count: int) -> None:
        """See to it that `count` words are there, which may be ones that were there."""
        if self.height >= count and self.random() < 0.4:
            return
        for _ in range(count):
            self.word()

    def extent(self, usual: Sequence[bytes]) -> None:
        """Push an offset or a size: one of `usual`, seldom a large or an absurd one."""
        chance = self.random()
        self.push(self.pick(usual if chance < 0.98 else LARGE if chance < 0.995 else GIANT))

    def range(self) -> None:
        """Push a size and an offset above it."""
        self.extent(SIZES)
        self.extent(OFFSETS)

    def settle(self) -> None:
        """Do something with the word on top, or leave it."""
        chance = self.random()
        if chance < 0.25:
            self.push(self.pick(KEYS))
            self.op(0x55, 2, 0)
        elif chance < 0.4:
            self.push(self.pick(OFFSETS))
            self.op(0x52, 2, 0)
        elif chance < 0.5:
            self.op(0x50, 1, 0)

    # Phrases

    def compute(self) -> None:
        """Arithmetic, comparison or bits."""
        code, pops = self.pick(self.grammar.pure)
        self.operands(pops)
        self.op(code, pops, 1)

    def ask(self) -> None:
        """An instruction without operands."""
        self.op(self.pick(self.grammar.nullary), 0, 1)

    def account(self) -> None:
        """Push an address."""
        if self.height and self.random() < 0.1:
            self.word()
        else:
            self.push(self.pick(ADDRESSES))

    def ask_account(self) -> None:
        """Look at an account."""
        self.account()
        self.op(self.pick(self.grammar.of_account), 1, 1)

    def ask_number(self) -> None:
        """A hash of a block or a blob, or a word of the input."""
        code = self.pick(self.grammar.of_number)
        if code == 0x40 and self.random() < 0.8:
            self.push(self.pick(SMALL))
            self.op(0x43, 0, 1)
            self.op(0x03, 2, 1)
        elif self.random() < 0.8:
            self.push(self.pick(SMALL))
        else:
            self.word()
        self.op(code, 1, 1)

    def store_word(self) -> None:
        """MSTORE, MSTORE8"""
        self.operands(1)
        self.extent(OFFSETS)
        self.op(0x52 if self.random() < 0.8 else 0x53, 2, 0)

    def load_word(self) -> None:
        """MLOAD"""
        self.extent(OFFSETS)
        self.op(0x51, 1, 1)

    def copy(self) -> None:
        """Copy within memory or into it."""
        code = self.pick(self.grammar.copies)
        if code == RETURNDATACOPY and self.random() < 0.8:  # all that there is, or a byte too many
            self.op(RETURNDATASIZE, 0, 1)
            self.push(self.pick(SMALL[:1] * 9 + SMALL[1:2]))
        else:
            self.range()
        self.extent(OFFSETS)
        self.op(code, 3, 0)

    def copy_code(self) -> None:
        """EXTCODECOPY"""
        self.extent(SIZES)
        self.extent(OFFSETS)
        self.extent(OFFSETS)
        self.account()
        self.op(0x3C, 4, 0)

    def hash(self) -> None:
        """KECCAK256"""
        self.range()
        self.op(0x20, 2, 1)

    def load_slot(self) -> None:
        """SLOAD"""
        if self.random() < 0.9:
            self.push(self.pick(KEYS))
        else:
            self.word()
        self.op(0x54, 1, 1)

    def store_slot(self) -> None:
        """SSTORE"""
        if self.random() < 0.6:
            self.push(self.pick(SMALL[:4]))
        else:
            self.operands(1)
        self.push(self.pick(KEYS))
        self.op(0x55, 2, 0)

    def transient(self) -> None:
        """TLOAD, TSTORE"""
        if self.random() < 0.5:
            self.push(self.pick(KEYS))
            self.op(0x5C, 1, 1)
            self.settle()
        else:
            self.operands(1)
            self.push(self.pick(KEYS))
            self.op(0x5D, 2, 0)

    def log(self) -> None:
        """LOG0 to LOG4"""
        topics = int(self.random() * 5)
        self.operands(topics)
        self.range()
        self.op(0xA0 + topics, topics + 2, 0)

    def call(self) -> None:
        """Any of the calls."""
        code = self.pick(self.grammar.calls)
        self.range()
        self.range()
        if code < 0xF4:
            self.push(self.pick(WEI))
        self.account()
        self.push(self.pick(GAS_LIMITS) if self.random() < 0.97 else self.pick(GIANT))
        self.op(code, 7 if code < 0xF4 else 6, 1)
        self.settle()

    def precompile(self) -> None:
        """Call a precompile with numbers that some of them like."""
        for place in range(0, 32 * int(2 + self.random() * 5), 32):
            self.code += self.pick(ARGUMENTS) + bytes((0x60, place, 0x52))
        code = self.pick(self.grammar.calls)
        self.push(self.pick(OUTPUTS))
        self.extent(OFFSETS)
        self.push(self.pick(INPUTS))
        self.push(b"\x60\x00")
        if code < 0xF4:
            self.push(self.pick(WEI[:10]))
        self.push(self.pick(PRECOMPILE_PUSHES))
        self.push(self.pick(GAS_LIMITS[:8]))
        self.op(code, 7 if code < 0xF4 else 6, 1)
        self.settle()

    def create(self) -> None:
        """CREATE, CREATE2, and a look at what has come of it."""
        code = self.pick(self.grammar.creates)
        if self.level or self.random() < 0.6:
            size = self.place_short(self.pick(INITCODES))
        else:
            size = self.place_long(Writer(self.grammar, self.rng, 1).program(1 + int(self.random() * 8)))
        if code == 0xF5:
            self.push(self.pick(SALTS))
        self.push(bytes(push(size)) if self.random() < 0.97 else self.pick(SIZES))
        self.push(b"\x60\x00")
        self.push(self.pick(WEI))
        self.op(code, 4 if code == 0xF5 else 3, 1)
        chance = self.random()
        if chance < 0.4:  # call it
            self.code += (
                b"\x60\x20\x60\x00\x60\x20\x60\x00" + self.pick(WEI) + b"\x85" + self.pick(GAS_LIMITS) + b"\xf1"
            )
            self.height += 1
        elif chance < 0.5:
            self.op(0x80, 1, 2)
            self.op(self.pick(self.grammar.of_account), 1, 1)
        self.settle()

    def place_short(self, code: bytes) -> int:
        """Put code of at most a word at the beginning of memory."""
        self.code += b"\x7f" + code.ljust(32, b"\0") + b"\x60\x00\x52"
        return len(code)

    def place_long(self, code: bytes) -> int:
        """Put code at the beginning of memory, from behind the end of the program."""
        self.code += bytes(push(len(code))) + b"\x61\x00\x00"
        self.blobs.append((len(self.code) - 2, code))
        self.code += b"\x60\x00\x39"
        return len(code)

    def shuffle(self) -> None:
        """DUP, SWAP, POP"""
        height = self.height
        chance = self.random()
        if height == 0:
            self.word()
        elif chance < 0.4:
            self.op(0x80 + int(self.random() * min(height, 16)), 0, 1)
        elif chance < 0.7 and height > 1:
            self.op(0x90 + int(self.random() * min(height - 1, 16)), 0, 0)
        else:
            self.op(0x50, 1, 0)

    def body(self) -> None:
        """A few phrases that leave the stack as it was."""
        height, self.height = self.height, 0
        self.write(1 + int(self.random() * 3))
        self.code += b"\x50" * self.height
        self.height = height

    def branch(self) -> None:
        """Skip a few phrases, or do not."""
        if self.random() < 0.5:
            self.push(self.pick(SMALL[:2]))
        else:
            self.operands(1)
        self.code += b"\x61\x00\x00\x57"
        place = len(self.code) - 3
        self.height -= 1
        self.body()
        self.code[place : place + 2] = len(self.code).to_bytes(2, "big")
        self.code += b"\x5b"

    def loop(self) -> None:
        """A few phrases, a few times."""
        self.code += bytes((0x60, 1 + int(self.random() * 5)))
        start = len(self.code)
        self.code += b"\x5b"
        self.body()
        self.code += b"\x60\x01\x90\x03\x80\x61" + start.to_bytes(2, "big") + b"\x57\x50"

    def template(self) -> None:
        """A piece of known code. What it leaves on the stack is not counted."""
        self.code += self.pick(TEMPLATES)

    def finish(self) -> None:
        """End."""
        chance = self.random()
        if chance < 0.5:
            self.range()
            self.op(0xF3, 2, 0)
        elif chance < 0.68:
            self.op(0x00, 0, 0)
        elif chance < 0.82 and "REVERT" in self.grammar.has:
            self.range()
            self.op(0xFD, 2, 0)
        elif chance < 0.97:
            self.account()
            self.op(0xFF, 1, 0)
        else:
            self.op(self.pick(self.grammar.absent), 0, 0)

    def show(self) -> None:
        """End with all words of the stack in the open, whose values would mostly be seen by nobody."""
        height = self.height
        self.code += shown(height)
        self.code += bytes(push(32 * height)) + b"\x60\x00\xf3"
        self.height = 0

    # Seldom

    def noise(self) -> None:
        """Bytes."""
        self.code += self.rng.randbytes(1 + int(self.random() * 4))

    def wild_jump(self) -> None:
        """Jump anywhere."""
        self.word()
        self.op(0x56, 1, 0)

    def jump_into_data(self) -> None:
        """Jump to what looks like a destination."""
        self.code += b"\x61\x5b\x5b\x61" + (len(self.code) + 1 + int(self.random() * 3)).to_bytes(2, "big") + b"\x56"
        self.height += 1

    def underflow(self) -> None:
        """Take what may not be there."""
        self.code.append(0x80 + int(self.random() * 32))

    def overflow(self) -> None:
        """Push until nothing more fits, or nearly so."""
        start = len(self.code)
        target = start.to_bytes(2, "big")
        if self.random() < 0.5:
            self.code += b"\x5b\x5a\x61" + target + b"\x56"
        else:  # to a height of about 1024
            times = (1016 - int(self.random() * 5)).to_bytes(2, "big")
            start += 3
            self.code += b"\x61" + times + b"\x5b\x80\x60\x01\x90\x03\x80\x61" + start.to_bytes(2, "big") + b"\x57"

    def spin(self) -> None:
        """Until there is no gas."""
        self.code += b"\x5b"
        start = len(self.code) - 1
        self.body()
        self.code += b"\x61" + start.to_bytes(2, "big") + b"\x56"


def shown(words: int) -> bytes:
    """Move the top `words` items of the stack to the beginning of memory."""
    return b"".join(bytes(push(32 * place)) + b"\x52" for place in range(words))


class Maze:
    """Writes programs of small blocks that jump to each other.

    They jump by constants, by addresses that they were given to go back to, and to anywhere by how much gas is left.
    Words go round and round in them, and nothing but gas ends some. The last block returns the words that there are.
    """

    STRIDE: Final = 64
    """Bytes of a block, so that a computed jump hits the beginning of one."""
    HEIGHT: Final = 6
    """Words that are there before the first block."""

    def __init__(self, grammar: Grammar, rng: Random) -> None:
        self.rng = rng
        self.blocks = rng.choice((4, 8, 8))
        self.pure = [code for code, pops in grammar.pure if pops == 2 and code != 0x0A]

    def program(self) -> bytes:
        """A whole one."""
        first = b"".join(self.word() for _ in range(self.HEIGHT))
        blocks, deep = [self.fitted(first, b"", 0)], b""
        if self.rng.random() < 0.08:  # begin with about as many words as the stack may hold
            place = self.STRIDE * (self.blocks + 1)
            blocks = [(b"\x5b" + bytes(push(place, 2)) + b"\x56").ljust(self.STRIDE, b"\xfe")]
            words = (1024 - self.HEIGHT - self.rng.randrange(8)).to_bytes(2, "big")
            head = (place + 4).to_bytes(2, "big")
            deep = b"\x5b\x61" + words + b"\x5b\x80\x60\x01\x90\x03\x80\x61" + head + b"\x57" + first
            deep += bytes(push(self.STRIDE, 2)) + b"\x56"
        for number in range(1, self.blocks):
            actions = b"".join(self.action() for _ in range(self.rng.randrange(6)))
            blocks.append(self.fitted(actions, self.end(), number))
        last = b"\x5b" + shown(self.HEIGHT) + bytes((0x60, 32 * self.HEIGHT, 0x60, 0, 0xF3))
        return b"".join((*blocks, last.ljust(self.STRIDE, b"\xfe"), deep))

    def fitted(self, body: bytes, end: bytes, number: int) -> bytes:
        """A block of the right size. If its end does not jump, it goes on with any other, mostly the next one."""
        following = (number + 1) % self.blocks if self.rng.random() < 0.7 else self.rng.randrange(self.blocks)
        end += b"\x61" + (self.STRIDE * following).to_bytes(2, "big") + b"\x56"
        whole = body if len(body) + len(end) < self.STRIDE else b""
        return (b"\x5b" + whole + end).ljust(self.STRIDE, b"\xfe")

    def word(self) -> bytes:
        """Push a word of at most eight bytes."""
        rng = self.rng
        return bytes(push(rng.choice((0, 0, 1, 2, 9, 31, 255, 1 << 32, (1 << 62) + rng.randrange(3), U64))))

    def place(self) -> bytes:
        """Push where a block begins."""
        return bytes(push(self.STRIDE * self.rng.randrange(self.blocks), 2))

    def action(self) -> bytes:
        """Change some words; their number stays as it is."""
        rng = self.rng
        other = rng.randrange(1, self.HEIGHT)
        copies = bytes((0x80 + rng.randrange(self.HEIGHT), 0x80 + rng.randrange(self.HEIGHT)))
        kept = bytes((0x90 + rng.randrange(self.HEIGHT), 0x50))
        return rng.choice(
            (
                bytes((0x60, rng.choice((1, 1, 3, 32, 128, 129)), 0x01)),
                b"\x60\x01\x90\x03",
                bytes((0x8F + other,)),
                copies + bytes((rng.choice(self.pure),)) + kept,
                copies + bytes((rng.choice((0x10, 0x11, 0x14, 0x16, 0x1B, 0x1C)),)) + kept,
                self.word() + kept,
                self.place() + kept,
                bytes((0x80 + other, 0x60, rng.randrange(100), rng.choice((0x52, 0x53)))),
                bytes((0x60, rng.choice((0, 1, 32, 70, 200)), 0x51)) + kept,
                b"\x5a" + kept,
                b"\x60\xff\x16",
                bytes((0x60, rng.randrange(2), 0x54)) + kept,
                bytes((0x80, 0x60, rng.randrange(2), 0x55)) if rng.random() < 0.3 else b"",
                b"\x60\x00\x60\x00\x60\x00\x60\x00\x60\x00\x30\x61\x03\xe8\xf1" + kept if rng.random() < 0.2 else b"",
                rng.choice((b"\x50", b"\x80", b"\x59")) if rng.random() < 0.1 else b"",  # a word less, or one more
                bytes((0x80 + other, 0x60, 31, 0x16, 0x51)) + kept,
            )
        )

    def end(self) -> bytes:
        """How a block ends: mostly with a jump."""
        rng = self.rng
        limit = bytes(push(rng.choice((9, 200, 1 << 20, 1 << 62, U64 + 1))))
        condition = bytes(
            (0x80 + rng.randrange(1, self.HEIGHT), rng.choice((0x10, 0x11, 0x14)))
        ) + b"\x15" * rng.choice((0, 1, 2))
        anywhere = bytes((0x5A, 0x60, self.blocks - 1, 0x16, 0x60, 6, 0x1B))
        out = bytes(push(self.STRIDE * self.blocks, 2))
        return rng.choice(
            (
                b"",
                self.place() + b"\x56",
                limit + condition + self.place() + b"\x57",
                limit + condition + self.place() + b"\x57",
                bytes((0x80 + rng.randrange(self.HEIGHT),)) + self.place() + b"\x57",
                self.place() + self.place() + b"\x56",  # a call, with the place to go back to
                b"\x56",  # back
                anywhere + b"\x56",
                limit + condition + anywhere + b"\x57",
                out + b"\x56",
                limit + condition + out + b"\x57",
                b"\x60\x40\x60\x00\xf3" if rng.random() < 0.5 else b"\x00",
            )
        )


def mutated(rng: Random, program: bytes, other: bytes) -> bytes:
    """`program` with bits flipped, bytes put in, taken out or doubled, its end cut off, or that of `other` instead."""
    code = bytearray(program)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(code) + 1)
        match rng.randrange(7):
            case 0 if place < len(code):
                code[place] ^= 1 << rng.randrange(8)
            case 1 if place < len(code):
                code[place] = rng.randrange(256)
            case 2:
                code[place:place] = rng.randbytes(rng.randint(1, 4))
            case 3:
                del code[place : place + rng.randint(1, 4)]
            case 4:
                size = rng.randint(1, 20)
                code[place:place] = code[place : place + size]
            case 5:
                del code[place:]
            case _:
                code[place:] = other[rng.randrange(len(other) + 1) :]
    return bytes(code[:1000])
