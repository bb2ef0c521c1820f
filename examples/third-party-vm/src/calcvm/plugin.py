"""What vmloom finds through the entry point: a description, which imports nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import VmSpec, hookimpl


@hookimpl
def vmloom_virtual_machines() -> Iterable[VmSpec]:
    """The calculator."""
    yield VmSpec(
        name="calc",
        target="calcvm.vm:CalcVm",
        config="calcvm.vm:CalcConfig",
        summary="Stack calculator with storage and events",
    )
