"""The native state against the state in Python's memory: the same answers, whatever is asked in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from vmloom import Account, Event, MemoryState
from vmloom.alloc import dump_alloc
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
