"""The native state against the state in Python's memory: the same answers, whatever is asked in whatever order."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import resource
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from vmloom import Account, Event, MemoryState, StateAccess
from vmloom.alloc import dump_alloc
from vmloom.errors import StateError
from vmloom_evm.native.memory import TABLES
from vmloom_evm.native.state import NativeState

ADDRESSES = [bytes(20), bytes([1]) * 20, b"\xff" * 20]
SLOTS = [0, 1, 2**255, 2**256 - 1]
ADDRESS = st.sampled_from(ADDRESSES)
SLOT = st.sampled_from(SLOTS)
WORD = st.sampled_from([0, 0, 1, 2**64, 2**256 - 1])
CODE = st.sampled_from([b"", b"\0", b"\x5b" * 33, b"\xef\x01\x00" + bytes(20)])
VM = st.sampled_from(["", "evm", "calc"])
KEYS = [b"", b"\0"]
WORLD = {ADDRESSES[0]: Account(balance=5), ADDRESSES[1]: Account(1, 2, b"\x60\0", "calc")}


def world() -> MemoryState:
    """Two accounts, with words and a record, all committed."""
    state = MemoryState(WORLD)
    state.set_storage(ADDRESSES[0], 1, 7)
    state.set_storage(ADDRESSES[0], 2**255, 8)
    state.set_storage(ADDRESSES[1], 0, 9)
    state.set_record(ADDRESSES[1], b"", b"kept")
    state.commit()
    state.begin_transaction()
    return state


class Comparison(RuleBasedStateMachine):
    """Every operation is done on both."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: list[tuple[int, int]] = []
        self.source: MemoryState | None = None

    @initialize(guarded=st.booleans(), with_source=st.booleans())
    def begin(self, guarded: bool, with_source: bool) -> None:
        self.source = world() if with_source else None
        self.model = world() if with_source else MemoryState()
        self.state = NativeState(source=self.source, guarded=guarded)

    def both(self, method: str, *arguments: Any) -> None:
        """Call a method of both, which must agree."""
        assert getattr(self.state, method)(*arguments) == getattr(self.model, method)(*arguments)

    @rule(address=ADDRESS, nonce=st.sampled_from([0, 1, 2**64 - 1]), balance=WORD, code=CODE, vm=VM)
    def set_account(self, address: bytes, nonce: int, balance: int, code: bytes, vm: str) -> None:
        self.both("set_account", address, Account(nonce, balance, code, vm))

    @rule(address=ADDRESS, balance=WORD)
    def set_balance(self, address: bytes, balance: int) -> None:
        self.both("set_balance", address, balance)

    @rule(address=ADDRESS, code=CODE, vm=VM)
    def set_code(self, address: bytes, code: bytes, vm: str) -> None:
        self.both("set_code", address, code, vm)

    @rule(address=ADDRESS)
    def delete_account(self, address: bytes) -> None:
        self.both("delete_account", address)

    @rule(address=ADDRESS, slot=SLOT, word=WORD)
    def set_storage(self, address: bytes, slot: int, word: int) -> None:
        self.both("set_storage", address, slot, word)

    @rule(address=ADDRESS)
    def clear_storage(self, address: bytes) -> None:
        self.both("clear_storage", address)

    @rule(address=ADDRESS, key=st.sampled_from(KEYS), value=st.sampled_from([None, b"", b"x"]))
    def set_record(self, address: bytes, key: bytes, value: bytes | None) -> None:
        self.both("set_record", address, key, value)

    @rule(address=ADDRESS, slot=SLOT, word=WORD)
    def set_transient(self, address: bytes, slot: int, word: int) -> None:
        self.both("set_transient", address, slot, word)

    @rule(kind=st.sampled_from(["seen", "paid"]), key=st.integers(0, 2))
    def mark(self, kind: str, key: int) -> None:
        self.both("mark", kind, key)

    @rule(address=ADDRESS, topics=st.lists(WORD, max_size=4), data=st.binary(max_size=40))
    def emit(self, address: bytes, topics: list[int], data: bytes) -> None:
        self.both("emit", Event(address, tuple(topics), data))

    @rule()
    def snapshot(self) -> None:
        self.snapshots.append((self.state.snapshot(), self.model.snapshot()))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.snapshots) - 1))
        native, model = self.snapshots[index]
        del self.snapshots[index + 1 :]
        self.state.revert(native)
        self.model.revert(model)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def changes_since_a_snapshot(self, data: st.DataObject) -> None:
        native, model = data.draw(st.sampled_from(self.snapshots))
        assert ordered(self.state.changes_since(native)) == ordered(self.model.changes_since(model))

    @rule()
    def begin_transaction(self) -> None:
        self.both("begin_transaction")

    @rule()
    def commit(self) -> None:
        self.both("commit")
        self.snapshots = []
        if self.source is not None:
            assert dump_alloc(self.source) == dump_alloc(self.model)
            for address in ADDRESSES:
                assert self.source.records_of(address) == self.model.records_of(address)

    @invariant()
    def same_world(self) -> None:
        state, model = self.state, self.model
        for address in ADDRESSES:
            for slot in SLOTS:
                self.both("get_storage", address, slot)
                self.both("get_original_storage", address, slot)
                self.both("get_transient", address, slot)
            for key in KEYS:
                self.both("get_record", address, key)
            for question in ("get_account", "account_exists", "is_empty", "get_code", "get_vm", "has_storage"):
                self.both(question, address)
            assert state.storage_of(address) == model.storage_of(address)
            assert state.records_of(address) == model.records_of(address)
        assert list(state.accounts()) == list(model.accounts())
        assert [dict(state.marks(kind)) for kind in ("seen", "paid")] == [
            dict(model.marks(kind)) for kind in ("seen", "paid")
        ]
        assert state.events == model.events
        assert ordered(state.changes_since(0)) == ordered(model.changes_since(0))


def ordered(changes: Any) -> list[str]:
    """Changes in an order that both agree upon."""
    return sorted(map(repr, changes))


Comparison.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestComparison = Comparison.TestCase


HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("set_account"), ADDRESS, st.builds(Account, st.just(3), WORD, CODE, VM)),
        st.tuples(st.just("set_storage"), ADDRESS, SLOT, WORD),
        st.tuples(st.just("clear_storage"), ADDRESS),
        st.tuples(st.just("delete_account"), ADDRESS),
        st.tuples(st.just("get_storage"), ADDRESS, SLOT),
        st.tuples(st.just("get_account"), ADDRESS),
    ),
    max_size=8,
)


class Above(Comparison):
    """Every operation is done on a state above another one, which has a history, and maybe a source."""

    @initialize(guarded=st.booleans(), with_source=st.booleans(), history=HISTORY)
    def begin(self, guarded: bool, with_source: bool, history: list[tuple[Any, ...]]) -> None:  # type: ignore[override]
        self.base = NativeState(source=world()) if with_source else NativeState()
        self.model = world() if with_source else MemoryState()
        for state in (self.base, self.model):
            for method, *arguments in history:
                getattr(state, method)(*arguments)
            state.commit()
            state.begin_transaction()
        self.state = NativeState(source=self.base, guarded=guarded)
        assert self.state.read_through(self.base)

    @rule()
    def commit(self) -> None:
        with pytest.raises(StateError, match="stays as it is"):
            self.state.commit()

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.state.read_through(None)
            assert ordered(self.base.changes_since(0)) == []
            del self.state
            gc.collect()  # errors keep it alive, and a system has room for some 30 states with all their guards


Above.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestAbove = Above.TestCase


# Growth: every table begins small


def address_of(number: int) -> bytes:
    return number.to_bytes(20, "big")


def filled(state: StateAccess, count: int) -> None:
    """Many of everything, by way of what changes a state."""
    for number in range(count):
        address = address_of(number % 700)
        state.set_account(address, Account(number, number, number.to_bytes(4, "big") * (number % 40)))
        state.set_storage(address, number, number + 1)
        state.set_transient(address, number, number + 2)
        state.emit(Event(address, (number,), number.to_bytes(4, "big") * (number % 20)))


@pytest.mark.parametrize("guarded", [False, True])
def test_every_table_grows_beyond_its_first_room_and_is_undone(guarded: bool) -> None:
    native, model = NativeState(guarded=guarded), MemoryState()
    rooms = {table.name: native.memory.room(table.name) for table in TABLES}
    for state in (native, model):
        filled(state, 3_000)
    grown = {name for name, room in rooms.items() if native.memory.room(name) > room}
    assert grown == {"accounts", "slots", "transients", "codes", "journal", "logs", "log_bytes"}
    assert native.events == model.events
    same(native, model)
    checkpoints = native.snapshot(), model.snapshot()
    for state in (native, model):
        for number in range(700):
            state.delete_account(address_of(number))
        state.begin_transaction()
    same(native, model)
    assert native.events == []
    native.revert(checkpoints[0])
    model.revert(checkpoints[1])
    same(native, model)
    for number in range(3_000):
        assert native.get_transient(address_of(number % 700), number) == 0
    native.revert(0)
    assert list(native.accounts()) == list(native.changes_since(0)) == []


def same(native: NativeState, model: MemoryState) -> None:
    assert dump_alloc(native) == dump_alloc(model)
    assert ordered(native.changes_since(0)) == ordered(model.changes_since(0))


def test_transient_words_are_gone_with_each_transaction_however_many_they_were() -> None:
    state = NativeState(guarded=True)
    for number in range(300):
        state.begin_transaction()
        for slot in range(number % 7 * 50):
            assert state.get_transient(ADDRESSES[0], slot) == 0
            state.set_transient(ADDRESSES[0], slot, number)
    assert state.memory.get("transient_index") != 0
    state.begin_transaction()
    index = state.memory.pages["transient_index"]
    assert bytes(index.view()) == bytes(index.size)


def test_cleared_state_is_a_new_one_in_the_same_memory() -> None:
    state = NativeState(WORLD)
    state.set_record(ADDRESSES[0], b"", b"gone")
    filled(state, 2_000)
    for _ in range(3):
        chunks = len(state.memory.chunks)
        state.clear()
        assert list(state.accounts()) == list(state.changes_since(0)) == state.events == []
        assert state.get_record(ADDRESSES[0], b"") is None
        assert state.get_storage(address_of(1), 1) == 0
        filled(state, 2_000)
    assert len(state.memory.chunks) <= chunks, "code of a former life still takes room"


def test_account_removed_and_made_again_keeps_no_record_that_was_never_loaded() -> None:
    source = world()
    source.set_record(ADDRESSES[1], b"unseen", b"word")
    source.commit()
    state = NativeState(source=source)
    state.delete_account(ADDRESSES[1])
    state.set_account(ADDRESSES[1], WORLD[ADDRESSES[1]])
    state.set_record(ADDRESSES[1], b"new", b"one")
    state.set_storage(ADDRESSES[1], 5, 6)
    state.commit()
    assert source.records_of(ADDRESSES[1]) == {b"new": b"one"}
    assert source.storage_of(ADDRESSES[1]) == {5: 6}
    assert source.get_account(ADDRESSES[1]) == WORLD[ADDRESSES[1]]


# Memory


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("guarded", [False, True])
def test_pages_of_states_are_given_back(guarded: bool) -> None:
    def make(count: int) -> None:
        for _ in range(count):
            state = NativeState(WORLD, guarded=guarded)
            state.set_storage(ADDRESSES[0], 1, 1)
            assert state.snapshot()

    make(20)
    before = resident()
    make(1_000 if not guarded else 200)
    # One state that was kept would be 1 MiB.
    assert resident() - before < 20 << 20


def test_no_region_begins_where_another_ends() -> None:
    """An address says which region it belongs to, be it that of the end: so pointers are corrected when one moves."""
    memory = NativeState().memory
    for _ in range(4):
        memory.add_code_chunk(1)
        memory.grow_memory(1)
    pages = [*memory.pages.values(), *memory.chunks]
    assert not {one.address for one in pages} & {one.address + one.size for one in pages}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_forked_process_has_a_state_of_its_own() -> None:
    """Pools of processes fork."""
    program = """
import os
from vmloom_evm.native.state import NativeState
state = NativeState()
state.set_balance(bytes(20), 1)
if os.fork() == 0:
    state.set_balance(bytes(20), 2)
    os._exit(0)
os.wait()
print(state.get_balance(bytes(20)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


# Misuse


@pytest.mark.parametrize("word", [-1, 2**256])
def test_what_is_no_word_is_refused(word: int) -> None:
    state = NativeState(WORLD)
    for method, arguments in [
        ("set_storage", (ADDRESSES[0], word, 0)),
        ("set_storage", (ADDRESSES[0], 0, word)),
        ("get_storage", (ADDRESSES[0], word)),
        ("get_original_storage", (ADDRESSES[0], word)),
        ("set_transient", (ADDRESSES[0], word, 0)),
        ("get_transient", (ADDRESSES[0], word)),
        ("emit", (Event(ADDRESSES[0], (word,), b""),)),
    ]:
        with pytest.raises(ValueError, match=r"are 0 to 2\*\*256 - 1"):
            getattr(state, method)(*arguments)
    assert dump_alloc(state) == dump_alloc(NativeState(WORLD))
    assert state.events == []


@pytest.mark.parametrize("address", [b"", bytes(19), bytes(21), bytes(32), bytes(40)])
def test_what_is_no_address_is_refused(address: bytes) -> None:
    state = NativeState()
    for method, arguments in [
        ("get_account", ()),
        ("set_account", (Account(1),)),
        ("delete_account", ()),
        ("set_storage", (0, 1)),
        ("get_storage", (0,)),
        ("clear_storage", ()),
        ("has_storage", ()),
        ("get_transient", (0,)),
        ("set_transient", (0, 1)),
    ]:
        with pytest.raises(ValueError, match=f"an address has 20 bytes, got {len(address)}"):
            getattr(state, method)(address, *arguments)
    with pytest.raises(ValueError, match="an address has 20 bytes"):
        state.emit(Event(address, (), b""))
    assert list(state.accounts()) == []


@pytest.mark.parametrize("account", [Account(nonce=-1), Account(nonce=2**64), Account(balance=2**256)])
def test_account_that_does_not_fit_is_refused(account: Account) -> None:
    state = NativeState(WORLD)
    with pytest.raises(ValueError, match="does not fit 64 or 256 bits"):
        state.set_account(ADDRESSES[0], account)
    assert state.get_account(ADDRESSES[0]) == WORLD[ADDRESSES[0]]


def test_negative_balance_is_refused() -> None:
    with pytest.raises(ValueError, match="would be -1 wei"):
        NativeState().set_balance(ADDRESSES[0], -1)


def test_event_with_too_many_topics_is_refused() -> None:
    with pytest.raises(StateError, match="at most 4 topics, got 5"):
        NativeState().emit(Event(ADDRESSES[0], (1, 2, 3, 4, 5), b""))


@pytest.mark.parametrize("checkpoint", [-1, 10**6])
def test_checkpoint_outside_the_undo_log_is_refused(checkpoint: int) -> None:
    state = NativeState(WORLD)
    with pytest.raises(StateError, match="is not in the undo log"):
        state.revert(checkpoint)
    with pytest.raises(StateError, match="is not in the undo log"):
        state.changes_since(checkpoint)


def test_state_is_not_copied_or_pickled() -> None:
    """Its addresses mean nothing elsewhere."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(NativeState())
    with pytest.raises(TypeError, match="pickle"):
        copy.deepcopy(NativeState())
