"""What a report tells of a trace: frames, gas, storage, and what each step changed."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom import Instruction
from vmloom.report import Code, Run, TraceError
from vmloom.report import model as model_module
from vmloom.report import steps as steps_module

from .traces import FIRST, OTHER, enter, leave, run_of, step

CALL_OPERANDS = (0, 0, 0, 0, 7, int(OTHER, 16), 600)
"""As on the stack: the gas is on top."""


def stacks(run: Run) -> list[list[str]]:
    """The stack of each step, put together of what changed, the top last."""
    words, found, at = list(run.steps.words), [], 0
    last: dict[int, list[str]] = {}
    for frame, popped, pushed in zip(run.steps.frame, run.steps.popped, run.steps.pushed, strict=True):
        stack = last.get(frame, [])
        stack = stack[: len(stack) - popped] + [words[one] for one in run.steps.stack_words[at : at + pushed]]
        at += pushed
        last[frame] = stack
        found.append(stack)
    return found


def nested(*, entries: bool, exits: bool, error: str = "execution reverted") -> list[dict[str, Any]]:
    """A call that writes slot 1 and reverts, between two writes of its caller."""
    trace = [
        enter("CALL", FIRST, 1000),
        step("SSTORE", 1000, 5, 0, cost=100),
        step("CALL", 900, *CALL_OPERANDS, cost=650),
        enter("CALL", OTHER, 600, FIRST, "0x7"),
        step("SLOAD", 600, 1, cost=20, depth=2),
        step("SSTORE", 580, 9, 1, cost=100, depth=2),
        step("REVERT", 480, 0, 0, cost=0, depth=2),
        step("REVERT", 480, cost=0, depth=2, error=error),
        leave(120, error),
        step("SSTORE", 730, 6, 0, cost=30),
        step("STOP", 700, cost=0),
        leave(300),
    ]
    kept = [one for one in trace if entries or "type" not in one]
    return kept if exits else [one for one in kept if "gasUsed" not in one or one is trace[-1]]


@pytest.mark.parametrize("entries", [True, False])
@pytest.mark.parametrize("exits", [True, False])
def test_call_is_told_by_lines_or_by_instructions_and_depths(entries: bool, exits: bool) -> None:
    run = run_of(nested(entries=entries, exits=exits))
    root, call = run.frames
    assert (root.gas_used, root.error, root.first_step, root.steps) == (300, "", 0, 4)
    assert (call.parent, call.depth, call.kind, call.to, call.value) == (0, 1, "CALL", OTHER, "0x7")
    assert (call.gas_used, call.error, call.reverted, call.first_step, call.steps) == (
        120, "execution reverted", True, 2, 3,
    )  # fmt: skip
    assert call.sender == (FIRST if entries else "")
    assert (run.step_count, run.steps.errors, run.is_complete) == (7, {4: "execution reverted"}, True)


def test_gas_of_instructions_leaves_out_what_their_calls_used() -> None:
    run = run_of(nested(entries=True, exits=True))
    assert run.opcodes == {
        "SSTORE": (3, 100 + 100 + 30),
        "CALL": (1, 50),
        "SLOAD": (1, 20),
        "REVERT": (1, 0),
        "STOP": (1, 0),
    }
    assert sum(gas for _, gas in run.opcodes.values()) == run.frames[0].gas_used


def test_storage_has_what_was_read_before_and_undoes_what_failed() -> None:
    trace = nested(entries=True, exits=True)
    trace[5] = step("SSTORE", 580, 9, 1, 3, 1, cost=100, depth=2)  # slot 1, which held 3
    trace[5]["stack"] = ["0x3", "0x9", "0x1"]
    run = run_of(trace)
    rows = [(run.accounts[one.account], one.slot, one.before, one.after, one.writes, one.undone) for one in run.changes]
    assert rows == [(FIRST, "0", None, "6", 2, False), (OTHER, "1", "1", "9", 1, True)]
    assert [(at, slot, value) for at, account, slot, value in run.storage_events if run.accounts[account] == OTHER] == [
        (3, "1", "1"),
        (4, "1", "9"),
        (5, "1", "1"),
    ]


def test_slot_is_unknown_again_where_a_write_is_undone_that_nobody_read_before() -> None:
    trace = nested(entries=True, exits=True)
    del trace[4]  # the read
    events = [event[2:] for event in run_of(trace).storage_events if event[1] == 1]
    assert events == [("1", "9"), ("1", None)]


def test_write_that_fails_is_none() -> None:
    failing = step("SSTORE", 50, 5, 0, cost=20_000, error="out of gas")
    run = run_of([failing, leave(50, "out of gas")])
    assert run.changes == []
    assert run.opcodes == {"SSTORE": (1, 0)}
    assert (run.frames[0].error, run.frames[0].gas_used) == ("out of gas", 50)


def test_delegate_call_uses_the_storage_of_its_caller() -> None:
    run = run_of([
        enter("CALL", FIRST, 1000),
        step("DELEGATECALL", 1000, 0, 0, 0, 0, int(OTHER, 16), 500, cost=600),
        step("SSTORE", 500, 4, 2, depth=2),
        step("STOP", 400, depth=2, cost=0),
        step("STOP", 800, 1, cost=0),
        leave(200),
    ])  # fmt: skip
    assert run.frames[1].to == OTHER
    assert [(run.accounts[one.account], one.slot, one.after) for one in run.changes] == [(FIRST, "2", "4")]


def test_created_account_is_told_by_what_the_creation_returns() -> None:
    run = run_of([
        step("CREATE", 1000, 0, 0, 3, cost=100),
        step("SSTORE", 800, 4, 2, depth=2),
        step("STOP", 700, depth=2, cost=0),
        step("STOP", 700, int(OTHER, 16), cost=0),
        leave(300),
    ])  # fmt: skip
    assert (run.frames[1].kind, run.frames[1].to, run.frames[1].value) == ("CREATE", OTHER, "0x3")
    assert [run.accounts[one.account] for one in run.changes] == [OTHER]


def test_contract_tells_its_own_address() -> None:
    run = run_of([step("ADDRESS", 100), step("STOP", 98, int(FIRST, 16)), leave(2)])
    assert run.accounts == [FIRST]


def test_call_of_an_account_without_code_is_a_call() -> None:
    run = run_of([step("CALL", 900, *CALL_OPERANDS), step("STOP", 800, 0), leave(100)])
    assert [(frame.kind, frame.to, frame.steps, frame.error) for frame in run.frames[1:]] == [
        ("CALL", OTHER, 0, "execution failed")
    ]


def test_stacks_are_told_by_their_changes() -> None:
    run = run_of(nested(entries=True, exits=True))
    call = [f"{word:x}" for word in CALL_OPERANDS]
    assert stacks(run) == [["5", "0"], call, ["1"], ["9", "1"], ["0", "0"], ["6", "0"], []]
    assert run.steps.pushed[-1] == 0


def test_memory_is_told_by_rows_that_changed() -> None:
    zero, one = "00" * 32, "00" * 31 + "01"
    run = run_of([
        step("MSTORE", 100),
        step("MSTORE", 90, memory="0x" + zero + zero, memSize=64),
        step("ADD", 85, memory="0x" + zero + one, memSize=64),
        step("STOP", 80, memory="0x" + zero + one + zero, memSize=96, returnData="0xff"),
        leave(20),
    ])  # fmt: skip
    assert run.steps.memory == {0: [(1, 64, [(0, zero), (1, zero)]), (2, 64, [(1, one)]), (3, 96, [(2, zero)])]}
    assert run.steps.return_data == {0: [(3, "ff")]}
    assert (run.steps.has_memory, run.steps.memory_size) == (True, [0, 64, 64, 96])


def test_data_of_a_page_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "_DATA_BYTES", 64)
    run = run_of([step("STOP", 9 - index, memory="0x" + f"{index:02x}" * 64) for index in range(3)])
    assert run.steps.clipped_at == 1
    assert [entry[0] for entry in run.steps.memory[0]] == [0]
    assert any("more memory and data than a page can hold" in text for text in run.notices)


def test_list_of_steps_is_bounded_and_all_else_counts_all() -> None:
    trace = [step("PUSH1", 100 - index, *range(index), cost=1, pc=index) for index in range(20)]
    run = run_of([*trace, leave(20)], first_step=5, max_steps=3)
    assert (run.steps.pc, run.step_count, run.opcodes) == ([5, 6, 7], 20, {"PUSH1": (20, 20)})
    assert stacks(run) == [
        ["0", "1", "2", "3", "4"],
        ["0", "1", "2", "3", "4", "5"],
        ["0", "1", "2", "3", "4", "5", "6"],
    ]
    assert run.notices[0].startswith("The list has 3 of 20 steps, from step 5 on")


def test_first_frame_may_run_nothing_before_it_calls() -> None:
    run = run_of([enter("CALL", FIRST, 100), enter("CALL", OTHER, 90), step("STOP", 90, depth=2), leave(0), leave(0)])
    assert [(frame.depth, frame.steps) for frame in run.frames] == [(0, 0), (1, 1)]


def test_trace_that_is_cut_off_is_shown_as_far_as_it_goes() -> None:
    run = run_of(nested(entries=True, exits=True)[:6])
    assert (run.step_count, len(run.frames), run.is_complete) == (4, 2, False)
    assert "The trace does not say how the run ended: it may have been cut off." in run.notices


def test_trace_without_stacks_says_so() -> None:
    run = run_of([{**step("SSTORE", 100), "stack": None}, step("STOP", 80), leave(20)])
    assert any("has no stacks" in text for text in run.notices)
    assert run.changes == []


def test_too_many_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "MAX_FRAMES", 3)
    with pytest.raises(TraceError, match="line 4: more than 3 calls"):
        run_of([enter("CALL", FIRST, 10)] * 5)


def test_summary_alone_is_a_run_without_steps() -> None:
    run = run_of([leave(0, "insufficient balance for transfer")])
    assert (run.step_count, run.frames[0].error) == (0, "insufficient balance for transfer")


def test_code_is_found_by_the_instructions_that_ran() -> None:
    def code(label: str, text: str, *names: str) -> Code:
        return Code(label, bytes.fromhex(text), [Instruction(index, name) for index, name in enumerate(names)])

    trace = [step("ADD", 10, pc=0), step("STOP", 7, pc=1), leave(3)]
    run = run_of(trace, codes=[code("wrong", "5000", "POP", "STOP"), code("right", "0100", "ADD", "STOP")])
    assert run.frames[0].code == 1
    assert run.notices == ["No frame runs the code wrong."]
    by_name = [{**one, "op": one["opName"]} for one in trace[:2]]
    assert run_of([*by_name, leave(3)], codes=[code("right", "0100", "ADD", "STOP")]).frames[0].code == 0
