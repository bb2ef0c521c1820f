"""Compiling keeps to its time: while text is written, and before LLVM begins with what would take longer."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import pytest
from vmloom_evm.assembly import Bytecode, add, calldataload, jumpi, label, push, raw, ret_top
from vmloom_evm.forks import LATEST
from vmloom_evm.jit import compile as compiler
from vmloom_evm.specification import specify
from vmloom_native import codegen

SPECIFICATION = specify(LATEST)


def ways(count: int) -> bytes:
    """So many ways that part and meet."""
    code = push(0)
    for number in range(count):
        code += jumpi(f"on{number}", calldataload(number)) + add(number) + label(f"on{number}")
    return bytes(Bytecode() + code + ret_top())


class Clock:
    """Takes the place of `time`: each look at it comes a second later, or as `steps` say."""

    def __init__(self, *steps: float) -> None:
        self.times = itertools.chain(itertools.accumulate(steps), itertools.repeat(sum(steps)))
        self.looks = 0

    def thread_time(self) -> float:
        self.looks += 1
        return next(self.times)


def test_blocks_that_take_too_long_to_find_are_left_before_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way is looked at once at least."""
    clock = Clock(*[1.0] * 1_000)
    monkeypatch.setattr(compiler, "time", clock)
    monkeypatch.setattr(compiler, "Emitter", None)
    with pytest.raises(compiler.Uncompilable, match="longer than it may") as caught:
        compiler.ir(SPECIFICATION, ways(100), deadline=200.0)
    assert (caught.value.reason, clock.looks) == ("time", 201)


def test_text_that_takes_too_long_is_left_before_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(*[1.0] * 1_000)
    monkeypatch.setattr(compiler, "time", clock)
    find = compiler.blocks_of
    monkeypatch.setattr(compiler, "blocks_of", lambda *arguments: find(*arguments[:4]))
    with pytest.raises(compiler.Uncompilable, match="longer than it may") as caught:
        compiler.ir(SPECIFICATION, ways(100), deadline=20.0)
    assert (caught.value.reason, clock.looks) == ("time", 21)


def test_time_of_others_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy computer a contract would not be compiled, or not as well."""
    compiler.ir(SPECIFICATION, ways(3))  # makes ready what all share
    find = compiler.blocks_of

    def wait(*arguments: Any) -> Any:
        time.sleep(0.6)
        return find(*arguments)

    monkeypatch.setattr(compiler, "blocks_of", wait)
    assert compiler.ir(SPECIFICATION, ways(3), deadline=time.thread_time() + 0.5)


@pytest.mark.parametrize(
    ("left", "levels"),
    [
        (math.inf, [compiler.FULL]),
        (12.0, [compiler.FULL]),
        (10.0, [compiler.FULL, compiler.QUICK]),
        (4.5, [compiler.FULL, compiler.QUICK]),
    ],
)
def test_machine_code_is_made_quickly_if_there_is_no_time_for_more(
    left: float, levels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    target_machine = codegen.target_machine

    def recorded(level: int = 2) -> Any:
        seen.append(level)
        return target_machine(level)

    text = compiler.ir(SPECIFICATION, ways(3))
    monkeypatch.setattr(codegen, "target_machine", recorded)
    monkeypatch.setattr(compiler, "time", Clock(0.0, 0.0, 1.0))  # the passes take a second
    assert compiler.emit_object(text, deadline=left)
    assert seen == levels


def test_machine_code_is_not_made_if_there_is_no_time_even_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    text = compiler.ir(SPECIFICATION, ways(3))
    monkeypatch.setattr(compiler, "time", Clock(0.0, 0.0, 1.0))
    with pytest.raises(compiler.Uncompilable) as caught:
        compiler.emit_object(text, deadline=3.5)
    assert caught.value.reason == "time"


def test_products_of_words_take_longer_to_make_than_their_lines_say(monkeypatch: pytest.MonkeyPatch) -> None:
    code = bytes(calldataload(0) + raw("8002" * 20) + ret_top())
    text = compiler.ir(SPECIFICATION, code, level=compiler.QUICK)
    monkeypatch.setattr(compiler, "time", Clock(0.0, 0.0, 1.0))
    with pytest.raises(compiler.Uncompilable) as caught:
        compiler.emit_object(text, deadline=4.5, level=compiler.QUICK)
    assert caught.value.reason == "time"
    monkeypatch.setattr(compiler, "time", Clock(0.0, 0.0, 1.0))
    assert compiler.emit_object(text, deadline=60.0, level=compiler.QUICK)
