"""The object cache: what is put comes back, what is not ours does not, and nothing that a disk does is an error."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from vmloom import object_cache as module
from vmloom.object_cache import ObjectCache, default_folder

KEY, OTHER = "a" * 64, "b" * 64
CONTENT = bytes(range(256)) * 40

needs_posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes and owners of files are POSIX's")
needs_mortal = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "objects"


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]
    structlog.reset_defaults()


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / f"{key}.object"


# What is put comes back


def test_object_comes_back_in_another_process_of_the_user(folder: Path) -> None:
    assert ObjectCache(folder).put(KEY, CONTENT, "the EVM for osaka")
    program = f"""
        from pathlib import Path
        from vmloom.object_cache import ObjectCache
        assert ObjectCache(Path({str(folder)!r})).get({KEY!r}) == bytes(range(256)) * 40
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_unknown_key_is_a_miss_and_makes_nothing(folder: Path) -> None:
    assert ObjectCache(folder).get(KEY) is None
    assert not folder.parent.exists()


def test_keys_are_digests_so_that_they_cannot_name_other_files(folder: Path) -> None:
    for key in ("", "a" * 63, "A" * 64, "../" + "a" * 61):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            ObjectCache(folder).get(key)


def test_empty_object_and_long_label(folder: Path) -> None:
    cache = ObjectCache(folder)
    assert cache.put(KEY, b"", "ü" * 5_000)
    assert cache.get(KEY) == b""
    assert cache.entries()[0].label.startswith("üüü")


@needs_posix
def test_folder_and_files_are_the_users_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        ObjectCache(folder).put(KEY, CONTENT)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


# What is not ours does not


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 1


TAMPERINGS: dict[str, Callable[[bytearray], None]] = {
    "magic": lambda data: flip(data, 0),
    "version": lambda data: flip(data, 14),
    "key": lambda data: flip(data, 30),
    "code": lambda data: flip(data, 100),
    "label": lambda data: flip(data, module._HEAD.size),
    "first byte": lambda data: flip(data, module._HEAD.size + 4),
    "last byte": lambda data: flip(data, len(data) - 1),
    "cut": lambda data: data.__delitem__(slice(len(data) - 1, None)),
    "head cut": lambda data: data.__delitem__(slice(20, None)),
    "all gone": lambda data: data.clear(),
    "longer": lambda data: data.append(0),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_altered_file_is_rejected_deleted_and_said(folder: Path, tampering: str, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT, "text")
    data = bytearray(file_of(folder).read_bytes())
    TAMPERINGS[tampering](data)
    file_of(folder).write_bytes(data)
    assert cache.get(KEY) is None
    assert not file_of(folder).exists()
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("warning", "object cache: file rejected and deleted")
    ]
    assert cache.rejected == 1
    assert cache.put(KEY, CONTENT)
    assert cache.get(KEY) == CONTENT
    assert cache.rejected == 1


def test_every_single_bit_counts(folder: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, b"x", "y")
    original = file_of(folder).read_bytes()
    for bit in range(8 * len(original)):
        data = bytearray(original)
        data[bit // 8] ^= 1 << bit % 8
        file_of(folder).write_bytes(data)
        assert cache.get(KEY) is None, f"bit {bit}"


def test_object_under_another_key_is_rejected(folder: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT)
    file_of(folder).rename(file_of(folder, OTHER))
    assert cache.get(OTHER) is None
    assert len(logs) == 1


def test_object_of_another_user_is_rejected(folder: Path, tmp_path: Path, logs: list[dict[str, object]]) -> None:
    """Whoever does not know the secret cannot make a file that is taken."""
    ObjectCache(tmp_path / "theirs").put(KEY, CONTENT)
    ObjectCache(folder).put(OTHER, CONTENT)
    file_of(folder).write_bytes(file_of(tmp_path / "theirs").read_bytes())
    assert ObjectCache(folder).get(KEY) is None
    assert len(logs) == 1


def test_objects_are_worth_nothing_without_their_secret(folder: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT)
    (folder / "secret").unlink()
    assert cache.get(KEY) is None  # and is left alone: perhaps the secret is only not readable
    cache.put(OTHER, CONTENT)
    assert cache.get(KEY) is None
    assert not file_of(folder).exists()


@needs_posix
def test_link_in_place_of_an_object_is_rejected(folder: Path, tmp_path: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT)
    elsewhere = file_of(folder).rename(tmp_path / "elsewhere")
    file_of(folder).symlink_to(elsewhere)
    assert cache.get(KEY) is None
    assert elsewhere.exists()
    assert not file_of(folder).is_symlink()


@needs_posix
def test_pipe_in_place_of_an_object_does_not_hang(folder: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(OTHER, CONTENT)
    os.mkfifo(file_of(folder))
    assert cache.get(KEY) is None


@needs_posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_folder_that_others_may_write_to_is_not_used(folder: Path, mode: int, logs: list[dict[str, object]]) -> None:
    ObjectCache(folder).put(KEY, CONTENT)
    folder.chmod(mode)
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert cache.put(OTHER, CONTENT) is False
    assert cache.entries() == []
    assert "others may write" in cache.problem
    assert ObjectCache(folder).get(KEY) is None
    assert [log["event"] for log in logs] == ["object cache not used"]  # once in a process
    assert file_of(folder).exists()


@needs_posix
def test_link_in_place_of_the_folder_is_not_used(folder: Path, tmp_path: Path, logs: list[dict[str, object]]) -> None:
    ObjectCache(tmp_path / "elsewhere").put(KEY, CONTENT)
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert cache.clear() == 0
    assert "symbolic link" in cache.problem


@needs_posix
def test_folder_of_another_user_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, logs: list[dict[str, object]]
) -> None:
    ObjectCache(folder).put(KEY, CONTENT)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert "another user" in cache.problem


@needs_posix
def test_secret_that_others_may_read_is_not_used(folder: Path, logs: list[dict[str, object]]) -> None:
    ObjectCache(folder).put(KEY, CONTENT)
    (folder / "secret").chmod(0o644)
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert "others may read" in cache.problem


def test_secret_of_another_length_is_replaced(folder: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT)
    (folder / "secret").write_bytes(b"")
    assert cache.get(KEY) is None
    assert cache.put(KEY, CONTENT)
    assert cache.get(KEY) == CONTENT
    assert len((folder / "secret").read_bytes()) == 32


def test_object_that_its_user_finds_useless_is_deleted_and_said(folder: Path, logs: list[dict[str, object]]) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT)
    cache.reject(KEY, "it cannot be loaded")
    assert not file_of(folder).exists()
    assert [(log["path"], log["reason"]) for log in logs] == [(str(file_of(folder)), "it cannot be loaded")]
    assert cache.rejected == 1


# Nothing that a disk does is an error


def test_file_in_place_of_the_folder(folder: Path, logs: list[dict[str, object]]) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    cache = ObjectCache(folder)
    assert cache.get(KEY) is None
    assert cache.put(KEY, CONTENT) is False


def test_folder_that_cannot_be_made(tmp_path: Path, logs: list[dict[str, object]]) -> None:
    structlog.configure()
    (tmp_path / "file").write_text("")
    cache = ObjectCache(tmp_path / "file" / "objects")
    assert cache.get(KEY) is None
    assert cache.put(KEY, CONTENT) is False
    assert ObjectCache(cache.folder).put(KEY, CONTENT) is False
    assert cache.entries() == []
    with cache.writing(KEY):
        pass
    assert [(log["event"], log["reason"]) for log in logs] == [  # once in a process
        ("object cache cannot be written to", "File exists")
    ]


@needs_mortal
def test_folder_that_cannot_be_written_to_is_read(folder: Path) -> None:
    ObjectCache(folder).put(KEY, CONTENT)
    folder.chmod(0o500)
    try:
        cache = ObjectCache(folder)
        assert cache.get(KEY) == CONTENT
        assert cache.put(OTHER, CONTENT) is False
    finally:
        folder.chmod(0o700)


def test_full_disk_keeps_nothing_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ObjectCache(folder)
    cache.put(OTHER, CONTENT)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert cache.put(KEY, CONTENT) is False
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{OTHER}.object", "secret"])


def test_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch, logs: list[dict[str, object]]) -> None:
    def homeless(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VMLOOM_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    cache = ObjectCache()
    assert cache.get(KEY) is None
    assert cache.put(KEY, CONTENT) is False
    assert cache.problem == "Could not determine home directory."


# Where, and how much


def test_variables_move_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VMLOOM_CACHE_DIR", str(tmp_path))
    assert default_folder() == tmp_path / "objects"
    monkeypatch.delenv("VMLOOM_CACHE_DIR")
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert default_folder() == tmp_path / "vmloom" / "objects"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert default_folder() == Path.home() / ".cache" / "vmloom" / "objects"


def test_what_was_used_longest_ago_goes_first(folder: Path) -> None:
    keys = [letter * 64 for letter in "abcdef"]
    cache = ObjectCache(folder, limit_bytes=4 * 1_200)
    for age, key in enumerate(keys[:4]):
        cache.put(key, bytes(1_000))
        os.utime(file_of(folder, key), (1_000 + age, 1_000 + age))
    assert cache.get(keys[0]) is not None  # used now, so that the second is the oldest
    cache.put(keys[4], bytes(1_000))
    cache.put(keys[5], bytes(1_000))
    assert {entry.key for entry in cache.entries()} == {keys[0], keys[3], keys[4], keys[5]}


def test_object_above_the_limit_is_kept_alone(folder: Path) -> None:
    cache = ObjectCache(folder, limit_bytes=2_000)
    cache.put(OTHER, bytes(100))
    assert cache.put(KEY, bytes(10_000))
    assert [entry.key for entry in cache.entries()] == [KEY]


def test_only_now_and_then_all_files_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may hold many thousand objects, and to look at all of them for each new one would take longer than
    making it."""
    looks = []
    original = ObjectCache._files

    def counted(self: ObjectCache, suffix: str) -> object:
        looks.append(suffix)
        return original(self, suffix)

    monkeypatch.setattr(ObjectCache, "_files", counted)
    each, fit, made = 1_124, 800, 1_600
    cache = ObjectCache(folder, limit_bytes=fit * each)
    for number in range(made):
        cache.put(format(number, "064x"), bytes(1_000))
        if number > fit and number % 100 == 0:
            assert fit * 14 // 16 <= len(list(folder.glob("*.object"))) <= fit
    assert looks.count(".object") < made / 8


def test_each_kind_has_its_own_limit(folder: Path) -> None:
    objects, modules = ObjectCache(folder, 2_500), ObjectCache(folder, 2_500, kind="module")
    objects.put(KEY, bytes(2_000), "an object")
    for letter in "cdef":
        modules.put(letter * 64, bytes(1_000), "a module")
    modules.prune()
    assert objects.get(KEY) == bytes(2_000)
    assert [path.name[0] for path in sorted(folder.glob("*.module"))] == ["e", "f"]


def test_kinds_are_apart_but_shown_and_deleted_together(folder: Path) -> None:
    objects, modules = ObjectCache(folder), ObjectCache(folder, kind="module")
    objects.put(KEY, CONTENT, "an object")
    modules.put(KEY, b"", "a module")
    assert (objects.get(KEY), modules.get(KEY)) == (CONTENT, b"")
    assert sorted(entry.label for entry in objects.entries()) == ["a module", "an object"]
    with objects.writing(OTHER):
        assert len(modules.entries()) == 2
    assert modules.clear() == 2
    assert objects.get(KEY) is None


@pytest.mark.parametrize("kind", ["", "lock", "tmp", "Object", "a.b", "a/b", "ü"])
def test_kind_is_part_of_a_file_name(folder: Path, kind: str) -> None:
    with pytest.raises(ValueError, match="lowercase letters"):
        ObjectCache(folder, kind=kind)


def test_leftovers_of_processes_that_died_go_with_time(folder: Path) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT)
    old, new = folder / "old.tmp", folder / "new.tmp"
    for path in (old, new):
        path.write_bytes(b"part")
    os.utime(old, (1_000, 1_000))
    cache.prune()
    assert not old.exists()
    assert new.exists()
    assert cache.clear() == 1
    assert [path.name for path in folder.iterdir()] == ["secret"]


def test_entries_show_what_there_is(folder: Path) -> None:
    cache = ObjectCache(folder)
    cache.put(KEY, CONTENT, "first")
    os.utime(file_of(folder), (1_000, 1_000))
    cache.put(OTHER, b"", "red \x1b[31m text")
    file_of(folder, "c" * 64).write_bytes(b"none of ours")
    os.utime(file_of(folder, "c" * 64), (10, 10))
    assert [(entry.key[0], entry.label) for entry in cache.entries()] == [
        ("b", "red ?[31m text"),
        ("a", "first"),
        ("c", "?"),
    ]
    assert cache.entries()[1].used == 1_000
    assert cache.entries()[1].size == file_of(folder).stat().st_size


# Many at once

HAMMER = """
import sys
from pathlib import Path
from vmloom.object_cache import ObjectCache

cache, me = ObjectCache(Path(sys.argv[1]), limit_bytes=20_000), int(sys.argv[2])
for turn in range(60):
    key = format((turn * 7 + me) % 5, "x") * 64
    found = cache.get(key)
    assert found is None or found == key.encode() * 100, "a mixture was read"
    assert cache.put(key, key.encode() * 100) or cache.problem == ""
    if turn % 20 == me:
        cache.clear()
assert not cache.problem, cache.problem
"""


def test_processes_write_read_and_delete_side_by_side(folder: Path) -> None:
    command = [sys.executable, "-c", HAMMER, str(folder)]
    running = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for number in range(4)
    ]
    for process in running:
        output, _ = process.communicate(timeout=120)
        assert (process.returncode, output) == (0, ""), "nothing was rejected, and all had the same secret"


def test_one_at_a_time_makes_an_object(folder: Path) -> None:
    """Locks are of open files, so threads stand for processes here."""
    pytest.importorskip("fcntl")
    cache, inside, most = ObjectCache(folder), 0, 0
    guard = threading.Lock()
    made = []

    def make() -> None:
        nonlocal inside, most
        with cache.writing(KEY):
            with guard:
                inside += 1
                most = max(most, inside)
            if cache.get(KEY) is None:
                made.append(1)
                cache.put(KEY, CONTENT)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_process_that_does_not_let_go_holds_nobody_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    cache = ObjectCache(folder)
    entered = []
    with cache.writing(KEY), cache.writing(KEY):
        entered.append(1)
    assert entered
