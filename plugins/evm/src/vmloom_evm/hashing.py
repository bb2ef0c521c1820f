"""Hashes of code, as the EVM's instructions give them."""

from __future__ import annotations

from functools import lru_cache

from vmloom.hashing import keccak256

EMPTY_CODE_HASH = keccak256(b"")


@lru_cache(maxsize=4096)
def code_hash(code: bytes) -> int:
    """keccak256 of contract code as an integer; cached, since the same code is asked for again and again."""
    return int.from_bytes(keccak256(code), "big")
