"""Calls from columns: what they load is forgotten now and then, and columns that do not fit one another are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from vmloom import Account, BlockContext, MemoryState, StateAccess, StateChange
from vmloom.engine.columns import CallColumns, ResultColumns
from vmloom.engine.overlay import OverlayState
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import add, balance, caller, pop, ret_top, sload, sstore
from vmloom_evm.native.each import LOADED_TOGETHER
from vmloom_evm.native.engine import READING
from vmloom_evm.native.packing import DoesNotFit, GivenCalls
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT

MANY = 3000
OWN = bytes(sstore(caller(), add(1, sload(caller()))) + ret_top(add(balance(caller()), sload(caller()))))
"""Counts in a slot of the caller's, and returns that and the caller's balance."""
CALLERS = [(0xCA11 << 100 | number).to_bytes(20, "big") for number in range(MANY)]


@pytest.fixture
def vm() -> Evm:
    return Evm(EvmConfig(revision="cancun", engine="native"))


def columns(callers: list[bytes], code: bytes = OWN, **others: Any) -> CallColumns:
    count = len(callers)
    given = {
        "addresses": [CONTRACT] * count,
        "codes": [code] * count,
        "callers": callers,
        "inputs": [b""] * count,
        "gas_limits": [100_000] * count,
    }
    return CallColumns(**(given | others), gas_price=0, block=BlockContext())


def fill(state: StateAccess) -> None:
    state.set_account(CONTRACT, Account(code=OWN))
    for number, address in enumerate(CALLERS):
        state.set_account(address, Account(balance=1000 * number))
        state.set_storage(CONTRACT, int.from_bytes(address, "big"), 5)
    state.commit()


def loaded() -> NativeState:
    state = NativeState()
    fill(state)
    return state


def not_loaded() -> NativeState:
    source = MemoryState()
    fill(source)
    return NativeState(source=source)


@contextmanager
def over(state: NativeState) -> Iterator[OverlayState]:
    overlay = OverlayState(state, threading.Lock())
    try:
        yield overlay
    finally:
        overlay.close()


@pytest.mark.parametrize("make", [loaded, not_loaded])
def test_calls_are_right_while_what_they_have_loaded_is_forgotten(vm: Evm, make: Any) -> None:
    with over(make()) as overlay:
        found = vm.execute_each(columns(CALLERS), overlay)
        assert isinstance(found, ResultColumns)
        memory = overlay.kept[READING].memory
        kept = memory.get("account_count"), memory.get("slot_count")
        assert max(kept) < MANY // 2
        assert (memory.room("accounts"), memory.room("slots")) == (512, 1024), "tables have grown"
        assert [int.from_bytes(result.return_data) for result in found] == [6 + 1000 * n for n in range(MANY)]
        slots = [int.from_bytes(address, "big") for address in CALLERS]
        changes = [(StateChange(CONTRACT, "storage", slot, 5, 6),) for slot in slots]
        assert [result.state_changes for result in found] == changes


def test_what_is_not_over_a_base_forgets_nothing(vm: Evm) -> None:
    state = loaded()
    found = vm.execute_each(columns(CALLERS), state)
    assert all(result.success for result in found)
    assert state.memory.get("account_count") > MANY
    assert state.get_account(CALLERS[7]) == Account(balance=7000)


def test_what_was_changed_over_a_base_is_not_forgotten(vm: Evm) -> None:
    base = loaded()
    above = NativeState(source=base)
    above.read_through(base)
    try:
        above.set_account(CALLERS[1], Account(balance=1))
        found = vm.execute_each(columns(CALLERS), above)
        assert int.from_bytes(found[1].return_data) == 7
        assert above.get_account(CALLERS[1]) == Account(balance=1)
        assert above.memory.get("account_count") > MANY
    finally:
        above.read_through(None)


def test_few_calls_that_load_much_keep_it(vm: Evm) -> None:
    """Else each of them would load it anew."""
    code = b"".join(bytes(pop(sload(number))) for number in range(1000)) + bytes(ret_top(caller()))
    with over(loaded()) as overlay:
        callers = CALLERS[: LOADED_TOGETHER - 1]
        found = vm.execute_each(columns(callers, code, gas_limits=[1 << 40] * len(callers)), overlay)
        assert all(result.success for result in found)
        assert overlay.kept[READING].memory.get("slot_count") > 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": [CONTRACT, CALLERS[0], CALLERS[1]]},
        {"addresses": [CONTRACT[:19]] * 4},
        {"codes": [OWN, b"", OWN]},
        {"inputs": [b"", b"1", b"2"]},
        {"inputs": [memoryview(bytes(8)).cast("Q"), b"", b"", b""]},
        {"gas_limits": [1, 2, 3]},
        {"gas_limits": [1, 2, 3, 1 << 63]},
        {"gas_limits": [1, 2, 3, -1]},
    ],
    ids=[
        *("an address missing", "an address too short", "codes missing", "an input missing", "an input of words"),
        *("a limit missing", "a limit too large", "a limit below zero"),
    ],
)
def test_columns_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    state = NativeState()
    with pytest.raises(DoesNotFit):
        GivenCalls(columns(CALLERS[:4], **wrong), state.code_row)


def test_callers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DoesNotFit):
        GivenCalls(columns([CALLERS[0], CALLERS[1][:19]]), NativeState().code_row)
