"""Machine code that leaves for the interpreter all the time is put aside for a while, and only then."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import pytest
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.assembly import (
    Bytecode,
    add,
    calldataload,
    calldatasize,
    dup,
    gas,
    gt,
    jump,
    jumpi,
    label,
    push,
    ret_top,
)
from vmloom_evm.jit.leaving import OFTEN, RESTED, TRUSTED, Leaving
from vmloom_evm.jit.statistics import JitStatistics
from vmloom_evm.native import layout
from vmloom_evm.testing import EvmUnderTest

FIRST = {"trigger": "first", "disk_cache": False}
PAUSE = layout.PAUSE_INTERVAL
ITEMS = 40


def told(evm: EvmUnderTest) -> JitStatistics:
    found = evm.vm.jit_statistics()
    assert found is not None
    return found


def misled() -> tuple[Bytecode, int]:
    """A loop that seems to run with constants on the stack, but is jumped into with another one below them.

    Also where it begins. It ends when there is no gas.
    """
    words = [push(0x1100 + number) for number in range(ITEMS)]
    loop = label("loop") + jumpi("loop", gas()) + push(0)
    seeming, others = sum(words, Bytecode()), sum(words[1:], Bytecode())
    real = label("real") + calldataload(32) + others + calldataload(0) + jump()
    code = jumpi("real", calldatasize()) + seeming + jump("loop") + real + loop
    return code, len(bytes(code)) - len(bytes(loop))


@pytest.mark.usefixtures("fresh")
def test_machine_code_that_is_slower_than_the_interpreter_is_put_aside() -> None:
    code, loop = misled()
    gas_limit, data = 5 * PAUSE * 17, loop.to_bytes(32, "big") + bytes(31) + b"\x01"
    expected = EvmUnderTest("native").run(code, gas=gas_limit, input=data)
    evm = EvmUnderTest("jit", jit=FIRST)
    assert evm.run(code, gas=gas_limit, input=data).result == expected.result
    found = told(evm)
    assert found.rests == 1
    assert 2 * PAUSE - 100 < found.deoptimisations < 2 * PAUSE + 100, "it took two pauses to find out"


@pytest.mark.usefixtures("fresh")
def test_machine_code_that_is_seldom_left_is_not_put_aside() -> None:
    code = push(0) + label("on") + add(1) + jumpi("on", gt(6 * PAUSE, dup(1))) + ret_top()
    evm = EvmUnderTest("jit", jit=FIRST)
    assert evm.run(code, gas=10**9).output_int == 6 * PAUSE
    assert told(evm).rests == 0


class Run:
    """What `Leaving` reads of native memory: a run in one frame. A second goes by between pauses."""

    def __init__(self) -> None:
        self._frame = ctypes.create_string_buffer(size_of(layout.Frame))
        self._fields = {"stamp": 1, "deoptimised": 0}
        self._fields["frames"] = self._fields["frame"] = ctypes.addressof(self._frame)
        self._gas = ctypes.c_int64.from_buffer(self._frame, fields_of(layout.Frame)["gas"].offset)
        self._gas.value = 10**12
        self.seconds = 0.0

    def get(self, name: str) -> int:
        return self._fields[name]

    def go_on(self, used: int, left: int = 0, transaction: int = 1) -> float:
        """Until the next pause."""
        self._gas.value -= used
        self._fields["deoptimised"] += left
        self._fields["stamp"] = transaction
        self.seconds += 1.0
        return self.seconds


def watched() -> tuple[Run, Leaving]:
    run: Any = Run()
    watch = Leaving(run)
    assert not watch.paused(1, run.go_on(100), is_compiled=True)
    return run, watch


def rests(run: Run, watch: Leaving, pauses: Sequence[tuple[int, int]], row: int = 1) -> list[bool]:
    """Whether the code in `row` is interpreted after each of some pauses, with gas used and ways out before each."""
    found = []
    for used, left in pauses:
        is_compiled = not watch.rests(row)
        found.append(watch.paused(row, run.go_on(used, left), is_compiled=is_compiled))
    return found


def test_code_that_runs_faster_interpreted_rests_for_a_while() -> None:
    run, watch = watched()
    assert rests(run, watch, [(100, OFTEN)] * 2) == [False, True]
    assert rests(run, watch, [(101, 0)] * RESTED) == [True] * (RESTED - 2) + [False] * 2
    assert rests(run, watch, [(100, OFTEN)] * 2) == [False, True], "and is watched on"


def test_code_that_runs_slower_interpreted_is_trusted_for_a_while() -> None:
    run, watch = watched()
    assert rests(run, watch, [(100, OFTEN)] * 2) == [False, True]
    assert rests(run, watch, [(99, 0)]) == [False]
    assert rests(run, watch, [(100, OFTEN)] * TRUSTED) == [False] * (TRUSTED - 1) + [True]


def test_code_that_leaves_less_often_is_let_alone() -> None:
    run, watch = watched()
    assert not any(rests(run, watch, [(100, OFTEN - 1)] * 5))
    assert not any(rests(run, watch, [(100, OFTEN), (100, 0)] * 5))


def test_code_whose_speed_cannot_be_told_rests() -> None:
    """Its transactions are shorter than the time between pauses."""
    run, watch = watched()
    for number in (2, 3):
        watch.paused(1, run.go_on(100, OFTEN, number), is_compiled=True)
    assert watch.rests(1)
    assert watch.paused(1, run.go_on(1, 0, 4), is_compiled=False)


def test_other_code_does_not_speak_for_the_one_that_is_tried() -> None:
    run, watch = watched()
    assert rests(run, watch, [(100, OFTEN)] * 2) == [False, True]
    assert rests(run, watch, [(1, 0)], row=2) == [False]
    assert rests(run, watch, [(1, 0)]) == [True]


def test_rows_that_are_gone_are_forgotten() -> None:
    run, watch = watched()
    rests(run, watch, [(100, OFTEN)] * 2)
    watch.forget()
    assert not watch.rests(1)
    assert rests(run, watch, [(100, OFTEN)]) == [False]
