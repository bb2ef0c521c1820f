"""Whatever a client sends, it is told what is wrong: no method fails in a way that nobody foresaw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmloom_node.chain import Chain, ChainOptions
from vmloom_node.config import RpcConfig
from vmloom_node.rpc.dispatcher import Dispatcher
from vmloom_node.rpc.table import METHODS

from .conftest import COUNT, COUNTER_INIT, rpc_of, word

ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
COUNTER_AT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
EMPTY = "0x" + "77" * 20
NOT_CALLED = {"evm_setIntervalMining", "anvil_setIntervalMining"}
"""They begin a thread."""

numbers = st.sampled_from(
    ["0x0", "0x1", "0x2", "0x32", "0x5208", "0xffffffff", hex(2**63), hex(2**64 - 1), hex(2**256 - 1)]
)
plain_numbers = st.sampled_from([0, 1, 2, -1, 1.5, 2**64, 10**30])
addresses = st.sampled_from([ACCOUNT, COUNTER_AT, EMPTY, "0x" + "00" * 20, "0x" + "00" * 19 + "04"])
words_ = st.sampled_from([word(0), word(COUNT), word(4), "0x" + "ff" * 32])
datas = st.sampled_from(["0x", "0xfe", "0x5b600056", COUNTER_INIT, "0xef564d", "0xef564d047761736d00000001" + "00"])
blocks = st.sampled_from(["earliest", "latest", "pending", "safe", "0x0", "0x1", "0x99", {"blockNumber": "0x1"}])


garbage: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 7, -1, 2.5, "", "0x", "0xg0", "latest", [], {}, [[]], [None], {"": {}}, "\ud800", "0" * 70]
)


def mostly(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of `values`, or now and then garbage."""
    return st.integers(0, 24).flatmap(lambda n: garbage if n == 24 else values)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields."""
    return st.fixed_dictionaries({}, optional={name: mostly(values) for name, values in fields.items()})


access_lists = st.lists(objects(address=addresses, storageKeys=st.lists(words_, max_size=2)), max_size=2)
authorizations = st.lists(
    objects(address=addresses, chainId=numbers, nonce=numbers, yParity=numbers, r=numbers, s=numbers), max_size=2
)
calls = objects(
    **{"from": addresses},
    to=addresses,
    value=numbers,
    data=datas | words_,
    gas=numbers,
    nonce=numbers,
    gasPrice=numbers,
    maxFeePerGas=numbers,
    maxPriorityFeePerGas=numbers,
    accessList=access_lists,
    authorizationList=authorizations,
    type=st.sampled_from(["0x0", "0x1", "0x2", "0x3", "0x4"]),
    blobVersionedHashes=st.lists(words_, max_size=2),
    maxFeePerBlobGas=numbers,
    chainId=st.sampled_from(["0x7a69", "0x1"]),
    vm=st.sampled_from(["evm", "wasm", "prozvm", "nothing"]),
)
overrides = st.dictionaries(
    addresses,
    objects(balance=numbers, nonce=numbers, code=datas, stateDiff=st.dictionaries(words_, words_, max_size=1)),
)
block_overrides = objects(
    number=numbers, time=numbers, gasLimit=numbers, baseFeePerGas=numbers, blobBaseFee=numbers, feeRecipient=addresses
)
filters = objects(
    fromBlock=blocks,
    toBlock=blocks,
    address=addresses,
    topics=st.lists(words_ | st.none() | st.lists(words_), max_size=5),
)
traces = objects(
    tracer=st.sampled_from(["callTracer", "prestateTracer", "4byteTracer", "muxTracer", "noopTracer"]),
    tracerConfig=objects(diffMode=st.booleans(), withLog=st.booleans(), callTracer=st.just({})),
    enableMemory=st.booleans(),
    stateOverrides=overrides,
    blockOverrides=block_overrides,
)
simulated = objects(calls=st.lists(calls, max_size=2), blockOverrides=block_overrides, stateOverrides=overrides)
simulations = st.fixed_dictionaries(
    {"blockStateCalls": mostly(st.lists(simulated, min_size=1, max_size=2))},
    optional={"validation": st.booleans(), "traceTransfers": st.booleans(), "returnFullTransactions": st.booleans()},
)
trace_types = st.lists(st.sampled_from(["trace", "stateDiff", "vmTrace"]), max_size=2)
trace_filters = objects(
    fromBlock=blocks,
    toBlock=blocks,
    fromAddress=st.lists(addresses, max_size=2),
    toAddress=st.lists(addresses, max_size=2),
    mode=st.sampled_from(["union", "intersection"]),
    after=numbers,
    count=numbers,
)
BY_SHAPE = {
    "address": addresses,
    "data": datas | words_,
    "32-byte hash": words_,
    "slot": words_ | numbers,
    "quantity": numbers,
    "number or quantity": numbers | plain_numbers,
    "block": blocks,
    "block number or tag": blocks,
    "transaction object": calls,
    "filter object": filters,
    "state overrides": overrides,
    "block overrides": block_overrides,
    "trace options": traces,
    "simulation object": simulations,
    "trace types": trace_types,
    "trace filter": trace_filters,
    "list of pair of transaction object and trace types": st.lists(st.tuples(calls, trace_types), max_size=2),
    "list of pair of transaction (object or data) and position": st.lists(
        st.tuples(calls | datas, numbers | plain_numbers), max_size=2
    ),
    "list of slot": st.lists(words_, max_size=3),
    "true or false": st.booleans(),
}
"""What a parameter of a shape may look like; of any other shape it is garbage."""


@pytest.fixture(scope="module")
def dispatcher() -> Iterator[Dispatcher]:
    """A node with a contract, which all examples share: no state that they bring about may matter."""
    one = Dispatcher(Chain(options=ChainOptions(call_gas=300_000)), RpcConfig(timeout_s=0.5))
    rpc = rpc_of(one)
    rpc("eth_sendTransaction", {"from": ACCOUNT, "data": COUNTER_INIT})
    rpc("eth_sendTransaction", {"from": ACCOUNT, "to": COUNTER_AT, "data": word(COUNT)})
    yield one
    one.close()
    one.chain.close()


COMPLEX = {"transaction object", "filter object", "trace options", "simulation object", "trace filter"}
COMPLEX |= {shape for shape in BY_SHAPE if shape.startswith("list of pair")}
RICH = {name for name, one in METHODS.items() if COMPLEX & {parameter.shape.name for parameter in one.parameters}}
"""Methods whose parameters can be wrong in many ways."""
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def ask(dispatcher: Dispatcher, name: str, data: st.DataObject) -> None:
    """Call the method with what may or may not be its parameters; whatever comes of it, it was foreseen."""
    shapes = [mostly(BY_SHAPE.get(parameter.shape.name, garbage)) for parameter in METHODS[name].parameters]
    count = data.draw(mostly(st.just(len(shapes))).filter(lambda n: isinstance(n, int) and 0 <= n <= len(shapes) + 1))
    params = [data.draw(one) for one in [*shapes, garbage][:count]]
    answered = dispatcher.handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}))
    assert answered is not None
    answer = json.loads(answered)
    assert ("error" in answer) != ("result" in answer)
    if "error" in answer:
        assert answer["error"]["code"] != -32603, (name, params)
        assert len(answer["error"]["message"]) < 1_000


@pytest.mark.parametrize("name", sorted(RICH))
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
@given(data=st.data())
def test_no_objects_lead_to_an_internal_error(dispatcher: Dispatcher, name: str, data: st.DataObject) -> None:
    ask(dispatcher, name, data)


@pytest.mark.parametrize("name", sorted(set(METHODS) - RICH - NOT_CALLED))
@settings(max_examples=10, deadline=None, suppress_health_check=HEALTH)
@given(data=st.data())
def test_no_parameters_lead_to_an_internal_error(dispatcher: Dispatcher, name: str, data: st.DataObject) -> None:
    ask(dispatcher, name, data)
