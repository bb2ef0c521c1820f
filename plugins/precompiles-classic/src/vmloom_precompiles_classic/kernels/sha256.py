"""0x02: SHA-256. FIPS 180-4; Yellow Paper, appendix E.1."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, u8, u64
from vmloom.kernel.sha256 import sha256

from .prices import by_words

DIGEST: Final = 32
"""bytes"""


def gas(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given the input)
    """60 and 12 per 32-byte word."""
    return by_words(size, 60, 12)


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The digest, 32 bytes."""
    sha256(input, size, output)
    return DIGEST
