"""A GPU through CuPy, of which only the driver's layer is used: nothing here lets CuPy compile anything.

Copies from and to memory that is not pinned go through pinned buffers, piece by piece, so that the next piece is
filled while one is on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from .column import ELSEWHERE, GAPS, Adopted, DeviceColumn
from .interface import GPU, Array, DeviceError, Event, Function, Memory, Occupancy, OutOfDeviceMemory

STAGE: Final = 1 << 22
"""Bytes of a pinned buffer."""
STAGES: Final = 4
"""Buffers of a stream."""
DLPACK_CUDA: Final = 2
"""The kind of memory that a GPU's arrays have in DLPack."""
MOST_BLOCKS: Final = (1 << 31) - 1
"""Of a launch, in its first dimension."""


class CupyDevice:
    """The GPU of that number. See `Device`. `cupy` is the module, imported by whoever has found that it can be used."""

    path: str = GPU

    def __init__(self, cupy: Any, index: int) -> None:
        self.index = index
        self._cupy = cupy
        with _reported(f"GPU {index}"):
            self._device = cupy.cuda.Device(index)
            self._properties = cupy.cuda.runtime.getDeviceProperties(index)
        self.name = _text(self._properties["name"])

    @property
    def capability(self) -> int:
        """Compute capability, such as 90 for 9.0."""
        return int(self._properties["major"]) * 10 + int(self._properties["minor"])

    @contextmanager
    def current(self) -> Iterator[Any]:
        """Within it the device is that of this thread, and what the driver raises is a `DeviceError`."""
        with _reported(f"GPU {self.index} ({self.name})"), self._device:
            yield self._cupy

    def memory(self) -> Memory:
        """See `Device`."""
        with self.current() as cupy:
            free, total = cupy.cuda.runtime.memGetInfo()
            return Memory(free + cupy.get_default_memory_pool().free_bytes(), total)

    def allocate(self, size: int) -> CupyAllocation:
        """See `Device`."""
        with self.current() as cupy:
            return CupyAllocation(cupy.cuda.alloc(max(size, 1)), size)

    def adopt(self, array: Any) -> DeviceColumn:
        """See `Device`."""
        where = array.__dlpack_device__() if hasattr(array, "__dlpack_device__") else (0, 0)
        if tuple(map(int, where)) != (DLPACK_CUDA, self.index):
            raise ValueError(f"{type(array).__name__} {ELSEWHERE.format(name=f'GPU {self.index}')}")
        with self.current() as cupy:
            there = cupy.from_dlpack(array)  # which has this thread's stream wait for that of the array
            cupy.cuda.get_current_stream().synchronize()
        if not there.flags.c_contiguous:
            raise ValueError(f"{type(array).__name__} {GAPS}")
        memory = Adopted(int(there.data.ptr), int(there.nbytes), there)
        return DeviceColumn(self, memory, there.dtype, there.shape)

    def pinned(self, size: int) -> Array:
        """See `Device`."""
        with self.current() as cupy:
            return np.frombuffer(cupy.cuda.alloc_pinned_memory(max(size, 1)), np.uint8, size)

    def stream(self) -> CupyStream:
        """See `Device`."""
        with self.current() as cupy:
            return CupyStream(self, cupy.cuda.Stream(non_blocking=True))

    def load(self, ptx: bytes) -> CupyModule:
        """See `Device`."""
        with self.current() as cupy:
            module = cupy.cuda.function.Module()
            module.load(ptx if ptx.endswith(b"\0") else ptx + b"\0")  # drivers take text up to a zero
            return CupyModule(self, module)

    def describe(self) -> dict[str, Any]:
        """See `Device`."""
        with self.current() as cupy:
            runtime = cupy.cuda.runtime
            return {
                "name": self.name,
                "path": self.path,
                "compute_capability": f"{self.capability // 10}.{self.capability % 10}",
                "multiprocessors": int(self._properties["multiProcessorCount"]),
                "memory": int(self._properties["totalGlobalMem"]),
                "driver": int(runtime.driverGetVersion()),
                "runtime": int(runtime.runtimeGetVersion()),
                "cupy": str(cupy.__version__),
            }


class CupyAllocation:
    """See `Allocation`. The memory goes back to CuPy's pool."""

    def __init__(self, pointer: Any, size: int) -> None:
        self._pointer: Any = pointer
        self.address, self.size = int(pointer.ptr), size

    def release(self) -> None:
        """See `Allocation`."""
        self._pointer = None


class CupyModule:
    """See `Module`."""

    def __init__(self, device: CupyDevice, module: Any) -> None:
        self._device, self._module = device, module

    def function(self, name: str) -> CupyFunction:
        """See `Module`."""
        with self._device.current():
            return CupyFunction(self._device, self._module.get_function(name), name)


class CupyFunction:
    """See `Function`."""

    def __init__(self, device: CupyDevice, function: Any, name: str) -> None:
        self._device, self.function, self.name = device, function, name

    def occupancy(self, block: int) -> Occupancy:
        """As the driver has compiled it for this device."""
        with self._device.current() as cupy:
            driver, place = cupy.cuda.driver, self.function.ptr
            return Occupancy(
                registers=int(driver.funcGetAttribute(driver.CU_FUNC_ATTRIBUTE_NUM_REGS, place)),
                local_bytes=int(driver.funcGetAttribute(driver.CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, place)),
                blocks=int(driver.occupancyMaxActiveBlocksPerMultiprocessor(place, block, 0)),
                block=block,
            )


class CupyEvent:
    """See `Event`."""

    def __init__(self, device: CupyDevice, event: Any) -> None:
        self._device, self._event = device, event

    def seconds_since(self, earlier: Event) -> float:
        """See `Event`."""
        assert isinstance(earlier, CupyEvent)
        with self._device.current() as cupy:
            return float(cupy.cuda.get_elapsed_time(earlier._event, self._event)) / 1e3

    def wait(self) -> None:
        """See `Event`."""
        with self._device.current():
            self._event.synchronize()


class _Stage:
    """A pinned buffer, and where what comes into it has to go once its event is reached."""

    def __init__(self, memory: Array, event: Any) -> None:
        self.memory, self.event = memory, event
        self.target: Array | None = None

    def free(self) -> None:
        """Wait until the buffer is nobody's, and hand on what came."""
        self.event.synchronize()
        if self.target is not None:
            np.copyto(self.target, self.memory[: len(self.target)])
            self.target = None


class CupyStream:
    """See `Stream`."""

    def __init__(self, device: CupyDevice, stream: Any) -> None:
        self._device, self._stream = device, stream
        self._stages: list[_Stage] = []
        self._next = 0
        self._held: list[Array] = []
        """Pinned arrays that copies on their way read or write."""

    def copy_in(self, address: int, source: Array) -> None:
        """See `Stream`."""
        data = source.reshape(-1).view(np.uint8)
        with self._device.current() as cupy:
            kind = cupy.cuda.runtime.memcpyHostToDevice
            if self._is_pinned(cupy, data):
                cupy.cuda.runtime.memcpyAsync(address, data.ctypes.data, data.nbytes, kind, self._stream.ptr)
                self._held.append(data)
                return
            for start in range(0, len(data), STAGE):
                part, stage = data[start : start + STAGE], self._stage()
                np.copyto(stage.memory[: len(part)], part)
                place = stage.memory.ctypes.data
                cupy.cuda.runtime.memcpyAsync(address + start, place, len(part), kind, self._stream.ptr)
                stage.event.record(self._stream)

    def copy_out(self, target: Array, address: int) -> None:
        """See `Stream`."""
        data = target.reshape(-1).view(np.uint8)
        with self._device.current() as cupy:
            kind = cupy.cuda.runtime.memcpyDeviceToHost
            if self._is_pinned(cupy, data):
                cupy.cuda.runtime.memcpyAsync(data.ctypes.data, address, data.nbytes, kind, self._stream.ptr)
                self._held.append(data)
                return
            for start in range(0, len(data), STAGE):
                part, stage = data[start : start + STAGE], self._stage()
                place = stage.memory.ctypes.data
                cupy.cuda.runtime.memcpyAsync(place, address + start, len(part), kind, self._stream.ptr)
                stage.event.record(self._stream)
                stage.target = part

    def fill(self, address: int, byte: int, size: int) -> None:
        """See `Stream`."""
        with self._device.current() as cupy:
            cupy.cuda.runtime.memsetAsync(address, byte, size, self._stream.ptr)

    def launch(self, function: Function, count: int, arguments: Sequence[int], block: int) -> None:
        """See `Stream`."""
        assert isinstance(function, CupyFunction)
        blocks = -(-count // block)
        if blocks > MOST_BLOCKS:
            raise DeviceError(f"{count} rows are more than one launch has: {MOST_BLOCKS} blocks of {block}")
        if count:
            with self._device.current():
                given = tuple(np.uint64(one) for one in (count, *arguments))
                function.function((blocks,), (block,), given, stream=self._stream)

    def record(self) -> CupyEvent:
        """See `Stream`."""
        with self._device.current() as cupy:
            event = cupy.cuda.Event()
            event.record(self._stream)
            return CupyEvent(self._device, event)

    def synchronize(self) -> None:
        """See `Stream`."""
        with self._device.current():
            for number in range(len(self._stages)):  # the one that was used first comes first
                self._stages[(self._next + number) % len(self._stages)].free()
            self._stream.synchronize()
            self._held.clear()

    def _stage(self) -> _Stage:
        """The next buffer, once it is free."""
        if len(self._stages) < STAGES:
            stage = _Stage(self._device.pinned(STAGE), self._device._cupy.cuda.Event())
            self._stages.append(stage)
            return stage
        stage = self._stages[self._next]
        self._next = (self._next + 1) % STAGES
        stage.free()
        return stage

    @staticmethod
    def _is_pinned(cupy: Any, data: Array) -> bool:
        """Whether copies need no buffer, which small ones are not asked for."""
        if data.nbytes < STAGE:
            return data.nbytes == 0
        return bool(cupy.cuda.runtime.pointerGetAttributes(data.ctypes.data).type == cupy.cuda.runtime.memoryTypeHost)


@contextmanager
def _reported(where: str) -> Iterator[None]:
    """Turns what CuPy and the driver raise into errors of ours, with their words."""
    try:
        yield
    except DeviceError:
        raise
    except MemoryError as cause:
        raise OutOfDeviceMemory(f"{where}: {cause}") from cause
    except RuntimeError as cause:  # the base of what CuPy raises for the runtime and for the driver
        if "MEMORY_ALLOCATION" in str(cause).upper() or "OUT_OF_MEMORY" in str(cause).upper():
            raise OutOfDeviceMemory(f"{where}: {cause}") from cause
        raise DeviceError(f"{where}: {cause}") from cause


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
