"""Why a GPU cannot be used, in the order in which it is asked; and which can."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_cuda import presence, status
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig

from .device.fake_cupy import CUDARuntimeError, FakeCupy


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    """A driver and a CuPy with two GPUs."""
    made = FakeCupy(2)
    installed(monkeypatch, 13000, made)
    return made


def installed(monkeypatch: pytest.MonkeyPatch, driver: int, cupy: Any) -> None:
    for module in (status, presence):
        monkeypatch.setattr(module, "driver_version", lambda: driver)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = presence.importlib.util.find_spec
    monkeypatch.setattr(
        presence.importlib.util, "find_spec", lambda name: (cupy and object()) if name == "cupy" else found(name)
    )


def reason(config: CudaConfig | None = None) -> str:
    told = CudaAccelerator(config).status()
    assert not told.available
    return told.reason


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # which is not imported where there is none
    monkeypatch.setattr(presence.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert (
        reason() == "no NVIDIA driver is installed; into a container it is handed with the GPU (docker run --gpus all)"
    )
    assert CudaAccelerator().capabilities() == {}


def test_a_driver_that_cannot_be_asked_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """Without the function."""

    monkeypatch.setattr(presence.ctypes, "CDLL", lambda _: Library())
    assert presence.driver_version() == 0


def test_a_driver_tells_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def cuDriverGetVersion(version: Any) -> int:
            version._obj.value = 12040
            return 0

    monkeypatch.setattr(presence.ctypes, "CDLL", lambda _: Library())
    assert presence.driver_version() == 12040


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (11080, "the NVIDIA driver is for CUDA 11.8, and CUDA 12 is the least: update it to 525 or later"),
        (12040, 'CuPy is not installed; the NVIDIA driver is for CUDA 12.4: pip install "vmloom-cuda[cuda12]"'),
        (13000, 'CuPy is not installed; the NVIDIA driver is for CUDA 13.0: pip install "vmloom-cuda[cuda13]"'),
        (14010, 'CuPy is not installed; the NVIDIA driver is for CUDA 14.1: pip install "vmloom-cuda[cuda13]"'),
    ],
)
def test_no_wheel_for_the_driver(monkeypatch: pytest.MonkeyPatch, driver: int, expected: str) -> None:
    installed(monkeypatch, driver, None)
    assert reason() == expected


def test_a_wheel_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, 13000, object())
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert reason().startswith("CuPy cannot be imported (")
    assert reason().endswith('pip install "vmloom-cuda[cuda13]"')


def test_a_wheel_for_another_driver(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    cupy.cuda.runtime.getDeviceCount = fail
    for module in (status, presence):
        monkeypatch.setattr(module, "driver_version", lambda: 12040)
    assert "cudaErrorInsufficientDriver" in reason()
    assert 'the NVIDIA driver is for CUDA 12.4: pip install "vmloom-cuda[cuda12]"' in reason()


def test_no_card(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    cupy.memories.clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert reason() == "the NVIDIA driver finds no GPU: see what nvidia-smi says"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert reason() == "the NVIDIA driver shows no GPU, as CUDA_VISIBLE_DEVICES is '': unset it, or let it name one"

    def fail() -> int:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    cupy.cuda.runtime.getDeviceCount = fail
    assert reason().startswith("the NVIDIA driver shows no GPU")


def test_a_wheel_for_a_later_cuda_is_named(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "is_installed", lambda name: name == "cupy-cuda13x")
    assert CudaAccelerator().status().available
    monkeypatch.setattr(presence, "driver_version", lambda: 12080)
    assert reason() == (
        "cupy-cuda13x is installed, and the NVIDIA driver is for CUDA 12.8: pip uninstall cupy-cuda13x && "
        'pip install "vmloom-cuda[cuda12]", or update the driver'
    )


def test_what_is_told_at_once_is_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "driver_version", lambda: 0)
    assert presence.absence({}) == reason()
    assert presence.absence({"emulated": True}) == presence.absence({"emulated": "true"}) == ""
    assert not presence.is_installed("no-such-package-anywhere")


def test_cards_that_are_too_old(cupy: FakeCupy) -> None:
    cupy.capability = (7, 0)
    assert reason() == (
        "GPU 0 (Fake 0) has compute capability 7.0, and 7.5 (Turing) is the least; "
        "GPU 1 (Fake 1) has compute capability 7.0, and 7.5 (Turing) is the least"
    )
    assert (
        reason(CudaConfig(devices=(1,))) == "GPU 1 (Fake 1) has compute capability 7.0, and 7.5 (Turing) is the least"
    )


def test_a_number_that_no_card_has(cupy: FakeCupy) -> None:
    assert reason(CudaConfig(devices=(0, 2))) == "[accelerator.cuda] devices: there is no GPU 2, only 0 to 1"


def test_a_driver_that_fails_in_a_way_of_its_own(cupy: FakeCupy) -> None:
    def fail(number: int) -> Any:
        raise SystemError("it is on fire")

    cupy.cuda.runtime.getDeviceProperties = fail
    assert reason() == "the GPU cannot be asked: SystemError: it is on fire"


def test_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence.importlib.util, "find_spec", lambda _: None)
    assert reason() == "NumPy is not installed: pip install numpy"


def test_all_cards_are_used_unless_some_are_chosen(cupy: FakeCupy) -> None:
    told = CudaAccelerator().status()
    assert (told.available, told.device, told.path) == (True, "Fake 0, Fake 1", "gpu")
    assert CudaAccelerator(CudaConfig(devices=(1,))).status().device == "Fake 1"
    assert CudaAccelerator(CudaConfig(devices=(1, 1))).status().device == "Fake 1"


def test_the_emulator_needs_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "driver_version", lambda: 0)
    settings = Settings({"accelerator": {"cuda": {"emulated": True, "devices": [0, 1]}}})
    told = VmFactory(settings).accelerator("cuda").status()
    assert (told.available, told.path) == (True, "emulated")
    assert told.device == "emulated device 0, emulated device 1"


def test_it_is_looked_for_once_and_again_after_a_reset(cupy: FakeCupy) -> None:
    memories, cupy.memories = cupy.memories, []
    accelerator = CudaAccelerator()
    assert not accelerator.status().available
    cupy.memories = memories
    assert not accelerator.status().available
    accelerator.reset()
    assert accelerator.status().available
