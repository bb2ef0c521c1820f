"""The store on LMDB: against a list of dicts, as it grows, opened again, in other processes, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import settings
from vmloom.errors import StateError
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom.store import EMPTY, MemoryStore, Store
from vmloom_state_lmdb import LmdbState, LmdbStore, store

from ..stores import StoreComparison


class Comparison(StoreComparison):
    def make(self, history: int) -> Store:
        self.folder = tempfile.TemporaryDirectory()
        return LmdbStore(self.folder.name, history=history, sync=False)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class CrampedComparison(Comparison):
    """With next to no room for what is unpacked of the history, which is then read where it lies."""

    def make(self, history: int) -> Store:
        store.KEPT_UNDO_BYTES = 100
        return super().make(history)

    def teardown(self) -> None:
        super().teardown()
        store.KEPT_UNDO_BYTES = KEPT_UNDO_BYTES


KEPT_UNDO_BYTES = store.KEPT_UNDO_BYTES
TestWithoutRoom = CrampedComparison.TestCase
TestWithoutRoom.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAgainstModel = Comparison.TestCase
TestAgainstModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def block(number: int) -> dict[bytes, bytes]:
    """What a made-up block commits: its number everywhere, in new keys and in old ones."""
    value = b"%d," % number * 50
    return {b"new%d" % number: value, **{b"old%d" % key: value for key in range(20)}}


def content(version: int) -> list[tuple[bytes, bytes]]:
    """What is there after the blocks up to `version`."""
    whole: dict[bytes, bytes] = {}
    for number in range(version + 1):
        whole.update(block(number))
    return sorted(whole.items())


def test_what_was_committed_is_there_when_opened_again(folder: Path) -> None:
    first = LmdbStore(folder, history=3)
    for number in range(10):
        first.commit(block(number))
    first.close()
    second = LmdbStore(folder, history=3)
    assert (second.version, second.oldest) == (9, 6)
    assert list(second.scan(b"")) == content(9)
    for version in range(6, 10):
        with second.at(version) as view:
            assert list(view.scan(b"")) == content(version)
    second.rollback(7)
    assert second.commit(block(8)) == 8
    second.close()


def test_another_history_counts_from_the_next_commit(folder: Path) -> None:
    wide = LmdbStore(folder, history=5)
    for number in range(10):
        wide.commit(block(number))
    wide.close()
    narrow = LmdbStore(folder, history=1)
    assert narrow.oldest == 4
    narrow.commit(block(10))
    assert (narrow.oldest, list(narrow.scan(b""))) == (9, content(10))
    narrow.close()


# The map


def test_map_grows_while_views_are_open(folder: Path) -> None:
    """Far beyond its first size; views of kept versions still show them, in the midst of a scan, too."""
    grown = LmdbStore(folder, map_size=1 << 17, history=1000, sync=False)
    grown.commit(block(0))
    with grown.at(0) as view:
        scan = view.scan(b"")
        found = [next(scan)]
        for number in range(1, 80):
            grown.commit({**block(number), b"much%d" % number: os.urandom(20_000)})
        assert grown.at(0).get(b"old3") == view.get(b"old3") == block(0)[b"old3"]
        assert found + list(scan) == list(view.scan(b"")) == content(0)
    assert (folder / "data.mdb").stat().st_size > 1 << 20
    grown.close()


def test_view_of_a_version_that_is_gone_says_so_when_the_map_grows(folder: Path) -> None:
    grown = LmdbStore(folder, map_size=1 << 17, history=2, sync=False)
    grown.commit(block(0))
    with grown.at(0) as view:
        for number in range(1, 80):
            grown.commit({b"much%d" % number: os.urandom(20_000)})
        with pytest.raises(StateError, match="version 0 is gone"):
            view.get(b"old3")
    grown.close()


def test_view_of_a_commit_that_was_replaced_says_so_when_the_map_grows(folder: Path) -> None:
    grown = LmdbStore(folder, map_size=1 << 17, history=100, sync=False)
    for number in range(3):
        grown.commit(block(number))
    with grown.at(2) as gone, grown.at(1) as stays:
        grown.rollback(1)
        for number in range(2, 80):
            grown.commit({b"much%d" % number: os.urandom(20_000)})
        with pytest.raises(StateError, match="version 2 is gone"):
            gone.get(b"old3")
        assert list(stays.scan(b"")) == content(1)
    grown.close()


def test_more_than_fits_the_map_can_be_filled_in(folder: Path) -> None:
    filled = LmdbStore(folder, map_size=1 << 17, sync=False)
    items = [(b"%08d" % number, b"v" * 100) for number in range(30_000)]
    assert filled.fill(iter(items)) == 0
    assert (filled.version, filled.oldest, list(filled.scan(b""))) == (0, 0, items)
    filled.close()


@pytest.mark.parametrize("is_killed", [False, True])
def test_interrupted_filling_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, is_killed: bool) -> None:
    monkeypatch.setattr(store, "FILLED_AT_ONCE", 10)
    if is_killed:  # nobody is there any more to clean up
        monkeypatch.setattr(LmdbStore, "_write", _writing_only_puts(LmdbStore._write))

    def items() -> Iterator[tuple[bytes, bytes]]:
        for number in range(55):
            yield b"%08d" % number, b"v"
        raise RuntimeError("the source ends here")

    first = LmdbStore(folder)
    with pytest.raises(RuntimeError, match="ends here"):
        first.fill(items())
    first.close()
    monkeypatch.undo()
    second = LmdbStore(folder)
    assert (second.version, list(second.scan(b""))) == (EMPTY, [])
    second.close()


def _writing_only_puts(write):  # type: ignore[no-untyped-def]
    def writing(self, change):  # type: ignore[no-untyped-def]
        return write(self, change) if "_put" in repr(change) else None

    return writing


# Formats and files


def change_format(folder: Path, name: bytes | None) -> None:
    environment = lmdb.open(str(folder), max_dbs=3)
    with environment.begin(write=True) as txn:
        meta = environment.open_db(b"meta", txn)
        if name is None:
            txn.delete(b"format", db=meta)
        else:
            txn.put(b"format", name, db=meta)
    environment.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_another_format_is_named_and_not_touched(folder: Path, read_only: bool) -> None:
    LmdbStore(folder).close()
    change_format(folder, b"vmloom-state-lmdb 99")
    before = (folder / "data.mdb").read_bytes()
    with pytest.raises(StateError, match="the format 'vmloom-state-lmdb 99', this package reads 'vmloom-state-lmdb 1'"):
        LmdbStore(folder, read_only=read_only)
    assert (folder / "data.mdb").read_bytes() == before


def test_database_of_somebody_else_is_refused(folder: Path) -> None:
    folder.mkdir()
    environment = lmdb.open(str(folder), max_dbs=3)
    for name in (b"accounts", b"blocks"):
        environment.open_db(name)
    environment.close()
    with pytest.raises(StateError, match="has no format at all"):
        LmdbStore(folder)
    with pytest.raises(StateError, match="not a state store"):
        LmdbStore(folder, read_only=True)


def test_file_that_is_no_database_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises(StateError, match="cannot be opened"):
        LmdbStore(folder)
    assert not list(folder.glob("*.tmp"))


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StateError, match="cannot be written"):
        LmdbStore(tmp_path / "file" / "state")
    with pytest.raises(StateError, match="no state store to read"):
        LmdbStore(tmp_path / "absent", read_only=True)


def test_second_writer_is_refused_until_the_first_is_done(folder: Path) -> None:
    first = LmdbStore(folder)
    with pytest.raises(StateError, match="another process writes this store"):
        LmdbStore(folder)
    first.close()
    LmdbStore(folder).close()


def test_backup_is_a_store_of_the_same_versions(folder: Path, tmp_path: Path) -> None:
    original = LmdbStore(folder, history=4)
    for number in range(8):
        original.commit(block(number))
    original.backup(tmp_path / "copy")
    original.commit(block(8))
    with pytest.raises(StateError, match="is not empty"):
        original.backup(tmp_path / "copy")
    original.close()
    copied = LmdbStore(tmp_path / "copy", history=4)
    assert (copied.version, copied.oldest, list(copied.scan(b""))) == (7, 3, content(7))
    copied.close()


# Readers


READER = """
import sys
from vmloom_state_lmdb import LmdbStore
store = LmdbStore(sys.argv[1], read_only=True)
view = store.at(store.version)
for line in sys.stdin:
    print(store.version, store.get(b"old3")[:4], view.version, view.get(b"old3")[:4], flush=True)
try:
    store.commit({b"key": b"value"})
except Exception as error:
    print(error, flush=True)
"""


def test_reader_in_another_process_follows_and_never_writes(folder: Path) -> None:
    """It sees each commit without being told, across a growth of the map, while its view stays as it was."""
    writer = LmdbStore(folder, map_size=1 << 17, history=200, sync=False)
    writer.commit(block(0))
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for number in (0, 1, 70):
            for missing in range(writer.version + 1, number + 1):
                writer.commit({**block(missing), b"much%d" % missing: os.urandom(20_000)})
            print("look", file=reader.stdin, flush=True)
            assert reader.stdout.readline() == f"{number} {(b'%d,' % number * 50)[:4]} 0 b'0,0,'\n"
        reader.stdin.close()
        assert "opened read-only" in reader.stdout.readline()
    writer.close()


def test_views_in_other_threads_see_one_version_whole(folder: Path) -> None:
    shared = LmdbStore(folder, map_size=1 << 17, history=20, sync=False)
    shared.commit({b"a": b"0", b"b": b"0"})
    failures: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                with shared.at(shared.version) as view:
                    seen = {view.get(b"a"), view.get(b"b"), *(value for _, value in view.scan(b""))}
            except StateError:  # pruned meanwhile
                continue
            except Exception as error:
                failures.append(error)
                return
            if seen - {b"x" * 3000} != {b"%d" % view.version}:
                failures.append((view.version, seen))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 200):
        shared.commit({b"a": b"%d" % number, b"b": b"%d" % number, b"c%d" % number: b"x" * 3000})
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    shared.close()


# Configuration


def test_section_of_the_configuration_makes_the_state(folder: Path) -> None:
    settings = Settings({"state": {"lmdb": {"path": str(folder), "history": 2, "map_size": 1, "sync": False}}})
    state = VmFactory(settings).create_state("lmdb")
    assert isinstance(state, LmdbState)
    state.set_balance(bytes(20), 5)
    state.commit()
    for balance in (6, 7, 8):
        state.set_balance(bytes(20), balance)
        state.commit()
    assert (state.store.version, state.store.oldest) == (3, 1)
    state.close()
    reader = VmFactory(settings.overridden({"state": {"lmdb": {"read_only": True}}})).create_state("lmdb")
    assert isinstance(reader, LmdbState)
    assert reader.get_balance(bytes(20)) == 8
    reader.set_balance(bytes(20), 9)
    with pytest.raises(StateError, match="read-only"):
        reader.commit()
    reader.close()


def test_memory_and_file_pack_alike(folder: Path) -> None:
    """A commit that does not change a value leaves both with the same versions and contents."""
    with MemoryStore(history=2) as memory, LmdbStore(folder, history=2) as durable:
        for changes in ({b"key": b"1"}, {b"key": b"1"}, {}, {b"absent": None}):
            assert memory.commit(changes) == durable.commit(changes)
        assert list(memory.scan(b"")) == list(durable.scan(b"")) == [(b"key", b"1")]


def test_program_of_the_readme_runs() -> None:
    readme = Path(__file__).parents[2] / "plugins" / "state-lmdb" / "README.md"
    (program,) = re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    exec(compile(program, str(readme), "exec"), {})
