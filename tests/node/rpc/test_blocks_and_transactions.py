"""Blocks, transactions, receipts, accounts and fees, in the shapes that clients read."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import rlp
from coincurve import PublicKey
from vmloom.hashing import keccak256
from vmloom_evm.transaction.codec import encode_transaction
from vmloom_evm.transaction.signing import sign_transaction
from vmloom_evm.transaction.types import AccessListEntry, Transaction, TransactionType
from vmloom_evm.trie import verify_proof
from vmloom_node.chain.accounts import derive_keys
from vmloom_node.rpc.dispatcher import Dispatcher
from vmloom_node.rpc.signing import message_digest

from .conftest import COUNT, COUNTER, COUNTER_INIT, TOPIC, Rpc, RpcFailure, rpc_of, word

GWEI = 10**9
KEY = derive_keys()[0]


def raw(**fields: Any) -> str:
    tx = Transaction(**{"chain_id": 31337, "to": b"\x11" * 20, "max_fee_per_gas": 3 * GWEI, **fields})
    return "0x" + encode_transaction(sign_transaction(tx, KEY)).hex()


def test_the_node_names_its_chain_and_its_accounts(rpc: Rpc, accounts: list[str]) -> None:
    assert rpc("eth_chainId") == "0x7a69"
    assert rpc("net_version") == "31337"
    assert accounts[0] == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert len(accounts) == 10
    assert rpc("eth_getBalance", accounts[9]) == hex(10_000 * 10**18)
    assert rpc("eth_syncing") is False
    assert rpc("web3_clientVersion").startswith("vmloom/v")
    assert rpc("web3_sha3", "0x68656c6c6f") == "0x" + keccak256(b"hello").hex()


def test_a_block_has_the_fields_of_its_fork_and_nothing_of_later_ones(rpc: Rpc) -> None:
    block = rpc("eth_getBlockByNumber", "latest", False)
    assert block == rpc("eth_getBlockByHash", block["hash"], False) == rpc("eth_getBlockByNumber", "earliest", False)
    assert block["number"] == "0x0"
    assert block["nonce"] == "0x0000000000000000"
    assert len(block["logsBloom"]) == 2 + 512
    assert {"baseFeePerGas", "withdrawals", "blobGasUsed", "parentBeaconBlockRoot", "requestsHash"} <= set(block)
    header = rpc("eth_getHeaderByNumber", "0x0")
    assert header == {name: block[name] for name in header}
    assert rpc("debug_getRawHeader", "0x0") == "0x" + raw_header(rpc).hex()
    assert keccak256(raw_header(rpc)).hex() == block["hash"][2:]


def raw_header(rpc: Rpc) -> bytes:
    block = rpc("debug_getRawBlock", "latest")
    encoded: bytes = rlp.encode(rlp.decode(bytes.fromhex(block[2:]))[0])
    return encoded


def test_what_does_not_exist_is_null(rpc: Rpc) -> None:
    nowhere = "0x" + "99" * 32
    assert rpc("eth_getBlockByNumber", "0x63", False) is None
    assert rpc("eth_getBlockByHash", nowhere, True) is None
    assert rpc("eth_getTransactionByHash", nowhere) is None
    assert rpc("eth_getTransactionReceipt", nowhere) is None
    assert rpc("eth_getBlockReceipts", "0x63") is None
    assert rpc("eth_getTransactionByBlockNumberAndIndex", "latest", "0x0") is None
    assert rpc("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None
    assert rpc("eth_getUncleCountByBlockHash", nowhere) is None
    assert rpc("eth_getBlockTransactionCountByNumber", "0x63") is None


def test_a_sent_transaction_is_mined_and_found_in_every_way(rpc: Rpc, accounts: list[str]) -> None:
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "to": accounts[1], "value": "0x7"})
    tx = rpc("eth_getTransactionByHash", digest)
    block = rpc("eth_getBlockByNumber", "0x1", True)
    assert rpc("eth_blockNumber") == "0x1"
    assert block["transactions"] == [tx]
    assert rpc("eth_getBlockByNumber", "0x1", False)["transactions"] == [digest]
    assert tx == rpc("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x0")
    assert tx == rpc("eth_getTransactionByBlockHashAndIndex", block["hash"], "0x0")
    assert (tx["from"], tx["to"], tx["value"], tx["nonce"]) == (accounts[0], accounts[1], "0x7", "0x0")
    assert (tx["type"], tx["gas"], tx["chainId"], tx["input"]) == ("0x2", "0x5208", "0x7a69", "0x")
    assert (tx["blockNumber"], tx["blockHash"], tx["transactionIndex"]) == ("0x1", block["hash"], "0x0")
    assert int(tx["gasPrice"], 16) <= int(tx["maxFeePerGas"], 16)
    assert rpc("eth_getBlockTransactionCountByHash", block["hash"]) == "0x1"
    raw_bytes = bytes.fromhex(rpc("eth_getRawTransactionByHash", digest)[2:])
    assert keccak256(raw_bytes).hex() == digest[2:]
    by_place = rpc("eth_getRawTransactionByBlockNumberAndIndex", "0x1", "0x0")
    assert by_place == rpc("eth_getRawTransactionByBlockHashAndIndex", block["hash"], "0x0") == "0x" + raw_bytes.hex()
    for number, index in (("0x1", "0x1"), ("0x9", "0x0"), ("pending", "0x0")):
        assert rpc("eth_getRawTransactionByBlockNumberAndIndex", number, index) is None


def test_a_receipt_says_what_came_of_it_and_on_which_machine(rpc: Rpc, accounts: list[str], counter: str) -> None:
    digest = rpc("eth_sendTransaction", {"from": accounts[2], "to": counter, "data": word(COUNT)})
    receipt = rpc("eth_getTransactionReceipt", digest)
    assert receipt["status"] == "0x1"
    assert receipt["vm"] == "evm"
    assert (receipt["from"], receipt["to"], receipt["contractAddress"]) == (accounts[2], counter, None)
    (log,) = receipt["logs"]
    assert log == {
        "address": counter,
        "topics": [word(TOPIC), word(int(accounts[2], 16))],
        "data": word(1),
        "blockNumber": "0x2",
        "blockHash": receipt["blockHash"],
        "blockTimestamp": rpc("eth_getBlockByNumber", "0x2", False)["timestamp"],
        "transactionHash": digest,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    }
    assert rpc("eth_getBlockReceipts", "latest") == [receipt]
    assert receipt["gasUsed"] == receipt["cumulativeGasUsed"]
    assert rpc("debug_getRawReceipts", "latest")[0].startswith("0x02")
    assert rpc("eth_getStorageAt", counter, "0x0") == word(1)
    assert rpc("eth_getStorageAt", counter, "0x0", "0x1") == word(0)
    assert rpc("eth_getCode", counter) == "0x" + COUNTER.hex()
    assert rpc("eth_getCode", counter, "0x0") == "0x"


def test_each_type_of_transaction_has_its_own_fields(rpc: Rpc) -> None:
    entry = AccessListEntry(b"\x22" * 20, (1,))
    legacy = rpc("eth_sendRawTransaction", raw(nonce=0, max_priority_fee_per_gas=3 * GWEI))
    listed = rpc(
        "eth_sendRawTransaction",
        raw(
            type=TransactionType.ACCESS_LIST,
            nonce=1,
            max_priority_fee_per_gas=3 * GWEI,
            gas_limit=30_000,
            access_list=(entry,),
        ),
    )
    legacy_json, listed_json = (rpc("eth_getTransactionByHash", digest) for digest in (legacy, listed))
    assert legacy_json["type"] == "0x0"
    assert "accessList" not in legacy_json
    assert "maxFeePerGas" not in legacy_json
    assert int(legacy_json["v"], 16) in (31337 * 2 + 35, 31337 * 2 + 36)
    assert listed_json["accessList"] == [{"address": "0x" + "22" * 20, "storageKeys": [word(1)]}]
    assert listed_json["yParity"] == listed_json["v"]
    assert "maxFeePerGas" not in listed_json


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nonce": 0, "chain_id": 5}, "invalid chain id"),
        ({"nonce": 0, "gas_limit": 20_000}, "intrinsic gas too low"),
        ({"nonce": 0, "value": 10**30}, r"insufficient funds for gas \* price \+ value"),
        ({"nonce": 0, "max_fee_per_gas": 1}, "max fee per gas less than block base fee"),
        (
            {"nonce": 0, "type": TransactionType.FEE_MARKET, "max_priority_fee_per_gas": 4 * GWEI},
            "max priority fee per gas higher than max fee per gas",
        ),
        ({"nonce": 0, "gas_limit": 10**9}, "gas limit too high|exceeds block gas limit"),
    ],
)
def test_a_transaction_is_refused_in_the_words_that_libraries_look_for(
    rpc: Rpc, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("eth_sendRawTransaction", raw(**fields))
    assert caught.value.code == -32000
    assert rpc("eth_blockNumber") == "0x0"


def test_a_nonce_that_was_used_is_too_low_and_a_known_transaction_known(rpc: Rpc) -> None:
    rpc("eth_sendRawTransaction", raw(nonce=0))
    with pytest.raises(RpcFailure, match=r"^nonce too low"):
        rpc("eth_sendRawTransaction", raw(nonce=0, value=1))
    with pytest.raises(RpcFailure, match=r"^already known"):
        rpc("eth_sendRawTransaction", raw(nonce=0))


@pytest.mark.parametrize("data", ["0x", "0x02", "0xc0", "0x05c0", "0xf8" + "00" * 40, "0x02" + "ff" * 50])
def test_bytes_that_are_no_transaction_are_refused(rpc: Rpc, data: str) -> None:
    with pytest.raises(RpcFailure) as caught:
        rpc("eth_sendRawTransaction", data)
    assert caught.value.code == -32000


def test_a_sender_whose_key_the_node_lacks_is_refused(rpc: Rpc, accounts: list[str]) -> None:
    somebody = "0x" + "ab" * 20
    with pytest.raises(RpcFailure, match="unknown account"):
        rpc("eth_sendTransaction", {"from": somebody, "to": accounts[0], "gas": "0x5208"})


def test_what_is_left_out_of_a_transaction_is_filled_in(rpc: Rpc, accounts: list[str]) -> None:
    request = {"from": accounts[0], "data": COUNTER_INIT}
    filled = rpc("eth_fillTransaction", request)["tx"]
    assert filled["nonce"] == "0x0"
    assert int(filled["gas"], 16) > 53_000
    assert int(filled["maxFeePerGas"], 16) > int(rpc("eth_maxPriorityFeePerGas"), 16)
    signed = rpc("eth_signTransaction", request)
    assert rpc("eth_sendRawTransaction", signed["raw"]) == signed["tx"]["hash"]
    assert rpc("eth_getTransactionByHash", signed["tx"]["hash"])["gas"] == filled["gas"]


def test_messages_and_typed_data_are_signed_by_the_accounts(rpc: Rpc, accounts: list[str]) -> None:
    signature = bytes.fromhex(rpc("eth_sign", accounts[0], "0x" + b"hello".hex())[2:])
    key = PublicKey.from_signature_and_message(
        signature[:64] + bytes([signature[64] - 27]), message_digest(b"hello"), hasher=None
    )
    assert keccak256(key.format(compressed=False)[1:])[12:].hex() == accounts[0][2:]
    assert rpc("personal_sign", "0x" + b"hello".hex(), accounts[0]) == "0x" + signature.hex()
    typed = {"types": {"Note": [{"name": "text", "type": "string"}]}, "domain": {}, "primaryType": "Note"}
    assert len(rpc("eth_signTypedData_v4", accounts[0], {**typed, "message": {"text": "hi"}})) == 2 + 130
    with pytest.raises(RpcFailure, match="message: must be an object, got null"):
        rpc("eth_signTypedData_v4", accounts[0], typed)
    with pytest.raises(RpcFailure, match="no key"):
        rpc("eth_sign", "0x" + "ab" * 20, "0x")


def test_proofs_lead_to_the_state_root(rpc: Rpc, accounts: list[str], counter: str) -> None:
    rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT)})
    proof = rpc("eth_getProof", counter, ["0x0", "0x5"], "latest")
    root = bytes.fromhex(rpc("eth_getBlockByNumber", "latest", False)["stateRoot"][2:])
    nodes = [bytes.fromhex(node[2:]) for node in proof["accountProof"]]
    account = rlp.decode(verify_proof(root, keccak256(bytes.fromhex(counter[2:])), nodes))
    assert account[2].hex() == proof["storageHash"][2:]
    assert account[3].hex() == proof["codeHash"][2:] == keccak256(COUNTER).hex()
    present, absent = proof["storageProof"]
    assert (present["key"], present["value"], absent["value"]) == (word(0), "0x1", "0x0")
    storage_nodes = [bytes.fromhex(node[2:]) for node in present["proof"]]
    assert verify_proof(account[2], keccak256(bytes(32)), storage_nodes) == b"\x01"
    known = {name: proof[name] for name in ("balance", "nonce", "codeHash")}
    assert rpc("eth_getAccount", counter) == {**known, "storageRoot": proof["storageHash"]}
    assert rpc("eth_getAccountInfo", counter) == {"balance": "0x0", "nonce": "0x1", "code": "0x" + COUNTER.hex()}
    assert rpc("eth_getAccountInfo", counter, "earliest") == {"balance": "0x0", "nonce": "0x0", "code": "0x"}
    with pytest.raises(RpcFailure, match="too many slots"):
        rpc("eth_getProof", counter, ["0x0"] * 1_025, "latest")


def test_fees_are_told(rpc: Rpc, accounts: list[str]) -> None:
    rpc("eth_sendTransaction", {"from": accounts[0], "to": accounts[1]})
    history = rpc("eth_feeHistory", "0x5", "latest", [10, 50])
    assert history["oldestBlock"] == "0x0"
    assert len(history["baseFeePerGas"]) == 3
    assert len(history["gasUsedRatio"]) == len(history["reward"]) == 2
    assert history["baseFeePerGas"][1] == rpc("eth_getBlockByNumber", "0x1", False)["baseFeePerGas"]
    assert int(rpc("eth_gasPrice"), 16) == int(history["baseFeePerGas"][2], 16) + int(
        rpc("eth_maxPriorityFeePerGas"), 16
    )
    assert rpc("eth_blobBaseFee") == history["baseFeePerBlobGas"][2] == "0x1"
    assert rpc("eth_feeHistory", 0, "latest", [])["gasUsedRatio"] is None
    with pytest.raises(RpcFailure, match="from 0 to 100"):
        rpc("eth_feeHistory", "0x1", "latest", [101])
    with pytest.raises(RpcFailure, match="percentiles"):
        rpc("eth_feeHistory", "0x1", "latest", [50, 10])


def test_what_waits_is_shown_by_sender_and_nonce(make_dispatcher: Callable[..., Dispatcher]) -> None:
    rpc = rpc_of(make_dispatcher(mining="manual"))
    first, second = rpc("eth_accounts")[:2]
    pending = rpc("eth_sendTransaction", {"from": first, "to": second, "value": "0x1"})
    queued = rpc("eth_sendTransaction", {"from": first, "to": second, "nonce": "0x5", "gas": "0x5208"})
    assert rpc("txpool_status") == {"pending": "0x1", "queued": "0x1"}
    content = rpc("txpool_content")
    assert content["pending"][first]["0"]["hash"] == pending
    assert content["queued"][first]["5"]["hash"] == queued
    assert content["pending"][first]["0"]["blockHash"] is None
    assert rpc("txpool_contentFrom", first) == {kind: group[first] for kind, group in content.items()}
    assert rpc("txpool_inspect")["pending"][first]["0"].startswith(f"{second}: 1 wei + 21000 gas")
    assert rpc("eth_getTransactionCount", first, "pending") == "0x1"
    assert rpc("eth_getTransactionCount", first, "latest") == "0x0"
    assert [tx["hash"] for tx in rpc("eth_pendingTransactions")] == [pending]
    block = rpc("eth_getBlockByNumber", "pending", True)
    assert (block["hash"], block["nonce"], block["number"]) == (None, None, "0x1")
    assert [tx["blockHash"] for tx in block["transactions"]] == [None]
    assert rpc("eth_getTransactionReceipt", pending) is None
    assert rpc("eth_mining") is False


def test_a_receipt_is_waited_for(rpc: Rpc, accounts: list[str]) -> None:
    request = {"from": accounts[0], "to": accounts[1], "value": "0x1"}
    receipt = rpc("eth_sendTransactionSync", request)
    assert receipt == rpc("eth_getTransactionReceipt", receipt["transactionHash"])
    signed = rpc("eth_signTransaction", request)["raw"]
    assert rpc("eth_sendRawTransactionSync", signed)["blockNumber"] == "0x2"
    rpc("evm_setAutomine", False)
    signed = rpc("eth_signTransaction", request)["raw"]
    with pytest.raises(RpcFailure, match="taken, but is in no block yet") as caught:
        rpc("eth_sendRawTransactionSync", signed, 1)
    assert caught.value.code == 4
    assert rpc("eth_getRawTransactionByHash", caught.value.data) == signed
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(rpc, "eth_sendTransactionSync", request)
        while len(rpc("eth_pendingTransactions")) < 2:
            time.sleep(0.01)
        rpc("evm_mine")
        assert waiting.result(10)["blockNumber"] == "0x3"


def test_nobody_waits_longer_than_a_call_may_take(dispatcher: Dispatcher, rpc: Rpc, accounts: list[str]) -> None:
    rpc("evm_setAutomine", False)
    object.__setattr__(dispatcher, "config", dispatcher.config.model_copy(update={"timeout_s": 0.05}))
    with pytest.raises(RpcFailure) as caught:
        rpc("eth_sendTransactionSync", {"from": accounts[0], "to": accounts[1], "gas": "0x5208"})
    assert caught.value.code == 4
