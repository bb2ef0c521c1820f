"""What can be known of code without running it: where jumps may lead."""

from __future__ import annotations

import re
from functools import lru_cache

PADDING = bytes(33)
"""Appended to code, so that reading an opcode or push data beyond its end finds STOP and zeros."""

JUMPDEST = b"\x5b"

# One token an instruction that matters: a JUMPDEST, or a PUSH together with what it hides.
_TOKENS = re.compile(
    b"|".join([re.escape(JUMPDEST), *(re.escape(bytes([0x5F + n])) + b".{0,%d}" % n for n in range(1, 33))]),
    re.DOTALL,
)


@lru_cache(maxsize=4096)
def jump_destinations(code: bytes) -> frozenset[int]:
    """Offsets of the JUMPDESTs of `code` that do not lie inside push data."""
    return frozenset(token.start() for token in _TOKENS.finditer(code) if token.group()[:1] == JUMPDEST)
