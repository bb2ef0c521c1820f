"""What this package offers to vmloom. Imports nothing heavy: the set is imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import PrecompileSpec, hookimpl


@hookimpl
def vmloom_precompiles() -> Iterable[PrecompileSpec]:
    """The set of 0x01 to 0x09."""
    return [
        PrecompileSpec(
            name="classic",
            target="vmloom_precompiles_classic.precompiles:ClassicPrecompiles",
            summary="0x01-0x09: ECRECOVER, SHA256, RIPEMD160, IDENTITY, MODEXP, BN254, BLAKE2F",
        )
    ]
