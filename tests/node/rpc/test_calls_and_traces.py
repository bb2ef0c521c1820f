"""Calls, estimates, access lists, simulations and traces, with the errors that libraries decode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    call,
    deployer,
    jump,
    label,
    mstore,
    number,
    op,
    pc,
    pop,
    ret_top,
    sload,
    sstore,
    stop,
    timestamp,
)
from vmloom_node.chain import Chain, ChainOptions
from vmloom_node.chain.genesis import dev_genesis
from vmloom_node.config import RpcConfig
from vmloom_node.rpc.dispatcher import Dispatcher

from .conftest import BREAK, COUNT, COUNTER, ERROR_NO_MORE, FAIL, LOOP, SAY_NO, TOPIC, Rpc, RpcFailure, rpc_of, word


def test_a_call_returns_and_leaves_nothing_behind(rpc: Rpc, counter: str) -> None:
    assert rpc("eth_call", {"to": counter, "data": word(COUNT)}, "latest") == word(1)
    assert rpc("eth_call", {"to": counter, "input": word(COUNT)}) == word(1)
    assert rpc("eth_call", {"to": counter, "input": word(COUNT)}, "earliest") == "0x"


def test_a_call_without_address_is_a_creation(rpc: Rpc) -> None:
    init = "0x" + bytes(deployer(COUNTER)).hex()
    assert rpc("eth_call", {"data": init}) == "0x" + COUNTER.hex()


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_a_revert_has_code_3_its_reason_and_its_output(rpc: Rpc, counter: str, method: str) -> None:
    with pytest.raises(RpcFailure) as caught:
        rpc(method, {"to": counter, "data": word(SAY_NO)})
    assert str(caught.value) == "execution reverted: no more"
    assert (caught.value.code, caught.value.data) == (3, "0x" + ERROR_NO_MORE.hex())
    with pytest.raises(RpcFailure) as caught:
        rpc(method, {"to": counter, "data": word(FAIL)})
    assert (str(caught.value), caught.value.code, caught.value.data) == ("execution reverted", 3, "0x")


def test_any_other_failure_has_its_cause_and_no_data(rpc: Rpc, counter: str) -> None:
    for what, words in ((BREAK, "invalid opcode"), (LOOP, "out of gas")):
        with pytest.raises(RpcFailure, match=words) as caught:
            rpc("eth_call", {"to": counter, "data": word(what), "gas": "0x186a0"})
        assert (caught.value.code, caught.value.data) == (-32000, None)


def test_overrides_are_assumed_for_one_call_only(rpc: Rpc, counter: str) -> None:
    slot = {counter: {"stateDiff": {word(0): word(41)}}}
    assert rpc("eth_call", {"to": counter, "data": word(COUNT)}, "latest", slot) == word(42)
    assert rpc("eth_call", {"to": counter, "data": word(COUNT)}, "latest") == word(1)
    now = "0x" + bytes(ret_top(number)).hex()
    overrides = {"0x" + "77" * 20: {"code": now, "balance": "0x1", "nonce": "0x2"}}
    assert rpc("eth_call", {"to": "0x" + "77" * 20}, "latest", overrides, {"number": "0x64"}) == word(100)
    late = {"0x" + "77" * 20: {"code": "0x" + bytes(ret_top(timestamp)).hex()}}
    assert rpc("eth_call", {"to": "0x" + "77" * 20}, "latest", late, {"time": "0x5"}) == word(5)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([], "missing value for required argument 0"),
        ([{"to": "0x12"}], "invalid argument 0: transaction.to: hex string has length 2, want 40"),
        ([{"data": "0x1"}], "odd length"),
        ([{"data": "0x12", "input": "0x13"}], 'both "data" and "input" are set'),
        ([{"gas": 5}], "must be a hex string, got a number"),
        ([{"gas": "0x1ffffffffffffffff"}], "hex number > 64 bits"),
        ([{"type": "0x9"}], "transaction type not supported"),
        ([{"accessList": [{}]}], "accessList.0..address: missing"),
        ([{"authorizationList": [{"address": "0x" + "11" * 20}]}], "chainId: missing"),
        ([{"gasPrice": "0x1", "maxFeePerGas": "0x1"}], "both gasPrice and"),
        ([{}, "newest"], "invalid argument 1: block: must be a block number"),
        ([{}, {"blockHash": "0x" + "00" * 32, "blockNumber": "0x0"}], "either blockHash or blockNumber"),
        ([{}, "latest", {"0x12": {}}], "invalid argument 2: overrides: hex string has length 2"),
        ([{}, "latest", {"0x" + "11" * 20: {"state": {}, "stateDiff": {}}}], "both 'state' and 'stateDiff'"),
        ([{}, "latest", {}, {}, 5], "too many arguments, want at most 4"),
        ([[]], "must be an object, got a list"),
    ],
)
def test_a_call_that_is_none_is_told_what_is_wrong_where(rpc: Rpc, params: list[Any], words: str) -> None:
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("eth_call", *params)
    assert caught.value.code == -32602


def test_blocks_are_named_in_every_way(rpc: Rpc, counter: str) -> None:
    block = rpc("eth_getBlockByNumber", "latest", False)
    for reference in ("safe", "finalized", "0x1", block["hash"], {"blockHash": block["hash"]}, {"blockNumber": "0x1"}):
        assert rpc("eth_getCode", counter, reference) == "0x" + COUNTER.hex()
    with pytest.raises(RpcFailure, match="header not found") as caught:
        rpc("eth_getCode", counter, "0x64")
    assert caught.value.code == -32000


def test_an_estimate_suffices_and_is_the_least(rpc: Rpc, accounts: list[str], counter: str) -> None:
    request = {"from": accounts[0], "to": counter, "data": word(COUNT)}
    gas = int(rpc("eth_estimateGas", request), 16)
    receipt = rpc("eth_getTransactionReceipt", rpc("eth_sendTransaction", {**request, "gas": hex(gas)}))
    assert receipt["status"] == "0x1"
    gas = int(rpc("eth_estimateGas", request), 16)
    failed = rpc("eth_getTransactionReceipt", rpc("eth_sendTransaction", {**request, "gas": hex(gas - 1)}))
    assert failed["status"] == "0x0"


def test_an_access_list_names_what_is_used_and_its_gas(rpc: Rpc, accounts: list[str], counter: str) -> None:
    request = {"from": accounts[0], "to": counter, "data": word(COUNT)}
    found = rpc("eth_createAccessList", request)
    assert found["accessList"] == [{"address": counter, "storageKeys": [word(0)]}]
    sent = rpc("eth_sendTransaction", {**request, "accessList": found["accessList"]})
    assert rpc("eth_getTransactionReceipt", sent)["gasUsed"] == found["gasUsed"]
    failing = rpc("eth_createAccessList", {**request, "data": word(SAY_NO)})
    assert failing["error"].startswith("execution reverted")


# Traces


def test_the_call_tracer_tells_calls_logs_and_reasons(rpc: Rpc, accounts: list[str], counter: str) -> None:
    outer = "0x" + "55" * 20
    rpc("anvil_setCode", outer, "0x" + bytes(sstore(1, call(bytes.fromhex(counter[2:]), input=(0, 32)))).hex())
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "to": outer, "gas": "0x30d40"})
    trace = rpc("debug_traceTransaction", digest, {"tracer": "callTracer", "tracerConfig": {"withLog": True}})
    assert (trace["type"], trace["from"], trace["to"]) == ("CALL", accounts[0], outer)
    assert trace["gasUsed"] == rpc("eth_getTransactionReceipt", digest)["gasUsed"]
    (inner,) = trace["calls"]
    assert (inner["from"], inner["to"], inner["output"]) == (outer, counter, word(1))
    assert inner["logs"][0]["topics"][0] == word(TOPIC)
    options = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}
    assert "calls" not in rpc("debug_traceTransaction", digest, options)
    failed = rpc("debug_traceCall", {"to": counter, "data": word(SAY_NO)}, "latest", {"tracer": "callTracer"})
    assert (failed["error"], failed["revertReason"]) == ("execution reverted", "no more")


def test_the_struct_logger_tells_every_instruction(rpc: Rpc, accounts: list[str], counter: str) -> None:
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT)})
    trace = rpc("debug_traceTransaction", digest)
    assert trace["failed"] is False
    assert trace["gas"] == int(rpc("eth_getTransactionReceipt", digest)["gasUsed"], 16)
    assert trace["returnValue"] == word(1)
    (store,) = (log for log in trace["structLogs"] if log["op"] == "SSTORE")
    assert store["stack"][-2:] == ["0x1", "0x0"]
    assert store["storage"] == {word(0): word(1)}
    slim = rpc("debug_traceTransaction", digest, {"disableStack": True, "disableStorage": True, "limit": 3})
    assert len(slim["structLogs"]) == 3
    assert set(slim["structLogs"][0]) == {"pc", "op", "gas", "gasCost", "depth"}
    full = rpc("debug_traceTransaction", digest, {"enableMemory": True})
    assert any("memory" in log for log in full["structLogs"])


def test_the_prestate_tracer_tells_what_was_and_what_became_of_it(rpc: Rpc, accounts: list[str], counter: str) -> None:
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT)})
    before = rpc("debug_traceTransaction", digest, {"tracer": "prestateTracer"})
    assert before[accounts[0]]["nonce"] == 1
    assert before[counter]["code"] == "0x" + COUNTER.hex()
    options = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    diff = rpc("debug_traceTransaction", digest, options)
    assert diff["post"][counter] == {"storage": {word(0): word(1)}}
    assert diff["post"][accounts[0]]["nonce"] == 2
    balance = int(diff["post"][accounts[0]]["balance"], 16)
    assert balance == int(rpc("eth_getBalance", accounts[0]), 16)
    called = rpc("debug_traceCall", {"from": accounts[1], "to": counter, "data": word(COUNT)}, "latest", options)
    assert called["post"][counter] == {"storage": {word(0): word(2)}}


def test_a_traced_call_sees_its_overrides_from_the_beginning(rpc: Rpc, counter: str) -> None:
    options = {
        "tracer": "prestateTracer",
        "stateOverrides": {counter: {"balance": "0x63", "stateDiff": {word(0): word(9)}}},
        "blockOverrides": {"number": "0x64"},
    }
    before = rpc("debug_traceCall", {"to": counter, "data": word(COUNT)}, "latest", options)
    assert (before[counter]["balance"], before[counter]["storage"]) == ("0x63", {word(0): word(9)})
    assert rpc("eth_getStorageAt", counter, "0x0") == word(0)


def test_a_transaction_is_traced_after_those_before_it_in_its_block(
    rpc: Rpc, accounts: list[str], counter: str
) -> None:
    rpc("evm_setAutomine", False)
    sent = [
        rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT), "gas": "0x186a0"})
        for _ in range(3)
    ]
    rpc("evm_mine")
    block = rpc("eth_getBlockByNumber", "latest", False)
    assert block["transactions"] == sent
    options = {"tracer": "callTracer"}
    traces = rpc("debug_traceBlockByHash", block["hash"], options)
    assert [trace["result"]["output"] for trace in traces] == [word(n) for n in (1, 2, 3)]
    assert traces == rpc("debug_traceBlockByNumber", block["number"], options)
    assert traces[1] == {"txHash": sent[1], "result": rpc("debug_traceTransaction", sent[1], options)}
    assert rpc("debug_traceBlockByNumber", "earliest", options) == []


def test_other_tracers_and_several_at_once(rpc: Rpc, accounts: list[str], counter: str) -> None:
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "to": counter, "data": word(COUNT)})
    several = {"tracer": "muxTracer", "tracerConfig": {"callTracer": {"withLog": True}, "4byteTracer": None}}
    traces = rpc("debug_traceTransaction", digest, several)
    assert traces["4byteTracer"] == {"0x00000000-28": 1}
    assert traces["callTracer"]["logs"][0]["address"] == counter
    assert rpc("debug_traceTransaction", digest, {"tracer": "noopTracer"}) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tracer": "calltracer"}, "did you mean callTracer"),
        ({"tracer": "{step: function() {}}"}, "JavaScript"),
        ({"tracer": "callTracer", "tracerConfig": {"withLog": 1}}, "withLog: must be true or false"),
        ({"tracer": "muxTracer", "tracerConfig": {"muxTracer": {}}}, "part of itself"),
        ({"limit": "0x5"}, "limit: must be a number"),
        ({"enableMemory": "yes"}, "enableMemory: must be true or false"),
    ],
)
def test_a_way_of_tracing_that_is_none_is_refused(rpc: Rpc, counter: str, options: Any, words: str) -> None:
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("debug_traceCall", {"to": counter}, "latest", options)
    assert caught.value.code == -32602


def test_tracing_what_is_not_there(rpc: Rpc) -> None:
    with pytest.raises(RpcFailure, match="transaction not found"):
        rpc("debug_traceTransaction", "0x" + "99" * 32)


def test_a_trace_ends_when_its_time_is_up(dispatcher: Dispatcher, rpc: Rpc, counter: str) -> None:
    object.__setattr__(dispatcher, "config", dispatcher.config.model_copy(update={"timeout_s": 0.05}))
    with pytest.raises(RpcFailure, match="request timed out") as caught:
        rpc("debug_traceCall", {"to": counter, "data": word(LOOP)}, "latest", {"tracer": "callTracer"})
    assert caught.value.code == -32002


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({}, op("DUP1")),
        ({"enableMemory": True, "disableStack": True}, mstore(100_000, 1)),
        ({"tracer": "callTracer"}, call(4, input=(0, 100_000)) + pop),
        ({"tracer": "4byteTracer"}, call(4, input=(0, 100_000)) + pop),
        ({"tracer": "muxTracer", "tracerConfig": {"callTracer": {}}}, call(4, output=(0, 0), input=(0, 100_000)) + pop),
    ],
    ids=["stack", "memory", "calls", "selectors", "several"],
)
def test_a_trace_that_would_fill_the_memory_is_refused(
    make_dispatcher: Callable[..., Dispatcher], options: Any, body: Bytecode
) -> None:
    rpc = rpc_of(make_dispatcher(RpcConfig(max_response_bytes=1_000_000)))
    code = "0x" + bytes(pc + body * 200 + stop).hex()
    overrides = {"stateOverrides": {"0x" + "77" * 20: {"code": code}}}
    request = {"to": "0x" + "77" * 20}
    with pytest.raises(RpcFailure, match="the trace is too large") as caught:
        rpc("debug_traceCall", request, "latest", {**options, **overrides})
    assert caught.value.code == -32005
    if not options:
        assert len(rpc("debug_traceCall", request, "latest", {"limit": 50, **overrides})["structLogs"]) == 50


# Simulations


def test_a_simulation_goes_on_from_call_to_call_and_from_block_to_block(
    rpc: Rpc, accounts: list[str], counter: str
) -> None:
    count = {"from": accounts[0], "to": counter, "input": word(COUNT)}
    rich = "0x" + "99" * 20
    payload = {
        "blockStateCalls": [
            {"calls": [count, count]},
            {
                "blockOverrides": {"number": "0x5", "time": "0xffffffffff"},
                "stateOverrides": {rich: {"balance": "0x10"}},
                "calls": [count, {"from": rich, "to": accounts[0], "value": "0x3"}],
            },
        ],
        "traceTransfers": True,
    }
    blocks = rpc("eth_simulateV1", payload, "latest")
    assert [block["number"] for block in blocks] == ["0x2", "0x3", "0x4", "0x5"]
    assert [call["returnData"] for call in blocks[0]["calls"]] == [word(1), word(2)]
    assert blocks[3]["calls"][0]["returnData"] == word(3)
    assert blocks[3]["timestamp"] == "0xffffffffff"
    assert blocks[3]["parentHash"] == blocks[2]["hash"]
    first, second = blocks[0]["calls"]
    assert (first["logs"][0]["logIndex"], second["logs"][0]["logIndex"]) == ("0x0", "0x1")
    assert first["logs"][0]["blockHash"] == blocks[0]["hash"]
    (transfer,) = blocks[3]["calls"][1]["logs"]
    assert (transfer["address"], transfer["data"]) == ("0x" + "ee" * 20, word(3))
    assert rpc("eth_blockNumber") == "0x1"
    assert rpc("eth_getStorageAt", counter, "0x0") == word(0)


def test_a_simulated_call_that_fails_says_how(rpc: Rpc, accounts: list[str], counter: str) -> None:
    calls = [{"from": accounts[0], "to": counter, "input": word(what), "gas": "0x186a0"} for what in (SAY_NO, BREAK)]
    (block,) = rpc("eth_simulateV1", {"blockStateCalls": [{"calls": calls}], "returnFullTransactions": True})
    reverted, broken = block["calls"]
    assert reverted["error"] == {
        "code": 3,
        "message": "execution reverted: no more",
        "data": "0x" + ERROR_NO_MORE.hex(),
    }
    assert (reverted["status"], broken["error"]["code"]) == ("0x0", -32015)
    assert [tx["from"] for tx in block["transactions"]] == [accounts[0]] * 2


def test_a_simulation_with_validation_refuses_as_a_block_would(rpc: Rpc, accounts: list[str]) -> None:
    poor = {"from": "0x" + "99" * 20, "to": accounts[0], "value": "0x1"}
    with pytest.raises(RpcFailure, match="insufficient funds") as caught:
        rpc("eth_simulateV1", {"blockStateCalls": [{"calls": [poor]}], "validation": True})
    assert caught.value.code == -38014
    late = {"from": accounts[0], "to": accounts[1], "nonce": "0x9"}
    with pytest.raises(RpcFailure, match="nonce too high") as caught:
        rpc("eth_simulateV1", {"blockStateCalls": [{"calls": [late]}], "validation": True})
    assert caught.value.code == -38011


@pytest.mark.parametrize(
    ("payload", "words", "code"),
    [
        ({}, "empty input", -32602),
        ({"blockStateCalls": []}, "empty input", -32602),
        ({"blockStateCalls": [{"blockOverrides": {"number": "0x0"}}]}, "block numbers must be in order", -38020),
        ({"blockStateCalls": [{"blockOverrides": {"time": "0x0"}}]}, "block timestamps must be in order", -38021),
        ({"blockStateCalls": [{"blockOverrides": {"number": "0x1000"}}]}, "too many blocks", -38026),
        ({"blockStateCalls": [{"blockOverrides": {"withdrawals": [{}]}}]}, "must have index", -32602),
    ],
)
def test_a_simulation_that_is_none_is_refused(rpc: Rpc, payload: Any, words: str, code: int) -> None:
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("eth_simulateV1", payload)
    assert caught.value.code == code


def test_slots_that_hold_nothing_read_as_zero(rpc: Rpc) -> None:
    code = "0x" + bytes(ret_top(sload(7))).hex()
    assert rpc("eth_call", {"to": "0x" + "77" * 20}, "latest", {"0x" + "77" * 20: {"code": code}}) == word(0)


def test_a_call_ends_when_its_time_is_up_and_leaves_nothing_behind() -> None:
    """All of its gas would last for minutes."""
    chain = Chain(dev_genesis(fork="prague"), options=ChainOptions(call_gas=10**12))  # later forks limit it
    dispatcher = Dispatcher(chain, RpcConfig(timeout_s=0.1))
    rpc, somewhere = rpc_of(dispatcher), "0x" + "77" * 20
    endless = "0x" + bytes(sstore(0, 1) + label("again") + jump("again")).hex()
    with pytest.raises(RpcFailure, match="request timed out") as caught:
        rpc("eth_call", {"to": somewhere, "gas": hex(10**12)}, "latest", {somewhere: {"code": endless}})
    assert caught.value.code == -32002
    said = "0x" + bytes(ret_top(sload(0))).hex()
    assert rpc("eth_call", {"to": somewhere}, "latest", {somewhere: {"code": said}}) == word(0)
    dispatcher.close()
    chain.close()
