"""0x10 and 0x11: from a field element to a point of the subgroup, as RFC 9380 maps and clears the cofactor."""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point, G2Point
from vmloom.precompile import PrecompileFailure, PurePrecompile

from .points import ELEMENT_SIZE, bare_elements, encode, exactly


class MapFpToG1(PurePrecompile):
    """BLS12_MAP_FP_TO_G1 at 0x10 since Prague. EIP-2537.

    Input, exactly 64 bytes: an element of Fp. Output: the point (128) it maps to. Gas: 5500.
    Fails if the input has another size or is not an element.
    """

    name = "BLS12_MAP_FP_TO_G1"

    def gas_cost(self, input: bytes) -> int:
        """5500, whatever the input."""
        return 5500

    def compute(self, input: bytes) -> bytes:
        """The point. Raises `PrecompileFailure` for a wrong size or for what is not an element."""
        element = bare_elements(exactly(input, ELEMENT_SIZE))
        try:
            return encode(G1Point.map_from_fp_be(element))
        except ValueError:
            raise PrecompileFailure("not an element of Fp") from None


class MapFp2ToG2(PurePrecompile):
    """BLS12_MAP_FP2_TO_G2 at 0x11 since Prague. EIP-2537.

    Input, exactly 128 bytes: an element of Fp2. Output: the point (256) it maps to. Gas: 23800.
    Fails if the input has another size or is not an element.
    """

    name = "BLS12_MAP_FP2_TO_G2"

    def gas_cost(self, input: bytes) -> int:
        """23800, whatever the input."""
        return 23_800

    def compute(self, input: bytes) -> bytes:
        """The point. Raises `PrecompileFailure` for a wrong size or for what is not an element."""
        element = bare_elements(exactly(input, 2 * ELEMENT_SIZE))
        try:
            return encode(G2Point.map_from_fp2_be(element))
        except ValueError:
            raise PrecompileFailure("not an element of Fp2") from None
