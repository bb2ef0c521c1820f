"""`vmloom wasm ...`, and `vmloom` with modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from vmloom.cli.commands import root
from vmloom_wasm.config import WasmConfig

from .contracts import bytes_at, contract, module

STORING = contract(
    "(call $spend) (call $storage_store (i32.const 0) (i32.const 32)) (call $finish (i32.const 0) (i32.const 2))",
    uses="storage_store finish",
    rest=bytes_at(63, b"\2") + "(func $spend (local $n i32) (local.set $n (i32.const 9)) (loop $l (br_if $l"
    " (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))",
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VMLOOM_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "storing.wasm"
    path.write_bytes(STORING)
    return str(path)


def vmloom(*arguments: str) -> Result:
    """Run the command line."""
    return CliRunner().invoke(root, arguments, catch_exceptions=False)


def test_vm_is_chosen_by_how_the_code_begins(file: str) -> None:
    """With the EVM installed beside it, `--vm` need not be given."""
    result = vmloom("run", file, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["state_changes"][0]["new"] == "0x2"
    assert json.loads(vmloom("run", "6001600101", "--json").stdout)["gas_used"] == 9
    assert vmloom("validate", file).stdout.endswith("bytes of wasm code\n")
    assert "storage_store" in vmloom("disasm", file).stdout


def test_profile_shows_functions_and_the_host(file: str) -> None:
    document = json.loads(vmloom("wasm", "profile", file, "--json").stdout)
    assert [row["name"] for row in document["functions"]] == ["spend", "main"]
    units = sum(row["units"] for row in document["functions"]) + document["host_units"]
    assert units == document["gas_used"] * WasmConfig().units_per_gas
    shown = vmloom("wasm", "profile", file).stdout
    assert all(word in shown for word in ("success", "gas by function", "spend", "main", "host functions"))
    assert vmloom("wasm", "profile", file, "--gas", "50").exit_code == 1


def test_inspect_shows_what_is_in_a_module(file: str, tmp_path: Path) -> None:
    document = json.loads(vmloom("wasm", "inspect", file, "--json").stdout)
    assert (document["valid"], document["size"]) == (True, len(STORING))
    assert document["imports"] == [
        {"name": "env.storage_store", "kind": "function", "type": "(i32, i32) -> ()"},
        {"name": "env.finish", "kind": "function", "type": "(i32, i32) -> ()"},
    ]
    assert {"name": "main", "kind": "function", "type": "(i32, i32, i32) -> (i32)"} in document["exports"]
    assert [one["name"] for one in document["functions"]] == ["spend", "main"]
    assert document["memory"] == [{"minimum": 1, "maximum": None}]
    shown = vmloom("wasm", "inspect", file)
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in ("deployable  yes", "env.storage_store", "spend"))


def test_inspect_says_why_a_module_cannot_be_deployed(tmp_path: Path) -> None:
    path = tmp_path / "no-main.wasm"
    path.write_bytes(module('(func (export "other"))'))
    result = vmloom("wasm", "inspect", str(path))
    assert result.exit_code == 1
    assert "no: " in result.stdout
    assert "main" in result.stdout
    assert vmloom("wasm", "inspect", "6001").exit_code == 1


def test_profile_is_for_modules(file: str) -> None:
    result = vmloom("wasm", "profile", file, "--engine", "native")
    assert result.exit_code == 2
    assert "one engine" in result.stderr


def test_sdk_is_written_and_nothing_else_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "sdk"
    for _ in range(2):
        result = vmloom("wasm", "sdk", str(folder))
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == [str(folder / name) for name in ("vmloom.h", "vmloom.rs", "vmloom.ts")]
    assert "vmloom_storage_load" in (folder / "vmloom.h").read_text()
    (folder / "vmloom.rs").write_text("mine")
    refused = vmloom("wasm", "sdk", str(folder))
    assert refused.exit_code == 2
    assert "vmloom.rs: there is another file of this name" in refused.stderr
    assert (folder / "vmloom.rs").read_text() == "mine"
    assert vmloom("wasm", "sdk", str(folder), "--force").exit_code == 0
    assert (folder / "vmloom.rs").read_text() != "mine"
