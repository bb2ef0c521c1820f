"""This processor as a device: it runs the same IR, compiled for it, and its memory is the process's own.

For computers without a GPU, and for tests: what comes of a kernel here must come of it anywhere.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .column import ELSEWHERE, GAPS, Adopted, DeviceColumn
from .interface import HOST, DeviceError, Memory, Occupancy, OutOfDeviceMemory

if TYPE_CHECKING:
    from ..ptx import HostModule, PtxModule
    from .interface import Array, Device, Event, Function, Module

ALIGNMENT: Final = 256
DLPACK_CPU: Final = 1
"""The kind of memory that arrays of a process have in DLPack."""
UNSET: Final = 0xA5
"""What bytes are that nobody has written: on a GPU they would be anything, too."""


class HostAllocation:
    """See `Allocation`."""

    def __init__(self, size: int) -> None:
        self.size = size
        try:
            self._bytes: Array | None = np.full(size + ALIGNMENT, UNSET, np.uint8)
        except MemoryError:
            raise OutOfDeviceMemory(f"this process cannot have {size:,} more bytes") from None
        self.address = -(-self._bytes.ctypes.data // ALIGNMENT) * ALIGNMENT

    def release(self) -> None:
        """See `Allocation.release`."""
        self._bytes = None


@dataclass(frozen=True, slots=True)
class HostEvent:
    """See `Event`."""

    seconds: float

    def seconds_since(self, earlier: Event) -> float:
        """See `Event.seconds_since`."""
        assert isinstance(earlier, HostEvent)
        return self.seconds - earlier.seconds

    def wait(self) -> None:
        """All work is done when it has been given."""


@dataclass(slots=True, eq=False)
class HostFunction:
    """See `Function`."""

    name: str
    module: HostModule

    def occupancy(self, block: int) -> Occupancy:
        """Nobody knows."""
        return Occupancy(block=block)


@dataclass(frozen=True, slots=True)
class HostKernels:
    """See `Module`."""

    module: HostModule

    def function(self, name: str) -> HostFunction:
        """See `Module.function`."""
        try:
            self.module.function(name)
        except KeyError:
            raise DeviceError(f"there is no kernel {name!r}") from None
        return HostFunction(name, self.module)


class HostStream:
    """See `Stream`. What it is given is done at once."""

    def copy_in(self, address: int, source: Array) -> None:
        """See `Stream.copy_in`."""
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def copy_out(self, target: Array, address: int) -> None:
        """See `Stream.copy_out`."""
        ctypes.memmove(target.ctypes.data, address, target.nbytes)

    def fill(self, address: int, byte: int, size: int) -> None:
        """See `Stream.fill`."""
        ctypes.memset(address, byte, size)

    def launch(self, function: Function, count: int, arguments: Sequence[int], block: int) -> None:
        """See `Stream.launch`. The block's size means nothing here."""
        assert isinstance(function, HostFunction)
        function.module.run(function.name, count, *arguments)

    def record(self) -> HostEvent:
        """See `Stream.record`."""
        return HostEvent(time.perf_counter())

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""


class HostDevice:
    """See `Device`. Instead of PTX it loads modules, by `load_host`."""

    index = 0
    name = "this processor"
    path = HOST

    def memory(self) -> Memory:
        """See `Device.memory`: of the computer."""
        page = os.sysconf("SC_PAGE_SIZE")
        return Memory(page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES"))

    def allocate(self, size: int) -> HostAllocation:
        """See `Device.allocate`."""
        return HostAllocation(size)

    def adopt(self, array: Any) -> DeviceColumn:
        """See `Device.adopt`: of arrays of this process."""
        if not hasattr(array, "__dlpack__") or int(array.__dlpack_device__()[0]) != DLPACK_CPU:
            raise ValueError(f"{type(array).__name__} {ELSEWHERE.format(name=self.name)}")
        there = np.from_dlpack(array)
        if not there.flags.c_contiguous:
            raise ValueError(f"{type(array).__name__} {GAPS}")
        return DeviceColumn(self, Adopted(there.ctypes.data, there.nbytes, there), there.dtype, there.shape)

    def pinned(self, size: int) -> Array:
        """See `Device.pinned`."""
        return np.zeros(size, np.uint8)

    def stream(self) -> HostStream:
        """See `Device.stream`."""
        return HostStream()

    def load(self, ptx: bytes) -> Module:
        """Raises `DeviceError`: this processor does not run PTX."""
        raise DeviceError("this processor does not run PTX: load the module's host build")

    def load_host(self, module: PtxModule) -> HostKernels:
        """The kernels of `module`, compiled for this processor."""
        return HostKernels(module.host())

    def describe(self) -> dict[str, Any]:
        """See `Device.describe`."""
        return {"path": self.path}


def loaded(device: Device, module: PtxModule) -> Module:
    """The kernels of `module` on a device. Raises `DeviceError`."""
    return device.load_host(module) if isinstance(device, HostDevice) else device.load(module.ptx)
