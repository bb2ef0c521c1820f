"""`vmloom evm compile`: contracts compiled ahead of time, what is told of it, and what is left for later processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from vmloom.cli.commands import root
from vmloom.object_cache import ObjectCache
from vmloom_evm.assembly import add, push, ret_top
from vmloom_evm.config import EvmConfig
from vmloom_evm.engines import native_engine

try:
    native_engine(EvmConfig(engine="jit"))
    WHY_NOT = ""
except (ImportError, OSError) as error:
    WHY_NOT = str(error)
pytestmark = pytest.mark.skipif(
    bool(WHY_NOT) and not os.environ.get("CI"), reason=f"without the native engine nothing is compiled: {WHY_NOT}"
)

SUM = bytes(ret_top(add(3, 4))).hex()
Invoke = Callable[..., Result]


@pytest.fixture
def compile_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command in this process, with a folder of its own for contracts."""
    from vmloom_evm.jit import cache

    monkeypatch.setattr(cache, "ObjectCache", lambda *, kind: ObjectCache(tmp_path / "kept", kind=kind))

    def invoke(*args: object) -> Result:
        cache.shared_cache.cache_clear()  # as in a process of its own
        return CliRunner().invoke(root, ["--set", "vm.evm.revision=cancun", "evm", "compile", *map(str, args)])

    return invoke


def test_what_was_compiled_is_taken_from_the_disk_next_time(compile_: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "five.hex"
    file.write_text("0x" + bytes(ret_top(5)).hex())
    first = compile_(SUM, file, "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert [one["code"] for one in found] == [SUM, str(file)]
    assert [one["origin"] for one in found] == ["compiled", "compiled"]
    assert all(one["machine_code_bytes"] > one["code_bytes"] > 5 and one["seconds"] > 0 for one in found)
    assert len(list((tmp_path / "kept").glob("*.contract"))) == 2
    second = json.loads(compile_(SUM, file, "--json").stdout)
    assert [one["origin"] for one in second] == ["cache", "cache"]
    assert [one["machine_code_bytes"] for one in second] == [one["machine_code_bytes"] for one in found]
    other_fork = json.loads(compile_(SUM, "--fork", "berlin", "--json").stdout)
    assert [one["origin"] for one in other_fork] == ["compiled"]


def test_table_is_for_people(compile_: Invoke) -> None:
    result = compile_(SUM)
    assert result.exit_code == 0, result.output
    assert "ms per KB" in result.stdout
    assert "compiled" in result.stdout
    assert SUM in result.stdout


def test_contract_that_stays_interpreted_is_told(compile_: Invoke) -> None:
    result = compile_(SUM, bytes(push(1) * 13_000).hex())
    assert result.exit_code == 1
    assert "stays interpreted: 26000 bytes of code, at most 24576 are compiled" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0x60zz"], "CODE: character 5 is 'z'"),
        (["missing.hex"], "missing.hex: no such file"),
        ([SUM, "--fork", "betelgeuse"], "unknown"),
    ],
)
def test_input_that_cannot_be_used_is_one_line(compile_: Invoke, arguments: list[str], words: str) -> None:
    result = compile_(*arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""


def test_compiling_for_nobody_is_refused(compile_: Invoke) -> None:
    result = CliRunner().invoke(root, ["--set", "vm.evm.jit.disk_cache=false", "evm", "compile", SUM])
    assert result.exit_code == 1
    assert "disk_cache: it is off" in result.stderr
    assert "fix: disk_cache = true" in result.stderr
