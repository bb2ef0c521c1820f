"""Contracts of other VMs and precompiles of Python in a native run: one undo log, one set of marks, on either state."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from vmloom import (
    Account,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    MemoryState,
    Precompile,
    PrecompileSet,
    StateAccess,
    VirtualMachine,
)
from vmloom.marks import WARM_SLOTS
from vmloom_evm.assembly import Bytecode, add, balance, call, gas, pop, push, ret_top, revert, sload, sstore, sub, swap
from vmloom_evm.config import EvmConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT, SENDER
from vmloom_evm.vm import Evm

Do = Callable[[ExecutionContext, StateAccess], ExecutionResult]
FOREIGN = (0xF0E1).to_bytes(20, "big")
INNER = (0x1111).to_bytes(20, "big")
COLD = (0xC01D).to_bytes(20, "big")
DONE = ExecutionResult(ExecutionState.SUCCESS, 0)
STATES = [MemoryState, NativeState, lambda accounts: NativeState(source=MemoryState(accounts), guarded=True)]


@dataclass
class Foreign(VirtualMachine):
    """A VM that does what a test wants it to."""

    do: Do
    vm_type = "foreign"
    vm_version = "1"
    runs: list[ExecutionContext] = field(default_factory=list)

    def validate_code(self, code: bytes) -> None:
        pass

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        self.runs.append(context)
        return self.do(context, state)


class Host:
    def __init__(self, foreign: Foreign) -> None:
        self.foreign = foreign

    def get_vm(self, vm_type: str) -> VirtualMachine:
        return self.foreign

    def precompile_sets(self, vm: str) -> Sequence[PrecompileSet]:
        return []


def outcomes(program: Bytecode, do: Do, inner: Bytecode | None = None, **config: Any) -> list[Any]:
    """What comes of a program that calls `FOREIGN`, on the reference engine and natively on each kind of state."""
    found = []
    for engine, make in [("reference", MemoryState), *(("native", make) for make in STATES)]:
        accounts = {
            CONTRACT: Account(1, 0, bytes(program)),
            FOREIGN: Account(1, 0, b"code", "foreign"),
            INNER: Account(1, 0, bytes(inner or b"")),
        }
        state: Any = make(accounts)  # type: ignore[operator]
        vm = Evm(EvmConfig(engine=engine, **config), Host(Foreign(do)))
        context = ExecutionContext(caller=SENDER, address=CONTRACT, gas_limit=1_000_000)
        result = vm.execute(bytes(program), context, state)
        records = {of: state.get_record(of, b"key") for of in (CONTRACT, FOREIGN, INNER, bytes(19) + b"\x77")}
        words = {of: [state.get_storage(of, slot) for slot in range(3)] for of in (CONTRACT, FOREIGN, INNER)}
        found.append((result.state, result.error, result.gas_used, result.return_data, records, words))
    return found


def all_alike(found: list[Any]) -> Any:
    """The outcome, which is that of every engine."""
    for one in found:
        assert one == found[0]
    return found[0]


def does_nothing(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    return DONE


def writes(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    state.set_record(context.address, b"key", b"written")
    state.set_storage(context.address, 1, 2)
    return DONE


def test_record_of_another_vm_is_undone_with_the_frame_that_called_it() -> None:
    found = all_alike(outcomes(pop(call(INNER)) + ret_top(1), writes, pop(call(FOREIGN)) + revert(0, 0)))
    assert found[4][FOREIGN] is None
    found = all_alike(outcomes(pop(call(INNER)) + ret_top(1), writes, pop(call(FOREIGN))))
    assert found[4][FOREIGN] == b"written"


def test_record_of_another_vm_is_undone_where_it_fails() -> None:
    def fails(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        writes(context, state)
        return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error="no")

    found = all_alike(outcomes(call(FOREIGN, gas=1_000) + ret_top(), fails))
    assert (found[3], found[4][FOREIGN], found[5][FOREIGN]) == (bytes(32), None, [0, 0, 0])


def test_what_was_warm_in_a_frame_that_reverted_is_cold_after_a_second_call_of_another_vm() -> None:
    program = pop(call(INNER)) + pop(call(FOREIGN)) + gas + pop(balance(COLD)) + gas + sub(swap(1)) + ret_top()
    inner = pop(balance(COLD)) + pop(call(FOREIGN)) + revert(0, 0)
    found = all_alike(outcomes(program, does_nothing, inner))
    assert int.from_bytes(found[3], "big") > 2_600


def test_another_vm_sees_and_adds_to_what_is_warm() -> None:
    seen = []

    def looks(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        seen.append((state.get_storage(CONTRACT, 0), dict(state.marks(WARM_SLOTS)) != {}))
        state.set_storage(CONTRACT, 2, 9)
        return DONE

    found = all_alike(outcomes(sstore(0, 5) + pop(call(FOREIGN)) + ret_top(add(sload(2), sload(0))), looks))
    assert int.from_bytes(found[3], "big") == 14
    assert {word for word, _ in seen} == {5}


class Scribbler(Precompile):
    """Writes a record, and fails where it is given input."""

    name = "SCRIBBLER"

    def gas_cost(self, input: bytes) -> int:
        return 10

    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        state.set_record(bytes(19) + b"\x77", b"key", b"scribbled")
        if input:
            return ExecutionResult(ExecutionState.FAILED, 0, error="input")
        return DONE


@pytest.mark.parametrize(("size", "kept"), [(0, b"scribbled"), (1, None)])
def test_record_of_a_precompile_that_fails_is_undone(
    monkeypatch: pytest.MonkeyPatch, size: int, kept: bytes | None
) -> None:
    module = types.ModuleType("scribbling")
    module.Scribbler = Scribbler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scribbling", module)
    program = push(1) + pop(call(0x77, gas=1_000, input=(0, size)))
    found = all_alike(outcomes(program, writes, precompiles={"0x77": "scribbling:Scribbler"}))
    assert found[4][bytes(19) + b"\x77"] == kept
