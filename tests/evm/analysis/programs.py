"""Random EVM programs with loops, branches and functions that return to where they were called from."""

from __future__ import annotations

from itertools import count
from random import Random

from vmloom_evm.assembly import Bytecode, dup, joined, label, op, push, swap

_BINARY = ("ADD", "MUL", "SUB", "DIV", "MOD", "AND", "OR", "XOR", "LT", "GT", "EQ", "SHL", "SHR", "BYTE", "SLT")
_UNARY = ("ISZERO", "NOT")


class Programs:
    """Writes programs that leave the stack as they found it, apart from what they mean to leave."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._names = map("l{}".format, count())
        self._functions: list[tuple[str, Bytecode]] = []

    def program(self) -> bytes:
        """A whole program: statements, STOP or RETURN, then functions and maybe data."""
        body = self._statements(3)
        body += push(0) + op("MLOAD") + push(64) + op("SSTORE")
        ending = self._random.choice([op("STOP"), push(32) + push(0) + op("RETURN"), push(32) + push(0) + op("REVERT")])
        functions = joined(*(code for _, code in self._functions))
        data = bytes(self._random.randrange(256) for _ in range(self._random.randrange(20)))
        return bytes(body + ending + functions) + data

    def _statements(self, depth: int) -> Bytecode:
        return joined(*(self._statement(depth) for _ in range(self._random.randrange(1, 5))))

    def _statement(self, depth: int) -> Bytecode:
        kind = self._random.randrange(9 if depth else 4)
        value = self._value(2)
        match kind:
            case 0:
                return value + push(self._random.randrange(4)) + op("SSTORE")
            case 1:
                return value + push(32 * self._random.randrange(3)) + op("MSTORE")
            case 2:
                return value + op("POP")
            case 3:
                return value + push(0) + push(0) + op("LOG1")
            case 4 | 5:
                return self._choice(depth)
            case 6:
                return self._loop(depth)
            case 7:
                return self._call(depth)
        return self._detour(depth)

    def _choice(self, depth: int) -> Bytecode:
        otherwise, end = next(self._names), next(self._names)
        test = self._value(2) + joined(*(op("ISZERO") for _ in range(self._random.randrange(3))))
        first, second = self._statements(depth - 1), self._statements(depth - 1)
        jump = push(otherwise) + op("JUMPI")
        return test + jump + first + push(end) + op("JUMP") + label(otherwise) + second + label(end)

    def _loop(self, depth: int) -> Bytecode:
        again = next(self._names)
        body = self._statements(depth - 1)
        step = push(1) + swap(1) + op("SUB")
        return (
            push(self._random.randrange(1, 4))
            + label(again)
            + body
            + step
            + dup(1)
            + push(again)
            + op("JUMPI")
            + op("POP")
        )

    def _call(self, depth: int) -> Bytecode:
        """A function that takes a number and gives one; several places may call it."""
        if not self._functions or self._random.random() < 0.5:
            name = next(self._names)
            twist = joined(*(self._twist() for _ in range(3)))
            code = label(name) + twist + swap(1) + op("JUMP")
            self._functions.append((name, code))
        name = self._random.choice(self._functions)[0]
        back = next(self._names)
        call = push(back) + self._value(1) + push(name) + op("JUMP") + label(back)
        return call + push(self._random.randrange(4)) + op("SSTORE")

    def _detour(self, depth: int) -> Bytecode:
        """Jumps to jumps, jumps to what follows, and code that nothing gets to."""
        first, second = next(self._names), next(self._names)
        dead = self._statements(0) if self._random.random() < 0.5 else Bytecode()
        chain = push(first) + op("JUMP") + dead + label(first) + push(second) + op("JUMP") + label(second)
        return chain + self._statements(depth - 1) + label(next(self._names))

    def _value(self, depth: int) -> Bytecode:
        random = self._random
        kind = random.randrange(7 if depth else 2)
        match kind:
            case 0:
                return push(random.choice([0, 1, 2, 31, 255, 256, (1 << 256) - 1, random.getrandbits(256)]))
            case 1:
                return random.choice([op("CALLER"), op("CALLDATASIZE"), push(0) + op("CALLDATALOAD"), push(7, size=4)])
            case 2:
                return self._value(depth - 1) + op(random.choice(_UNARY)) + op(random.choice(_UNARY))
            case 3:
                return self._value(depth - 1) + self._twist()
            case 4:
                return push(random.randrange(4)) + op("SLOAD")
        operands = self._value(depth - 1) + self._value(depth - 1)
        exchange = swap(1) if random.random() < 0.4 else Bytecode()
        return operands + exchange + op(random.choice(_BINARY))

    def _twist(self) -> Bytecode:
        """Something that takes one item and leaves one."""
        return self._random.choice(
            [
                push(0) + op("ADD"),
                push(1) + op("MUL"),
                dup(1) + op("POP"),
                push(5) + op("POP"),
                dup(1) + swap(1) + op("XOR"),
                op("NOT") + op("NOT"),
                push(3) + swap(1) + swap(1) + op("OR"),
                push(0) + op("SHL"),
                push(9) + op("ADD"),
            ]
        )
