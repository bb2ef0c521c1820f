"""0x01: the address that made a secp256k1 signature. Yellow Paper, appendix E.1."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, byteswap, copy, fill, load, local, u8, u64, u256
from vmloom.kernel.keccak import keccak256

from .secp256k1 import recover
from .secp256k1_table import N

INPUT_SIZE: Final = 128
"""Bytes: hash, v, r, s."""


def gas(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given the input)
    """3000, whatever the input."""
    return u64(3000)


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The address, padded on the left to 32 bytes, or nothing."""
    padded = local(u8, INPUT_SIZE)
    copy(padded, input, min(size, INPUT_SIZE))
    v = byteswap(u256, load(u256, padded + 32))
    r = byteswap(u256, load(u256, padded + 64))
    s = byteswap(u256, load(u256, padded + 96))
    if v < 27 or v > 28 or r == 0 or r >= N or s == 0 or s >= N:
        return u64(0)
    public_key = local(u8, 64)
    if not recover(byteswap(u256, load(u256, padded)), v == 28, r, s, public_key):
        return u64(0)
    keccak256(public_key, 64, output)
    fill(output, 0, 12)
    return u64(32)
