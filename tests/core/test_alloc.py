"""Alloc files: what is written is read back, and what cannot be read is named with file, account and key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom import MemoryState
from vmloom.alloc import dump_alloc, load_alloc, parse_alloc, save_alloc
from vmloom.errors import StateError

A = "0x" + "aa" * 20
WORDS = st.integers(0, 2**256 - 1)
ACCOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "balance": WORDS,
        "nonce": st.integers(0, 2**64 - 1).map(hex),
        "code": st.binary(max_size=40).map(lambda data: "0x" + data.hex()),
        "vm": st.sampled_from(["", "evm", "calc"]),
        "storage": st.dictionaries(WORDS.map(hex), WORDS.map(str), max_size=4),
        "records": st.dictionaries(st.binary(max_size=8).map(bytes.hex), st.binary(max_size=8).map(bytes.hex)),
    },
)
ALLOCS = st.dictionaries(st.binary(min_size=20, max_size=20).map(bytes.hex), ACCOUNTS, max_size=4)


@given(ALLOCS)
def test_what_is_written_is_read_back(alloc: dict[str, Any]) -> None:
    state = parse_alloc(alloc)
    dumped = dump_alloc(state)
    assert dump_alloc(parse_alloc(json.loads(json.dumps(dumped)))) == dumped
    for text, fields in alloc.items():
        address = bytes.fromhex(text)
        assert state.get_balance(address) == fields.get("balance", 0)
        assert state.get_code(address).hex() == fields.get("code", "0x")[2:]
        for slot, word in fields.get("storage", {}).items():
            assert state.get_storage(address, int(slot, 16)) == int(word)
            assert state.get_original_storage(address, int(slot, 16)) == int(word)
        for key, value in fields.get("records", {}).items():
            assert state.get_record(address, bytes.fromhex(key)) == bytes.fromhex(value)


def test_a_read_state_has_nothing_to_undo() -> None:
    state = parse_alloc({A: {"balance": 1, "storage": {"0x1": 2}}})
    assert state.snapshot() == 0
    assert list(state.changes_since(0)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be an object of accounts by address, got a list"),
        ("{", "line 1, column 2: not JSON: "),
        ('{"0x12": {}}', "account 0x12: address: must have 20 bytes (40 hex digits), got 2 digits"),
        ('{"zz": {}}', "account zz: address: character 1 is 'z', not a hex digit"),
        ('{"%s": 3}', f"account {A}: must be an object, got a number"),
        ('{"%s": {"balence": 3}}', f"account {A}: balence: unknown key (did you mean `balance`?)"),
        ('{"%s": {"balance": -1}}', f"account {A}: balance: must not be negative, got -1"),
        ('{"%s": {"balance": 1.5}}', f"account {A}: balance: must be a whole number, got 1.5"),
        ('{"%s": {"balance": null}}', f"account {A}: balance: must be a whole number, got None"),
        ('{"%s": {"balance": true}}', f"account {A}: balance: must be a whole number, got True"),
        ('{"%s": {"nonce": "0x10000000000000000"}}', f"account {A}: nonce: does not fit in 64 bits"),
        ('{"%s": {"code": "0x123"}}', f"account {A}: code: 3 hex digits, an odd number"),
        ('{"%s": {"code": 5}}', f"account {A}: code: must be text, got a number"),
        ('{"%s": {"vm": []}}', f"account {A}: vm: must be text, got a list"),
        ('{"%s": {"storage": []}}', f"account {A}: storage: must be an object, got a list"),
        ('{"%s": {"storage": {"x": 1}}}', f"account {A}: storage slot: must be a decimal number"),
        ('{"%s": {"storage": {"0x1": "0xzz"}}}', f"account {A}: storage 0x1: character 3 is 'z'"),
        ('{"%s": {"storage": {"0x1": 1, "1": 2}}}', f"account {A}: storage 1: stands twice, in another spelling"),
        ('{"%s": {"records": {"0x1": "0x"}}}', f"account {A}: record key: 1 hex digits"),
        ('{"%s": {"records": {"0x01": 3}}}', f"account {A}: records 0x01: must be hex text, got a number"),
        ('{"%s": {"records": {"01": "", "0x01": ""}}}', f"account {A}: records 0x01: stands twice"),
        ('{"%s": {}, "%s": {}}', "key '" + A + "' stands twice in one object"),
        ('{"%s": {"balance": 1, "balance": 2}}', "key 'balance' stands twice in one object"),
        ('{"%s": {}, "0xAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": {}}', "account 0xAAaaaaaaaa"),
        ('{"%s": {"balance": ' + "9" * 5000 + "}}", "Exceeds the limit"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "alloc.json"
    path.write_text(text.replace("%s", A))
    with pytest.raises(StateError) as caught:
        load_alloc(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no such file"):
        load_alloc(tmp_path / "nope.json")
    with pytest.raises(StateError, match="Is a directory"):
        load_alloc(tmp_path)
    (tmp_path / "bad.json").write_bytes(b'{"\xff')
    with pytest.raises(StateError, match="byte 2: not UTF-8"):
        load_alloc(tmp_path / "bad.json")


def test_saving_replaces_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "alloc.json"
    state = MemoryState()
    state.set_balance(b"\x01" * 20, 7)
    save_alloc(path, state)
    assert dump_alloc(load_alloc(path)) == {"0x" + "01" * 20: {"balance": "0x7", "nonce": "0x0"}}
    state.set_balance(b"\x01" * 20, 8)
    save_alloc(path, state)
    assert load_alloc(path).get_balance(b"\x01" * 20) == 8
    assert os.listdir(tmp_path) == ["alloc.json"]  # noqa: PTH208 - the names alone are what counts
    with pytest.raises(StateError, match="No such file or directory"):
        save_alloc(tmp_path / "no" / "folder.json", state)
