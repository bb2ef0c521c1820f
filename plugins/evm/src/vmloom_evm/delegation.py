"""Delegation designators: code that says whose code to run instead. EIP-7702."""

from __future__ import annotations

DELEGATION_PREFIX = b"\xef\x01\x00"
"""A designator is this and an address."""
DELEGATION_SIZE = 23
"""bytes"""


def delegation_target(code: bytes) -> bytes | None:
    """The 20-byte address that `code` delegates to, None if it is no designator."""
    if len(code) == DELEGATION_SIZE and code.startswith(DELEGATION_PREFIX):
        return code[len(DELEGATION_PREFIX) :]
    return None


def designator(target: bytes) -> bytes:
    """The code that delegates to `target`, a 20-byte address."""
    return DELEGATION_PREFIX + target
