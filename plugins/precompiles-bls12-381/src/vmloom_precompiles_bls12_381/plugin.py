"""What this package offers to vmloom. Imports nothing heavy: the set is imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import PrecompileSpec, hookimpl


@hookimpl
def vmloom_precompiles() -> Iterable[PrecompileSpec]:
    """The set of 0x0b to 0x11."""
    return [
        PrecompileSpec(
            name="bls12-381",
            target="vmloom_precompiles_bls12_381.precompiles:Bls12381Precompiles",
            summary="0x0b-0x11: BLS12-381 addition, multiplication, pairing, mapping",
        )
    ]
