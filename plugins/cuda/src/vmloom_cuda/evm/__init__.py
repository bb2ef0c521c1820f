"""Batches of EVM executions on a device: one thread for each, by the functions that the native engine runs.

Needs `vmloom-evm`, which the extra `evm` brings.
"""

from __future__ import annotations

from .batch import EvmBatch
from .host import HostDevice

__all__ = ["EvmBatch", "HostDevice"]
