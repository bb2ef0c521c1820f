"""However many threads run a batch, its results are those of its items one by one, whatever the state has loaded."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from vmloom import Account, BlockContext, MemoryState, StateAccess
from vmloom.engine import ExecutionEngine
from vmloom.engine import batch as batch_module
from vmloom.engine.config import EngineConfig
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_evm.assembly import (
    add,
    balance,
    blockhash,
    call,
    calldataload,
    log1,
    op,
    raw,
    ret_top,
    revert,
    sload,
    sstore,
)
from vmloom_evm.native.state import NativeState

CALLER, INNER, PLAIN = b"\1" * 20, b"\2" * 20, b"\3" * 20
HASHES = {number: bytes([number]) * 32 for number in range(90, 100)}
KEY = calldataload(0)
CODES = {
    "counts": sstore(KEY, add(1, sload(KEY))) + log1(0, 32, KEY),
    "reads": ret_top(add(balance(KEY), add(sload(KEY), op("EXTCODEHASH")(KEY)))),
    "calls": call(INNER, gas=100_000) + ret_top(),
    "creates": sstore(KEY, op("CREATE")(0, 0, 0)) + raw("60205f5260016000f0") + ret_top(),
    "destroys": sstore(KEY, 7) + op("SELFDESTRUCT")(KEY),
    "hashes": ret_top(blockhash(add(90, KEY))),
    "reverts": sstore(KEY, 5) + revert(0, 3),
    "fails": sstore(KEY, 5) + raw("fe"),
}
CONTRACTS = {name: bytes([0xC0 + number]) * 20 for number, name in enumerate(CODES)}
BLOCK = BlockContext(number=100, gas_limit=10**9)


def fill(state: StateAccess) -> None:
    """Words that were cleared once, and such as stand."""
    for address, account in contents().items():
        state.set_account(address, account)
    for number, address in enumerate(CONTRACTS.values()):
        for slot in range(4):
            state.set_storage(address, slot, 40 + slot)
        if number % 2:
            state.clear_storage(address)
        state.set_storage(address, 2, 7)
    state.set_storage(INNER, 1, 1)
    state.commit()
    state.begin_transaction()


def contents() -> dict[bytes, Account]:
    inner = ret_top(sload(1)) + raw("00") * 99
    accounts = {CALLER: Account(3, 10**18), INNER: Account(1, 0, bytes(inner)), PLAIN: Account(balance=9)}
    return accounts | {CONTRACTS[name]: Account(1, 5, bytes(code)) for name, code in CODES.items()}


def known() -> StateAccess:
    state = NativeState(block_hashes=HASHES)
    fill(state)
    return state


def in_memory() -> StateAccess:
    state = MemoryState(block_hashes=HASHES)
    fill(state)
    return state


def partly_loaded() -> StateAccess:
    """Knows some accounts and words of its source, and has written some."""
    source = MemoryState(block_hashes=HASHES)
    fill(source)
    state = NativeState(source=source)
    for name in ("counts", "destroys"):
        state.get_storage(CONTRACTS[name], 2)
        state.set_storage(CONTRACTS[name], 1, state.get_storage(CONTRACTS[name], 1))
    return state


STATES: dict[str, Callable[[], StateAccess]] = {
    "known": known,
    "partly loaded": partly_loaded,
    "in memory": in_memory,
}


def random_batch(random: Random, count: int, spoiled: bool) -> tuple[list[Any], list[Any]]:
    """Contracts and data: neighbours alike, as columns want them, or with items between them that are none."""
    contracts: list[Any] = []
    data: list[Any] = []
    while len(contracts) < count:
        name = random.choice(list(CODES))
        for _ in range(random.choice([1, 3, 40])):
            key = random.choice([0, 1, 2, 3, 9, int.from_bytes(PLAIN, "big"), int.from_bytes(INNER, "big"), 1 << 255])
            given = {"caller": CALLER, "data": key.to_bytes(32, "big"), "gas_limit": random.choice([10**6, 10**6, 900])}
            contracts.append(CONTRACTS[name])
            data.append({**given, "block_context": BLOCK})
        if spoiled:
            contract, wrong = random.choice(
                [(b"\x77" * 20, {}), (INNER, {"gas_limit": -1}), (None, {}), (INNER, {"x": 1})]
            )
            contracts.append(contract)
            data.append({"caller": CALLER, "data": b"", **wrong})
    return contracts, data


def shown(result: Any) -> Any:
    found = result.to_dict()
    found["state_changes"] = sorted(map(repr, found["state_changes"]))
    return found


def run(factory: VmFactory, state: StateAccess, batch: Any, **how: Any) -> list[Any]:
    """All that a batch tells; it leaves the state as it was, and free to be changed."""
    engine = ExecutionEngine(factory, state, config=EngineConfig(serial_below=2, **how))
    results = engine.execute_contracts_batch(*batch)
    state.set_storage(CONTRACTS["counts"], 1, 99)  # results are what they are, read now or before
    found = list(map(shown, results))
    state.revert(0)
    return found


def one_by_one(factory: VmFactory, batch: Any) -> list[Any]:
    """What each item comes to that is the first on its state; of those that are no calls, what the batch says of it."""
    engine = ExecutionEngine(factory, in_memory(), config=EngineConfig(threads=1))
    found = list(map(shown, engine.execute_contracts_batch(*batch)))
    for number, (contract, given) in enumerate(zip(*batch, strict=True)):
        if "fault" not in found[number].get("metadata", {}):
            found[number] = shown(engine.execute_contracts_batch([contract], [given], mode="block")[0])
            engine.state.revert(0)
    return found


@pytest.fixture(scope="module")
def machines() -> dict[str, VmFactory]:
    return {
        engine: VmFactory(Settings({"vm": {"evm": {"engine": engine, "revision": "shanghai"}}}))
        for engine in ("reference", "native", "jit")
    }


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("seed", range(3))
def test_threads_do_not_show(machines: dict[str, VmFactory], kind: str, seed: int) -> None:
    batch = random_batch(Random(seed), 150, spoiled=seed % 2 == 1)
    expected = one_by_one(machines["reference"], batch)
    assert len({result["error"] for result in expected}) > 2
    state = STATES[kind]()
    for threads in (1, 2, 4):
        for _ in range(2):  # what one batch has left to the next must not show either
            found = run(machines["native"], state, batch, threads=threads)
            for number, (one, other) in enumerate(zip(found, expected, strict=True)):
                assert one == other, f"item {number} on {threads} threads"


def test_compiled_contracts_run_in_threads_too(machines: dict[str, VmFactory]) -> None:
    batch = random_batch(Random(5), 3_000, spoiled=False)
    state = known()
    expected = run(machines["native"], state, batch, threads=1)
    for _ in range(2):
        assert run(machines["jit"], state, batch, threads=4) == expected


@pytest.mark.parametrize("kind", STATES)
def test_state_may_change_between_batches(machines: dict[str, VmFactory], kind: str) -> None:
    state = STATES[kind]()
    engine = ExecutionEngine(machines["native"], state, config=EngineConfig(serial_below=2, threads=2))
    given = {"caller": CALLER, "data": (2).to_bytes(32, "big"), "block_context": BLOCK}
    for number in range(3):
        state.set_storage(CONTRACTS["counts"], 2, number)
        results = engine.execute_contracts_batch([CONTRACTS["counts"]] * 60, [given] * 60)
        changes = {(one.old, one.new) for result in results for one in result.state_changes if one.field == "storage"}
        assert changes == {(number, number + 1)}
    engine.execute_contract(CONTRACTS["counts"], CALLER, data=given["data"], block_context=BLOCK)
    assert state.get_storage(CONTRACTS["counts"], 2) == 3


@pytest.mark.parametrize("as_iterators", [False, True])
@pytest.mark.parametrize(("worth", "alone"), [(1e9, 300), (0.0, 3)])
def test_threads_begin_only_where_they_are_worth_it(
    machines: dict[str, VmFactory], monkeypatch: pytest.MonkeyPatch, as_iterators: bool, worth: float, alone: int
) -> None:
    """By what the first calls take: those of a batch that is soon over run on the calling thread."""
    monkeypatch.setattr(batch_module, "_WORTH_THREADS", worth)
    monkeypatch.setattr(batch_module, "_LONG", 1e9)
    given = {"caller": CALLER, "data": (2).to_bytes(32, "big"), "block_context": BLOCK}
    items: tuple[Any, Any] = ([CONTRACTS["counts"]] * 300, [given] * 300)
    engine = ExecutionEngine(machines["native"], known(), config=EngineConfig(threads=2))
    results = engine.execute_contracts_batch(*(map(iter, items) if as_iterators else items))
    assert all(result.success for result in results)
    counted = {"alone": alone, "on_threads": 300 - alone}
    assert engine.get_performance_metrics()["independent"] == counted
    assert f'vmloom_independent_calls_total{{run="alone"}} {alone}.0' in engine.prometheus_metrics()


def test_state_is_free_once_an_iterator_is_closed(machines: dict[str, VmFactory]) -> None:
    state = known()
    engine = ExecutionEngine(machines["native"], state, config=EngineConfig(serial_below=2, threads=2, queue=8))
    given = {"caller": CALLER, "data": bytes(32), "block_context": BLOCK}
    results = engine.iterate_contracts_batch([CONTRACTS["counts"]] * 60, [given] * 60)
    assert next(results).success
    results.close()
    state.set_storage(CONTRACTS["counts"], 2, 1)
    assert engine.execute_contract(CONTRACTS["counts"], CALLER, data=given["data"], block_context=BLOCK).success
