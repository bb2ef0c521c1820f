"""A device in the emulator: the same PTX, the same copies, every access checked. Its seconds are the emulator's own."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ..emulator import DeviceMemory, Emulator, EmulatorFault, PtxError
from .column import ELSEWHERE, DeviceColumn
from .interface import EMULATED, Array, DeviceError, Event, Function, Memory, Occupancy, OutOfDeviceMemory


class EmulatedDevice:
    """One device of `memory` bytes. What it is given is done at once, so its streams never wait. See `Device`.

    `backwards` runs threads from the last to the first: where they race, other results come out.
    """

    path: str = EMULATED

    def __init__(self, index: int = 0, memory: int = 1 << 28, *, backwards: bool = False) -> None:
        self.index, self.name = index, f"emulated device {index}"
        self._backwards = backwards
        self._memory: Final = DeviceMemory(memory)

    def memory(self) -> Memory:
        """See `Device`."""
        return Memory(self._memory.capacity - self._memory.used, self._memory.capacity)

    def allocate(self, size: int) -> EmulatedAllocation:
        """See `Device`."""
        try:
            return EmulatedAllocation(self._memory, size)
        except MemoryError as cause:
            raise OutOfDeviceMemory(f"{self.name}: {cause}") from cause

    def adopt(self, array: Any) -> DeviceColumn:
        """Raises `ValueError`: nobody else has memory here."""
        raise ValueError(f"{type(array).__name__} {ELSEWHERE.format(name=self.name)}")

    def pinned(self, size: int) -> Array:
        """Ordinary memory: copies of an emulator are all the same."""
        return np.empty(size, np.uint8)

    def stream(self) -> EmulatedStream:
        """See `Device`."""
        return EmulatedStream(self._memory)

    def load(self, ptx: bytes) -> EmulatedModule:
        """See `Device`."""
        try:
            return EmulatedModule(Emulator(ptx, memory=self._memory, backwards=self._backwards))
        except PtxError as cause:
            raise DeviceError(f"{self.name}: {cause}") from cause

    def describe(self) -> dict[str, Any]:
        """See `Device`."""
        return {"name": self.name, "path": self.path, "memory": self._memory.capacity}


class EmulatedAllocation:
    """See `Allocation`."""

    def __init__(self, memory: DeviceMemory, size: int) -> None:
        self.address, self.size = memory.allocate(size), size
        self._free = weakref.finalize(self, memory.free, self.address)
        self._free.atexit = False  # the memory itself ends with the process

    def release(self) -> None:
        """See `Allocation`."""
        self._free()


class EmulatedModule:
    """See `Module`."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def function(self, name: str) -> EmulatedFunction:
        """See `Module`."""
        if name not in self._emulator.kernels:
            raise DeviceError(f"there is no kernel `{name}`")
        return EmulatedFunction(self._emulator, name)


class EmulatedFunction:
    """See `Function`."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator, self.name = emulator, name

    def occupancy(self, block: int) -> Occupancy:
        """An emulator has no registers to run out of."""
        return Occupancy(block=block)


class EmulatedEvent:
    """See `Event`."""

    def __init__(self) -> None:
        self.time = time.perf_counter()

    def seconds_since(self, earlier: Event) -> float:
        """See `Event`."""
        assert isinstance(earlier, EmulatedEvent)
        return self.time - earlier.time

    def wait(self) -> None:
        """It has been reached."""


class EmulatedStream:
    """See `Stream`."""

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory

    def copy_in(self, address: int, source: Array) -> None:
        """See `Stream`."""
        if source.nbytes:
            with _reported():
                self._memory.write(address, source.reshape(-1))

    def copy_out(self, target: Array, address: int) -> None:
        """See `Stream`."""
        if target.nbytes:
            with _reported():
                target.reshape(-1).view(np.uint8)[:] = np.frombuffer(
                    self._memory.view(address, target.nbytes), np.uint8
                )

    def fill(self, address: int, byte: int, size: int) -> None:
        """See `Stream`."""
        with _reported():
            self._memory.view(address, size)[:] = bytes([byte]) * size

    def launch(self, function: Function, count: int, arguments: Sequence[int], block: int) -> None:
        """See `Stream`."""
        assert isinstance(function, EmulatedFunction)
        if count:
            with _reported():
                function.emulator.launch(function.name, count, arguments, block=block)

    def record(self) -> EmulatedEvent:
        """See `Stream`."""
        return EmulatedEvent()

    def synchronize(self) -> None:
        """All has been done."""


class _reported:  # noqa: N801 - a context, used as a word
    """Turns what the emulator finds into what a driver would raise, with its words."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (EmulatorFault, PtxError, ValueError)):
            raise DeviceError(f"emulated device: {error}") from error
