"""What analysis finds in code: blocks, where they lead, how deep the stack gets, and functions of a dispatcher."""

from __future__ import annotations

import pytest
from vmloom_evm import Evm
from vmloom_evm.assembly import calldataload, dup, eq, iszero, jumpi, label, op, push, shr, sstore, stop


@pytest.fixture(scope="module")
def evm() -> Evm:
    return Evm()


def test_blocks_know_where_they_lead_and_what_they_need(evm: Evm) -> None:
    code = bytes(op("CALLER") + jumpi("there") + stop + label("there") + sstore(0, 1) + stop)
    first, second, third = evm.analyse(code).blocks
    assert (first.start, first.end, first.needs, first.changes) == (0, 5, 0, 0)
    assert first.successors == (second.start, third.start)
    assert (second.successors, third.successors) == ((), ())
    assert all(block.is_reachable for block in (first, second, third))


def test_the_bounds_of_the_stack_hold_on_every_path(evm: Evm) -> None:
    code = bytes(push(1) + push(2) + op("CALLER") + jumpi("a") + op("POP") + push(5) + label("a") + stop)
    analysis = evm.analyse(code)
    assert (analysis.stack_low, analysis.stack_high) == (0, 4)


def test_a_stack_that_grows_for_ever_has_no_bound(evm: Evm) -> None:
    analysis = evm.analyse(bytes(label("a") + push(1) + push("a") + op("JUMP")))
    assert (analysis.stack_low, analysis.stack_high) == (None, None)


def test_functions_of_a_dispatcher_are_found(evm: Evm) -> None:
    selector = shr(224, calldataload(0))
    code = selector + dup(1) + push(0xA9059CBB, size=4) + op("EQ") + push("transfer") + op("JUMPI")
    code += push(0x70A08231, size=4) + dup(2) + op("EQ") + push("balance") + op("JUMPI") + stop
    code += label("transfer") + stop + label("balance") + stop
    found = evm.analyse(bytes(code)).selectors
    assert list(found) == ["0x70a08231", "0xa9059cbb"]
    assert bytes(code)[found["0xa9059cbb"]] == 0x5B


def test_an_unknown_jump_makes_every_destination_reachable(evm: Evm) -> None:
    code = bytes(op("CALLER") + op("JUMP") + stop + label("a") + stop)
    analysis = evm.analyse(code)
    assert analysis.unresolved == (1,)
    assert [block.is_reachable for block in analysis.blocks] == [True, False, True]
    assert analysis.blocks[0].successors is None


def test_data_behind_the_code_is_not_reachable(evm: Evm) -> None:
    analysis = evm.analyse(bytes(stop + push(1) + eq + iszero))
    assert analysis.unreachable_bytes == 4


def test_the_description_is_ready_for_json(evm: Evm) -> None:
    shown = evm.analyse(bytes(stop)).to_dict()
    assert shown["blocks"] == [{"start": 0, "end": 1, "needs": 0, "changes": 0, "successors": [], "reachable": True}]
    assert shown["stack_high"] == 0
