"""Hash functions."""

from __future__ import annotations

import hashlib

from vmloom.hashing import keccak256 as keccak256_digest

from ..abi import offered
from ..run import Run


@offered("iii:")
def keccak256(run: Run, source: int, size: int, digest: int) -> None:
    """keccak256 of `size` bytes, 32 bytes."""
    prices = run.prices
    run.charge(prices.host_call + prices.keccak256 + prices.keccak256_word * run.words(size))
    run.write(digest, keccak256_digest(run.read(source, size)))


@offered("iii:")
def sha256(run: Run, source: int, size: int, digest: int) -> None:
    """SHA-256 of `size` bytes, 32 bytes."""
    prices = run.prices
    run.charge(prices.host_call + prices.sha256 + prices.sha256_word * run.words(size))
    run.write(digest, hashlib.sha256(run.read(source, size)).digest())
