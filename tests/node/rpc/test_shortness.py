"""Which calls are made where they arrive, and which wait for a thread since they may take long."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vmloom_node.chain import Chain, ChainOptions, ledger
from vmloom_node.rpc.dispatcher import Dispatcher, Exchange
from vmloom_state_lmdb import LmdbStore

from .conftest import Rpc, rpc_of

UNKNOWN = "0x" + "ab" * 32


def is_short(dispatcher: Dispatcher, method: str, *params: Any) -> bool:
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    exchange = Exchange(dispatcher, text)
    if not exchange.is_short():
        return False
    assert exchange.run_short() == dispatcher.handle(text)
    return True


def transfer(rpc: Rpc, **fields: Any) -> str:
    first, second = rpc("eth_accounts")[:2]
    digest: str = rpc("eth_sendTransaction", {"from": first, "to": second, "value": "0x1", **fields})
    return digest


def reads(account: str, digest: str, block_hash: str) -> list[tuple[str, list[Any]]]:
    """Calls that are short on a small chain in memory."""
    blocks = ("latest", "earliest", "safe", "0x1", "0x0", "pending")
    return [
        *(("eth_getBalance", [account, block]) for block in (*blocks, None)),
        ("eth_getBalance", [account]),
        *(("eth_getCode", [account, block]) for block in blocks),
        *(("eth_getStorageAt", [account, "0x0", block]) for block in blocks),
        *(("eth_getTransactionCount", [account, block]) for block in blocks),
        *(("eth_getBlockByNumber", [block, full]) for block in blocks[:-1] for full in (False, True)),
        ("eth_getBlockByHash", [block_hash]),
        *((f"eth_getTransaction{what}", [one]) for what in ("ByHash", "Receipt") for one in (digest, UNKNOWN)),
    ]


def test_a_little_of_what_is_in_memory_is_short(dispatcher: Dispatcher, rpc: Rpc, accounts: list[str]) -> None:
    digest = transfer(rpc)
    block_hash = rpc("eth_getBlockByNumber", "latest")["hash"]
    for method, params in reads(accounts[0], digest, block_hash):
        assert is_short(dispatcher, method, *params), (method, params)
    for method in ("eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_accounts", "eth_syncing", "web3_clientVersion"):
        assert is_short(dispatcher, method)


def test_what_may_run_or_take_long_is_not_short(dispatcher: Dispatcher, rpc: Rpc, accounts: list[str]) -> None:
    for method, params in (
        ("eth_call", [{"to": accounts[0]}]),
        ("eth_estimateGas", [{"to": accounts[0]}]),
        ("eth_getLogs", [{}]),
        ("eth_getBlockByNumber", ["pending"]),
        ("eth_getBlockReceipts", ["latest"]),
        ("eth_sendTransaction", [{"from": accounts[0]}]),
        ("evm_mine", []),
    ):
        assert not is_short(dispatcher, method, *params), method


def test_what_waits_would_have_to_be_run_for_the_pending_state(
    dispatcher: Dispatcher, rpc: Rpc, accounts: list[str]
) -> None:
    rpc("evm_setAutomine", False)
    digest = transfer(rpc)
    for method, params in (("eth_getBalance", [accounts[0]]), ("eth_getStorageAt", [accounts[0], "0x0"])):
        assert not is_short(dispatcher, method, *params, "pending")
        assert not is_short(dispatcher, method, *params, {"blockNumber": "pending"})
        assert is_short(dispatcher, method, *params, "latest")
    assert is_short(dispatcher, "eth_getTransactionCount", accounts[0], "pending")
    assert is_short(dispatcher, "eth_getTransactionByHash", digest)
    assert is_short(dispatcher, "eth_getTransactionReceipt", digest)


def test_blocks_that_are_large_or_forgotten_are_not_short(
    dispatcher: Dispatcher, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = transfer(rpc)
    asked: list[tuple[str, str]] = [
        ("eth_getBlockByNumber", "0x1"),
        ("eth_getBlockByHash", rpc("eth_getBlockByNumber", "0x1")["hash"]),
        ("eth_getTransactionByHash", digest),
        ("eth_getTransactionReceipt", digest),
    ]
    with monkeypatch.context() as patch:
        for gas, short in ((21_000, True), (20_999, False)):
            patch.setattr(ledger, "SMALL_GAS", gas)
            assert [is_short(dispatcher, *one) for one in asked] == [short] * 4
    monkeypatch.setattr(ledger, "KEPT_BLOCKS", 2)
    for _ in range(3):
        rpc("evm_mine")
    assert not any(is_short(dispatcher, *one) for one in asked)
    assert is_short(dispatcher, "eth_getBlockByNumber", "latest")


def test_nothing_that_comes_from_a_disk_is_short(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "chain")
    chain = Chain(store=store, options=ChainOptions())
    dispatcher = Dispatcher(chain)
    try:
        rpc = rpc_of(dispatcher)
        digest = transfer(rpc)
        block_hash = rpc("eth_getBlockByNumber", "latest")["hash"]
        for method, params in reads(rpc("eth_accounts")[0], digest, block_hash):
            assert not is_short(dispatcher, method, *params), (method, params)
        assert is_short(dispatcher, "eth_gasPrice")
    finally:
        dispatcher.close()
        chain.close()
        store.close()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", []),
        ("eth_getBalance", [5, "latest"]),
        ("eth_getBalance", ["0x" + "00" * 20, "newest"]),
        ("eth_getBalance", ["0x" + "00" * 20, "0x99"]),
        ("eth_getBalance", ["0x" + "00" * 20, "latest", 1]),
        ("eth_getBlockByNumber", []),
        ("eth_getBlockByNumber", [[]]),
        ("eth_getBlockByNumber", ["0x99"]),
        ("eth_getBlockByNumber", [UNKNOWN]),
        ("eth_getBlockByNumber", [{"blockHash": UNKNOWN}]),
        ("eth_getBlockByHash", ["latest"]),
        ("eth_getBlockByHash", [None]),
        ("eth_getTransactionReceipt", []),
        ("eth_getTransactionReceipt", [{}]),
        ("eth_getTransactionReceipt", ["0x12"]),
        ("eth_getTransactionByHash", [None]),
    ],
)
def test_wrong_parameters_are_told_the_same_either_way(
    make_dispatcher: Callable[..., Dispatcher], method: str, params: list[Any]
) -> None:
    dispatcher = make_dispatcher()
    is_short(dispatcher, method, *params)
    answer = json.loads(dispatcher.handle(json.dumps(_request(method, params))) or b"")
    assert answer.get("result", 0) is None or answer["error"]["code"] in (-32602, -32000)


def _request(method: str, params: list[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
