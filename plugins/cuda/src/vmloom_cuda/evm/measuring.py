"""How many executions a second a device makes, beside the native engine: for benchmarks, which say on what they ran."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from vmloom import Account, BlockContext
from vmloom.engine.columns import CallColumns
from vmloom.hashing import keccak256
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import Bytecode, jumpi, label, log3, mstore, op, push, ret_top, revert, sload
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.state import NativeState

from ..ptx import BLOCK as BLOCK_SIZE
from .batch import LANES, EvmBatch

if TYPE_CHECKING:
    from vmloom import ExecutionResult

    from ..device.interface import Device

TOKEN: Final = b"\x70" * 20
TRANSFER: Final = bytes.fromhex("a9059cbb")
"""transfer(address,uint256)"""
TRANSFERRED: Final = int.from_bytes(keccak256(b"Transfer(address,address,uint256)"), "big")
BLOCK: Final = BlockContext(number=1, timestamp=1, gas_limit=1 << 60)
OWNED: Final = 10**18
GAS: Final = 100_000
WARP: Final = 32
"""Threads that run in step."""
TRANSFERS: Final = "ERC-20 transfers"
COMPARED: Final = 1 << 13
"""Executions of a batch that are compared in all fields, at most; of all of them, gas and how they ended are."""


def token() -> Bytecode:
    """An ERC-20 token with nothing but `transfer`; balances are a mapping in slot 0, as Solidity lays it out."""
    amount, receiver, sender = op("CALLDATALOAD")(36), op("CALLDATALOAD")(4), op("CALLER")()

    def place(holder: Bytecode) -> Bytecode:
        return mstore(0, holder) + op("KECCAK256")(0, 64)

    def fail_unless(condition: Bytecode, name: str) -> Bytecode:
        return jumpi(name, condition) + revert(0, 0) + label(name)

    return (
        fail_unless(op("EQ")(op("SHR")(224, op("CALLDATALOAD")(0)), int.from_bytes(TRANSFER, "big")), "known")
        + fail_unless(op("ISZERO")(op("SHR")(160, receiver)), "address")
        + place(sender)
        + sload(op("DUP1")())  # place, balance
        + fail_unless(op("ISZERO")(op("LT")(op("DUP2")(), amount)), "enough")
        + push(amount)
        + op("SWAP1")()
        + op("SUB")()
        + op("SWAP1")()
        + op("SSTORE")()
        + place(receiver)
        + sload(op("DUP1")())
        + op("ADD")(amount)
        + op("SWAP1")()
        + op("SSTORE")()
        + mstore(0, amount)
        + log3(0, 32, push(TRANSFERRED), sender, receiver)
        + ret_top(1)
    )


def builds_of(code: bytes) -> dict[str, dict[str, Any]]:
    """Ways to build the kernels that run `code`, as options of `EvmBatch`: only a device can tell which is best."""
    together = LaneSizes(interleave=WARP)
    return {
        "": {},
        "compiled": {"contracts": [code]},
        "stacks side by side": {"sizes": together},
        "compiled, stacks side by side": {"contracts": [code], "sizes": together},
    }


def transfers(device: Device, executions: int, rounds: int, *, build: str = "") -> dict[str, Any]:
    """ERC-20 transfers, each from a holder of its own to somebody who has none yet, by one of `builds_of`.

    See `measured`.
    """
    state, calls = transfer_calls(executions)
    return measured(case_of(build), device, state, calls, rounds, **builds_of(calls.codes[0])[build])


def case_of(build: str) -> str:
    """What transfers by a build are called."""
    return ", ".join(filter(None, (TRANSFERS, build)))


def transfer_calls(executions: int) -> tuple[NativeState, CallColumns]:
    """So many of them, and the state that they are to run on."""
    code = bytes(token())
    state = NativeState({TOKEN: Account(1, 0, code)})
    senders = [(1 << 150 | number).to_bytes(20, "big") for number in range(executions)]
    for sender in senders:
        state.set_storage(TOKEN, int.from_bytes(keccak256(sender.rjust(32, b"\0") + bytes(32)), "big"), OWNED)
    state.commit()
    state.begin_transaction()
    inputs = [
        TRANSFER + (1 << 151 | number).to_bytes(32, "big") + (1 + number).to_bytes(32, "big")
        for number in range(executions)
    ]
    many = [TOKEN] * executions, [code] * executions, senders, inputs, [GAS] * executions
    return state, CallColumns(*many, gas_price=0, block=BLOCK)


def measured(
    case: str,
    device: Device,
    state: NativeState,
    calls: CallColumns,
    rounds: int,
    *,
    revision: str = "osaka",
    **options: Any,
) -> dict[str, Any]:
    """Executions a second, the best of `rounds`; the first run, which compiles, does not count.

    `options` are those of `EvmBatch`, which compiles no contract that they do not name.

    `kernel` is by the device's clock, `with_copies` with all copies but the upload of the state, `with_packing` from
    columns of Python's objects to results, `native` the native engine's on one thread. `wrong` counts executions that
    did not come to what they come to there, and `escapes` those that it had to run again. `bytes_in` and `bytes_out`
    are of an execution, `registers` and `local` bytes of a thread; `blocks` of `block` threads fit a multiprocessor.
    """
    vm = Evm(EvmConfig(revision=revision, engine="native"))
    specification, count = vm.specification(vm.fork_at(calls.block)), len(calls)
    batch = EvmBatch(specification, device, lanes=min(count, 4 * LANES), hot=None, **options)
    found: Sequence[ExecutionResult] = batch.call(state, calls)
    wanted = vm.executor.execute_each(specification, state, calls)
    assert wanted is not None, "the native engine takes these calls one by one"
    best = {"kernel": float("inf"), "with_copies": float("inf"), "with_packing": float("inf"), "native": float("inf")}
    escaped, traffic = batch.statistics.escapes.total(), (0, 0)
    for _ in range(rounds):
        kernel, launches = batch.statistics.kernel_seconds, batch.statistics.launch_seconds
        before = batch.statistics.bytes_in, batch.statistics.bytes_out
        began = time.perf_counter()
        batch.call(state, calls)
        ended = time.perf_counter()
        vm.executor.execute_each(specification, state, calls)
        seconds = {
            "kernel": batch.statistics.kernel_seconds - kernel,
            "with_copies": batch.statistics.launch_seconds - launches,
            "with_packing": ended - began,
            "native": time.perf_counter() - ended,
        }
        best = {name: min(value, seconds[name]) for name, value in best.items()}
        traffic = batch.statistics.bytes_in - before[0], batch.statistics.bytes_out - before[1]
    return {
        "case": case,
        "path": device.path,
        "executions": count,
        "wrong": _wrong(found, wanted),
        "escapes": escaped,
        "bytes_in": round(traffic[0] / count),
        "bytes_out": round(traffic[1] / count),
        **_occupancy(batch),
        **{name: count / value for name, value in best.items()},
    }


def _occupancy(batch: EvmBatch) -> dict[str, int]:
    """What the device says that a thread of the kernel needs, which runs executions."""
    found = batch.occupancy
    return {"registers": found.registers, "local": found.local_bytes, "block": BLOCK_SIZE, "blocks": found.blocks}


def _wrong(found: Sequence[ExecutionResult], wanted: Sequence[ExecutionResult]) -> int:
    """How many are not what they should be."""
    step = max(1, -(-len(found) // COMPARED))
    unlike = {place for place in range(0, len(found), step) if found[place] != wanted[place]}
    for name in ("state", "gas_used"):
        unlike |= {
            place
            for place, (one, other) in enumerate(zip(found, wanted, strict=True))
            if getattr(one, name) != getattr(other, name)
        }
    return len(unlike)
