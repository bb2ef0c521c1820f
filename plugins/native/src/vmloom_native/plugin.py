"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import AcceleratorSpec, hookimpl


@hookimpl
def vmloom_accelerators() -> Iterable[AcceleratorSpec]:
    """The processor itself."""
    return [
        AcceleratorSpec(
            "cpu",
            "vmloom_native.cpu:CpuAccelerator",
            config="vmloom_native.config:CpuConfig",
            summary="Batches on this computer's processor",
            absence="vmloom_native.presence:absence",
        )
    ]
