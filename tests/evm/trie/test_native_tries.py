"""The tries in native memory against those that read every node from the store: the same roots and the same nodes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom import Account, MemoryState
from vmloom.hashing import keccak256
from vmloom.state import StateDiff
from vmloom.store import TRIE, Changes, MemoryStore, StateSource, StoredState
from vmloom_evm import rlp
from vmloom_evm.commitment import state_root
from vmloom_evm.native.state import NativeState
from vmloom_evm.trie import BrokenTrie, StateTrie
from vmloom_evm.trie import native as native_tries
from vmloom_evm.trie.native import NativeTries
from vmloom_evm.trie.nodes import EMPTY_TRIE_ROOT
from vmloom_evm.trie.state import ACCOUNTS, STORAGE

ADDRESSES = [keccak256(bytes([number]))[:20] for number in range(40)]


class Pair:
    """A state with native tries, and one with those of the store; whatever is done to one is done to both."""

    def __init__(self) -> None:
        self.states = StoredState(MemoryStore()), StoredState(MemoryStore())
        self.memory = MemoryState()
        self.tries = NativeTries(self.states[0].view)

    def change(self, name: str, *arguments: object) -> None:
        for state in (*self.states, self.memory):
            getattr(state, name)(*arguments)

    def commit(self) -> bytes:
        """Commit a block; returns the root."""
        root, nodes = self.tries.update(self.states[0].diff())
        expected, expected_nodes = StateTrie(self.states[1].view).update(self.states[1].diff())
        assert root == expected == state_root(self.memory)
        self._commit(nodes, expected_nodes)
        self.tries.settle()
        return root

    def _commit(self, *nodes: Changes) -> None:
        for state, changes in zip(self.states, nodes, strict=True):
            state.commit_with(changes)
        first, second = (dict(state.view.scan(TRIE)) for state in self.states)
        assert first == second


def random_block(random: Random, pair: Pair | World, *, is_simple: bool = False) -> None:
    """Changes of a block; of a simple one only balances, nonces and words."""
    for _ in range(random.randrange(1, 12)):
        address = random.choice(ADDRESSES)
        if is_simple and random.random() < 0.5:
            pair.change("set_balance", address, random.choice([0, 127, 128, random.getrandbits(100)]))
            pair.change("set_nonce", address, random.choice([0, 1, 255, 2**64 - 1]))
            continue
        if is_simple:  # words of accounts that are there
            address = ADDRESSES[random.randrange(10)]
            pair.change("set_nonce", address, random.randrange(1, 10))
            pair.change("set_storage", address, random.randrange(40), random.choice([0, 1, 2**255, 0x80]))
            continue
        match random.randrange(10):
            case 0:
                pair.change("delete_account", address)
            case 1:
                pair.change("clear_storage", address)
            case 2 | 3 | 4:
                code = random.choice([b"", b"code"])
                pair.change("set_account", address, Account(random.randrange(300), random.getrandbits(90), code))
            case _:
                word = random.choice([0, 1, 0x7F, 0x80, random.getrandbits(256)])
                pair.change("set_storage", address, random.randrange(40), word)


class World:
    """A native state with its tries, committed as items where they tell all, and a state that is committed as a diff.

    After each block both stores have the same.
    """

    def __init__(self) -> None:
        self.store, self.other = MemoryStore(), StoredState(MemoryStore())
        self.source = StateSource(self.store)
        self.native = NativeState(source=self.source)
        self.tries = NativeTries(self.store)
        self.as_items = self.as_diff = 0

    def change(self, name: str, *arguments: object) -> None:
        for state in (self.native, self.other):
            getattr(state, name)(*arguments)

    def commit(self) -> bytes:
        """Commit a block; returns the root."""
        found = self.tries.update_from(self.native)
        if found is not None:
            self.as_items += 1
            root, changes = found
            self.store.commit(changes)
        else:
            self.as_diff += 1
            diff = self.native.diff()
            root, nodes = self.tries.update(diff)
            self.source.commit_with(nodes, diff=diff)
        self.native.settle()
        self.tries.settle()
        expected, nodes = StateTrie(self.other.view).update(self.other.diff())
        self.other.commit_with(nodes)
        assert root == expected == StateTrie(self.store).root()
        assert dict(self.store.scan(b"")) == dict(self.other.view.scan(b""))
        return root


@pytest.mark.parametrize("seed", range(4))
def test_states_tell_the_store_of_their_blocks_without_a_diff(seed: int) -> None:
    random, world = Random(seed), World()
    for address in ADDRESSES[:10]:
        world.change("set_account", address, Account(1, 10**18, b"code", random.choice(["", "evm"])))
    for number in range(60):
        world.commit()
        random_block(random, world, is_simple=random.random() < 0.7)
        if number % 17 == 16:
            world.tries.forget()
    assert world.as_items > 15
    assert world.as_diff > 5


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_account", (ADDRESSES[0], Account(1, 5, b"other code"))),
        ("set_account", (ADDRESSES[0], Account(1, 6, b"code", "wasm"))),
        ("set_account", (ADDRESSES[1], Account(1, 7, b"", "wasm"))),
        ("delete_account", (ADDRESSES[0],)),
        ("clear_storage", (ADDRESSES[0],)),
        ("set_record", (ADDRESSES[0], b"key", b"value")),
        ("set_storage", (ADDRESSES[3], 1, 2)),
    ],
    ids=["code", "code and VM", "VM", "deletion", "clearing", "record", "words of nobody"],
)
def test_what_items_cannot_tell_is_left_to_a_diff(name: str, arguments: tuple[object, ...]) -> None:
    world = World()
    world.change("set_account", ADDRESSES[0], Account(1, 4, b"code"))
    world.change("set_storage", ADDRESSES[0], 1, 7)
    world.commit()
    world.change("set_balance", ADDRESSES[0], 5)
    world.commit()
    assert world.as_items == 1
    world.change("set_storage", ADDRESSES[0], 2, 8)
    world.change(name, *arguments)
    world.commit()
    assert world.as_items == 1


def test_large_blocks_of_a_state_take_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_tries, "FIRST_ROOM", 8)
    monkeypatch.setattr(native_tries, "OUTPUT_ROOM", 4096)
    world = World()
    for address in ADDRESSES:
        world.change("set_balance", address, 1)
    for slot in range(600):  # by turns, so that each trie is left and entered again
        world.change("set_storage", ADDRESSES[slot % 3], slot, slot + 1)
    world.commit()
    world.tries.forget()
    for slot in range(0, 600, 4):
        world.change("set_storage", ADDRESSES[slot % 3], slot, 0)
        world.change("set_balance", ADDRESSES[slot % len(ADDRESSES)], slot + 2)
    world.commit()
    assert world.as_items == 2


def test_state_that_lacks_a_node_is_told_of() -> None:
    world = World()
    for address in ADDRESSES:
        world.change("set_balance", address, 1)
    world.commit()
    world.tries.forget()
    lost = next(key for key, _ in world.store.scan(ACCOUNTS) if len(key) == len(ACCOUNTS) + 1)
    world.store.commit({lost: None})
    below = next(one for one in ADDRESSES if keccak256(one).hex()[:1].encode() == lost[len(ACCOUNTS) :])
    world.native.set_balance(below, 2)
    assert world.tries.update_from(world.native) is None
    with pytest.raises(BrokenTrie, match="has no node at path"):
        world.tries.update(world.native.diff())


def test_block_that_changes_nothing_has_the_root_of_the_one_before() -> None:
    world = World()
    world.change("set_balance", ADDRESSES[0], 5)
    root = world.commit()
    assert world.commit() == root
    world.change("set_balance", ADDRESSES[0], 6)
    assert world.commit() != root


def test_update_that_is_not_committed_is_forgotten() -> None:
    world = World()
    for address in ADDRESSES:
        world.change("set_balance", address, 5)
        world.change("set_storage", address, 5, 5)
    world.commit()
    checkpoint = world.native.snapshot()
    world.native.set_balance(ADDRESSES[0], 6)
    world.native.set_storage(ADDRESSES[0], 5, 6)
    assert world.tries.update_from(world.native) is not None
    world.native.revert(checkpoint)
    world.change("set_storage", ADDRESSES[1], 5, 7)
    world.commit()
    world.change("set_storage", ADDRESSES[0], 6, 7)
    world.commit()


@pytest.mark.parametrize("seed", range(4))
def test_random_blocks_have_the_roots_and_nodes_of_a_recomputation(seed: int) -> None:
    random, pair = Random(seed), Pair()
    for number in range(40):
        random_block(random, pair)
        pair.commit()
        if number % 13 == 12:
            pair.tries.forget()


def test_tables_and_output_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_tries, "FIRST_ROOM", 8)
    monkeypatch.setattr(native_tries, "OUTPUT_ROOM", 4096)
    pair = Pair()
    for slot in range(500):
        pair.change("set_storage", ADDRESSES[0], slot, slot + 1)
    pair.change("set_account", ADDRESSES[0], Account(1, 2))
    pair.commit()
    pair.tries.forget()
    for slot in range(0, 500, 3):
        pair.change("set_storage", ADDRESSES[0], slot, 0)
    pair.commit()


def test_what_is_removed_leaves_the_empty_trie() -> None:
    pair = Pair()
    for address in ADDRESSES[:2]:
        pair.change("set_account", address, Account(1))
    pair.commit()
    pair.tries.forget()
    pair.change("delete_account", ADDRESSES[0])
    pair.commit()
    pair.change("delete_account", ADDRESSES[1])
    assert pair.commit() == EMPTY_TRIE_ROOT


def test_too_many_nodes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_tries, "KEPT_NODES", 4)
    random, pair = Random(9), Pair()
    for _ in range(10):
        random_block(random, pair)
        pair.commit()


def test_second_update_without_a_commit_starts_from_the_store() -> None:
    pair = Pair()
    pair.change("set_account", ADDRESSES[0], Account(1))
    pair.commit()
    pair.change("set_account", ADDRESSES[1], Account(2))
    pair.tries.update(pair.states[0].diff())
    pair.change("delete_account", ADDRESSES[1])
    pair.change("set_account", ADDRESSES[2], Account(3))
    pair.commit()
    pair.change("set_account", ADDRESSES[3], Account(4))
    pair.commit()


def test_nodes_that_stand_in_their_parents_are_left_to_the_other_trie() -> None:
    """Hashed keys agree too briefly for such nodes, unless somebody looks for keys; here one is put into the store."""
    leaf = rlp.encode([b"\x20", b"\x01"])
    branch = rlp.list_of([b"\x80"] * 5 + [leaf] + [b"\x80"] * 11)
    store = MemoryStore()
    store.commit({STORAGE + ADDRESSES[0]: branch})
    slots = [slot for slot in range(20) if keccak256(slot.to_bytes(32, "big"))[0] >> 4 != 5]
    diff = StateDiff({ADDRESSES[0]: Account(1)}, {ADDRESSES[0]: dict.fromkeys(slots, 7)}, {}, set(), set())
    assert NativeTries(store).update(diff) == StateTrie(store).update(diff)


def test_a_store_that_lacks_a_node_is_told_of() -> None:
    pair = Pair()
    for address in ADDRESSES:
        pair.change("set_account", address, Account(1))
    pair.commit()
    pair.tries.forget()
    lost = next(key for key, _ in pair.states[0].view.scan(ACCOUNTS) if len(key) == len(ACCOUNTS) + 1)
    pair.states[0].view.commit({lost: None})  # type: ignore[attr-defined]
    below = next(one for one in ADDRESSES if keccak256(one).hex()[:1].encode() == lost[len(ACCOUNTS) :])
    with pytest.raises(BrokenTrie, match="has no node at path"):
        pair.tries.update(StateDiff({below: Account(2)}, {}, {}, set(), set()))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=30))
def test_words_that_come_and_go(changes: list[tuple[int, int]]) -> None:
    pair = Pair()
    pair.change("set_account", ADDRESSES[0], Account(1))
    for number, (slot, word) in enumerate(changes):
        pair.change("set_storage", ADDRESSES[0], slot, word)
        if number % 3 == 2:
            pair.commit()
    pair.commit()
