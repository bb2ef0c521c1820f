"""The accelerator `cuda`: sharing a batch, memory that runs out, devices that fail, what it costs and what it tells."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
import structlog
from pydantic import ValidationError
from vmloom.accelerator import Accelerator, Capability
from vmloom.engine import ExecutionEngine
from vmloom.engine.config import EngineConfig
from vmloom.factory import VmFactory
from vmloom.hashing import keccak256
from vmloom.settings import Settings
from vmloom_cuda import config as configuration
from vmloom_cuda import ptx
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig
from vmloom_cuda.device.emulated import EmulatedDevice, EmulatedStream
from vmloom_cuda.device.interface import Array, DeviceError, Function, Occupancy
from vmloom_cuda.operations import catalogue
from vmloom_cuda.operations.batch import rows_within, shares
from vmloom_native import costs


def rows(count: int, size: int = 64) -> Array:
    return np.frombuffer(Random(count).randbytes(count * size), np.uint8).reshape(count, size)


def digests(column: Array) -> list[bytes]:
    return [hashlib.sha256(row.tobytes()).digest() for row in column]


def sha256(accelerator: CudaAccelerator, column: Any) -> list[bytes]:
    (found,) = accelerator.run("sha256", [column])
    return [row.tobytes() for row in found]


class Unreliable(EmulatedDevice):
    """A device that fails when it is told to, as a GPU does: at the end of the work that was wrong."""

    failing: str = ""
    path = "gpu"

    def stream(self) -> Any:
        return _UnreliableStream(self)


class _UnreliableStream(EmulatedStream):
    def __init__(self, device: Unreliable) -> None:
        super().__init__(device._memory)
        self._device = device

    def synchronize(self) -> None:
        if self._device.failing:
            raise DeviceError(self._device.failing)


# Sharing


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_devices_share_a_batch(count: int) -> None:
    accelerator = CudaAccelerator(devices=[EmulatedDevice(number) for number in range(3)])
    column = rows(count)
    assert sha256(accelerator, column) == digests(column)
    told = accelerator.performance()
    assert told["fallbacks"] == 0
    assert [device["failure"] for device in told["devices"]] == [""] * 3
    assert told["operations"][0]["parts"] == min(count, 3)


def test_a_row_that_weighs_as_much_as_all_others_is_a_share() -> None:
    weights = np.array([0, 1, 2, 3, 1000], np.uint64)
    assert list(shares(weights, 4, 2)) == [(0, 3), (3, 4)]
    assert list(shares(np.array([7, 1007, 1008, 1009], np.uint64), 3, 2)) == [(0, 1), (1, 3)]
    assert list(shares(10, 5, 2)) == [(0, 2), (2, 5)]
    assert list(shares(10, 1, 4)) == [(0, 1)]
    assert list(shares(10, 0, 2)) == []


def test_as_many_rows_as_have_room_but_one_at_least() -> None:
    assert rows_within(10, 0, 100, 55) == 5
    assert rows_within(10, 98, 100, 55) == 2
    assert rows_within(10, 0, 100, 5) == 1
    weights = np.array([100, 110, 115, 200], np.uint64)
    assert [rows_within(weights, 0, 3, room) for room in (5, 10, 15, 99, 100, 1000)] == [1, 1, 2, 2, 3, 3]


def test_threads_share_the_devices() -> None:
    accelerator = CudaAccelerator(devices=[EmulatedDevice(0), EmulatedDevice(1)])
    columns, found = [rows(20 + number) for number in range(4)], {}

    def run(number: int) -> None:
        found[number] = sha256(accelerator, columns[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == [digests(column) for column in columns]
    assert accelerator.performance()["fallbacks"] == 0


# Memory


def test_a_batch_larger_than_the_memory_runs_in_parts() -> None:
    accelerator = CudaAccelerator(devices=[EmulatedDevice(memory=8000)])
    column = rows(150)
    assert sha256(accelerator, column) == digests(column)
    told = accelerator.performance()["operations"][0]
    assert told["fallbacks"] == 0
    assert told["parts"] > 2


class Crowded(EmulatedDevice):
    """A device that says it has more than it has: others took it meanwhile."""

    def memory(self) -> Any:
        return type(super().memory())(1 << 40, 1 << 40)


def test_parts_are_halved_until_they_have_room() -> None:
    accelerator = CudaAccelerator(devices=[Crowded(memory=8000)])
    column = rows(150)
    assert sha256(accelerator, column) == digests(column)
    told = accelerator.performance()["operations"][0]
    assert told["fallbacks"] == 0
    assert told["halvings"] >= 2
    assert told["parts"] > 2


def test_a_row_that_has_no_room_is_for_the_host_and_the_device_goes_on() -> None:
    device = EmulatedDevice(memory=8000)
    accelerator = CudaAccelerator(devices=[device])
    assert sha256(accelerator, rows(1, 8000)) == digests(rows(1, 8000))
    told = accelerator.performance()
    assert told["fallbacks"] == 1
    assert "8000 bytes asked for" in told["last_fallback"]
    assert accelerator.status().available
    assert sha256(accelerator, rows(2)) == digests(rows(2))
    assert accelerator.performance()["fallbacks"] == 1


def test_nothing_is_kept_of_a_batch() -> None:
    device = EmulatedDevice()
    accelerator = CudaAccelerator(devices=[device])
    sha256(accelerator, rows(5))
    used = device._memory.used
    sha256(accelerator, rows(50))
    accelerator.run("sha256", [rows(9).reshape(-1), np.array([0, 5, 300], np.uint64)])
    assert device._memory.used < used + 4096  # the constants of another module


# Devices that fail


def test_others_do_what_a_device_failed_at() -> None:
    good, bad = Unreliable(0), Unreliable(1)
    accelerator = CudaAccelerator(devices=[good, bad])
    bad.failing = "cudaErrorIllegalAddress"
    column = rows(20)
    assert sha256(accelerator, column) == digests(column)
    told = accelerator.performance()
    assert told["fallbacks"] == 0
    assert [device["failure"] for device in told["devices"]] == ["", "cudaErrorIllegalAddress"]
    assert accelerator.status().device == good.name


def test_the_host_does_what_all_devices_failed_at_until_a_reset() -> None:
    device = Unreliable(0)
    accelerator = CudaAccelerator(devices=[device])
    device.failing = "cudaErrorLaunchFailure"
    column = rows(20)
    assert sha256(accelerator, column) == digests(column)
    assert accelerator.status().reason == "cudaErrorLaunchFailure"
    assert not accelerator.status().available
    assert accelerator.capabilities() == {}
    device.failing = ""
    assert sha256(accelerator, column) == digests(column)
    told = accelerator.performance()
    assert (told["fallbacks"], told["last_fallback"]) == (2, "cudaErrorLaunchFailure")
    assert told["operations"][0]["batches"] == 0
    accelerator.reset()
    assert accelerator.status().available
    assert sha256(accelerator, column) == digests(column)
    told = accelerator.performance()
    assert (told["fallbacks"], told["operations"][0]["batches"]) == (0, 1)


def test_what_is_on_a_device_that_failed_is_fetched_for_the_host() -> None:
    device = Unreliable(0)
    accelerator = CudaAccelerator(devices=[device, Unreliable(1)])
    column = rows(3)
    (there,) = accelerator.to_device(column)
    device.failing = "cudaErrorLaunchFailure"
    accelerator.run("sha256", [rows(4)])
    device.failing = ""  # copies still work
    (found,) = accelerator.run("sha256", [there])
    assert isinstance(found, np.ndarray)
    assert [row.tobytes() for row in found] == digests(column)
    assert accelerator.performance()["fallbacks"] == 1


def test_a_failure_is_logged() -> None:
    device = Unreliable(0)
    accelerator = CudaAccelerator(devices=[device])
    device.failing = "cudaErrorECCUncorrectable"
    with structlog.testing.capture_logs() as logs:
        sha256(accelerator, rows(1))
    structlog.reset_defaults()
    assert [(one["event"], one["log_level"]) for one in logs] == [
        ("device failed", "warning"),
        ("the processor runs what a GPU was asked for", "warning"),
    ]
    assert logs[0]["reason"] == logs[1]["reason"] == "cudaErrorECCUncorrectable"


def test_nothing_is_written_where_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    device = Unreliable(0)
    accelerator = CudaAccelerator(devices=[device])
    device.failing = "cudaErrorECCUncorrectable"
    sha256(accelerator, rows(1))
    assert capfd.readouterr() == ("", "")


def test_kernels_that_cannot_be_made_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class Module:
        @property
        def ptx(self) -> bytes:
            tried.append(1)
            raise ptx.EmissionError("PTX of digest: LLVM cannot select")

    module = Module()
    monkeypatch.setattr(catalogue.modules, "digests_of_rows", lambda _name, _size: module)
    accelerator = CudaAccelerator(devices=[EmulatedDevice()])
    assert sha256(accelerator, rows(3)) == digests(rows(3))
    assert sha256(accelerator, rows(3)) == digests(rows(3))
    assert len(tried) == 1
    assert accelerator.performance()["last_fallback"] == "PTX of digest: LLVM cannot select"
    assert accelerator.status().available


def test_what_is_no_failure_of_a_device_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(EmulatedStream, "launch", fail)
    with pytest.raises(ZeroDivisionError):
        CudaAccelerator(devices=[EmulatedDevice()]).run("sha256", [rows(1)])


def test_columns_go_to_no_device_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_cuda import presence

    monkeypatch.setattr(presence, "driver_version", lambda: 0)
    accelerator = CudaAccelerator()
    with pytest.raises(DeviceError, match="there is no device: no NVIDIA driver"):
        accelerator.to_device(rows(1))
    assert sha256(accelerator, rows(1)) == digests(rows(1))


def test_unknown_operation() -> None:
    with pytest.raises(KeyError):
        CudaAccelerator(CudaConfig(emulated=True)).run("u256_sqrt", [])


# What it costs


class TimedFunction:
    def __init__(self, name: str) -> None:
        self.name = name

    def occupancy(self, block: int) -> Occupancy:
        return Occupancy(block=block)


class Timed(EmulatedDevice):
    """A device whose work takes a time that is known: so much for a batch, and for each row."""

    path = "gpu"

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock = clock

    def load(self, _ptx: bytes) -> Any:
        return self

    def function(self, name: str) -> Any:
        return TimedFunction(name)

    def stream(self) -> Any:
        clock = self.clock

        class Stream(EmulatedStream):
            def launch(self, function: Function, count: int, arguments: Sequence[int], block: int) -> None:
                clock[0] += 1e-4 + 1e-6 * count

        return Stream(self._memory)


def test_costs_are_those_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(costs.time, "perf_counter", lambda: clock[0])
    accelerator = CudaAccelerator(devices=[Timed(clock)])
    cost = accelerator.capabilities()["u256_add"]
    assert cost.fixed == pytest.approx(1e-4, rel=0.01)
    assert cost.per_item == pytest.approx(1e-6, rel=0.01)
    assert accelerator.capabilities()["keccak256"].item_size == 64
    assert accelerator.capabilities()["u256_add"] is cost


def test_what_is_emulated_is_told_to_cost_nothing() -> None:
    accelerator = CudaAccelerator(CudaConfig(emulated=True))
    assert accelerator.capabilities()["keccak256"] == Capability("keccak256", 0.0, 0.0, 64)
    assert accelerator.performance()["operations"] == []


# What it tells


def test_it_tells_where_the_time_went() -> None:
    accelerator = CudaAccelerator(CudaConfig(block=64), devices=[EmulatedDevice()])
    accelerator.run("sha256", [rows(10)])
    accelerator.run("sha256", [rows(20)])
    told = accelerator.performance()
    (one,) = told["operations"]
    assert (one["operation"], one["path"]) == ("sha256", "emulated")
    assert (one["batches"], one["rows"], one["launches"], one["kernels"]) == (2, 30, 2, ["digest_of_size"])
    assert (one["bytes_in"], one["bytes_out"]) == (30 * 64, 30 * 32)
    assert 0 < one["kernel_seconds"] < one["seconds_with_copies"] < one["seconds"]
    assert told["kernels"]["sha256.digest_of_size"]["block"] == 64
    assert (told["fallbacks"], told["escapes"], told["last_fallback"]) == (0, 0, "")
    assert json.loads(json.dumps(told)) == told


def test_escapes_are_counted() -> None:
    accelerator = CudaAccelerator(devices=[EmulatedDevice()])
    accelerator.metrics.add_escapes("evm", {"memory": 3})
    accelerator.metrics.add_escapes("evm", {"memory": 1, "stack": 3})
    told = accelerator.performance()
    assert told["escapes"] == 7
    assert told["operations"][0]["escape_causes"] == {"memory": 4, "stack": 3}


# Configuration


@pytest.mark.parametrize(
    "values",
    [
        {"block": 100},
        {"block": 256},
        {"block": 0},
        {"memory_fraction": 0},
        {"devices": ()},
        {"devices": (-1,)},
        {"x": 1},
    ],
)
def test_configurations_that_make_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CudaConfig(**values)


def test_blocks_are_as_large_as_kernels_are_compiled_for() -> None:
    assert configuration.BLOCK == ptx.BLOCK


def test_the_factory_makes_it_with_its_section() -> None:
    made = VmFactory(Settings({"accelerator": {"cuda": {"emulated": True, "block": 32}}})).accelerator("cuda")
    assert isinstance(made, CudaAccelerator)
    assert isinstance(made, Accelerator)
    assert made.config.block == 32
    assert made.name == "cuda"


# Through the engine


def engine(accelerators: tuple[str, ...] = ("cuda",)) -> ExecutionEngine:
    factory = VmFactory(Settings({"accelerator": {"cuda": {"emulated": True}}}))
    return ExecutionEngine(factory, config=EngineConfig(accelerators=accelerators))


def test_the_engine_runs_operations_on_it_and_tells_what_they_took() -> None:
    made = engine()
    items: list[dict[str, Any]] = [{"operation": "keccak256", "data": bytes([number] * 40)} for number in range(40)]
    items += [{"operation": "blake2b_256", "data": bytes([number] * 2000)} for number in range(40)]
    found = made.execute_operations_batch(items)
    assert {one["path"] for one in found} == {"cuda"}
    assert [one["result"] for one in found[:40]] == [keccak256(bytes([number] * 40)) for number in range(40)]
    longer = [hashlib.blake2b(bytes([number] * 2000), digest_size=32).digest() for number in range(40)]
    assert [one["result"] for one in found[40:]] == longer
    told = made.get_cuda_performance_metrics()
    assert (told["available"], told["reason"], told["path"]) == (True, "", "emulated")
    assert told["device"] == "emulated device 0"
    assert [one["operation"] for one in told["operations"]] == ["blake2b_256", "keccak256"]
    for one in told["operations"]:
        assert one["rows"] == 40
        assert 0 < one["kernel_seconds"] < one["seconds_with_copies"] < one["seconds"] < one["seconds_with_packing"]
    assert told["fallbacks"] == 0


def test_the_engine_tells_that_a_device_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise DeviceError("emulated device: on purpose")

    monkeypatch.setattr(EmulatedStream, "launch", fail)
    made = engine()
    found = made.execute_operations_batch([{"operation": "sha256", "data": b"some"}] * 20)
    assert {one["result"] for one in found} == {hashlib.sha256(b"some").digest()}
    told = made.get_cuda_performance_metrics()
    assert (told["available"], told["fallbacks"]) == (False, 1)
    assert told["reason"] == told["last_fallback"] == "emulated device: on purpose"


def test_a_batch_of_somebody_else_is_theirs_when_it_fails() -> None:
    accelerator = CudaAccelerator(devices=[EmulatedDevice(memory=8000)])
    known = catalogue.operations({})
    (found,) = accelerator.run_batch("mine", known["sha256"].batch([rows(2)]))
    assert [row.tobytes() for row in found] == digests(rows(2))
    with pytest.raises(DeviceError, match="8000 bytes asked for"):
        accelerator.run_batch("mine", known["sha256"].batch([rows(1, 8000)]))
    told = accelerator.performance()
    assert [(one["operation"], one["batches"], one["fallbacks"]) for one in told["operations"]] == [("mine", 1, 1)]
