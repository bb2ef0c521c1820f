"""What Otterscan asks for: pages, searches, and transactions told its way."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom.hashing import create2_address
from vmloom_evm.assembly import (
    call,
    create_from,
    delegatecall,
    deployer,
    mstore,
    pop,
    return_,
    revert,
    selfdestruct,
    staticcall,
    stop,
)
from vmloom_node.chain import Chain
from vmloom_node.chain.genesis import dev_genesis
from vmloom_node.rpc.dispatcher import Dispatcher

from .conftest import COUNT, COUNTER_INIT, ERROR_NO_MORE, SAY_NO, Rpc, RpcFailure, rpc_of, word

OUTER, INNER, HEIR = ("0x" + byte * 20 for byte in ("55", "66", "be"))


def data(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def place(rpc: Rpc, address: str, code: Any) -> None:
    rpc("anvil_setCode", address, "0x" + bytes(code).hex())


def run(rpc: Rpc, sender: str, to: str, **fields: Any) -> str:
    digest: str = rpc("eth_sendTransaction", {"from": sender, "to": to, "gas": "0x7a120", **fields})
    return digest


def test_otterscan_finds_the_api_that_it_needs(rpc: Rpc, counter: str) -> None:
    assert rpc("ots_getApiLevel") == 8
    assert rpc("erigon_getHeaderByNumber", "0x1") == rpc("eth_getHeaderByNumber", "0x1")
    assert rpc("erigon_getHeaderByNumber", "0x9") is None
    assert rpc("ots_hasCode", counter, "latest") is True
    assert rpc("ots_hasCode", counter, "0x0") is rpc("ots_hasCode", HEIR) is False


def test_a_transaction_is_told_call_by_call(rpc: Rpc, accounts: list[str]) -> None:
    place(rpc, INNER, mstore(0, 7) + return_(31, 1))
    inner = data(INNER)
    place(rpc, OUTER, pop(call(inner, value=2)) + pop(delegatecall(inner)) + pop(staticcall(inner)) + stop)
    digest = run(rpc, accounts[0], OUTER, value="0x5", data="0x1234")
    traces = rpc("ots_traceTransaction", digest)
    assert traces[0] == {
        "type": "CALL",
        "depth": 0,
        "from": accounts[0],
        "to": OUTER,
        "value": "0x5",
        "input": "0x1234",
        "output": "0x",
    }
    told = [(one["type"], one["depth"], one["from"], one["to"], one["value"], one["output"]) for one in traces[1:]]
    assert told == [
        ("CALL", 1, OUTER, INNER, "0x2", "0x07"),
        ("DELEGATECALL", 1, OUTER, INNER, None, "0x07"),
        ("STATICCALL", 1, OUTER, INNER, None, "0x07"),
    ]
    with pytest.raises(RpcFailure, match="transaction not found"):
        rpc("ots_traceTransaction", "0x" + "99" * 32)


def test_operations_are_those_of_code_that_were_not_undone(rpc: Rpc, accounts: list[str]) -> None:
    made = bytes(deployer(stop))
    place(rpc, INNER, pop(call(data(HEIR), value=1)) + pop(create_from(made)) + revert(0, 0))
    place(
        rpc,
        OUTER,
        pop(call(data(INNER), value=3))
        + pop(call(data(HEIR), value=4))
        + pop(call(data(HEIR)))
        + pop(create_from(made, value=5))
        + pop(create_from(made, value=6, salt=1))
        + selfdestruct(data(HEIR)),
    )
    digest = run(rpc, accounts[0], OUTER, value="0x64")
    operations = rpc("ots_getInternalOperations", digest)
    assert [(one["type"], one["value"]) for one in operations] == [(0, "0x4"), (2, "0x5"), (3, "0x6"), (1, "0x55")]
    assert {one["from"] for one in operations} == {OUTER}
    assert operations[2]["to"] == "0x" + create2_address(data(OUTER), 1, made).hex()
    assert operations[3]["to"] == HEIR
    assert rpc("ots_getInternalOperations", run(rpc, accounts[0], HEIR, value="0x1")) == []
    place(rpc, OUTER, pop(call(data(HEIR), value=1)) + revert(0, 0))
    assert rpc("ots_getInternalOperations", run(rpc, accounts[0], OUTER, value="0x1")) == []


def test_the_reason_of_a_failure_is_told(rpc: Rpc, accounts: list[str], counter: str) -> None:
    failed = run(rpc, accounts[0], counter, data=word(SAY_NO))
    assert rpc("ots_getTransactionError", failed) == "0x" + ERROR_NO_MORE.hex()
    assert rpc("ots_getTransactionError", run(rpc, accounts[0], counter, data=word(COUNT))) == "0x"
    with pytest.raises(RpcFailure, match="transaction not found"):
        rpc("ots_getTransactionError", "0x" + "99" * 32)


# Blocks


def test_a_block_is_told_with_its_fees_and_without_its_transactions(rpc: Rpc, accounts: list[str]) -> None:
    digest = run(rpc, accounts[0], HEIR)
    details = rpc("ots_getBlockDetails", "latest")
    block = rpc("eth_getBlockByNumber", "latest", False)
    assert rpc("ots_getBlockDetailsByHash", block["hash"]) == details
    del block["transactions"]
    assert details["block"] == {**block, "logsBloom": None, "transactionCount": 1}
    assert details["issuance"] == {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"}
    receipt = rpc("eth_getTransactionReceipt", digest)
    assert int(details["totalFees"], 16) == int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert rpc("ots_getBlockDetails", "0x9") is None
    assert rpc("ots_getBlockDetailsByHash", "0x" + "99" * 32) is None


def test_a_block_that_was_mined_issues_ether() -> None:
    chain = Chain(dev_genesis(fork="london"))
    dispatcher = Dispatcher(chain)
    rpc = rpc_of(dispatcher)
    rpc("evm_mine")
    reward = hex(2 * 10**18)
    issuance = {"blockReward": reward, "uncleReward": "0x0", "issuance": reward}
    assert rpc("ots_getBlockDetails", "0x1")["issuance"] == issuance
    dispatcher.close()
    chain.close()


def test_a_blocks_transactions_are_told_by_pages_from_the_end(rpc: Rpc, accounts: list[str], counter: str) -> None:
    rpc("evm_setAutomine", False)
    for _ in range(5):
        run(rpc, accounts[0], counter, data=word(COUNT))
    rpc("evm_mine")
    hashes = rpc("eth_getBlockByNumber", "latest", False)["transactions"]
    pages = [rpc("ots_getBlockTransactions", "latest", number, 2) for number in range(4)]
    told = [[tx["hash"] for tx in page["fullblock"]["transactions"]] for page in pages]
    assert told == [hashes[3:], hashes[1:3], hashes[:1], []]
    assert [[one["transactionHash"] for one in page["receipts"]] for page in pages] == told
    assert {page["fullblock"]["transactionCount"] for page in pages} == {5}
    assert pages[0]["fullblock"]["transactions"][0]["input"] == "0x00000000"
    assert (pages[0]["receipts"][0]["logs"], pages[0]["receipts"][0]["logsBloom"]) == (None, None)
    assert rpc("ots_getBlockTransactions", "0x9", 0, 2) is None
    for size in (0, 1_001):
        with pytest.raises(RpcFailure, match="a page has 1 to 1000 transactions") as caught:
            rpc("ots_getBlockTransactions", "latest", 0, size)
        assert caught.value.code == -32602


# Searches


def pages(rpc: Rpc, method: str, address: str, size: int) -> list[Any]:
    """All there are, from the first to the last."""
    found: list[Any] = []
    block, end = 0, "lastPage" if method.endswith("Before") else "firstPage"
    while not found or not found[-1][end]:
        found.append(rpc(method, address, block, size))
        block = int(found[-1]["txs"][-1 if end == "lastPage" else 0]["blockNumber"], 16)
    return found


def test_transactions_of_an_address_are_found_in_both_directions(rpc: Rpc, accounts: list[str], counter: str) -> None:
    place(rpc, OUTER, pop(call(data(counter), input=(0, 32))) + stop)
    sent = [run(rpc, accounts[0], OUTER)]
    run(rpc, accounts[1], HEIR)  # has nothing to do with it
    rpc("evm_mine")
    sent += [run(rpc, accounts[n], counter, data=word(COUNT)) for n in (1, 2)]
    sent.append(run(rpc, accounts[2], OUTER))
    created = rpc("eth_getBlockByNumber", "0x1", False)["transactions"][0]
    before = pages(rpc, "ots_searchTransactionsBefore", counter, 2)
    assert [[tx["hash"] for tx in page["txs"]] for page in before] == [
        [sent[3], sent[2]],
        [sent[1], sent[0]],
        [created],
    ]
    assert [(page["firstPage"], page["lastPage"]) for page in before] == [(True, False), (False, False), (False, True)]
    after = pages(rpc, "ots_searchTransactionsAfter", counter, 2)
    assert [[tx["hash"] for tx in page["txs"]] for page in after] == [
        [sent[0], created],
        [sent[2], sent[1]],
        [sent[3]],
    ]
    assert [(page["firstPage"], page["lastPage"]) for page in after] == [(False, True), (False, False), (True, False)]
    (receipt, _) = before[0]["receipts"]
    stamp = int(rpc("eth_getBlockByNumber", receipt["blockNumber"], False)["timestamp"], 16)
    assert (receipt["transactionHash"], receipt["timestamp"]) == (sent[3], stamp)
    assert rpc("ots_searchTransactionsBefore", "0x" + "77" * 20, 0, 5) == {
        "txs": [],
        "receipts": [],
        "firstPage": True,
        "lastPage": True,
    }


def test_a_page_has_whole_blocks(rpc: Rpc, accounts: list[str]) -> None:
    rpc("evm_setAutomine", False)
    for _ in range(3):
        run(rpc, accounts[0], HEIR)
    rpc("evm_mine")
    (page,) = pages(rpc, "ots_searchTransactionsBefore", accounts[0], 1)
    assert [tx["hash"] for tx in page["txs"]] == rpc("eth_getBlockByNumber", "latest", False)["transactions"][::-1]


def test_transactions_are_found_by_sender_and_nonce(rpc: Rpc, accounts: list[str]) -> None:
    sent = [run(rpc, accounts[0], HEIR) for _ in range(2)]
    run(rpc, accounts[1], HEIR)
    assert [rpc("ots_getTransactionBySenderAndNonce", accounts[0], nonce) for nonce in (0, 1)] == sent
    assert rpc("ots_getTransactionBySenderAndNonce", accounts[0], 2) is None


def test_who_created_a_contract_is_found(rpc: Rpc, accounts: list[str], counter: str) -> None:
    created = rpc("eth_getBlockByNumber", "0x1", False)["transactions"][0]
    assert rpc("ots_getContractCreator", counter) == {"hash": created, "creator": accounts[0]}
    init = data(COUNTER_INIT)
    place(rpc, OUTER, pop(create_from(init, salt=3)) + stop)
    digest = run(rpc, accounts[1], OUTER)
    rpc("evm_mine")
    made = "0x" + create2_address(data(OUTER), 3, init).hex()
    assert rpc("ots_getContractCreator", made) == {"hash": digest, "creator": OUTER}
    assert rpc("ots_getContractCreator", OUTER) is None  # placed by hand
    assert rpc("ots_getContractCreator", accounts[0]) is None
