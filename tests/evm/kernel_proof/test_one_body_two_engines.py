"""One body, two engines: the functions that CPython runs as op bodies, unchanged, compile to native code and agree.

Every op of arithmetic, bitwise, memory and storage runs on edge values and seeded random ones, under CPython with a
machine of a bytearray and a dict, and natively with flat arrays. Status, result, gas, refund, memory and slots agree.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest
from vmloom.kernel import U256_MAX, Halt, i64, u64, u256, wrapping_pow
from vmloom_evm.forks import FORKS
from vmloom_evm.machine import Machine
from vmloom_evm.ops import arithmetic, bitwise, memory, storage
from vmloom_evm.rules import Rules
from vmloom_evm.table import OPS, OpRow

pytest.importorskip("llvmlite", reason="llvmlite, the compiler's back end, is not installed")


def sibling(name: str) -> Any:
    """The module beside this file: test folders are not packages."""
    spec = importlib.util.spec_from_file_location(f"kernel_proof_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compiler = sibling("compiler")

PROVEN_FORKS = ("frontier", "constantinople", "istanbul", "london")
MODULES = {module.__name__ for module in (arithmetic, bitwise, memory, storage)}
ROWS = {row.name: row for row in OPS.values() if row.function and row.function.__module__ in MODULES}
MEMORY_BYTES = 1 << 17
SLOTS = 8

# ---- The native machine: its layout, and verbs of the vocabulary written in the kernel language


class NativeMachine(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("gas", "refund", "memory_words", "is_static", "slot_count")),
        *((name, ctypes.c_void_p) for name in ("memory", "slots")),
    ]


class Native(Machine, Protocol):
    """What native verbs are made of: an array of slots, each a row of 256-bit words."""

    slot_count: u64

    def slot_word(self, offset: u64) -> u256: ...
    def set_slot_word(self, offset: u64, word: u256) -> None: ...


SLOT_COLUMNS = 5
ROW_BYTES = 32 * SLOT_COLUMNS
KEY, VALUE, ORIGINAL, WARM, TRANSIENT = range(0, ROW_BYTES, 32)


def find_slot(m: Native, key: u256) -> u64:
    """Offset of the row of `key`, which is appended, all zeros, if it is not there."""
    for row in range(m.slot_count):
        if m.slot_word(row * ROW_BYTES + KEY) == key:
            return row * ROW_BYTES
    m.slot_count += 1
    offset = (m.slot_count - 1) * ROW_BYTES
    m.set_slot_word(offset + KEY, key)
    return offset


def load_slot(m: Native, key: u256) -> u256:
    return m.slot_word(find_slot(m, key) + VALUE)


def original_slot(m: Native, key: u256) -> u256:
    return m.slot_word(find_slot(m, key) + ORIGINAL)


def store_slot(m: Native, key: u256, value: u256) -> None:
    m.set_slot_word(find_slot(m, key) + VALUE, value)


def is_warm_slot(m: Native, key: u256) -> bool:
    return m.slot_word(find_slot(m, key) + WARM) != 0


def warm_slot(m: Native, key: u256) -> None:
    m.set_slot_word(find_slot(m, key) + WARM, 1)


def load_transient(m: Native, key: u256) -> u256:
    return m.slot_word(find_slot(m, key) + TRANSIENT)


def store_transient(m: Native, key: u256, value: u256) -> None:
    m.set_slot_word(find_slot(m, key) + TRANSIENT, value)


def square_and_multiply(base: u256, exponent: u256) -> u256:
    """The kernel that stands for `wrapping_pow`, whose CPython form is a builtin."""
    result = u256(1)
    while exponent != 0:
        if exponent & 1:
            result = (result * base) & U256_MAX
        base = (base * base) & U256_MAX
        exponent >>= 1
    return result


VERBS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (load_slot, original_slot, store_slot, is_warm_slot, warm_slot, load_transient, store_transient)
}
KERNELS: dict[Any, Callable[..., Any]] = {wrapping_pow: square_and_multiply}

# ---- One run on either engine


@dataclass(frozen=True)
class State:
    """What an op may change, and `is_static`. A slot is (value, original, warm, transient); all zero is absent."""

    gas: int = 10**6
    refund: int = 0
    is_static: bool = False
    memory: bytes = b""
    slots: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)


Outcome = tuple[int, int | None, State]


class PythonMachine:
    """The vocabulary over a bytearray and a dict."""

    def __init__(self, rules: Rules, state: State) -> None:
        self.rules, self.gas, self.refund, self.is_static = rules, state.gas, state.refund, state.is_static
        self.memory = bytearray(state.memory)
        self.slots = {key: list(slot) for key, slot in state.slots.items()}

    @property
    def memory_words(self) -> int:
        return len(self.memory) // 32

    def grow_memory(self, words: int) -> None:
        self.memory.extend(bytes(words * 32 - len(self.memory)))

    def memory_read(self, offset: int) -> int:
        return int.from_bytes(self.memory[offset : offset + 32], "big")

    def memory_write(self, offset: int, value: int) -> None:
        self.memory[offset : offset + 32] = value.to_bytes(32, "big")

    def memory_write_byte(self, offset: int, value: int) -> None:
        self.memory[offset] = value

    def memory_move(self, destination: int, source: int, size: int) -> None:
        self.memory[destination : destination + size] = self.memory[source : source + size]

    def slot(self, key: int) -> list[int]:
        return self.slots.setdefault(key, [0, 0, 0, 0])

    def load_slot(self, key: int) -> int:
        return self.slot(key)[0]

    def original_slot(self, key: int) -> int:
        return self.slot(key)[1]

    def store_slot(self, key: int, value: int) -> None:
        self.slot(key)[0] = value

    def is_warm_slot(self, key: int) -> bool:
        return self.slot(key)[2] != 0

    def warm_slot(self, key: int) -> None:
        self.slot(key)[2] = 1

    def load_transient(self, key: int) -> int:
        return self.slot(key)[3]

    def store_transient(self, key: int, value: int) -> None:
        self.slot(key)[3] = value


def run_python(row: OpRow, rules: Rules, operands: tuple[int, ...], state: State) -> Outcome:
    m = PythonMachine(rules, state)
    status, result = 0, None
    assert row.function is not None
    try:
        result = row.function(m, *operands) if row.takes_machine else row.function(*operands)
    except Halt as halt:
        status = halt.reason
    slots = {key: (s[0], s[1], s[2], s[3]) for key, s in m.slots.items() if any(s)}
    return status, result, State(m.gas, m.refund, m.is_static, bytes(m.memory), slots)


MEMORY = (ctypes.c_char * MEMORY_BYTES)()
SLOT_ARRAY = (ctypes.c_char * (ROW_BYTES * SLOTS))()
WORDS = (ctypes.c_char * (32 * 4))()


@cache
def native_code(fork: str) -> tuple[Any, dict[Any, Callable[..., int]]]:
    """Every op body compiled for one fork's rules. The engine is kept because it owns the code."""
    target = compiler.Target(NativeMachine, Native, VERBS, KERNELS, FORKS[fork].rules)
    engine, addresses = compiler.compile_kernels([*(row.function for row in ROWS.values()), loops], target)
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
    return engine, {function: prototype(address) for function, address in addresses.items()}


def words(numbers: tuple[int, ...]) -> bytes:
    return b"".join(it.to_bytes(32, sys.byteorder) for it in numbers)


def numbers(raw: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(raw[at : at + 32], sys.byteorder) for at in range(0, len(raw), 32))


def run_native(row: OpRow, fork: str, operands: tuple[int, ...], state: State) -> Outcome:
    m = NativeMachine(state.gas, state.refund, len(state.memory) // 32, state.is_static, len(state.slots))
    m.memory, m.slots = ctypes.addressof(MEMORY), ctypes.addressof(SLOT_ARRAY)
    ctypes.memmove(MEMORY, state.memory, len(state.memory))
    slots = words(tuple(itertools.chain(*((key, *slot) for key, slot in state.slots.items()))))
    SLOT_ARRAY.raw = slots.ljust(len(SLOT_ARRAY), b"\0")
    WORDS.raw = words(operands).ljust(len(WORDS), b"\xa5")
    status = native_code(fork)[1][row.function](ctypes.addressof(m), ctypes.addressof(WORDS))
    rows = numbers(SLOT_ARRAY.raw[: m.slot_count * ROW_BYTES])
    found = {rows[at]: rows[at + 1 : at + 5] for at in range(0, len(rows), SLOT_COLUMNS)}
    memory = ctypes.string_at(MEMORY, m.memory_words * 32)
    ctypes.memset(MEMORY, 0, len(memory))  # memory beyond a frame's size is zero, as `grow_memory` expects
    result = numbers(WORDS.raw)[0] if row.returns_value and not status else None
    present = {key: slot for key, slot in found.items() if any(slot)}
    return status, result, State(m.gas, m.refund, bool(m.is_static), memory, present)  # type: ignore[arg-type]


# ---- What they run on

EDGES = (
    *(0, 1, 2, 7, 8, 31, 32, 33, 255, 256, 257, (1 << 64) - 1, 1 << 64, (1 << 128) - 1, 1 << 128),
    *((1 << 255) - 1, 1 << 255, (1 << 255) + 1, U256_MAX - 255, U256_MAX - 1, U256_MAX),
)
OFFSETS = (0, 1, 31, 32, 33, 95, 96, 1000, 4096, (1 << 32) - 32, (1 << 32) - 1, 1 << 32, 1 << 64, U256_MAX)
GAS = (0, 2, 3, 5, 6, 9, 10, 11, 49, 50, 98, 99, 160, 320, 1599, 1600, 10_000)
STORAGE_GAS = (0, 99, 100, 2_099, 2_100, 2_200, 2_300, 2_301, 2_900, 4_999, 5_000, 20_000, 22_099, 22_100, 10**6)


def random_words(rng: random.Random, count: int) -> tuple[int, ...]:
    """Words of every length, at times equal or one another's complement."""
    found = [rng.getrandbits(rng.choice((1, 5, 8, 64, 65, 128, 160, 192, 255, 256))) for _ in range(count)]
    if count > 1 and rng.random() < 0.1:
        found[1] = found[0] if rng.random() < 0.5 else U256_MAX - found[0]
    return tuple(found)


def samples(row: OpRow) -> Iterator[tuple[tuple[int, ...], State]]:
    rng = random.Random(row.name)
    assert row.function is not None
    module = row.function.__module__
    if module == storage.__name__:
        values = (0, 1, 2, U256_MAX)
        for current, original, value, warm, gas in itertools.product(values, values, values, (0, 1), STORAGE_GAS):
            key = rng.choice((0, 5, 1 << 255))
            slots = {7: (9, 9, 1, 9), key: (current, original, warm, current ^ 1), 6: (1, 2, 0, 3)}
            for is_static in (False, True) if gas == 10**6 else (False,):
                state = State(gas, rng.choice((0, 4_800, 20_000)), is_static, b"", slots)
                yield (key if rng.random() < 0.9 else 4, value)[: row.pops], state
    elif module == memory.__name__:
        for _ in range(800):
            places = tuple(rng.choice(OFFSETS) if rng.random() < 0.5 else rng.randrange(200) for _ in range(3))
            operands = places if row.name == "MCOPY" else (places[0], rng.getrandbits(256))
            state = State(gas=rng.choice(GAS), memory=rng.randbytes(32 * rng.choice((0, 1, 3, 40))))
            yield operands[: row.pops], state
    else:
        edges = EDGES if row.pops < 3 else EDGES[::2]
        for operands in itertools.product(edges, repeat=row.pops):
            yield operands, State(gas=rng.choice(GAS))
        for _ in range(400):
            yield random_words(rng, row.pops), State(gas=rng.choice(GAS))


# ---- The proof


@pytest.mark.parametrize("fork", PROVEN_FORKS)
@pytest.mark.parametrize("name", ROWS)
def test_the_body_does_the_same_under_cpython_and_compiled(name: str, fork: str) -> None:
    row, rules = ROWS[name], FORKS[fork].rules
    statuses = set()
    for operands, state in samples(row):
        expected = run_python(row, rules, operands, state)
        assert expected[1] is None or 0 <= expected[1] <= U256_MAX
        assert run_native(row, fork, operands, state) == expected, (operands, state)
        statuses.add(expected[0])
    assert 0 in statuses
    if name in ("EXP", "MLOAD", "MSTORE", "MSTORE8", "MCOPY", "SSTORE", "TSTORE"):
        assert len(statuses) > 1, "no sample halted"


def test_every_op_of_the_four_modules_is_proven() -> None:
    assert {"ADD", "SIGNEXTEND", "LT", "CLZ", "MLOAD", "MCOPY", "SLOAD", "SSTORE"} <= set(ROWS)
    assert len(ROWS) >= 11 + 14 + 5 + 4


def loops(x: u256, y: u256) -> u256:
    """What op bodies use little: loops with their exits, and signed numbers beside unsigned ones."""
    total = u256(0)
    signed = i64(u64(x) & 0xFF) - 100
    if signed < u64(y) and not signed > -5:
        total += 5
    for index in range(u64(x & 15)):
        if index == 3 or (not index and y > 100):
            continue
        if index == 9 and y % 3 == 1:
            break
        total += index * 3 if index % 2 else (min(x, y) >> 1) // (index + 1)
    while total > U256_MAX >> 4 or total == 77:
        total //= 16
    return total & U256_MAX


def test_loops_and_their_exits_do_the_same() -> None:
    row = OpRow(0, "LOOPS", loops, OPS["ADD"].kind, pops=2, pushes=1)
    rng = random.Random(1)
    for operands in (*itertools.product(EDGES, EDGES), *(random_words(rng, 2) for _ in range(500))):
        scaled = (operands[0], operands[1] >> 8)
        assert run_native(row, "london", scaled, State()) == run_python(row, FORKS["london"].rules, scaled, State())


def test_a_fork_changes_the_compiled_code_and_not_the_body() -> None:
    state = replace(State(), slots={1: (5, 5, 1, 0)})
    left = {fork: run_native(ROWS["SSTORE"], fork, (1, 0), state)[2] for fork in PROVEN_FORKS}
    assert {fork: 10**6 - it.gas for fork, it in left.items()} == {
        "frontier": 5_000,
        "constantinople": 5_000,
        "istanbul": 5_000,
        "london": 2_900,
    }
    assert [it.refund for it in left.values()] == [15_000, 15_000, 15_000, 4_800]
