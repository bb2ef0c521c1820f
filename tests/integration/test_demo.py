"""`vmloom demo`: the same token on whichever machines are installed, and one transaction through them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from vmloom.cli.commands import root
from vmloom.demo import DemoToken
from vmloom.errors import PluginError
from vmloom.plugins import Offer, PluginRegistry

REPOSITORY = Path(__file__).parents[2]
MACHINES = sorted(offer.spec.name for offer in PluginRegistry().offers("vm") if getattr(offer.spec, "demo", ""))


def run(*arguments: str, columns: int = 100, options: tuple[str, ...] = ()) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(root, [*options, "demo", *arguments])


def record(*arguments: str) -> dict[str, Any]:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.output
    story: dict[str, Any] = json.loads(result.stdout)
    return story


def test_every_machine_of_this_repository_is_shown() -> None:
    assert MACHINES == ["evm", "prozvm", "wasm"]
    assert list(record()["machines"]) == MACHINES


@pytest.mark.parametrize("machine", MACHINES)
def test_each_machine_alone_ends_with_the_same_balances(machine: str) -> None:
    story = record(machine)
    chapter = story["machines"][machine]
    assert {who: units // 10**18 for who, units in chapter["balances"].items()} == {
        "alice": 750,
        "bob": 190,
        "carol": 60,
    }
    assert [step["state"] for step in chapter["steps"]] == ["success"] * 3 + ["reverted"] + ["success"] * 2
    assert chapter["refusal"] == "insufficient balance"
    assert chapter["steps"][3]["state_changes"] == []
    assert all(step["gas_used"] > 0 for step in chapter["steps"])
    assert story["one_transaction"] is None


def test_transfers_leave_events_and_changes_on_every_machine() -> None:
    for name, chapter in record()["machines"].items():
        moved = chapter["steps"][2]
        assert len(moved["events"]) == 1, name
        assert len(moved["state_changes"]) >= 2, name


def test_one_transaction_goes_through_all_machines_or_through_none() -> None:
    first, second = record()["one_transaction"]
    assert (first["state"], second["state"]) == ("success", "reverted")
    assert len(first["events"]) == len(MACHINES)
    assert first["carol"] == second["carol"] == dict.fromkeys(MACHINES, 65 * 10**18)
    assert (second["events"], second["state_changes"]) == ([], [])
    assert {change["address"] for change in first["state_changes"]} >= {
        chapter["address"] for chapter in record()["machines"].values()
    }


def test_json_is_the_same_each_time() -> None:
    assert run("--json").stdout == run("--json").stdout


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_tables_fit(columns: int) -> None:
    output = run("--source", columns=columns).stdout
    assert max(map(len, output.splitlines())) <= columns
    for text in (*MACHINES, "insufficient balance", "750 LOOM", "One transaction through all 3"):
        assert text in output
    if columns >= 100:  # no row is folded
        steps = output.split("Steps, with the gas that they took\n")[1].split("4 reverted")[0].splitlines()[2:]
        assert "create the token" in output
        assert [line[0] for line in steps] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("missing", MACHINES)
def test_it_works_without_any_of_the_plugins(missing: str) -> None:
    result = run("--json", options=("--set", f"plugins.disable={missing}"))
    assert result.exit_code == 0, result.output
    story = json.loads(result.stdout)
    assert list(story["machines"]) == [name for name in MACHINES if name != missing]
    assert story["one_transaction"] is not None


def test_machines_without_something_to_show_are_named() -> None:
    result = run(options=("--set", f"plugins.disable={','.join(MACHINES)}"))
    assert result.exit_code == 2
    assert "no VM that is installed has something to show" in result.stderr
    unknown = run("evmm")
    assert unknown.exit_code == 2
    assert "did you mean 'evm'" in unknown.stderr


def test_a_machine_that_does_not_load_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    load = PluginRegistry.load_demo

    def broken(registry: PluginRegistry, offer: Offer) -> Any:
        if offer.spec.name == "wasm":
            raise PluginError("wasm: its library is missing")
        return load(registry, offer)

    monkeypatch.setattr(PluginRegistry, "load_demo", broken)
    result = run("--json")
    assert result.exit_code == 0
    assert list(json.loads(result.stdout)["machines"]) == ["evm", "prozvm"]
    assert result.stderr == "warning: wasm: its library is missing\n"
    asked = run("wasm")
    assert asked.exit_code == 2
    assert "its library is missing" in asked.stderr


def test_what_is_no_token_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PluginRegistry, "load_demo", lambda *_: object())
    result = run("evm")
    assert result.exit_code == 2
    assert "no DemoToken" in result.stderr


def test_a_terminal_without_unicode_gets_ascii() -> None:
    command = [sys.executable, "-m", "vmloom", "demo"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_what_is_shown_of_the_sources_is_in_them() -> None:
    registry = PluginRegistry()
    sources = {
        "evm": "plugins/evm/src/vmloom_evm/demo/token.vy",
        "prozvm": "examples/proz-token/token.proz",
        "wasm": "examples/wasm-token/token.rs",
    }
    for offer in registry.offers("vm"):
        token = registry.load_demo(offer)
        assert isinstance(token, DemoToken)
        assert token.source.strip() in (REPOSITORY / sources[offer.spec.name]).read_text("utf-8")


def test_shown_artifacts_are_those_of_the_examples() -> None:
    wasm = REPOSITORY / "plugins/wasm/src/vmloom_wasm/demo/token.wasm"
    assert wasm.read_bytes() == (REPOSITORY / "examples/wasm-token/token-rs.wasm").read_bytes()
