"""Batches of EVM executions on a device: one thread for each, by the functions that the native engine runs.

Needs `vmloom-evm`, which the extra `evm` brings.
"""

from __future__ import annotations

from ..device.on_host import HostDevice
from .arrays import CallArrays
from .batch import EvmBatch, Held
from .result_arrays import LogArrays, ResultArrays, StorageArrays

__all__ = ["CallArrays", "EvmBatch", "Held", "HostDevice", "LogArrays", "ResultArrays", "StorageArrays"]
