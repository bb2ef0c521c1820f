"""The journaled state against a model that copies everything, under random operations."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from vmloom import Account, Event, MemoryState, StateAccess, StateChange
from vmloom.alloc import dump_alloc
from vmloom.errors import StateError

ADDRESSES = [bytes([number]) * 20 for number in (1, 2, 3)]
ADDRESS = st.sampled_from(ADDRESSES)
SLOT = st.integers(0, 2)
WORD = st.integers(0, 3)


class Store(StateAccess):
    """A state over a store that keeps what is committed, and answers loads from it."""

    def __init__(self, kept: dict[tuple[bytes, str, Any], Any] | None = None) -> None:
        super().__init__()
        self.kept: dict[tuple[bytes, str, Any], Any] = {} if kept is None else kept

    def load_account(self, address: bytes) -> Account | None:
        if not self.kept.get((address, "exists", None)):
            return None
        return Account(*(self.kept.get((address, name, None), getattr(Account(), name)) for name in Account._fields))

    def load_storage(self, address: bytes, slot: int) -> int:
        word: int = self.kept.get((address, "storage", slot), 0)
        return word

    def load_record(self, address: bytes, key: bytes) -> bytes | None:
        return self.kept.get((address, "record", key))

    def load_slots(self, address: bytes) -> list[int]:
        return [slot for (of, field, slot), word in self.kept.items() if of == address and field == "storage" and word]

    def get_block_hash(self, number: int) -> bytes:
        return bytes(32)

    def persist(self, changes: Iterable[StateChange]) -> None:
        for change in changes:
            self.kept[change.address, change.field, change.key] = change.new


class Model:
    """The same world in plain dicts."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, Account] = {}
        self.storage: dict[tuple[bytes, int], int] = {}
        self.records: dict[tuple[bytes, bytes], bytes] = {}
        self.transient: dict[tuple[bytes, int], int] = {}
        self.marks: set[tuple[str, Any]] = set()
        self.events: list[Event] = []


class Comparison(RuleBasedStateMachine):
    """Every operation is done on both; a snapshot of the model is a deep copy."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.committed = copy.deepcopy(self.model)
        self.snapshots: list[tuple[int, Model]] = []

    @initialize(kind=st.sampled_from([MemoryState, Store]))
    def begin(self, kind: type[StateAccess]) -> None:
        self.state = kind()

    @rule(address=ADDRESS, balance=WORD)
    def set_balance(self, address: bytes, balance: int) -> None:
        self.state.set_balance(address, balance)
        self.model.accounts[address] = self.model.accounts.get(address, Account())._replace(balance=balance)

    @rule(address=ADDRESS, nonce=WORD)
    def set_nonce(self, address: bytes, nonce: int) -> None:
        self.state.set_nonce(address, nonce)
        self.model.accounts[address] = self.model.accounts.get(address, Account())._replace(nonce=nonce)

    @rule(address=ADDRESS, code=st.binary(max_size=2), vm=st.sampled_from(["", "calc"]))
    def set_code(self, address: bytes, code: bytes, vm: str) -> None:
        self.state.set_code(address, code, vm)
        self.model.accounts[address] = self.model.accounts.get(address, Account())._replace(code=code, vm=vm)

    @rule(address=ADDRESS)
    def delete_account(self, address: bytes) -> None:
        self.state.delete_account(address)
        self.model.accounts.pop(address, None)
        self.model.storage = {key: word for key, word in self.model.storage.items() if key[0] != address}
        self.model.records = {key: value for key, value in self.model.records.items() if key[0] != address}

    @precondition(lambda self: self.model.accounts)
    @rule(data=st.data(), slot=SLOT, word=WORD)
    def set_storage(self, data: st.DataObject, slot: int, word: int) -> None:
        address = data.draw(st.sampled_from(sorted(self.model.accounts)))
        self.state.set_storage(address, slot, word)
        self.model.storage[address, slot] = word

    @rule(address=ADDRESS)
    def clear_storage(self, address: bytes) -> None:
        self.state.clear_storage(address)
        self.model.storage = {key: word for key, word in self.model.storage.items() if key[0] != address}

    @precondition(lambda self: self.model.accounts)
    @rule(data=st.data(), key=st.binary(max_size=1), value=st.none() | st.binary(max_size=1))
    def set_record(self, data: st.DataObject, key: bytes, value: bytes | None) -> None:
        address = data.draw(st.sampled_from(sorted(self.model.accounts)))
        self.state.set_record(address, key, value)
        self.model.records.pop((address, key), None)
        if value is not None:
            self.model.records[address, key] = value

    @rule(address=ADDRESS, slot=SLOT, word=WORD)
    def set_transient(self, address: bytes, slot: int, word: int) -> None:
        self.state.set_transient(address, slot, word)
        self.model.transient[address, slot] = word

    @rule(kind=st.sampled_from(["warm", "created"]), address=ADDRESS)
    def mark(self, kind: str, address: bytes) -> None:
        self.state.mark(kind, address)
        self.model.marks.add((kind, address))

    @rule(address=ADDRESS)
    def emit(self, address: bytes) -> None:
        event = Event(address, (len(self.model.events),), b"")
        self.state.emit(event)
        self.model.events.append(event)

    @rule()
    def snapshot(self) -> None:
        self.snapshots.append((self.state.snapshot(), copy.deepcopy(self.model)))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.snapshots) - 1))
        checkpoint, self.model = self.snapshots[index]
        self.model = copy.deepcopy(self.model)
        del self.snapshots[index + 1 :]
        self.state.revert(checkpoint)

    @rule()
    def commit(self) -> None:
        self.state.commit()
        self.state.begin_transaction()
        self.model.transient, self.model.marks, self.model.events = {}, set(), []
        self.committed, self.snapshots = copy.deepcopy(self.model), []
        if isinstance(self.state, Store):  # what was kept is all that a new process would have
            self.state = Store(self.state.kept)

    @invariant()
    def same_world(self) -> None:
        state, model = self.state, self.model
        for address in ADDRESSES:
            assert state.get_account(address) == model.accounts.get(address)
            words = {slot: model.storage.get((address, slot), 0) for slot in range(3)}
            assert {slot: state.get_storage(address, slot) for slot in range(3)} == words
            assert state.has_storage(address) == any(words.values())
            for slot in range(3):
                assert state.get_transient(address, slot) == model.transient.get((address, slot), 0)
            for key in (b"", b"\0", b"\x01", b"\xff"):
                assert state.get_record(address, key) == model.records.get((address, key))
        assert {(kind, key) for kind in ("warm", "created") for key in state.marks(kind)} == model.marks
        assert state.events == model.events

    @invariant()
    def changes_tell_the_difference(self) -> None:
        changes = {(one.address, one.field, one.key): (one.old, one.new) for one in self.state.changes_since(0)}
        assert all(old != new for old, new in changes.values())
        for address in ADDRESSES:
            before, after = self.committed.accounts.get(address), self.model.accounts.get(address)
            told = {field: pair for (of, field, key), pair in changes.items() if of == address and key is None}
            expected = (
                {"exists": (before is not None, after is not None)} if (before is None) != (after is None) else {}
            )
            for name in Account._fields:
                pair = (getattr(before or Account(), name), getattr(after or Account(), name))
                if pair[0] != pair[1]:
                    expected[name] = pair
            assert told == expected


Comparison.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestComparison = Comparison.TestCase


def test_negative_balance_is_refused() -> None:
    with pytest.raises(ValueError, match="would be -1 wei"):
        MemoryState().set_balance(ADDRESSES[0], -1)


def test_reverting_beyond_a_commit_is_refused() -> None:
    state = MemoryState()
    state.set_balance(ADDRESSES[0], 1)
    checkpoint = state.snapshot()
    state.commit()
    with pytest.raises(StateError, match="checkpoint 1 is not in the undo log, which has 0 entries"):
        state.revert(checkpoint)
    assert state.get_balance(ADDRESSES[0]) == 1


def test_original_storage_is_that_of_the_transactions_begin() -> None:
    state = MemoryState()
    state.set_balance(ADDRESSES[0], 1)
    state.set_storage(ADDRESSES[0], 1, 5)
    state.commit()
    state.begin_transaction()
    state.set_storage(ADDRESSES[0], 1, 6)
    checkpoint = state.snapshot()
    state.set_storage(ADDRESSES[0], 1, 7)
    assert state.get_original_storage(ADDRESSES[0], 1) == 5
    state.revert(checkpoint)
    assert state.get_original_storage(ADDRESSES[0], 1) == 5
    assert state.get_original_storage(ADDRESSES[0], 2) == 0


def test_changed_back_is_no_change() -> None:
    state = MemoryState()
    state.set_balance(ADDRESSES[0], 1)
    state.commit()
    state.set_storage(ADDRESSES[0], 1, 5)
    state.set_storage(ADDRESSES[0], 1, 0)
    state.set_balance(ADDRESSES[0], 2)
    state.set_balance(ADDRESSES[0], 1)
    assert list(state.changes_since(0)) == []


def test_block_hashes() -> None:
    state = MemoryState(block_hashes={3: b"\x03" * 32})
    assert state.get_block_hash(3) == b"\x03" * 32
    assert state.get_block_hash(4) == bytes(32)


def test_accounts_given_are_there() -> None:
    state = MemoryState({ADDRESSES[0]: Account(balance=4)})
    assert dump_alloc(state) == {"0x" + "01" * 20: {"balance": "0x4", "nonce": "0x0"}}
