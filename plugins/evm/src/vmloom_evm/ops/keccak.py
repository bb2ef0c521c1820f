"""The hash instruction."""

from __future__ import annotations

from vmloom.kernel import u64, u256

from ..gas import expand_memory, use_gas, words_of
from ..machine import Machine
from ..table import op


@op(0x20, "KECCAK256")
def keccak256(m: Machine, offset: u256, size: u256) -> u256:
    """keccak256 of a range of memory."""
    expand_memory(m, offset, size)
    use_gas(m, m.rules.keccak_word * words_of(u64(size)))
    return m.memory_hash(u64(offset), u64(size))
