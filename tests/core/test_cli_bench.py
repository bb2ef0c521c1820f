"""`vmloom bench`: what it measures and says. No times are checked, only that there are some."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

STORE = "01010101012a05"  # slot 1 = 42
REVERT = "09"
QUICK = ("--iterations", 2, "--batch", 20)
CALL_KEYS = {
    "name", "vm", "state", "error", "gas_used", "median_seconds", "best_seconds", "gas_per_second",
    "batch_items_per_second",
}  # fmt: skip
OPERATION_KEYS = {"operation", "path", "rows", "error", "median_seconds", "best_seconds", "items_per_second"}


def test_calls_are_measured(vmloom: Any) -> None:
    vmloom.write("store.hex", STORE)
    result = vmloom("bench", "store.hex", REVERT, *QUICK, "--threads", 1, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["iterations"], document["batch"], document["threads"]) == (2, 20, 1)
    first, second = document["calls"]
    assert set(first) == set(second) == CALL_KEYS
    assert (first["name"], first["vm"], first["state"], first["error"]) == ("store", "calc", "success", "")
    assert first["gas_used"] > 0
    assert 0 < first["best_seconds"] <= first["median_seconds"]
    assert first["batch_items_per_second"] > 0
    assert (second["name"], second["state"]) == ("09", "reverted")


def test_calls_are_shown_as_a_table(vmloom: Any) -> None:
    result = vmloom("bench", STORE, REVERT, *QUICK)
    assert result.exit_code == 0, result.output
    for expected in ("name", "median", "Mgas/s", "batch items/s", STORE[:12], "calc", "reverted"):
        assert expected in result.stdout


def test_input_value_and_state_reach_the_call(vmloom: Any) -> None:
    address = "0x" + (0xC0DE).to_bytes(20, "big").hex()
    state = vmloom.write("alloc.json", json.dumps({address: {"storage": {"0x1": "0x29"}}}))
    found = json.loads(vmloom("bench", "0c", "--input", "0xbeef", "--state", state, *QUICK, "--json").stdout)
    assert found["calls"][0]["state"] == "success"
    sent = json.loads(vmloom("bench", STORE, "--value", 7, *QUICK, "--json").stdout)
    assert sent["calls"][0]["state"] == "success"
    unpaid = json.loads(vmloom("bench", STORE, "--value", 7, "--state", state, *QUICK, "--json").stdout)
    assert unpaid["calls"][0]["state"] == "failed"


def test_code_that_cannot_run_is_told_of_beside_the_others(vmloom: Any) -> None:
    result = vmloom("bench", "ff", STORE, *QUICK, "--json")
    assert result.exit_code == 1
    bad, good = json.loads(result.stdout)["calls"]
    assert bad["error"] == "offset 0x0: 0xff: no instruction"
    assert (good["error"], good["state"]) == ("", "success")
    assert "no instruction" in vmloom("bench", "ff", *QUICK).stdout


def test_operations_are_measured_where_no_code_is_given(vmloom: Any) -> None:
    result = vmloom("bench", *QUICK, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = json.loads(result.stdout)["operations"]
    assert {row["operation"] for row in rows} >= {"keccak256", "sha256", "merkle_sha256", "u256_mulmod"}
    assert {row["path"] for row in rows} == {"python"}
    for row in rows:
        assert set(row) == OPERATION_KEYS
        assert (row["rows"] > 0, row["items_per_second"] > 0) == (True, True)
    assert "keccak256" in vmloom("bench", *QUICK).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--iterations", 0], "error: Invalid value for '--iterations'"),
        (["--batch", 0], "error: Invalid value for '--batch'"),
        (["nope.hex"], "error: nope.hex: no such file"),
        ([STORE, "--vm", "clac"], "error: "),
        (["--plot", "chart.bmp"], "error: --plot chart.bmp: a name that ends in .pdf, .png, .svg is needed"),
        (["--plot", "no/such/chart.png"], "error: --plot no/such/chart.png: there is no such folder"),
    ],
)
def test_bad_arguments(vmloom: Any, arguments: list[Any], message: str) -> None:
    result = vmloom("bench", *arguments)
    assert result.exit_code != 0
    assert result.stderr.startswith(message) or "no usable virtual machine 'clac'" in result.output


def test_chart_without_matplotlib_says_what_to_install(vmloom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = vmloom("bench", STORE, "--plot", "chart.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == 'error: --plot needs matplotlib\n  fix: pip install "vmloom-core[plot]"\n'


@pytest.mark.parametrize("codes", [[], [STORE, REVERT]])
def test_chart_is_drawn(vmloom: Any, codes: list[str]) -> None:
    pytest.importorskip("matplotlib", reason="vmloom-core[plot] is not installed")
    assert vmloom("bench", *codes, *QUICK, "--plot", "chart.svg").exit_code == 0
    text = (vmloom.folder / "chart.svg").read_text("utf-8")
    assert "<svg" in text
    for name in codes or ["keccak256", "u256_add"]:
        assert name in text
