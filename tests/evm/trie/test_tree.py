"""The trie in a store against one that is built anew, after every batch of random changes, and the public vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie
from vmloom.errors import StateError
from vmloom.hashing import keccak256
from vmloom_evm.trie import BrokenTrie, Trie, built_root, verify_proof
from vmloom_evm.trie.nodes import EMPTY_TRIE_ROOT, decode, encode

PREFIX = b"t:"
SHORT_KEYS = st.binary(min_size=1, max_size=3)
"""Of different lengths, so that some end within others, and with few bytes, so that they share paths."""
NEAR_KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), min_size=4, max_size=4).map(bytes)
VALUES = st.one_of(st.none(), st.just(b"\x01"), st.binary(min_size=1, max_size=40), st.just(b"v" * 300))
BATCHES = st.lists(st.dictionaries(SHORT_KEYS | NEAR_KEYS, VALUES, max_size=12), max_size=6)
FILES = ["trieanyorder", "trieanyorder_secureTrie", "trietest", "trietest_secureTrie", "hex_encoded_securetrie_test"]


def library_root(leaves: dict[bytes, bytes]) -> bytes:
    """The root that an independent implementation gives."""
    trie = HexaryTrie({})
    for key, value in leaves.items():
        trie[key] = value
    return bytes(trie.root_hash)


def applied(nodes: dict[bytes, bytes], trie: Trie) -> None:
    """Do to `nodes` what the trie says the store must be told."""
    for key, encoded in trie.changes.items():
        if encoded is None:
            nodes.pop(key, None)
        else:
            nodes[key] = encoded


@given(BATCHES)
def test_root_is_that_of_a_trie_built_anew(batches: list[dict[bytes, bytes | None]]) -> None:
    nodes: dict[bytes, bytes] = {}
    leaves: dict[bytes, bytes] = {}
    for batch in batches:
        trie = Trie(nodes.get, PREFIX)
        root = trie.update(batch.items())
        applied(nodes, trie)
        for key, value in batch.items():
            leaves.pop(key, None)
            if value is not None:
                leaves[key] = value
        assert root == library_root(leaves) == built_root(leaves) == Trie(nodes.get, PREFIX).root()
        assert all(key.startswith(PREFIX) for key in nodes)


@given(BATCHES)
def test_history_leaves_no_nodes_behind(batches: list[dict[bytes, bytes | None]]) -> None:
    """The nodes after many changes are those that the last state would have had at once."""
    nodes: dict[bytes, bytes] = {}
    leaves: dict[bytes, bytes | None] = {}
    for batch in batches:
        trie = Trie(nodes.get, PREFIX)
        trie.update(batch.items())
        applied(nodes, trie)
        leaves.update(batch)
    fresh: dict[bytes, bytes] = {}
    whole = Trie(fresh.get, PREFIX)
    whole.update((key, value) for key, value in leaves.items() if value is not None)
    applied(fresh, whole)
    assert nodes == fresh


@given(st.dictionaries(SHORT_KEYS | NEAR_KEYS, VALUES.filter(bool), max_size=12), SHORT_KEYS | NEAR_KEYS)
def test_every_key_and_every_absence_is_proved(leaves: dict[bytes, bytes], other: bytes) -> None:
    trie = Trie({}.get, PREFIX)
    root = trie.update(leaves.items())
    for key in {*leaves, other}:
        proof = trie.prove(key)
        assert trie.get(key) == leaves.get(key)
        assert verify_proof(root, key, proof) == leaves.get(key)


@given(
    st.dictionaries(NEAR_KEYS, st.binary(min_size=33, max_size=33), min_size=2, max_size=12),
    st.data(),
)
def test_a_changed_proof_is_refused(leaves: dict[bytes, bytes], data: st.DataObject) -> None:
    trie = Trie({}.get, PREFIX)
    root = trie.update(leaves.items())
    key = data.draw(st.sampled_from(sorted(leaves)))
    proof = trie.prove(key)
    step = data.draw(st.integers(0, len(proof) - 1))
    place = data.draw(st.integers(0, len(proof[step]) - 1))
    broken = bytearray(proof[step])
    broken[place] ^= data.draw(st.integers(1, 255))
    for wrong in (
        [*proof[:step], bytes(broken), *proof[step + 1 :]],
        proof[:step],
        [*proof, proof[0]],
        proof[1:],
    ):
        with pytest.raises(BrokenTrie):
            verify_proof(root, key, wrong)


def test_empty_trie_is_proved_by_nothing() -> None:
    assert verify_proof(EMPTY_TRIE_ROOT, b"key", Trie({}.get, PREFIX).prove(b"key")) is None
    with pytest.raises(BrokenTrie, match="node 0 of the proof"):
        verify_proof(keccak256(b"another"), b"key", [])


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x80",
        b"\xc0",
        b"\xc1\x80",
        b"\xc3\x80\x80\x80",
        b"\xc2\x40\x80",
        b"\xc2\x05\x80",
        b"\xc2\x80\x80",
        b"\xc2\x20",
    ],
)
def test_what_is_no_node_is_refused(encoded: bytes) -> None:
    with pytest.raises(BrokenTrie):
        decode(encoded)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_node_or_refused(encoded: bytes) -> None:
    try:
        node = decode(encoded)
    except BrokenTrie:
        return
    assert decode(encode(node)) == node


def test_missing_node_names_its_path() -> None:
    nodes: dict[bytes, bytes] = {}
    trie = Trie(nodes.get, PREFIX)
    trie.update((bytes([first, second]), b"v" * 40) for first in (0x12, 0x34) for second in (0x56, 0x78))
    applied(nodes, trie)
    del nodes[PREFIX + b"12"]
    with pytest.raises(StateError, match="no node at path 12"):
        Trie(nodes.get, PREFIX).update([(b"\x12\x99", b"v")])
    with pytest.raises(BrokenTrie, match="no node at path 12"):
        Trie(nodes.get, PREFIX).get(b"\x12\x56")


def test_only_paths_of_changed_keys_are_touched() -> None:
    nodes: dict[bytes, bytes] = {}
    trie = Trie(nodes.get, PREFIX)
    trie.update((keccak256(bytes([number])), b"v" * 40) for number in range(256))
    applied(nodes, trie)
    read: list[bytes] = []

    def reading(key: bytes) -> bytes | None:
        read.append(key)
        return nodes.get(key)

    after = Trie(reading, PREFIX)
    key = keccak256(b"\x07")
    after.update([(key, b"w" * 40)])
    path = PREFIX + key.hex().encode()
    assert 2 <= len(read) <= 5
    assert all(path.startswith(key) for key in {*read, *after.changes})


def data(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


@pytest.mark.parametrize("name", FILES)
def test_root_is_that_of_the_vector(fixtures_folder: Path, name: str) -> None:
    found: dict[str, Any] = json.loads((fixtures_folder / "trie" / f"{name}.json").read_text())
    assert found
    secure = "secure" in name.lower()
    for title, test in found.items():
        nodes: dict[bytes, bytes] = {}
        root = EMPTY_TRIE_ROOT
        # A list tells a history: a later value replaces an earlier one, null removes it.
        for key, value in test["in"].items() if isinstance(test["in"], dict) else test["in"]:
            trie = Trie(nodes.get, PREFIX)
            place = keccak256(data(key)) if secure else data(key)
            root = trie.update([(place, None if value is None else data(value))])
            applied(nodes, trie)
        assert "0x" + root.hex() == test["root"], title
