"""What can be told of GPUs without importing anything: whether there is a driver, and CuPy for it.

Asked by whoever lists plugins, and by `vmloom_cuda.status` before it asks devices.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

OLDEST_CUDA: Final = 12
"""Of drivers, the version that knows the PTX."""
WHEELS: Final = {12: "cupy-cuda12x", 13: "cupy-cuda13x"}
"""Wheels of CuPy by the version of CUDA that they are for; a driver runs those of earlier versions, too."""
_DRIVERS: Final = {"win32": "nvcuda.dll"}


def absence(section: Mapping[str, Any]) -> str:
    """Why no GPU can be used; empty if nothing is known against it. See `AcceleratorSpec.absence`."""
    if importlib.util.find_spec("numpy") is None:
        return "NumPy is not installed: pip install numpy"
    return "" if str(section.get("emulated", False)).lower() in ("true", "1") else missing(driver_version())


def driver_version() -> int:
    """The CUDA version that the installed driver is for, such as 12040 for 12.4; 0 where there is none."""
    try:
        driver = ctypes.CDLL(_DRIVERS.get(sys.platform, "libcuda.so.1"))
        found = ctypes.c_int(0)
        return found.value if driver.cuDriverGetVersion(ctypes.byref(found)) == 0 else 0
    except (OSError, AttributeError):
        return 0


def missing(driver: int) -> str:
    """What is missing beside a driver for such a version of CUDA, with the way out; empty if nothing is."""
    if driver == 0:
        return "no NVIDIA driver is installed; into a container it is handed with the GPU (docker run --gpus all)"
    cuda = driver // 1000
    if cuda < OLDEST_CUDA:
        return (
            f"the NVIDIA driver is for CUDA {named(driver)}, and CUDA {OLDEST_CUDA} is the least: "
            "update it to 525 or later"
        )
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; the NVIDIA driver is for CUDA {named(driver)}: {way_out(driver)}"
    newer = [name for needed, name in WHEELS.items() if needed > cuda and is_installed(name)]
    if newer:
        return (
            f"{newer[0]} is installed, and the NVIDIA driver is for CUDA {named(driver)}: "
            f"pip uninstall {newer[0]} && {way_out(driver)}, or update the driver"
        )
    return ""


def named(driver: int) -> str:
    """A driver's version of CUDA for people."""
    return f"{driver // 1000}.{driver % 1000 // 10}"


def way_out(driver: int) -> str:
    """The command that installs the CuPy for a driver."""
    return f'pip install "vmloom-cuda[cuda{min(driver // 1000, max(WHEELS))}]"'


def is_installed(package: str) -> bool:
    """Whether there is such a package."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
