"""Memory of outcomes: a result's as long as there is one, and somebody else's after that."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from vmloom import Account, BlockContext
from vmloom.engine.columns import CallColumns
from vmloom_evm.assembly import calldatacopy, calldatasize, log1, return_, sstore
from vmloom_evm.config import EvmConfig
from vmloom_evm.native import sheets
from vmloom_evm.native.pages import Pages
from vmloom_evm.native.sheets import KEPT_BYTES, Sheet, blank_pages
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT, SENDER
from vmloom_evm.vm import Evm

CODE = bytes(
    calldatacopy(0, 0, calldatasize()) + sstore(1, 2) + log1(0, calldatasize(), 3) + return_(0, calldatasize())
)
SIZE = 5_000


@pytest.fixture(autouse=True)
def spare() -> Iterator[list[tuple[int, Pages]]]:
    """What waits to be used again: nothing at first."""
    gc.collect()
    sheets._spare.clear()
    yield sheets._spare
    sheets._spare.clear()


def batch(evm: Evm, state: NativeState, byte: int, count: int = 40) -> list[object]:
    calls = CallColumns(
        [CONTRACT] * count, [CODE] * count, [SENDER] * count, [bytes([byte]) * SIZE] * count, [10**7] * count,
        gas_price=0, block=BlockContext(),
    )  # fmt: skip
    return list(evm.execute_each(calls, state))


def test_results_keep_what_they_read_and_leave_it_to_the_next(spare: list[tuple[int, Pages]]) -> None:
    evm, state = Evm(EvmConfig(engine="native")), NativeState({CONTRACT: Account(code=CODE)})
    first = batch(evm, state, 1)
    second = batch(evm, state, 2)
    assert not spare
    del second
    assert len(spare) == 1, "memory waits for a collection of garbage"
    third = batch(evm, state, 3)
    assert not spare
    for byte, results in ((1, first), (3, third)):
        for result in results:
            assert result.return_data == result.events[0].data == bytes([byte]) * SIZE  # type: ignore[attr-defined]
            assert [(change.key, change.new) for change in result.state_changes] == [(1, 2)]  # type: ignore[attr-defined]


def test_small_outcomes_do_not_keep_large_memory(spare: list[tuple[int, Pages]]) -> None:
    evm, state = Evm(EvmConfig(engine="native")), NativeState({CONTRACT: Account(code=CODE)})
    batch(evm, state, 1, count=200)
    room = state.memory.get("outcome")
    results = batch(evm, state, 2, count=3)
    assert state.memory.get("outcome") == room
    assert results


def test_so_much_waits_and_no_more(spare: list[tuple[int, Pages]]) -> None:
    quarter = KEPT_BYTES // 4
    held = [Sheet(Pages(quarter), quarter) for _ in range(6)]
    held.clear()
    assert sum(written for written, _ in spare) == KEPT_BYTES
    written, pages = blank_pages(quarter)
    assert written == quarter
    assert pages.size >= quarter
    assert blank_pages(2 * quarter)[0] == 0
