"""`vmloom evm t8n`: geth's flags, JSON shapes and exit codes, and public state tests run as blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmloom.cli.commands import root
from vmloom.hashing import keccak256
from vmloom_evm.assembly import blockhash, call, log1, mstore, number, prevrandao, revert, sstore, stop
from vmloom_evm.block.system_calls import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS
from vmloom_evm.fees import GAS_PER_BLOB
from vmloom_evm.forks import fork_named
from vmloom_evm.statetest.fixture import Case, read_cases
from vmloom_evm.t8n.rulesets import ruleset_named
from vmloom_evm.transaction.signing import address_of

KEY = "0x" + "45a9" * 16
SENDER = "0x" + address_of(bytes.fromhex(KEY[2:])).hex()
COINBASE = "0x" + "c0" * 20
CONTRACT = "0x" + "c0de" * 10
SOMEBODY = "0x" + "50be" * 10
ZEROS = "0x" + "00" * 32

Transition = Callable[..., Result]


@pytest.fixture
def t8n(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transition:
    """Run `vmloom evm t8n` in an empty folder; inputs become files there, bytes as they are and all else as JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: object = None, **inputs: object) -> Result:
        flags = []
        for name, value in inputs.items():
            file = tmp_path / f"{name}.json"
            file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
            flags += [f"--input.{name}", str(file)]
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        result = CliRunner().invoke(root, ["evm", "t8n", *flags, *map(str, args)], input=text)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def transition(t8n: Transition, fork: str, *args: object, **inputs: Any) -> dict[str, Any]:
    """Alloc, body and result of a transition that succeeds."""
    outputs = ("--output.alloc", "stdout", "--output.result", "stdout", "--output.body", "stdout")
    result = t8n("--state.fork", fork, *outputs, *args, **inputs)
    assert result.exit_code == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def failure(result: Result, code: int) -> str:
    """The one line that a failure is."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    line: str = result.stderr.rstrip("\n")
    assert line.startswith(f"ERROR({code}): ")
    assert "\n" not in line
    return line


def environment(**fields: object) -> dict[str, object]:
    """The environment of a block that every fork accepts, with `fields` set, or left out where they are None."""
    given: dict[str, object] = {
        "currentCoinbase": COINBASE,
        "currentNumber": "0x5",
        "currentTimestamp": "1000",
        "currentGasLimit": "0x1c9c380",
        "currentBaseFee": "0x7",
        "currentRandom": "0xabc",
        "currentExcessBlobGas": 0,
        "parentBeaconBlockRoot": ZEROS,
        "withdrawals": [],
    }
    return {name: value for name, value in (given | fields).items() if value is not None}


def proof_of_work(**fields: object) -> dict[str, object]:
    return environment(**{"currentDifficulty": "0x20000", **fields})


def alloc(**contracts: Any) -> dict[str, Any]:
    """A sender with funds, and code by address."""
    codes = {address: {"code": "0x" + bytes(code).hex(), "balance": "0x0"} for address, code in contracts.items()}
    return {SENDER: {"balance": "0xde0b6b3a7640000"}, **codes}


def transaction(**fields: object) -> dict[str, object]:
    """An unsigned legacy transaction with the key to sign it."""
    given: dict[str, object] = {
        "input": "0x",
        "gas": "0x186a0",
        "gasPrice": "0x10",
        "nonce": "0x0",
        "to": SOMEBODY,
        "value": "0x1",
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
        "secretKey": KEY,
    }
    return {name: value for name, value in (given | fields).items() if value is not None}


# Inputs and outputs


def test_outputs_are_files_by_default(t8n: Transition, tmp_path: Path) -> None:
    result = t8n("--state.fork", "Berlin", alloc=alloc(), env=proof_of_work(), txs=[transaction()])
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads((tmp_path / "alloc.json").read_text())[SOMEBODY] == {"balance": "0x1"}
    assert json.loads((tmp_path / "result.json").read_text())["gasUsed"] == "0x5208"


def test_outputs_go_into_a_folder_that_is_made(t8n: Transition, tmp_path: Path) -> None:
    flags = ("--output.basedir", "a/b", "--output.body", "txs.rlp", "--output.alloc", "", "--output.result", "r.json")
    result = t8n("--state.fork", "Berlin", *flags, alloc=alloc(), env=proof_of_work(), txs=[transaction()])
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == ["r.json", "txs.rlp"]


def test_outputs_can_be_split_between_the_streams(t8n: Transition) -> None:
    flags = ("--output.alloc", "stderr", "--output.result", "stdout")
    result = t8n("--state.fork", "Berlin", *flags, alloc=alloc(), env=proof_of_work(), txs=[])
    assert list(json.loads(result.stdout)) == ["result"]
    assert list(json.loads(result.stderr)) == ["alloc"]


def test_inputs_can_all_come_from_stdin(t8n: Transition) -> None:
    stdin = {"alloc": alloc(), "env": proof_of_work(), "txs": [transaction()]}
    flags = [flag for name in stdin for flag in (f"--input.{name}", "stdin")]
    done = transition(t8n, "Berlin", *flags, stdin=stdin)
    body = done["body"]
    assert body == transition(t8n, "Berlin", alloc=stdin["alloc"], env=stdin["env"], txs=stdin["txs"])["body"]
    again = transition(t8n, "Berlin", *flags, stdin={**stdin, "txs": None, "txsRlp": body})
    assert again == done
    assert transition(t8n, "Berlin", *flags, stdin={**stdin, "txs": body}) == done


def test_body_is_an_input_again(t8n: Transition, tmp_path: Path) -> None:
    txs = [
        transaction(),
        transaction(nonce="0x1", type="0x1", accessList=[{"address": SOMEBODY, "storageKeys": ["0x1"]}]),
        transaction(nonce="0x2", type="0x2", gasPrice=None, maxFeePerGas="0x20", maxPriorityFeePerGas="0x1"),
    ]
    done = transition(t8n, "London", alloc=alloc(), env=proof_of_work(), txs=txs)
    items = rlp.decode(bytes.fromhex(done["body"][2:]))
    assert [isinstance(item, bytes) for item in items] == [False, True, True]
    (tmp_path / "signed.rlp").write_text(json.dumps(done["body"]))
    again = transition(t8n, "London", "--input.txs", "signed.rlp", alloc=alloc(), env=proof_of_work())
    assert again == done


def test_flags_of_both_tools_are_accepted(t8n: Transition) -> None:
    flags = ("--verbosity", "3", "--trace.nomemory", "--trace.noreturndata", "-state.chainid=1", "--state.reward", "-1")
    transition(t8n, "Berlin", *flags, "--trace=false", alloc=alloc(), env=proof_of_work(), txs=[])


# Results


def test_result_has_the_shape_of_geths(t8n: Transition) -> None:
    code = mstore(0, 7) + log1(0, 32, 0xABC) + sstore(0, 1)
    txs = [transaction(nonce="0x9"), transaction(), transaction(nonce="0x1", to=CONTRACT)]
    done = transition(t8n, "Berlin", alloc=alloc(**{CONTRACT: code}), env=proof_of_work(currentBaseFee=None), txs=txs)
    result = done["result"]
    assert list(result) == [
        *("stateRoot", "txRoot", "receiptsRoot", "logsHash", "logsBloom", "receipts", "rejected"),
        *("currentDifficulty", "gasUsed", "requests"),
    ]
    assert (result["currentDifficulty"], result["requests"]) == ("0x20000", None)
    [rejected] = result["rejected"]
    assert rejected["index"] == 0
    assert rejected["error"].startswith("NONCE_MISMATCH_TOO_HIGH: ")
    first, second = result["receipts"]
    assert list(first) == [
        *("root", "status", "cumulativeGasUsed", "logsBloom", "logs", "transactionHash", "contractAddress"),
        *("gasUsed", "effectiveGasPrice", "blockHash", "blockNumber", "transactionIndex"),
    ]
    assert (first["root"], first["status"], first["transactionIndex"]) == ("0x", "0x1", "0x0")
    assert second["logs"] == [
        {
            "address": CONTRACT,
            "topics": ["0x" + "0" * 61 + "abc"],
            "data": "0x" + "0" * 63 + "7",
            "blockNumber": "0x5",
            "transactionHash": second["transactionHash"],
            "transactionIndex": "0x1",
            "blockHash": first["blockHash"],
            "blockTimestamp": "0x3e8",
            "logIndex": "0x0",
            "removed": False,
        }
    ]
    assert second["cumulativeGasUsed"] == result["gasUsed"]
    assert done["alloc"][CONTRACT] == {
        "code": "0x" + bytes(code).hex(),
        "storage": {"0x" + "0" * 64: "0x" + "0" * 63 + "1"},
        "balance": "0x1",
    }
    assert done["alloc"][SENDER]["nonce"] == "0x2"


def test_logs_are_counted_through_the_block(t8n: Transition) -> None:
    txs = [transaction(to=CONTRACT, nonce=hex(nonce)) for nonce in range(2)]
    contract = alloc(**{CONTRACT: log1(0, 0, 1) * 2})
    receipts = transition(t8n, "Berlin", alloc=contract, env=proof_of_work(), txs=txs)["result"]["receipts"]
    assert [log["logIndex"] for one in receipts for log in one["logs"]] == ["0x0", "0x1", "0x2", "0x3"]


def test_result_of_cancun_and_prague(t8n: Transition) -> None:
    blob = transaction(
        type="0x3",
        gasPrice=None,
        maxFeePerGas="0x20",
        maxPriorityFeePerGas="0x1",
        maxFeePerBlobGas="0x1",
        blobVersionedHashes=["0x01" + "00" * 31],
    )
    withdrawal = {"index": "0x1", "validatorIndex": 2, "address": SOMEBODY, "amount": "0x3"}
    result = transition(t8n, "Cancun", alloc=alloc(), env=environment(withdrawals=[withdrawal]), txs=[blob])["result"]
    [receipt] = result["receipts"]
    assert (receipt["type"], receipt["blobGasUsed"], receipt["blobGasPrice"]) == ("0x3", hex(GAS_PER_BLOB), "0x1")
    assert (result["currentExcessBlobGas"], result["blobGasUsed"]) == ("0x0", hex(GAS_PER_BLOB))
    assert result["currentDifficulty"] is None
    assert result["currentBaseFee"] == "0x7"
    assert len(result["withdrawalsRoot"]) == 66
    contracts = {
        "0x00000961ef480eb55e80d19ad83579a64c007002": bytes(stop),
        "0x0000bbddc7ce488642fb579f8b00f3a590007251": bytes(mstore(0, 7)) + bytes.fromhex("60205ff3"),
    }
    result = transition(t8n, "Prague", alloc=alloc(**contracts), env=environment(), txs=[])["result"]
    assert result["requests"] == ["0x02" + "0" * 63 + "7"]
    assert len(result["requestsHash"]) == 66


def test_fields_of_the_block_follow_from_its_parent(t8n: Transition) -> None:
    parent = {
        "parentBaseFee": "1000",
        "parentGasUsed": "0x1312d00",
        "parentGasLimit": "0x1312d00",
        "parentExcessBlobGas": hex(10 * GAS_PER_BLOB),
        "parentBlobGasUsed": hex(4 * GAS_PER_BLOB),
    }
    env = environment(currentBaseFee=None, currentExcessBlobGas=None, **parent)
    result = transition(t8n, "Cancun", alloc={}, env=env, txs=[])["result"]
    assert result["currentBaseFee"] == hex(1_125)  # an eighth more after a full block
    assert result["currentExcessBlobGas"] == hex(11 * GAS_PER_BLOB)
    # EIP-7918: 2**13 * 1000 wei of execution are dearer than a blob at 1 wei, so that the excess grows by a third
    result = transition(t8n, "Osaka", "--state-test", alloc={}, env=env, txs=[])["result"]
    assert result["currentExcessBlobGas"] == hex(10 * GAS_PER_BLOB + 4 * GAS_PER_BLOB // 3)


@pytest.mark.parametrize(
    ("fork", "bomb"), [("London", 1 << 20), ("ArrowGlacier", 1 << 10), ("GrayGlacier", 1 << 3), ("Berlin", 1 << 27)]
)
def test_difficulty_follows_from_the_parent(t8n: Transition, fork: str, bomb: int) -> None:
    env = environment(
        currentNumber=9_700_000 + 2_200_000,
        currentTimestamp=1_010,
        parentTimestamp=1_000,
        parentDifficulty=2_048_000,
        parentUncleHash=ZEROS,
    )
    result = transition(t8n, fork, alloc={}, env=env, txs=[])["result"]
    assert int(result["currentDifficulty"], 16) == 2_048_000 + bomb
    env["parentUncleHash"] = "0x" + "11" * 32
    result = transition(t8n, fork, alloc={}, env=env, txs=[])["result"]
    assert int(result["currentDifficulty"], 16) == 2_048_000 + 1_000 + bomb


@pytest.mark.parametrize(("reward", "balance"), [("0x80", 0x80), (-1, None), (0, None), (1_000, 1_000)])
def test_reward_is_what_the_flag_says(t8n: Transition, reward: object, balance: int | None) -> None:
    done = transition(t8n, "Byzantium", "--state.reward", reward, alloc={}, env=proof_of_work(), txs=[])
    assert done["alloc"] == ({COINBASE: {"balance": hex(balance)}} if balance else {})


def test_ommers_share_in_the_reward(t8n: Transition) -> None:
    ommers = [{"delta": 1, "address": "0x" + "0a" * 20}, {"delta": "0x2", "address": "0x" + "0b" * 20}]
    done = transition(t8n, "Byzantium", "--state.reward", 320, alloc={}, env=proof_of_work(ommers=ommers), txs=[])
    assert [int(one["balance"], 16) for one in done["alloc"].values()] == [280, 240, 340]


def test_block_begins_with_its_system_calls(t8n: Transition) -> None:
    addresses = [f"0x{address.hex()}" for address in (BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS)]
    stores = bytes.fromhex("5f355f55")  # the first word of the input into slot 0
    env = environment(
        parentBeaconBlockRoot="0x" + "be" * 32, blockHashes={"0x4": "0x" + "ab" * 32, "3": "0x" + "cd" * 32}
    )
    # Prague without its request contracts is no valid block, and --state-test leaves the first calls out as well
    required = {
        "0x00000961ef480eb55e80d19ad83579a64c007002": stop,
        "0x0000bbddc7ce488642fb579f8b00f3a590007251": stop,
    }
    before = alloc(**dict.fromkeys(addresses, stores), **required)
    after = transition(t8n, "Prague", alloc=before, env=env, txs=[])["alloc"]
    assert [after[address]["storage"]["0x" + "0" * 64] for address in addresses] == ["0x" + "be" * 32, "0x" + "ab" * 32]
    after = transition(t8n, "Prague", "--state-test", alloc=before, env=env, txs=[])["alloc"]
    assert all("storage" not in after[address] for address in addresses)


def test_contract_sees_the_environment(t8n: Transition) -> None:
    code = sstore(0, number) + sstore(1, blockhash(4)) + sstore(2, prevrandao)
    env = environment(blockHashes={"4": "0x" + "ab" * 32})
    done = transition(
        t8n, "Paris", alloc=alloc(**{CONTRACT: code}), env=env, txs=[transaction(to=CONTRACT, value=None)]
    )
    words = [int(word, 16) for word in done["alloc"][CONTRACT]["storage"].values()]
    assert words == [5, int("ab" * 32, 16), 0xABC]


# Transactions


def test_protection_of_unsigned_transactions(t8n: Transition) -> None:
    def v_of(fork: str, *args: object, **fields: object) -> int:
        done = transition(t8n, fork, *args, alloc=alloc(), env=proof_of_work(), txs=[transaction(**fields)])
        assert "rejected" not in done["result"]
        return int.from_bytes(rlp.decode(bytes.fromhex(done["body"][2:]))[0][6], "big")

    assert v_of("Berlin") in (37, 38)
    assert v_of("Berlin", "--state.chainid", 5) in (45, 46)
    assert v_of("Berlin", protected=False) in (27, 28)
    assert v_of("Frontier") in (27, 28)


def test_transaction_of_another_chain_is_rejected(t8n: Transition) -> None:
    body = transition(t8n, "Berlin", alloc=alloc(), env=proof_of_work(), txs=[transaction()])["body"]
    result = transition(t8n, "Berlin", "--state.chainid", 5, alloc=alloc(), env=proof_of_work(), txs=body)["result"]
    assert [one["error"].partition(":")[0] for one in result["rejected"]] == ["INVALID_CHAINID"]


def test_invalid_transactions_are_rejected_one_by_one(t8n: Transition) -> None:
    txs = [
        transaction(secretKey=None),
        transaction(type="0x7"),
        transaction(gas=hex(1 << 64)),
        transaction(type="0x2", gasPrice=None, maxFeePerGas="0x10", maxPriorityFeePerGas="0x11"),
        transaction(v="0x5", r="0x1", s="0x1"),
        transaction(type="0x3", gasPrice=None, maxFeePerGas="0x10", maxFeePerBlobGas="0x1"),
        transaction(value=hex(10**20)),
        transaction(gas=20_999),
    ]
    result = transition(t8n, "London", alloc=alloc(), env=proof_of_work(), txs=txs)["result"]
    assert [(one["index"], one["error"].partition(":")[0]) for one in result["rejected"]] == [
        (0, "INVALID_SIGNATURE_VRS"),
        (1, "TYPE_NOT_SUPPORTED"),
        (2, "FIELD_OVERFLOW"),
        (3, "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS"),
        (4, "INVALID_SIGNATURE_VRS"),
        (5, "TYPE_NOT_SUPPORTED"),
        (6, "INSUFFICIENT_ACCOUNT_FUNDS"),
        (7, "INTRINSIC_GAS_TOO_LOW"),
    ]
    assert result["receipts"] == []


def test_undecodable_transactions_of_a_body_are_rejected_one_by_one(t8n: Transition) -> None:
    good = transition(t8n, "Berlin", alloc=alloc(), env=proof_of_work(), txs=[transaction()])["body"]
    [item] = rlp.decode(bytes.fromhex(good[2:]))
    body = "0x" + rlp.encode([b"\x02\xc0", item, [], b"", b"\x01\xc1"]).hex()
    result = transition(t8n, "Berlin", alloc=alloc(), env=proof_of_work(), txs=body)["result"]
    assert [one["index"] for one in result["rejected"]] == [0, 2, 3, 4]
    assert len(result["receipts"]) == 1


def test_blobs_without_a_price_are_rejected(t8n: Transition) -> None:
    blob = transaction(
        type="0x3", gasPrice=None, maxFeePerGas="0x20", maxFeePerBlobGas="0x1", blobVersionedHashes=[ZEROS]
    )
    env = environment(currentExcessBlobGas=None)
    result = transition(t8n, "Cancun", alloc=alloc(), env=env, txs=[blob])["result"]
    assert "currentExcessBlobGas" in result["rejected"][0]["error"]
    assert "blobGasUsed" not in result


# Traces


def trace_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("trace-*"))


@pytest.fixture
def traced(t8n: Transition, tmp_path: Path) -> Callable[..., list[Path]]:
    """The trace files of three transactions, of which the second is refused."""
    callee = "0x" + "ca" * 20
    contracts = {CONTRACT: call(bytes.fromhex(callee[2:]), gas=50_000), callee: sstore(1, 2) + revert(0, 0)}
    txs = [transaction(), transaction(nonce="0x7"), transaction(nonce="0x1", to=CONTRACT, value=None)]

    def run(*args: object) -> list[Path]:
        done = transition(
            t8n, "Berlin", "--output.basedir", "out", *args, alloc=alloc(**contracts), env=proof_of_work(), txs=txs
        )
        hashes = [one["transactionHash"] for one in done["result"]["receipts"]]
        found = trace_files(tmp_path / "out")
        assert [path.stem for path in found] == [f"trace-{index}-{one}" for index, one in enumerate(hashes)]
        return found

    return run


def test_trace_has_a_file_for_each_included_transaction(traced: Callable[..., list[Path]]) -> None:
    plain, calling = traced("--trace")
    assert plain.suffix == ".jsonl"
    assert plain.read_text() == '{"output":"","gasUsed":"0x0"}\n'
    lines = [json.loads(line) for line in calling.read_text().splitlines()]
    names = [line["opName"] for line in lines if "opName" in line]
    assert names[-3:] == ["REVERT", "REVERT", "STOP"]  # geth reports a revert twice
    assert {line["depth"] for line in lines if "depth" in line} == {1, 2}
    assert "memory" not in lines[0]


def test_trace_options(traced: Callable[..., list[Path]]) -> None:
    _, calling = traced("--trace", "--trace.nostack", "--trace.callframes")
    lines = [json.loads(line) for line in calling.read_text().splitlines()]
    assert [line["type"] for line in lines if "type" in line] == ["CALL", "CALL"]
    assert {json.dumps(line["stack"]) for line in lines if "stack" in line} == {"null"}


def test_tracers_that_gather(traced: Callable[..., list[Path]]) -> None:
    _, calling = traced("--trace.tracer", "callTracer")
    assert calling.suffix == ".json"
    tree = json.loads(calling.read_text())
    assert [one["error"] for one in tree["calls"]] == ["execution reverted"]


def test_prestate_tracer_with_options(traced: Callable[..., list[Path]]) -> None:
    plain, _ = traced("--trace.tracer", "prestateTracer", "--trace.jsonconfig", '{"diffMode": true}')
    difference = json.loads(plain.read_text())
    assert difference["post"][SOMEBODY] == {"balance": "0x1"}


def test_opcodes_are_counted_over_all_transactions(t8n: Transition) -> None:
    txs = [transaction(to=CONTRACT, nonce=hex(nonce)) for nonce in range(3)] + [transaction(nonce="0x3")]
    done = transition(
        t8n,
        "Berlin",
        *("--opcode.count", "stdout"),
        alloc=alloc(**{CONTRACT: sstore(1, 2) + stop}),
        env=proof_of_work(),
        txs=txs,
    )
    assert done["opcodeCount"] == {"STOP": 3, "SSTORE": 3, "PUSH1": 6}


# Failures


@pytest.mark.parametrize(
    ("fork", "changes", "words"),
    [
        ("Byzantum", {}, "did you mean 'byzantium'?"),
        ("Frontier+1346", {}, "cannot be added"),
        ("BerlinToNowhereAt5", {}, "'Nowhere'"),
        ("Berlin", {"currentDifficulty": None}, "parentDifficulty"),
        ("Berlin", {"currentDifficulty": None, "parentDifficulty": 1, "parentTimestamp": 1000}, "cannot follow"),
        ("Berlin", {"currentDifficulty": None, "parentDifficulty": 1, "currentNumber": 0}, "block 0"),
        ("London", {"currentBaseFee": None}, "parentBaseFee"),
        ("Paris", {"currentDifficulty": "0x1"}, "must be 0"),
        ("Paris", {"currentDifficulty": None, "currentRandom": None}, "currentRandom"),
        ("Shanghai", {"currentDifficulty": None, "withdrawals": None}, "withdrawals"),
        ("Cancun", {"currentDifficulty": None, "parentBeaconBlockRoot": None}, "parentBeaconBlockRoot"),
        ("Berlin", {"ommers": [{"delta": 9, "address": COINBASE}]}, "ommers[0].delta"),
        ("Berlin", {"currentDifficulty": None, "parentDifficulty": 1, "currentNumber": (1 << 64) - 1}, "256 bits"),
        ("Cancun", {"currentDifficulty": None, "currentExcessBlobGas": (1 << 64) - 1}, "currentExcessBlobGas"),
        (
            "Cancun",
            {
                "currentDifficulty": None,
                "currentExcessBlobGas": None,
                "parentExcessBlobGas": 0,
                "parentBlobGasUsed": (1 << 64) - 1,
            },
            "parentBlobGasUsed",
        ),
        (
            "London",
            {
                "currentBaseFee": None,
                "parentBaseFee": (1 << 256) - 1,
                "parentGasLimit": 2,
                "parentGasUsed": 2,
            },
            "parentBaseFee",
        ),
        (
            "Osaka",
            {
                "currentDifficulty": None,
                "currentExcessBlobGas": None,
                "parentExcessBlobGas": 0,
                "parentBlobGasUsed": 0,
            },
            "EIP-7918",
        ),
    ],
)
def test_unusable_fork_or_environment_exits_with_3(
    t8n: Transition, tmp_path: Path, fork: str, changes: dict[str, object], words: str
) -> None:
    line = failure(t8n("--state.fork", fork, alloc={}, env=proof_of_work(**changes), txs=[]), 3)
    assert words in line
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("tracer", [("callTracr", "{}"), ("callTracer", "{"), ("prestateTracer", '{"diffMode": 1}')])
def test_unusable_tracer_exits_with_3(t8n: Transition, tracer: tuple[str, str]) -> None:
    name, config = tracer
    flags = ("--state.fork", "Berlin", "--trace.tracer", name, "--trace.jsonconfig", config)
    assert "--trace." in failure(t8n(*flags, alloc={}, env=proof_of_work(), txs=[]), 3)


def test_invalid_block_exits_with_2(t8n: Transition) -> None:
    line = failure(t8n("--state.fork", "Prague", alloc=alloc(), env=environment(), txs=[transaction()]), 2)
    assert "0x00000961ef480eb55e80d19ad83579a64c007002: no code" in line


def test_more_ether_than_a_balance_can_tell_exits_with_2(t8n: Transition) -> None:
    state = {COINBASE: {"balance": hex((1 << 256) - 1)}}
    flags = ("--state.fork", "Berlin", "--state.reward", "1")
    assert "256 bits" in failure(t8n(*flags, alloc=state, env=proof_of_work(), txs=[]), 2)


def test_missing_block_hash_exits_with_4(t8n: Transition) -> None:
    contracts = alloc(**{CONTRACT: sstore(0, blockhash(3))})
    env = proof_of_work(blockHashes={"0x4": ZEROS})
    line = failure(t8n("--state.fork", "Berlin", alloc=contracts, env=env, txs=[transaction(to=CONTRACT)]), 4)
    assert "block 3" in line


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("alloc", b"{", "line 1, column 2"),
        ("alloc", b"[" * 100_000, "nested too deeply"),
        ("alloc", [], "must be an object"),
        ("alloc", {"0x12": {}}, "address"),
        ("alloc", {SENDER: {"balance": "-1"}}, "must not be negative"),
        ("alloc", {SENDER: {"nonce": hex(1 << 64)}}, "nonce"),
        ("alloc", {SENDER: {"code": "0x1"}}, "code"),
        ("alloc", {SENDER: {"storage": {"x": "0x1"}}}, "storage"),
        ("alloc", {SENDER: 1}, "must be an object"),
        ("env", b"\xff", "not UTF-8"),
        ("env", b"", "line 1, column 1"),
        ("env", [], "must be an object"),
        ("env", {}, "currentNumber: missing"),
        ("env", environment(currentNumber="five"), "currentNumber"),
        ("env", environment(currentNumber=-5), "must not be negative"),
        ("env", environment(currentGasLimit=1 << 64), "does not fit in 64 bits"),
        ("env", environment(currentGasLimit=1.5), "whole number"),
        ("env", environment(currentCoinbase="0x12"), "20 bytes"),
        ("env", environment(currentCoinbase=5), "hex text"),
        ("env", environment(blockHashes={"x": ZEROS}), "blockHashes"),
        ("env", environment(blockHashes=[]) | {"blockHashes": [1]}, "must be an object"),
        ("env", environment(withdrawals={}), "must be a list"),
        ("env", environment(withdrawals=[{}]), "withdrawals[0].index: missing"),
        ("env", environment(parentBeaconBlockRoot="0x" + "11" * 33), "parentBeaconBlockRoot"),
        ("env", b'{"currentNumber": ' + b"9" * 10_000 + b"}", "env.json"),
        ("txs", {}, "must be a list"),
        ("txs", [7], "txs[0]: must be an object"),
        ("txs", [transaction(gas="lots")], "txs[0].gas"),
        ("txs", [transaction(value=-1)], "txs[0].value"),
        ("txs", [transaction(to="0x12")], "txs[0].to"),
        ("txs", [transaction(input="0xzz")], "txs[0].input"),
        ("txs", [transaction(secretKey="0x12")], "txs[0].secretKey"),
        ("txs", [transaction(secretKey=ZEROS)], "private key"),
        ("txs", [transaction(protected="no")], "txs[0].protected"),
        ("txs", [transaction(accessList=[{"address": SOMEBODY, "storageKeys": [[]]}])], "accessList[0].storageKeys[0]"),
        ("txs", [transaction(authorizationList=[{}])], "authorizationList[0].address: missing"),
        ("txs", [transaction(blobVersionedHashes=["0x01"])], "blobVersionedHashes"),
        ("txs", "0xzz", "not a hex digit"),
    ],
)
def test_unreadable_json_exits_with_10(t8n: Transition, name: str, value: object, words: str) -> None:
    inputs = {"alloc": {}, "env": environment(), "txs": []} | {name: value}
    assert words in failure(t8n("--state.fork", "Shanghai", **inputs), 10)


@pytest.mark.parametrize("stdin", ["", "[]", "{}", "\0"])
def test_unreadable_stdin_exits_with_10(t8n: Transition, stdin: str) -> None:
    assert "stdin" in failure(t8n("--input.alloc", "stdin", env=proof_of_work(), txs=[], stdin=stdin), 10)


def test_missing_and_unwritable_files_exit_with_11(t8n: Transition, tmp_path: Path) -> None:
    assert "alloc.json" in failure(t8n("--state.fork", "Paris", env=environment(), txs=[]), 11)
    (tmp_path / "file").write_text("")
    flags = ("--state.fork", "Paris", "--output.basedir", "file/folder")
    assert "file/folder" in failure(t8n(*flags, alloc={}, env=environment(), txs=[]), 11)
    flags = ("--state.fork", "Paris", "--output.result", "no/such/folder.json")
    assert "no/such" in failure(t8n(*flags, alloc={}, env=environment(), txs=[]), 11)


@pytest.mark.parametrize("body", ["0x80", "0xc1", "0xc000", "0xf8"])
def test_body_that_is_no_list_exits_with_12(t8n: Transition, body: str) -> None:
    assert "txs" in failure(t8n("--state.fork", "Paris", alloc={}, env=environment(), txs=body), 12)


@pytest.mark.parametrize("flag", ["--state.chainid", "--state.reward", "--verbosity"])
@pytest.mark.parametrize("value", ["many", "1.5", "0x" + "f" * 16, "9" * 5_000, "-2"])
def test_flag_that_is_no_number_is_a_usage_error(t8n: Transition, flag: str, value: str) -> None:
    result = t8n(flag, value, alloc={}, env=environment(), txs=[])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert flag in result.stderr
    assert len(result.stderr.splitlines()) <= 2


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 1 << 70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["0x", "0x0", "0x1", "-0x1", "0x" + "f" * 64, "0x" + "f" * 65, SENDER, SOMEBODY, CONTRACT, ZEROS]),
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner))
FULL_TRANSACTION = transaction(
    type="0x4",
    maxFeePerGas="0x20",
    maxPriorityFeePerGas="0x1",
    accessList=[{"address": SOMEBODY, "storageKeys": ["0x1"]}],
    authorizationList=[{"chainId": 0, "address": SOMEBODY, "nonce": 0, "v": 0, "r": 1, "s": 1}],
)
FULL_ENVIRONMENT = environment(
    ommers=[{"delta": 1, "address": SOMEBODY}],
    withdrawals=[{"index": 0, "validatorIndex": 0, "address": SOMEBODY, "amount": 1}],
    blockHashes={"0x4": ZEROS},
)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a JSON value has values."""
    yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from places(inner, (*path, step))


def changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """A JSON value with another one at `path`."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_is_used_or_refused(t8n: Transition, data: st.DataObject) -> None:
    inputs: dict[str, Any] = {
        "alloc": alloc(**{CONTRACT: sstore(0, 1)}),
        "env": FULL_ENVIRONMENT,
        "txs": [FULL_TRANSACTION, transaction(to=CONTRACT)],
    }
    path = data.draw(st.sampled_from([path for path in places(inputs) if path]))
    fork = data.draw(st.sampled_from(["Frontier", "Berlin", "Shanghai", "Osaka"]))
    flags = ("--state-test", "--state.fork", fork, "--output.result", "stdout")
    result = t8n(*flags, **changed(inputs, path, data.draw(JSON)))
    if result.exit_code:
        failure(result, result.exit_code)
        assert result.exit_code in (3, 10, 12)
    else:
        assert "stateRoot" in json.loads(result.stdout)["result"]


# Rulesets


@pytest.mark.parametrize(
    ("name", "number", "time", "fork"),
    [
        ("FrontierToHomesteadAt5", 4, 0, "frontier"),
        ("FrontierToHomesteadAt5", 5, 0, "homestead"),
        ("HomesteadToEIP150At5", 5, 0, "tangerine_whistle"),
        ("ShanghaiToCancunAtTime15k", 99_999, 14_999, "shanghai"),
        ("ShanghaiToCancunAtTime15k", 1, 15_000, "cancun"),
        ("ConstantinopleFix", 0, 0, "petersburg"),
        ("MuirGlacier", 0, 0, "istanbul"),
        ("GrayGlacier", 0, 0, "london"),
        ("Merge", 0, 0, "paris"),
        ("BPO2", 0, 0, "bpo2"),
    ],
)
def test_rulesets_by_the_names_of_test_tools(name: str, number: int, time: int, fork: str) -> None:
    assert ruleset_named(name, number, time).fork.name == fork


def test_blob_only_forks_differ_in_nothing_but_blobs() -> None:
    osaka = fork_named("osaka")
    changed = osaka.differences(ruleset_named("OsakaToBPO1AtTime15k", 0, 15_000).fork)
    assert set(changed) == {"blob_target", "blob_limit", "blob_fee_fraction"}


# Public state tests, as blocks of one transaction

SAMPLE = {
    "legacytests_constantinople": [
        "stPreCompiledContracts2/CallSha256_3_postfix0.json",
        "stCallCreateCallCodeTest/callOutput3partialFail.json",
        "stChangedEIP150/callcodecallcallcode_101_OOGMAfter_3.json",
        "stWalletTest/walletConstructionOOG.json",
        "stReturnDataTest/returndatasize_after_failing_callcode.json",
        "stExtCodeHash/extCodeHashChangedAccount.json",
        "stRandom2/randomStatetest587.json",
        "stRefundTest/refund50_1.json",
    ],
    "legacytests_cancun": [
        "stSystemOperationsTest/CallRecursiveBombLog2.json",
        "stExample/accessListExample.json",
        "stExample/eip1559.json",
        "stEIP1559/lowGasPriceOldTypes.json",
        "stEIP3607/transactionCollidingWithNonEmptyAccount_send_Paris.json",
        "Pyspecs/shanghai/eip3855_push0/push0_before_jumpdest.json",
    ],
    "ethereum_tests": [
        "stExtCodeHash/extCodeHashDeletedAccount1Cancun.json",
        "Cancun/stEIP4844-blobtransactions/blobhashListBounds7.json",
    ],
    "execution_specs": [
        "Prague/prague/eip7702_set_code_tx/set_code_txs/set_code_from_account_with_non_delegating_code.json",
        "Prague/istanbul/eip152_blake2/blake2_delegatecall/blake2_precompile_delegatecall.json",
        "Osaka/ported_static/stEIP4844_blobtransactions/create_blobhash_tx/create_blobhash_tx.json",
        "Osaka/cancun/eip4844_blobs/blob_txs/invalid_blob_hash_versioning_single_tx.json",
    ],
}
CASES_BY_FORK = 2
"""From each file."""
FORKS_SEEN = 15


def sample_of(file: Path) -> list[Case]:
    """The first cases of each fork."""
    seen: dict[str, list[Case]] = {}
    for case in read_cases(file):
        seen.setdefault(case.fork, []).append(case)
    return [case for cases in seen.values() for case in cases[:CASES_BY_FORK]]


def as_environment(case: Case) -> dict[str, Any]:
    """The case's environment with what a block has besides: the tests' block hashes, no withdrawals."""
    given = case.environment
    env = {name: given[name] for name in given if name.startswith("current")}
    env["currentRandom"] = given.get("currentRandom") or "0x0"
    if fork_named(case.fork).rules.proof_of_stake:
        env["currentDifficulty"] = None
    height = int(given["currentNumber"], 0)
    hashes = {n: "0x" + keccak256(str(n).encode()).hex() for n in range(max(0, height - 256), height)}
    return {**env, "blockHashes": hashes, "parentBeaconBlockRoot": ZEROS, "withdrawals": []}


def as_transactions(case: Case) -> Any:
    """The case's transaction: as the bytes that it comes with, else its fields and the key to sign them."""
    if case.transaction_bytes:
        encoded = bytes.fromhex(case.transaction_bytes[2:])
        item = rlp.decode(encoded) if encoded[0] >= 0xC0 else encoded
        return "0x" + rlp.encode([item]).hex()
    fields = dict(case.transaction)
    chosen = {
        "gas": fields.pop("gasLimit")[case.gas_index],
        "value": fields.pop("value")[case.value_index],
        "input": fields.pop("data")[case.data_index],
        "accessList": (fields.pop("accessLists", None) or {case.data_index: None})[case.data_index],
    }
    return [{**fields, **chosen}]


def outcome_of(t8n: Transition, case: Case) -> dict[str, Any]:
    """The result of the case as a block. Refused transactions of these tests touch the miner, as a reward of 0 does."""
    flags = ["--state.reward", 0 if case.expected_exception else -1]
    if fork_named(case.fork).rules.request_contracts:
        flags.append("--state-test")  # the tests' states do not have the contracts that a block needs
    done = transition(t8n, case.fork, *flags, alloc=case.pre, env=as_environment(case), txs=as_transactions(case))
    result: dict[str, Any] = done["result"]
    return result


@pytest.mark.parametrize("file", [f"{folder}/{name}" for folder, names in SAMPLE.items() for name in names])
def test_state_test_as_a_block_has_the_expected_root(t8n: Transition, fixtures_folder: Path, file: str) -> None:
    cases = sample_of(fixtures_folder / "state_tests" / file)
    assert cases
    for case in cases:
        result = outcome_of(t8n, case)
        assert result["stateRoot"] == "0x" + case.expected_root.hex(), case.name
        assert result["logsHash"] == "0x" + case.expected_logs.hex(), case.name
        assert bool(result.get("rejected")) is bool(case.expected_exception), case.name


def test_sample_reaches_every_fork(fixtures_folder: Path) -> None:
    files = [fixtures_folder / "state_tests" / folder / name for folder, names in SAMPLE.items() for name in names]
    cases = [case for file in files for case in sample_of(file)]
    assert len({fork_named(case.fork) for case in cases}) == FORKS_SEEN
    assert any(case.expected_exception for case in cases)


# Engines


def test_engine_can_be_named(t8n: Transition) -> None:
    inputs: dict[str, Any] = {"alloc": alloc(), "env": proof_of_work(), "txs": [transaction()]}
    assert t8n("--engine", "reference", "--state.fork", "Berlin", **inputs).exit_code == 0
    unknown = t8n("--engine", "fast", "--state.fork", "Berlin", **inputs)
    assert unknown.exit_code != 0
    assert "engine" in unknown.stderr
