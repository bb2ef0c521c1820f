"""What development nodes do on command, under all names that tools use for it; and what is only ours."""

from __future__ import annotations

import gzip
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from vmloom.factory import VmFactory
from vmloom_evm.assembly import and_, mul, pop, prevrandao, ret_top, return_, sload, staticcall
from vmloom_evm.demo.abi import Artifact
from vmloom_node.config import RpcConfig
from vmloom_node.rpc.contracts import Creations, contracts_json
from vmloom_node.rpc.dispatcher import Dispatcher

from .conftest import COUNT, COUNTER, COUNTER_INIT, ERROR_NO_MORE, FAIL, SAY_NO, Rpc, RpcFailure, rpc_of, word

SOMEBODY = "0x" + "ab" * 20


def latest(rpc: Rpc) -> Any:
    return rpc("eth_getBlockByNumber", "latest", False)


def test_snapshots_are_gone_back_to_and_used_up(rpc: Rpc, accounts: list[str], counter: str) -> None:
    before, head = rpc("evm_snapshot"), latest(rpc)
    rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT)})
    later = rpc("anvil_snapshot")
    assert rpc("eth_getStorageAt", counter, "0x0") == word(1)
    assert rpc("evm_revert", before) is True
    assert latest(rpc) == head
    assert rpc("eth_getStorageAt", counter, "0x0") == word(0)
    assert rpc("evm_revert", before) is rpc("anvil_revert", later) is rpc("evm_revert", "0x77") is False


def test_blocks_are_made_on_command(rpc: Rpc) -> None:
    assert rpc("evm_mine") == "0x0"
    begin = int(latest(rpc)["timestamp"], 16)
    rpc("evm_mine", {"blocks": 3, "timestamp": begin + 50})
    assert rpc("eth_blockNumber") == "0x4"
    assert int(rpc("eth_getBlockByNumber", "0x2", False)["timestamp"], 16) == begin + 50
    rpc("evm_mine", hex(begin + 100))
    assert int(latest(rpc)["timestamp"], 16) == begin + 100
    assert rpc("hardhat_mine", "0x3", "0x3c") is True
    assert int(latest(rpc)["timestamp"], 16) - int(rpc("eth_getBlockByNumber", "0x6", False)["timestamp"], 16) == 120
    assert rpc("anvil_mine", 2) is None
    assert rpc("eth_blockNumber") == "0xa"
    with pytest.raises(RpcFailure, match="the limit is"):
        rpc("anvil_mine", 10**9)
    with pytest.raises(RpcFailure, match="not later"):
        rpc("evm_mine", 5)
    with pytest.raises(RpcFailure, match="must be a decimal number"):
        rpc("evm_mine", {"blocks": "many"})


def test_many_blocks_keep_their_distance_and_the_time_limit(
    make_dispatcher: Callable[..., Dispatcher], rpc: Rpc
) -> None:
    rpc("anvil_mine", 120, 10)
    times = [int(rpc("eth_getBlockByNumber", hex(n), False)["timestamp"], 16) for n in range(1, 121)]
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {10}
    hasty = rpc_of(make_dispatcher(RpcConfig(timeout_s=0.02)))
    with pytest.raises(RpcFailure, match="timed out"):
        hasty("anvil_mine", 10_000)
    assert 0 < int(hasty("eth_blockNumber"), 16) < 10_000


def test_time_is_moved(rpc: Rpc) -> None:
    rpc("evm_mine")
    begin = int(latest(rpc)["timestamp"], 16)
    assert rpc("evm_increaseTime", 1_000) == 1_000
    assert rpc("evm_increaseTime", "0x3e8") == 2_000
    rpc("evm_mine")
    assert 2_000 <= int(latest(rpc)["timestamp"], 16) - begin < 2_060
    rpc("evm_setNextBlockTimestamp", begin + 10_000)
    rpc("evm_mine")
    assert int(latest(rpc)["timestamp"], 16) == begin + 10_000
    with pytest.raises(RpcFailure, match="not later"):
        rpc("anvil_setNextBlockTimestamp", begin)
    rpc("anvil_setBlockTimestampInterval", 7)
    rpc("anvil_mine", 2)
    assert int(latest(rpc)["timestamp"], 16) == begin + 10_014
    assert rpc("anvil_removeBlockTimestampInterval") is True
    assert rpc("anvil_removeBlockTimestampInterval") is False
    assert rpc("evm_setTime", begin + 50_000) > 30_000
    rpc("evm_mine")
    assert 0 <= int(latest(rpc)["timestamp"], 16) - (begin + 50_000) < 60


def test_mining_is_switched_over(rpc: Rpc, accounts: list[str]) -> None:
    assert rpc("anvil_getAutomine") is True
    rpc("evm_setAutomine", False)
    rpc("eth_sendTransaction", {"from": accounts[0], "to": accounts[1]})
    assert (rpc("hardhat_getAutomine"), rpc("eth_blockNumber")) == (False, "0x0")
    rpc("evm_setIntervalMining", 1)
    deadline = time.monotonic() + 30
    while rpc("eth_blockNumber") == "0x0" and time.monotonic() < deadline:
        time.sleep(0.05)
    rpc("evm_setIntervalMining", 0)
    assert len(rpc("eth_getBlockByNumber", "0x1", False)["transactions"]) == 1


def test_the_next_block_gets_what_is_set_for_it(rpc: Rpc, accounts: list[str]) -> None:
    rpc("anvil_setCoinbase", SOMEBODY)
    rpc("anvil_setNextBlockBaseFeePerGas", hex(7 * 10**9))
    rpc("evm_setBlockGasLimit", hex(15_000_000))
    rpc("hardhat_setPrevRandao", word(1234))
    rpc("evm_mine")
    block = latest(rpc)
    assert (block["miner"], block["baseFeePerGas"]) == (SOMEBODY, hex(7 * 10**9))
    assert (block["gasLimit"], block["mixHash"]) == (hex(15_000_000), word(1234))
    rpc("anvil_setCode", accounts[9], "0x" + bytes(ret_top(prevrandao)).hex())
    assert rpc("eth_call", {"to": accounts[9]}) == word(1234)
    rpc("evm_mine")
    assert latest(rpc)["gasLimit"] == hex(15_000_000)
    assert rpc("eth_coinbase") == SOMEBODY


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("anvil_setBlockTimestampInterval", 2**63, "1 to 1000000000 seconds"),
        ("anvil_setBlockTimestampInterval", 0, "1 to 1000000000 seconds"),
        ("evm_setBlockGasLimit", 2**63, "at most"),
        ("evm_increaseTime", 2**64 - 1, "would not fit"),
        ("evm_setTime", 2**63, "does not fit"),
    ],
)
def test_what_no_header_could_hold_is_refused(rpc: Rpc, name: str, value: int, words: str) -> None:
    with pytest.raises(RpcFailure, match=words):
        rpc(name, value)
    rpc("evm_mine")
    assert rpc("eth_blockNumber") == "0x1"


@pytest.mark.parametrize("prefix", ["anvil", "hardhat"])
def test_accounts_are_set_as_no_transaction_could(rpc: Rpc, prefix: str) -> None:
    assert rpc(f"{prefix}_setBalance", SOMEBODY, hex(5)) is True
    assert rpc(f"{prefix}_setNonce", SOMEBODY, 9) is True
    assert rpc(f"{prefix}_setCode", SOMEBODY, "0x" + COUNTER.hex()) is True
    assert rpc(f"{prefix}_setStorageAt", SOMEBODY, "0x0", word(6)) is True
    assert (rpc("eth_getBalance", SOMEBODY), rpc("eth_getTransactionCount", SOMEBODY)) == ("0x5", "0x9")
    assert rpc("eth_call", {"to": SOMEBODY, "data": word(COUNT)}) == word(7)
    rpc("anvil_addBalance", SOMEBODY, "0x10")
    assert rpc("eth_getBalance", SOMEBODY) == "0x15"
    with pytest.raises(RpcFailure, match="would not fit 256 bits"):
        rpc("anvil_addBalance", SOMEBODY, hex(2**256 - 1))
    # A block after it has the root of the changed state.
    proof = rpc("eth_getProof", SOMEBODY, [], "latest")
    assert (proof["balance"], proof["nonce"]) == ("0x15", "0x9")


def test_any_account_can_be_impersonated(rpc: Rpc, accounts: list[str]) -> None:
    rpc("anvil_setBalance", SOMEBODY, hex(10**18))
    request = {"from": SOMEBODY, "to": accounts[0], "value": "0x1"}
    with pytest.raises(RpcFailure, match="unknown account"):
        rpc("eth_sendTransaction", request)
    rpc("hardhat_impersonateAccount", SOMEBODY)
    tx = rpc("eth_getTransactionByHash", rpc("eth_sendTransaction", request))
    assert tx["from"] == SOMEBODY
    assert rpc("anvil_stopImpersonatingAccount", SOMEBODY) is True
    assert rpc("anvil_stopImpersonatingAccount", SOMEBODY) is False
    with pytest.raises(RpcFailure, match="unknown account"):
        rpc("eth_sendTransaction", request)
    rpc("anvil_autoImpersonateAccount", True)
    assert rpc("eth_sendTransaction", request)


def test_transactions_are_taken_out_of_the_mempool(make_dispatcher: Callable[..., Dispatcher]) -> None:
    rpc = rpc_of(make_dispatcher(mining="manual"))
    first, second, third = rpc("eth_accounts")[:3]
    sent = [rpc("eth_sendTransaction", {"from": one, "to": third}) for one in (first, first, second, second)]
    assert rpc("anvil_dropTransaction", sent[1]) == sent[1]
    assert rpc("anvil_dropTransaction", sent[1]) is None
    assert rpc("hardhat_dropTransaction", sent[0]) is True
    assert rpc("hardhat_dropTransaction", sent[0]) is False
    assert rpc("txpool_status")["pending"] == "0x2"
    rpc("anvil_removePoolTransactions", second)
    assert rpc("txpool_status")["pending"] == "0x0"
    rpc("eth_sendTransaction", {"from": first, "to": third})
    rpc("anvil_dropAllTransactions")
    assert rpc("txpool_status")["pending"] == "0x0"
    rpc("anvil_setMinGasPrice", hex(10**12))
    with pytest.raises(RpcFailure, match="transaction underpriced"):
        rpc("eth_sendTransaction", {"from": first, "to": third, "maxFeePerGas": hex(10**10)})


def test_a_state_is_carried_to_another_node(
    rpc: Rpc, accounts: list[str], counter: str, make_dispatcher: Callable[..., Dispatcher]
) -> None:
    rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT)})
    other = rpc_of(make_dispatcher())
    assert other("anvil_loadState", rpc("anvil_dumpState")) is True
    assert other("eth_getStorageAt", counter, "0x0") == word(1)
    assert other("eth_getBalance", accounts[0]) == rpc("eth_getBalance", accounts[0])
    assert other("eth_getTransactionCount", accounts[0]) == "0x2"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cut short"),
        (b"nonsense", "not what anvil_dumpState writes"),
        (gzip.compress(b"{", mtime=0)[:-4], "cut short"),
        (gzip.compress(b"{", mtime=0), "not what anvil_dumpState writes"),
        (gzip.compress(b"[" * 100_000, mtime=0), "not what anvil_dumpState writes"),
        (gzip.compress(b'{"0x12": {}}', mtime=0), "0x12"),
    ],
)
def test_what_is_no_state_is_refused(rpc: Rpc, data: bytes, words: str) -> None:
    root = latest(rpc)
    with pytest.raises(RpcFailure, match=words):
        rpc("anvil_loadState", "0x" + data.hex())
    assert latest(rpc) == root


def test_a_state_that_would_fill_the_memory_is_refused(rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmloom_node.rpc.methods.development._MAX_STATE_BYTES", 1_000)
    with pytest.raises(RpcFailure, match="more than 1000 bytes"):
        rpc("anvil_loadState", "0x" + gzip.compress(b" " * 100_000 + b"{}", mtime=0).hex())


def test_a_reset_goes_back_to_the_genesis_block(rpc: Rpc, counter: str) -> None:
    assert rpc("hardhat_reset", {}) is True
    assert (rpc("eth_blockNumber"), rpc("eth_getCode", counter)) == ("0x0", "0x")
    with pytest.raises(RpcFailure, match="does not fork"):
        rpc("anvil_reset", {"forking": {"jsonRpcUrl": "https://example.org"}})


def test_the_node_tells_of_itself(rpc: Rpc, counter: str) -> None:
    info, metadata = rpc("anvil_nodeInfo"), rpc("hardhat_metadata")
    assert (info["currentBlockNumber"], info["hardFork"]) == (1, "osaka")
    assert info["environment"]["chainId"] == metadata["chainId"] == 31337
    assert metadata["latestBlockHash"] == info["currentBlockHash"] == latest(rpc)["hash"]
    ours = rpc("vmloom_nodeInfo")
    assert (ours["head"], ours["store"], ours["mining"], ours["hardfork"]) == ("0x1", "memory", "transaction", "osaka")
    assert "evm" in [machine["name"] for machine in ours["vms"]]
    numbers = rpc("vmloom_metrics")
    assert numbers["vmloom_head_number"] == 1
    assert numbers['vmloom_rpc_calls_total{method="vmloom_nodeInfo",outcome="ok"}'] == 1


def test_contracts_are_listed_with_their_machines_and_creators(
    dispatcher: Dispatcher, rpc: Rpc, accounts: list[str], counter: str
) -> None:
    (found,) = (one for one in rpc("vmloom_contracts") if one["address"] == counter)
    created = rpc("eth_getBlockByNumber", "0x1", False)["transactions"][0]
    assert found == {
        "address": counter,
        "vm": "evm",
        "codeSize": len(COUNTER),
        "blockNumber": "0x1",
        "creator": accounts[0],
        "transactionHash": created,
    }
    listed = [one["address"] for one in rpc("vmloom_contracts")]
    assert listed == sorted(listed)
    assert [one["address"] for one in rpc("vmloom_contracts", 2, listed[0])] == listed[1:3]
    with pytest.raises(RpcFailure, match="limit: 1 to 1000"):
        rpc("vmloom_contracts", 0)
    # What was reverted is forgotten, and what took its place is found.
    creations = Creations(dispatcher.chain)
    before = rpc("evm_snapshot")
    rpc("eth_sendTransaction", {"from": accounts[1], "data": COUNTER_INIT})
    assert len(creations.get()) == 2
    rpc("evm_revert", before)
    rpc("eth_sendTransaction", {"from": accounts[2], "data": COUNTER_INIT})
    assert sorted(one.creator.hex() for one in creations.get().values()) == sorted([accounts[0][2:], accounts[2][2:]])
    assert contracts_json(dispatcher.chain, creations, 1_000, None) == rpc("vmloom_contracts")


def test_code_is_deployed_for_the_machine_that_is_named(rpc: Rpc, accounts: list[str]) -> None:
    if "wasm" not in VmFactory().available():
        pytest.skip("needs vmloom-wasm")
    data = rpc("vmloom_encodeDeployment", "wasm", "0x0061736d01000000")
    assert data.startswith("0xef564d047761736d")
    with pytest.raises(RpcFailure, match="wasn"):
        rpc("vmloom_encodeDeployment", "wasn", "0x00")


def test_a_contract_of_another_machine_is_deployed_and_named(rpc: Rpc, accounts: list[str]) -> None:
    if "wasm" not in VmFactory().available():
        pytest.skip("needs vmloom-wasm")
    code = (Path(__file__).parents[3] / "examples/wasm-token/token-c.wasm").read_bytes()
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "data": "0x" + code.hex(), "vm": "wasm"})
    receipt = rpc("eth_getTransactionReceipt", digest)
    assert (receipt["status"], receipt["vm"]) == ("0x1", "wasm")
    token = receipt["contractAddress"]
    (listed,) = (one for one in rpc("vmloom_contracts") if one["address"] == token)
    assert (listed["vm"], listed["creator"]) == ("wasm", accounts[0])
    initialize = {"from": accounts[0], "to": token, "data": "0xfe4b84df" + f"{1_000:064x}"}
    called = rpc("eth_getTransactionReceipt", rpc("eth_sendTransaction", initialize))
    assert (called["status"], called["vm"]) == ("0x1", "wasm")
    assert rpc("eth_call", {"to": token, "data": "0x18160ddd"}) == word(1_000)


def test_mined_blocks_are_told_with_what_transactions_returned(rpc: Rpc, accounts: list[str], counter: str) -> None:
    rpc("evm_setAutomine", False)
    for what in (COUNT, SAY_NO, FAIL):
        rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(what), "gas": "0x186a0"})
    rpc("eth_sendTransaction", {"from": accounts[0], "data": COUNTER_INIT})
    begin = int(latest(rpc)["timestamp"], 16)
    full, empty = rpc("evm_mine_detailed", {"blocks": 2, "timestamp": begin + 7})
    outcomes = [(tx["output"], tx.get("revertReason")) for tx in full["transactions"]]
    assert outcomes == [
        (word(1), None),
        ("0x" + ERROR_NO_MORE.hex(), "no more"),
        ("0x", None),
        ("0x" + COUNTER.hex(), None),
    ]
    assert (full["timestamp"], empty["transactions"]) == (hex(begin + 7), [])
    assert empty == rpc("eth_getBlockByNumber", "latest", True)
    assert rpc("anvil_mine_detailed")[0]["number"] == rpc("eth_blockNumber")
    with pytest.raises(RpcFailure, match="the limit is 1000 if they are to be told"):
        rpc("evm_mine_detailed", {"blocks": 1_001})
    assert rpc("hardhat_intervalMine") is True
    assert rpc("eth_blockNumber") == "0x5"


def test_the_interval_between_blocks_is_told(rpc: Rpc) -> None:
    assert rpc("anvil_getIntervalMining") is None
    rpc("evm_setIntervalMining", 3600)
    assert rpc("anvil_getIntervalMining") == rpc("hardhat_getIntervalMining") == 3600
    rpc("evm_setIntervalMining", 0)
    assert rpc("anvil_getIntervalMining") is None


def test_requests_are_logged_as_clients_switch_it(rpc: Rpc) -> None:
    with structlog.testing.capture_logs() as logs:
        rpc("eth_chainId")
        assert rpc("hardhat_setLoggingEnabled", True) is True
        rpc("eth_blockNumber")
        assert rpc("anvil_setLoggingEnabled", False) is True
        rpc("eth_gasPrice")
    told = [entry["method"] for entry in logs if entry["event"] == "call"]
    assert told == ["hardhat_setLoggingEnabled", "eth_blockNumber"]


def test_the_time_of_the_first_block_is_told(rpc: Rpc) -> None:
    assert hex(rpc("anvil_getGenesisTime")) == rpc("eth_getBlockByNumber", "0x0", False)["timestamp"]


@pytest.mark.parametrize("code", ["0x", "0x00"])
@pytest.mark.parametrize("vm", ["nothing", "\ud800"])
def test_code_of_a_machine_that_is_not_there_is_refused(rpc: Rpc, code: str, vm: str) -> None:
    with pytest.raises(RpcFailure, match="no usable virtual machine"):
        rpc("anvil_setCode", SOMEBODY, code, vm)


# Tokens


def _token(rpc: Rpc, owner: str) -> tuple[str, Artifact]:
    artifact = Artifact.load("vmloom_evm.demo", "token.json")
    digest = rpc("eth_sendTransaction", {"from": owner, "data": "0x" + artifact.bytecode.hex()})
    return rpc("eth_getTransactionReceipt", digest)["contractAddress"], artifact


def test_balances_and_allowances_of_a_token_are_set(rpc: Rpc, accounts: list[str]) -> None:
    token, artifact = _token(rpc, accounts[0])
    holder, spender = (bytes.fromhex(one[2:]) for one in accounts[1:3])

    def ask(method: str, *values: bytes) -> int:
        return int(rpc("eth_call", {"to": token, "data": "0x" + artifact.encode_call(method, *values).hex()}), 16)

    assert rpc("anvil_dealERC20", accounts[1], token, "0x64") is None
    assert (ask("balanceOf", holder), ask("balanceOf", spender), ask("totalSupply")) == (100, 0, 0)
    for amount in (100, 0, 2**256 - 1):  # what it has, nothing, all there can be
        rpc("hardhat_dealERC20", accounts[1], token, amount)
        assert (ask("balanceOf", holder), ask("balanceOf", spender), ask("totalSupply")) == (amount, 0, 0)
    rpc("anvil_setERC20Balance", accounts[1], token, 7)
    rpc("anvil_setERC20Allowance", accounts[1], accounts[2], token, "0x5")
    assert (ask("allowance", holder, spender), ask("allowance", spender, holder)) == (5, 0)
    data = artifact.encode_call("transferFrom", holder, spender, 5)
    digest = rpc("eth_sendTransaction", {"from": accounts[2], "to": token, "data": "0x" + data.hex()})
    assert rpc("eth_getTransactionReceipt", digest)["status"] == "0x1"
    assert (ask("balanceOf", holder), ask("balanceOf", spender)) == (2, 5)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"", "there is no slot that it just tells"),
        (bytes(ret_top(7)), "there is no slot that it just tells"),
        (bytes(ret_top(mul(sload(3), 2))), "there is no slot that it just tells"),
        (bytes(ret_top(and_(sload(3), (1 << 96) - 1))), "does not tell"),
    ],
    ids=["no code", "a constant", "shares", "96 bits"],
)
def test_what_a_token_does_not_keep_in_a_slot_cannot_be_set(rpc: Rpc, code: bytes, words: str) -> None:
    rpc("anvil_setCode", SOMEBODY, "0x" + code.hex())
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("anvil_dealERC20", "0x" + "11" * 20, SOMEBODY, hex(1 << 100))
    assert caught.value.code == -32602
    assert rpc("eth_getStorageAt", SOMEBODY, "0x3") == word(0)


def test_a_token_may_keep_its_numbers_elsewhere(rpc: Rpc) -> None:
    store = "0x" + "5a" * 20
    rpc("anvil_setCode", store, "0x" + bytes(ret_top(sload(9))).hex())
    asking = pop(staticcall(bytes.fromhex(store[2:]), output=(0, 32))) + return_(0, 32)
    rpc("anvil_setCode", SOMEBODY, "0x" + bytes(asking).hex())
    rpc("anvil_dealERC20", "0x" + "11" * 20, SOMEBODY, 12)
    assert rpc("eth_getStorageAt", store, "0x9") == rpc("eth_call", {"to": SOMEBODY}) == word(12)
