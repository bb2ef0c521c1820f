"""Containers that mean harm: each is refused with an error of its own kind, or is a program that may run."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Any, Final

import pytest
from vmloom.errors import CodeError, CodeTooLarge, InvalidCode
from vmloom_prozvm import cbor
from vmloom_prozvm.bytecode.container import MAGIC, VERSION, pack, unpack
from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.bytecode.verify import DEFAULT_CODE_LIMITS
from vmloom_prozvm.errors import ProzError, Unverifiable
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.optimizer import optimize_bytecode
from vmloom_prozvm.values import Function

from .programs import Shape, generate, interpret
from .test_hostile import MEGABYTE, bounded_memory

HEAD: Final = len(MAGIC) + 1 + 32
SIZE: Final = DEFAULT_CODE_LIMITS.size
ALL: Final = Shape(closures=True, conversions=True, paths=True, contract=True, statements=6)


def container(body: bytes) -> bytes:
    """A container with the right hash."""
    return MAGIC + bytes([VERSION]) + sha256(body).digest() + body


def tree(*, constants: Any = (), code: Any = (), metadata: Any = None) -> bytes:
    return container(cbor.encode([list(constants), list(code), {} if metadata is None else metadata]))


def refused(data: bytes, most: int = 16 * MEGABYTE) -> CodeError:
    with bounded_memory(most), pytest.raises(CodeError) as caught:
        unpack(data)
    return caught.value


def test_a_container_cut_short_anywhere_is_refused() -> None:
    whole = pack(generate(Random(1), ALL))
    assert unpack(whole)
    for end in [*range(HEAD + 40), *range(HEAD + 40, len(whole), 7), len(whole) - 1]:
        assert isinstance(refused(whole[:end]), InvalidCode)
        if end > HEAD:
            refused(container(whole[HEAD:end]))
    refused(whole + b"\0")
    refused(container(whole[HEAD:] + b"\0"))


def test_a_bit_that_flips_is_seen() -> None:
    whole = pack(generate(Random(2), ALL))
    for bit in range(0, 8 * len(whole), 5):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidCode):
            unpack(bytes(changed))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_changed_and_hashed_again_is_refused_or_a_program(seed: int) -> None:
    """Such a program is the only one with this container, optimizes, and runs within its gas."""
    random = Random(seed)
    body = pack(generate(random, ALL))[HEAD:]
    accepted = 0
    for _ in range(250):
        changed = bytearray(body)
        for _ in range(random.choice((1, 1, 2, 5))):
            place = random.randrange(len(changed))
            way = random.randrange(4)
            if way == 0:
                changed[place] ^= 1 << random.randrange(8)
            elif way == 1:
                changed[place] = random.choice((0, 0x17, 0x18, 0x1B, 0x5F, 0x80, 0x9F, 0xA0, 0xC2, 0xF6, 0xFF))
            elif way == 2:
                del changed[place : place + random.randint(1, 4)]
            else:
                changed[place:place] = bytes(changed[place : place + random.randint(1, 8)])
        data = container(bytes(changed))
        try:
            program = unpack(data)
        except CodeError:
            continue
        accepted += 1
        assert pack(program) == data
        for one in (program, optimize_bytecode(program, 3)):
            outcome = interpret(one, schedule=GasSchedule(), gas=20_000)
            assert outcome.error is None or issubclass(outcome.error, ProzError)
    assert accepted  # or nothing was tried


HUGE: Final[dict[str, bytes]] = {
    "constants": b"\x83\x9b" + b"\xff" * 8,
    "constants, 32 bits": b"\x83\x9a\xff\xff\xff\xff",
    "code": b"\x83\x80\x9b\x00\x00\x00\x7f" + b"\xff" * 4,
    "metadata": b"\x83\x80\x80\xbb" + b"\xff" * 8,
    "text": b"\x83\x81\x81\x7b" + b"\x7f" * 8,
    "bytes": b"\x83\x81\x81\x5a\xff\xff\xff\xff",
    "number": b"\x83\x81\x81\xc2\x5b" + b"\x7f" * 8,
    "no end": b"\x83\x9f" + b"\x81\x00" * 1000,
    "tags": b"\x83\x81\x81" + b"\xc1" * 50_000 + b"\x00",
    "numbers in numbers": b"\x83\x81\x81" + b"\xc2" * 50_000 + b"\x40",
    "float": b"\x83\x81\x81\xfb" + b"\0" * 8 + b"\x80\xa0",
    "shared": b"\x83\x81\x81\xd8\x1c\x81\xd8\x1d\x00\x80\xa0",
    "nothing": b"",
    "undefined": b"\x83\x81\x81\xf7\x80\xa0",
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE)
def test_counts_that_nothing_follows_are_refused(body: bytes) -> None:
    refused(container(body), MEGABYTE)


def nested(levels: int, inside: bytes, before: bytes) -> bytes:
    return before * levels + inside


@pytest.mark.parametrize(
    "body",
    [
        nested(100_000, b"\x80", b"\x81"),
        b"\x83\x81\x81" + nested(100_000, b"\x80", b"\x81") + b"\x80\xa0",
        b"\x83\x81\x81" + nested(33, b"\x80", b"\x81") + b"\x80\xa0",
        b"\x83\x80\x80" + nested(60_000, b"\x00", b"\xa1\x00"),
        nested(20_000, b"\x83\x80\x80\xa0", b"\x83\x81\x83\x60\x80"),
    ],
    ids=["lists", "a constant", "one too deep", "maps", "functions"],
)
def test_depth_is_bounded(body: bytes) -> None:
    refused(container(body), 4 * MEGABYTE)


def colliding(count: int) -> bytes:
    """A map with keys that Python's hash takes for one: to make a dict of them takes the square of their number."""
    keys = (number * ((1 << 61) - 1) for number in range(1 << 11, (1 << 11) + count))
    return b"\xb9" + count.to_bytes(2, "big") + b"".join(b"\xc2\x4a" + key.to_bytes(10, "big") + b"\0" for key in keys)


FULL: Final[dict[str, Callable[[], bytes]]] = {
    "constants": lambda: tree(constants=[[0]] * 80_000),
    "one large list": lambda: tree(constants=[[[0] * 200_000]]),
    "one map": lambda: tree(constants=[[dict.fromkeys(range(60_000), 0)]]),
    "keys that collide": lambda: container(b"\x83\x81\x81" + colliding(18_000) + b"\x80\xa0"),
    "instructions": lambda: tree(code=[6] * 100_000),
    "jumps": lambda: tree(code=[50, 0] * 80_000),
    "functions": lambda: tree(constants=[["", [], [[], [], {}]]] * 30_000),
    "parameters": lambda: tree(constants=[["", [f"p{number}" for number in range(30_000)], [[], [], {}]]]),
    "metadata": lambda: tree(metadata={str(number): [0] for number in range(20_000)}, code=[6]),
    "text": lambda: tree(constants=[["a" * 200_000]]),
    "number": lambda: tree(constants=[[(1 << 2_000_000) - 1]]),
}


@pytest.mark.parametrize("make", FULL.values(), ids=FULL)
def test_containers_of_the_largest_size_are_refused_in_bounded_memory(make: Callable[[], bytes]) -> None:
    data = make()
    assert len(data) <= SIZE
    assert refused(data, 48 * MEGABYTE)


def test_what_is_too_large_is_not_looked_at() -> None:
    with bounded_memory(MEGABYTE), pytest.raises(CodeTooLarge):
        unpack(b"\0" * (SIZE + 1))


def test_functions_in_functions_are_counted_together() -> None:
    """Few bytes for each, and each within what one function may have."""
    level: list[Any] = [[], [], {}]
    for _ in range(3):
        level = [[["", [], level]] * 12, [], {}]
    with bounded_memory(16 * MEGABYTE), pytest.raises(Unverifiable, match="functions"):
        unpack(container(cbor.encode(level)))


def test_origins_in_the_metadata_change_nothing_but_places() -> None:
    """Only the optimizer writes them; whoever else does gets wrong places, and no other harm."""
    for origins in (
        [],
        [0],
        [1, 2, 3],
        ["a", "b"],
        [0, 1 << 4000],
        [5, 5, 0, 0, -7, -9],
        {},
        "x",
        [[0], [0]],
        [True, 3],
    ):
        program = Bytecode([1, 0], [("LOAD_CONST", 0), ("LOAD_CONST", 1), ("DIV", None)], {"origins": origins})
        program.constants.append(Function("f", (), Bytecode([], [], {"origins": origins})))
        again = unpack(pack(program))
        for one in (again, optimize_bytecode(again, 3), optimize_bytecode(again, 1)):
            assert interpret(one, schedule=GasSchedule(), gas=1000).error is not None
