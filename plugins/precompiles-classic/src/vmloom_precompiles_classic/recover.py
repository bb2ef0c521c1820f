"""0x01: the address that made a secp256k1 signature."""

from __future__ import annotations

from coincurve import PublicKey
from Crypto.Hash import keccak
from vmloom.precompile import PrecompileKernel, PurePrecompile

GAS = 3000
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class EcRecover(PurePrecompile):
    """ECRECOVER at 0x01. Yellow Paper, appendix E.1.

    Input, zero-padded to 128 bytes: message hash (32) | v (32) | r (32) | s (32).
    Output: 12 zero bytes and the signer's address (20). Gas: 3000.
    Never fails: where v is not 27 or 28, r or s is not in 1..order-1, or no key fits, the output is empty.
    """

    name = "ECRECOVER"

    def gas_cost(self, input: bytes) -> int:
        """3000, whatever the input."""
        return GAS

    def compute(self, input: bytes) -> bytes:
        """The signer's address in 32 bytes, or nothing."""
        padded = input[:128].ljust(128, b"\0")
        message_hash, v, r, s = padded[:32], padded[32:64], padded[64:96], padded[96:]
        recovery_id = int.from_bytes(v, "big") - 27
        if recovery_id not in (0, 1):
            return b""
        if not all(0 < int.from_bytes(scalar, "big") < CURVE_ORDER for scalar in (r, s)):
            return b""

        try:
            key = PublicKey.from_signature_and_message(r + s + bytes([recovery_id]), message_hash, hasher=None)
        except ValueError:  # r is not the x of a point, or the key would be the point at infinity
            return b""
        digest = keccak.new(data=key.format(compressed=False)[1:], digest_bits=256).digest()
        return bytes(12) + digest[12:]

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import recover

        return PrecompileKernel(recover.gas, recover.run)
