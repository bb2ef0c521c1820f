"""What HASH_BLOCK and MERKLE_ROOT compute: SHA-256 over the canonical encoding of values.

Both raise `NotStorable` for functions and tasks, which have no encoding. Results are 64 lower-case hex digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ..values import DEFAULT_LIMITS, Value, ValueLimits, canonical

LEAF: Final = b"\x00"
"""Comes before the encoding of a leaf, so that no leaf can be taken for a node (RFC 6962, section 2.1)."""
NODE: Final = b"\x01"
"""Comes before the two digests below a node."""


def hash_block(value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> str:
    """HASH_BLOCK: the digest of the value's canonical encoding."""
    return sha256(canonical(value, limits)).hexdigest()


def merkle_root(leaves: Sequence[Value], limits: ValueLimits = DEFAULT_LIMITS, /) -> str:
    """MERKLE_ROOT: the root over `leaves`, the first pushed first; that of no leaves is the digest of nothing.

    Neighbours are joined level by level; one without a neighbour moves up as it is.
    """
    if not leaves:
        return sha256(b"").hexdigest()
    level = [sha256(LEAF + canonical(leaf, limits)).digest() for leaf in leaves]
    while len(level) > 1:
        joined = [sha256(NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        level = joined + level[2 * len(joined) :]
    return level[0].hex()
