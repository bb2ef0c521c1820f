"""The processor as an accelerator: batches of one operation, by compiled kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmloom.accelerator import Accelerator, AcceleratorStatus, Capability

from .config import CpuConfig
from .llvm import processor


class CpuAccelerator(Accelerator):
    """This computer's processor. Always available: without LLVM this package would not be installed."""

    def __init__(self, config: CpuConfig | None = None) -> None:
        self._config = config or CpuConfig()

    @property
    def name(self) -> str:
        """`cpu`."""
        return "cpu"

    def status(self) -> AcceleratorStatus:
        """The processor's name as LLVM knows it."""
        return AcceleratorStatus(True, device=processor(), path="llvmlite")

    def capabilities(self) -> Mapping[str, Capability]:
        """None yet."""
        return {}

    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        """Raises `KeyError`."""
        raise KeyError(operation)
