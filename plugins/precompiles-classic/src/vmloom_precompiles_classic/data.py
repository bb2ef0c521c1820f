"""0x02 to 0x04: two hashes and a copy, priced by the 32-byte word."""

from __future__ import annotations

import hashlib

from Crypto.Hash import RIPEMD160
from vmloom.precompile import PrecompileKernel, PurePrecompile


def words(data: bytes) -> int:
    """How many 32-byte words hold `data`."""
    return (len(data) + 31) // 32


class Sha256(PurePrecompile):
    """SHA256 at 0x02. Yellow Paper, appendix E.1.

    Input: any bytes. Output: digest (32). Gas: 60 + 12 per word. Never fails.
    """

    name = "SHA256"

    def gas_cost(self, input: bytes) -> int:
        """60 and 12 per 32-byte word."""
        return 60 + 12 * words(input)

    def compute(self, input: bytes) -> bytes:
        """The digest."""
        return hashlib.sha256(input).digest()

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import sha256

        return PrecompileKernel(sha256.gas, sha256.run)


class Ripemd160(PurePrecompile):
    """RIPEMD160 at 0x03. Yellow Paper, appendix E.1.

    Input: any bytes. Output: 12 zero bytes and the digest (20). Gas: 600 + 120 per word. Never fails.
    """

    name = "RIPEMD160"

    def gas_cost(self, input: bytes) -> int:
        """600 and 120 per 32-byte word."""
        return 600 + 120 * words(input)

    def compute(self, input: bytes) -> bytes:
        """The digest, padded on the left to 32 bytes."""
        return bytes(12) + RIPEMD160.new(input).digest()

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import ripemd160

        return PrecompileKernel(ripemd160.gas, ripemd160.run)


class Identity(PurePrecompile):
    """IDENTITY at 0x04. Yellow Paper, appendix E.1.

    Input: any bytes. Output: the same. Gas: 15 + 3 per word. Never fails.
    """

    name = "IDENTITY"

    def gas_cost(self, input: bytes) -> int:
        """15 and 3 per 32-byte word."""
        return 15 + 3 * words(input)

    def compute(self, input: bytes) -> bytes:
        """The input."""
        return bytes(input)

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import identity

        return PrecompileKernel(identity.gas, identity.run)
