"""Programs that mean harm: each ends with an error of its own kind or for want of gas, in bounded memory.

Work is bounded by gas, or counted in calls of functions, and never measured in time. Every run is interpreted and
compiled, by the default prices.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from typing import Any, Final

import pytest
from vmloom.errors import CodeError
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.bytecode.verify import verify
from vmloom_prozvm.errors import (
    CallDepthExceeded,
    MalformedData,
    MalformedSignature,
    NotStorable,
    OutOfGas,
    ProzError,
    TaskCycle,
    TaskLimitExceeded,
    TypeMismatch,
    Unverifiable,
    ValueTooLarge,
)
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import Compiled, Uncompilable
from vmloom_prozvm.optimizer import BytecodeOptimizer
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function

from .programs import Outcome, interpret, observe

SCHEDULE: Final = GasSchedule()
GAS: Final = 400_000
MEGABYTE: Final = 1 << 20
MOST_MEMORY: Final = 48 * MEGABYTE
"""What a run may hold at once: some values of the largest size."""


@contextmanager
def bounded_memory(most: int = MOST_MEMORY) -> Iterator[None]:
    """Fails if Python holds more than `most` bytes more at any time."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / MEGABYTE:.1f} MB"


def run(program: Bytecode, gas: int = GAS) -> Outcome:
    """What can be seen of the program, which is the same interpreted and compiled."""
    with bounded_memory():
        outcome = interpret(program, schedule=SCHEDULE, gas=gas)
    try:
        compiled = Compiled(load(program), schedule=SCHEDULE, metered=True)
    except Uncompilable:
        return outcome
    with bounded_memory():
        again = observe(
            lambda env, context, variables: Machine(
                DictWorld(env), schedule=SCHEDULE, gas=gas, context=context, globals=variables, limits=Limits()
            ),
            compiled.run,
        )
    assert (again.error, again.at, again.function, again.gas_left) == (
        (outcome.error, outcome.at, outcome.function, outcome.gas_left)
    )
    return outcome


def body(*steps: tuple[Any, ...]) -> Bytecode:
    """A program from (name, operands...), where `("label", name)` sets a label."""
    builder = BytecodeBuilder()
    for name, *operands in steps:
        if name == "label":
            builder.label(*operands)
        else:
            builder.emit(name, *operands)
    return builder.build()


def for_ever(first: tuple[Any, ...], *steps: tuple[Any, ...]) -> Bytecode:
    """Store the constant `first` in x, and repeat `steps` until something stops it."""
    return body(("STORE_CONST", "x", *first), ("label", "top"), *steps, ("JUMP", "top"))


X: Final = ("LOAD_NAME", "x")
TO_X: Final = ("STORE_NAME", "x")

# The stack


@pytest.mark.parametrize(
    "steps",
    [
        [("LOAD_CONST", 1), ("label", "top"), ("DUP",), ("JUMP", "top")],
        [("LOAD_CONST", 1), *[("DUP",)] * 1024],
        [("BUILD_LIST", 1025)],
        [("LOAD_CONST", 1), ("label", "top"), ("POP",), ("JUMP", "top")],
        [("LOAD_CONST", 1), ("JUMP_IF_FALSE", "on"), ("LOAD_CONST", 1), ("label", "on"), ("POP",)],
        [("STATE_READ_AT", 0)],
        [("MERKLE_ROOT", 1 << 62)],
    ],
    ids=["grows", "deep", "many items", "shrinks", "uneven", "no key", "many leaves"],
)
def test_code_that_would_break_the_stack_is_refused(steps: list[tuple[Any, ...]]) -> None:
    with bounded_memory(MEGABYTE), pytest.raises(Unverifiable):
        verify(body(*steps))


def test_full_stacks_in_every_frame_are_bounded() -> None:
    deep = body(*[("LOAD_CONST", 1)] * 1000, ("CALL_NAME", "f", 0), ("RETURN",))
    program = body(("LOAD_CONST", Function("f", (), deep)), ("STORE_NAME", "f"), ("CALL_NAME", "f", 0))
    assert run(program, 10 * GAS).error is CallDepthExceeded


# Values that grow


@pytest.mark.parametrize(
    ("first", "steps"),
    [
        ([1], [X, X, ("ADD",), TO_X]),
        ("a", [X, X, ("ADD",), TO_X]),
        ("\N{PILE OF POO}", [X, X, ("ADD",), TO_X]),
        (b"a", [X, X, ("ADD",), TO_X]),
        (3, [X, X, ("MUL",), TO_X]),
        (3, [X, X, ("POW",), TO_X]),
        (1 << 4000, [X, X, ("ADD",), TO_X]),
        ([], [X, X, ("BUILD_LIST", 2), TO_X]),
        ([], [X, ("BUILD_LIST", 1), TO_X]),
        ([], [*[X] * 1000, ("BUILD_LIST", 1000), TO_X]),
        ({}, [("LOAD_CONST", "k"), X, ("BUILD_MAP", 1), TO_X]),
        ({}, [X, X, ("LENGTH",), X, ("STORE_INDEX",), TO_X]),
        ("a", [X, ("ENCODE",), ("TO_STRING",), TO_X]),
        (b"a", [X, ("TO_STRING",), ("ENCODE",), TO_X]),
        ([1], [X, ("ENCODE",), ("ITEMS",), TO_X]),
        ("1", [X, X, ("ADD",), TO_X, X, ("TO_INTEGER",), ("POP",)]),
        (7, [X, X, ("MUL",), TO_X, X, ("TO_STRING",), ("TO_INTEGER",), ("POP",)]),
        (1, [X, X, ("ADD",), TO_X, ("LOAD_CONST", 0), X, ("RANGE",), ("POP",)]),
        (1, [X, X, ("ADD",), TO_X, ("LOAD_CONST", 0), X, ("TO_BYTES",), ("POP",)]),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_values_that_grow_are_stopped(first: Any, steps: list[tuple[Any, ...]]) -> None:
    assert run(for_ever((first,), *steps)).error in (ValueTooLarge, OutOfGas)


def test_many_large_values_at_once_are_stopped_by_gas() -> None:
    steps = [X, X, ("ADD",), TO_X, X, ("LENGTH",), ("LOAD_CONST", 60_000), ("LT",), ("JUMP_IF_FALSE", "full")]
    program = body(
        *[("STORE_CONST", "x", "aa"), ("STORE_CONST", "l", []), ("label", "top"), *steps, ("JUMP", "top")],
        *[("label", "full"), ("LOAD_NAME", "l"), X, ("LOAD_CONST", "b"), ("ADD",), ("BUILD_LIST", 1), ("ADD",)],
        *[("STORE_NAME", "l"), ("JUMP", "full")],
    )
    assert run(program).error in (ValueTooLarge, OutOfGas)


@pytest.mark.parametrize("size", [(1 << 63), (1 << 4000), 65_537])
def test_ranges_and_sizes_are_looked_at_before_anything_is_made(size: int) -> None:
    for steps in (
        [("LOAD_CONST", 0), ("LOAD_CONST", size), ("RANGE",)],
        [("LOAD_CONST", -size), ("LOAD_CONST", 0), ("RANGE",)],
        [("LOAD_CONST", 1), ("LOAD_CONST", size * 17), ("TO_BYTES",)],
    ):
        assert run(body(*steps), 10**1500).error is ValueTooLarge
        assert run(body(*steps)).error in (ValueTooLarge, OutOfGas)


def test_numbers_too_long_for_python_to_read_are_refused() -> None:
    for text in ("9" * 5000, "0x" + "f" * 5000, "-" + "9" * 60_000, "0" * 60_000 + "1"):
        outcome = run(body(("LOAD_CONST", text), ("TO_INTEGER",)), 1 << 60)
        assert outcome.error is ValueTooLarge or outcome.result == 1
        assert run(body(("LOAD_CONST", text), ("TO_INTEGER",))).error in (ValueTooLarge, OutOfGas)


@pytest.mark.parametrize(
    "data",
    [
        b"\x9b" + b"\xff" * 8,
        b"\xbb" + b"\x7f" * 8,
        b"\x5b" + b"\x7f" * 8,
        b"\x7b\x00\x00\x00\x00\x7f\xff\xff\xff",
        b"\x81" * 60_000 + b"\x00",
        b"\xa1\x00" * 30_000 + b"\x00",
        b"\xc2" * 60_000 + b"\x40",
        b"\xc2\x5b" + b"\x00" * 7 + b"\xff",
        b"\x9f" * 60_000,
        b"\xff",
        b"\xfb" + b"\x00" * 8,
        b"\xa2\x00\x00\x00\x00",
        b"\x78\x02\xff\xff",
    ],
    ids=range(13),
)
def test_data_that_announce_more_than_they_have_are_malformed(data: bytes) -> None:
    outcome = run(body(("LOAD_CONST", data), ("DECODE",)), 1 << 40)
    assert outcome.error in (MalformedData, ValueTooLarge)


# Values that hold themselves, by cells and closures

SHOW: Final[dict[str, list[tuple[Any, ...]]]] = {
    "equal": [X, X, ("EQ",)],
    "kind": [X, ("KIND",)],
    "list": [X, X, ("BUILD_LIST", 2)],
    "hash": [X, ("HASH_BLOCK",)],
    "encode": [X, ("ENCODE",)],
    "string": [X, ("TO_STRING",)],
    "state": [("TX_BEGIN",), X, ("STATE_WRITE", "k")],
    "ledger": [X, ("LEDGER_APPEND",)],
    "path": [X, ("STATE_READ_AT", 1)],
    "key": [X, ("LOAD_CONST", 1), ("BUILD_MAP", 1)],
    "contained": [X, X, ("BUILD_LIST", 1), X, ("CONTAINS",)],
    "result": [X, ("RETURN",)],
    "revert": [X, ("REVERT",)],
    "called": [X, ("CALL_TOP", 0)],
    "spawned": [X, ("SPAWN", 0), ("AWAIT",)],
}
HOLDER: Final = Function("holder", ("held",), body(("LOAD_NAME", "held"), ("RETURN",)))
ITSELF: Final[dict[str, list[tuple[Any, ...]]]] = {
    "cell in itself": [("LOAD_CONST", 0), ("NEW_CELL",), TO_X, X, X, ("CELL_WRITE",)],
    "list in a cell in it": [
        *[("LOAD_CONST", 0), ("NEW_CELL",), ("BUILD_LIST", 1), TO_X],
        *[X, ("LOAD_CONST", 0), ("INDEX",), X, ("CELL_WRITE",)],
    ],
    "closure in a cell in it": [
        *[("LOAD_CONST", 0), ("NEW_CELL",), TO_X, X, ("CLOSURE", HOLDER, 1), ("STORE_NAME", "f")],
        *[X, ("LOAD_NAME", "f"), ("CELL_WRITE",), ("LOAD_NAME", "f"), TO_X],
    ],
}


@pytest.mark.parametrize("way", SHOW)
@pytest.mark.parametrize("made", ITSELF)
def test_what_holds_itself_is_never_walked_for_ever(made: str, way: str) -> None:
    outcome = run(body(*ITSELF[made], *SHOW[way]))
    assert outcome.error is None or issubclass(outcome.error, ProzError)
    if way in ("hash", "encode", "state", "ledger"):
        assert outcome.error in (NotStorable, TypeMismatch)


LONG: Final[dict[str, list[tuple[Any, ...]]]] = {
    "cells": [X, ("NEW_CELL",), TO_X],
    "closures": [X, ("CLOSURE", HOLDER, 1), TO_X],
    "closures in lists": [X, ("CLOSURE", HOLDER, 1), ("BUILD_LIST", 1), TO_X],
    "closures in cells": [X, ("CLOSURE", HOLDER, 1), ("NEW_CELL",), TO_X],
    "cells in closures twice": [
        *[X, X, ("CLOSURE", Function("two", ("a", "b"), body(("LOAD_CONST", 1), ("RETURN",))), 2)],
        *[("NEW_CELL",), TO_X],
    ],
    "closures twice": [
        *[X, X, ("CLOSURE", Function("two", ("a", "b"), body(("LOAD_CONST", 1), ("RETURN",))), 2), TO_X],
    ],
}


@pytest.mark.parametrize("way", ["equal", "kind", "hash", "encode", "list", "result"])
@pytest.mark.parametrize("chain", LONG)
def test_long_chains_are_bounded_and_walked_within_what_was_paid(chain: str, way: str) -> None:
    def made(name: str) -> list[tuple[Any, ...]]:
        return [
            *[("STORE_CONST", "x", None), ("STORE_CONST", "i", 0), ("label", name)],
            *LONG[chain],
            *[("LOAD_NAME", "i"), ("LOAD_CONST", 1), ("ADD",), ("DUP",), ("STORE_NAME", "i")],
            *[("LOAD_CONST", 5000), ("LT",), ("JUMP_IF_FALSE", f"{name} made"), ("JUMP", name)],
            ("label", f"{name} made"),
        ]

    shown = [(step[0], "y") if step == X and place == 0 else step for place, step in enumerate(SHOW[way])]
    outcome = run(body(*made("one"), X, ("STORE_NAME", "y"), *made("other"), *shown), 10 * GAS)
    assert outcome.error in (None, ValueTooLarge, OutOfGas, NotStorable, TypeMismatch)


# Control


@pytest.mark.parametrize(
    "steps",
    [
        [("label", "top"), ("JUMP", "top")],
        [("label", "top"), ("LOAD_CONST", 0), ("JUMP_IF_FALSE", "top")],
        [("label", "top"), ("TX_BEGIN",), ("TX_REVERT",), ("JUMP", "top")],
        [("label", "top"), ("TX_BEGIN",), ("JUMP", "top")],
        [("label", "top"), ("LOAD_CONST", 1), ("LEDGER_APPEND",), ("JUMP", "top")],
        [("label", "top"), ("LOAD_CONST", [1]), ("LOAD_CONST", b"x"), ("EMIT",), ("JUMP", "top")],
        [
            ("label", "top"),
            ("LOAD_CONST", HOLDER),
            ("LOAD_CONST", 1),
            ("SPAWN", 1),
            ("AWAIT",),
            ("POP",),
            ("JUMP", "top"),
        ],
    ],
    ids=["jump", "condition", "transactions", "open transactions", "ledger", "events", "tasks"],
)
def test_loops_without_end_end_for_want_of_gas(steps: list[tuple[Any, ...]]) -> None:
    outcome = run(body(*steps))
    assert outcome.error is OutOfGas
    assert outcome.gas_left == 0
    assert outcome.state == {}


def calling(*steps: tuple[Any, ...]) -> Bytecode:
    """A program that calls f, which does `steps` and can find itself as f."""
    function = Function("f", (), body(*steps, ("RETURN",)))
    return body(("LOAD_CONST", function), ("STORE_NAME", "f"), ("CALL_NAME", "f", 0))


@pytest.mark.parametrize(
    ("steps", "errors"),
    [
        ([("CALL_NAME", "f", 0)], (CallDepthExceeded,)),
        ([("LOAD_NAME", "f"), ("CALL_TOP", 0)], (CallDepthExceeded,)),
        ([("LOAD_NAME", "f"), ("SPAWN", 0), ("AWAIT",)], (CallDepthExceeded,)),
        ([("LOAD_NAME", "f"), ("SPAWN", 0)], (OutOfGas,)),
        ([("LOAD_NAME", "f"), ("SPAWN", 0), ("LOAD_NAME", "f"), ("SPAWN", 0)], (OutOfGas, TaskLimitExceeded)),
        ([("CALL_NAME", "f", 0), ("CALL_NAME", "f", 0)], (CallDepthExceeded,)),
        ([("LOAD_NAME", "f"), ("NEW_CELL",), ("CELL_READ",), ("CALL_TOP", 0)], (CallDepthExceeded,)),
        ([("LOAD_NAME", "f"), ("STORE_GLOBAL", "f"), ("CALL_NAME", "f", 0)], (CallDepthExceeded,)),
    ],
    ids=["by name", "by value", "awaited", "spawned", "spawned twice", "twice", "by cell", "by global"],
)
def test_recursion_without_end_is_bounded(steps: list[tuple[Any, ...]], errors: tuple[type, ...]) -> None:
    assert run(calling(*steps)).error in errors


def test_recursion_through_a_closure_that_holds_itself_is_bounded() -> None:
    again = body(("LOAD_NAME", "me"), ("CELL_READ",), ("CALL_TOP", 0), ("RETURN",))
    program = body(
        *[("LOAD_CONST", 0), ("NEW_CELL",), TO_X],
        *[X, X, ("CLOSURE", Function("again", ("me",), again), 1), ("CELL_WRITE",)],
        *[X, ("CELL_READ",), ("CALL_TOP", 0)],
    )
    assert run(program).error is CallDepthExceeded


def test_tasks_that_wait_are_bounded_and_a_task_cannot_await_itself() -> None:
    spawning = for_ever((0,), ("LOAD_CONST", HOLDER), X, ("SPAWN", 1), ("STORE_NAME", "t"))
    assert run(spawning, 10 * GAS).error is TaskLimitExceeded
    awaits = Function("awaits", (), body(("LOAD_NAME", "t"), ("AWAIT",), ("RETURN",)))
    itself = body(("LOAD_CONST", awaits), ("SPAWN", 0), ("STORE_NAME", "t"), ("LOAD_NAME", "t"), ("AWAIT",))
    assert run(itself).error is TaskCycle


def test_what_tasks_returned_is_bounded_by_gas() -> None:
    steps = [("LOAD_CONST", HOLDER), X, X, ("ADD",), ("DUP",), TO_X, ("SPAWN", 1), ("AWAIT",), ("POP",)]
    assert run(for_ever((b"a",), *steps)).error in (OutOfGas, ValueTooLarge)


# Signatures

GOOD_KEYS: Final = (
    b"\x58" + 31 * b"\x66",
    bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
)
"""The base points of both curves."""


@pytest.mark.parametrize(
    "key", [*GOOD_KEYS, b"", b"\x02" * 33, b"\xff" * 32, b"\x04" * 65, "zz", "ab" * 100, 7, [1], None]
)
@pytest.mark.parametrize(
    "signature", [bytes(64), b"\xff" * 64, b"", b"\1" * 63, b"\1" * 65, "zz", "ab" * 64, "ab" * 1000, 7, None, {}]
)
def test_signatures_of_any_form_are_false_or_malformed(signature: Any, key: Any) -> None:
    steps = [("LOAD_CONST", signature), ("LOAD_CONST", "message"), ("LOAD_CONST", key), ("VERIFY_SIGNATURE",)]
    outcome = run(body(*steps))
    assert outcome.error in (MalformedSignature, TypeMismatch) or outcome.result is False


# Programs that are large


def calls_of(work: Callable[[], object]) -> int:
    """How many functions of Python `work` calls: the same on each machine, unlike time."""
    count = 0

    def called(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def straight(size: int) -> Bytecode:
    return body(*[("LOAD_NAME", "a"), ("LOAD_CONST", 3), ("ADD",), ("STORE_NAME", "a")] * (size // 4))


def dense_jumps(size: int) -> Bytecode:
    instructions = []
    for place in range(size // 2):
        instructions += [("LOAD_NAME", 0), ("JUMP_IF_FALSE", (place * 7919) % size // 2 * 2)]
    return Bytecode(["a"], instructions)


def ladder(size: int) -> Bytecode:
    """Every other instruction jumps to the next but one: as many paths as there can be."""
    instructions = []
    for place in range(size // 3):
        instructions += [("LOAD_NAME", 0), ("JUMP_IF_FALSE", 3 * place + 3), ("STORE_CONST", (0, 1))]
    return Bytecode(["a", 1], instructions)


def nested_loops(size: int) -> Bytecode:
    """Loops within loops, as deep as there is code."""
    depth = size // 4
    instructions: list[Any] = []
    for level in range(depth):
        instructions += [("LOAD_NAME", 0), ("JUMP_IF_FALSE", 3 * depth - level)]
    instructions += [("JUMP", 2 * (depth - 1 - level)) for level in range(depth)]
    return Bytecode(["a"], instructions)


def deep_expression(size: int) -> Bytecode:
    instructions: list[Any] = []
    for _ in range(size // 200):
        instructions += [("LOAD_NAME", 0)] * 100 + [("ADD", None)] * 99 + [("STORE_NAME", 0)]
    return Bytecode(["a"], instructions)


def chained_expression(size: int) -> Bytecode:
    return Bytecode(["a"], [("LOAD_NAME", 0)] + [("NOT", None)] * (size - 1))


def folding(size: int) -> Bytecode:
    """Operations on constants that make large values, or fail."""
    constants = [0, 60_000, 1 << 2000, "a" * 60_000, b"\x9a" * 2000, list(range(200)), 1 << 30]
    instructions: list[Any] = []
    for place in range(size // 4):
        first, second, name = (
            (0, 1, "RANGE"),
            (2, 2, "MUL"),
            (3, 3, "ADD"),
            (2, 6, "TO_BYTES"),
            (4, 4, "CONTAINS"),
            (5, 5, "ADD"),
            (2, 6, "POW"),
        )[place % 7]
        instructions += [("LOAD_CONST", first), ("LOAD_CONST", second), (name, None), ("POP", None)]
    return Bytecode(constants, instructions)


def names(size: int) -> Bytecode:
    """Many names, one block that all others lead to, and fewer names bound on each way."""
    ways = size // 10
    instructions: list[Any] = [("STORE_CONST", (name, 0)) for name in range(min(1000, size // 4))]
    instructions += [("LOAD_NAME", 0), ("JUMP_IF_FALSE", size // 2)] * ways
    instructions += [("GAS_CHARGE", 1)] * (size // 2 - len(instructions))
    end = len(instructions)
    instructions += [("LOAD_NAME", 0), ("STORE_NAME", 1)] * (size // 4)
    instructions += [("LOAD_NAME", 0), ("JUMP_IF_FALSE", end)] * ways
    return Bytecode([f"n{number}" for number in range(1000)], instructions)


BOMBS: Final = (straight, dense_jumps, ladder, nested_loops, deep_expression, chained_expression, folding, names)
SIZE: Final = 2400
"""Instructions."""


@pytest.mark.parametrize("level", [1, 3])
@pytest.mark.parametrize("bomb", BOMBS)
def test_optimizing_takes_work_in_proportion_to_the_code(bomb: Callable[[int], Bytecode], level: int) -> None:
    small, large = (bomb(size) for size in (SIZE // 4, SIZE))
    verify(large)
    optimizer = BytecodeOptimizer(level, max_passes=2)  # more code may need more rounds, but not without end
    most = 8 * calls_of(partial(optimizer.optimize_bytecode, small)) + 10_000
    assert calls_of(partial(optimizer.optimize_bytecode, large)) < most


@pytest.mark.parametrize("bomb", BOMBS)
def test_compiling_takes_work_in_proportion_to_the_code(bomb: Callable[[int], Bytecode]) -> None:
    def compiled(size: int) -> None:
        with suppress(Uncompilable):
            Compiled(load(bomb(size)), schedule=SCHEDULE, metered=True)

    most = 8 * calls_of(partial(compiled, SIZE // 4)) + 200_000
    assert calls_of(partial(compiled, SIZE)) < most


@pytest.mark.parametrize("bomb", BOMBS)
def test_code_is_prepared_in_bounded_memory(bomb: Callable[[int], Bytecode]) -> None:
    program = bomb(4 * SIZE)
    with bounded_memory(), suppress(Uncompilable):
        Compiled(load(BytecodeOptimizer(2).optimize_bytecode(program)), schedule=SCHEDULE, metered=True)


@pytest.mark.parametrize("bomb", BOMBS)
def test_large_programs_run_within_their_gas(bomb: Callable[[int], Bytecode]) -> None:
    program = bomb(4000)
    program.instructions.insert(0, ("STORE_CONST", (len(program.constants), len(program.constants) + 1)))
    program.constants += ["a", 1]
    program.instructions = [
        (name, operand + 1) if name.startswith("JUMP") else (name, operand) for name, operand in program.instructions
    ]
    outcome = run(program)
    assert outcome.error is None or issubclass(outcome.error, ProzError)


def test_functions_are_bounded_by_number_and_by_depth() -> None:
    empty = Bytecode([], [])
    many = Bytecode([Function(f"f{number}", (), empty) for number in range(1025)], [])
    deep = empty
    for _ in range(40):
        deep = Bytecode([Function("f", (), deep)], [])
    wide = empty
    for _ in range(30):  # a function that is twice in each is counted each time
        inner = Function("f", (), wide)
        wide = Bytecode([inner, inner], [])
    for program in (many, deep, wide):
        with bounded_memory(MEGABYTE), pytest.raises(Unverifiable):
            verify(program)


@pytest.mark.parametrize(
    "constant", ["a" * 70_000, 1 << 5000, b"a" * ((1 << 20) + 1), [0] * 70_000, [[0] * 60_000] * 20]
)
def test_constants_beyond_the_limits_are_refused(constant: Any) -> None:
    with pytest.raises(Unverifiable):
        verify(Bytecode([constant], []))


def test_a_constant_nested_for_ever_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]
    for constant in (circle, deep):
        with bounded_memory(MEGABYTE), pytest.raises(CodeError):
            verify(Bytecode([constant], []))


def test_random_instructions_end_in_the_errors_that_there_are() -> None:
    """Programs of which nothing makes sense but the depth of the stack."""
    random = Random(5)
    ended = 0
    for _ in range(300):
        program = nonsense(random)
        try:
            outcome = run(program, 20_000)
        except Unverifiable:
            continue
        ended += 1
        assert outcome.error is None or issubclass(outcome.error, ProzError)
    assert ended > 200


VALUES: Final = (0, 1, -1, 1 << 70, "", "a", "12", b"", b"\x81\x00", [], [1, [2]], {}, {"a": 1, 2: b"x"}, None, True)
ON_ONE: Final = (
    "NEG",
    "NOT",
    "LENGTH",
    "ITEMS",
    "TO_STRING",
    "TO_INTEGER",
    "KIND",
    "ENCODE",
    "DECODE",
    "TRY_DECODE",
    "HASH_BLOCK",
)
ON_ONE_MORE: Final = ("NEW_CELL", "CELL_READ", "AWAIT")
ON_TWO: Final = ("ADD", "SUB", "MUL", "DIV", "MOD", "POW", "EQ", "LT", "AND", "INDEX", "CONTAINS", "RANGE", "TO_BYTES")
ON_THREE: Final = ("STORE_INDEX", "SLICE", "VERIFY_SIGNATURE", "CALL_CONTRACT")


def nonsense(random: Random) -> Bytecode:
    builder = BytecodeBuilder()
    depth = 0
    for _ in range(random.randint(5, 60)):
        takes = random.choice([0, *range(min(depth, 3) + 1)])
        if takes == 0:
            builder.emit("LOAD_CONST", random.choice((*VALUES, HOLDER)))
            depth += 1
        elif takes == 1:
            name = random.choice((*ON_ONE, *ON_ONE_MORE))
            builder.emit(name) if random.random() < 0.8 else builder.emit("CLOSURE", HOLDER, 1)
        elif takes == 2:
            if random.random() < 0.1:
                builder.emit("CELL_WRITE")
                depth -= 2
            else:
                builder.emit(random.choice(ON_TWO))
                depth -= 1
        else:
            builder.emit(random.choice(ON_THREE))
            depth -= 2
    return builder.build()
