"""`vmloom cache`: what it prints for people and programs, and what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from vmloom import object_cache
from vmloom.cli.commands import root
from vmloom.object_cache import ObjectCache

KEYS = ["1" * 64, "2" * 64]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def vmloom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    monkeypatch.chdir(tmp_path)
    environment = {"VMLOOM_CACHE_DIR": str(tmp_path)}
    yield lambda *arguments, **variables: CliRunner().invoke(root, arguments, env=environment | variables)
    structlog.reset_defaults()


@pytest.fixture
def filled(folder: Path) -> ObjectCache:
    cache = ObjectCache(folder)
    for age, key in enumerate(KEYS):
        cache.put(key, bytes(300_000), f"the EVM, number {age}")
        os.utime(folder / f"{key}.object", (1_700_000_000 + age, 1_700_000_000 + age))
    return cache


def test_list_for_people(vmloom: Callable[..., Result], filled: ObjectCache) -> None:
    result = vmloom("cache", "list")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if "number" in line]
    assert "the EVM, number 1" in rows[0]
    assert "the EVM, number 0" in rows[1]
    assert "300 kB" in rows[0]
    assert "222222222222" in rows[0]
    assert "600 kB" in result.stdout


def test_list_for_programs(vmloom: Callable[..., Result], filled: ObjectCache) -> None:
    documents = json.loads(vmloom("cache", "list", "--json").stdout)
    assert documents[0] == {
        "key": KEYS[1],
        "subject": "the EVM, number 1",
        "bytes": filled.entries()[0].size,
        "used": "2023-11-14T22:13:21+00:00",
    }


def test_nothing_is_kept(vmloom: Callable[..., Result], folder: Path) -> None:
    assert vmloom("cache", "list").stdout == "nothing is kept\n"
    assert vmloom("cache", "list", "--json").stdout == "[]\n"
    assert vmloom("cache", "clear").stdout == "nothing was kept\n"
    assert not folder.exists()


def test_clear(vmloom: Callable[..., Result], filled: ObjectCache) -> None:
    result = vmloom("cache", "clear")
    assert (result.exit_code, result.stdout) == (0, "2 removed, 600 kB freed\n")
    assert filled.entries() == []
    filled.put(KEYS[0], b"again")
    assert json.loads(vmloom("cache", "clear", "--json").stdout)["removed"] == 1
    filled.put(KEYS[0], bytes(2_000_000))
    assert vmloom("cache", "clear").stdout == "1 removed, 2.0 MB freed\n"
    filled.put(KEYS[0], bytes(20))
    assert vmloom("cache", "clear").stdout == "1 removed, 144 bytes freed\n"


def test_path(vmloom: Callable[..., Result], folder: Path) -> None:
    assert vmloom("cache", "path").stdout == f"{folder}\n"
    assert json.loads(vmloom("cache", "path", "--json").stdout) == {"path": str(folder), "limit": 256 << 20}


def test_user_without_a_home_has_no_path(vmloom: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(object_cache, "_said", set())  # it is said once in a process
    result = vmloom("cache", "path", VMLOOM_CACHE_DIR="", XDG_CACHE_HOME="")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Could not determine home directory" in result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes of files are POSIX's")
@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("clear",)])
def test_folder_that_is_not_used_says_why(
    vmloom: Callable[..., Result], filled: ObjectCache, folder: Path, arguments: tuple[str, ...]
) -> None:
    folder.chmod(0o777)
    result = vmloom("cache", *arguments)
    assert result.exit_code == 1
    assert "others may write to the folder" in result.stderr
    assert len(list(folder.glob("*.object"))) == 2


def test_help_lists_it(vmloom: Callable[..., Result]) -> None:
    assert "Show or delete the compiled code that is kept on disk" in vmloom("--help").stdout
