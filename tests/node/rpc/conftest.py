"""A node without a socket: JSON in, JSON out, as a client would see it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    add,
    calldataload,
    caller,
    deployer,
    eq,
    invalid,
    joined,
    jump,
    jumpi,
    label,
    log2,
    mload,
    mstore,
    mstore_bytes,
    ret_top,
    revert,
    sload,
    sstore,
)
from vmloom_node.chain import Chain, ChainOptions
from vmloom_node.config import RpcConfig
from vmloom_node.rpc.dispatcher import Dispatcher

TOPIC = 0xC0FFEE
COUNT, SAY_NO, BREAK, LOOP, FAIL = range(5)
"""What the counter does, by the first word of its input."""
ERROR_NO_MORE = (
    bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (7).to_bytes(32, "big") + b"no more".ljust(32, b"\0")
)


def word(number: int) -> str:
    return f"0x{number:064x}"


def _counter() -> Bytecode:
    """Counts in slot 0, logs the count with the caller, and returns it; or fails as it is told."""
    cases = joined(*(jumpi(f"case{n}", eq(calldataload(0), n)) for n in (SAY_NO, BREAK, LOOP, FAIL)))
    count = mstore(0, add(sload(0), 1)) + sstore(0, mload(0)) + log2(0, 32, TOPIC, caller) + ret_top(mload(0))
    say_no = label(f"case{SAY_NO}") + mstore_bytes(ERROR_NO_MORE) + revert(0, len(ERROR_NO_MORE))
    loop = label(f"case{LOOP}") + jump(f"case{LOOP}")
    return cases + count + say_no + label(f"case{BREAK}") + invalid + loop + label(f"case{FAIL}") + revert(0, 0)


COUNTER = bytes(_counter())
COUNTER_INIT = "0x" + bytes(deployer(COUNTER)).hex()

Rpc = Callable[..., Any]


class RpcFailure(Exception):
    """The error of an answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data = error.get("data")


def rpc_of(dispatcher: Dispatcher) -> Rpc:
    """`rpc("eth_call", ...)` is the result of the answer, or raises its error. All goes through JSON."""
    ids = itertools.count(1)

    def rpc(method: str, *params: Any) -> Any:
        request_id = next(ids)
        text = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        answered = dispatcher.handle(text)
        assert answered is not None
        answer = json.loads(answered)
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", request_id)
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer["result"]

    return rpc


@pytest.fixture
def make_dispatcher() -> Iterator[Callable[..., Dispatcher]]:
    """A node with the options of a chain, and those of the server by `rpc`."""
    made: list[Dispatcher] = []

    def make(rpc: RpcConfig | None = None, **options: Any) -> Dispatcher:
        made.append(Dispatcher(Chain(options=ChainOptions(**options)), rpc))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.chain.close()


@pytest.fixture
def dispatcher(make_dispatcher: Callable[..., Dispatcher]) -> Dispatcher:
    """A development node, as it is without configuration."""
    return make_dispatcher()


@pytest.fixture
def rpc(dispatcher: Dispatcher) -> Rpc:
    """Its methods."""
    return rpc_of(dispatcher)


@pytest.fixture
def accounts(rpc: Rpc) -> list[str]:
    """Its accounts."""
    found: list[str] = rpc("eth_accounts")
    return found


@pytest.fixture
def counter(rpc: Rpc, accounts: list[str]) -> str:
    """Address of a counter that has been deployed by the first account, in block 1."""
    digest = rpc("eth_sendTransaction", {"from": accounts[0], "data": COUNTER_INIT})
    address: str = rpc("eth_getTransactionReceipt", digest)["contractAddress"]
    return address
