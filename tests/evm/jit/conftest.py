"""Tests of the compiler of contracts; they need the native engine, and without it there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vmloom.object_cache import ObjectCache
from vmloom_evm.config import EvmConfig
from vmloom_evm.engines import native_engine

try:
    native_engine(EvmConfig(engine="jit"))
    WHY_NOT = ""
except (ImportError, OSError) as error:
    WHY_NOT = str(error)

# Without llvmlite the modules cannot even be imported. In CI they must be, and then say why they cannot.
collect_ignore_glob = ["test_*.py"] if WHY_NOT and not os.environ.get("CI") else []


def pytest_report_header() -> str | None:
    """Say why these tests are not run."""
    return f"tests/evm/jit are left out: {WHY_NOT}" if collect_ignore_glob else None


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As at the beginning of a process on a new computer, but for the interpreters: nothing has been compiled.

    Returns the folder in which machine code is kept.
    """
    from vmloom_evm.jit import cache, tiers

    monkeypatch.setattr(cache, "ObjectCache", lambda *, kind: ObjectCache(tmp_path, kind=kind))
    monkeypatch.setattr(tiers, "measured", tiers.Measured())
    cache.shared_cache.cache_clear()
    yield tmp_path
    assert tiers.WORKER.wait(60)
    cache.shared_cache.cache_clear()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done in the background is done before anything goes on."""
    from vmloom_evm.jit import tiers

    def submit(job: Callable[[], None]) -> bool:
        job()
        return True

    monkeypatch.setattr(tiers.WORKER, "submit", submit)
