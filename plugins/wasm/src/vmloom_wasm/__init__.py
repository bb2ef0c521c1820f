"""WebAssembly contracts for vmloom.

`WasmVm` is the virtual machine. `validation` says which modules may run, `metering` makes them count gas, `host` has
what they can ask of the chain, `run` is one run of one, and `engine` is what lies between and wasmtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmloom.lazy import importer

if TYPE_CHECKING:
    from .cache import CacheMetrics
    from .config import WasmConfig
    from .metering.costs import WasmGasCosts
    from .metering.profile import FunctionProfile
    from .prices import HostPrices
    from .vm import WasmVm

__all__ = ["CacheMetrics", "FunctionProfile", "HostPrices", "WasmConfig", "WasmGasCosts", "WasmVm"]

# Listing plugins imports this package, and must stay instant.
__getattr__ = importer(
    __name__,
    {
        "CacheMetrics": "cache",
        "FunctionProfile": "metering.profile",
        "HostPrices": "prices",
        "WasmConfig": "config",
        "WasmGasCosts": "metering.costs",
        "WasmVm": "vm",
    },
)
