"""Which devices can be used, or why none can: asked step by step, the cheap questions first.

Without a driver nothing is imported, so that listing plugins stays quick.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .config import CudaConfig

if TYPE_CHECKING:
    from .device.by_cupy import CupyDevice
    from .device.interface import Device

OLDEST: Final = 75
"""Compute capability, times ten, of the oldest GPUs: what PTX is emitted for, see `vmloom_cuda.ptx`."""
OLDEST_CUDA: Final = 12
"""Of drivers, the version that knows the PTX."""
_DRIVERS: Final = {"win32": "nvcuda.dll"}


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
        if importlib.util.find_spec("numpy") is None:
            raise Unusable("NumPy is not installed: pip install numpy")
        if config.emulated:
            return Found(_emulated(config))
        return Found(_usable(_cupy(), config))
    except Unusable as reason:
        return Found(reason=str(reason))
    except Exception as error:  # of a driver, or of a package that is half installed
        return Found(reason=f"the GPU cannot be asked: {type(error).__name__}: {error}")


def driver_version() -> int:
    """The CUDA version that the installed driver is for, such as 12040 for 12.4; 0 where there is none."""
    try:
        driver = ctypes.CDLL(_DRIVERS.get(sys.platform, "libcuda.so.1"))
        version = ctypes.c_int(0)
        return version.value if driver.cuDriverGetVersion(ctypes.byref(version)) == 0 else 0
    except (OSError, AttributeError):
        return 0


def _emulated(config: CudaConfig) -> tuple[Device, ...]:
    from .device.emulated import EmulatedDevice

    return tuple(EmulatedDevice(number, config.emulated_memory) for number in config.devices or (0,))


def _cupy() -> Any:
    """The module, where there is a driver for it. Raises `Unusable`."""
    version = driver_version()
    if version == 0:
        raise Unusable("no NVIDIA driver is installed")
    cuda = version // 1000
    if cuda < OLDEST_CUDA:
        raise Unusable(f"the NVIDIA driver is for CUDA {cuda}: update it to one for CUDA {OLDEST_CUDA} or later")
    extra = "cuda13" if cuda >= 13 else "cuda12"
    install = f'pip install "vmloom-cuda[{extra}]"'
    if importlib.util.find_spec("cupy") is None:
        raise Unusable(f"CuPy is not installed: {install}")
    try:
        cupy = importlib.import_module("cupy")
        count = cupy.cuda.runtime.getDeviceCount()
    except ImportError as error:
        raise Unusable(f"CuPy cannot be imported ({error}): {install}") from error
    except RuntimeError as error:
        raise Unusable(f"CuPy finds no GPU ({error}); the driver is for CUDA {cuda}: {install}") from error
    if count == 0:
        raise Unusable("the NVIDIA driver finds no GPU")
    return cupy


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
    return f"GPU {device.index} ({device.name}) has compute capability {has}, and {needs} is the least"
