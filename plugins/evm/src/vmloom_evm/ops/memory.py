"""Stack and memory of the frame. Memory is byte-addressed and grows in words. Gas, then operation."""

from __future__ import annotations

from vmloom.kernel import u8, u64, u256

from ..gas import WORD, charge_copy, expand_memory
from ..machine import Machine
from ..table import op


@op(0x51, "MLOAD")
def mload(m: Machine, offset: u256) -> u256:
    """The word at `offset`."""
    expand_memory(m, offset, WORD)
    return m.memory_read(u64(offset))


@op(0x52, "MSTORE")
def mstore(m: Machine, offset: u256, value: u256) -> None:
    """Write a word at `offset`."""
    expand_memory(m, offset, WORD)
    m.memory_write(u64(offset), value)


@op(0x53, "MSTORE8")
def mstore8(m: Machine, offset: u256, value: u256) -> None:
    """Write the lowest byte of `value` at `offset`."""
    expand_memory(m, offset, 1)
    m.memory_write_byte(u64(offset), u8(value))


@op(0x50, "POP")
def pop(value: u256) -> None:
    """Drop the top of the stack."""


@op(0x59, "MSIZE")
def msize(m: Machine) -> u256:
    """Size of memory in bytes, a multiple of 32."""
    return m.memory_words * WORD


@op(0x5E, "MCOPY")
def mcopy(m: Machine, destination: u256, source: u256, size: u256) -> None:
    """Copy inside memory; the ranges may overlap. EIP-5656."""
    charge_copy(m, max(destination, source), size)
    m.memory_move(u64(destination), u64(source), u64(size))
