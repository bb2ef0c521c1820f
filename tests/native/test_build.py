"""From key to library: what a key depends on, that nothing is compiled twice, and what is said meanwhile."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner
from structlog.testing import capture_logs
from vmloom.hookspecs import STDERR_IS_DATA
from vmloom.object_cache import ObjectCache
from vmloom_native import build
from vmloom_native.build import compiled, kernel_digest

# Keys


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two modules, written an hour ago."""
    folder = tmp_path / "made_up_kernels"
    (folder / "below").mkdir(parents=True)
    for name in ("__init__.py", "below/__init__.py", "below/one.py"):
        write(folder / name, f"# {name}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("made_up_kernels")]:
        del sys.modules[name]


def write(path: Path, text: str, age: float = 3600) -> None:
    path.write_text(text)
    moment = time.time() - age
    os.utime(path, (moment, moment))


CALLER = """
from made_up_kernels.below.one import called
def kernel(): return called()
"""
CALLED = """
from made_up_kernels.other import NUMBER
OTHERS = (object(), len)  # what is no constant to a kernel is no part of its key either
def called(): return NUMBER
"""


def imported_kernel(package: Path, caller: str = CALLER, called: str = CALLED, number: int = 1) -> Callable[..., Any]:
    """A kernel that calls one of another module, which has a constant from a third."""
    for name in [name for name in sys.modules if name.startswith("made_up_kernels")]:
        del sys.modules[name]
    write(package / "three.py", caller)
    write(package / "below/one.py", called)
    write(package / "other.py", f"NUMBER = {number}\n")
    importlib.invalidate_caches()
    return importlib.import_module("made_up_kernels.three").kernel  # type: ignore[no-any-return]


def test_digest_of_a_kernel_is_of_all_that_it_uses(package: Path) -> None:
    first = kernel_digest(imported_kernel(package))
    others = [
        kernel_digest(imported_kernel(package, caller=CALLER + "# other\n")),
        kernel_digest(imported_kernel(package, called=CALLED + "# other\n")),
        kernel_digest(imported_kernel(package, number=20)),
    ]
    assert kernel_digest(imported_kernel(package)) == first
    write(package / "__init__.py", "# not used by the kernel\n")
    assert kernel_digest(imported_kernel(package)) == first
    assert len({first, *others}) == 4


def test_kernel_of_no_file_has_no_digest() -> None:
    kernel = types.FunctionType(test_host_is_the_same_in_another_process.__code__, {})
    kernel.__module__ = "made_up_at_run_time"
    with pytest.raises(ModuleNotFoundError):
        kernel_digest(kernel)


def test_host_is_the_same_in_another_process() -> None:
    program = "from vmloom_native.build import host; print(host().hex())"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "12"]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


# Compiling: what LLVM would do is counted instead


class Counted:
    """Stands for the compiler and the loader."""

    def __init__(self) -> None:
        self.made = 0
        self.emitted = 0
        self.seconds = 0.0

    def make_ir(self) -> str:
        self.made += 1
        return "some text"

    def emit_object(self, text: str, *, level: int, vectorised: bool) -> bytes:
        self.emitted += 1
        time.sleep(self.seconds)
        return f"object of {text} at {level}{' in vectors' if vectorised else ''}".encode()


class Library:
    def __init__(self, content: bytes) -> None:
        self.content = content


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    made = Counted()
    codegen: Any = types.ModuleType("vmloom_native.codegen")
    codegen.emit_object = made.emit_object
    library: Any = types.ModuleType("vmloom_native.library")
    library.Library = Library
    monkeypatch.setitem(sys.modules, "vmloom_native.codegen", codegen)
    monkeypatch.setitem(sys.modules, "vmloom_native.library", library)
    monkeypatch.setattr(build, "_libraries", {})
    return made


@pytest.fixture
def cache(tmp_path: Path) -> ObjectCache:
    return ObjectCache(tmp_path / "objects")


@pytest.fixture
def another_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget what this process has loaded."""
    return lambda: monkeypatch.setattr(build, "_libraries", {})


def get(counted: Counted, cache: ObjectCache, *parts: str, level: int = 2) -> Any:
    return compiled(parts, counted.make_ir, subject="a kernel", level=level, cache=cache)


def test_second_call_gets_the_same_library(counted: Counted, cache: ObjectCache) -> None:
    assert get(counted, cache, "a") is get(counted, cache, "a")
    assert (counted.made, counted.emitted) == (1, 1)


def test_second_process_runs_no_part_of_the_compiler(
    counted: Counted, cache: ObjectCache, another_process: Callable[[], None]
) -> None:
    get(counted, cache, "a")
    another_process()
    assert get(counted, cache, "a").content == b"object of some text at 2"
    assert (counted.made, counted.emitted) == (1, 1)
    assert [entry.label for entry in cache.entries()] == ["a kernel"]


def test_each_part_the_level_and_the_computer_make_another_object(
    counted: Counted, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = [get(counted, cache, "a"), get(counted, cache, "b"), get(counted, cache, "a", level=1)]
    monkeypatch.setattr(build, "host", lambda: b"another computer")
    libraries.append(get(counted, cache, "a"))
    assert len(set(libraries)) == 4
    assert counted.emitted == 4


def test_without_parts_the_text_itself_is_the_key(
    counted: Counted, cache: ObjectCache, another_process: Callable[[], None]
) -> None:
    for _ in range(2):
        compiled(None, counted.make_ir, subject="a kernel", cache=cache)
        another_process()
    assert (counted.made, counted.emitted) == (2, 1)
    compiled(None, lambda: "other text", subject="a kernel", cache=cache)
    assert counted.emitted == 2


def test_altered_object_is_made_again(
    counted: Counted, cache: ObjectCache, another_process: Callable[[], None]
) -> None:
    get(counted, cache, "a")
    another_process()
    (file,) = cache.folder.glob("*.object")
    file.write_bytes(file.read_bytes().replace(b"some text", b"evil text"))
    with capture_logs() as logs:
        assert get(counted, cache, "a").content == b"object of some text at 2"
    structlog.reset_defaults()
    assert logs[0]["log_level"] == "warning"
    assert counted.emitted == 2


def test_without_a_folder_it_compiles_for_itself(
    counted: Counted, tmp_path: Path, another_process: Callable[[], None]
) -> None:
    (tmp_path / "file").write_text("")
    cache = ObjectCache(tmp_path / "file" / "objects")
    for _ in range(2):
        assert get(counted, cache, "a").content
        another_process()
    assert counted.emitted == 2


def test_threads_compile_once(counted: Counted, cache: ObjectCache) -> None:
    counted.seconds = 0.05
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(get(counted, cache, "a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert counted.emitted == 1


def test_failure_is_raised_and_tried_again(counted: Counted, cache: ObjectCache) -> None:
    def broken() -> str:
        raise RuntimeError("no such rule")

    with pytest.raises(RuntimeError, match="no such rule"):
        compiled(("a",), broken, subject="a kernel", cache=cache)
    assert get(counted, cache, "a").content
    assert [path.suffix for path in cache.folder.iterdir() if path.suffix == ".lock"] == []


# What is said


def run_as_command(counted: Counted, cache: ObjectCache) -> Any:
    @click.command()
    def command() -> None:
        get(counted, cache, "a")
        click.echo("data")

    return CliRunner().invoke(command)


def test_command_line_says_what_takes_long(
    counted: Counted, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch, another_process: Callable[[], None]
) -> None:
    monkeypatch.setattr(build, "NOTICE_AFTER", 0.01)
    counted.seconds = 0.3
    result = run_as_command(counted, cache)
    assert result.stderr == "vmloom: compiling a kernel (first use here) ...\n"
    assert result.stdout == "data\n"
    another_process()
    assert run_as_command(counted, cache).stderr == ""


def test_command_whose_stderr_is_read_by_programs_says_nothing(
    counted: Counted, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "NOTICE_AFTER", 0.01)
    counted.seconds = 0.1

    @click.group()
    def tool() -> None:
        click.get_current_context().meta[STDERR_IS_DATA] = True

    @tool.command()
    def command() -> None:
        get(counted, cache, "a")

    assert CliRunner().invoke(tool, ["command"]).stderr == ""
    assert counted.emitted == 1


def test_command_line_says_nothing_of_what_is_soon_done(counted: Counted, cache: ObjectCache) -> None:
    assert run_as_command(counted, cache).stderr == ""


def test_library_is_silent(
    counted: Counted, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "NOTICE_AFTER", 0.01)
    counted.seconds = 0.1
    get(counted, cache, "a")
    assert capfd.readouterr() == ("", "")


def test_log_is_told_where_there_is_one(counted: Counted, cache: ObjectCache) -> None:
    structlog.configure()
    with capture_logs() as logs:
        get(counted, cache, "a")
        get(counted, cache, "a")
    structlog.reset_defaults()
    assert [(log["log_level"], log["event"], log["subject"]) for log in logs] == [
        ("info", "compiling", "a kernel"),
        ("info", "compiled", "a kernel"),
    ]
