"""`vmloom evm demo`: what it shows is what happened, and its token is what its source compiles to."""

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
from vmloom_evm.demo.abi import Artifact
from vmloom_evm.demo.story import PEOPLE, key_of
from vmloom_evm.forks import FORKS
from vmloom_evm.transaction.codec import decode_transaction
from vmloom_evm.transaction.signing import address_of, recover_sender
from vmloom_evm.transaction.types import TransactionType

REPOSITORY = Path(__file__).parents[2]
CAPABLE = [fork.name for fork in FORKS.values() if fork.rules.typed_transactions >= TransactionType.FEE_MARKET]


def run(*arguments: str, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(root, ["evm", "demo", *arguments])


def record(*arguments: str) -> dict[str, Any]:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.output
    story: dict[str, Any] = json.loads(result.stdout)
    return story


@pytest.mark.parametrize("revision", CAPABLE)
def test_every_fork_since_london_ends_with_the_same_balances(revision: str) -> None:
    story = record("--revision", revision, "--no-trace")
    assert story["revision"] == revision
    assert {who: one["token"] // 10**18 for who, one in story["balances"].items()} == {
        "alice": 750,
        "bob": 190,
        "carol": 60,
    }


def test_the_fourth_transaction_reverts_and_costs_its_sender_only_gas() -> None:
    fourth = record()["transactions"][3]
    assert (fourth["state"], fourth["reason"], fourth["events"]) == ("reverted", "insufficient balance", [])
    assert {change["field"] for change in fourth["state_changes"]} == {"balance", "nonce"}
    bob = "0x" + address_of(key_of("bob")).hex()
    paid = [
        one["old"] - one["new"]
        for one in fourth["state_changes"]
        if one["field"] == "balance" and one["address"] == bob
    ]
    assert paid == [fourth["gas_used"] * fourth["gas_price"]]


def test_gas_used_is_what_the_transfer_costs_by_the_yellow_paper() -> None:
    transfer = record()["transactions"][2]
    spent = sum(int(line["gasCost"], 16) for line in transfer["trace"])
    data = bytes.fromhex(transfer["raw"][2:])
    call = decode_transaction(data).data
    intrinsic = 21_000 + sum(4 if byte == 0 else 16 for byte in call)
    assert transfer["gas_used"] == intrinsic + spent - transfer["gas_refunded"]


def test_raw_transactions_are_signed_by_their_senders() -> None:
    for one in record("--no-trace")["transactions"]:
        tx = decode_transaction(bytes.fromhex(one["raw"][2:]))
        assert recover_sender(tx, FORKS["osaka"].rules) == address_of(key_of(one["sender"]))


def test_events_are_decoded_by_the_artifact() -> None:
    story = record("--no-trace")
    names = story["names"]
    events = [
        (event["name"], [names[one] if isinstance(one, str) else one // 10**18 for one in event["values"].values()])
        for transaction in story["transactions"]
        for event in transaction["events"]
    ]
    assert events == [
        ("Transfer", ["nobody", "alice", 1000]),
        ("Transfer", ["alice", "bob", 250]),
        ("Approval", ["bob", "carol", 100]),
        ("Transfer", ["bob", "carol", 60]),
    ]


def test_json_is_the_same_each_time() -> None:
    assert run("--json").stdout == run("--json").stdout


def test_without_trace_there_is_no_trace() -> None:
    assert all("trace" not in transaction for transaction in record("--no-trace")["transactions"])
    assert "Trace of" not in run("--no-trace").stdout


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_tables_fit_and_nothing_is_cut_off(columns: int) -> None:
    output = run(columns=columns).stdout
    assert max(map(len, output.splitlines())) <= columns
    for text in ("insufficient balance", "balanceOf[alice]", "allowance[bob][carol]", "SSTORE", "1,000 LOOM", "9.999"):
        assert text in output
    # A row that wrapped would begin with blanks where its number should stand.
    changes = output.split("State changes of the token\n")[1].split("\n\n")[0].splitlines()[2:]
    assert all(line[0].isdigit() for line in changes)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    command = [sys.executable, "-m", "vmloom", "evm", "demo"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_a_fork_before_london_is_refused_with_those_that_will_do() -> None:
    result = run("--revision", "berlin")
    assert result.exit_code == 2
    assert "transactions of type 2, which berlin lacks" in result.stderr
    assert "fix: --revision with one of london, paris" in result.stderr


def test_an_unknown_fork_is_refused_with_the_nearest() -> None:
    result = run("--revision", "osakka")
    assert result.exit_code == 2
    assert "did you mean 'osaka'" in result.stderr


def test_slots_are_where_the_compiler_put_them() -> None:
    story = record("--no-trace")
    artifact = Artifact.load("vmloom_evm.demo", "token.json")
    addresses = {person: address_of(key_of(person)) for person in PEOPLE}
    written = {
        int(change["key"], 16)
        for transaction in story["transactions"]
        for change in transaction["state_changes"]
        if change["field"] == "storage"
    }
    balances = {artifact.slot("balanceOf", address) for address in addresses.values()}
    allowance = artifact.slot("allowance", addresses["bob"], addresses["carol"])
    assert written == {*balances, allowance, artifact.slot("totalSupply")}


def test_encoding_asks_for_as_many_values_as_the_method_takes() -> None:
    artifact = Artifact.load("vmloom_evm.demo", "token.json")
    with pytest.raises(TypeError, match="transfer takes 2 values, got 1"):
        artifact.encode_call("transfer", 1)


def test_artifacts_are_what_their_sources_compile_to() -> None:
    """Runs the Vyper compiler, which is a development dependency: an environment without it is incomplete."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "examples/contracts/build.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
