"""0x0f: whether a product of pairings is 1."""

from __future__ import annotations

from py_arkworks_bls12381 import GT
from vmloom.precompile import PurePrecompile

from .points import G1_SIZE, G2_SIZE, decode_g1_member, decode_g2_member, slices

PAIR_SIZE = G1_SIZE + G2_SIZE
"""bytes"""


class PairingCheck(PurePrecompile):
    """BLS12_PAIRING_CHECK at 0x0f since Prague. EIP-2537.

    Input, k pairs of 384 bytes, k 1 and up: point of G1 (128) | point of G2 (256). Output: 1 in 32 bytes if the product
    of their pairings is 1, else 0. Gas: 37700 + 32600 k.
    Fails if the size is 0 or not a multiple of 384 or one is not a point of its subgroup.
    """

    name = "BLS12_PAIRING_CHECK"

    def gas_cost(self, input: bytes) -> int:
        """37700 and 32600 for each whole pair."""
        return 37_700 + 32_600 * (len(input) // PAIR_SIZE)

    def compute(self, input: bytes) -> bytes:
        """1 or 0. Raises `PrecompileFailure` for a wrong size or for what is not a point of the subgroups."""
        chunks = slices(input, PAIR_SIZE)
        g1_points = [decode_g1_member(chunk[:G1_SIZE]) for chunk in chunks]
        g2_points = [decode_g2_member(chunk[G1_SIZE:]) for chunk in chunks]
        return int(GT.pairing_check(g1_points, g2_points)).to_bytes(32, "big")
