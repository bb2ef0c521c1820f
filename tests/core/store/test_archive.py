"""Files of states: what is exported comes back in any store, and no damaged or forged file leaves anything."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from struct import Struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom import Account
from vmloom.errors import InputError, StateError
from vmloom.hashing import keccak256
from vmloom.store import CHAIN, EMPTY, TRIE, MemoryStore, StoredState, export_state, import_state

ADDRESS = bytes([7]) * 20
SIZES = Struct(">BI")
CODE = b"code"


def filled() -> MemoryStore:
    """A store with something in each namespace, at version 1."""
    store = MemoryStore()
    state = StoredState(store)
    state.set_account(ADDRESS, Account(1, 10**18, b"code", "evm"))
    state.set_account(bytes([8]) * 20, Account(0, 5))
    for slot in range(5):
        state.set_storage(ADDRESS, slot, 2**256 - 1 - slot)
    state.set_record(ADDRESS, b"name", b"value")
    state.set_record(ADDRESS, b"long" * 100, b"other value")
    state.commit_with({TRIE + b"node": b"\xc0", CHAIN + b"block": b"1"})
    state.set_balance(ADDRESS, 7)
    state.commit()
    return store


@pytest.mark.parametrize("name", ["state", "state.gz"])
def test_what_is_exported_comes_back(tmp_path: Path, name: str) -> None:
    store, path = filled(), tmp_path / name
    written = export_state(store, path)
    assert (written.accounts, written.codes, written.slots, written.records) == (2, 1, 5, 2)
    assert (written.trie_nodes, written.chain, written.entries) == (1, 1, 12)
    copy = MemoryStore()
    assert import_state(copy, path) == written
    assert (copy.version, copy.oldest, list(copy.scan(b""))) == (0, 0, list(store.scan(b"")))
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert [file.name for file in tmp_path.iterdir()] == [name]
    again = tmp_path / f"again-{name}"
    export_state(copy, again)
    assert again.read_bytes() == path.read_bytes()


def test_an_older_version_is_exported_as_it_was(tmp_path: Path) -> None:
    store = filled()
    with store.at(0) as view:
        export_state(view, tmp_path / "state")
    copy = MemoryStore()
    import_state(copy, tmp_path / "state")
    assert StoredState(copy).get_balance(ADDRESS) == 10**18


def test_store_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    store = filled()
    export_state(store, tmp_path / "state")
    before = list(store.scan(b""))
    with pytest.raises(StateError, match="only an empty"):
        import_state(store, tmp_path / "state")
    assert (store.version, list(store.scan(b""))) == (1, before)


@settings(max_examples=200)
@given(st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("changed")
    export_state(filled(), folder / "state")
    whole = (folder / "state").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["changed", "cut", "longer"]))
    if kind == "changed":
        damaged = bytearray(whole)
        damaged[place] ^= data.draw(st.integers(1, 255))
    else:
        damaged = bytearray(whole[:place] if kind == "cut" else whole + b"x")
    (folder / "state").write_bytes(damaged)
    store = MemoryStore()
    with pytest.raises(InputError):
        import_state(store, folder / "state")
    assert (store.version, list(store.scan(b""))) == (EMPTY, [])


@settings(max_examples=60)
@given(st.data())
def test_damaged_compression_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A change that leaves what is compressed as it was, such as one of the header, is none."""
    folder = tmp_path_factory.mktemp("changed")
    export_state(filled(), folder / "state.gz")
    whole = bytearray((folder / "state.gz").read_bytes())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        whole[data.draw(st.integers(10, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "state.gz").write_bytes(whole)
    store = MemoryStore()
    with pytest.raises(InputError):
        import_state(store, folder / "state.gz")
    assert store.version == EMPTY


def forged(*entries: tuple[bytes, bytes], count: int | None = None, header: bytes = b"vmloom-state 1\n") -> bytes:
    """A file with these entries whose digest is right."""
    body = header + b"".join(SIZES.pack(len(key), len(value)) + key + value for key, value in entries)
    body += b"\0" + (len(entries) if count is None else count).to_bytes(8, "big")
    return body + hashlib.sha256(body).digest()


ACCOUNT_ENTRY = (b"a" + ADDRESS, b"\0\0\0")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not a state file"),
        (b"a text", "not a state file"),
        (forged(header=b"vmloom-state 2\n"), "a state file of format '2', this version reads '1'"),
        (forged(count=1), "1 entries announced, 0 there"),
        (forged((b"zkey", b"")), "no namespace begins with 0x7a"),
        (forged(ACCOUNT_ENTRY, ACCOUNT_ENTRY), "is not after"),
        (forged((b"t2", b""), (b"t1", b"")), "is not after"),
        (forged((b"a" + ADDRESS[1:], b"\0\0\0")), "an address has 20 bytes"),
        (forged((b"a" + ADDRESS, b"")), "an account is cut short"),
        (forged((b"a" + ADDRESS, b"\0\0\0" + b"c" * 31)), "neither with a code's hash nor without"),
        (forged((b"a" + ADDRESS, b"\0\0\1\xff")), "is not UTF-8"),
        (forged((b"a" + ADDRESS, b"\0\0\0" + keccak256(CODE))), "1 codes of accounts are missing, one is 0x"),
        (forged((b"c" + keccak256(CODE), b"another")), "the code's hash is"),
        (forged((b"s" + ADDRESS, b"\1")), "an address and a slot have 52 bytes"),
        (forged((b"s" + ADDRESS + bytes(32), b"\0\1")), "is no word"),
        (forged((b"s" + ADDRESS + bytes(32), b"")), "is no word"),
        (forged((b"s" + ADDRESS + bytes(32), b"\1" * 33)), "is no word"),
        (forged((b"r" + ADDRESS, b"")), "not a record"),
        (forged((b"r" + ADDRESS + b"\1" + bytes(32), b"\0\0\0\1kv")), "not a record"),
        (b"vmloom-state 1\n" + SIZES.pack(1, 2**32 - 1) + b"x", "a value of 4294967295 bytes"),
        (b"vmloom-state 1\n" + SIZES.pack(1, 1 << 20) + b"xshort", "cut short"),
        (forged() + b"more", "the file goes on after its end"),
    ],
)
def test_forged_files_are_refused_with_their_fault(tmp_path: Path, contents: bytes, message: str) -> None:
    for name, data in (("plain", contents), ("packed", gzip.compress(contents))):
        path = tmp_path / name
        path.write_bytes(data)
        store = MemoryStore()
        with pytest.raises(InputError, match=message) as caught:
            import_state(store, path)
        assert str(caught.value).startswith(f"{path}: offset 0x")
        assert (store.version, list(store.scan(b""))) == (EMPTY, [])


def test_files_that_cannot_be_opened_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        import_state(MemoryStore(), tmp_path / "absent")
    with pytest.raises(StateError, match="cannot be written: No such file"):
        export_state(filled(), tmp_path / "absent" / "state")
    (tmp_path / "kept").write_text("an older export")
    with pytest.raises(RuntimeError, match="the store fails"):
        export_state(Failing(), tmp_path / "kept")
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "an older export"


class Failing(MemoryStore):
    def scan(self, prefix: bytes):  # type: ignore[no-untyped-def]
        yield ACCOUNT_ENTRY
        raise RuntimeError("the store fails")
