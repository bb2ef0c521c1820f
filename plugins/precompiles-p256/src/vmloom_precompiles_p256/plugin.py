"""What this package offers to vmloom. Imports nothing heavy: the set is imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import PrecompileSpec, hookimpl


@hookimpl
def vmloom_precompiles() -> Iterable[PrecompileSpec]:
    """The set of 0x100."""
    return [
        PrecompileSpec(
            name="p256",
            target="vmloom_precompiles_p256.precompiles:P256Precompiles",
            summary="0x100: P256VERIFY",
        )
    ]
