"""The cache of modules: each is made once, memory is bounded, and nothing is loaded that was not put there."""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
import wasmtime
from click.testing import CliRunner
from structlog.testing import capture_logs
from vmloom.cli.commands import root
from vmloom.errors import CodeError, CodeTooLarge, InvalidCode
from vmloom.object_cache import ObjectCache
from vmloom_wasm import cache as module
from vmloom_wasm.cache import ENTRY_BYTES, OBJECT_KIND, CacheMetrics, ModuleCache, recipe
from vmloom_wasm.engine import Compiled, Engine, EngineSettings, HostFunctions, Linked, compile_module, serialize

RECIPE = bytes(32)
SETTINGS = EngineSettings(parallel=False)


@functools.cache
def host(settings: EngineSettings) -> HostFunctions:
    return HostFunctions(Engine(settings))


@pytest.fixture(scope="module", autouse=True)
def _freed() -> Iterator[None]:
    """At the very end of the process wasmtime can no longer free its objects."""
    yield
    host.cache_clear()
    gc.collect()


@functools.cache
def code(number: int) -> bytes:
    """A module whose `main` returns a number. All of them take the same room."""
    text = f'(module (func (export "main") (param i32 i32 i32) (result i32) (i32.const {1000 + number})))'
    return bytes(wasmtime.wat2wasm(text))


BAD = b"\0asm and then something else"


class Entry:
    """What runs: weakly referenceable, and knows what it was made of."""

    def __init__(self, linked: Linked) -> None:
        self.linked = linked

    def run(self) -> Any:
        return self.linked.instantiate().call("main", 0, 0, 0)


class Made:
    """A cache with counted, and if need be slow, functions behind it."""

    def __init__(self, max_bytes: int = 1 << 30, **options: Any) -> None:
        self.built: list[bytes] = []
        self.finished: list[bytes] = []
        self.meanwhile: Callable[[bytes], object] = bytes
        """Called by `build` with the code."""
        self.at_finish: Callable[[bytes], object] = bytes
        self.host = host(options.pop("settings", SETTINGS))
        options.setdefault("recipe", RECIPE)
        self.cache: ModuleCache[Entry] = ModuleCache(
            self.host.engine, self._build, self._finish, max_bytes=max_bytes, **options
        )

    def _build(self, code: bytes) -> Compiled:
        self.built.append(code)
        self.meanwhile(code)
        return compile_module(self.host.engine, code)

    def _finish(self, code: bytes, compiled: Compiled) -> Entry:
        self.finished.append(code)
        self.at_finish(code)
        return Entry(Linked(compiled, self.host))

    def holds(self, *numbers: int) -> list[bool]:
        """Which are in memory. Does not count as use."""
        return [code(number) in self.cache._recent or code(number) in self.cache._pinned for number in numbers]


@functools.cache
def size() -> int:
    """What each module counts."""
    made = Made()
    made.cache.get(code(0))
    return made.cache.metrics.bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def disk(folder: Path) -> ObjectCache:
    return ObjectCache(folder, kind=OBJECT_KIND)


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]
    structlog.reset_defaults()


def only_file(folder: Path) -> Path:
    (path,) = folder.glob(f"*.{OBJECT_KIND}")
    return path


# Memory


def test_module_is_built_once_and_runs() -> None:
    made = Made()
    entry = made.cache.get(code(7))
    assert entry.run() == 1007
    assert made.cache.get(code(7)) is entry
    assert made.cache.get(bytes(bytearray(code(7)))) is entry  # what counts is what the bytes are
    assert (made.built, made.finished) == ([code(7)], [code(7)])
    counts = {"misses": 1, "compiles": 1, "disk_hits": 0, "failures": 0, "rejected": 0, "evictions": 0}
    assert made.cache.metrics == CacheMetrics(entries=1, bytes=size(), pinned=0, hits=2, **counts)


def test_entry_counts_its_code_its_machine_code_and_what_is_around_it() -> None:
    machine_code = len(serialize(compile_module(host(SETTINGS).engine, code(0))))
    assert size() == len(code(0)) + machine_code + ENTRY_BYTES


def test_what_was_used_longest_ago_makes_room() -> None:
    made = Made(3 * size())
    for number in range(3):
        made.cache.get(code(number))
    made.cache.get(code(0))
    made.cache.get(code(3))
    assert made.holds(0, 1, 2, 3) == [True, False, True, True]
    made.cache.get(code(4))
    assert made.holds(0, 2, 3, 4) == [True, False, True, True]
    made.cache.get(code(1))
    assert made.built == [code(number) for number in (0, 1, 2, 3, 4, 1)]
    metrics = made.cache.metrics
    assert (metrics.entries, metrics.bytes, metrics.evictions) == (3, 3 * size(), 3)


def test_memory_never_takes_more_than_the_limit() -> None:
    made = Made(3 * size() - 1)
    for number in range(10):
        made.cache.get(code(number % 7))
        assert made.cache.metrics.bytes <= 3 * size() - 1
    assert made.cache.metrics.entries == 2


def test_newest_stays_whatever_it_takes() -> None:
    made = Made(0)
    for number in (0, 0, 1, 1):
        made.cache.get(code(number))
    assert made.built == [code(0), code(1)]
    assert made.cache.metrics.entries == 1


def test_evicted_module_is_freed_unless_it_runs() -> None:
    made = Made(0)
    held, gone = made.cache.get(code(0)), weakref.ref(made.cache.get(code(1)))
    made.cache.get(code(2))
    gc.collect()
    assert gone() is None
    assert held.run() == 1000


def test_clear_forgets_all_but_the_counts() -> None:
    made = Made()
    entry = weakref.ref(made.cache.get(code(0)))
    made.cache.pin(code(1))
    with pytest.raises(CodeError):
        made.cache.get(BAD)
    made.cache.clear()
    gc.collect()
    assert entry() is None
    metrics = made.cache.metrics
    assert (metrics.entries, metrics.bytes, metrics.pinned, metrics.compiles, metrics.evictions) == (0, 0, 0, 3, 0)
    for each in (code(0), code(1)):
        made.cache.get(each)
    with pytest.raises(CodeError):
        made.cache.get(BAD)
    assert made.cache.metrics.compiles == 6


# Pinned modules


def test_pinned_modules_are_never_evicted_and_count() -> None:
    made = Made(3 * size())
    made.cache.get(code(0))
    made.cache.pin(code(0))
    made.cache.pin(code(1))  # is made for it
    for number in range(2, 9):
        made.cache.get(code(number))
    assert made.holds(0, 1, 7, 8) == [True, True, False, True]
    assert made.cache.get(code(0)).run() == 1000
    metrics = made.cache.metrics
    assert (metrics.entries, metrics.pinned, metrics.bytes) == (3, 2, 3 * size())
    assert made.built.count(code(0)) == made.built.count(code(1)) == 1


def test_pinned_modules_may_take_more_than_the_limit() -> None:
    made = Made(0)
    for number in range(5):
        made.cache.pin(code(number))
        made.cache.pin(code(number))
    assert made.cache.metrics.pinned == 5
    assert made.holds(*range(5)) == [True] * 5


def test_unpinned_module_was_used_last_and_can_be_evicted() -> None:
    made = Made(2 * size())
    made.cache.pin(code(0))
    made.cache.get(code(1))
    made.cache.unpin(code(0))
    assert made.holds(0, 1) == [True, True]
    made.cache.get(code(2))
    assert made.holds(0, 1, 2) == [True, False, True]
    made.cache.get(code(3))
    assert made.holds(0, 2, 3) == [False, True, True]
    assert made.cache.metrics.pinned == 0


def test_unpinning_makes_room_that_pinned_modules_took() -> None:
    made = Made(size())
    for number in range(3):
        made.cache.pin(code(number))
    for number in range(3):
        made.cache.unpin(code(number))
    assert made.holds(0, 1, 2) == [False, False, True]
    assert made.cache.metrics.bytes == size()


def test_unpinning_what_is_not_pinned_does_nothing() -> None:
    made = Made()
    made.cache.get(code(0))
    for each in (code(0), code(1)):
        made.cache.unpin(each)
    assert made.cache.metrics.entries == 1


def test_module_that_may_not_run_cannot_be_pinned() -> None:
    made = Made()
    for _ in range(2):
        with pytest.raises(InvalidCode):
            made.cache.pin(BAD)
    assert made.cache.metrics.pinned == 0


# Failures


def test_failure_is_found_once_and_told_each_time() -> None:
    made = Made()
    errors: list[CodeError] = []
    for _ in range(3):
        with pytest.raises(InvalidCode) as caught:
            made.cache.get(BAD)
        errors.append(caught.value)
    assert made.built == [BAD]
    assert len({str(error) for error in errors}) == 1
    assert len({id(error) for error in errors}) == 3
    metrics = made.cache.metrics
    assert (metrics.entries, metrics.hits, metrics.misses, metrics.compiles, metrics.failures) == (0, 2, 1, 1, 1)


def test_error_comes_back_whole_and_alone() -> None:
    def refuse(code: bytes) -> None:
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise CodeTooLarge("too large", offset=16).with_fix("make it smaller") from cause

    made = Made()
    made.meanwhile = refuse
    with pytest.raises(CodeTooLarge):
        made.cache.get(code(0))
    for _ in range(2):
        with pytest.raises(CodeTooLarge) as caught:
            made.cache.get(code(0))
        error = caught.value
        assert (str(error), error.offset, error.fix) == ("offset 0x10: too large", 16, "make it smaller")
        assert error.__notes__ == ["fix: make it smaller"]
        assert error.__cause__ is None
        assert "refuse" not in {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        error.add_note("whoever catches one does not change the next")


def test_failures_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FAILURES_KEPT", 2)
    made = Made()
    codes = [BAD + bytes([number]) for number in range(3)]

    def ask(*numbers: int) -> None:
        for number in numbers:
            with pytest.raises(InvalidCode):
                made.cache.get(codes[number])

    ask(0, 1, 0, 2)
    assert made.built == [codes[0], codes[1], codes[2]]
    ask(0, 2)
    assert len(made.built) == 3
    ask(1)
    assert len(made.built) == 4
    assert len(made.cache._failures) == 2


def test_failure_does_not_keep_the_module() -> None:
    made = Made()
    with pytest.raises(InvalidCode):
        made.cache.get(BAD + bytes(100_000))
    assert made.cache.metrics.bytes == 0
    assert not any(len(digest) != 32 for digest in made.cache._failures)


def test_failure_does_not_keep_what_its_frames_hold() -> None:
    made = Made()
    held: list[weakref.ref[Entry]] = []

    def refuse(code: bytes) -> None:
        local = Entry(None)  # type: ignore[arg-type]
        held.append(weakref.ref(local))
        raise CodeError("refused")

    made.meanwhile = refuse
    for _ in range(2):
        with pytest.raises(CodeError):
            made.cache.get(code(0))
    gc.collect()
    assert [each() for each in held] == [None]


def test_long_message_is_not_kept() -> None:
    made = Made()

    def refuse(code: bytes) -> None:
        raise CodeError("x" * 100_000)

    made.meanwhile = refuse
    for _ in range(2):
        with pytest.raises(CodeError):
            made.cache.get(code(0))
    assert len(made.built) == 2
    assert not made.cache._failures


def test_failure_to_link_is_kept_too(disk: ObjectCache) -> None:
    made = Made(disk=disk)

    def refuse(code: bytes) -> None:
        raise CodeError("cannot be linked")

    made.at_finish = refuse
    for _ in range(2):
        with pytest.raises(CodeError, match="cannot be linked"):
            made.cache.get(code(0))
    assert len(made.built) == 1
    assert disk.entries() == []


def test_other_errors_are_raised_and_tried_again() -> None:
    made = Made()

    def fail(code: bytes) -> None:
        raise MemoryError

    made.meanwhile = fail
    with pytest.raises(MemoryError):
        made.cache.get(code(0))
    made.meanwhile = bytes
    assert made.cache.get(code(0)).run() == 1000
    assert not made.cache._making
    assert made.cache.metrics.failures == 0


def test_only_bytes_are_modules() -> None:
    with pytest.raises(TypeError):
        Made().cache.get(bytearray(code(0)))  # type: ignore[arg-type]


# Threads


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns or raises in threads that begin together."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> Any:
        barrier.wait()
        try:
            return work(number)
        except CodeError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def slow(_code: bytes) -> None:
    time.sleep(0.2)


def test_threads_compile_once() -> None:
    made = Made()
    made.meanwhile = slow
    entries = at_once(8, lambda _: made.cache.get(code(0)))
    assert made.built == made.finished == [code(0)]
    assert len({id(entry) for entry in entries}) == 1
    metrics = made.cache.metrics
    assert (metrics.compiles, metrics.misses, metrics.hits) == (1, 1, 7)
    assert not made.cache._making


def test_threads_find_a_failure_once() -> None:
    made = Made()
    made.meanwhile = slow
    errors = at_once(8, lambda _: made.cache.get(BAD))
    assert made.built == [BAD]
    assert len({id(error) for error in errors}) == 8
    assert {type(error) for error in errors} == {InvalidCode}


def test_threads_compile_different_modules_side_by_side() -> None:
    made = Made()
    both = threading.Barrier(2, timeout=20)
    made.meanwhile = lambda _: both.wait()  # breaks if the second waits for the first
    entries = at_once(2, lambda number: made.cache.get(code(number)))
    assert [entry.run() for entry in entries] == [1000, 1001]


def test_thread_that_fails_holds_nobody_up() -> None:
    made = Made()
    began = threading.Event()

    def fail_first(code: bytes) -> None:
        if len(made.built) == 1:
            began.set()
            time.sleep(0.1)
            raise MemoryError

    made.meanwhile = fail_first
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made.cache.get, code(0))
        began.wait()
        second = pool.submit(made.cache.get, code(0))
        assert isinstance(first.exception(), MemoryError)
        assert second.result().run() == 1000


def test_after_a_thread_that_failed_it_is_still_made_once() -> None:
    """The second thread makes what the first did not, and the third, which came later, waits for the second."""
    made = Made()
    steps = {name: threading.Event() for name in ("first", "second", "go on")}

    def build(code: bytes) -> None:
        if len(made.built) == 1:
            steps["first"].set()
            time.sleep(0.1)
            raise MemoryError
        steps["second"].set()
        steps["go on"].wait(20)

    made.meanwhile = build
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(made.cache.get, code(0))
        steps["first"].wait(20)
        second = pool.submit(made.cache.get, code(0))
        steps["second"].wait(20)
        assert isinstance(first.exception(), MemoryError)
        third = pool.submit(made.cache.get, code(0))
        time.sleep(0.1)
        steps["go on"].set()
        assert second.result() is third.result()
    assert len(made.built) == 2
    assert made.cache.metrics.bytes == size()
    assert not made.cache._making


def test_module_that_is_evicted_while_it_is_found() -> None:
    class Crowded(OrderedDict[bytes, Any]):
        def get(self, key: bytes, default: Any = None) -> Any:
            return self.pop(key, default)

    made = Made()
    made.cache.get(code(0))
    made.cache._recent = Crowded(made.cache._recent)
    assert made.cache.get(code(0)).run() == 1000
    assert made.built == [code(0)]


def test_module_that_is_pinned_while_it_is_missed() -> None:
    class Late(dict[bytes, Any]):
        asked = 0

        def get(self, key: bytes, default: Any = None) -> Any:
            self.asked += 1
            return super().get(key, default) if self.asked > 1 else default

    made = Made()
    made.cache.pin(code(0))
    made.cache._pinned = Late(made.cache._pinned)
    assert made.cache.get(code(0)).run() == 1000
    assert made.built == [code(0)]
    assert made.cache.metrics.hits == 1


def test_threads_get_what_they_ask_for_while_modules_come_and_go() -> None:
    made = Made(3 * size())

    def work(me: int) -> int:
        for turn in range(150):
            number = (turn * (me + 1)) % 6
            assert made.cache.get(code(number)).run() == 1000 + number
            if turn % 10 == me:
                made.cache.pin(code(number))
                made.cache.unpin(code(number))
            if turn % 75 == 10 * me:
                made.cache.clear()
        return me

    assert at_once(4, work) == [0, 1, 2, 3]
    for number in range(6):
        made.cache.unpin(code(number))
    metrics = made.cache.metrics
    assert metrics.bytes == metrics.entries * size() <= 3 * size()
    assert metrics.misses == metrics.compiles


# The disk


def test_fresh_cache_takes_from_the_disk_what_another_has_made(disk: ObjectCache, folder: Path) -> None:
    Made(disk=disk).cache.get(code(5))
    fresh = Made(disk=ObjectCache(folder, kind=OBJECT_KIND))
    assert fresh.cache.get(code(5)).run() == 1005
    assert (fresh.built, fresh.finished) == ([], [code(5)])
    metrics = fresh.cache.metrics
    assert (metrics.entries, metrics.bytes, metrics.misses) == (1, size(), 1)
    assert (metrics.disk_hits, metrics.compiles, metrics.rejected) == (1, 0, 0)


def test_evicted_module_comes_back_from_the_disk(disk: ObjectCache) -> None:
    made = Made(0, disk=disk)
    for number in (0, 1, 0):
        made.cache.get(code(number))
    assert made.built == [code(0), code(1)]
    assert made.cache.metrics.disk_hits == 1


def test_other_process_finds_it(disk: ObjectCache, folder: Path) -> None:
    program = f"""
        from pathlib import Path
        from vmloom.object_cache import ObjectCache
        from vmloom_wasm.cache import OBJECT_KIND, ModuleCache
        from vmloom_wasm.engine import Engine, HostFunctions, Linked, compile_module

        engine = Engine()
        host = HostFunctions(engine)
        cache = ModuleCache(
            engine, lambda code: compile_module(engine, code), lambda code, compiled: Linked(compiled, host),
            recipe=bytes(32), max_bytes=1 << 20, disk=ObjectCache(Path({str(folder)!r}), kind=OBJECT_KIND),
        )
        print(cache.get({code(0)!r}).instantiate().call("main", 0, 0, 0), cache.metrics.compiles)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert runs == ["1000 1\n", "1000 0\n"]


def test_processes_compile_once(folder: Path) -> None:
    """Locks are of open files, so caches of their own stand for processes here."""
    pytest.importorskip("fcntl")
    several = [Made(disk=ObjectCache(folder, kind=OBJECT_KIND)) for _ in range(4)]
    for made in several:
        made.meanwhile = slow
    entries = at_once(4, lambda number: several[number].cache.get(code(0)))
    assert [entry.run() for entry in entries] == [1000] * 4
    assert sum(len(made.built) for made in several) == 1
    assert sum(made.cache.metrics.disk_hits for made in several) == 3


def test_failures_are_not_written(disk: ObjectCache, folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(InvalidCode):
            Made(disk=disk).cache.get(BAD)
    assert disk.entries() == []
    assert not list(folder.glob("*.lock"))


def test_code_that_fails_on_a_disk_hit(disk: ObjectCache) -> None:
    """As when a later release no longer links it: it is refused, once and for all of this process, and not built."""
    Made(disk=disk).cache.get(code(0))
    fresh = Made(disk=disk)

    def refuse(code: bytes) -> None:
        raise CodeError("cannot be linked any more")

    fresh.at_finish = refuse
    for _ in range(2):
        with pytest.raises(CodeError, match="any more"):
            fresh.cache.get(code(0))
    assert (fresh.built, fresh.finished) == ([], [code(0)])
    metrics = fresh.cache.metrics
    assert (metrics.disk_hits, metrics.failures, metrics.hits, metrics.entries) == (1, 1, 1, 0)


def test_folder_that_cannot_be_used_is_done_without(folder: Path, logs: list[dict[str, object]]) -> None:
    folder.write_text("a file in its place")
    made = Made(disk=ObjectCache(folder, kind=OBJECT_KIND))
    assert made.cache.get(code(0)).run() == 1000
    assert made.cache.metrics.compiles == 1


def test_list_names_the_module_by_its_digest(disk: ObjectCache, tmp_path: Path) -> None:
    """Which is what `sha256sum` says of the file that was deployed."""
    Made(disk=disk).cache.get(code(0))
    shown = CliRunner().invoke(root, ["cache", "list"], env={"VMLOOM_CACHE_DIR": str(tmp_path)}).stdout
    assert f"WebAssembly module {hashlib.sha256(code(0)).hexdigest()[:16]}" in shown
    structlog.reset_defaults()


# Nothing is loaded that was not put there


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What reaches wasmtime."""
    seen: list[bytes] = []
    original = wasmtime.Module.deserialize

    def record(engine: wasmtime.Engine, encoded: bytes) -> wasmtime.Module:
        seen.append(encoded)
        return original(engine, encoded)

    monkeypatch.setattr(wasmtime.Module, "deserialize", record)
    return seen


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 1


TAMPERINGS: dict[str, Callable[[bytearray], None]] = {
    "head": lambda data: flip(data, 0),
    "key": lambda data: flip(data, 30),
    "seal": lambda data: flip(data, 100),
    "label": lambda data: flip(data, 125),
    "first byte of the code": lambda data: flip(data, data.index(b"\x7fELF")),
    "within the code": lambda data: flip(data, len(data) // 2),
    "last byte": lambda data: flip(data, len(data) - 1),
    "cut": lambda data: data.__delitem__(slice(len(data) - 1, None)),
    "half gone": lambda data: data.__delitem__(slice(len(data) // 2, None)),
    "all gone": lambda data: data.clear(),
    "longer": lambda data: data.append(0),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_altered_file_is_not_loaded(
    tampering: str, disk: ObjectCache, folder: Path, loaded: list[bytes], logs: list[dict[str, object]]
) -> None:
    Made(disk=disk).cache.get(code(0))
    path = only_file(folder)
    original = path.read_bytes()
    data = bytearray(original)
    TAMPERINGS[tampering](data)
    path.write_bytes(data)
    fresh = Made(disk=disk)
    fresh.meanwhile = lambda _: folder.joinpath("before").write_text(str(path.exists()))
    assert fresh.cache.get(code(0)).run() == 1000
    assert loaded == []
    assert fresh.built == [code(0)]
    assert folder.joinpath("before").read_text() == "False", "it was deleted before anything else"
    metrics = fresh.cache.metrics
    assert (metrics.rejected, metrics.disk_hits, metrics.compiles) == (1, 0, 1)
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("warning", "object cache: file rejected and deleted")
    ]
    again = Made(disk=disk)
    again.cache.get(code(0))
    assert (len(loaded), again.cache.metrics.disk_hits, again.cache.metrics.rejected) == (1, 1, 0)


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (1, {}),
        (0, {"recipe": bytes(31) + b"\1"}),
        (0, {"settings": EngineSettings(parallel=False, optimize=False)}),
    ],
    ids=["module", "recipe", "engine"],
)
def test_file_of_another_is_not_loaded(
    number: int,
    options: dict[str, Any],
    disk: ObjectCache,
    folder: Path,
    loaded: list[bytes],
    logs: list[dict[str, object]],
) -> None:
    """Neither under its own name, nor under the one that is looked for."""
    Made(disk=disk).cache.get(code(0))
    theirs = only_file(folder)
    other = Made(disk=disk, **options)
    other.cache.get(code(number))
    metrics = other.cache.metrics
    assert (metrics.disk_hits, metrics.rejected, metrics.compiles) == (0, 0, 1)
    (wanted,) = set(folder.glob(f"*.{OBJECT_KIND}")) - {theirs}
    theirs.replace(wanted)
    other = Made(disk=disk, **options)
    assert other.cache.get(code(number)).run() == 1000 + number
    assert loaded == []
    metrics = other.cache.metrics
    assert (metrics.disk_hits, metrics.rejected, metrics.compiles) == (0, 1, 1)


def test_file_sealed_with_another_secret_is_not_loaded(
    disk: ObjectCache, folder: Path, tmp_path: Path, loaded: list[bytes], logs: list[dict[str, object]]
) -> None:
    Made(disk=disk).cache.get(code(0))
    Made(disk=ObjectCache(tmp_path / "theirs", kind=OBJECT_KIND)).cache.get(code(0))
    only_file(folder).write_bytes(only_file(tmp_path / "theirs").read_bytes())
    fresh = Made(disk=disk)
    fresh.cache.get(code(0))
    assert loaded == []
    assert (fresh.cache.metrics.rejected, fresh.cache.metrics.compiles) == (1, 1)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes of files are POSIX's")
def test_folder_that_others_may_write_to_is_not_loaded_from(
    disk: ObjectCache, folder: Path, loaded: list[bytes], logs: list[dict[str, object]]
) -> None:
    Made(disk=disk).cache.get(code(0))
    folder.chmod(0o777)
    fresh = Made(disk=ObjectCache(folder, kind=OBJECT_KIND))
    assert fresh.cache.get(code(0)).run() == 1000
    assert loaded == []


def test_code_that_wasmtime_does_not_load_is_replaced(
    disk: ObjectCache, folder: Path, logs: list[dict[str, object]]
) -> None:
    """As that of a processor with more instructions, in a folder that two computers share."""
    Made(disk=disk).cache.get(code(0))
    config = wasmtime.Config()
    config.consume_fuel = True
    foreign = wasmtime.Module(wasmtime.Engine(config), code(0)).serialize()
    assert disk.put(only_file(folder).stem, bytes(foreign))
    fresh = Made(disk=disk)
    assert fresh.cache.get(code(0)).run() == 1000
    metrics = fresh.cache.metrics
    assert (metrics.rejected, metrics.disk_hits, metrics.compiles) == (1, 0, 1)
    (log,) = logs
    assert str(log["reason"]).startswith("wasmtime: ")
    assert "fuel" in str(log["reason"])
    again = Made(disk=disk)
    again.cache.get(code(0))
    assert again.cache.metrics.disk_hits == 1


# The recipe


def test_recipe_differs_with_its_parts_and_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    first = recipe("costs", 1)
    assert len(first) == 32
    assert recipe("costs", 1) == first
    others = {recipe("costs", 2), recipe("costs1"), recipe("costs", "1"), recipe()}
    monkeypatch.setattr(module, "_own_source", lambda: bytes(32))
    assert len({first, *others, recipe("costs", 1)}) == 6
