"""From a text to its answer: batches, notifications, limits, failures, and the table of methods."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from vmloom.deadline import time_limit
from vmloom_node.config import NAMESPACES, RpcConfig
from vmloom_node.rpc.dispatcher import Dispatcher, Exchange
from vmloom_node.rpc.limits import RateLimit, check_deadline
from vmloom_node.rpc.protocol import RpcError
from vmloom_node.rpc.session import Session
from vmloom_node.rpc.table import METHODS, method

from .conftest import Rpc, RpcFailure, rpc_of

REQUIRED = set(
    """
web3_clientVersion web3_sha3 net_version net_listening eth_chainId eth_accounts eth_blockNumber eth_gasPrice
eth_maxPriorityFeePerGas eth_blobBaseFee eth_feeHistory eth_syncing eth_getBalance eth_getCode eth_getStorageAt
eth_getTransactionCount eth_getProof eth_call eth_estimateGas eth_createAccessList eth_sendTransaction
eth_sendRawTransaction eth_getBlockByNumber eth_getBlockByHash eth_getBlockReceipts eth_getTransactionByHash
eth_getTransactionReceipt eth_getLogs eth_newFilter eth_newBlockFilter eth_getFilterChanges eth_uninstallFilter
evm_snapshot evm_revert evm_mine evm_increaseTime evm_setNextBlockTimestamp evm_setAutomine anvil_dumpState
anvil_loadState debug_traceTransaction debug_traceCall debug_traceBlockByNumber eth_subscribe eth_unsubscribe
eth_simulateV1 txpool_content txpool_status txpool_inspect anvil_reset hardhat_reset anvil_mine hardhat_mine
""".split()  # noqa: SIM905  a table is easier to read
)
"""What development tools expect of a node."""


def request(method: str, request_id: Any = 1, params: Any = ()) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}


def handle(dispatcher: Dispatcher, message: Any) -> Any:
    answered = dispatcher.handle(json.dumps(message))
    return None if answered is None else json.loads(answered)


def test_every_method_that_tools_expect_is_there_and_documented() -> None:
    setters = {
        f"{prefix}_{name}"
        for prefix in ("anvil", "hardhat")
        for name in ("setBalance", "setCode", "setNonce", "setStorageAt", "impersonateAccount")
    }
    assert not (REQUIRED | setters) - set(METHODS)
    for one in METHODS.values():
        assert one.namespace in NAMESPACES
        assert one.documentation, one.name


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="two functions answer to eth_call"):
        method("eth_call")(lambda _: None)


def test_a_batch_is_answered_in_order_without_its_notifications(dispatcher: Dispatcher) -> None:
    notified = {key: value for key, value in request("eth_chainId").items() if key != "id"}
    answers = handle(dispatcher, [request("eth_chainId", "a"), notified, 7, request("eth_noMethod", 2)])
    assert [answer["id"] for answer in answers] == ["a", None, 2]
    assert answers[0]["result"] == "0x7a69"
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32600, -32601]


def test_notifications_have_no_answer_even_if_they_fail(dispatcher: Dispatcher) -> None:
    for name in ("eth_chainId", "eth_noMethod"):
        notified = {"jsonrpc": "2.0", "method": name}
        assert handle(dispatcher, notified) is None
        assert handle(dispatcher, [notified, notified]) is None


def test_an_unknown_method_is_told_with_the_nearest_one(rpc: Rpc) -> None:
    with pytest.raises(RpcFailure, match=r"eth_getBalanc does not exist/is not available \(did you mean") as caught:
        rpc("eth_getBalanc")
    assert caught.value.code == -32601
    with pytest.raises(RpcFailure) as caught:
        rpc("x" * 100_000)
    assert len(str(caught.value)) < 200


def test_only_the_namespaces_that_are_configured_are_served(make_dispatcher: Callable[..., Dispatcher]) -> None:
    rpc = rpc_of(make_dispatcher(RpcConfig(namespaces=("eth", "net"))))
    assert rpc("eth_chainId") == "0x7a69"
    for name in ("anvil_setBalance", "debug_traceCall", "web3_clientVersion"):
        with pytest.raises(RpcFailure, match="does not exist"):
            rpc(name)


def test_what_nobody_foresaw_is_an_internal_error_without_particulars(
    dispatcher: Dispatcher, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(type(dispatcher.chain), "gas_price", fail)
    with pytest.raises(RpcFailure) as caught:
        rpc("eth_gasPrice")
    assert (str(caught.value), caught.value.code) == ("internal error", -32603)
    assert rpc("eth_chainId") == "0x7a69"


def test_calls_are_counted_by_method_and_outcome(dispatcher: Dispatcher, rpc: Rpc) -> None:
    rpc("eth_chainId")
    for _ in range(2):
        with pytest.raises(RpcFailure):
            rpc("eth_getBalance")
        with pytest.raises(RpcFailure):
            rpc("made_up")
    text = dispatcher.metrics.exposition().decode()
    assert 'vmloom_rpc_calls_total{method="eth_chainId",outcome="ok"} 1.0' in text
    assert 'vmloom_rpc_calls_total{method="eth_getBalance",outcome="error"} 2.0' in text
    assert 'vmloom_rpc_calls_total{method="unknown",outcome="error"} 2.0' in text
    assert "made_up" not in text
    assert "vmloom_head_number 0.0" in text


# Limits


def test_a_batch_over_the_limit_is_refused_as_a_whole(make_dispatcher: Callable[..., Dispatcher]) -> None:
    dispatcher = make_dispatcher(RpcConfig(max_batch=2))
    assert len(handle(dispatcher, [request("eth_chainId")] * 2)) == 2
    answer = handle(dispatcher, [request("eth_chainId")] * 3)
    assert answer["error"]["code"] == -32600


def test_answers_end_where_they_become_too_large(make_dispatcher: Callable[..., Dispatcher]) -> None:
    dispatcher = make_dispatcher(RpcConfig(max_response_bytes=3_000))
    block = request("eth_getBlockByNumber", 1, ["latest", False])
    answers = handle(dispatcher, [block] * 4)
    assert "result" in answers[0]
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32003] * 3
    assert "result" in handle(dispatcher, block)


def test_a_batch_has_one_time_limit(
    make_dispatcher: Callable[..., Dispatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = make_dispatcher(RpcConfig(timeout_s=0.05))

    def slow(session: Session) -> str:
        threading.Event().wait(0.1)
        return "done"

    monkeypatch.setitem(METHODS, "eth_slow", METHODS["eth_chainId"])
    with monkeypatch.context() as patch:
        patch.setattr(dispatcher, "methods", {**dispatcher.methods, "eth_slow": _method(slow)})
        answers = handle(dispatcher, [request("eth_slow", n) for n in range(3)])
    assert answers[0]["result"] == "done"
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32002] * 2


def _method(function: Callable[..., Any]) -> Any:
    from dataclasses import replace

    return replace(METHODS["eth_chainId"], function=function)


def test_an_exchange_that_is_given_up_answers_what_it_has(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, release = threading.Event(), threading.Event()

    def stuck(session: Session) -> str:
        entered.set()
        release.wait(30)
        return "late"

    monkeypatch.setattr(dispatcher, "methods", {**dispatcher.methods, "eth_stuck": _method(stuck)})
    batch = [request("eth_chainId", 1), request("eth_stuck", 2), request("eth_chainId", 3)]
    exchange = Exchange(dispatcher, json.dumps(batch))
    thread = threading.Thread(target=exchange.run)
    thread.start()
    entered.wait(30)
    first, second, third = json.loads(exchange.give_up() or b"")
    release.set()
    thread.join()
    assert first["result"] == "0x7a69"
    assert [(one["id"], one["error"]["code"]) for one in (second, third)] == [(2, -32002), (3, -32002)]


def test_an_exchange_is_given_up_before_it_begins(dispatcher: Dispatcher) -> None:
    exchange = Exchange(dispatcher, json.dumps(request("eth_chainId")))
    assert json.loads(exchange.give_up() or b"")["error"]["code"] == -32002


def test_a_notification_that_is_given_up_gets_no_answer(dispatcher: Dispatcher) -> None:
    notification = {"jsonrpc": "2.0", "method": "eth_chainId"}
    late = Exchange(dispatcher, json.dumps(notification))
    assert late.is_short()
    assert late.give_up() is None


def test_a_client_that_asks_too_fast_is_told_to_wait(make_dispatcher: Callable[..., Dispatcher]) -> None:
    dispatcher = make_dispatcher(RpcConfig(calls_per_second=2))

    def ask(client: str, count: int = 1) -> list[int]:
        text = json.dumps([request("eth_chainId")] * count)
        answered = Exchange(dispatcher, text, client=client).run()
        assert answered is not None
        return [one.get("error", {}).get("code", 0) for one in json.loads(answered)]

    assert ask("a") == ask("a") == [0]
    assert ask("a", 2) == [-32005] * 2
    assert ask("b", 5) == [0] * 5
    assert ask("b") == [-32005]


def test_a_rate_is_earned_again_with_time() -> None:
    now = 0.0
    limit = RateLimit(2, clock=lambda: now)
    assert [limit.admit("a") for _ in range(3)] == [True, True, False]
    now = 0.5
    assert [limit.admit("a") for _ in range(2)] == [True, False]
    now = 100.0
    assert [limit.admit("a") for _ in range(3)] == [True, True, False]
    assert RateLimit(0).admit("a", 10**9)


def test_a_rate_limit_forgets_clients_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RateLimit, "_CLIENTS", 10)
    limit = RateLimit(1, clock=lambda: 0.0)
    assert all(limit.admit(str(n)) for n in range(100))
    assert len(limit._buckets) == 10


def test_a_deadline_holds_inside_and_ends_with_its_block() -> None:
    check_deadline()
    with time_limit(1e-9):
        threading.Event().wait(0.001)
        with pytest.raises(RpcError, match="timed out"):
            check_deadline()
    with time_limit(0):
        check_deadline()
    check_deadline()


def test_many_threads_ask_and_change_at_once(dispatcher: Dispatcher, rpc: Rpc) -> None:
    """Each thread sends from an account of its own, and reads what the others do; nothing is lost or mixed up."""
    accounts = rpc("eth_accounts")
    failures: list[Any] = []

    def work(account: str) -> None:
        ask = rpc_of(dispatcher)
        try:
            for nonce in range(10):
                digest = ask("eth_sendTransaction", {"from": account, "to": accounts[9], "value": "0x1"})
                receipt = ask("eth_getTransactionReceipt", digest)
                assert (receipt["status"], receipt["from"]) == ("0x1", account)
                assert ask("eth_getTransactionCount", account) == hex(nonce + 1)
                assert ask("eth_call", {"to": accounts[9], "from": account}) == "0x"
                assert ask("debug_traceTransaction", digest, {"tracer": "callTracer"})["value"] == "0x1"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(account,)) for account in accounts[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert rpc("eth_blockNumber") == hex(40)
    assert int(rpc("eth_getBalance", accounts[9]), 16) == 10_000 * 10**18 + 40
