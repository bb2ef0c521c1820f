"""A state over a store against one in memory, through commits, rollbacks and views of the past."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom import Account, MemoryState
from vmloom.errors import StateError
from vmloom.store import CHAIN, MemoryStore, StateSource, StoredState
from vmloom.store.encoding import StoredAccount, decode_account, encode_account

ADDRESSES = [bytes([number]) * 20 for number in (1, 2, 3)]
ADDRESS = st.sampled_from(ADDRESSES)
KEYS = [b"", b"k", b"long" * 100, b"long" * 100 + b"er"]
ACCOUNT = st.builds(
    Account, st.integers(0, 2), st.sampled_from([0, 1, 10**30]), st.sampled_from([b"", b"code"]), st.just("evm")
)
CHANGE = st.one_of(
    st.tuples(st.just("set_account"), ADDRESS, ACCOUNT),
    st.tuples(st.just("delete_account"), ADDRESS),
    st.tuples(st.just("clear_storage"), ADDRESS),
    st.tuples(st.just("set_storage"), ADDRESS, st.integers(0, 2), st.sampled_from([0, 1, 2**256 - 1])),
    st.tuples(st.just("set_record"), ADDRESS, st.sampled_from(KEYS), st.sampled_from([None, b"", b"value"])),
)
STEP = st.one_of(CHANGE, st.just(("commit",)), st.just(("forget",)), st.tuples(st.just("undo"), st.integers(0, 8)))

World = tuple[dict[bytes, Account], dict[bytes, dict[int, int]], dict[bytes, dict[bytes, bytes]]]


def world(state: MemoryState | StoredState) -> World:
    """All that is there, as committed. What is not empty in accounts that do not exist counts, too."""
    return (
        dict(state.accounts()),
        {address: words for address in ADDRESSES if (words := state.storage_of(address))},
        {address: records for address in ADDRESSES if (records := state.records_of(address))},
    )


@settings(max_examples=150)
@given(st.lists(STEP, max_size=40))
def test_commits_are_those_of_a_state_in_memory(steps: list[tuple[object, ...]]) -> None:
    store, memory = MemoryStore(), MemoryState()
    stored = StoredState(store)
    history = [world(memory)]
    for name, *arguments in steps:
        if name == "commit":
            stored.commit()
            memory.commit()
            history.append(world(memory))
            assert world(stored) == history[-1]
        elif name == "forget":
            if stored.snapshot() == 0:
                stored.forget()
                assert stored.loaded == 0
        elif name == "undo":
            target = int(str(arguments[0]))
            if target <= min(stored.snapshot(), memory.snapshot()):
                stored.revert(0)
                memory.revert(0)
        else:
            getattr(stored, str(name))(*arguments)
            getattr(memory, str(name))(*arguments)
            address = arguments[0]
            assert isinstance(address, bytes)
            assert stored.get_account(address) == memory.get_account(address)
            assert sorted(stored.get_slots(address)) == sorted(memory.get_slots(address))
            assert stored.has_storage(address) == memory.has_storage(address)
            assert [stored.get_record(address, key) for key in KEYS] == [
                memory.get_record(address, key) for key in KEYS
            ]
    assert [world(StoredState(store.at(version))) for version in range(-1, store.version + 1)] == history


def test_commit_has_the_records_of_the_chain_with_it() -> None:
    store = MemoryStore()
    state = StoredState(store, block_hash={7: b"h" * 32}.get)
    state.set_balance(ADDRESSES[0], 5)
    assert state.commit_with({CHAIN + b"head": b"7"}) == 0
    assert (store.get(CHAIN + b"head"), StoredState(store).get_balance(ADDRESSES[0])) == (b"7", 5)
    assert (state.get_block_hash(7), state.get_block_hash(8)) == (b"h" * 32, bytes(32))
    with pytest.raises(StateError, match="only tries and chains"):
        state.commit_with({b"a" + ADDRESSES[0]: b""})
    assert store.version == 0


def test_changes_that_were_made_elsewhere_are_seen() -> None:
    store = MemoryStore()
    state, other = StoredState(store), StoredState(store)
    for one in (state, other):
        assert (one.get_balance(ADDRESSES[0]), one.get_storage(ADDRESSES[0], 1)) == (0, 0)
    other.set_account(ADDRESSES[0], Account(1, 5, b"code"))
    other.set_storage(ADDRESSES[0], 1, 9)
    other.set_record(ADDRESSES[0], b"k", b"v")
    state.commit_with(diff=other.diff())
    assert state.get_account(ADDRESSES[0]) == Account(1, 5, b"code")
    assert (state.get_storage(ADDRESSES[0], 1), state.get_record(ADDRESSES[0], b"k")) == (9, b"v")
    state.set_balance(ADDRESSES[1], 1)
    with pytest.raises(StateError, match="both here and elsewhere"):
        state.commit_with(diff=other.diff())
    with pytest.raises(StateError, match="commit or revert first"):
        state.forget()


def test_view_of_the_past_is_read_only() -> None:
    store = MemoryStore()
    state = StoredState(store)
    state.set_balance(ADDRESSES[0], 5)
    state.commit()
    past = StoredState(store.at(-1))
    assert past.get_account(ADDRESSES[0]) is None
    past.set_balance(ADDRESSES[0], 6)
    with pytest.raises(StateError, match="version -1 of the store is read-only"):
        past.commit()


def test_source_of_another_state_shows_what_others_commit() -> None:
    store = MemoryStore()
    state, source = StoredState(store), StateSource(store)
    address = ADDRESSES[0]
    for balance in (5, 6):
        state.set_account(address, Account(1, balance, b"code"))
        state.set_storage(address, 1, balance)
        state.set_record(address, b"k", b"%d" % balance)
        state.commit()
        assert source.get_account(address) == Account(1, balance, b"code")
        assert source.get_storage(address, 1) == balance
        assert source.get_record(address, b"k") == b"%d" % balance
        assert (source.get_slots(address), source.has_storage(address)) == ([1], True)
    state.delete_account(address)
    state.commit()
    assert (source.get_account(address), source.get_slots(address), source.has_storage(address)) == (None, [], False)
    assert source.loaded == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_account", (ADDRESSES[0], Account(1))),
        ("set_nonce", (ADDRESSES[0], 1)),
        ("set_storage", (ADDRESSES[0], 1, 1)),
        ("clear_storage", (ADDRESSES[0],)),
        ("delete_account", (ADDRESSES[0],)),
        ("set_record", (ADDRESSES[0], b"k", b"v")),
    ],
)
def test_source_of_another_state_is_not_changed(name: str, arguments: tuple[object, ...]) -> None:
    source = StateSource(MemoryStore())
    with pytest.raises(StateError, match="is not changed itself"):
        getattr(source, name)(*arguments)
    assert source.journal.checkpoint() == 0


def test_code_that_is_missing_is_an_error_of_the_store() -> None:
    store = MemoryStore()
    store.commit({b"a" + ADDRESSES[0]: encode_account(StoredAccount(0, 0, "", b"h" * 32))})
    with pytest.raises(StateError, match="the store has no code 0x6868"):
        StoredState(store).get_account(ADDRESSES[0])


@given(st.integers(0, 2**64), st.integers(0, 2**300), st.text(max_size=20), st.sampled_from([b"", b"code"]))
def test_accounts_are_read_as_written(nonce: int, balance: int, vm: str, code: bytes) -> None:
    from vmloom.store.encoding import code_hash

    account = StoredAccount(nonce, balance, vm, code_hash(code))
    assert decode_account(encode_account(account)) == account


@given(st.binary(max_size=60))
def test_any_bytes_are_an_account_or_refused(data: bytes) -> None:
    try:
        account = decode_account(data)
    except StateError:
        return
    assert decode_account(encode_account(account)) == account
