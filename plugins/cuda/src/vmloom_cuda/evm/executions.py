"""Calls of an engine's batches on the devices of the accelerator, which share them. See `Accelerator.executions`."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from itertools import accumulate
from threading import Thread
from typing import TYPE_CHECKING, Final

from vmloom.accelerator import Capability, Executed, Executions
from vmloom.engine.columns import CallColumns, JoinedColumns
from vmloom.kernel.subset import KernelError
from vmloom_evm.native.engine import NativeEngine
from vmloom_evm.native.packing import DoesNotFit
from vmloom_evm.native.state import NativeState
from vmloom_native.costs import fitted

from ..device.interface import GPU, DeviceError
from ..operations.batch import Counts
from ..ptx import EmissionError
from .arrays import CallArrays
from .batch import EvmBatch, EvmBatchStatistics, Held
from .measuring import transfer_calls

if TYPE_CHECKING:
    from vmloom import StateAccess
    from vmloom_evm import Evm
    from vmloom_evm.specification import Specification

    from ..accelerator import CudaAccelerator
    from ..device.interface import Device
    from .result_arrays import ResultArrays

CALLS: Final = "evm_calls"
"""As what they are counted."""
NOT_YET: Final = Capability(CALLS, math.inf, 0.0)
"""The cost that is told while nobody knows it: so calls run elsewhere."""
PATIENCE: Final = 1 << 20
"""Jumps, calls and creations after which a lane leaves a call to the processor, where it can be interrupted."""


class CallBatches:
    """The lanes of an accelerator's devices, and what calls cost there. Used under the accelerator's lock."""

    def __init__(self, accelerator: CudaAccelerator) -> None:
        self._accelerator = accelerator
        self._batches: dict[int, EvmBatch] = {}
        self._cost = NOT_YET
        self._measuring: Thread | None = None
        self._failure: Exception | None = None

    def on(self, device: Device, specification: Specification) -> EvmBatch:
        """The lanes of a device for `specification`; memory that it had for another one is free then."""
        found = self._batches.get(device.index)
        if found is None or found.specification is not specification:
            self._batches.pop(device.index, None)
            found = self._batches[device.index] = self._new(device, specification)
        return found

    def _new(self, device: Device, specification: Specification) -> EvmBatch:
        config = self._accelerator.config
        return EvmBatch(specification, device, lanes=config.lanes, patience=PATIENCE, hot=config.hot or None)

    def drop(self, device: Device) -> None:
        """Forget the lanes of a device that has failed."""
        self._batches.pop(device.index, None)

    def cost(self, device: Device, specification: Specification) -> Capability:
        """What an ERC-20 transfer costs on a GPU; nothing, by what is told, on what only stands for one.

        On a GPU it is measured once, by a thread, since the driver may take a minute to compile the kernels. Until then
        it is `NOT_YET`. Raises what the thread has raised: `DeviceError`, `EmissionError` or `KernelError`.
        """
        if device.path != GPU:
            return Capability(CALLS, 0.0, 0.0)
        failure, self._failure = self._failure, None
        if failure is not None:
            self._measuring = None
            raise failure
        if self._measuring is None:
            arguments = device, specification
            self._measuring = Thread(target=self._measure, args=arguments, name="vmloom-cuda-costs", daemon=True)
            self._measuring.start()
        return self._cost

    def wait(self) -> None:
        """Until costs are known that are being measured. Not to be called under the accelerator's lock."""
        if self._measuring is not None:
            self._measuring.join()

    def _measure(self, device: Device, specification: Specification) -> None:
        try:
            batch = self._new(device, specification)
            _ = batch.lane_kernels.module  # which others need not wait for
            with self._accelerator.alone():
                self._cost = fitted(CALLS, lambda rows: _transfers_on(batch, rows), 0)
                self._batches[device.index] = batch
        except (DeviceError, EmissionError, KernelError) as error:
            if isinstance(error, DeviceError):
                error.device = device
            self._failure = error


def _transfers_on(batch: EvmBatch, rows: int) -> Callable[[], None]:
    """What runs so many transfers. Raises `DeviceError`."""
    state, calls = transfer_calls(rows)

    def run() -> None:
        with batch.lane_kernels.unnoticed():
            batch.call(state, calls)
        if batch.failure is not None:
            raise batch.failure

    return run


class EvmExecutions(Executions):
    """Calls of `vm` on `state`, on all devices of `accelerator` that are left."""

    operation = CALLS

    def __init__(self, accelerator: CudaAccelerator, vm: Evm, state: NativeState) -> None:
        self._accelerator, self._vm = accelerator, vm
        self._held = Held(state)

    def capability(self, calls: CallColumns) -> Capability:
        """See `Executions.capability`: `NOT_YET` while nobody knows.

        Raises `DeviceError`, `EmissionError` and `KernelError`.
        """
        with self._using() as devices:
            return self._accelerator.calls.cost(devices[0], self._specification(calls))

    def run(self, calls: CallColumns) -> Executed | None:
        """See `Executions.run`. What a device fails at escapes.

        Raises `DeviceError` where none is left, `EmissionError` and `KernelError`.
        """
        began, accelerator = time.perf_counter(), self._accelerator
        with self._using() as devices:
            shares = _shares(calls, len(devices))
            try:
                arrays = [CallArrays.of(share) for share in shares]
            except DoesNotFit:
                return None
            specification = self._specification(calls)
            batches = [accelerator.calls.on(device, specification) for device in devices[: len(shares)]]
            before = [_copied(batch.statistics) for batch in batches]
            found = self._on_all(batches, arrays)
            total, causes = Counts(), Counter[str]()
            for batch, former in zip(batches, before, strict=True):
                total.add(_counts(batch, former))
                causes += batch.statistics.escapes - former.escapes
                if batch.failure is not None:
                    accelerator.calls.drop(batch.device)
                    accelerator.give_up(CALLS, batch.failure, batch.device)
        accelerator.metrics.add(CALLS, devices[0].path, total, time.perf_counter() - began)
        accelerator.metrics.add_escapes(CALLS, causes)
        begins = accumulate(map(len, shares), initial=0)
        escaped = [begin + place for begin, one in zip(begins, found, strict=False) for place in one.escaped.tolist()]
        return Executed(JoinedColumns([one.columns() for one in found]), escaped)

    def _specification(self, calls: CallColumns) -> Specification:
        return self._vm.specification(self._vm.fork_at(calls.block))

    @contextmanager
    def _using(self) -> Iterator[list[Device]]:
        """The devices, for us alone. Kernels that cannot be made are not asked for again."""
        with self._accelerator.alone() as devices:
            try:
                yield devices
            except (EmissionError, KernelError) as error:
                self._accelerator.give_up(CALLS, error)
                raise
            except DeviceError as error:
                self._accelerator.give_up(CALLS, error, error.device)
                raise

    def _on_all(self, batches: list[EvmBatch], shares: list[CallArrays]) -> list[ResultArrays]:
        """Each share on its device, at the same time."""
        placed = [batch.placed(self._held.state, share) for batch, share in zip(batches, shares, strict=True)]
        _ = self._held.image  # made once, not by each, when all codes are there
        if len(batches) == 1:
            return [batches[0].run(self._held, placed[0])]
        with ThreadPoolExecutor(len(batches)) as pool:
            return list(pool.map(lambda batch, share: batch.run(self._held, share), batches, placed))

    def close(self) -> None:
        """See `Executions.close`."""
        self._held.close()


def executions_of(accelerator: CudaAccelerator, vm: Evm, state: StateAccess) -> EvmExecutions | None:
    """What runs calls of `vm` on `state`: if the native engine would run them, and the state is in native memory."""
    runs_natively = isinstance(vm.executor, NativeEngine) and not vm.config.instruction_metrics
    if accelerator.is_refused(CALLS) or not runs_natively or not isinstance(state, NativeState):
        return None
    return EvmExecutions(accelerator, vm, state)


def _shares(calls: CallColumns, count: int) -> list[CallColumns]:
    """Neighbours, as many for each of `count` devices as for another, and at least one."""
    size = -(-len(calls) // count)
    return [calls] if count == 1 else [calls[at : at + size] for at in range(0, len(calls), size)]


def _copied(statistics: EvmBatchStatistics) -> EvmBatchStatistics:
    found = copy(statistics)
    found.escapes = statistics.escapes.copy()
    return found


def _counts(batch: EvmBatch, before: EvmBatchStatistics) -> Counts:
    """What a device did since `before`."""
    now = batch.statistics
    return Counts(
        rows=now.executions - before.executions,
        seconds=now.launch_seconds - before.launch_seconds,
        kernel_seconds=now.kernel_seconds - before.kernel_seconds,
        bytes_in=now.bytes_in - before.bytes_in,
        bytes_out=now.bytes_out - before.bytes_out,
        launches=now.launches - before.launches,
        parts=now.launches - before.launches,
        kernels={} if batch.failure is not None else {"run_lane": batch.occupancy},
    )
