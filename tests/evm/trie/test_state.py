"""The trie of the state against `commitment.state_root` of the same state in memory, and its proofs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom import Account, MemoryState, StateAccess
from vmloom.hashing import keccak256
from vmloom.store import MemoryStore, StoredState, StoreView
from vmloom_evm import rlp
from vmloom_evm.commitment import state_root
from vmloom_evm.native.state import NativeState
from vmloom_evm.trie import StateTrie, verify_proof
from vmloom_evm.trie.nodes import EMPTY_TRIE_ROOT

ADDRESSES = [bytes([number]) * 20 for number in range(1, 6)]
ACCOUNT = st.builds(
    Account,
    st.integers(0, 2),
    st.sampled_from([0, 1, 10**30]),
    st.sampled_from([b"", b"code"]),
    st.sampled_from(["", "evm", "v" * 255]),
)
CHANGE = st.one_of(
    st.tuples(st.just("set_account"), st.sampled_from(ADDRESSES), ACCOUNT),
    st.tuples(st.just("delete_account"), st.sampled_from(ADDRESSES)),
    st.tuples(st.just("clear_storage"), st.sampled_from(ADDRESSES)),
    st.tuples(
        st.just("set_storage"), st.sampled_from(ADDRESSES), st.integers(0, 5), st.sampled_from([0, 0, 1, 2**256 - 1])
    ),
)
BLOCKS = st.lists(st.lists(CHANGE, max_size=12), min_size=1, max_size=5)


def make(state: StateAccess, changes: list[tuple[object, ...]]) -> None:
    for name, *arguments in changes:
        getattr(state, str(name))(*arguments)


@given(BLOCKS, st.booleans())
def test_root_is_that_of_the_same_state_in_memory(blocks: list[list[tuple[object, ...]]], is_native: bool) -> None:
    """Block after block, whether the changes are made in the stored state or in a native one that loads from it."""
    store, memory = MemoryStore(), MemoryState()
    stored = StoredState(store)
    state: StateAccess = NativeState(source=stored) if is_native else stored
    roots = []
    for block in blocks:
        make(memory, block)
        make(state, block)
        diff = state.diff()
        root, nodes = StateTrie(store).update(diff)
        stored.commit_with(nodes, diff=diff if is_native else None)
        state.settle()
        roots.append(state_root(memory))
        assert root == roots[-1] == StateTrie(store).root()
    assert [StateTrie(store.at(version)).root() for version in range(len(blocks))] == roots


@pytest.fixture
def view() -> StoreView:
    """A store with an account that has storage, one that has none, and many others."""
    store = MemoryStore()
    state = StoredState(store)
    state.set_account(ADDRESSES[0], Account(1, 10**18, b"code", "evm"))
    for slot in range(50):
        state.set_storage(ADDRESSES[0], slot, slot + 1)
    for number in range(100):
        state.set_account(bytes([9]) * 19 + bytes([number]), Account(number, number))
    _, nodes = StateTrie(store).update(state.diff())
    state.commit_with(nodes)
    return store


def test_account_and_its_words_are_proved(view: StoreView) -> None:
    trie = StateTrie(view)
    proof = trie.account_proof(ADDRESSES[0], [7, 2**200])
    assert (proof.nonce, proof.balance, proof.code_hash) == (1, 10**18, keccak256(b"code"))
    leaf = verify_proof(trie.root(), keccak256(ADDRESSES[0]), proof.proof)
    assert leaf is not None
    assert rlp.decode(leaf) == [b"\x01", rlp.integer(10**18), proof.storage_hash, proof.code_hash]
    there, absent = proof.storage
    assert (there.slot, there.value, absent.slot, absent.value) == (7, 8, 2**200, 0)
    key = keccak256((7).to_bytes(32, "big"))
    assert verify_proof(proof.storage_hash, key, there.proof) == rlp.encode(b"\x08")
    assert verify_proof(proof.storage_hash, keccak256((2**200).to_bytes(32, "big")), absent.proof) is None
    assert absent.proof


def test_absent_account_is_proved_to_be_absent(view: StoreView) -> None:
    trie = StateTrie(view)
    proof = trie.account_proof(ADDRESSES[1], [7])
    assert (proof.nonce, proof.balance, proof.code_hash, proof.storage_hash) == (0, 0, keccak256(b""), EMPTY_TRIE_ROOT)
    assert verify_proof(trie.root(), keccak256(ADDRESSES[1]), proof.proof) is None
    assert proof.proof
    (word,) = proof.storage
    assert (word.value, word.proof) == (0, ())


def test_root_of_an_empty_store() -> None:
    trie = StateTrie(MemoryStore())
    assert trie.root() == trie.storage_root(ADDRESSES[0]) == EMPTY_TRIE_ROOT
    assert trie.account_proof(ADDRESSES[0]).proof == ()
