"""Fixtures for all tests: where the public conformance data is."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import signal
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

try:
    import fcntl
except ImportError:  # Windows: workers may unpack side by side, and the first to finish wins
    fcntl = None  # type: ignore[assignment]

LONGEST = "stTimeConsuming"
"""In the names of tests that run for minutes: they begin first, so that nobody waits for them alone in the end."""
ARCHIVE = Path(__file__).parents[2] / "shared" / "fixtures" / "fixtures.zip"
CACHE = Path.home() / ".cache" / "vmloom-fixtures"

# Time on a busy machine says nothing about a test. The rest stays as Hypothesis has it, which is repeatable in CI.
settings.register_profile("vmloom", deadline=None)
settings.load_profile("vmloom")


# A shell has what it starts in the background ignore interrupts, and so do all who are started from there: tests that
# interrupt what runs without end, and programs that tests interrupt, would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Find the tests without searching for circles, and leave them out of every later search.

    There are some 600,000 objects then, none of which goes away before the end. To search them takes most of a second,
    and tests that free memory ask for it hundreds of times.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave what a module's tests have loaded out of later searches, too: reports, code, what is compiled.

    It is some hundred thousand objects in the end, and a test of guarded memory that asks for a search would take
    longer to search them than for all else.
    """
    if nextitem is None or item.path != nextitem.path:
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first."""
    items.sort(key=lambda item: LONGEST not in item.nodeid)


@pytest.fixture(scope="session")
def fixtures_folder() -> Path:
    """The unpacked conformance data: $VMLOOM_FIXTURES, else fixtures.zip unpacked into a cache.

    Skips where there is neither; fails then in CI, where it must be there.
    """
    named = os.environ.get("VMLOOM_FIXTURES")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"VMLOOM_FIXTURES names {folder}, which is not a folder")
        return folder
    if ARCHIVE.is_file():
        return unpacked(ARCHIVE, CACHE)
    missing = "the conformance data is not here: set VMLOOM_FIXTURES, or put fixtures.zip into ../shared/fixtures"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder of `cache` with what is in `archive`, named by its SHA-256; the first who asks unpacks it."""
    with archive.open("rb") as file:
        folder = cache / hashlib.file_digest(file, "sha256").hexdigest()
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            part = Path(tempfile.mkdtemp(dir=cache))
            try:
                with zipfile.ZipFile(archive) as contents:
                    contents.extractall(part)
                part.replace(folder)
            except BaseException as failure:
                shutil.rmtree(part, ignore_errors=True)
                if not (isinstance(failure, OSError) and folder.is_dir()):
                    raise
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file at `path`, which other processes wait for; released even if the process dies."""
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
