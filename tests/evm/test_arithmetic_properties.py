"""Arithmetic against its definitions: what an instruction leaves is what plain signed and unsigned integers give.

The definitions here are written another way than the instructions: by bytes, fractions, strings and loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmloom_evm.assembly import op
from vmloom_evm.reference.analysis import jump_destinations
from vmloom_evm.testing import EvmUnderTest

SIZE = 2**256
EDGES = [0, 1, 2, 31, 32, 255, 256, 257, 2**64 - 1, 2**64, 2**128 - 1, 2**128, 2**255 - 1, 2**255, SIZE - 2, SIZE - 1]

words = st.one_of(
    st.sampled_from(EDGES),
    st.integers(0, 300),
    st.integers(0, SIZE - 1),
    st.builds(lambda bits, off: (2**bits + off) % SIZE, st.integers(0, 256), st.integers(-2, 2)),
)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def signed(word: int) -> int:
    return int.from_bytes(word.to_bytes(32, "big"), "big", signed=True)


def word(number: int) -> int:
    return number % SIZE


def power(base: int, exponent: int) -> int:
    result = 1
    for bit in f"{exponent:b}":
        result = result * result % SIZE
        if bit == "1":
            result = result * base % SIZE
    return result


def quotient(x: int, y: int) -> int:
    return math.trunc(Fraction(x, y))


def extended(width: int, value: int) -> int:
    if width > 31:
        return value
    return word(int.from_bytes(value.to_bytes(32, "big")[31 - width :], "big", signed=True))


DEFINITIONS: dict[str, Callable[..., int]] = {
    "ADD": lambda x, y: word(x + y),
    "MUL": lambda x, y: word(x * y),
    "SUB": lambda x, y: word(x - y),
    "DIV": lambda x, y: quotient(x, y) if y else 0,
    "SDIV": lambda x, y: word(quotient(signed(x), signed(y))) if y else 0,
    "MOD": lambda x, y: x - y * quotient(x, y) if y else 0,
    "SMOD": lambda x, y: word(signed(x) - signed(y) * quotient(signed(x), signed(y))) if y else 0,
    "ADDMOD": lambda x, y, n: divmod(x + y, n)[1] if n else 0,
    "MULMOD": lambda x, y, n: divmod(x * y, n)[1] if n else 0,
    "EXP": power,
    "SIGNEXTEND": extended,
    "LT": lambda x, y: int(x - y < 0),
    "GT": lambda x, y: int(x - y > 0),
    "SLT": lambda x, y: int(signed(x) < signed(y)),
    "SGT": lambda x, y: int(signed(x) > signed(y)),
    "EQ": lambda x, y: int(x - y == 0),
    "ISZERO": lambda x: int(x == 0),
    "AND": lambda x, y: int("".join("01"[a == b == "1"] for a, b in zip(f"{x:0256b}", f"{y:0256b}", strict=True)), 2),
    "OR": lambda x, y: int("".join(max(a, b) for a, b in zip(f"{x:0256b}", f"{y:0256b}", strict=True)), 2),
    "XOR": lambda x, y: int("".join("01"[a != b] for a, b in zip(f"{x:0256b}", f"{y:0256b}", strict=True)), 2),
    "NOT": lambda x: SIZE - 1 - x,
    "BYTE": lambda i, x: x.to_bytes(32, "big")[i] if i < 32 else 0,
    "SHL": lambda n, x: word(x * 2**n) if n < 256 else 0,
    "SHR": lambda n, x: x // 2**n if n < 256 else 0,
    "SAR": lambda n, x: word(math.floor(Fraction(signed(x), 2 ** min(n, 256)))),
    "CLZ": lambda x: len(f"{x:0256b}") - len(f"{x:b}") if x else 256,
}


@pytest.mark.parametrize("name", DEFINITIONS)
@given(operands=st.tuples(words, words, words))
@many
def test_instruction_gives_what_its_definition_says(
    evm: EvmUnderTest, name: str, operands: tuple[int, int, int]
) -> None:
    instruction = op(name)
    used = operands[: instruction.pops]
    assert evm.value_of(instruction(*used)) == DEFINITIONS[name](*used)


@given(x=words, y=words)
@many
def test_quotient_and_remainder_make_the_dividend(evm: EvmUnderTest, x: int, y: int) -> None:
    from vmloom_evm.assembly import add, mul, sdiv, smod

    if y:
        assert evm.value_of(add(mul(sdiv(x, y), y), smod(x, y))) == x


# Where jumps may lead


def destinations_by_a_loop(code: bytes) -> set[int]:
    found = set()
    position = 0
    while position < len(code):
        opcode = code[position]
        if opcode == 0x5B:
            found.add(position)
        position += opcode - 0x5E if 0x60 <= opcode <= 0x7F else 1
    return found


# Mostly pushes and jump destinations, since nothing else matters.
pushy = st.lists(st.one_of(st.just(0x5B), st.integers(0x5F, 0x7F), st.integers(0, 255)), max_size=300).map(bytes)


@given(code=st.one_of(pushy, st.binary(max_size=300)))
@settings(max_examples=500, deadline=None)
def test_jump_destinations_are_those_that_a_loop_finds(code: bytes) -> None:
    assert jump_destinations(code) == destinations_by_a_loop(code)


@given(code=pushy)
@settings(max_examples=100, deadline=None)
def test_jump_destinations_do_not_depend_on_what_follows_the_code(code: bytes) -> None:
    assert jump_destinations(code) == {at for at in destinations_by_a_loop(code + bytes(40)) if at < len(code)}


def test_every_byte_value_before_a_jumpdest() -> None:
    for first in range(256):
        code = bytes([first]) + b"\x5b" * 40
        assert jump_destinations(code) == destinations_by_a_loop(code), hex(first)
