"""Traces that somebody has tampered with: a `TraceError` or a page, and nothing that takes long."""

from __future__ import annotations

import io
import json
import random
from typing import Any, Final

import pytest
from vmloom.report import TraceError, build, page, read_trace

from .traces import FIRST, OTHER, enter, leave, lines, run_of, step

GOOD: Final = [
    enter("CALL", FIRST, 1000),
    step("SSTORE", 1000, 5, 0, cost=100),
    step("CALL", 900, 0, 0, 0, 0, 7, int(OTHER, 16), 600, cost=650, memory="0x" + "ab" * 40),
    enter("CALL", OTHER, 600, FIRST, "0x7"),
    step("SLOAD", 600, 1, cost=20, depth=2),
    step("REVERT", 480, 0, 0, cost=0, depth=2),
    step("REVERT", 480, cost=0, depth=2, error="execution reverted"),
    leave(120, "execution reverted"),
    step("STOP", 700, 0, cost=0, returnData="0xff"),
    leave(300),
]
WRONG: Final[list[Any]] = [
    None, -1, 0, 1, "", "0x", [], {}, True, 1.5, float("inf"), 2**70, "zz", [None], ["0x1", 5], "x" * 500, {"a": [1]},
]  # fmt: skip


def tampered(source: random.Random) -> bytes:
    """The trace with lines that are gone, doubled, cut, garbled, or have values of other kinds."""
    made = [json.dumps(one) for one in GOOD]
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(made))
        match source.randrange(5):
            case 0:
                del made[at]
            case 1:
                made.insert(at, source.choice(made))
            case 2:
                made[at] = made[at][: source.randrange(len(made[at]) + 1)]
            case 3:
                cut = source.randrange(len(made[at]) + 1)
                made[at] = made[at][:cut] + chr(source.randrange(32, 127)) + made[at][cut + 1 :]
            case _:
                document = dict(GOOD[at % len(GOOD)])
                document[source.choice(list(document))] = source.choice(WRONG)
                made[at] = json.dumps(document)
    return lines(*made)


@pytest.mark.parametrize("seed", range(20))
def test_tampered_trace_is_an_error_or_a_page(seed: int) -> None:
    source = random.Random(seed)
    pages = longest = 0
    for _ in range(50):
        text = tampered(source)
        try:
            run = build(read_trace(io.BytesIO(text)), max_steps=source.choice([1, 3, 100]))
        except TraceError as error:
            longest = max(longest, len(str(error)))
            continue
        assert page(run, title="A trace").startswith("<!DOCTYPE html>")
        pages += 1
    assert pages
    assert 0 < longest < 200


def test_calls_may_be_nested_deeply_and_all_fail() -> None:
    depth = 5_000
    down = [
        line
        for at in range(depth)
        for line in (enter("CALL", FIRST, 10**9 - at), step("SSTORE", 10**9 - at, at, at, depth=at + 1))
    ]
    up = [
        line
        for at in reversed(range(depth))
        for line in (step("STOP", 10**6, depth=at + 1), leave(10, "execution reverted"))
    ]
    run = run_of([*down, *up])
    assert (len(run.frames), len(run.changes), {one.undone for one in run.changes}) == (depth, depth, {True})
    assert len(page(run, title="Deep")) > depth


def test_words_of_a_page_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmloom.report.steps._STACK_WORDS", 10)
    run = run_of([*(step("PUSH1", 100 - at, *range(at, at + 6)) for at in range(8)), leave(8)])
    assert (len(run.steps.pc), run.step_count) == (2, 8)
    assert run.notices[0].startswith("The list has 2 of 8 steps")
