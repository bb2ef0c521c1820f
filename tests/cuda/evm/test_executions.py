"""Batches of an engine on the accelerator: whatever runs where, results are those of the engine without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
import structlog
from vmloom import Account, MemoryState, VirtualMachine
from vmloom.accelerator import Accelerator, Capability
from vmloom.engine import ExecutionEngine
from vmloom.engine import batch as batch_module
from vmloom.engine.config import EngineConfig
from vmloom.factory import VmFactory
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig
from vmloom_cuda.device.interface import DeviceError, Function, OutOfDeviceMemory
from vmloom_cuda.device.on_host import HostAllocation, HostStream
from vmloom_cuda.evm import EvmBatch, HostDevice
from vmloom_cuda.evm.batch import Held
from vmloom_cuda.evm.executions import CALLS, NOT_YET, CallBatches
from vmloom_cuda.evm.measuring import transfer_calls
from vmloom_cuda.ptx import EmissionError
from vmloom_evm.assembly import op, pop, raw, ret_top, sload, sstore
from vmloom_evm.native.state import NativeState
from vmloom_evm.specification import Specification
from vmloom_evm.testing import CONTRACT, FUNDS, SENDER

from .conftest import BLOCK, OSAKA, PROGRAMS, VM, batch_on, columns, comparable, natively, world

PRECOMPILE = sstore(1, 1) + pop(op("STATICCALL")(op("GAS")(), 9, 0, 0, 0, 0))
CODES = {**PROGRAMS, "a precompile that escapes": PRECOMPILE, "a stack that escapes": raw("5f" * 200)}
ADDRESSES = {name: (0xE0E0 + number).to_bytes(20, "big") for number, name in enumerate(CODES)}
Batch = tuple[list[Any], list[Any]]


class WithAccelerator(VmFactory):
    """The EVM of these tests, and one accelerator."""

    def __init__(self, accelerator: CudaAccelerator) -> None:
        super().__init__()
        self.cuda = accelerator

    def get_vm(self, vm_type: str) -> VirtualMachine:
        return VM if vm_type == "evm" else super().get_vm(vm_type)

    def accelerator(self, name: str) -> Accelerator:
        assert name == "cuda"
        return self.cuda


class Flaky(HostDevice):
    """A device that fails when it is told to."""

    failing: Exception | None = None

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.name = f"processor {index}"

    def stream(self) -> HostStream:
        device = self

        class FlakyStream(HostStream):
            def launch(self, function: Function, count: int, arguments: Sequence[int], block: int) -> None:
                if device.failing is not None:
                    raise device.failing
                super().launch(function, count, arguments, block)

        return FlakyStream()


def accelerated(*devices: HostDevice) -> CudaAccelerator:
    """An accelerator whose lanes share what was compiled for the other tests."""
    accelerator = CudaAccelerator(CudaConfig(lanes=8), devices=devices or [HostDevice()])
    share_kernels(accelerator, devices)
    return accelerator


def share_kernels(accelerator: CudaAccelerator, devices: Sequence[HostDevice]) -> None:
    with accelerator.alone() as found:
        for device in found:
            accelerator.calls.on(device, OSAKA).lane_kernels = batch_on("host").lane_kernels


def everything() -> NativeState:
    """The world, with each code at an address of its own."""
    state = world()
    for name, code in CODES.items():
        state.set_account(ADDRESSES[name], Account(1, 50, bytes(code)))
        state.set_storage(ADDRESSES[name], 3, 33)
    state.commit()
    state.begin_transaction()
    return state


def engine(accelerator: CudaAccelerator, state: Any, **options: Any) -> ExecutionEngine:
    """An engine that asks the accelerator for batches of any size."""
    config = EngineConfig.model_validate(
        {"accelerators": ("cuda",), "accelerate_from": 1, "threads": 1, "history": 5000, **options}
    )
    return ExecutionEngine(WithAccelerator(accelerator), state, config=config)


def plain(name: str, number: int, gas: int = 200_000) -> tuple[bytes, dict[str, Any]]:
    """A call that columns take."""
    given = {"caller": SENDER, "data": bytes([number % 256]) * (number % 70), "gas_limit": gas, "block_context": BLOCK}
    return ADDRESSES[name], given


def random_batch(seed: int, count: int) -> Batch:
    """Neighbours that are alike, between them some that are none: unknown contracts, values, wrong items."""
    random = Random(seed)
    contracts: list[Any] = []
    data: list[Any] = []
    odds: list[tuple[Any, dict[str, Any]]] = [
        (b"\x77" * 20, {"caller": SENDER}),
        (ADDRESSES["storage"], {"caller": SENDER, "value": 5}),
        (ADDRESSES["creations"], {"caller": SENDER, "gas_limit": -1}),
        (ADDRESSES["destructions"], {"caller": "0x" + SENDER.hex()}),
        (None, {}),
    ]
    while len(contracts) < count:
        for _ in range(random.choice([1, 20, 60])):
            name = random.choice(list(CODES))
            contract, given = plain(name, random.randrange(256), random.choice([200_000, 60_000, 500]))
            contracts.append(contract)
            data.append(given)
        odd = random.choice(odds)
        contracts.append(odd[0])
        data.append(odd[1])
    return contracts, data


def untimed(found: Any) -> Any:
    """Without what depends on the clock, and on where something ran."""
    if isinstance(found, dict):
        return {key: untimed(value) for key, value in found.items() if key not in PLACE}
    return [untimed(one) for one in found] if isinstance(found, list) else found


PLACE = {"at", "seconds", "independent", "operations"}


def remembered(engine: ExecutionEngine) -> Any:
    told = engine.get_performance_metrics(), engine.get_error_analysis(), engine.get_execution_history()
    return untimed(list(told))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are offered in pieces of 64 and up, and looked at down to 4."""
    monkeypatch.setattr(batch_module, "_OFFLOADED", (64, 128))
    monkeypatch.setattr(batch_module, "_UNLIKE", 4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("devices", [1, 2])
def test_where_calls_run_does_not_show(seed: int, devices: int, small_pieces: None) -> None:
    batch, state = random_batch(seed, 300), everything()
    accelerator = accelerated(*(Flaky(number) for number in range(devices)))
    here, there = engine(accelerator, state, accelerators=()), engine(accelerator, state)
    wanted, found = here.execute_contracts_batch(*batch), there.execute_contracts_batch(*batch)
    assert list(found.states) == list(wanted.states)
    assert found.gas_used == wanted.gas_used
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert comparable(one) == comparable(other), f"item {number}"
    assert remembered(there) == remembered(here)
    assert {one.state for one in wanted} == set(found.states)
    assert len({one.error for one in wanted}) > 5

    ran = there.get_performance_metrics()["independent"]
    told = there.get_cuda_performance_metrics()
    (calls,) = told["operations"]
    assert ran["on_accelerators"] > ran["alone"] > 0 < ran["escaped"] < ran["on_accelerators"]
    assert (calls["operation"], calls["path"], calls["rows"]) == (
        CALLS,
        "host",
        ran["on_accelerators"] + ran["escaped"],
    )
    assert calls["escapes"] == ran["escaped"] == sum(calls["escape_causes"].values())
    assert set(calls["escape_causes"]) == {"a precompile or another VM", "stack"}
    assert 0 < calls["kernel_seconds"] <= calls["seconds_with_copies"] <= calls["seconds_with_packing"]
    assert told["fallbacks"] == 0
    assert json.loads(json.dumps(told)) == told
    assert 'vmloom_independent_calls_total{run="escaped"}' in there.prometheus_metrics()


def test_results_do_not_mind_what_becomes_of_the_state_and_it_is_free_afterwards(small_pieces: None) -> None:
    state = everything()
    batch = [list(one) for one in zip(*(plain(name, 1) for name in CODES), strict=True)]
    wanted = [comparable(one) for one in engine(accelerated(), state, accelerators=()).execute_contracts_batch(*batch)]
    found = engine(accelerated(), state).execute_contracts_batch(*batch)
    for address in ADDRESSES.values():
        state.set_storage(address, 3, 99)
        state.set_account(address, Account(9, 9, b"\x00"))
    assert [comparable(one) for one in found] == wanted


def test_a_state_is_uploaded_once(small_pieces: None) -> None:
    """For all parts of a batch, for the next batches, and again when it has changed."""
    state, accelerator = everything(), accelerated()
    there = engine(accelerator, state)
    batch = [list(one) for one in zip(*[plain("creations", number) for number in range(200)], strict=True)]
    (lanes,) = accelerator.calls._batches.values()
    for uploads, word in ((1, 33), (1, 33), (2, 34)):
        state.set_storage(ADDRESSES["creations"], 3, word)
        results = there.execute_contracts_batch(*batch)
        assert all(result.success for result in results)
        assert lanes.statistics.uploads == uploads
    assert there.get_performance_metrics()["independent"]["on_accelerators"] == 600


def test_a_device_that_fails_costs_nothing_but_time(small_pieces: None) -> None:
    """The other one does its share of what comes after it; where none is left, the processor does all."""
    structlog.configure()
    devices = Flaky(0), Flaky(1)
    accelerator, state = accelerated(*devices), everything()
    batch = random_batch(7, 300)
    wanted = [comparable(one) for one in engine(accelerator, state, accelerators=()).execute_contracts_batch(*batch)]
    there = engine(accelerator, state)
    with structlog.testing.capture_logs() as logs:
        for number, device in enumerate(devices):
            device.failing = DeviceError(f"Xid {number}")
            assert [comparable(one) for one in there.execute_contracts_batch(*batch)] == wanted
            told = there.get_cuda_performance_metrics()
            assert told["devices"][number]["failure"] == f"Xid {number}"
            assert told["fallbacks"] == number + 1
            assert told["operations"][0]["escape_causes"]["the device failed"] > 0
    structlog.reset_defaults()
    events = [one["event"] for one in logs if one["log_level"] == "warning"]
    assert events == ["device failed", "the processor runs what a GPU was asked for"] * 2
    assert (told["available"], told["reason"]) == (False, "Xid 0; Xid 1")
    before = there.get_performance_metrics()["independent"]["on_accelerators"]
    assert [comparable(one) for one in there.execute_contracts_batch(*batch)] == wanted
    assert there.get_performance_metrics()["independent"]["on_accelerators"] == before


def test_a_device_that_is_short_of_memory_is_asked_again(small_pieces: None) -> None:
    class Full(HostDevice):
        full = True

        def allocate(self, size: int) -> HostAllocation:
            if self.full:
                raise OutOfDeviceMemory("no memory")
            return super().allocate(size)

    device = Full()
    accelerator, state = accelerated(device), everything()
    there = engine(accelerator, state)
    batch = [list(one) for one in zip(*[plain("storage", number) for number in range(20)], strict=True)]
    assert all(result.success for result in there.execute_contracts_batch(*batch))
    told = there.get_cuda_performance_metrics()
    assert (told["available"], told["last_fallback"]) == (True, "no memory")
    device.full = False
    share_kernels(accelerator, [device])
    assert all(result.success for result in there.execute_contracts_batch(*batch))
    assert there.get_performance_metrics()["independent"]["on_accelerators"] == 20


def test_kernels_that_cannot_be_made_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(*_: Any) -> None:
        tried.append(1)
        raise EmissionError("PTX of run_lane: LLVM cannot select")

    monkeypatch.setattr(EvmBatch, "_uploaded", fail)
    there = engine(accelerated(), everything())
    batch = [list(one) for one in zip(*[plain("storage", number) for number in range(20)], strict=True)]
    for _ in range(2):
        assert all(result.success for result in there.execute_contracts_batch(*batch))
    assert len(tried) == 1
    told = there.get_performance_metrics()
    assert told["accelerator_failures"][0]["count"] == 1
    assert "LLVM cannot select" in told["accelerator_failures"][0]["reason"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: CudaAccelerator(CudaConfig(executions=False), devices=[HostDevice()]),
        lambda: CudaAccelerator(CudaConfig(), devices=[]),
    ],
)
def test_accelerators_may_be_switched_off(spoil: Callable[[], CudaAccelerator]) -> None:
    there = engine(spoil(), everything())
    contract, given = plain("storage", 1)
    assert there.execute_contracts_batch([contract] * 20, [given] * 20)[3].success
    assert "on_accelerators" not in there.get_performance_metrics()["independent"]


def test_other_states_are_left_to_the_processor() -> None:
    contract, given = plain("storage", 1)
    state = MemoryState({contract: Account(code=bytes(CODES["storage"])), SENDER: Account(balance=FUNDS)})
    there = engine(accelerated(), state)
    results = there.execute_contracts_batch([contract] * 20, [given] * 20)
    assert {result.error for result in results} == {""}
    told = there.get_performance_metrics()
    assert "on_accelerators" not in told["independent"]
    assert told["accelerator_failures"] == []


def test_calls_that_no_lane_takes_are_not_taken() -> None:
    executions = accelerated().executions(VM, everything())
    assert executions is not None
    assert executions.run(columns([PROGRAMS["storage"]], gas=1 << 63)) is None
    executions.close()


def test_what_the_state_has_yet_to_load_is_told_rightly_whenever_it_is_read(small_pieces: None) -> None:
    """Its source may be changed after the batch: what was there is in the results."""
    source = MemoryState({SENDER: Account(balance=FUNDS)})
    for name, code in CODES.items():
        source.set_account(ADDRESSES[name], Account(1, 50, bytes(code)))
        source.set_storage(ADDRESSES[name], 3, 33)
    state = NativeState(source=source)
    batch = [list(one) for one in zip(*[plain(name, 1) for name in CODES for _ in range(4)], strict=True)]
    wanted = [comparable(one) for one in engine(accelerated(), state, accelerators=()).execute_contracts_batch(*batch)]
    there = engine(accelerated(), state)
    for _ in range(2):
        found = there.execute_contracts_batch(*batch)
        source.set_storage(ADDRESSES["storage"], 3, 1)
        assert [comparable(one) for one in found] == wanted
        source.revert(0)


def test_a_call_that_takes_too_long_is_left_to_the_processor(state: NativeState) -> None:
    lanes = EvmBatch(OSAKA, HostDevice(), lanes=8, patience=50)
    lanes.lane_kernels = batch_on("host").lane_kernels
    calls = columns([PROGRAMS["all gas"], PROGRAMS["storage"]])
    assert [comparable(one) for one in lanes.call(state, calls)] == [comparable(one) for one in natively(state, calls)]
    assert dict(lanes.statistics.escapes) == {"took too long": 1}


def as_a_gpu(monkeypatch: pytest.MonkeyPatch) -> tuple[CudaAccelerator, Flaky]:
    """What says that it is one, and an accelerator that measures by two batches."""
    monkeypatch.setattr("vmloom_native.costs.MEASURED", 0.0)
    monkeypatch.setattr(CallBatches, "_new", new_on_shared_kernels)
    device = Flaky()
    device.path = "gpu"
    return CudaAccelerator(devices=[device]), device


def new_on_shared_kernels(batches: CallBatches, device: HostDevice, specification: Specification) -> EvmBatch:
    made = EvmBatch(specification, device, lanes=8)
    made.lane_kernels = batch_on("host").lane_kernels
    return made


def test_nobody_waits_until_costs_are_measured_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches run here until then, and from then on where the cost says."""
    accelerator, _ = as_a_gpu(monkeypatch)
    there = engine(accelerator, everything())
    contract, given = plain("storage", 1)
    with accelerator.alone():
        assert accelerator.calls.cost(accelerator._left()[0], OSAKA) is NOT_YET
        assert accelerator.calls.cost(accelerator._left()[0], OSAKA) is NOT_YET
    accelerator.calls.wait()
    with accelerator.alone():
        found = accelerator.calls.cost(accelerator._left()[0], OSAKA)
    assert found.fixed >= 0 < found.per_item < 1
    accelerator.calls._cost = NOT_YET
    assert there.execute_contracts_batch([contract] * 20, [given] * 20)[3].success
    assert "on_accelerators" not in there.get_performance_metrics()["independent"]
    accelerator.calls._cost = Capability(CALLS, 0.0, 1e-12)
    monkeypatch.setattr(batch_module, "_WORTH_THREADS", 0.0)
    assert there.execute_contracts_batch([contract] * 20, [given] * 20)[3].success
    assert there.get_performance_metrics()["independent"]["on_accelerators"] > 5
    assert there.get_performance_metrics()["accelerator_failures"] == []


def test_a_gpu_that_fails_when_it_is_measured_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator, device = as_a_gpu(monkeypatch)
    device.failing = DeviceError("Xid 13")
    there = engine(accelerator, everything())
    contract, given = plain("storage", 1)
    for _ in range(3):
        assert there.execute_contracts_batch([contract] * 20, [given] * 20)[3].success
        accelerator.calls.wait()
    told = there.get_cuda_performance_metrics()
    assert (told["available"], told["reason"], told["last_fallback"]) == (False, "Xid 13", "Xid 13")
    assert there.get_performance_metrics()["accelerator_failures"][0]["count"] == 1


def test_emulated_lanes_take_calls_of_an_engine(emulated: CudaAccelerator) -> None:
    state = everything()
    names = ["storage", "calls", "creations", "a stack that escapes", "destructions"]
    batch = [list(one) for one in zip(*[plain(name, 5, 60_000) for name in names], strict=True)]
    wanted = [comparable(one) for one in engine(emulated, state, accelerators=()).execute_contracts_batch(*batch)]
    there = engine(emulated, state)
    assert [comparable(one) for one in there.execute_contracts_batch(*batch)] == wanted
    (calls,) = there.get_cuda_performance_metrics()["operations"]
    assert (calls["path"], calls["rows"], calls["escape_causes"]) == ("emulated", 5, {"stack": 1})


@pytest.fixture
def emulated() -> Iterator[CudaAccelerator]:
    """An accelerator on the emulator, with the lanes of the other tests: reading their text takes seconds."""
    lanes = batch_on("emulated")
    accelerator = CudaAccelerator(devices=[lanes.device])
    accelerator.calls._batches[lanes.device.index] = lanes
    yield accelerator
    assert accelerator.performance()["fallbacks"] == 0


def test_transfers_are_on_a_state_of_their_own() -> None:
    state, calls = transfer_calls(3)
    assert len(calls) == 3
    with Held(state) as held:
        assert held.image is held.image
    state.set_account(CONTRACT, Account(code=bytes(ret_top(sload(1)))))  # it is free again
