"""The engine on real VMs: what calls do to the state, what batches keep apart, and what is remembered."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from vmloom import Account, ExecutionState
from vmloom.engine import ExecutionEngine, SmartContract
from vmloom.engine.batch import Cancellation
from vmloom.engine.requests import UnknownContract
from vmloom.errors import InputError, UnknownVm, Unsupported
from vmloom_evm.assembly import add, calldataload, ret_top, revert, sload, sstore

MakeEngine = Callable[..., ExecutionEngine]
CALLER = b"\1" * 20
COUNTER = b"\2" * 20
COUNTING = bytes(sstore(0, add(sload(0), 1)) + ret_top(sload(0)))
WRITING = bytes(sstore(calldataload(0), 1))
REVERTING = bytes(sstore(0, 7) + revert(0, 0))
FROM = {"caller": CALLER}


@pytest.fixture
def engine(make_engine: MakeEngine) -> ExecutionEngine:
    return make_engine({COUNTER: Account(code=COUNTING)}, threads=2, serial_below=4)


# Single calls


def test_a_call_changes_the_state(engine: ExecutionEngine) -> None:
    for expected in (1, 2):
        result = engine.execute_contract(COUNTER, CALLER)
        assert (result.success, int.from_bytes(result.return_data, "big")) == (True, expected)
    assert engine.state.get_storage(COUNTER, 0) == 2


def test_value_moves_with_a_call_and_back_with_a_failure(engine: ExecutionEngine) -> None:
    engine.execute_contract(COUNTER, CALLER, value=5)
    failed = engine.execute_contract(COUNTER, CALLER, value=7, gas_limit=100)
    assert failed.state is ExecutionState.FAILED
    assert engine.state.get_balance(COUNTER) == 5
    assert engine.state.get_balance(CALLER) == 10**18 - 5


def test_what_the_caller_does_not_have_is_not_sent(engine: ExecutionEngine) -> None:
    result = engine.execute_contract(COUNTER, CALLER, value=10**18 + 1)
    assert (result.state, result.gas_used) == (ExecutionState.FAILED, 0)
    assert "insufficient balance" in result.error
    assert engine.state.get_storage(COUNTER, 0) == 0


def test_a_revert_is_a_result_that_leaves_nothing(engine: ExecutionEngine) -> None:
    contract = SmartContract(b"\3" * 20, REVERTING)
    assert engine.execute_contract(contract, CALLER).state is ExecutionState.REVERTED
    assert engine.state.get_storage(contract.address, 0) == 0


def test_calls_take_hexadecimal_text_and_the_fields_of_the_block(engine: ExecutionEngine) -> None:
    timestamp = bytes.fromhex("425f5260205ff3")  # TIMESTAMP PUSH0 MSTORE PUSH1 32 PUSH0 RETURN
    contract = {"address": "0x" + "03" * 20, "code": "0x" + timestamp.hex()}
    result = engine.execute_contract(contract, "0x" + CALLER.hex(), data="0x", block_context={"timestamp": 77})
    assert int.from_bytes(result.return_data, "big") == 77


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"caller": "0x12"}, "caller: an address"),
        ({"value": -1}, "value: must be from 0"),
        ({"value": 1.5}, "value: a whole number"),
        ({"gas_limit": -1}, "gas_limit: must be from 0"),
        ({"gas_limit": True}, "gas_limit: a whole number"),
        ({"data": 7}, "data: bytes or hexadecimal"),
        ({"block_context": {"timestmp": 1}}, "did you mean 'timestamp'"),
        ({"block_context": {"coinbase": 1}}, "block_context.coinbase: an address"),
        ({"block_context": 3}, "block_context: a mapping"),
        ({"contract": {"code": b""}}, "'address' is missing"),
        ({"contract": {"address": COUNTER, "vim": ""}}, "did you mean 'vm'"),
    ],
)
def test_what_is_no_call_is_refused_by_its_key(engine: ExecutionEngine, arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine.execute_contract(**{"contract": COUNTER, "caller": CALLER, **arguments})


def test_a_contract_without_code_is_unknown(engine: ExecutionEngine) -> None:
    with pytest.raises(UnknownContract, match="0x0909"):
        engine.execute_contract(b"\x09" * 20, CALLER)


def test_a_contract_of_a_vm_that_is_not_there_is_refused(engine: ExecutionEngine) -> None:
    with pytest.raises(UnknownVm):
        engine.execute_contract(SmartContract(b"\3" * 20, b"\0", vm="no-such-vm"), CALLER)


# Batches


@pytest.mark.parametrize("threads", [1, 3])
def test_items_do_not_see_one_another_and_leave_nothing(make_engine: MakeEngine, threads: int) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, threads=threads, serial_below=4)
    results = engine.execute_contracts_batch([COUNTER] * 700, [FROM] * 700)
    assert {int.from_bytes(result.return_data, "big") for result in results} == {1}
    assert all(result.state_changes for result in results)
    assert engine.state.get_storage(COUNTER, 0) == 0
    assert engine.execute_contract(COUNTER, CALLER).return_data[-1] == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_results_keep_the_order_of_the_items(make_engine: MakeEngine, threads: int) -> None:
    echo = bytes(ret_top(calldataload(0)))
    engine = make_engine(threads=threads, serial_below=4)
    data = [{**FROM, "data": number.to_bytes(32, "big")} for number in range(900)]
    results = engine.execute_contracts_batch([SmartContract(b"\3" * 20, echo)] * 900, data)
    assert [int.from_bytes(result.return_data, "big") for result in results] == list(range(900))


class _Explosive(dict[str, Any]):
    """A mapping of an application that fails when it is read."""

    def __contains__(self, key: object) -> bool:
        raise RuntimeError("no")


BAD: list[tuple[Any, Any, str]] = [
    (b"\x09" * 20, FROM, "has no code"),
    ("0x1234", FROM, "contract: an address"),
    (COUNTER, {}, "caller: is missing"),
    (COUNTER, {**FROM, "gas_limit": -5}, "gas_limit: must be"),
    (COUNTER, {**FROM, "gas_limit": "many"}, "gas_limit: a whole number"),
    (COUNTER, {**FROM, "gas": 5}, "gas: there is no such key"),
    (COUNTER, None, "a mapping"),
    (COUNTER, 7, "a mapping"),
    (SmartContract(b"\3" * 20, b"\0", vm="nothing"), FROM, "nothing"),
    (COUNTER, _Explosive(a=1), ""),
]


@pytest.mark.parametrize("mode", ["independent", "block"])
@pytest.mark.parametrize("threads", [1, 3])
def test_bad_items_are_errors_of_their_own(make_engine: MakeEngine, threads: int, mode: Any) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, threads=threads, serial_below=4)
    contracts: list[Any] = [COUNTER]
    data: list[Any] = [FROM]
    for contract, call, _ in BAD:
        contracts += [contract, COUNTER]
        data += [call, FROM]
    results = engine.execute_contracts_batch(contracts, data, mode=mode)
    counts = [int.from_bytes(result.return_data, "big") for result in results[0::2]]
    assert counts == ([1] * len(counts) if mode == "independent" else list(range(1, len(counts) + 1)))
    for number, (result, (_, _, message)) in enumerate(zip(results[1::2], BAD, strict=True)):
        index = 2 * number + 1
        assert (result.state, result.gas_used, result.metadata["index"]) == (ExecutionState.FAILED, 0, index)
        assert result.error.startswith(f"item {index}: ")
        assert message in result.error


def test_a_vm_that_raises_fails_its_own_items(engine: ExecutionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = engine.factory.get_vm("evm")
    execute = type(vm).execute

    def break_down(self: Any, code: bytes, context: Any, state: Any) -> Any:
        if context.input == b"!":
            state.set_storage(COUNTER, 0, 99)
            raise ZeroDivisionError("by zero")
        return execute(self, code, context, state)

    monkeypatch.setattr(type(vm), "execute", break_down)
    data = [FROM, {**FROM, "data": b"!"}, FROM]
    results = engine.execute_contracts_batch([COUNTER] * 3, data, mode="block")
    assert [result.success for result in results] == [True, False, True]
    assert results[1].error == "item 1: ZeroDivisionError: by zero"
    assert engine.state.get_storage(COUNTER, 0) == 2


def test_as_many_data_as_contracts_are_needed(engine: ExecutionEngine) -> None:
    with pytest.raises(InputError, match="2 contracts, but data of 1"):
        engine.execute_contracts_batch([COUNTER] * 2, [FROM])


def test_an_unknown_mode_is_refused(engine: ExecutionEngine) -> None:
    with pytest.raises(InputError, match="independent or block"):
        engine.execute_contracts_batch([COUNTER], [FROM], mode="chaos")  # type: ignore[arg-type]


def test_progress_counts_every_item(engine: ExecutionEngine) -> None:
    told: list[int] = []
    engine.execute_contracts_batch([COUNTER] * 600, [FROM] * 600, progress=told.append)
    assert told == list(range(1, 601))


def test_a_cancelled_batch_says_so_of_what_did_not_run(engine: ExecutionEngine) -> None:
    cancellation = Cancellation()

    def stop(count: int) -> None:
        if count == 300:
            cancellation.cancel()

    results = engine.execute_contracts_batch([COUNTER] * 9000, [FROM] * 9000, progress=stop, cancellation=cancellation)
    states = [result.state for result in results]
    assert states[0] is ExecutionState.SUCCESS
    assert states[-1] is ExecutionState.PENDING
    assert results[-1].error == "item 8999: cancelled before it ran"
    assert engine.get_performance_metrics()["executions"] == states.count(ExecutionState.SUCCESS)


def test_items_are_taken_only_as_they_are_needed(make_engine: MakeEngine) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, threads=2, queue=512, serial_below=4)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield COUNTER

    results = engine.iterate_contracts_batch(endless(), iter(lambda: FROM, None))
    for _, result in zip(range(10), results, strict=False):
        assert result.success
    results.close()
    assert taken < 2000


def test_no_thread_is_left_behind(engine: ExecutionEngine) -> None:
    before = threading.active_count()
    engine.execute_contracts_batch([COUNTER] * 600, [FROM] * 600)
    assert threading.active_count() == before


# What is remembered


def test_metrics_count_what_ran(engine: ExecutionEngine) -> None:
    results = engine.execute_contracts_batch([COUNTER] * 50, [FROM] * 50)
    failed = engine.execute_contract(COUNTER, CALLER, gas_limit=10)
    metrics = engine.get_performance_metrics()
    counts = metrics["vms"]["evm"]
    assert (counts["executions"], counts["success"], counts["failed"]) == (51, 50, 1)
    assert metrics["gas_used"] == sum(result.gas_used for result in results) + failed.gas_used
    assert metrics["contracts"][0]["contract"] == "0x" + COUNTER.hex()
    assert counts["gas"]["count"] == counts["seconds"]["count"] == 51


def test_the_history_is_bounded_and_can_be_filtered(make_engine: MakeEngine) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, history=5)
    for gas in (100_000, 10, 100_000, 100_000, 10, 100_000, 10):
        engine.execute_contract(COUNTER, CALLER, gas_limit=gas)
    assert [one["number"] for one in engine.get_execution_history()] == [7, 6, 5, 4, 3]
    assert [one["number"] for one in engine.get_execution_history(2)] == [7, 6]
    failed = engine.get_execution_history(state=ExecutionState.FAILED)
    assert [one["number"] for one in failed] == [7, 5]
    assert engine.get_execution_history(contract=b"\7" * 20) == []
    with pytest.raises(InputError, match="limit"):
        engine.get_execution_history(-1)


def test_failures_are_grouped_by_their_cause(make_engine: MakeEngine) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, error_examples=1)
    for gas in (10, 11, 12):
        engine.execute_contract(COUNTER, CALLER, gas_limit=gas)
    engine.execute_contract(SmartContract(b"\3" * 20, b"\xfe"), CALLER)
    analysis = engine.get_error_analysis()
    first, second = analysis["causes"]
    assert (analysis["total"], first["cause"], first["count"], second["count"]) == (4, "out of gas", 3, 1)
    assert [example["number"] for example in first["examples"]] == [1]


def test_causes_beyond_the_limit_are_counted_together(make_engine: MakeEngine) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, error_causes=1)
    engine.execute_contract(COUNTER, CALLER, gas_limit=10)
    engine.execute_contract(SmartContract(b"\3" * 20, b"\xfe"), CALLER)
    assert {one["cause"] for one in engine.get_error_analysis()["causes"]} == {"out of gas", "other"}


def test_a_reset_forgets_everything(engine: ExecutionEngine) -> None:
    engine.execute_contract(COUNTER, CALLER, gas_limit=10)
    engine.reset_metrics()
    assert engine.get_performance_metrics()["executions"] == 0
    assert engine.get_execution_history() == []
    assert engine.get_error_analysis() == {"total": 0, "causes": []}


def test_without_metrics_nothing_is_counted(make_engine: MakeEngine) -> None:
    engine = make_engine({COUNTER: Account(code=COUNTING)}, metrics=False)
    engine.execute_contracts_batch([COUNTER] * 3, [FROM] * 3)
    engine.execute_contract(COUNTER, CALLER)
    assert engine.get_performance_metrics()["executions"] == 0
    assert engine.get_execution_history() == []


def test_prometheus_reads_the_counts(engine: ExecutionEngine) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    engine.execute_contract(COUNTER, CALLER)
    engine.execute_contract(COUNTER, CALLER, gas_limit=10)
    families = {family.name: family for family in text_string_to_metric_families(engine.prometheus_metrics())}
    executions = {sample.labels["state"]: sample.value for sample in families["vmloom_executions"].samples}
    assert executions == {"success": 1.0, "failed": 1.0, "reverted": 0.0}
    assert [sample.labels for sample in families["vmloom_failures"].samples] == [{"cause": "out of gas"}]


def test_without_prometheus_it_says_what_to_install(engine: ExecutionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vmloom.engine.exposition", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(Unsupported, match="need prometheus_client") as raised:
        engine.prometheus_metrics()
    assert raised.value.fix == 'pip install "vmloom-core[metrics]"'


# Asynchronous callers


def test_asynchronous_calls_do_not_block_the_loop(engine: ExecutionEngine) -> None:
    async def both() -> tuple[int, int]:
        ticks = 0
        batch = asyncio.create_task(engine.aexecute_contracts_batch([COUNTER] * 2000, [FROM] * 2000))
        while not batch.done():
            ticks += 1
            await asyncio.sleep(0)
        return ticks, len(await batch)

    ticks, count = asyncio.run(both())
    assert count == 2000
    assert ticks > 1


def test_cancelling_the_awaiting_task_cancels_the_batch(engine: ExecutionEngine) -> None:
    async def run() -> None:
        begun = asyncio.Event()
        loop, told = asyncio.get_running_loop(), threading.Event()

        def progress(done: int) -> None:
            if not told.is_set():  # once: a hundred thousand times would keep the loop from cancelling
                told.set()
                loop.call_soon_threadsafe(begun.set)

        batch = asyncio.create_task(
            engine.aexecute_contracts_batch([COUNTER] * 100_000, [FROM] * 100_000, progress=progress)
        )
        await begun.wait()
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch

    asyncio.run(run())
    assert 0 < engine.get_performance_metrics()["executions"] < 100_000
