"""A native state that reads through another one in native code: the same answers, and nobody asks Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Never

import pytest
from vmloom import Account, ExecutionContext, ExecutionResult, MemoryState, StateAccess
from vmloom.errors import StateError
from vmloom_evm.assembly import (
    Bytecode,
    add,
    balance,
    call,
    dup,
    extcodehash,
    label,
    op,
    pop,
    push,
    ret_top,
    sload,
    sstore,
)
from vmloom_evm.config import EvmConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import BLOCK, CONTRACT, SENDER
from vmloom_evm.vm import Evm

OTHER = bytes.fromhex("07" * 20)


class Silent(MemoryState):
    """A source that may not be asked, but for what went unseen with a storage that was cleared."""

    def get_account(self, address: bytes, *_: int) -> Never:
        raise AssertionError(f"asked for {address.hex()}")

    get_storage = has_storage = get_account  # type: ignore[assignment]


@pytest.fixture
def base() -> NativeState:
    state = NativeState({SENDER: Account(1, 10**18), OTHER: Account(2, 5, bytes(ret_top(sload(1))))})
    state.set_storage(OTHER, 1, 77)
    state.commit()
    return state


@pytest.fixture
def above(base: NativeState) -> Iterator[NativeState]:
    """Reads through `base`, guarded, and has nobody else to ask."""
    state = NativeState(source=Silent(), guarded=True)
    assert state.read_through(base)
    yield state
    state.read_through(None)


def run(state: StateAccess, code: Bytecode | bytes, *, engine: Any = "native") -> ExecutionResult:
    """Where a creation looks for storage, EIP-7610."""
    context = ExecutionContext(address=CONTRACT, caller=SENDER, origin=SENDER, gas_limit=10**8, block=BLOCK)
    config = EvmConfig(engine=engine, rules={"reject_storage_collision": True})
    return Evm(config).execute(bytes(code), context, state)


def rows(state: NativeState) -> tuple[int, int, int]:
    return state.memory.get("account_count"), state.memory.get("slot_count"), state.memory.get("code_count")


CREATION = op("CREATE")(0, 0, 0)
PROGRAMS: dict[str, Bytecode] = {
    "accounts": ret_top(add(balance(SENDER), extcodehash(OTHER)) + balance(bytes(20)) + add()),
    "slots": ret_top(add(sload(5), call(OTHER)) + sload(5) + add()),
    "creation": ret_top(CREATION + CREATION + op("EQ")()),
    "destruction": call(OTHER) + op("SELFDESTRUCT")(SENDER),
    "writes": sstore(1, 2) + sstore(1, 0) + sstore(2, 9) + ret_top(sload(1)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_is_not_asked_for_what_the_base_knows(name: str, base: NativeState, above: NativeState) -> None:
    model = MemoryState(dict(base.accounts()))
    model.set_storage(OTHER, 1, 77)
    model.commit()
    expected, before = run(model, PROGRAMS[name], engine="reference"), rows(base)
    for _ in range(2):
        checkpoint = above.snapshot()
        found = run(above, PROGRAMS[name])
        assert found.success
        assert (found.gas_used, found.return_data) == (expected.gas_used, expected.return_data)
        assert set(found.state_changes) == set(expected.state_changes)
        above.revert(checkpoint)
        above.begin_transaction()
    assert rows(base) == before


def test_creation_finds_words_that_only_the_base_has(base: NativeState, above: NativeState) -> None:
    """But not those that are zero here."""
    result = run(above, ret_top(CREATION))
    created = result.return_data[12:]
    above.read_through(None)
    base.set_storage(created, 3, 1)
    base.commit()
    above.clear()
    above.read_through(base)
    assert run(above, ret_top(CREATION)).return_data == bytes(32)
    above.clear()
    above.set_storage(created, 3, 0)
    above.begin_transaction()
    assert run(above, ret_top(CREATION)).return_data[12:] == created


def test_tables_grow_while_they_are_read_from_the_base() -> None:
    count = 3_000
    base = NativeState()
    for number in range(1, count):
        base.set_account(number.to_bytes(20, "big"), Account(balance=number, code=number.to_bytes(2, "big")))
    base.commit()
    above = NativeState(source=Silent())
    above.read_through(base)
    total = push(0) + push(2000) + label("on") + dup(1) + balance() + dup(3) + add() + op("SWAP2")() + pop()
    code = total + push(1) + add() + dup(1) + push(count) + op("GT")() + push("on") + op("JUMPI")() + pop() + ret_top()
    assert run(above, code).return_data == sum(range(2000, count)).to_bytes(32, "big")
    assert above.memory.get("code_count") > 1_000


def test_what_the_base_does_not_know_is_asked_of_the_source() -> None:
    source = MemoryState({SENDER: Account(balance=3), OTHER: Account(balance=5)})
    source.set_storage(CONTRACT, 1, 11)
    source.set_storage(CONTRACT, 2, 22)
    source.commit()
    base = NativeState(source=source)
    base.get_account(SENDER)
    base.get_storage(CONTRACT, 1)
    before = rows(base)
    above = NativeState(source=base)
    assert above.read_through(base)
    code = ret_top(balance(SENDER) + balance(OTHER) + sload(1) + sload(2) + add() + add() + add())
    assert run(above, code).return_data == (3 + 5 + 11 + 22).to_bytes(32, "big")
    assert rows(base) == before
    above.read_through(None)
    assert rows(base) == (before[0] + 1, before[1] + 1, before[2]), "what was asked for is known from now on"
    assert base.get_storage(CONTRACT, 2) == 22


def test_names_of_machines_are_those_of_the_base(base: NativeState, above: NativeState) -> None:
    above.read_through(None)
    for name in ("calc", "wasm"):
        base.set_account(OTHER, Account(1, 1, b"code", name))
    above.read_through(base)
    account = above.get_account(OTHER)
    assert account is not None
    assert account.vm == "wasm"


def test_codes_outlive_the_base_that_they_are_from(base: NativeState, above: NativeState) -> None:
    code = base.get_code(OTHER)
    assert above.get_code(OTHER) == code
    above.read_through(None)
    above.names.codes.clear()
    base.clear()
    for number in range(100):
        base.set_account(OTHER, Account(code=bytes([number]) * 300))
    assert above.get_code(OTHER) == code


CHANGES: dict[str, Callable[[NativeState], Any]] = {
    "set_account": lambda state: state.set_account(OTHER, Account(1)),
    "delete_account": lambda state: state.delete_account(OTHER),
    "set_storage": lambda state: state.set_storage(OTHER, 1, 2),
    "clear_storage": lambda state: state.clear_storage(OTHER),
    "set_transient": lambda state: state.set_transient(OTHER, 1, 2),
    "begin_transaction": lambda state: state.begin_transaction(),
    "set_record": lambda state: state.set_record(OTHER, b"key", b"value"),
    "commit": lambda state: state.commit(),
    "clear": lambda state: state.clear(),
    "code_row": lambda state: state.code_row(b"new"),
    "run": lambda state: run(state, push(1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_base_stays_as_it_is_until_its_last_reader_has_ended(name: str, base: NativeState, above: NativeState) -> None:
    second = NativeState(source=base)
    assert second.read_through(base)
    for reader in (above, second):
        before = rows(base)
        with pytest.raises(StateError, match=r"stays as it is|used by one run at a time"):
            CHANGES[name](base)
        assert base.get_storage(OTHER, 1) == 77
        assert base.get_storage(b"\x01" * 20, 1) == 0
        assert base.get_account(b"\x02" * 20) is None
        assert not base.has_storage(b"\x03" * 20)
        assert rows(base) == before
        reader.read_through(None)
    CHANGES[name](base)


def test_state_that_runs_is_no_base(base: NativeState) -> None:
    state = NativeState(source=base)
    with base.in_use:
        assert not state.read_through(base)
    assert state.read_through(base)
    state.read_through(None)
