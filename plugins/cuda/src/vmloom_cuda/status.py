"""Which devices can be used, or why none can: asked step by step, the cheap questions first.

Without a driver nothing is imported, so that listing plugins stays quick.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .config import CudaConfig
from .presence import absence, driver_version, named, way_out

if TYPE_CHECKING:
    from .device.by_cupy import CupyDevice
    from .device.interface import Device

OLDEST: Final = 75
"""Compute capability, times ten, of the oldest GPUs: what PTX is emitted for, see `vmloom_cuda.ptx`."""
_NO_DEVICE: Final = "cudaErrorNoDevice"
"""What CUDA's runtime says where the driver is new enough, and there is no GPU."""
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Found:
    """The devices; none, and then the reason."""

    devices: tuple[Device, ...] = ()
    reason: str = ""


class Unusable(Exception):
    """No device can be used. The message is the reason, with the way out."""


def find(config: CudaConfig) -> Found:
    """The devices of a configuration. Never raises: drivers may fail in any way."""
    try:
        reason = absence({"emulated": config.emulated})
        if reason:
            raise Unusable(reason)
        if config.emulated:
            return Found(_emulated(config))
        return Found(_usable(_cupy(), config))
    except Unusable as unusable:
        return Found(reason=str(unusable))
    except Exception as error:  # of a driver, or of a package that is half installed
        return Found(reason=f"the GPU cannot be asked: {type(error).__name__}: {error}")


def _emulated(config: CudaConfig) -> tuple[Device, ...]:
    from .device.emulated import EmulatedDevice

    return tuple(EmulatedDevice(number, config.emulated_memory) for number in config.devices or (0,))


def _cupy() -> Any:
    """The module, which `absence` has nothing against. Raises `Unusable`."""
    driver = driver_version()
    try:
        cupy = importlib.import_module("cupy")
        count = cupy.cuda.runtime.getDeviceCount()
    except ImportError as error:
        raise Unusable(f"CuPy cannot be imported ({error}): {way_out(driver)}") from error
    except RuntimeError as error:
        if _NO_DEVICE in str(error):
            raise Unusable(_none()) from error
        raise Unusable(
            f"CuPy finds no GPU ({error}); the NVIDIA driver is for CUDA {named(driver)}: {way_out(driver)}"
        ) from error
    if count == 0:
        raise Unusable(_none())
    return cupy


def _none() -> str:
    hidden = os.environ.get(_VISIBLE)
    if hidden is not None:
        return f"the NVIDIA driver shows no GPU, as {_VISIBLE} is {hidden!r}: unset it, or let it name one"
    return "the NVIDIA driver finds no GPU: see what nvidia-smi says"


def _usable(cupy: Any, config: CudaConfig) -> tuple[Device, ...]:
    """Those that are asked for, or all that are new enough. Raises `Unusable`."""
    from .device.by_cupy import CupyDevice

    count = cupy.cuda.runtime.getDeviceCount()
    if config.devices is None:
        found = [CupyDevice(cupy, number) for number in range(count)]
        usable = tuple(device for device in found if device.capability >= OLDEST)
        if not usable:
            raise Unusable("; ".join(_too_old(device) for device in found))
        return usable
    beyond = [number for number in config.devices if number >= count]
    if beyond:
        raise Unusable(f"[accelerator.cuda] devices: there is no GPU {beyond[0]}, only 0 to {count - 1}")
    chosen = tuple(CupyDevice(cupy, number) for number in dict.fromkeys(config.devices))
    for device in chosen:
        if device.capability < OLDEST:
            raise Unusable(_too_old(device))
    return chosen


def _too_old(device: CupyDevice) -> str:
    has, needs = (f"{one // 10}.{one % 10}" for one in (device.capability, OLDEST))
    return f"GPU {device.index} ({device.name}) has compute capability {has}, and {needs} (Turing) is the least"
