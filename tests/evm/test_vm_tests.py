"""The old VM tests: single frames by Frontier's rules, with the gas, output, logs and state that must come of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from vmloom import Account, BlockContext, ExecutionContext
from vmloom_evm.commitment import logs_hash
from vmloom_evm.statetest.fixture import TestState
from vmloom_evm.testing import EvmUnderTest

from .conftest import ENGINES

GROUPS = [
    *("vmArithmeticTest", "vmBitwiseLogicOperation", "vmBlockInfoTest", "vmEnvironmentalInfo"),
    *("vmIOandFlowOperations", "vmLogTest", "vmPerformance", "vmPushDupSwapTest", "vmRandomTest", "vmSha3Test"),
    "vmSystemOperations",
]
FILES = 417
LONG = ["loop-add-10M", "loop-divadd-10M", "loop-exp-1b-1M", "loop-mulmod-2M"]
"""Millions of rounds of a loop: minutes on the reference engine."""
ALL = os.environ.get("VMLOOM_STATE_TESTS") == "all"
pytestmark = [pytest.mark.timeout(0)] if ALL else []
"""On a slow machine such a loop takes longer than any test may."""


@pytest.mark.parametrize("group", GROUPS)
def test_every_vm_test_of_the_group_leaves_what_it_must(evm: EvmUnderTest, fixtures_folder: Path, group: str) -> None:
    evm = evm.at("frontier")
    found = [path for path in (fixtures_folder / "vm_tests").rglob(f"{group}/*.json") if path.stem not in LONG]
    assert found
    complaints = {path.name: judge(evm, path) for path in found}
    assert {name: complaint for name, complaint in complaints.items() if complaint} == {}


@pytest.mark.skipif(
    not os.environ.get("CI") and not ALL, reason="takes a while: runs in CI, or with VMLOOM_STATE_TESTS=all"
)
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("evm", [one for one in ENGINES if ALL or one != "reference"], indirect=True)
def test_long_loop_leaves_what_it_must(evm: EvmUnderTest, fixtures_folder: Path, name: str) -> None:
    [path] = (fixtures_folder / "vm_tests").rglob(f"vmPerformance/{name}.json")
    assert judge(evm.at("frontier"), path) == ""


def test_no_vm_test_is_left_out(fixtures_folder: Path) -> None:
    folder = fixtures_folder / "vm_tests"
    assert len(list(folder.rglob("*.json"))) == FILES
    assert sum(len(list(folder.rglob(f"{group}/*.json"))) for group in GROUPS) == FILES


def judge(evm: EvmUnderTest, path: Path) -> str:
    """What is wrong after the run of the one test in the file, empty if nothing is."""
    [test] = json.loads(path.read_text()).values()
    call, env = test["exec"], test["env"]
    state = TestState(accounts_of(test["pre"]))
    for address, fields in test["pre"].items():
        for slot, word in fields["storage"].items():
            state.set_storage(data(address), int(slot, 16), int(word, 16))
    context = ExecutionContext(
        caller=data(call["caller"]),
        address=data(call["address"]),
        origin=data(call["origin"]),
        value=int(call["value"], 16),
        input=data(call["data"]),
        gas_limit=int(call["gas"], 16),
        gas_price=int(call["gasPrice"], 16),
        block=BlockContext(
            number=int(env["currentNumber"], 16),
            timestamp=int(env["currentTimestamp"], 16),
            coinbase=data(env["currentCoinbase"]),
            gas_limit=int(env["currentGasLimit"], 16),
            difficulty=int(env["currentDifficulty"], 16),
        ),
    )
    result = evm.vm.execute(data(call["code"]), context, state)
    if "post" not in test:  # the frame must fail
        return "" if result.error and result.gas_used == context.gas_limit else "it should have failed"
    if result.error:
        return f"it failed: {result.error}"
    found = {
        "gas": context.gas_limit - result.gas_used,
        "out": result.return_data,
        "logs": logs_hash(result.events),
        "post": {address: (account, state.storage_of(address)) for address, account in state.accounts()},
    }
    wanted = {
        "gas": int(test["gas"], 16),
        "out": data(test["out"]),
        "logs": data(test["logs"]),
        "post": {
            address: (account, words_of(test["post"]["0x" + address.hex()]))
            for address, account in accounts_of(test["post"]).items()
        },
    }
    return "; ".join(f"{key}: got {found[key]}, want {wanted[key]}" for key in wanted if found[key] != wanted[key])


def accounts_of(accounts: dict[str, Any]) -> dict[bytes, Account]:
    return {
        data(address): Account(int(fields["nonce"], 16), int(fields["balance"], 16), data(fields["code"]))
        for address, fields in accounts.items()
    }


def words_of(fields: dict[str, Any]) -> dict[int, int]:
    return {int(slot, 16): int(word, 16) for slot, word in sorted(fields["storage"].items())}


def data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
