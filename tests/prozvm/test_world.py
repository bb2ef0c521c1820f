"""What contracts and the workbench keep: values, their removal, and a ledger that nobody changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.context import BlockContext
from vmloom.errors import StateError
from vmloom.state import MemoryState
from vmloom_prozvm.errors import NotStorable, ReadOnlyState, TypeMismatch, ValueTooLarge
from vmloom_prozvm.runtime.transactions import TransactionStack
from vmloom_prozvm.runtime.world import DictWorld, StateWorld, World, stamped
from vmloom_prozvm.values import Function, Task, Value, ValueLimits, canonical, same

ALICE, BOB = b"\xaa" * 20, b"\xbb" * 20
BLOCK = BlockContext(number=7, timestamp=1234)
keys = st.integers() | st.text(max_size=5) | st.binary(max_size=5)
values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner | st.none(), max_size=4) | st.dictionaries(keys, inner | st.none(), max_size=4),
    max_leaves=10,
)


def world_of(state: MemoryState, address: bytes = ALICE, **options: Any) -> StateWorld:
    return StateWorld(state, address, BLOCK, **options)


@pytest.fixture(params=["state", "dict"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "state":
        return world_of(MemoryState())
    return DictWorld({"_block_timestamp": 1234})


# Both


@given(entries=st.dictionaries(st.text(max_size=9), values, max_size=6))
def test_values_are_kept_by_key(entries: dict[str, Value]) -> None:
    for world in (world_of(MemoryState()), DictWorld({})):
        for key, value in entries.items():
            world.write(key, value)
        for key, value in entries.items():
            assert same(world.read(key), value)
            assert world.size(key) == len(canonical(value))
        assert world.read("none of the keys") is None
        assert world.size("none of the keys") == 0


def test_none_removes(world: World) -> None:
    world.write("a", 1)
    world.write("b", 2)
    world.write("a", None)
    world.write("never there", None)
    assert (world.read("a"), world.read("b")) == (None, 2)


def test_the_time_is_the_blocks(world: World) -> None:
    assert world.timestamp == 1234


@pytest.mark.parametrize("value", [Task(0), Function("f", (), None), [Task(0)], {"a": Task(0)}])  # type: ignore[arg-type]
def test_functions_and_tasks_are_not_kept(world: World, value: Value) -> None:
    for use in (world.check, world.append, lambda value: world.write("a", value)):
        with pytest.raises(NotStorable):
            use(value)
    assert world.read("a") is None


@given(values | st.none(), st.integers(0, 2**63))
def test_an_entry_has_the_blocks_time_and_only_that(entry: Value, timestamp: int) -> None:
    made = stamped(entry, timestamp)
    assert made["timestamp"] == timestamp
    if isinstance(entry, dict):
        assert {key: item for key, item in made.items() if key != "timestamp"} == {
            key: item for key, item in entry.items() if key != "timestamp"
        }
    else:
        assert same(made, {"entry": entry, "timestamp": timestamp})
    assert same(stamped(made, timestamp), made)


# A contract's


def test_the_records_are_as_documented() -> None:
    state = MemoryState()
    world = world_of(state)
    world.write("é", [1])
    world.append("x")
    world.append({"timestamp": 1, "by": "bob"})
    assert state.records_of(ALICE) == {
        b"s\xc3\xa9": b"\x81\x01",
        b"n": bytes(7) + b"\x02",
        b"l" + bytes(8): canonical({"entry": "x", "timestamp": 1234}),
        b"l" + bytes(7) + b"\x01": canonical({"by": "bob", "timestamp": 1234}),
    }
    world.write("é", None)
    assert b"s\xc3\xa9" not in state.records_of(ALICE)


@given(st.dictionaries(st.text(max_size=9), values, max_size=5))
def test_the_order_of_writing_leaves_no_trace(entries: dict[str, Value]) -> None:
    one, other = MemoryState(), MemoryState()
    for key, value in entries.items():
        world_of(one).write(key, value)
    for key, value in reversed(entries.items()):
        world_of(other).write(key, 0)
        world_of(other).write(key, value)
    assert one.records_of(ALICE) == other.records_of(ALICE)


@pytest.mark.parametrize("key", ["", "n", "l", "s", "l\0\0\0\0\0\0\0\0"])
def test_no_key_reaches_the_ledger(key: str) -> None:
    state = MemoryState()
    world = world_of(state)
    world.append("entry")
    before = state.records_of(ALICE)
    world.write(key, "mine")
    assert (world.ledger_size(), world.read(key)) == (1, "mine")
    world.write(key, None)
    assert state.records_of(ALICE) == before


def test_the_ledger_is_counted_and_kept_in_order() -> None:
    world = world_of(MemoryState())
    assert world.ledger_size() == 0
    for number in range(300):
        world.append(number)
    assert world.ledger_size() == 300
    assert [world.ledger_entry(number) for number in range(300)] == [
        {"entry": number, "timestamp": 1234} for number in range(300)
    ]
    for position in (-1, 300):
        with pytest.raises(IndexError, match=f"ledger entry {position}: there are 300"):
            world.ledger_entry(position)


def test_later_entries_change_no_earlier_one() -> None:
    state = MemoryState()
    StateWorld(state, ALICE, BlockContext(timestamp=1)).append({"who": "alice"})
    first = state.get_record(ALICE, b"l" + bytes(8))
    StateWorld(state, ALICE, BlockContext(timestamp=2)).append({"who": "mallory"})
    assert state.get_record(ALICE, b"l" + bytes(8)) == first == canonical({"who": "alice", "timestamp": 1})


def test_accounts_are_apart() -> None:
    state = MemoryState()
    world_of(state, ALICE).write("a", 1)
    world_of(state, ALICE).append("entry")
    assert world_of(state, BOB).read("a") is None
    assert world_of(state, BOB).ledger_size() == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), values | st.none()), max_size=8), st.integers(0, 8))
def test_a_reverted_snapshot_leaves_nothing(writes: list[tuple[str, Value]], kept: int) -> None:
    state = MemoryState()
    world = world_of(state)
    for key, value in writes[:kept]:
        world.write(key, value)
        world.append(value)
    before = state.records_of(ALICE)
    size = world.ledger_size()
    checkpoint = state.snapshot()
    for key, value in writes[kept:]:
        world.write(key, value)
        world.append(value)
    state.revert(checkpoint)
    assert state.records_of(ALICE) == before
    assert world.ledger_size() == size
    world.append("next")
    assert world.ledger_entry(size) == {"entry": "next", "timestamp": 1234}


def test_a_committed_transaction_is_taken_back_with_the_call() -> None:
    state = MemoryState()
    checkpoint = state.snapshot()
    transactions = TransactionStack(world_of(state), strict=True)
    transactions.begin()
    transactions.write("a", 1)
    transactions.append("entry")
    assert state.records_of(ALICE) == {}
    transactions.commit()
    assert len(state.records_of(ALICE)) == 3
    state.revert(checkpoint)
    assert state.records_of(ALICE) == {}


def test_what_is_kept_outlives_the_world() -> None:
    state = MemoryState()
    world_of(state).write("a", {"b": [1, 2]})
    state.commit()
    assert world_of(state).read("a") == {"b": [1, 2]}


@pytest.mark.parametrize("record", [b"", b"\xff", b"\x18\x01", b"\x01\x01", b"\xfb" + bytes(8), b"\x81" * 40 + b"\x01"])
def test_a_record_that_no_contract_wrote_is_named(record: bytes) -> None:
    state = MemoryState()
    state.set_record(ALICE, b"sa", record)
    with pytest.raises(StateError, match=f"record 0x7361 of 0x{ALICE.hex()}"):
        world_of(state).read("a")


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_count_of_another_size_is_named(size: int) -> None:
    state = MemoryState()
    state.set_record(ALICE, b"n", bytes(size))
    with pytest.raises(StateError, match=f"record 0x6e .*a count has 8 bytes, this one has {size}"):
        world_of(state).append(1)


def test_a_static_call_reads_and_changes_nothing() -> None:
    state = MemoryState()
    world_of(state).write("a", 1)
    before = state.records_of(ALICE)
    world = world_of(state, read_only=True)
    assert world.read("a") == 1
    for use in (world.check, world.append, lambda value: world.write("a", value)):
        with pytest.raises(ReadOnlyState):
            use(2)
    transactions = TransactionStack(world, strict=True)
    transactions.begin()
    with pytest.raises(ReadOnlyState):
        transactions.write("a", 2)
    transactions.commit()
    assert state.records_of(ALICE) == before


def test_limits_hold_for_what_is_kept() -> None:
    world = world_of(MemoryState(), limits=ValueLimits(items=2))
    world.write("a", [1, 2])
    refused: list[Value] = [[1, 2, 3], {"a": {"b": 1, "c": 2, "d": 3}}]
    for value in refused:
        with pytest.raises(ValueTooLarge):
            world.write("a", value)
    with pytest.raises(ValueTooLarge):
        world.append({"a": 1, "b": 2})  # the time is the third


# The workbench's


def test_the_dictionary_is_the_owners() -> None:
    env: dict[str, Any] = {}
    world = DictWorld(env)
    assert world.read("a") is None
    assert env == {}
    env["_blockchain_state"] = {"a": 1}
    assert world.read("a") == 1
    world.write("b", 2)
    assert env["_blockchain_state"] == {"a": 1, "b": 2}
    env["_blockchain_state"] = {}
    assert world.read("a") is None


def test_entries_are_copies_that_nobody_changes() -> None:
    env: dict[str, Any] = {"_block_timestamp": 9}
    entry: dict[Any, Any] = {"action": "transfer", "items": [1, [2]], "by": {"name": "alice"}}
    DictWorld(env).append(entry)
    entry["items"][1].append(3)
    entry["by"]["name"] = "mallory"
    (kept,) = env["_ledger"]
    assert (kept["action"], kept["timestamp"]) == ("transfer", 9)
    assert kept["items"] == (1, (2,))
    assert kept["by"] == {"name": "alice"}
    changes: list[Callable[[], Any]] = [
        lambda: kept.__setitem__("action", "none"),
        lambda: kept["by"].__setitem__("name", "mallory"),
        lambda: kept["items"].append(3),
    ]
    for change in changes:
        with pytest.raises((TypeError, AttributeError)):
            change()


def test_the_time_is_never_this_machines() -> None:
    env: dict[str, Any] = {}
    DictWorld(env).append("entry")
    assert env["_ledger"][0]["timestamp"] == 0


@pytest.mark.parametrize("value", [1.5, (1, 2), {1, 2}, object()])
def test_what_is_no_value_is_not_read(value: Any) -> None:
    with pytest.raises(TypeMismatch):
        DictWorld({"_blockchain_state": {"a": value}}).read("a")
