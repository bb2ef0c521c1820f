"""0x0b and 0x0d: the sum of two points of the curve over Fp or Fp2."""

from __future__ import annotations

from vmloom.precompile import PurePrecompile

from .points import G1_SIZE, G2_SIZE, decode_g1, decode_g2, encode, exactly


class G1Add(PurePrecompile):
    """BLS12_G1ADD at 0x0b since Prague. EIP-2537.

    Input, exactly 256 bytes: point (128) | point (128). Output: their sum (128). Gas: 375.
    Fails if the input has another size or one is not a point of the curve; it need not be in the subgroup.
    """

    name = "BLS12_G1ADD"

    def gas_cost(self, input: bytes) -> int:
        """375, whatever the input."""
        return 375

    def compute(self, input: bytes) -> bytes:
        """The sum. Raises `PrecompileFailure` for a wrong size or for what is not a point."""
        exactly(input, 2 * G1_SIZE)
        return encode(decode_g1(input[:G1_SIZE]) + decode_g1(input[G1_SIZE:]))


class G2Add(PurePrecompile):
    """BLS12_G2ADD at 0x0d since Prague. EIP-2537.

    Input, exactly 512 bytes: point (256) | point (256). Output: their sum (256). Gas: 600.
    Fails if the input has another size or one is not a point of the curve; it need not be in the subgroup.
    """

    name = "BLS12_G2ADD"

    def gas_cost(self, input: bytes) -> int:
        """600, whatever the input."""
        return 600

    def compute(self, input: bytes) -> bytes:
        """The sum. Raises `PrecompileFailure` for a wrong size or for what is not a point."""
        exactly(input, 2 * G2_SIZE)
        return encode(decode_g2(input[:G2_SIZE]) + decode_g2(input[G2_SIZE:]))
