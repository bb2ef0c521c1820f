"""A `cupy` in place of CuPy: as much of it as is used, over the emulator, and stricter than a driver.

Work given to a stream is done when somebody waits for it, not before: so memory that is let go of, or changed, while a
copy is on its way shows. Copies to and from the host must be of pinned memory.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from vmloom_cuda.emulator import DeviceMemory, Emulator, EmulatorFault


class CUDARuntimeError(RuntimeError):
    """As CuPy's: its text begins with the error's name."""


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


class FakeCupy(SimpleNamespace):
    """The module. `capability`, `free` and `broken` are what the tests change.

    Attributes:
        launches: Grid, block and arguments of all launches, in their order.
        copies: Bytes of all copies, by direction.
    """

    __version__ = "14.fake"

    def __init__(self, devices: int = 1, *, memory: int = 1 << 24, capability: tuple[int, int] = (9, 0)) -> None:
        super().__init__()
        self.memories = [DeviceMemory(memory) for _ in range(devices)]
        self.capability, self._current = capability, threading.local()
        self.broken: dict[int, str] = {}
        self.launches: list[tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]] = []
        self.copies: dict[str, list[int]] = {"in": [], "out": []}
        self.pinned: list[tuple[int, int]] = []
        self.awaited: list[FakeArray] = []
        self.cuda = SimpleNamespace(
            Device=lambda number: _Device(self, number),
            Stream=lambda *, non_blocking: _Stream(self, non_blocking),
            Event=lambda: _Event(),
            alloc=self._alloc,
            alloc_pinned_memory=self._alloc_pinned,
            get_current_stream=lambda: SimpleNamespace(synchronize=self._wait_for_arrays),
            get_elapsed_time=lambda begun, ended: (ended.time - begun.time) * 1e3,
            function=SimpleNamespace(Module=lambda: _Module(self)),
            driver=SimpleNamespace(
                CU_FUNC_ATTRIBUTE_NUM_REGS=4,
                CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES=3,
                funcGetAttribute=lambda attribute, place: {4: 96, 3: 208}[attribute] if place == _Function.ptr else -1,
                occupancyMaxActiveBlocksPerMultiprocessor=lambda place, block, shared: (
                    682 // block - shared - place + 1
                ),
            ),
            runtime=SimpleNamespace(
                memcpyHostToDevice=1,
                memcpyDeviceToHost=2,
                memoryTypeHost=1,
                getDeviceCount=lambda: len(self.memories),
                getDeviceProperties=self._properties,
                driverGetVersion=lambda: 13000,
                runtimeGetVersion=lambda: 13000,
                memGetInfo=lambda: (self.here.capacity - self.here.used, self.here.capacity),
                memcpyAsync=self._memcpy,
                memsetAsync=self._memset,
                pointerGetAttributes=lambda place: SimpleNamespace(type=int(self.is_pinned(place, 1))),
            ),
        )

    def from_dlpack(self, array: FakeArray) -> FakeArray:
        assert array.memory is self.here, "an array of another device"
        self.awaited.append(array)
        return array

    def _wait_for_arrays(self) -> None:
        while self.awaited:
            self.awaited.pop().finish()

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_bytes=lambda: 0)

    @property
    def now(self) -> int:
        """The current device, which each thread has its own of."""
        return getattr(self._current, "number", 0)

    @now.setter
    def now(self, number: int) -> None:
        self._current.number = number

    @property
    def here(self) -> DeviceMemory:
        """The memory of the current device."""
        if self.now in self.broken:
            raise CUDARuntimeError(self.broken[self.now])
        return self.memories[self.now]

    def is_pinned(self, place: int, size: int) -> bool:
        return any(start <= place and place + size <= end for start, end in self.pinned)

    def _properties(self, number: int) -> dict[str, Any]:
        major, minor = self.capability
        name = f"Fake {number}".encode()
        return {"name": name, "major": major, "minor": minor, "multiProcessorCount": 4, "totalGlobalMem": 1 << 24}

    def _alloc(self, size: int) -> Any:
        try:
            return _Pointer(self.here, size)
        except MemoryError as error:
            raise OutOfMemoryError(str(error)) from error

    def _alloc_pinned(self, size: int) -> Any:
        memory = (ctypes.c_uint8 * size)()
        start = ctypes.addressof(memory)
        self.pinned.append((start, start + size))
        return memory

    def _memcpy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        host = source if kind == 1 else to
        assert self.is_pinned(host, size), "a copy of memory that is not pinned"
        self.copies["in" if kind == 1 else "out"].append(size)
        memory = self.here

        def copy() -> None:
            if kind == 1:
                memory.write(to, ctypes.string_at(source, size))
            else:
                ctypes.memmove(to, memory.read(source, size), size)

        _Stream.known[stream].given.append(copy)

    def _memset(self, to: int, value: int, size: int, stream: int) -> None:
        memory = self.here
        _Stream.known[stream].given.append(lambda: memory.write(to, bytes([value]) * size))


class FakeArray:
    """An array of somebody else on a device, which is not there before its stream has been waited for."""

    def __init__(self, cupy: FakeCupy, values: Any, *, number: int = 0, is_contiguous: bool = True) -> None:
        self.memory, self.number, self._values = cupy.memories[number], number, values
        self.data = _Pointer(self.memory, values.nbytes)
        self.dtype, self.shape, self.nbytes = values.dtype, values.shape, values.nbytes
        self.flags = SimpleNamespace(c_contiguous=is_contiguous)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.number

    def finish(self) -> None:
        self.memory.write(self.data.ptr, self._values.tobytes())


class _Device:
    def __init__(self, cupy: FakeCupy, number: int) -> None:
        self._cupy, self._number, self._before = cupy, number, [0]

    def __enter__(self) -> None:
        self._before.append(self._cupy.now)
        self._cupy.now = self._number

    def __exit__(self, *_details: object) -> None:
        self._cupy.now = self._before.pop()


class _Pointer:
    def __init__(self, memory: DeviceMemory, size: int) -> None:
        self._memory: DeviceMemory | None = None
        self.ptr = memory.allocate(size)
        self._memory = memory

    def __del__(self) -> None:
        if self._memory is not None:
            self._memory.free(self.ptr)


class _Stream:
    known: ClassVar[dict[int, _Stream]] = {}

    def __init__(self, cupy: FakeCupy, non_blocking: bool) -> None:
        assert non_blocking, "a stream that waits for all others"
        self._cupy = cupy
        self.given: list[Callable[[], None]] = []
        self.done, self.clock = 0, 0.0
        self.ptr = len(self.known) + 1
        self.known[self.ptr] = self

    def run_to(self, place: int) -> None:
        while self.done < place:
            self.done += 1
            try:
                self.given[self.done - 1]()
            except (EmulatorFault, ValueError) as error:
                raise CUDARuntimeError(f"cudaErrorIllegalAddress: {error}") from error

    def synchronize(self) -> None:
        _ = self._cupy.here
        self.run_to(len(self.given))


class _Event:
    def __init__(self) -> None:
        self.time = math.nan
        self._place: tuple[_Stream, int] | None = None

    def record(self, stream: _Stream) -> None:
        def reach() -> None:
            stream.clock += 1e-3
            self.time = stream.clock

        stream.given.append(reach)
        self._place = stream, len(stream.given)

    def synchronize(self) -> None:
        if self._place is not None:
            self._place[0].run_to(self._place[1])


class _Module:
    def __init__(self, cupy: FakeCupy) -> None:
        self._cupy = cupy

    def load(self, ptx: bytes) -> None:
        assert ptx.endswith(b"\0")
        self.memory = self._cupy.here
        self.emulator = Emulator(ptx, memory=self.memory)

    def get_function(self, name: str) -> Any:
        if name not in self.emulator.kernels:
            raise CUDARuntimeError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return _Function(self._cupy, self, name)


class _Function:
    ptr = 1

    def __init__(self, cupy: FakeCupy, module: _Module, name: str) -> None:
        self._cupy, self._module, self._name = cupy, module, name

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared_mem: int = 0, *, stream: Any
    ) -> None:
        assert self._cupy.here is self._module.memory, "a kernel of another device"
        assert all(type(one) is np.uint64 for one in args)
        self._cupy.launches.append((grid, block, args))
        run = self._module.emulator.run
        given = [int(one) for one in args]
        stream.given.append(lambda: run(self._name, given, grid=grid[0], block=block[0]))
