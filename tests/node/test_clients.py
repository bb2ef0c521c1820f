"""Scripts of the libraries that dapps use, against a running node: viem and ethers from npm, web3.py from PyPI.

What the scripts see was seen of anvil, too, so it is what clients expect and not only what this node does.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from vmloom.factory import VmFactory
from vmloom_node.config import NodeConfig, RpcConfig
from vmloom_node.node import Node
from vmloom_node.rpc.server import BackgroundServer

SCRIPTS = Path(__file__).parent / "clients"
TOKEN = files("vmloom_evm.demo").joinpath("token.json")
ARTIFACT = json.loads(TOKEN.read_text("utf-8"))
NPM_SECONDS = 180
SCRIPT_SECONDS = 60


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(NodeConfig(rpc=RpcConfig(port=0)), VmFactory()) as made:
        yield made


@pytest.fixture
def server(node: Node) -> Iterator[BackgroundServer]:
    with node.background() as running:
        yield running


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with the scripts and, from npm, what they import. One for all workers of a run."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js and npm are not installed: the scripts of viem and ethers cannot run")
    folder = tmp_path_factory.mktemp("clients")
    for file in SCRIPTS.iterdir():
        shutil.copy(file, folder)
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=NPM_SECONDS)
    if done.returncode:
        pytest.skip(f"npm cannot install viem and ethers: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def seen_by(script: str, folder: Path, server: BackgroundServer) -> Any:
    token = folder / "token.json"
    token.write_text(json.dumps(ARTIFACT))
    command = ["node", script, server.url, server.websocket_url, str(token)]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SCRIPT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.network
def test_ethers(scripts: Path, server: BackgroundServer) -> None:
    receiver = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert seen_by("ethers.mjs", scripts, server) == {
        "chainId": 31337,
        "code": True,
        "status": 1,
        "balances": [970, 30],
        "logged": [["Transfer", receiver, 30]],
        "queried": [30],
        "heard": 5,
        "sent": 21000,
        "callReverts": "insufficient balance",
        "estimateReverts": "only the owner mints",
        "transactionReverts": ["CALL_EXCEPTION", 0],
        "block": [True, True, True],
        "trace": ["CALL", True, True],
        "fees": True,
        "past": 0,
        "storage": 66,
        "head": True,
    }


@pytest.mark.network
def test_viem(scripts: Path, server: BackgroundServer) -> None:
    assert seen_by("viem.mjs", scripts, server) == {
        "chainId": 31337,
        "code": True,
        "status": "success",
        "balances": [970, 30],
        "queried": [30],
        "heard": 5,
        "filtered": [5],
        "uninstalled": True,
        "callReverts": "insufficient balance",
        "estimateReverts": "only the owner mints",
        "transactionReverts": "reverted",
        "block": [True, True, True],
        "trace": ["CALL", True, True],
        "fees": True,
        "past": 0,
        "proof": [True, 1],
        "overridden": True,
        "simulated": [["success", None], ["success", 35]],
        "set": 77,
        "reverted": 3,
        "time": True,
        "head": True,
    }


# web3.py, over HTTP and without a socket


@pytest.fixture(params=["http", "in process"])
def w3(request: pytest.FixtureRequest, node: Node) -> Iterator[Any]:
    web3 = pytest.importorskip("web3", reason="web3.py is not installed: pip install vmloom-node[web3]")
    if request.param == "http":
        server = request.getfixturevalue("server")
        provider = web3.HTTPProvider(server.url)
        yield web3.Web3(provider)
        provider._request_session_manager.session_cache.clear()
    else:
        from vmloom_node.clients.web3 import VmloomProvider

        yield web3.Web3(VmloomProvider(node.dispatcher))


def deployed(w3: Any) -> Any:
    owner = w3.eth.accounts[0]
    factory = w3.eth.contract(abi=ARTIFACT["abi"], bytecode=ARTIFACT["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(factory.constructor().transact({"from": owner}))
    return w3.eth.contract(address=receipt["contractAddress"], abi=ARTIFACT["abi"])


def test_web3_deploys_calls_and_reads_events(w3: Any) -> None:
    owner, other = w3.eth.accounts[:2]
    token = deployed(w3)
    token.functions.mint(owner, 1_000).transact({"from": owner})
    filter_ = token.events.Transfer.create_filter(from_block="latest")
    hash_ = token.functions.transfer(other, 30).transact({"from": owner})
    receipt = w3.eth.wait_for_transaction_receipt(hash_)
    assert receipt["status"] == 1
    assert token.functions.balanceOf(other).call() == 30
    assert token.functions.balanceOf(other).call(block_identifier=receipt["blockNumber"] - 1) == 0
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert dict(event["args"]) == {"sender": owner, "receiver": other, "amount": 30}
    assert [one["args"]["amount"] for one in filter_.get_new_entries()] == [30]
    logs = token.events.Transfer().get_logs(from_block=0, argument_filters={"receiver": owner})
    assert [one["args"]["amount"] for one in logs] == [1_000]
    trace = w3.provider.make_request("debug_traceTransaction", ["0x" + hash_.hex(), {"tracer": "callTracer"}])
    assert trace["result"]["to"] == token.address.lower()


def test_web3_tells_why_something_reverts(w3: Any) -> None:
    from web3.exceptions import ContractLogicError, MethodUnavailable

    other = w3.eth.accounts[1]
    token = deployed(w3)
    with pytest.raises(ContractLogicError, match="insufficient balance"):
        token.functions.transfer(other, 1).call({"from": other})
    with pytest.raises(ContractLogicError, match="only the owner mints"):
        token.functions.mint(other, 1).estimate_gas({"from": other})
    with pytest.raises(MethodUnavailable):
        w3.manager.request_blocking("eth_noSuchThing", [])


def test_web3_sends_what_it_has_signed(w3: Any) -> None:
    account = w3.eth.account.from_key("0x" + "11" * 32)
    w3.eth.send_transaction({"from": w3.eth.accounts[0], "to": account.address, "value": 10**18})
    fees = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    signed = account.sign_transaction(
        {"to": w3.eth.accounts[1], "value": 5, "gas": 21_000, "nonce": 0, "chainId": w3.eth.chain_id, **fees}
    )
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))
    assert (receipt["status"], receipt["from"]) == (1, account.address)
    assert w3.eth.get_transaction(receipt["transactionHash"])["value"] == 5


def test_web3_reads_blocks_fees_and_proofs(w3: Any) -> None:
    token = deployed(w3)
    block = w3.eth.get_block("latest", full_transactions=True)
    assert block["transactions"][0]["blockHash"] == block["hash"]
    history = w3.eth.fee_history(1, "latest", [50])
    assert len(history["baseFeePerGas"]) == 2
    proof = w3.eth.get_proof(token.address, [0])
    assert proof["storageHash"]
    assert w3.eth.get_transaction_count(w3.eth.accounts[0]) == 1
    assert w3.eth.max_priority_fee > 0


def test_web3_reads_flat_traces(w3: Any) -> None:
    alice, bob = w3.eth.accounts[:2]
    digest = w3.eth.send_transaction({"from": alice, "to": bob, "value": 5})
    (trace,) = w3.tracing.trace_transaction(digest)
    assert (trace["action"]["from"], trace["action"]["value"], trace["blockNumber"]) == (alice, 5, 1)
    assert w3.tracing.trace_block(1) == w3.tracing.trace_filter({"fromBlock": 0, "fromAddress": [alice]}) == [trace]
    replayed = w3.tracing.trace_replay_transaction(digest, ["trace", "stateDiff"])
    assert replayed["trace"][0]["action"] == trace["action"]
    assert replayed["stateDiff"][bob.lower()]["nonce"] == "="
    assert [one["transactionHash"] for one in w3.tracing.trace_replay_block_transactions(1, [])] == [digest]
    called = w3.tracing.trace_call({"from": alice, "to": bob, "value": 1}, ["trace"])
    assert called["trace"][0]["type"] == "call"


def test_web3_batches(w3: Any) -> None:
    sender = w3.eth.accounts[0]
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("latest"))
        batch.add(w3.eth.get_balance(sender))
        block, balance = batch.execute()
    assert block["number"] == 0
    assert balance == 10_000 * 10**18


def test_web3_asynchronously(node: Node) -> None:
    web3 = pytest.importorskip("web3", reason="web3.py is not installed: pip install vmloom-node[web3]")
    from vmloom_node.clients.web3 import AsyncVmloomProvider

    async def work() -> tuple[int, int]:
        w3 = web3.AsyncWeb3(AsyncVmloomProvider(node.dispatcher))
        sender, receiver = (await w3.eth.accounts)[:2]
        await w3.eth.send_transaction({"from": sender, "to": receiver, "value": 7})
        return await w3.eth.get_balance(receiver), await w3.eth.block_number

    assert asyncio.run(work()) == (10_000 * 10**18 + 7, 1)


def test_a_provider_of_its_own() -> None:
    web3 = pytest.importorskip("web3", reason="web3.py is not installed: pip install vmloom-node[web3]")
    from vmloom_node.clients.web3 import VmloomProvider

    provider = VmloomProvider()
    w3 = web3.Web3(provider)
    assert w3.is_connected()
    assert w3.eth.block_number == provider.chain.head.number == 0


def test_mining_without_an_interval_as_viem_says_it(node: Node) -> None:
    assert node.dispatcher.call("anvil_mine", ["0x3", "0x0"]) is None
    assert node.chain.head.number == 3
