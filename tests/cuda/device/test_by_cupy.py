"""What a GPU is given through CuPy, against a `cupy` that runs it in the emulator, and not before it has to."""

from __future__ import annotations

import hashlib
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig
from vmloom_cuda.device import by_cupy
from vmloom_cuda.device.by_cupy import CupyDevice
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.device.interface import DeviceError, Occupancy, OutOfDeviceMemory
from vmloom_cuda.device.on_host import HostDevice
from vmloom_cuda.kernels import modules
from vmloom_native.cpu import CpuAccelerator

from .fake_cupy import FakeArray, FakeCupy


@pytest.fixture
def cupy() -> FakeCupy:
    return FakeCupy()


@pytest.fixture
def device(cupy: FakeCupy) -> CupyDevice:
    return CupyDevice(cupy, 0)


def rows(count: int, size: int = 64) -> Any:
    return np.frombuffer(Random(count).randbytes(count * size), np.uint8).reshape(count, size)


def test_it_says_what_it_is(device: CupyDevice, cupy: FakeCupy) -> None:
    assert (device.name, device.path, device.capability) == ("Fake 0", "gpu", 90)
    told = device.describe()
    assert told["compute_capability"] == "9.0"
    assert (told["multiprocessors"], told["driver"], told["cupy"]) == (4, 13000, "14.fake")
    assert device.memory().total == cupy.memories[0].capacity


def test_bytes_come_back_as_they_went(device: CupyDevice) -> None:
    stream, memory = device.stream(), device.allocate(1000)
    source, target = np.arange(1000, dtype=np.uint64).astype(np.uint8), np.zeros(1000, np.uint8)
    stream.copy_in(memory.address, source)
    stream.copy_out(target, memory.address)
    stream.synchronize()
    assert (target == source).all()


def test_a_source_may_change_once_it_was_given(device: CupyDevice) -> None:
    stream, memory = device.stream(), device.allocate(16)
    source, target = np.full(16, 7, np.uint8), np.zeros(16, np.uint8)
    stream.copy_in(memory.address, source)
    source[:] = 9
    stream.copy_out(target, memory.address)
    stream.synchronize()
    assert (target == 7).all()


@pytest.mark.parametrize("size", [1, 63, 64, 65, 64 * 4, 64 * 4 + 1, 64 * 9 + 5])
def test_copies_go_piece_by_piece(
    device: CupyDevice, cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(by_cupy, "STAGE", 64)
    stream, memory = device.stream(), device.allocate(size)
    source, target = rows(1, size)[0], np.zeros(size, np.uint8)
    # No piece may be taken for pinned memory, as pieces that are larger than a buffer are asked about.
    stream.copy_in(memory.address, source)
    stream.copy_out(target, memory.address)
    stream.synchronize()
    assert (target == source).all()
    pieces = [64] * (size // 64) + ([size % 64] if size % 64 else [])
    assert cupy.copies == {"in": pieces, "out": pieces}
    assert len(cupy.pinned) <= by_cupy.STAGES


def test_pinned_memory_needs_no_detour(device: CupyDevice, cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_cupy, "STAGE", 64)
    stream, memory = device.stream(), device.allocate(1000)
    source, target = device.pinned(1000), device.pinned(1000)
    source[:] = 5
    target[:] = 0
    stream.copy_in(memory.address, source)
    stream.copy_out(target, memory.address)
    assert cupy.copies == {"in": [1000], "out": [1000]}
    stream.synchronize()
    assert (target == 5).all()


def test_memory_is_filled(device: CupyDevice) -> None:
    stream, memory, target = device.stream(), device.allocate(8), np.zeros(8, np.uint8)
    stream.fill(memory.address, 3, 8)
    stream.copy_out(target, memory.address)
    stream.synchronize()
    assert (target == 3).all()


def test_a_kernel_gets_rows_grid_and_arguments(device: CupyDevice, cupy: FakeCupy) -> None:
    column = rows(130)
    function = device.load(modules.digests_of_words("sha256").ptx).function("digest_of_size")
    stream, data, output = device.stream(), device.allocate(column.nbytes), device.allocate(130 * 32)
    target = np.zeros((130, 32), np.uint8)
    stream.copy_in(data.address, column)
    began = stream.record()
    stream.launch(function, 130, [data.address, 64, output.address], 64)
    ended = stream.record()
    stream.copy_out(target, output.address)
    stream.synchronize()
    assert [one.tobytes() for one in target] == [hashlib.sha256(row.tobytes()).digest() for row in column]
    ((grid, block, given),) = cupy.launches
    assert (grid, block) == ((3,), (64,))
    assert [int(one) for one in given] == [130, data.address, 64, output.address]
    assert ended.seconds_since(began) == pytest.approx(1e-3)
    assert function.occupancy(128) == Occupancy(registers=96, local_bytes=208, blocks=5, block=128)


def test_no_rows_are_no_launch(device: CupyDevice, cupy: FakeCupy) -> None:
    function = device.load(modules.words().ptx).function("u256_add")
    device.stream().launch(function, 0, [0, 0, 0], 128)
    assert cupy.launches == []


def test_more_rows_than_a_launch_has_are_refused(device: CupyDevice) -> None:
    function = device.load(modules.words().ptx).function("u256_add")
    with pytest.raises(DeviceError, match="more than one launch has"):
        device.stream().launch(function, 1 << 40, [0, 0, 0], 128)


def test_memory_that_is_not_there(device: CupyDevice) -> None:
    with pytest.raises(OutOfDeviceMemory, match=r"GPU 0 \(Fake 0\)"):
        device.allocate(1 << 40)


def test_memory_that_was_let_go_of_is_free(device: CupyDevice) -> None:
    before = device.memory().free
    memory = device.allocate(5000)
    assert device.memory().free == before - 5000
    memory.release()
    memory.release()
    assert device.memory().free == before


def test_what_the_driver_raises_is_told(device: CupyDevice, cupy: FakeCupy) -> None:
    module = device.load(modules.words().ptx)
    with pytest.raises(DeviceError, match="CUDA_ERROR_NOT_FOUND"):
        module.function("u256_sqrt")
    stream, memory = device.stream(), device.allocate(8)
    stream.copy_in(memory.address + 4, np.zeros(8, np.uint8))
    with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"):
        stream.synchronize()
    cupy.broken[0] = "CUDA_ERROR_OUT_OF_MEMORY: out of memory"
    with pytest.raises(OutOfDeviceMemory):
        device.memory()


@pytest.mark.parametrize(
    ("name", "count", "devices", "part_bytes"),
    [
        ("keccak256", 150, 1, 1 << 26),
        ("keccak256", 150, 2, 2000),
        ("u256_mulmod", 150, 3, 2000),
        ("merkle_sha256", 5, 2, 5000),
        ("ecrecover", 1, 2, 1 << 26),
    ],
)
def test_operations_through_it(name: str, count: int, devices: int, part_bytes: int) -> None:
    cupy = FakeCupy(devices)
    config = CudaConfig(part_bytes=part_bytes, block=32)
    accelerator = CudaAccelerator(config, devices=[CupyDevice(cupy, number) for number in range(devices)])
    columns = accelerator._operations[name].on_host.sample(count)
    found, expected = accelerator.run(name, columns), CpuAccelerator().run(name, columns)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert (one == other).all()
    told = accelerator.performance()
    assert told["fallbacks"] == 0, told["last_fallback"]
    assert [device["failure"] for device in told["devices"]] == [""] * devices
    (operation,) = told["operations"]
    assert (operation["path"], operation["rows"], operation["batches"]) == ("gpu", count, 1)
    if part_bytes > 5000:
        assert operation["parts"] == 1
    else:
        assert operation["parts"] > devices
    assert operation["kernel_seconds"] == pytest.approx(1e-3 * operation["launches"])
    assert operation["bytes_in"] == sum(cupy.copies["in"])
    assert operation["bytes_out"] == sum(cupy.copies["out"])
    (_, block, _) = cupy.launches[0]
    assert block == (32,)


def test_columns_stay_on_it(device: CupyDevice) -> None:
    accelerator = CudaAccelerator(devices=[device])
    column = rows(3)
    (there,) = accelerator.to_device(column)
    (digests,) = accelerator.run("sha256", [there])
    assert [one.tobytes() for one in digests.to_host()] == [hashlib.sha256(row.tobytes()).digest() for row in column]


def test_arrays_of_others_are_used_where_they_are(cupy: FakeCupy, device: CupyDevice) -> None:
    """After the work that was given to their streams, and as long as the column lives."""
    accelerator, values = CudaAccelerator(devices=[device]), rows(3)
    array = FakeArray(cupy, values)
    column = device.adopt(array)
    assert (column.address, column.dtype, column.shape) == (array.data.ptr, np.uint8, (3, 64))
    used = cupy.memories[0].used
    del array
    assert cupy.memories[0].used == used
    (digests,) = accelerator.run("sha256", [column])
    assert [one.tobytes() for one in digests.to_host()] == [hashlib.sha256(row.tobytes()).digest() for row in values]
    assert cupy.copies["in"] == []
    used = cupy.memories[0].used
    column.allocation.release()
    assert cupy.memories[0].used < used


def test_arrays_that_are_elsewhere_or_have_gaps_are_refused() -> None:
    cupy = FakeCupy(2)
    device = CupyDevice(cupy, 0)
    for array in (rows(3), FakeArray(cupy, rows(3), number=1), bytes(3)):
        with pytest.raises(ValueError, match="is not on GPU 0: hand in what is there"):
            device.adopt(array)
    with pytest.raises(ValueError, match="FakeArray has gaps"):
        device.adopt(FakeArray(cupy, rows(3), is_contiguous=False))
    with pytest.raises(ValueError, match="is not on emulated device 0"):
        EmulatedDevice().adopt(rows(3))
    with pytest.raises(ValueError, match="is not on this processor"):
        HostDevice().adopt(FakeArray(cupy, rows(3)))
    with pytest.raises(ValueError, match="ndarray has gaps"):
        HostDevice().adopt(rows(3).copy()[:, ::2])


def test_results_in_pinned_memory_need_no_detour(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_cupy, "STAGE", 64)
    accelerator = CudaAccelerator(CudaConfig(pinned_results=True), devices=[CupyDevice(cupy, 0)])
    column = accelerator.pinned(10, 64)
    column[:] = rows(10)
    (found,) = accelerator.run("sha256", [column])
    assert cupy.copies == {"in": [640], "out": [320]}
    assert [one.tobytes() for one in found] == [hashlib.sha256(row.tobytes()).digest() for row in column]


def test_all_that_the_stand_in_has_is_in_cupy() -> None:
    """So that no test passes by a name that CuPy does not know."""
    real = pytest.importorskip("cupy", reason="CuPy is not installed, whose names are compared")

    def missing(stand_in: Any, package: Any, path: str) -> list[str]:
        found = []
        for name, value in vars(stand_in).items():
            if not hasattr(package, name):
                found.append(f"{path}.{name}")
            elif isinstance(value, SimpleNamespace):
                found += missing(value, getattr(package, name), f"{path}.{name}")
        return found

    assert missing(FakeCupy().cuda, real.cuda, "cupy.cuda") == []
    assert hasattr(real, "get_default_memory_pool")
    assert hasattr(real, "from_dlpack")
    assert issubclass(real.cuda.memory.OutOfMemoryError, MemoryError)
