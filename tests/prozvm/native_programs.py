"""Programs for native code at random: loops of integers near 2^63, state, hashes, calls, and what native code leaves.

All are verified. Those that would run long are ended by their gas.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.values import Function

EDGES: Final = (
    0,
    1,
    -1,
    2,
    3,
    -3,
    7,
    10,
    255,
    1 << 31,
    (1 << 32) + 5,
    (1 << 62) - 1,
    (1 << 63) - 2,
    (1 << 63) - 1,
    -(1 << 63),
    -(1 << 63) + 1,
    1 << 63,
    (1 << 64) - 1,
    1 << 70,
)
VARIABLES: Final = ("a", "b", "c", "d")
KEYS: Final = ("x", "y", "z")
STRANGE: Final = ("text", True, False, None, b"bytes", "0" * 64)


class Writer:
    """Writes one function; `functions` are those that it may call."""

    def __init__(self, random: Random, functions: list[Function], *, main: bool) -> None:
        self.random = random
        self.functions = functions
        self.main = main
        self.out = BytecodeBuilder()
        self.labels = 0
        self.loops = 0
        self.inside = 0

    def write(self) -> Bytecode:
        """The program."""
        random = self.random
        for name in VARIABLES:
            if random.random() < 0.9:
                self.out.emit("STORE_CONST", name, self.number())
        if self.main:
            for function in self.functions:
                self.out.emit("LOAD_CONST", function).emit("STORE_NAME", function.name)
        for _ in range(random.randint(1, 4)):
            self.statement(2)
        self.loop(2)
        for _ in range(random.randint(0, 2)):
            self.statement(1)
        if random.random() < 0.8:
            self.value(2)
            if random.random() < 0.5:
                self.out.emit("RETURN")
        return self.out.build()

    def number(self) -> int:
        """An integer, often an edge."""
        if self.random.random() < 0.5:
            return self.random.choice((0, 1, 2, 3, 5, 10, 100))
        return self.random.choice(EDGES)

    def label(self) -> str:
        """A new label."""
        self.labels += 1
        return f"l{self.labels}"

    # Statements

    def statement(self, depth: int) -> None:
        """One statement that leaves the stack as it was."""
        choices: list[Any] = [self.assign] * 6 + [self.charge, self.discard, self.write_state, self.write_state]
        choices += [self.append, self.transaction, self.transaction, self.hash, self.strange]
        if depth > 0:
            choices += [self.branch] * 3 + [self.loop] * 2
        if self.functions:
            choices += [self.call_statement] * 2
        self.random.choice(choices)(depth)

    def assign(self, _: int) -> None:
        """A variable."""
        self.value(2)
        name = self.random.choice(VARIABLES)
        if not self.main and self.random.random() < 0.1:
            self.out.emit("STORE_GLOBAL", name)
        else:
            self.out.emit("STORE_NAME", name)

    def charge(self, _: int) -> None:
        """Gas."""
        self.out.emit("GAS_CHARGE", self.random.choice((0, 1, 7, 100)))

    def discard(self, _: int) -> None:
        """A value for nothing."""
        self.value(2)
        self.out.emit("POP")

    def strange(self, _: int) -> None:
        """What native code leaves, or a value of another kind."""
        choice = self.random.random()
        if choice < 0.4:
            self.out.emit("STORE_CONST", self.random.choice(VARIABLES), self.random.choice(STRANGE))
        elif choice < 0.7:
            self.integer(1)
            self.out.emit("BUILD_LIST", 1).emit("LOAD_CONST", 0).emit("INDEX")
            self.out.emit("STORE_NAME", self.random.choice(VARIABLES))
        elif choice < 0.8:
            self.out.emit("STATE_READ", self.random.choice(KEYS)).emit("STORE_NAME", self.random.choice(VARIABLES))
        elif choice < 0.9:
            self.out.emit("LOAD_CONST", self.random.choice(STRANGE)).emit("STATE_WRITE", self.random.choice(KEYS))
        else:
            self.out.emit("LOAD_CONST", "list").emit("LOAD_CONST", 3).emit("BUILD_LIST", 2).emit("LENGTH").emit("POP")

    def write_state(self, _: int) -> None:
        """A key of the state, mostly inside a transaction."""
        if not self.inside and self.random.random() < 0.9:
            self.transaction(0)
            return
        self.value(1)
        self.out.emit("STATE_WRITE", self.random.choice(KEYS))

    def append(self, _: int) -> None:
        """An entry of the ledger."""
        self.value(1)
        self.out.emit("LEDGER_APPEND")

    def transaction(self, depth: int) -> None:
        """A transaction around statements; now and then its end is missing or one too many."""
        self.out.emit("TX_BEGIN")
        self.inside += 1
        for _ in range(self.random.randint(1, 3)):
            self.random.choice((self.write_state, self.write_state, self.append, self.assign))(0)
        if depth > 0 and self.random.random() < 0.3:
            self.transaction(depth - 1)
        if depth > 0 and self.random.random() < 0.2:
            self.statement(depth - 1)
        self.inside -= 1
        if self.random.random() < 0.96:
            self.out.emit(self.random.choice(("TX_COMMIT", "TX_REVERT")))
            if self.random.random() < 0.03:
                self.out.emit("TX_COMMIT")

    def hash(self, _: int) -> None:
        """A digest, of a value or of a collection."""
        choice = self.random.random()
        if choice < 0.4:
            self.value(1)
        elif choice < 0.8:
            count = self.random.randint(0, 3)
            for _ in range(count):
                self.value(1)
            self.out.emit("BUILD_LIST", count)
        else:
            self.out.emit("LOAD_CONST", "zz")
            self.value(1)
            self.out.emit("LOAD_CONST", self.random.choice(("a", 5, b"k", 1 << 66)))
            self.value(1)
            self.out.emit("BUILD_MAP", 2)
        self.out.emit("HASH_BLOCK")
        self.out.emit(*self.random.choice((("STORE_NAME", "d"), ("POP",), ("STORE_NAME", "a"), ("LEDGER_APPEND",))))

    def branch(self, depth: int) -> None:
        """If and else."""
        otherwise, end = self.label(), self.label()
        self.condition(1)
        self.out.emit("JUMP_IF_FALSE", otherwise)
        self.statement(depth - 1)
        self.out.emit("JUMP", end).label(otherwise)
        if self.random.random() < 0.5:
            self.statement(depth - 1)
        self.out.label(end)

    def loop(self, depth: int) -> None:
        """A loop that counts."""
        top, end, counter = self.label(), self.label(), f"i{self.loops}"
        self.loops += 1
        self.out.emit("STORE_CONST", counter, 0).label(top)
        self.out.emit("LOAD_NAME", counter).emit("LOAD_CONST", self.random.choice((2, 3, 5, 30))).emit("LT")
        self.out.emit("JUMP_IF_FALSE", end)
        for _ in range(self.random.randint(1, 3)):
            self.statement(depth - 1)
        self.out.emit("LOAD_NAME", counter).emit("LOAD_CONST", 1).emit("ADD").emit("STORE_NAME", counter)
        self.out.emit("JUMP", top).label(end)
        self.loops -= 1

    def call_statement(self, _: int) -> None:
        """A call for a variable or for nothing."""
        self.call(1)
        self.out.emit(*self.random.choice((("POP",), ("STORE_NAME", "a"), ("STORE_NAME", "b"))))

    # Values

    def value(self, depth: int) -> None:
        """Mostly an integer."""
        choice = self.random.random()
        if choice < 0.8:
            self.integer(depth)
        elif choice < 0.9:
            self.condition(depth)
        elif choice < 0.95:
            self.out.emit("LOAD_NAME", "d")
        else:
            self.out.emit("LOAD_CONST", self.random.choice(STRANGE))

    def integer(self, depth: int) -> None:
        """An integer, or what was meant to be one."""
        choice = self.random.random()
        if depth <= 0 or choice < 0.4:
            if self.random.random() < 0.7:
                names = [*VARIABLES[:3], *(f"i{number}" for number in range(self.loops))]
                self.out.emit("LOAD_NAME", self.random.choice(names))
            else:
                self.out.emit("LOAD_CONST", self.number())
        elif choice < 0.5:
            self.integer(depth - 1)
            self.out.emit("LOAD_CONST", self.random.choice((3, -7, 10, 1_000_003)))
            self.out.emit(self.random.choice(("MOD", "DIV")))
        elif choice < 0.55:
            self.integer(depth - 1)
            self.out.emit("LOAD_CONST", self.random.choice((0, 1, 2, 3, 63, -1))).emit("POW")
        elif choice < 0.62:
            self.integer(depth - 1)
            self.out.emit("NEG")
        elif choice < 0.7:
            self.out.emit("STATE_READ", self.random.choice(KEYS))
        elif choice < 0.75 and self.functions:
            self.call(depth - 1)
        else:
            self.integer(depth - 1)
            self.integer(depth - 1)
            self.out.emit(self.random.choice(("ADD", "SUB", "MUL", "ADD", "SUB", "DIV", "MOD")))

    def condition(self, depth: int) -> None:
        """A bool."""
        choice = self.random.random()
        if choice < 0.7:
            self.integer(depth - 1)
            self.integer(depth - 1)
            self.out.emit(self.random.choice(("LT", "GT", "LTE", "GTE", "EQ", "NEQ")))
        elif choice < 0.8:
            self.value(depth - 1)
            self.out.emit("NOT")
        else:
            self.condition(depth - 1)
            self.value(depth - 1)
            self.out.emit(self.random.choice(("AND", "OR")))

    def call(self, depth: int) -> None:
        """Of one of the functions, in one of the three ways."""
        function = self.random.choice(self.functions)
        for _ in function.parameters:
            self.integer(depth - 1)
        count = len(function.parameters)
        way = self.random.choice(("CALL_NAME", "CALL_FUNC_CONST", "CALL_TOP"))
        if way == "CALL_NAME":
            self.out.emit(way, function.name, count)
        elif way == "CALL_FUNC_CONST":
            self.out.emit(way, function, count)
        else:
            self.out.emit("LOAD_CONST", function).emit(way, count)


def generate(random: Random) -> Bytecode:
    """A program."""
    functions: list[Function] = []
    for number in range(random.randint(0, 2)):
        parameters = VARIABLES[: random.randint(0, 2)]
        body = Writer(random, list(functions), main=False).write()
        functions.append(Function(f"f{number}", parameters, body))
    if random.random() < 0.3:
        functions.append(_recursive(random))
    return Writer(random, functions, main=True).write()


def _recursive(random: Random) -> Function:
    """A function that calls itself until its argument is small, or for ever."""
    out = BytecodeBuilder()
    out.emit("LOAD_NAME", "n").emit("LOAD_CONST", 2).emit("LT").emit("JUMP_IF_FALSE", "more")
    out.emit("LOAD_NAME", "n").emit("RETURN").label("more")
    out.emit("LOAD_NAME", "n").emit("LOAD_CONST", random.choice((1, 2, 10**18))).emit("SUB").emit("CALL_NAME", "r", 1)
    out.emit("LOAD_NAME", "n").emit(random.choice(("ADD", "MUL", "SUB"))).emit("RETURN")
    return Function("r", ("n",), out.build())
