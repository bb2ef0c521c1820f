"""PTX: kernels of the kernel language, emitted for NVIDIA GPUs, measured by `ptxas`, and built for the host."""

from __future__ import annotations

from .assembler import AssemblerError, Resources
from .emission import EmissionError, Target
from .entries import BLOCK, Row
from .module import HostModule, PtxModule, module

__all__ = [
    "BLOCK",
    "AssemblerError",
    "EmissionError",
    "HostModule",
    "PtxModule",
    "Resources",
    "Row",
    "Target",
    "module",
]
