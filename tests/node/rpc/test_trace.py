"""trace_*: Parity's format, held to what geth's tests of its flat tracer and of its trace namespace expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vmloom.hashing import create_address
from vmloom_evm.assembly import (
    Bytecode,
    add,
    call,
    callcode,
    create,
    create_from,
    delegatecall,
    deployer,
    invalid,
    joined,
    jump,
    label,
    mload,
    mstore,
    op,
    pop,
    push,
    raw,
    ret_top,
    return_,
    returndatacopy,
    revert,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    stop,
)
from vmloom_node.chain import Chain
from vmloom_node.chain.genesis import dev_genesis
from vmloom_node.chain.header import Header
from vmloom_node.config import RpcConfig
from vmloom_node.rpc.dispatcher import Dispatcher
from vmloom_node.rpc.parity import rewards

from .conftest import COUNT, COUNTER, COUNTER_INIT, LOOP, Rpc, RpcFailure, rpc_of, word

OUTER, INNER, HEIR = ("0x" + byte * 20 for byte in ("55", "66", "be"))
IDENTITY = 4


def place(rpc: Rpc, address: str, code: Bytecode) -> None:
    rpc("anvil_setCode", address, "0x" + bytes(code).hex())


def data(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def run(rpc: Rpc, sender: str, to: str, **fields: Any) -> str:
    digest: str = rpc("eth_sendTransaction", {"from": sender, "to": to, "gas": "0x7a120", **fields})
    return digest


def paths(traces: list[dict[str, Any]]) -> list[tuple[str, list[int], int]]:
    return [(trace["type"], trace["traceAddress"], trace["subtraces"]) for trace in traces]


# The format


def test_a_transfer_is_one_trace_with_its_place(rpc: Rpc, accounts: list[str]) -> None:
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "to": accounts[1], "value": "0x5"})
    assert rpc("trace_transaction", digest) == [
        {
            "action": {
                "callType": "call",
                "from": accounts[0],
                "gas": "0x0",
                "input": "0x",
                "to": accounts[1],
                "value": "0x5",
            },
            "blockHash": rpc("eth_getBlockByNumber", "latest", False)["hash"],
            "blockNumber": 1,
            "result": {"gasUsed": "0x0", "output": "0x"},
            "subtraces": 0,
            "traceAddress": [],
            "transactionHash": digest,
            "transactionPosition": 0,
            "type": "call",
        }
    ]


def test_a_creation_tells_its_init_code_and_what_became_of_it(rpc: Rpc, accounts: list[str], counter: str) -> None:
    digest = rpc("eth_getBlockByNumber", "0x1", False)["transactions"][0]
    (trace,) = rpc("trace_transaction", digest)
    action, result = trace["action"], trace["result"]
    assert (trace["type"], action["from"], action["value"]) == ("create", accounts[0], "0x0")
    assert (action["init"], action["creationMethod"]) == (COUNTER_INIT, "create")
    assert (result["address"], result["code"]) == (counter, "0x" + COUNTER.hex())
    assert set(action) == {"from", "gas", "value", "init", "creationMethod"}
    intrinsic = int(rpc("eth_getTransactionReceipt", digest)["gasUsed"], 16) - int(result["gasUsed"], 16)
    assert intrinsic == 53_000 + 2 * 8 + sum(16 if byte else 4 for byte in data(COUNTER_INIT))  # 8 words of init code


def test_frames_of_every_kind_stand_in_their_order_with_their_paths(rpc: Rpc, accounts: list[str]) -> None:
    inner = data(INNER)
    made = deployer(stop)
    place(rpc, INNER, mstore(0, 7) + pop(staticcall(data(HEIR))) + return_(31, 1))
    place(
        rpc,
        OUTER,
        joined(
            pop(call(inner, value=2)),
            pop(delegatecall(inner)),
            pop(callcode(inner, value=1)),
            pop(create_from(made, value=3, salt=5)),
            selfdestruct(data(HEIR)),
        ),
    )
    rpc("anvil_setBalance", OUTER, "0x64")
    traces = rpc("trace_transaction", run(rpc, accounts[0], OUTER, value="0x6"))
    assert paths(traces) == [
        ("call", [], 5),
        ("call", [0], 1),
        ("call", [0, 0], 0),
        ("call", [1], 1),
        ("call", [1, 0], 0),
        ("call", [2], 1),
        ("call", [2, 0], 0),
        ("create", [3], 0),
        ("suicide", [4], 0),
    ]
    actions = [trace["action"] for trace in traces]
    kinds = [action.get("callType") for action in actions[:7]]
    assert kinds == ["call", "call", "staticcall", "delegatecall", "staticcall", "callcode", "staticcall"]
    # A delegate has the value of who called it; a static call has none, which is told as zero.
    assert [action["value"] for action in actions[:8]] == ["0x6", "0x2", "0x0", "0x6", "0x0", "0x1", "0x0", "0x3"]
    assert [action["from"] for action in actions[1:6]] == [OUTER, INNER, OUTER, OUTER, OUTER]
    assert actions[7]["creationMethod"] == "create2"
    assert actions[8] == {"address": OUTER, "balance": "0x65", "refundAddress": HEIR}
    assert traces[8]["result"] is None
    assert traces[1]["result"]["output"] == "0x07"


def test_precompiles_without_value_and_declined_calls_are_no_traces(rpc: Rpc, accounts: list[str]) -> None:
    place(
        rpc,
        OUTER,
        joined(
            pop(call(IDENTITY, input=(0, 32))),
            pop(staticcall(IDENTITY)),
            pop(call(data(INNER), value=2)),
            pop(create(2, 0, 0)),
            pop(delegatecall(IDENTITY)),
            pop(call(IDENTITY, value=1)),
            pop(call(data(INNER))),
            stop,
        ),
    )
    rpc("anvil_setBalance", OUTER, "0x1")
    traces = rpc("trace_transaction", run(rpc, accounts[0], OUTER))
    assert paths(traces) == [("call", [], 3), ("call", [0], 0), ("call", [1], 0), ("call", [2], 0)]
    assert [trace["action"]["callType"] for trace in traces] == ["call", "delegatecall", "call", "call"]
    assert traces[3]["action"]["to"] == INNER
    (root,) = rpc("trace_call", {"to": "0x" + "00" * 19 + "04", "data": "0x2a"}, ["trace"])["trace"]
    assert root["result"]["output"] == "0x2a"


def failing(name: str) -> Bytecode:
    return {
        "revert": mstore(0, 1) + revert(31, 1),
        "gas": label("again") + jump("again"),
        "invalid": invalid,
        "undefined": raw("0c"),
        "jump": jump(5),
        "underflow": raw("01"),
        "overflow": raw("5b5f5f56"),
        "static write": pop(staticcall(data(INNER))) + stop,
        "return data": returndatacopy(0, 0, 1),
        "collision": pop(create_from(b"\0", salt=0)) * 2 + stop,
    }[name]


@pytest.mark.parametrize(
    ("name", "index", "words"),
    [
        ("revert", 0, "Reverted"),
        ("gas", 0, "Out of gas"),
        ("invalid", 0, "Bad instruction"),
        ("undefined", 0, "Bad instruction"),
        ("jump", 0, "Bad jump destination"),
        ("underflow", 0, "Stack underflow"),
        ("overflow", 0, "Out of stack"),
        ("static write", 1, "Mutable Call In Static Context"),
        ("return data", 0, "Out of bounds"),
        ("collision", 2, "Contract address collision"),
    ],
)
def test_failures_are_told_in_paritys_words(rpc: Rpc, name: str, index: int, words: str) -> None:
    codes = {OUTER: {"code": "0x" + bytes(failing(name)).hex()}, INNER: {"code": "0x" + bytes(sstore(0, 1)).hex()}}
    request = {"to": OUTER, "gas": "0x186a0"}
    answer = rpc("trace_call", request, ["trace"], "latest", codes)
    failed = answer["trace"][index]
    assert failed["error"] == words
    assert [trace["error"] for trace in answer["trace"] if "error" in trace] == [words]
    if name == "revert":
        assert (failed["result"]["output"], answer["output"]) == ("0x01", "0x01")
    else:
        assert failed["result"] is None


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (return_(0, 0x1000), "Out of gas"),
        (return_(0, 0x6001), "Code size limit exceeded"),
        (mstore(0, push(0xEF << 248)) + return_(0, 1), "Invalid code prefix 0xEF"),
    ],
    ids=["deposit", "size", "prefix"],
)
def test_failed_creations_are_told_in_their_words(rpc: Rpc, init: Bytecode, words: str) -> None:
    gas = 100_000 if words == "Out of gas" else 10_000_000
    (trace,) = rpc("trace_call", {"data": "0x" + bytes(init).hex(), "gas": hex(gas)}, ["trace"])["trace"]
    assert (trace["error"], trace["result"]) == (words, None)


def test_a_failed_precompile_and_a_reverted_creation(rpc: Rpc, accounts: list[str]) -> None:
    bad_point = {"to": "0x" + "00" * 19 + "06", "data": "0x" + "01" * 128}
    (trace,) = rpc("trace_call", bad_point, ["trace"])["trace"]
    assert trace["error"] == "Built-in failed"
    init = "0x" + bytes(mstore(0, 9) + revert(31, 1)).hex()
    (trace,) = rpc("trace_call", {"from": accounts[0], "data": init}, ["trace"])["trace"]
    address = "0x" + create_address(data(accounts[0]), 0).hex()
    assert (trace["error"], trace["result"]["code"], trace["result"]["address"]) == ("Reverted", "0x09", address)


def test_a_contract_of_another_machine_is_created_too(rpc: Rpc, accounts: list[str]) -> None:
    code = Path("examples/wasm-token/token-wat.wasm").read_bytes().hex()
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "data": "0x" + code, "gas": hex(15_000_000)})
    contract = rpc("eth_getTransactionReceipt", digest)["contractAddress"]
    (trace,) = rpc("trace_transaction", digest)
    assert (trace["type"], trace["action"]["init"]) == ("create", "0x" + code)
    assert trace["result"]["address"] == contract
    assert trace["result"]["code"] == rpc("eth_getCode", contract) != "0x"
    assert rpc("trace_replayTransaction", digest, ["vmTrace"])["vmTrace"]["ops"] == []
    place(rpc, OUTER, pop(call(data(contract))) + stop)
    (made,) = [one for one in rpc("trace_call", {"to": OUTER}, ["vmTrace"])["vmTrace"]["ops"] if one["op"] == "CALL"]
    assert made["sub"] == {"code": rpc("eth_getCode", contract), "ops": []}
    call_tree = rpc("debug_traceTransaction", digest, {"tracer": "callTracer"})
    assert (call_tree["type"], call_tree["to"], call_tree["output"]) == ("CREATE", contract, trace["result"]["code"])


# Blocks and places


def test_a_block_has_the_traces_of_all_its_transactions(rpc: Rpc, accounts: list[str], counter: str) -> None:
    place(rpc, OUTER, pop(call(data(counter), input=(0, 32))) + stop)
    rpc("evm_setAutomine", False)
    sent = [run(rpc, accounts[n], to) for n, to in ((0, OUTER), (1, counter))]
    rpc("evm_mine")
    order = rpc("eth_getBlockByNumber", "latest", False)["transactions"]
    traces = rpc("trace_block", "latest")
    assert traces == [trace for digest in order for trace in rpc("trace_transaction", digest)]
    assert sorted(order) == sorted(sent)
    assert {trace["transactionPosition"] for trace in traces} == {0, 1}
    outer = next(trace for trace in traces if trace["action"]["to"] == OUTER)
    found = rpc("trace_get", outer["transactionHash"], ["0x0"])
    assert (found["action"]["from"], found["traceAddress"]) == (OUTER, [0])
    assert rpc("trace_get", outer["transactionHash"], []) == outer
    assert rpc("trace_get", outer["transactionHash"], [0, 1]) is None
    replayed = rpc("trace_replayBlockTransactions", "latest", ["trace"])
    assert [one["transactionHash"] for one in replayed] == order
    bare = [trace for one in replayed for trace in one["trace"]]
    assert bare == [{key: trace[key] for key in bare[0] if key in trace} for trace in traces]


def test_what_is_not_there_is_null(rpc: Rpc, accounts: list[str]) -> None:
    rpc("evm_setAutomine", False)
    waiting = rpc("eth_sendTransaction", {"from": accounts[0], "to": accounts[1]})
    for digest in ("0x" + "99" * 32, waiting):
        assert rpc("trace_transaction", digest) is None
        assert rpc("trace_get", digest, []) is None
        with pytest.raises(RpcFailure, match="transaction not found"):
            rpc("trace_replayTransaction", digest, ["trace"])
    for block in ("0x99", "pending", "0x" + "99" * 32):
        assert rpc("trace_block", block) is None
        assert rpc("trace_replayBlockTransactions", block, ["trace"]) is None
    assert rpc("trace_block", "earliest") == []


def test_rewards_of_blocks_that_were_mined_are_traces() -> None:
    chain = Chain(dev_genesis(fork="london"))
    dispatcher = Dispatcher(chain)
    rpc = rpc_of(dispatcher)
    miner = "0x" + "c0" * 20
    rpc("anvil_setCoinbase", miner)
    rpc("anvil_mine", 2)
    (trace,) = rpc("trace_block", "0x2")
    assert trace == {
        "action": {"author": miner, "rewardType": "block", "value": hex(2 * 10**18)},
        "blockHash": rpc("eth_getBlockByNumber", "0x2", False)["hash"],
        "blockNumber": 2,
        "result": None,
        "subtraces": 0,
        "traceAddress": [],
        "transactionHash": None,
        "transactionPosition": None,
        "type": "reward",
    }
    assert int(rpc("eth_getBalance", miner), 16) == 4 * 10**18
    assert rpc("trace_block", "earliest") == []
    assert rpc("trace_filter", {"toAddress": [miner], "count": 1})[0]["blockNumber"] == 1
    assert rpc("trace_filter", {"fromAddress": [miner]}) == []
    stale = Header(coinbase=data(HEIR), number=1)
    got = [(author, trace["action"]) for author, trace in rewards(chain, replace(chain.head, ommers=(stale,)))]
    assert [author for author, _ in got] == [data(miner), data(HEIR)]
    assert [action["value"] for _, action in got] == [hex(2 * 10**18 * 33 // 32), hex(2 * 10**18 * 7 // 8)]
    assert [action["rewardType"] for _, action in got] == ["block", "uncle"]
    dispatcher.close()
    chain.close()


# Searches


def test_calls_are_found_by_who_called_and_who_was_called(rpc: Rpc, accounts: list[str], counter: str) -> None:
    place(rpc, OUTER, pop(call(data(counter), input=(0, 32))) + stop)
    first = run(rpc, accounts[0], OUTER)
    second = run(rpc, accounts[1], counter, data=word(COUNT))

    def found(**search: Any) -> list[tuple[str, list[int]]]:
        return [(one["transactionHash"], one["traceAddress"]) for one in rpc("trace_filter", search)]

    created = rpc("eth_getBlockByNumber", "0x1", False)["transactions"][0]
    everything = [(created, []), (first, []), (first, [0]), (second, [])]
    assert found() == found(fromBlock="earliest", toBlock="latest") == everything
    assert found(toAddress=[counter]) == [everything[0], *everything[2:]]
    assert found(fromAddress=[accounts[0]]) == everything[:2]
    assert found(fromAddress=[accounts[0]], toAddress=[counter]) == everything
    assert found(fromAddress=[accounts[0]], toAddress=[counter], mode="union") == everything
    assert found(fromAddress=[accounts[0]], toAddress=[counter], mode="intersection") == everything[:1]
    assert found(fromAddress=[OUTER, accounts[1]], mode="intersection") == everything[2:]
    assert found(after=1, count=2) == found(after="0x1", count="0x2") == everything[1:3]
    assert found(count=0) == found(after=4) == []
    assert found(fromBlock="0x2", toBlock="0x2") == everything[1:3]
    assert found(fromBlock="0x9") == []


@pytest.mark.parametrize(
    ("search", "words", "code"),
    [
        ({"mode": "both"}, "mode: must be one of union, intersection", -32602),
        ({"fromAddress": ["0x1"]}, r"fromAddress\[0\]: hex string has length 1", -32602),
        ({"count": -1}, "count", -32602),
        ({"fromBlock": "0x3", "toBlock": "0x1"}, "invalid block range", -32602),
        ({"fromBlock": "0x0", "toBlock": "0x5"}, "block range too large: 6 blocks, the limit is 5", -32005),
    ],
)
def test_a_search_for_calls_that_is_none_is_refused(
    make_dispatcher: Callable[..., Dispatcher], search: Any, words: str, code: int
) -> None:
    rpc = rpc_of(make_dispatcher(RpcConfig(max_log_blocks=5)))
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("trace_filter", search)
    assert caught.value.code == code


def test_only_as_many_blocks_are_run_again_as_are_asked_for(
    rpc: Rpc, accounts: list[str], counter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        run(rpc, accounts[0], counter, data=word(COUNT))
    rpc("evm_mine")
    ran: list[Any] = []
    trace_block = Chain.trace_block

    def counted(chain: Chain, *args: Any) -> Any:
        ran.append(args)
        return trace_block(chain, *args)

    monkeypatch.setattr(Chain, "trace_block", counted)
    assert len(rpc("trace_filter", {"fromBlock": "0x2", "count": 1})) == 1
    assert len(ran) == 1
    assert len(rpc("trace_filter", {"fromBlock": "0x2"})) == 3
    assert len(ran) == 4  # an empty block is not run


# Runs


def test_a_state_diff_tells_what_was_and_what_is(rpc: Rpc, accounts: list[str]) -> None:
    place(rpc, OUTER, sstore(0, 42) + sstore(1, 0) + sstore(2, sload(2)) + stop)
    rpc("anvil_setStorageAt", OUTER, "0x1", word(7))
    rpc("anvil_setStorageAt", OUTER, "0x2", word(9))
    digest = run(rpc, accounts[1], OUTER, value="0x5")
    answer = rpc("trace_replayTransaction", digest, ["stateDiff"])
    assert (answer["trace"], answer["vmTrace"], answer["output"]) == ([], None, "0x")
    diff = answer["stateDiff"]
    assert diff[OUTER] == {
        "balance": {"*": {"from": "0x0", "to": "0x5"}},
        "code": "=",
        "nonce": "=",
        "storage": {
            word(0): {"*": {"from": word(0), "to": word(42)}},
            word(1): {"*": {"from": word(7), "to": word(0)}},
        },
    }
    assert diff[accounts[1]]["nonce"] == {"*": {"from": "0x0", "to": "0x1"}}
    spent = diff[accounts[1]]["balance"]["*"]
    assert spent["to"] == rpc("eth_getBalance", accounts[1])
    assert spent["from"] == rpc("eth_getBalance", accounts[1], "0x0")


def test_a_state_diff_of_accounts_that_come_and_go(rpc: Rpc, accounts: list[str]) -> None:
    init = sstore(0, 42) + sstore(1, 0) + mstore(0, push(1 << 248)) + return_(0, 1)
    answer = rpc("trace_call", {"from": accounts[0], "data": "0x" + bytes(init).hex()}, ["stateDiff", "trace"])
    address = answer["trace"][0]["result"]["address"]
    assert answer["stateDiff"][address] == {
        "balance": {"+": "0x0"},
        "code": {"+": "0x01"},
        "nonce": {"+": "0x1"},
        "storage": {word(0): {"+": word(42)}},
    }
    assert answer["output"] == "0x01"
    london = Chain(dev_genesis([data(accounts[0])], fork="london"))
    dispatcher = Dispatcher(london)
    old = rpc_of(dispatcher)
    end = selfdestruct(data(HEIR))
    overrides = {OUTER: {"code": "0x" + bytes(end).hex(), "balance": "0x3", "nonce": "0x1"}}
    diff = old("trace_call", {"from": accounts[0], "to": OUTER}, ["stateDiff"], "latest", overrides)["stateDiff"]
    assert diff[OUTER] == {
        "balance": {"-": "0x3"},
        "code": {"-": "0x" + bytes(end).hex()},
        "nonce": {"-": "0x1"},
        "storage": {},
    }
    assert diff[HEIR]["balance"] == {"+": "0x3"}
    dispatcher.close()
    london.close()


def test_a_trace_of_instructions_stands_beside_the_others(rpc: Rpc, accounts: list[str]) -> None:
    place(rpc, INNER, sstore(0, 5) + stop)
    place(rpc, OUTER, pop(call(data(INNER))) + stop)
    digest = run(rpc, accounts[0], OUTER)
    answer = rpc("trace_replayTransaction", digest, ["trace", "vmTrace"])
    assert answer["vmTrace"]["code"] == rpc("eth_getCode", OUTER)
    (made,) = [one for one in answer["vmTrace"]["ops"] if one["op"] == "CALL"]
    assert made["sub"]["code"] == rpc("eth_getCode", INNER)
    store = made["sub"]["ops"][2]
    assert (store["op"], store["ex"]["store"]) == ("SSTORE", {"key": "0x0", "val": "0x5"})
    inner = answer["trace"][1]
    assert int(inner["action"]["gas"], 16) == made["sub"]["ops"][0]["ex"]["used"] + made["sub"]["ops"][0]["cost"]
    last = answer["vmTrace"]["ops"][-1]
    root = answer["trace"][0]
    assert last["ex"]["used"] == int(root["action"]["gas"], 16) - int(root["result"]["gasUsed"], 16)
    assert rpc("trace_replayTransaction", digest, ["trace"])["vmTrace"] is None


def test_a_call_leaves_nothing_behind_and_sees_its_overrides(rpc: Rpc, accounts: list[str], counter: str) -> None:
    request = {"from": accounts[0], "to": counter, "data": word(COUNT)}
    slot = {counter: {"stateDiff": {word(0): word(41)}}}
    assert rpc("trace_call", request, ["trace"], "latest", slot)["output"] == word(42)
    assert rpc("trace_call", request, [])["output"] == word(1)
    late = {OUTER: {"code": "0x" + bytes(ret_top(op("NUMBER"))).hex()}}
    assert rpc("trace_call", {"to": OUTER}, [], "latest", late, {"number": "0x63"})["output"] == word(0x63)


def test_calls_go_on_from_each_other_each_with_its_own_types(rpc: Rpc, accounts: list[str], counter: str) -> None:
    count = {"from": accounts[0], "to": counter, "data": word(COUNT)}
    wanted = [["trace"], ["stateDiff"], []]
    answers = rpc("trace_callMany", [[count, types] for types in wanted])
    assert [answer["output"] for answer in answers] == [word(1), word(2), word(3)]
    assert [bool(answer["trace"]) for answer in answers] == [True, False, False]
    assert answers[1]["stateDiff"][counter]["storage"] == {word(0): {"*": {"from": word(1), "to": word(2)}}}
    assert answers[2]["stateDiff"] is None
    assert rpc("trace_callMany", []) == []
    assert rpc("eth_call", count) == word(1)


def test_a_signed_transaction_is_run_but_not_sent(rpc: Rpc, accounts: list[str], counter: str) -> None:
    request = {"from": accounts[0], "to": counter, "data": word(COUNT)}
    signed = rpc("eth_signTransaction", request)["raw"]
    answer = rpc("trace_rawTransaction", signed, ["trace", "stateDiff"])
    assert answer["output"] == word(1)
    assert answer["stateDiff"][accounts[0]]["nonce"] == {"*": {"from": "0x1", "to": "0x2"}}
    assert rpc("eth_getTransactionCount", accounts[0]) == "0x1"
    digest = rpc("eth_sendRawTransaction", signed)
    assert rpc("trace_replayTransaction", digest, ["trace"])["trace"] == answer["trace"]
    with pytest.raises(RpcFailure, match="nonce too low") as caught:
        rpc("trace_rawTransaction", signed, ["trace"])
    assert caught.value.code == -32000


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ("trace", "types: must be a list, got text"),
        (["Trace"], r"types\[0\]: must be one of trace, stateDiff, vmTrace, got 'Trace'"),
        (None, "missing value for required argument 1"),
    ],
)
def test_types_that_are_none_are_refused(rpc: Rpc, types: Any, words: str) -> None:
    with pytest.raises(RpcFailure, match=words) as caught:
        rpc("trace_call", {}, types)
    assert caught.value.code == -32602


def test_a_list_of_calls_that_is_none_is_refused(rpc: Rpc) -> None:
    for calls, words in (([[{}]], r"calls\[0\]: must be a pair"), ([[{}, ["x"]]], r"calls\[0\]\[1\]\[0\]: must be")):
        with pytest.raises(RpcFailure, match=words):
            rpc("trace_callMany", calls)


# Bounds


def test_a_flat_trace_ends_when_its_time_is_up(dispatcher: Dispatcher, rpc: Rpc, counter: str) -> None:
    object.__setattr__(dispatcher, "config", dispatcher.config.model_copy(update={"timeout_s": 0.05}))
    for types in (["trace"], []):
        with pytest.raises(RpcFailure, match="request timed out") as caught:
            rpc("trace_call", {"to": counter, "data": word(LOOP)}, types)
        assert caught.value.code == -32002


def test_traces_that_would_fill_the_memory_are_refused(make_dispatcher: Callable[..., Dispatcher]) -> None:
    rpc = rpc_of(make_dispatcher(RpcConfig(max_response_bytes=100_000)))
    # Goes down as far as it can: as many frames as their paths are long.
    deep = {OUTER: {"code": "0x" + bytes(pop(call(op("ADDRESS"), gas=add(op("GAS"), 0)))).hex()}}
    with pytest.raises(RpcFailure, match="the trace is too large") as caught:
        rpc("trace_call", {"to": OUTER}, ["trace"], "latest", deep)
    assert caught.value.code == -32005
    endless = {OUTER: {"code": "0x" + bytes(label("again") + jump("again")).hex()}}
    with pytest.raises(RpcFailure, match="the trace is too large"):
        rpc("trace_call", {"to": OUTER}, ["vmTrace"], "latest", endless)
    sender = rpc("eth_accounts")[0]
    place(rpc, OUTER, mload(1_000) + joined(*[pop(call(data(INNER), input=(0, 1_000)))] * 20))
    for _ in range(2):
        run(rpc, sender, OUTER)
    assert len(rpc("trace_filter", {"fromBlock": "latest"})) == 21
    with pytest.raises(RpcFailure, match="the trace is too large"):
        rpc("trace_filter", {})
    assert len(rpc("trace_filter", {"fromAddress": [sender]})) == 2
