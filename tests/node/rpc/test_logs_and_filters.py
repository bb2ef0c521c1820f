"""Searching logs, poll filters, and what subscribers are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from vmloom_evm.assembly import log0
from vmloom_node.config import RpcConfig
from vmloom_node.rpc import limits, subscriptions
from vmloom_node.rpc.arguments import LogFilter
from vmloom_node.rpc.dispatcher import Dispatcher
from vmloom_node.rpc.protocol import RpcError
from vmloom_node.rpc.subscriptions import Hub, Interest, Subscriber, Topic

from .conftest import COUNT, TOPIC, Rpc, RpcFailure, rpc_of, word


def count(rpc: Rpc, counter: str, *senders: str) -> list[str]:
    """Have each of the senders count once; the hashes."""
    return [rpc("eth_sendTransaction", {"from": sender, "to": counter, "data": word(COUNT)}) for sender in senders]


def test_logs_are_found_by_address_topics_and_blocks(rpc: Rpc, accounts: list[str], counter: str) -> None:
    first, second, third = count(rpc, counter, accounts[0], accounts[1], accounts[0])

    def found(**fields: Any) -> list[str]:
        return [log["transactionHash"] for log in rpc("eth_getLogs", {"fromBlock": "earliest", **fields})]

    by_first = word(int(accounts[0], 16))
    assert found() == [first, second, third]
    assert found(address=counter) == found(address=[counter, accounts[5]]) == [first, second, third]
    assert found(address=accounts[5]) == []
    assert found(topics=[word(TOPIC)]) == found(topics=[None, None]) == [first, second, third]
    assert found(topics=[None, by_first]) == [first, third]
    assert found(topics=[[word(1), word(TOPIC)], [by_first]]) == [first, third]
    assert found(topics=[by_first]) == []
    assert found(topics=[None, None, None]) == []
    assert found(fromBlock="0x3") == [second, third]
    assert found(fromBlock="0x3", toBlock="0x3") == [second]
    assert found(fromBlock="0x64") == []
    block = rpc("eth_getBlockByNumber", "0x2", False)
    assert [log["transactionHash"] for log in rpc("eth_getLogs", {"blockHash": block["hash"]})] == [first]
    assert [log["transactionHash"] for log in rpc("eth_getLogs", {})] == [third]


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"blockHash": "0x" + "11" * 32, "fromBlock": "0x1"}, "cannot specify both BlockHash"),
        ({"fromBlock": "0x5", "toBlock": "0x1"}, "invalid block range"),
        ({"topics": [None] * 5}, "exceed max topics"),
        ({"topics": "0x"}, "topics: must be a list, got text"),
        ({"topics": ["0x1"]}, r"topics\[0\]: hex string has length 1, want 64"),
        ({"address": [5]}, r"address\[0\]: must be a hex string"),
        ({"fromBlock": 5}, "must be a block number"),
    ],
)
def test_a_search_that_is_none_is_refused(rpc: Rpc, search: Any, words: str) -> None:
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("eth_getLogs", search)
    assert caught.value.code == -32602


def test_a_search_of_an_unknown_block_is_an_error(rpc: Rpc) -> None:
    with pytest.raises(RpcFailure, match="header not found"):
        rpc("eth_getLogs", {"blockHash": "0x" + "11" * 32})


def test_a_search_over_too_many_blocks_or_results_is_refused(
    make_dispatcher: Callable[..., Dispatcher], monkeypatch: pytest.MonkeyPatch, rpc: Rpc, counter: str
) -> None:
    narrow = rpc_of(make_dispatcher(RpcConfig(max_log_blocks=5)))
    narrow("anvil_mine", 10)
    assert narrow("eth_getLogs", {"fromBlock": "0x6"}) == []
    with pytest.raises(RpcFailure, match="block range too large: 6 blocks, the limit is 5") as caught:
        narrow("eth_getLogs", {"fromBlock": "0x5"})
    assert caught.value.code == -32005
    count(rpc, counter, *rpc("eth_accounts")[:3])
    monkeypatch.setattr("vmloom_node.rpc.methods.logs.MAX_LOGS", 2)
    with pytest.raises(RpcFailure, match="more than 2 results, which is too much"):
        rpc("eth_getLogs", {"fromBlock": "0x0"})


def test_logs_with_too_much_data_are_refused(make_dispatcher: Callable[..., Dispatcher]) -> None:
    rpc = rpc_of(make_dispatcher(RpcConfig(max_response_bytes=3_000)))
    sender = rpc("eth_accounts")[0]
    rpc("anvil_setCode", "0x" + "77" * 20, "0x" + bytes(log0(0, 1_000)).hex())
    for _ in range(2):
        rpc("eth_sendTransaction", {"from": sender, "to": "0x" + "77" * 20, "gas": "0x186a0"})
    assert len(rpc("eth_getLogs", {})) == 1
    with pytest.raises(RpcFailure, match="more than 1 results") as caught:
        rpc("eth_getLogs", {"fromBlock": "0x0"})
    assert caught.value.code == -32005


# Filters


def test_a_filter_tells_what_is_new_each_time_it_is_asked(rpc: Rpc, accounts: list[str], counter: str) -> None:
    count(rpc, counter, accounts[0])
    logs = rpc("eth_newFilter", {"address": counter, "fromBlock": "earliest"})
    blocks, pending = rpc("eth_newBlockFilter"), rpc("eth_newPendingTransactionFilter")
    assert [rpc("eth_getFilterChanges", one) for one in (logs, blocks, pending)] == [[], [], []]
    (digest,) = count(rpc, counter, accounts[1])
    rpc("evm_mine")
    (log,) = rpc("eth_getFilterChanges", logs)
    assert log["transactionHash"] == digest
    numbers = ("0x3", "0x4")
    assert rpc("eth_getFilterChanges", blocks) == [rpc("eth_getBlockByNumber", n, False)["hash"] for n in numbers]
    assert rpc("eth_getFilterChanges", pending) == [digest]
    assert [rpc("eth_getFilterChanges", one) for one in (logs, blocks, pending)] == [[], [], []]
    assert len(rpc("eth_getFilterLogs", logs)) == 2
    assert rpc("eth_uninstallFilter", logs) is True
    assert rpc("eth_uninstallFilter", logs) is False
    with pytest.raises(RpcFailure, match="filter not found") as caught:
        rpc("eth_getFilterChanges", logs)
    assert caught.value.code == -32000
    with pytest.raises(RpcFailure, match="not a filter of logs"):
        rpc("eth_getFilterLogs", blocks)


def test_a_filter_with_a_range_tells_only_of_those_blocks(rpc: Rpc, accounts: list[str], counter: str) -> None:
    within = rpc("eth_newFilter", {"fromBlock": "0x3", "toBlock": "0x3"})
    _, digest, _ = count(rpc, counter, *accounts[:3])
    assert [log["transactionHash"] for log in rpc("eth_getFilterChanges", within)] == [digest]


def test_logs_of_blocks_that_are_reverted_are_told_as_removed(rpc: Rpc, accounts: list[str], counter: str) -> None:
    logs = rpc("eth_newFilter", {"address": counter})
    snapshot = rpc("evm_snapshot")
    count(rpc, counter, accounts[0])
    assert rpc("evm_revert", snapshot) is True
    new, gone = rpc("eth_getFilterChanges", logs)
    assert (new["removed"], gone["removed"]) == (False, True)
    assert {**new, "removed": True} == gone
    assert rpc("eth_getLogs", {"fromBlock": "0x0"}) == []


class FakeChain:
    """Tells what it is told to."""

    def __init__(self) -> None:
        self.subscribers: list[Callable[[Any], None]] = []

    def subscribe(self, subscriber: Callable[[Any], None]) -> Callable[[], None]:
        self.subscribers.append(subscriber)
        return lambda: self.subscribers.remove(subscriber)


def test_filters_end_when_nobody_asks_and_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_FILTERS", 2)
    now = 0.0
    hub = Hub(FakeChain(), clock=lambda: now)  # type: ignore[arg-type]
    kept, lost = hub.add_filter(Interest(Topic.HEADS)), hub.add_filter(Interest(Topic.HEADS))
    with pytest.raises(RpcError, match="too many filters"):
        hub.add_filter(Interest(Topic.HEADS))
    now = limits.FILTER_SECONDS - 1
    assert hub.changes(kept.upper().replace("0X", "0x")) == []
    now += 2
    assert hub.changes(kept) == []
    with pytest.raises(RpcError, match="filter not found"):
        hub.changes(lost)


def test_filters_that_nobody_asks_do_not_fill_the_memory(rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_POLL_BYTES", 1_000)
    large = rpc("eth_newBlockFilter")
    rpc("anvil_mine", 5)
    small = rpc("eth_newBlockFilter")
    rpc("anvil_mine", 3)
    assert len(rpc("eth_getFilterChanges", small)) == 3
    with pytest.raises(RpcFailure, match="filter not found"):
        rpc("eth_getFilterChanges", large)


# Subscriptions


class Told:
    """A subscriber, and what it was sent: results by subscription."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.subscriber = Subscriber(self.texts.append)

    def of(self, identity: str) -> list[Any]:
        notifications = [json.loads(text) for text in self.texts]
        assert all(one["method"] == "eth_subscription" and one["jsonrpc"] == "2.0" for one in notifications)
        return [one["params"]["result"] for one in notifications if one["params"]["subscription"] == identity]


def test_subscribers_are_told_of_heads_logs_and_pending_transactions(
    dispatcher: Dispatcher, rpc: Rpc, accounts: list[str], counter: str
) -> None:
    told = Told()
    session = dispatcher.session(told.subscriber)

    def subscribe(*params: Any) -> Any:
        return dispatcher.call("eth_subscribe", list(params), session)

    heads, logs, other = subscribe("newHeads"), subscribe("logs", {"address": counter}), subscribe("logs", {})
    hashes, whole = subscribe("newPendingTransactions"), subscribe("newPendingTransactions", True)
    elsewhere, syncing = subscribe("logs", {"address": accounts[3]}), subscribe("syncing")
    assert dispatcher.hub.subscriptions == 7
    (digest,) = count(rpc, counter, accounts[1])
    assert told.of(heads) == [rpc("eth_getHeaderByNumber", "0x2")]
    assert told.of(logs) == told.of(other) == rpc("eth_getLogs", {})
    assert told.of(hashes) == [digest]
    assert [tx["hash"] for tx in told.of(whole)] == [digest]
    assert told.of(whole)[0]["blockHash"] is None
    assert told.of(elsewhere) == told.of(syncing) == []
    assert dispatcher.call("eth_unsubscribe", [heads], session) is True
    with pytest.raises(RpcError, match="subscription not found"):
        dispatcher.call("eth_unsubscribe", [heads], session)
    dispatcher.hub.remove(told.subscriber)
    before = len(told.texts)
    count(rpc, counter, accounts[1])
    assert len(told.texts) == before


@pytest.mark.parametrize(
    ("params", "words", "code"),
    [
        (["oldHeads"], 'no "oldHeads" subscription', -32601),
        (["logs", {"topics": 5}], "topics: must be a list", -32602),
        (["newPendingTransactions", 1], "must be true or false", -32602),
        ([], "missing value for required argument 0", -32602),
    ],
)
def test_a_subscription_to_nothing_is_refused(dispatcher: Dispatcher, params: list[Any], words: str, code: int) -> None:
    with pytest.raises(RpcError, match=words) as caught:
        dispatcher.call("eth_subscribe", params, dispatcher.session(Told().subscriber))
    assert caught.value.code == code


def test_subscriptions_need_a_connection_and_are_limited(
    dispatcher: Dispatcher, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RpcFailure, match="need a WebSocket") as caught:
        rpc("eth_subscribe", "newHeads")
    assert caught.value.code == -32601
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 1)
    session = dispatcher.session(Told().subscriber)
    dispatcher.call("eth_subscribe", ["newHeads"], session)
    with pytest.raises(RpcError, match="too many subscriptions"):
        dispatcher.call("eth_subscribe", ["newHeads"], session)


def test_a_closed_hub_listens_no_more() -> None:
    chain = FakeChain()
    hub = Hub(chain)  # type: ignore[arg-type]
    hub.close()
    assert chain.subscribers == []


def test_a_filter_without_ends_has_none() -> None:
    from vmloom_node.rpc.arguments import read_log_filter

    found = read_log_filter({}, "filter")
    assert isinstance(found, LogFilter)
    assert (found.from_block, found.to_block, found.block_hash) == (None, None, None)
