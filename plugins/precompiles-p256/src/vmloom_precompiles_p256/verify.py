"""0x100: signatures over the curve P-256 (secp256r1), which phones and passkeys make."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from vmloom.precompile import PurePrecompile

GAS = 6900
INPUT_SIZE = 160
"""bytes"""
FIELD_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
VALID = (1).to_bytes(32, "big")
INVALID = b""

_scheme = ECDSA(Prehashed(SHA256()))
_curve = SECP256R1()


class P256Verify(PurePrecompile):
    """P256VERIFY at 0x100 since Osaka. EIP-7951.

    Input, exactly 160 bytes: message hash (32) | r (32) | s (32) | x (32) | y (32). Output: 1 in 32 bytes if (r, s) is
    the signature of the hash by the key (x, y), of either parity of s. Gas: 6900.
    Never fails: for a signature that does not fit, r or s not in 1..order-1, (x, y) not a point of the curve, and an
    input of another size, the output is empty.
    """

    name = "P256VERIFY"

    def gas_cost(self, input: bytes) -> int:
        """6900, whatever the input."""
        return GAS

    def compute(self, input: bytes) -> bytes:
        """1 in 32 bytes, or nothing."""
        if len(input) != INPUT_SIZE:
            return INVALID
        message_hash = input[:32]
        r, s, x, y = (int.from_bytes(input[i : i + 32], "big") for i in range(32, INPUT_SIZE, 32))
        if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
            return INVALID
        if not (x < FIELD_PRIME and y < FIELD_PRIME):
            return INVALID

        try:
            key = EllipticCurvePublicNumbers(x, y, _curve).public_key()
            key.verify(encode_dss_signature(r, s), message_hash, _scheme)
        except (ValueError, InvalidSignature):  # ValueError: not a point of the curve, infinity included
            return INVALID
        return VALID
