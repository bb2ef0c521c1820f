"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import AcceleratorSpec, hookimpl


@hookimpl
def vmloom_accelerators() -> Iterable[AcceleratorSpec]:
    """NVIDIA GPUs."""
    return [
        AcceleratorSpec(
            "cuda",
            "vmloom_cuda.accelerator:CudaAccelerator",
            config="vmloom_cuda.config:CudaConfig",
            summary="Batches on NVIDIA GPUs",
            absence="vmloom_cuda.presence:absence",
        )
    ]
