"""What this package offers to vmloom. Imports nothing heavy: the set is imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import PrecompileSpec, hookimpl


@hookimpl
def vmloom_precompiles() -> Iterable[PrecompileSpec]:
    """The set of 0x0a."""
    return [
        PrecompileSpec(
            name="kzg",
            target="vmloom_precompiles_kzg.precompiles:KzgPrecompiles",
            summary="0x0a: KZG point evaluation",
        )
    ]
