"""How many executions a second a device makes, beside the native engine: for benchmarks, which say on what they ran."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import numpy as np
from vmloom import Account, BlockContext
from vmloom.engine.columns import CallColumns
from vmloom.hashing import keccak256
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import Bytecode, jumpi, label, log3, mstore, op, push, ret_top, revert, sload
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.state import NativeState

from ..device.on_host import HostAllocation, HostDevice, HostStream
from ..ptx import BLOCK as BLOCK_SIZE
from .arrays import CallArrays
from .batch import LANES, EvmBatch, Held

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom import ExecutionResult

    from ..device.interface import Device
    from .result_arrays import ResultArrays

P = ParamSpec("P")
T = TypeVar("T")

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


RATES: Final = ("kernel", "with_copies", "from_arrays", "from_arrays_all", "with_packing", "native")


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

    `kernel` is by the device's clock, `with_copies` with all copies but the upload of the state. `from_arrays` is from
    arrays to arrays of statuses, gas and return data, on a state that is held, and `from_arrays_all` to those of
    storage and logs as well; `with_packing` is from columns of Python's objects to results, `native` the native
    engine's on one thread. `wrong` counts executions that did not come to what they come to there, as results or as
    columns, and `escapes` those that it had to run again. `bytes_in` and `bytes_out` are of an execution, `registers`
    and `local` bytes of a thread; `blocks` of `block` threads fit a multiprocessor.
    """
    vm = Evm(EvmConfig(revision=revision, engine="native"))
    specification, count = vm.specification(vm.fork_at(calls.block)), len(calls)
    batch = EvmBatch(specification, device, lanes=min(count, 4 * LANES), hot=None, **options)
    found: Sequence[ExecutionResult] = batch.call(state, calls)
    wanted = vm.executor.execute_each(specification, state, calls)
    assert wanted is not None, "the native engine takes these calls one by one"
    best = dict.fromkeys(
        ("kernel", "with_copies", "from_arrays", "from_arrays_all", "with_packing", "native"), math.inf
    )
    escaped, traffic, arrays = batch.statistics.escapes.total(), (0, 0), CallArrays.of(calls)
    for _ in range(rounds):
        kernel, launches = batch.statistics.kernel_seconds, batch.statistics.launch_seconds
        before = batch.statistics.bytes_in, batch.statistics.bytes_out
        seconds = {"with_packing": _seconds(lambda: batch.call(state, calls))}
        seconds["kernel"] = batch.statistics.kernel_seconds - kernel
        seconds["with_copies"] = batch.statistics.launch_seconds - launches
        traffic = batch.statistics.bytes_in - before[0], batch.statistics.bytes_out - before[1]
        columns, some, rest = _from_arrays(batch, state, arrays)
        seconds |= {"from_arrays": some, "from_arrays_all": some + rest}
        seconds["native"] = _seconds(lambda: vm.executor.execute_each(specification, state, calls))
        best = {name: min(value, seconds[name]) for name, value in best.items()}
    return {
        "case": case,
        "path": device.path,
        "executions": count,
        "wrong": max(_wrong(found, wanted), _wrong(columns.columns(), wanted)),
        "escapes": escaped,
        "bytes_in": round(traffic[0] / count),
        "bytes_out": round(traffic[1] / count),
        **_occupancy(batch),
        **{name: count / value for name, value in best.items()},
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _from_arrays(batch: EvmBatch, state: NativeState, given: CallArrays) -> tuple[ResultArrays, float, float]:
    """What comes of calls in arrays, and the seconds to statuses, gas and return data, and from there to the rest."""
    with Held(state) as held:
        batch.call_arrays(held, given)  # which uploads the state
        began = time.perf_counter()
        results = batch.call_arrays(held, _checked(given))
        results.return_data()
        some = time.perf_counter()
        assert results.storage is not None
        assert results.logs is not None
        return results, some - began, time.perf_counter() - some


def _checked(given: CallArrays, **others: Any) -> CallArrays:
    """The same calls but for other columns, looked at as those of a stranger."""
    return CallArrays(**{**{one.name: getattr(given, one.name) for one in fields(CallArrays)}, **others})


def host_work(executions: int, rounds: int, *, width: int = 100) -> dict[str, Any]:
    """Nanoseconds of this processor for one ERC-20 transfer from arrays to arrays, but for what a device does.

    Medians of `rounds`, of the time of the thread. Inputs are padded to `width` bytes. `checked` is what looking at the
    arrays takes, `called` up to statuses and gas, `return_data`, `storage` and `logs` the columns of these. It says
    nothing about a GPU: launches, copies and memory of the device are left out, wherever they are.
    """
    state, calls = transfer_calls(executions)
    vm, device = Evm(EvmConfig(revision="osaka", engine="native")), _Metered()
    batch = EvmBatch(vm.specification(vm.fork_at(BLOCK)), device, lanes=4 * LANES, hot=None)
    rows = [np.frombuffer(one.ljust(width, b"\0"), np.uint8) for one in calls.inputs]
    given = _checked(CallArrays.of(calls), data=np.stack(rows))
    found: dict[str, list[float]] = {}
    with Held(state) as held:
        batch.call_arrays(held, given)
        for _ in range(rounds):
            times = [time.thread_time()]

            def lap(times: list[float] = times) -> None:
                times.append(time.thread_time() - device.seconds)

            device.seconds = 0.0
            checked = _checked(given)
            lap()
            results = batch.call_arrays(held, checked)
            lap()
            kept: list[object] = [results.return_data()]
            lap()
            kept.append(results.storage)
            lap()
            kept.append(results.logs)
            lap()
            assert not len(results.escaped)
            for name, (began, ended) in zip(PIECES, pairwise(times), strict=True):
                found.setdefault(name, []).append(ended - began)
            del checked, results, kept  # or the next round would give their memory back
    return {
        "case": f"host work, inputs of {width} bytes",
        "path": device.path,
        "executions": executions,
        **{f"{name}_ns": median(each) / executions * 1e9 for name, each in found.items()},
    }


PIECES: Final = ("checked", "called", "return_data", "storage", "logs")


class _Metered(HostDevice):
    """This processor as a device that counts how long its thread works for it."""

    seconds = 0.0

    def stream(self) -> HostStream:
        """See `Device.stream`."""
        made = HostStream()
        for name in ("copy_in", "copy_out", "launch"):
            setattr(made, name, self._metered(getattr(made, name)))
        return made

    def allocate(self, size: int) -> HostAllocation:
        """See `Device.allocate`."""
        return self._metered(super().allocate)(size)

    def pinned(self, size: int) -> NDArray[Any]:
        """See `Device.pinned`."""
        return self._metered(super().pinned)(size)

    def _metered(self, work: Callable[P, T]) -> Callable[P, T]:
        def run(*arguments: P.args, **options: P.kwargs) -> T:
            began = time.thread_time()
            try:
                return work(*arguments, **options)
            finally:
                self.seconds += time.thread_time() - began

        return run


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
