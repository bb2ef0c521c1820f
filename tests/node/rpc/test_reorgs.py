"""Blocks taken back and replaced on command, and what filters, subscribers and searches make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from vmloom.hashing import create_address
from vmloom.store import MemoryStore
from vmloom_evm.assembly import blockhash, number, ret_top, sub
from vmloom_node.chain import Chain
from vmloom_node.rpc.dispatcher import Dispatcher
from vmloom_node.rpc.subscriptions import Subscriber

from .conftest import COUNT, COUNTER_INIT, Rpc, RpcFailure, rpc_of, word

SOMEBODY = "0x" + "ab" * 20


def hashes(rpc: Rpc) -> list[str]:
    """Of all blocks."""
    return [rpc("eth_getBlockByNumber", hex(n), False)["hash"] for n in range(int(rpc("eth_blockNumber"), 16) + 1)]


def count(rpc: Rpc, sender: str, counter: str) -> str:
    digest: str = rpc("eth_sendTransaction", {"from": sender, "to": counter, "data": word(COUNT)})
    return digest


def test_the_last_blocks_are_taken_back_with_what_they_did(rpc: Rpc, accounts: list[str], counter: str) -> None:
    count(rpc, accounts[1], counter)
    before = hashes(rpc)
    digest = count(rpc, accounts[1], counter)
    rpc("evm_mine")
    assert rpc("anvil_rollback") is None
    assert rpc("anvil_rollback", "0x1") is None
    assert hashes(rpc) == before
    assert rpc("eth_getStorageAt", counter, "0x0") == word(1)
    assert rpc("eth_getTransactionCount", accounts[1]) == "0x1"
    assert rpc("eth_getTransactionByHash", digest) is None
    assert rpc("eth_getTransactionReceipt", digest) is None
    count(rpc, accounts[1], counter)
    assert rpc("eth_getStorageAt", counter, "0x0") == word(2)
    rpc("anvil_rollback", 0)
    assert len(hashes(rpc)) == len(before) + 1
    rpc("anvil_rollback", 3)
    assert rpc("eth_blockNumber") == "0x0"
    assert rpc("eth_getCode", counter) == "0x"


def test_a_rollback_keeps_what_was_changed_by_hand_before_the_blocks(rpc: Rpc) -> None:
    rpc("evm_mine")
    rpc("anvil_setBalance", SOMEBODY, "0x5")
    rpc("anvil_mine", 2)
    rpc("anvil_setBalance", SOMEBODY, "0x7")
    rpc("anvil_rollback", 2)
    assert rpc("eth_getBalance", SOMEBODY) == rpc("eth_getBalance", SOMEBODY, "0x1") == "0x5"


@pytest.mark.parametrize("method", ["anvil_rollback", "anvil_reorg"])
def test_the_first_block_stays(rpc: Rpc, method: str) -> None:
    rpc("anvil_mine", 2)
    with pytest.raises(RpcFailure, match="depth: 3 blocks, but only 2 follow the first one") as caught:
        rpc(method, 3)
    assert caught.value.code == -32602
    assert rpc("eth_blockNumber") == "0x2"


def test_snapshots_of_blocks_that_were_taken_back_are_gone(rpc: Rpc) -> None:
    early = rpc("evm_snapshot")
    rpc("anvil_mine", 3)
    for method in ("anvil_rollback", "anvil_reorg"):
        late = rpc("evm_snapshot")
        rpc(method, 2)
        assert rpc("evm_revert", late) is False
        rpc("anvil_mine", 2)
    assert rpc("evm_revert", early) is True
    assert rpc("eth_blockNumber") == "0x0"


def test_what_waits_goes_on_to_wait(rpc: Rpc, accounts: list[str]) -> None:
    rpc("anvil_mine", 2)
    rpc("evm_setAutomine", False)
    waiting = rpc("eth_sendTransaction", {"from": accounts[0], "to": SOMEBODY, "value": "0x1"})
    rpc("anvil_reorg", 1, [])
    assert rpc("eth_getTransactionByHash", waiting)["blockHash"] is None
    rpc("anvil_rollback", 1)
    rpc("evm_mine")
    assert rpc("eth_getTransactionReceipt", waiting)["status"] == "0x1"


def test_a_history_that_does_not_reach_back_is_told_and_nothing_changes() -> None:
    chain = Chain(store=MemoryStore(history=2))
    dispatcher = Dispatcher(chain)
    rpc = rpc_of(dispatcher)
    rpc("anvil_mine", 6)
    before = hashes(rpc)
    for method in ("anvil_rollback", "anvil_reorg"):
        with pytest.raises(RpcFailure, match="not kept any more") as caught:
            rpc(method, 5)
        assert caught.value.code == 4444
    assert hashes(rpc) == before
    dispatcher.close()
    chain.close()


# Other blocks


def test_other_blocks_stand_in_place_of_the_last_ones(rpc: Rpc, accounts: list[str], counter: str) -> None:
    gone = count(rpc, accounts[1], counter)
    rpc("anvil_mine", 2)
    before = hashes(rpc)
    assert rpc("anvil_reorg", 3) is None
    after = hashes(rpc)
    assert len(after) == len(before)
    assert after[:2] == before[:2]
    assert not set(after[2:]) & set(before[2:])
    assert rpc("eth_getTransactionByHash", gone) is None
    assert rpc("eth_getStorageAt", counter, "0x0") == word(0)
    code = "0x" + bytes(ret_top(blockhash(sub(number, 1)))).hex()
    rpc("anvil_setCode", SOMEBODY, code)
    rpc("evm_mine")
    assert rpc("eth_call", {"to": SOMEBODY}) == after[-1]
    for block_hash in before[2:]:
        assert rpc("eth_getBlockByHash", block_hash, False) is None


def test_transactions_are_put_where_they_are_to_be(rpc: Rpc, accounts: list[str], counter: str) -> None:
    rpc("anvil_mine", 3)
    first, second = accounts[:2]
    made = "0x" + create_address(bytes.fromhex(first[2:]), 1).hex()
    signed = rpc("eth_signTransaction", {"from": second, "to": counter, "data": word(COUNT), "gas": "0x186a0"})["raw"]
    transactions = [
        # Called before it is there as the chain is now: neither its gas nor its nonce could be found without the order.
        [{"from": first, "to": made, "data": word(COUNT)}, "0x2"],
        [{"from": first, "data": COUNTER_INIT}, 0],
        [signed, 0],
        [{"from": second, "to": counter, "data": word(COUNT)}, 0],
        [{"to": SOMEBODY, "value": "0x3"}, 2],
    ]
    rpc("anvil_reorg", 3, transactions)
    blocks = [rpc("eth_getBlockByNumber", hex(n), True) for n in (2, 3, 4)]
    assert [[tx["from"] for tx in block["transactions"]] for block in blocks] == [
        [first, second, second],
        [],
        [first, first],
    ]
    receipts = [receipt for block in blocks for receipt in rpc("eth_getBlockReceipts", block["number"])]
    assert [receipt["status"] for receipt in receipts] == ["0x1"] * 5
    assert receipts[0]["contractAddress"] == made
    assert [tx["nonce"] for tx in blocks[2]["transactions"]] == ["0x2", "0x3"]
    assert rpc("eth_getStorageAt", counter, "0x0") == word(2)
    assert rpc("eth_getStorageAt", made, "0x0") == word(1)
    assert rpc("eth_getBalance", SOMEBODY) == "0x3"


def test_impersonated_accounts_may_send_and_what_no_block_has_gas_for_is_left_out(
    rpc: Rpc, accounts: list[str]
) -> None:
    rpc("anvil_setBalance", SOMEBODY, hex(10**18))
    rpc("anvil_impersonateAccount", SOMEBODY)
    rpc("evm_setBlockGasLimit", 100_000)
    rpc("anvil_mine", 2)
    senders = [SOMEBODY, accounts[1], accounts[2]]
    rpc("anvil_reorg", 1, [[{"from": one, "to": accounts[0], "gas": hex(60_000)}, 0] for one in senders])
    block = rpc("eth_getBlockByNumber", "latest", True)
    assert [tx["from"] for tx in block["transactions"]] == senders[:2]  # 58,000 are left
    assert block["gasLimit"] == hex(100_000)


@pytest.mark.parametrize(
    ("depth", "transactions", "words", "code"),
    [
        (1, [[{}, 1]], "transactions: 1 is no position of a block, there are 1 from 0 on", -32602),
        (1, [[{"to": SOMEBODY, "nonce": "0x9"}, 0]], "nonce too high", -32000),
        (1, [[{"to": SOMEBODY, "value": hex(10**30), "gas": "0x5208"}, 0]], "insufficient funds", -32000),
        (1, [["0x02c0", 0]], "invalid transaction encoding", -32000),
        (1, [[{"from": SOMEBODY}, 0]], "unknown account", -32000),
        (1, [[{}]], r"transactions\[0\]: must be a pair", -32602),
        (1, [{}], r"transactions\[0\]: must be a pair", -32602),
        (1, [[{"to": "0x1"}, 0]], r"transactions\[0\]\[0\].to: hex string has length 1", -32602),
        (5_000, [], "the limit is 1000", -32602),
    ],
)
def test_a_reorg_that_is_none_changes_nothing(rpc: Rpc, depth: int, transactions: Any, words: str, code: int) -> None:
    rpc("anvil_mine", 2)
    before = hashes(rpc)
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("anvil_reorg", depth, transactions)
    assert caught.value.code == code
    assert hashes(rpc) == before


def test_a_chain_that_only_imports_makes_no_other_blocks(make_dispatcher: Callable[..., Dispatcher]) -> None:
    rpc = rpc_of(make_dispatcher(is_read_only=True))
    with pytest.raises(RpcFailure, match="only imports") as caught:
        rpc("anvil_reorg", 0)
    assert caught.value.code == -32004


# Who hears of it


def test_filters_tell_of_logs_that_are_gone_and_of_new_ones(rpc: Rpc, accounts: list[str], counter: str) -> None:
    logs, blocks = rpc("eth_newFilter", {"address": counter}), rpc("eth_newBlockFilter")
    count(rpc, accounts[1], counter)
    (old,) = rpc("eth_getFilterChanges", logs)
    rpc("eth_getFilterChanges", blocks)
    rpc("anvil_reorg", 1, [[{"from": accounts[2], "to": counter, "data": word(COUNT)}, 0]])
    removed, new = rpc("eth_getFilterChanges", logs)
    assert removed == {**old, "removed": True}
    assert (new["removed"], new["topics"][1]) == (False, word(int(accounts[2], 16)))
    assert [new["blockHash"]] == rpc("eth_getFilterChanges", blocks) == hashes(rpc)[-1:]
    rpc("anvil_rollback")
    assert rpc("eth_getFilterChanges", logs) == [{**new, "removed": True}]
    assert rpc("eth_getFilterChanges", blocks) == []
    assert rpc("eth_getLogs", {"fromBlock": "0x0"}) == []


def test_subscribers_hear_of_it_in_order(dispatcher: Dispatcher, rpc: Rpc, accounts: list[str], counter: str) -> None:
    count(rpc, accounts[1], counter)
    count(rpc, accounts[1], counter)
    texts: list[str] = []
    session = dispatcher.session(Subscriber(texts.append))
    heads = dispatcher.call("eth_subscribe", ["newHeads"], session)
    logs = dispatcher.call("eth_subscribe", ["logs", {"address": counter}], session)
    rpc("anvil_reorg", 2, [[{"from": accounts[2], "to": counter, "data": word(COUNT)}, 1]])
    told = [json.loads(text)["params"] for text in texts]
    assert [one["subscription"] for one in told] == [logs, logs, heads, heads, logs]
    results = [one["result"] for one in told]
    assert [(log["blockNumber"], log["removed"]) for log in results[:2]] == [("0x3", True), ("0x2", True)]
    assert [head["hash"] for head in results[2:4]] == hashes(rpc)[2:]
    assert (results[4]["blockNumber"], results[4]["removed"]) == ("0x3", False)
