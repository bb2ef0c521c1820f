"""Trie vectors: the root that `commitment` gives for keys and values, plain and secure (keys hashed first)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trie.hexary import HexaryTrie
from trie.iter import NodeIterator
from vmloom.hashing import keccak256
from vmloom_evm.commitment import EMPTY_TRIE_ROOT, trie_root

FILES = ["trieanyorder", "trieanyorder_secureTrie", "trietest", "trietest_secureTrie", "hex_encoded_securetrie_test"]


def data(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


def load(fixtures_folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((fixtures_folder / "trie" / f"{name}.json").read_text())
    assert found
    return found


@pytest.mark.parametrize("name", FILES)
def test_root_is_that_of_the_vector(fixtures_folder: Path, name: str) -> None:
    secure = "secure" in name.lower()
    for title, test in load(fixtures_folder, name).items():
        leaves: dict[bytes, bytes] = {}
        # A list tells a history: a later value replaces an earlier one, null removes it.
        for key, value in test["in"].items() if isinstance(test["in"], dict) else test["in"]:
            place = keccak256(data(key)) if secure else data(key)
            if value is None:
                leaves.pop(place, None)
            else:
                leaves[place] = data(value)
        assert "0x" + trie_root(leaves).hex() == test["root"], title
        backwards = dict(reversed(list(leaves.items())))
        assert "0x" + trie_root(backwards).hex() == test["root"], f"{title}, inserted backwards"


def test_neighbours_of_a_key_are_those_of_the_vector(fixtures_folder: Path) -> None:
    """vmloom has no API for this: it checks the trie library in the way that a proof of absence would use it."""
    for test in load(fixtures_folder, "trietestnextprev").values():
        trie = HexaryTrie({})
        for key in test["in"]:
            trie[data(key)] = b"x"
        keys = sorted(data(key) for key in test["in"])
        for key, previous, following in test["tests"]:
            assert (NodeIterator(trie).next(data(key)) or b"") == data(following)
            assert max((one for one in keys if one < data(key)), default=b"") == data(previous)


def test_no_file_is_left_out(fixtures_folder: Path) -> None:
    found = {path.stem for path in (fixtures_folder / "trie").glob("*.json")}
    assert found == {*FILES, "trietestnextprev"}


def test_root_of_nothing_is_the_hash_of_the_empty_string_in_rlp() -> None:
    assert trie_root({}) == EMPTY_TRIE_ROOT == keccak256(bytes([0x80]))
