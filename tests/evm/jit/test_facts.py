"""What is known of stacks holds in runs, however code is entered, and knowing it takes bounded time."""

from __future__ import annotations

import importlib
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from vmloom import ExecutionContext, MemoryState
from vmloom_evm.analysis.instructions import JUMP, JUMPI, Listing
from vmloom_evm.assembly import (
    Bytecode,
    add,
    calldataload,
    calldatasize,
    dup,
    jump,
    jumpi,
    label,
    lt,
    mload,
    mstore,
    pop,
    push,
    raw,
    repeat,
    sload,
    stop,
    sub,
    swap,
)
from vmloom_evm.forks import FORKS, LATEST
from vmloom_evm.jit.facts import COUNTER_BASE, COUNTER_STEP, Facts, Guard, Known, find
from vmloom_evm.reference.engine import REFERENCE
from vmloom_evm.specification import specify
from vmloom_evm.table import OPS, OpKind
from vmloom_evm.trace.hooks import TracedFrame, Tracer

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
ROWS = {row.code: row for row in OPS.values() if row.name in LATEST.gas}
SPECIFICATION = specify(LATEST)
FRAMES = {row.code for row in OPS.values() if row.kind is OpKind.FRAME}
AT = b"\xaa" * 20
U64 = (1 << 64) - 1


def facts_of(code: Bytecode | bytes) -> Facts:
    """What is known of the stacks of `code`."""
    return find(Listing(bytes(code), ROWS))


def passes(guard: Guard, stack: Sequence[int]) -> bool:
    """Whether a stack, the top last, is let in."""
    return all(low <= stack[-1 - place] <= high for place, low, high in guard if place < len(stack))


class Inspector(Tracer):
    """Looks at every stack of a run of `code`, and whether what is known of it is so.

    As compiled code does, it trusts nothing until the guards of a block have let a stack in.
    """

    opcodes = None

    def __init__(self, code: bytes, facts: Facts) -> None:
        self.code, self.facts = code, facts
        self.trusts = True
        self.last: tuple[int, int, bool] | None = None
        """The instruction before: its offset, its opcode, and whether it jumps."""
        self.looked_at = 0
        self.refused = 0

    def before(self, frame: TracedFrame, opcode: int) -> None:
        if frame.depth or frame.code != self.code:
            return
        offset, stack = frame.pc, frame.stack
        known = self.facts.entries.get(offset)
        if self.last is not None and self._is_elsewhere(offset):
            self.trusts = False
        if known is not None and not self.trusts:
            self.trusts = any(passes(guard, stack) for guard in self.facts.guards[offset])
            self.refused += not self.trusts
        elif known is not None:
            for place, (it, word) in enumerate(zip(known, reversed(stack), strict=False)):
                assert it.low <= word <= it.high, f"offset {offset:#x}, item {place} is {word:#x}, not {it}"
                assert it.words is None or word in it.words
                self.looked_at += it.high <= U64
        jumps = opcode == JUMP or (opcode == JUMPI and len(stack) > 1 and stack[-2] != 0)
        self.last = (offset, opcode, jumps)

    def _is_elsewhere(self, offset: int) -> bool:
        """Whether the run has come here over what is no edge that was followed."""
        assert self.last is not None
        before, opcode, jumps = self.last
        if opcode in FRAMES:
            return True
        if not jumps:
            return False
        targets = self.facts.targets.get(before)
        if targets is not None and self.trusts:
            assert offset in targets, f"the jump at {before:#x} led to {offset:#x}, not to {targets}"
        return targets is None or offset not in targets


def inspect(code: bytes, data: bytes = b"", gas: int = 200_000) -> Inspector:
    """Run `code` and look at its stacks."""
    inspector = Inspector(code, facts_of(code))
    context = ExecutionContext(caller=AT, address=AT, origin=AT, input=data, gas_limit=gas)
    REFERENCE.execute(SPECIFICATION, MemoryState(), code, context, tracers=[inspector])
    return inspector


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """How the benchmarks write random programs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("differential.programs")
    for name in [name for name in sys.modules if name.split(".")[0] == "differential"]:
        del sys.modules[name]


def test_what_is_known_of_random_programs_is_so(programs: ModuleType) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    looked_at = 0
    earlier = [b""]
    for _ in range(200):
        grammar = programs.grammar_of(LATEST.name)
        writer = programs.Writer(grammar, rng)
        for _ in range(rng.randrange(4)):
            rng.choice((writer.loop, writer.branch))()
        code = writer.program(1 + rng.randrange(12)) if rng.random() < 0.6 else programs.Maze(grammar, rng).program()
        if rng.random() < 0.2:
            code = programs.mutated(rng, code, rng.choice(earlier))
        earlier.append(code)
        try:
            looked_at += inspect(code, rng.randbytes(rng.choice((0, 4, 68))), rng.choice((5_000, 60_000))).looked_at
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}\n0x{code.hex()}")
    assert looked_at > 500, f"seed {seed}: hardly anything was known"


def test_what_is_known_of_loops_that_change_many_words_is_so() -> None:
    """Words that go through loops, each changed by an instruction of its own."""
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    pure = [row for row in OPS.values() if row.code < 0x20 and row.pushes and row.pops and row.name != "EXP"]
    looked_at = 0
    for _ in range(120):
        words = rng.randrange(1, 6)
        code = Bytecode()
        for _ in range(words):
            code += push(rng.choice((0, 1, 2, 31, 255, 1 << 62, U64, (1 << 256) - 1, rng.getrandbits(256))))
        code += label("head")
        for _ in range(rng.randrange(1, 9)):
            row = rng.choice(pure)
            for depth in range(row.pops):
                one = push(rng.choice((0, 1, 1, 3, 32, 255)))
                code += one if rng.random() < 0.3 else dup(depth + rng.randrange(1, words + 1))
            code += raw(bytes([row.code])) + swap(rng.randrange(1, words + 1)) + pop
        condition = push(rng.choice((9, 200, 1 << 65))) + dup(1 + rng.randrange(1, words + 1))
        code += condition + raw(bytes([rng.choice((0x10, 0x11, 0x14))])) + raw(b"\x15" * rng.randrange(3))
        code += jumpi("head") + label("after") + stop
        try:
            looked_at += inspect(bytes(code), gas=6_000).looked_at
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}\n0x{bytes(code).hex()}")
    assert looked_at > 500, f"seed {seed}: hardly anything was known"


# What makes it worth the trouble


def at(code: Bytecode, opcode: int = 0x5B) -> tuple[Known, ...]:
    """What is known at the first instruction with `opcode`."""
    listing = Listing(bytes(code), ROWS)
    return facts_of(code).at(next(item.offset for item in listing.items if item.code == opcode))


def test_counter_of_a_loop_with_a_known_end_is_bounded_by_it() -> None:
    assert at(repeat(1000, Bytecode()) + stop)[0].high <= U64


def test_counter_that_counts_down_never_wraps() -> None:
    code = push(1000) + label("head") + push(1) + swap(1) + sub + dup(1) + jumpi("head") + stop
    known = at(code)[0]
    assert (known.low, known.high) == (1, 1000)


def test_counter_that_nothing_bounds_stays_below_64_bits() -> None:
    code = push(0) + label("head") + add(1) + jumpi("head", lt(dup(2), calldataload(0))) + stop
    known = at(code)[0]
    assert (known.counts, known.high, known.guard) == (True, U64, COUNTER_BASE)


def test_word_that_grows_by_more_than_a_little_is_anything() -> None:
    for step, counts in ((COUNTER_STEP, True), (COUNTER_STEP + 1, False)):
        code = push(0) + label("head") + add(step) + jumpi("head", sload(0)) + stop
        assert at(code)[0].counts is counts
    doubled = push(1) + label("head") + add(dup(1)) + jumpi("head", sload(0)) + stop
    assert at(doubled)[0].high > U64


def test_counter_that_began_too_high_is_none() -> None:
    code = push(COUNTER_BASE + 1) + label("head") + add(1) + jumpi("head", sload(0)) + stop
    assert not at(code)[0].counts


def test_words_of_others_are_not_known_beyond_a_block() -> None:
    code = calldataload(0) + label("head") + mload(0) + sload(1) + jumpi("head", calldataload(1)) + stop
    assert at(code)[0].high > U64


def test_jump_goes_back_to_where_a_function_was_called_from() -> None:
    body = label("double") + swap(1) + dup(1) + raw(b"\x01") + swap(1) + jump()
    code = push("back") + push(4) + swap(1) + push(4) + jump("double") + label("back") + stop + body
    found = facts_of(code)
    assert any(len(targets) == 1 for targets in found.targets.values())


def test_jump_to_anything_is_not_followed() -> None:
    code = jump(calldataload(0)) + label("here") + push(1) + pop + stop
    found = facts_of(code)
    assert found.targets == {}
    assert at(code) == ()


def test_condition_says_something_of_every_copy_of_what_it_compares() -> None:
    code = calldataload(0) + dup(1) + jumpi("small", lt(dup(2), 10)) + stop + label("small") + stop
    assert [known.high for known in at(code)] == [9, 9]


def test_guard_keeps_out_what_would_not_hold() -> None:
    """A jump that nobody can follow leads into a loop with a counter far too high: the guard refuses it."""
    loop = label("head") + add(1) + jumpi("head", lt(dup(2), calldataload(32))) + stop
    wild = push((1 << 255) + 5) + jump(calldataload(0))
    code = jumpi("start", lt(calldatasize, 2)) + wild + label("start") + push(0) + loop
    listing = Listing(bytes(code), ROWS)
    head = [item.offset for item in listing.items if item.code == 0x5B][1]
    data = head.to_bytes(32, "big") + ((1 << 255) + 9).to_bytes(32, "big")
    assert inspect(bytes(code), data).refused > 0


def test_guard_does_not_mix_what_is_known_of_one_caller_with_another() -> None:
    """A function adds 1 and goes back to one of two callers; the first gives it 5, the second 200."""
    function = label("function") + push(1) + raw(b"\x01") + swap(1) + jump()
    first = push("one") + push(5) + jump("function") + label("one") + stop
    second = push("two") + push(200) + jump("function") + label("two") + stop
    code = jumpi("second", calldataload(0)) + first + label("second") + second + function
    found = facts_of(code)
    listing = Listing(bytes(code), ROWS)
    entry, one, two = (
        next(
            item.offset for item in listing.items if item.offset in found.entries and found.at(item.offset)[:1] == known
        )
        for known in ((found.at(at_last_destination(listing))[0],), (Known(6, 6),), (Known(201, 201),))
    )
    assert found.at(entry)[1].words == frozenset((one, two))
    guards = found.guards[entry]
    assert any(passes(guard, [one, 5]) for guard in guards)
    assert any(passes(guard, [two, 200]) for guard in guards)
    assert not any(passes(guard, [one, 200]) for guard in guards)
    assert not any(passes(guard, [two, 5]) for guard in guards)
    assert not any(passes(guard, [one + 1, 5]) for guard in guards)


def at_last_destination(listing: Listing) -> int:
    """The offset of the last JUMPDEST."""
    return max(listing.destinations)


# Bounded time


def hostile() -> Sequence[Any]:
    """Code of the greatest size that may make an abstract run long."""
    size = 24_576
    pushes = b"".join(b"\x5b\x61" + (n * 8 % size).to_bytes(2, "big") + b"\x56\x5b\x5b\x5b" for n in range(size // 8))
    calls = b"".join(b"\x5b\x61" + (n * 7 % size).to_bytes(2, "big") + b"\x80\x80\x57" for n in range(size // 7))
    return [
        pytest.param(b"\x5b" * size, id="JUMPDEST"),
        pytest.param((b"\x5b\x5a\x56" * size)[:size], id="unknown jumps"),
        pytest.param(pushes, id="chains of jumps"),
        pytest.param(calls, id="conditions everywhere"),
        pytest.param((b"\x60\x01" * 1000 + b"\x8f\x9f" * size)[:size], id="deep stacks"),
        pytest.param(
            (b"\x5a\x60\x07\x57\x5b" + b"\x60\x05\x80\x01\x60\x02\x56\x5b" * size)[:size], id="growing stacks"
        ),
    ]


@pytest.mark.parametrize("code", hostile())
def test_time_is_bounded_by_the_length_of_the_code(code: bytes) -> None:
    listing = Listing(code, ROWS)
    began = time.thread_time()
    find(listing)
    assert time.thread_time() - began < 0.2 * len(code) / 1024, "over 200 ms for each KiB of code"


def test_unknown_words_of_forks_are_the_end_of_a_path() -> None:
    rows = {row.code: row for row in OPS.values() if row.name in FORKS["frontier"].gas}
    code = bytes(push(0) + mstore(0, 1)) + b"\x5f" + bytes(label("x") + stop)
    assert find(Listing(code, rows)).is_complete
