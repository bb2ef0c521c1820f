"""GPUs as an accelerator: the operations and the columns of the accelerator `cpu`, on devices that share batches.

What a device fails at, the processor does, and this is told: by the log, and by `performance`. A device that has failed
is left alone until `reset`.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from vmloom.accelerator import Accelerator, AcceleratorStatus, Capability
from vmloom_native.costs import Measured, fitted
from vmloom_native.cpu import CpuAccelerator, installed_kernels

from .config import CudaConfig
from .metrics import CudaMetrics
from .status import Found, find

if TYPE_CHECKING:
    from vmloom.accelerator import Executions
    from vmloom.state import StateAccess
    from vmloom.vm import VirtualMachine
    from vmloom_evm import Evm

    from .device.column import DeviceColumn
    from .device.interface import Array, Device
    from .evm.executions import CallBatches
    from .operations.batch import Batch, Counts, Loaded
    from .operations.catalogue import Operation

NAME: Final = "cuda"
LEFT_TO_HOST: Final = "the processor runs what a GPU was asked for"
T = TypeVar("T")


class CudaAccelerator(Accelerator):
    """NVIDIA GPUs, or the emulator in place of one, which are looked for when needed. Safe to share by threads.

    `devices` are used in place of those that the configuration finds.
    """

    def __init__(self, config: CudaConfig | None = None, *, devices: Sequence[Device] | None = None) -> None:
        self.config: Final = config or CudaConfig()
        self.metrics: Final = CudaMetrics()
        self._given = devices
        self._lock = threading.Lock()
        """Held while devices run: one batch at a time, which has them all."""
        self._failed: dict[int, str] = {}
        self._refused: dict[str, str] = {}
        """Operations whose kernels cannot be made, with the reason."""

    # What there is

    @property
    def name(self) -> str:
        """`cuda`."""
        return NAME

    def status(self) -> AcceleratorStatus:
        """The devices that are left, and by which path they run: `gpu`, or `emulated`."""
        found = self._found
        if not found.devices:
            return AcceleratorStatus(False, found.reason)
        left = self._left()
        if not left:
            return AcceleratorStatus(False, "; ".join(self._failed.values()), path=found.devices[0].path)
        return AcceleratorStatus(True, device=", ".join(device.name for device in left), path=left[0].path)

    @functools.cached_property
    def _found(self) -> Found:
        return find(self.config) if self._given is None else Found(tuple(self._given))

    def _left(self) -> list[Device]:
        return [device for device in self._found.devices if device.index not in self._failed]

    def capabilities(self) -> Mapping[str, Capability]:
        """What there is. The cost of an operation is measured when it is first looked up, which emits its kernels.

        An emulated device costs nothing, by what it tells: it is there to be tried out, not to be fast.
        """
        return self._capabilities if self.status().available else {}

    @functools.cached_property
    def _capabilities(self) -> Mapping[str, Capability]:
        return Measured(self._operations, self._measure)

    def _measure(self, name: str, operation: Operation) -> Capability:
        if self._found.devices[0].path != "gpu":
            return Capability(name, 0.0, 0.0, operation.on_host.item_size)

        def run(rows: int) -> Callable[[], object]:
            columns = operation.on_host.sample(rows)
            return lambda: self._on_devices(name, operation.batch(columns), None, time.perf_counter())

        return fitted(name, run, operation.on_host.item_size)

    @functools.cached_property
    def _operations(self) -> Mapping[str, Operation]:
        from .operations.catalogue import operations

        return operations(installed_kernels())

    # Running

    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        """The results, in the order of the rows. They stay on the device if any of the columns is there.

        Columns are those of the accelerator `cpu`, arrays or `DeviceColumn`. Raises `KeyError` for an operation that is
        not offered, `ValueError` for columns of another type or shape, or on several devices.
        """
        found = self._operations[operation]
        reason = self._refused.get(operation, "") or self.status().reason
        if not reason:
            from .device.interface import DeviceError

            try:
                return self.run_batch(operation, found.batch(columns))
            except DeviceError as error:
                reason = str(error)
        else:
            self.metrics.add_fallback(operation, reason)
        _tell(LEFT_TO_HOST, operation=operation, reason=reason)
        return self._host.run(operation, [_fetched(column) for column in columns])

    def run_batch(self, operation: str, batch: Batch) -> Sequence[Any]:
        """Run a batch of somebody else's rows, `operation` being what it is counted as. See `run` for the results.

        Raises `DeviceError`: what the host can do instead is known to whoever made it.
        """
        from .device.interface import DeviceError

        began, failure = time.perf_counter(), self.status().reason
        while not failure:
            home = batch.device()
            failure = "" if home is None else self._failed.get(home.index, "")
            if not failure:
                try:
                    return self._on_devices(operation, batch, home, began)
                except Exception as error:
                    failure = self._after(error, operation) or self.status().reason
        self.metrics.add_fallback(operation, failure)
        raise DeviceError(failure)

    def executions(self, vm: VirtualMachine, state: StateAccess) -> Executions | None:
        """See `Accelerator.executions`: calls of the EVM, by its native engine, on a state in native memory."""
        evm = sys.modules.get("vmloom_evm.vm")  # which is there if `vm` is one
        if not self.config.executions or evm is None or type(vm) is not evm.Evm or not self.status().available:
            return None
        from .evm.executions import executions_of

        return executions_of(self, cast("Evm", vm), state)

    @functools.cached_property
    def calls(self) -> CallBatches:
        """What runs calls; used within `alone`."""
        from .evm.executions import CallBatches

        return CallBatches(self)

    @contextmanager
    def alone(self) -> Iterator[list[Device]]:
        """All devices that are left, for nobody else meanwhile. Raises `DeviceError` if there is none."""
        with self._lock:
            self._first()
            yield self._left()

    def give_up(self, operation: str, error: Exception, device: Device | None = None) -> None:
        """Count what the host has to do since `device`, or what makes kernels, failed.

        Neither is asked for that again until `reset`, but for a device that was only short of memory.
        """
        if device is not None:
            error.device = device  # type: ignore[attr-defined]  # a `DeviceError`
        reason = self._after(error, operation) or str(error)
        self.metrics.add_fallback(operation, reason)
        _tell(LEFT_TO_HOST, operation=operation, reason=reason)

    def is_refused(self, operation: str) -> bool:
        """Whether the kernels of an operation cannot be made."""
        return operation in self._refused

    def to_device(self, *columns: Any) -> list[DeviceColumn]:
        """Copies of arrays on one device, the first that is left. Raises `DeviceError`."""
        from .device.column import DeviceColumn

        device = self._first()
        return [DeviceColumn.of(device, column) for column in columns]

    def _first(self) -> Device:
        """The first device that is left. Raises `DeviceError`."""
        from .device.interface import DeviceError

        left = self._left()
        if not left:
            raise DeviceError(f"there is no device: {self.status().reason}")
        return left[0]

    def pinned(self, *shape: int, dtype: str = "uint8") -> Array:
        """A new array in pinned memory, whose values are not set. Columns that are in such arrays are copied at once.

        Raises `DeviceError`, also where there is no device.
        """
        return self._pinned(self._first(), shape, dtype)

    @staticmethod
    def _pinned(device: Device, shape: Sequence[int], dtype: str) -> Array:
        import numpy as np

        return device.pinned(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)

    def _on_devices(self, operation: str, batch: Batch, home: Device | None, began: float) -> Sequence[Any]:
        """On the device that columns are on, `home`, or on all. Raises `DeviceError`, which says of which device."""
        results: Sequence[Any]
        with self._lock:
            if home is not None:
                results, counts = self._on(home, lambda: self._loaded(home).keep(batch))
            else:
                results, counts = self._shared(batch)
        self.metrics.add(operation, self._found.devices[0].path, counts, time.perf_counter() - began)
        return tuple(results)

    def _shared(self, batch: Batch) -> tuple[Sequence[Any], Counts]:
        """All devices that are left, each with its share of the rows."""
        from .operations.batch import Counts, shares

        left, total = self._left(), Counts()
        if self.config.pinned_results:
            targets = [self._pinned(left[0], (batch.rows, *output.row), output.dtype) for output in batch.outputs]
        else:
            targets = [output.empty(batch.rows) for output in batch.outputs]
        work = list(zip(left, shares(batch.weights(), batch.rows, len(left)), strict=False))

        def part(device: Device, first: int, end: int) -> Counts:
            return self._on(device, lambda: self._loaded(device).run(batch, first, end, targets))

        if len(work) == 1:
            total.add(part(work[0][0], *work[0][1]))
        elif work:
            with ThreadPoolExecutor(len(work)) as pool:
                for counts in pool.map(lambda one: part(one[0], *one[1]), work):
                    total.add(counts)
        return targets, total

    @staticmethod
    def _on(device: Device, run: Callable[[], T]) -> T:
        """`run`, whose failure says of which device it is."""
        from .device.interface import DeviceError

        try:
            return run()
        except DeviceError as error:
            error.device = device
            raise

    def _loaded(self, device: Device) -> Loaded:
        """The device with its modules, which are loaded once."""
        from .operations.batch import Loaded

        found = self._all_loaded.get(device.index)
        if found is None:
            config = self.config
            found = self._all_loaded[device.index] = Loaded(
                device, block=config.block, part_bytes=config.part_bytes, memory_fraction=config.memory_fraction
            )
        return found

    @functools.cached_property
    def _all_loaded(self) -> dict[int, Loaded]:
        return {}

    # When it does not go well

    def _after(self, error: Exception, operation: str) -> str:
        """Why the host has to do it, empty if another device is to try. A device that failed is not used again.

        Raises `error` if it is no failure of a device or of its kernels.
        """
        from vmloom.kernel.subset import KernelError

        from .device.interface import DeviceError, OutOfDeviceMemory
        from .ptx import EmissionError

        if isinstance(error, OutOfDeviceMemory):
            return str(error)  # of a batch that is too large, not of the device
        if isinstance(error, (EmissionError, KernelError)):  # which no device can help
            self._refused[operation] = str(error)
            return str(error)
        if not isinstance(error, DeviceError) or error.device is None:
            raise error
        number = error.device.index
        self._failed[number] = str(error)
        self._all_loaded.pop(number, None)
        _tell("device failed", device=number, reason=str(error), left=len(self._left()))
        return ""

    @functools.cached_property
    def _host(self) -> CpuAccelerator:
        return CpuAccelerator()

    def reset(self) -> None:
        """Use devices again that have failed, and look for devices anew if there were none; forget what was counted."""
        with self._lock:
            self._failed.clear()
            self._refused.clear()
            self._all_loaded.clear()
            self.__dict__.pop("calls", None)
            if not self._found.devices:
                del self._found
        self.metrics.clear()

    def performance(self) -> Mapping[str, Any]:
        """See `Accelerator`: what it did since it was made or reset, by operation, kernel and device."""
        devices = [
            {"device": device.index, **device.describe(), "failure": self._failed.get(device.index, "")}
            for device in self._found.devices
        ]
        return {"devices": devices, **self.metrics.to_dict()}


def _fetched(column: Any) -> Any:
    """A column as an array. Raises `DeviceError` if its device has failed so that not even this works."""
    to_host = getattr(column, "to_host", None)
    return column if to_host is None else to_host()


def _tell(event: str, **details: Any) -> None:
    """To the log, if anybody has set one up: a library does not write to a program's streams by itself."""
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        structlog.get_logger("vmloom.cuda").warning(event, **details)
