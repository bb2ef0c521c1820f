"""Every name of the engine's specification (text 000) exists, takes what it says, and gives what it says."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any

import pytest
from vmloom import Account, CallFrame, ExecutionContext, ExecutionResult, ExecutionState, MemoryState
from vmloom.accelerator import Accelerator
from vmloom.engine import ExecutionEngine, SmartContract
from vmloom.errors import InputError
from vmloom_evm.assembly import push, ret_top, stop

CALLER, ADDRESS = b"\1" * 20, b"\2" * 20

FRAME_METHODS = {
    "consume_gas": ["amount"],
    "get_memory": ["offset", "size"],
    "is_valid_jump_destination": ["destination"],
    "peek_stack": ["index"],
    "pop_stack": [],
    "push_stack": ["value"],
    "revert": ["message"],
    "set_memory": ["offset", "data"],
    "stop": [],
}
ENGINE_METHODS = {
    "benchmark_vm_performance": ["test_data", "num_iterations"],
    "execute_contract": ["contract", "caller", "value", "data", "gas_limit", "block_context"],
    "execute_contracts_batch": ["contracts", "execution_data"],
    "execute_operations_batch": ["operations"],
    "get_cuda_performance_metrics": [],
    "get_error_analysis": [],
    "get_execution_history": ["limit"],
    "get_opcode_usage_stats": [],
    "get_performance_metrics": [],
    "optimize_bytecode_batch": ["bytecode_list", "optimization_rules"],
    "process_bytecode_batch": ["bytecode_list", "optimization_level"],
    "reset_metrics": [],
}
ASYNCHRONOUS = ["execute_contract", "execute_contracts_batch", "execute_operations_batch"]
ASYNCHRONOUS += ["process_bytecode_batch", "optimize_bytecode_batch", "benchmark_vm_performance"]


def positional(function: Any) -> list[str]:
    """The parameters that can be given by position, after self."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind in kinds][1:]


@pytest.mark.parametrize(("name", "parameters"), FRAME_METHODS.items())
def test_a_running_call_has_the_methods_of_the_page(name: str, parameters: list[str]) -> None:
    assert positional(getattr(CallFrame, name)) == parameters


@pytest.mark.parametrize(("name", "parameters"), ENGINE_METHODS.items())
def test_the_engine_has_the_methods_of_the_page(name: str, parameters: list[str]) -> None:
    assert positional(getattr(ExecutionEngine, name)) == parameters
    assert inspect.getdoc(getattr(ExecutionEngine, name))


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_what_may_take_long_has_an_asynchronous_form(name: str) -> None:
    form = getattr(ExecutionEngine, f"a{name}")
    assert inspect.iscoroutinefunction(form)
    assert positional(form) == ENGINE_METHODS[name]
    assert "Any" not in {one.annotation for one in inspect.signature(form).parameters.values()}


def test_states_are_an_enumeration() -> None:
    assert issubclass(ExecutionState, Enum)


# What they do, each once


@pytest.fixture
def engine() -> ExecutionEngine:
    return ExecutionEngine(state=MemoryState({CALLER: Account(balance=100), ADDRESS: Account(code=bytes(ret_top(7)))}))


def test_frames_charge_and_end() -> None:
    frame = CallFrame(ExecutionContext(gas_limit=10), b"\x5b", jump_destinations=frozenset({0}))
    assert (frame.consume_gas(4), frame.gas, frame.consume_gas(7), frame.gas) == (True, 6, False, 0)
    frame.push_stack(5)
    frame.set_memory(1, b"ab")
    assert (frame.peek_stack(), frame.pop_stack(), frame.get_memory(0, 4)) == (5, 5, b"\0ab\0")
    assert (frame.is_valid_jump_destination(0), frame.is_valid_jump_destination(1)) == (True, False)
    frame.revert("no")
    assert (frame.state, frame.message) == (ExecutionState.REVERTED, "no")
    frame.stop()
    assert frame.state is ExecutionState.SUCCESS


def test_a_result_becomes_a_dictionary(engine: ExecutionEngine) -> None:
    result = engine.execute_contract(SmartContract(ADDRESS), "0x" + CALLER.hex(), 5, b"", 100_000, {"number": 3})
    assert isinstance(result, ExecutionResult)
    shown = result.to_dict()
    assert (shown["status"], int(shown["return_data"], 16)) == (1, 7)


def test_batches_of_contracts_and_operations(engine: ExecutionEngine) -> None:
    results = engine.execute_contracts_batch([SmartContract(ADDRESS)] * 3, [{"caller": CALLER}] * 3)
    assert [int.from_bytes(result.return_data, "big") for result in results] == [7, 7, 7]
    (digest,) = engine.execute_operations_batch([{"operation": "keccak256", "data": b""}])
    assert digest["result"].hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_bytecode_is_processed_and_optimised(engine: ExecutionEngine) -> None:
    code = bytes(push(1, size=32) + push(5) + stop)
    assert engine.process_bytecode_batch([code, b""], 0) == [code, b""]
    assert engine.process_bytecode_batch([code])[0] == bytes(push(1) + push(5) + stop)
    assert engine.optimize_bytecode_batch([code], ["shorten-pushes"])[0] == bytes(push(1) + push(5) + stop)


@pytest.mark.parametrize("wrong", [None, "0x6001", 5])
def test_what_is_no_bytecode_is_named_with_its_place(engine: ExecutionEngine, wrong: Any) -> None:
    with pytest.raises(InputError, match=f"bytecode_list: item 1: bytes are needed, got {type(wrong).__name__}"):
        engine.process_bytecode_batch([b"\0", wrong])


def test_a_vm_that_fails_at_one_code_optimises_the_others(
    engine: ExecutionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    evm = engine.factory.get_vm("evm")
    optimise = evm.optimise

    def failing(code: bytes, **options: Any) -> Any:
        if code == b"\xfe":
            raise ZeroDivisionError("a mistake")
        return optimise(code, **options)

    monkeypatch.setattr(evm, "optimise", failing)
    long = bytes(push(1, size=32) + stop)
    reports = engine.optimization_reports([long, b"\xfe", long])
    assert [report.code for report in reports] == [bytes(push(1) + stop), b"\xfe", bytes(push(1) + stop)]
    assert [refusal.reason for refusal in reports[1].refused] == ["evm failed with ZeroDivisionError: a mistake"]


def test_measuring_reports_each_call_and_the_batch(engine: ExecutionEngine) -> None:
    data = [{"contract": ADDRESS, "caller": CALLER, "name": "seven"}, {"contract": b"\x09" * 20, "caller": CALLER}]
    report = engine.benchmark_vm_performance(data, 3)
    good, bad = report["calls"]
    assert (good["name"], good["vm"], good["state"], good["gas_used"] > 0) == ("seven", "evm", "success", True)
    assert "no code" in bad["error"]
    assert (report["iterations"], report["batch"]["items"]) == (3, 2)


def test_what_ran_is_counted_and_forgotten(engine: ExecutionEngine) -> None:
    engine.execute_contract(ADDRESS, CALLER)
    engine.execute_contract(ADDRESS, CALLER, gas_limit=1)
    assert engine.get_performance_metrics()["executions"] == 2
    assert len(engine.get_execution_history(1)) == 1
    assert engine.get_error_analysis()["total"] == 1
    engine.reset_metrics()
    assert engine.get_performance_metrics()["executions"] == 0


def test_opcodes_are_counted_where_it_is_asked_for() -> None:
    from vmloom.engine.config import EngineConfig

    state = MemoryState({ADDRESS: Account(code=bytes(push(1) + push(2) + stop))})
    engine = ExecutionEngine(state=state, config=EngineConfig(opcode_metrics=True))
    engine.execute_contract(ADDRESS, CALLER)
    stats = engine.get_opcode_usage_stats()["evm"]
    assert stats["PUSH1"]["count"] == 2
    assert stats["PUSH1"]["gas"] == 6
    plain = ExecutionEngine(state=state)
    plain.execute_contract(ADDRESS, CALLER)
    assert plain.get_opcode_usage_stats() == {}


def test_cuda_is_looked_for_when_it_is_asked_for(engine: ExecutionEngine) -> None:
    assert engine.cuda_accelerator is None or isinstance(engine.cuda_accelerator, Accelerator)
    metrics = engine.get_cuda_performance_metrics()
    assert set(metrics) >= {"available", "reason", "device", "path", "operations"}
    assert metrics["available"] or metrics["reason"]
