"""The set: 0x0b to 0x11 since Prague."""

from __future__ import annotations

from collections.abc import Mapping

from vmloom.precompile import Precompile, PrecompileSet, Revision

from .addition import G1Add, G2Add
from .mapping import MapFp2ToG2, MapFpToG1
from .multiplication import G1Msm, G2Msm
from .pairing import PairingCheck


class Bls12381Precompiles(PrecompileSet):
    """0x0b to 0x11 since Prague."""

    def at(self, revision: Revision) -> Mapping[bytes, Precompile]:
        """The precompiles of `revision` by 20-byte address."""
        if not revision.includes("prague"):
            return {}
        found: dict[int, Precompile] = {
            0x0B: G1Add(),
            0x0C: G1Msm(),
            0x0D: G2Add(),
            0x0E: G2Msm(),
            0x0F: PairingCheck(),
            0x10: MapFpToG1(),
            0x11: MapFp2ToG2(),
        }
        return {number.to_bytes(20, "big"): precompile for number, precompile in found.items()}
