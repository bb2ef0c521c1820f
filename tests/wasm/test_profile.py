"""The profile by function: what each function pays, and that asking for it changes nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import wasmtime
from vmloom.errors import MissingRequiredExport
from vmloom_wasm.binary.module import Module, decode
from vmloom_wasm.binary.writer import encode
from vmloom_wasm.engine import Engine, EngineSettings, HostFunctions, Instance, Linked, WasmTrap, compile_module
from vmloom_wasm.metering import (
    COSMWASM,
    DEFAULT,
    EXHAUSTED_EXPORT,
    GAS_EXPORT,
    STACK_EXPORT,
    Exhausted,
    FunctionProfile,
    PriceGroup,
    WasmGasCosts,
    instrument,
    read_profile,
)

ENGINE = Engine(EngineSettings(parallel=False))
PLENTY = 1 << 40
EACH_ONE = WasmGasCosts("each_one", dict.fromkeys(PriceGroup, 1))
"""Every instruction costs 1, `end` too."""

CALLS = """(module
    (import "env" "log" (func $log (param i32)))
    (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
    (func (param i32) (result i32) local.get 0 call $double call $double)
    (func $never)
    (func $main (export "main") (param i32) (result i32)
      local.get 0 call $log
      local.get 0 call 2 call $double))"""
FIB = """(module (func $fib (export "main") (param i32) (result i32)
    local.get 0 i32.const 2 i32.lt_u if (result i32) local.get 0 else
    local.get 0 i32.const 1 i32.sub call $fib local.get 0 i32.const 2 i32.sub call $fib i32.add end))"""
FILL = """(module (memory 1) (func $fill (param i32) i32.const 0 i32.const 7 local.get 0 memory.fill)
    (func (export "main") (param i32) (result i32) (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
      local.get 0 call $fill local.get 0 i32.const 8 i32.add call $fill local.get 0))"""
TRAPS = """(module (func $divide (param i32) (result i32) i32.const 100 local.get 0 i32.div_u)
    (func (export "main") (param i32) (result i32)
      local.get 0 call $divide drop local.get 0 i32.const 5 i32.sub call 0))"""
DEEP = '(module (func $deep (export "main") (param i32) (result i32) local.get 0 call $deep))'
INDIRECT = """(module (type $t (func (param i32) (result i32))) (table funcref (elem $a $b))
    (func $a (type $t) local.get 0 i32.const 1 i32.add) (func $b (type $t) local.get 0 i32.const 2 i32.mul)
    (func (export "main") (param i32) (result i32) local.get 0 local.get 0 call_indirect (type $t)))"""


@dataclass(frozen=True)
class Run:
    """What came of a call of `main`, and the meters after it."""

    result: int | None
    trap: str
    gas: int
    exhausted: Exhausted
    stack: int


def started(module: Module, gas: int, stack: int) -> Instance:
    functions = HostFunctions(ENGINE)
    functions.define("env", "log", "i:", lambda *_: None)
    instance = Linked(compile_module(ENGINE, encode(module)), functions).instantiate()
    instance.variable(GAS_EXPORT).set(gas)
    instance.variable(STACK_EXPORT).set(stack)
    return instance


def run(instance: Instance, argument: int, gas: int = PLENTY) -> Run:
    try:
        result, trap = instance.call("main", argument), ""
    except WasmTrap as error:
        result, trap = None, error.message
    left, flag, words = (instance.variable(name).get() for name in (GAS_EXPORT, EXHAUSTED_EXPORT, STACK_EXPORT))
    return Run(result, trap, gas - left, Exhausted(flag), words)


def profiled(
    text: str, argument: int, costs: WasmGasCosts = EACH_ONE, gas: int = PLENTY, stack: int = 10_000
) -> tuple[Run, list[FunctionProfile]]:
    module = decode(bytes(wasmtime.wat2wasm(text)))
    instance = started(instrument(module, costs, profile=True), gas, stack)
    return run(instance, argument, gas), read_profile(instance, module)


def plain(text: str, argument: int, costs: WasmGasCosts = EACH_ONE, gas: int = PLENTY, stack: int = 10_000) -> Run:
    module = decode(bytes(wasmtime.wat2wasm(text)))
    return run(started(instrument(module, costs), gas, stack), argument, gas)


def test_each_function_pays_for_its_own_code() -> None:
    outcome, found = profiled(CALLS, 3)
    assert outcome.result == 24
    assert found == [
        FunctionProfile(1, "double", 3, 3 * 4),
        FunctionProfile(4, "main", 1, 6),  # get, call, get, call, call, end
        FunctionProfile(2, None, 1, 4),  # get, call, call, end
    ]


def test_recursion_counts_every_frame() -> None:
    outcome, found = profiled(FIB, 10)
    assert found == [FunctionProfile(0, "fib", 177, outcome.gas)]


def test_sizes_and_locals_are_part_of_it() -> None:
    _, found = profiled(FILL, 64, DEFAULT)
    fixed = 3 + 1 + DEFAULT.groups[PriceGroup.BULK] - 1  # three operands and the instruction
    assert found[0] == FunctionProfile(0, "fill", 2, 2 * fixed + 8 + 9)
    assert found[1].gas == 5 + 2 * DEFAULT.groups[PriceGroup.CALL] + 2  # 2 of 10 locals are not free


@pytest.mark.parametrize("costs", [EACH_ONE, DEFAULT, COSMWASM], ids=lambda costs: costs.name)
@pytest.mark.parametrize(
    ("text", "argument"), [(CALLS, 7), (FIB, 6), (FILL, 99), (TRAPS, 5), (TRAPS, 0), (DEEP, 1), (INDIRECT, 1)]
)
def test_profile_changes_neither_result_nor_gas_nor_trap(text: str, argument: int, costs: WasmGasCosts) -> None:
    outcome, found = profiled(text, argument, costs)
    assert outcome == plain(text, argument, costs)
    assert sum(function.gas for function in found) == outcome.gas


@pytest.mark.parametrize(("text", "argument"), [(CALLS, 7), (FIB, 4), (FILL, 9), (TRAPS, 5)])
def test_profile_of_a_run_out_of_gas_is_what_was_paid(text: str, argument: int) -> None:
    total = plain(text, argument).gas
    for gas in range(total):
        outcome, found = profiled(text, argument, gas=gas)
        assert outcome == plain(text, argument, gas=gas)
        assert outcome.exhausted is Exhausted.GAS
        assert sum(function.gas for function in found) == outcome.gas


def test_frame_that_does_not_fit_is_no_call() -> None:
    outcome, found = profiled(DEEP, 0, stack=60)  # 1 parameter, 1 operand, 4
    assert (outcome.exhausted, outcome.stack) == (Exhausted.STACK, 0)
    assert [(function.calls, function.gas) for function in found] == [(10, 30)]  # get, call, end


def test_profile_adds_up_over_runs() -> None:
    module = decode(bytes(wasmtime.wat2wasm(FIB)))
    instance = started(instrument(module, EACH_ONE, profile=True), PLENTY, 10_000)
    assert read_profile(instance, module) == []
    run(instance, 2)
    once = read_profile(instance, module)[0]
    run(instance, 2)
    assert read_profile(instance, module) == [FunctionProfile(0, "fib", 2 * once.calls, 2 * once.gas)]


def test_there_is_none_unless_it_was_asked_for() -> None:
    module = decode(bytes(wasmtime.wat2wasm(FIB)))
    with pytest.raises(MissingRequiredExport, match="vmloom:calls:0"):
        read_profile(started(instrument(module), PLENTY, 1000), module)
