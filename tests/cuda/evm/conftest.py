"""A world for lanes, and the native engine's word on what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import pytest
from vmloom import Account, BlockContext, ExecutionResult
from vmloom.engine.columns import CallColumns
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.evm import EvmBatch, HostDevice
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import (
    Bytecode,
    call,
    create_from,
    delegatecall,
    deployer,
    label,
    log1,
    mstore,
    op,
    pop,
    push,
    raw,
    ret_top,
    revert,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    tstore,
)
from vmloom_evm.forks import fork_named
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT, FUNDS, SENDER
from vmloom_evm.transaction.outcome import TransactionResult

VM: Final = Evm(EvmConfig(engine="native"))
OSAKA: Final = VM.specification(fork_named("osaka"))
HASH: Final = b"\x11" * 32
BLOCK: Final = BlockContext(number=1_000, timestamp=1_900_000_000, coinbase=b"\xc0" * 20, gas_limit=100_000_000)
STORE, REVERTING, DOOMED, DELEGATING = (number.to_bytes(20, "big") for number in range(0xCA11E0, 0xCA11E4))
CONTRACTS: Final[dict[bytes, Bytecode]] = {
    STORE: sstore(op("CALLDATALOAD")(0), op("CALLER")()) + log1(0, 0, sload(7)) + ret_top(sload(3)),
    REVERTING: sstore(1, 2) + mstore(0, 77) + revert(0, 32),
    DOOMED: selfdestruct(op("CALLER")()),
    DELEGATING: delegatecall(STORE, input=(0, 32)) + op("RETURNDATASIZE")() + ret_top(),
}
PROGRAMS: Final[dict[str, Bytecode]] = {
    "storage": sstore(1, op("CALLDATALOAD")(0)) + sstore(3, 0) + ret_top(sload(7)),
    "calls": mstore(0, 9) + pop(call(STORE, input=(0, 32), output=(64, 32))) + log1(0, 96, 5) + pop(call(DELEGATING)),
    "reverting calls": pop(call(REVERTING)) + sstore(2, op("RETURNDATASIZE")()) + ret_top(call(REVERTING)),
    "static calls": ret_top(staticcall(STORE, input=(0, 32))),
    "creations": ret_top(create_from(deployer(sstore(4, 4) + ret_top(sload(4))))),
    "creations that are called": pop(call(create_from(deployer(sstore(4, 4)), salt=5))) + ret_top(op("GAS")()),
    "destructions": pop(call(DOOMED)) + ret_top(op("SELFBALANCE")()),
    "transient storage": tstore(1, 5) + pop(call(CONTRACT, gas=30)) + ret_top(op("TLOAD")(1)),
    "arithmetic": ret_top(op("MULMOD")(op("NOT")(5), op("NOT")(9), op("EXP")(3, op("SDIV")(op("NOT")(99), 7)))),
    "hashes": mstore(0, op("CALLDATALOAD")(0)) + ret_top(op("KECCAK256")(0, 200)),
    "precompiles": mstore(0, 5)
    + pop(staticcall(2, input=(0, 40), output=(32, 32)))
    + pop(staticcall(3, input=(0, 40), output=(64, 32)))
    + pop(staticcall(4, input=(0, 40), output=(96, 32)))
    + op("RETURN")(0, 128),
    "what is not there": op("ADD")(op("BALANCE")(0xDEAD), op("EXTCODEHASH")(0xDEAD)) + ret_top(),
    "all gas": label("on") + op("JUMP")(push(0)),
    "stack underflow": op("ADD")(),
    "invalid jumps": op("JUMP")(1),
    "unknown instructions": raw("fe"),
    "return data out of bounds": op("RETURNDATACOPY")(0, 0, 1),
    "much memory": op("MLOAD")(1 << 40),
}


def world() -> NativeState:
    """A state with some contracts."""
    state = NativeState({SENDER: Account(balance=FUNDS), CONTRACT: Account(1, 50)})
    for address, code in CONTRACTS.items():
        state.set_account(address, Account(1, 7, bytes(code)))
        state.set_storage(address, 7, 70)
        state.set_storage(address, 3, 30)
    state.set_storage(CONTRACT, 1, 11)
    state.set_storage(CONTRACT, 3, 33)
    state.commit()
    state.begin_transaction()
    return state


def columns(codes: Sequence[Bytecode | bytes], *, gas: int = 200_000) -> CallColumns:
    """A call of each code at `CONTRACT`, each with another input."""
    count = len(codes)
    return CallColumns(
        [CONTRACT] * count,
        [bytes(code) for code in codes],
        [SENDER] * count,
        [bytes([number % 256]) * (number % 70) for number in range(count)],
        [gas + number for number in range(count)],
        gas_price=3,
        block=BLOCK,
    )


def natively(state: NativeState, calls: CallColumns) -> list[ExecutionResult]:
    """What the native engine says of each, which is taken back."""
    results = []
    for code, context in calls:
        begun = state.snapshot()
        results.append(VM.executor.execute(OSAKA, state, code, context))
        assert results[-1].state_changes is not None  # read while the state has them
        state.revert(begun)
    return results


def changes(state: NativeState) -> list[Any]:
    """What a state has seen."""
    return sorted(map(repr, state.changes_since(0)))


def comparable(result: Any) -> Any:
    """A result whose changes are in an order that does not depend on how it was run."""
    if not isinstance(result, (ExecutionResult, TransactionResult)):
        return type(result), str(result)
    names = [one.name for one in fields(result) if one.name != "state_changes"]
    found = {name: getattr(result, name) for name in names}
    return found, sorted(map(repr, result.state_changes))


_MADE: dict[tuple[str, LaneSizes], EvmBatch] = {}


def batch_on(path: str, sizes: LaneSizes | None = None) -> EvmBatch:
    """Lanes on this processor, in the emulator, or on a GPU; made once, for compiling takes seconds."""
    key = (path, sizes or LaneSizes())
    if key not in _MADE:
        device = {"host": HostDevice, "emulated": EmulatedDevice}[path]()
        _MADE[key] = EvmBatch(OSAKA, device, sizes=sizes, lanes=8)
    return _MADE[key]


@pytest.fixture
def state() -> NativeState:
    """The world."""
    return world()


@pytest.fixture
def lanes() -> EvmBatch:
    """Lanes of this processor."""
    return batch_on("host")
