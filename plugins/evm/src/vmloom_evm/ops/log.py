"""The log instructions: data from memory and up to four topics. Gas, then operation."""

from __future__ import annotations

from vmloom.kernel import Halt, u64, u256

from ..gas import expand_memory, use_gas
from ..halts import WRITE_PROTECTION
from ..machine import Machine
from ..table import op


def emit(m: Machine, offset: u256, size: u256, count: u64, a: u256, b: u256, c: u256, d: u256) -> None:
    """Log a range of memory with the first `count` of four topics."""
    if m.is_static:
        raise Halt(WRITE_PROTECTION)
    expand_memory(m, offset, size)
    use_gas(m, m.rules.log_topic * count + m.rules.log_byte * u64(size))
    m.record(u64(offset), u64(size), count, a, b, c, d)


@op(0xA0, "LOG0")
def log0(m: Machine, offset: u256, size: u256) -> None:
    """Log without topics."""
    emit(m, offset, size, 0, 0, 0, 0, 0)


@op(0xA1, "LOG1")
def log1(m: Machine, offset: u256, size: u256, a: u256) -> None:
    """Log with one topic."""
    emit(m, offset, size, 1, a, 0, 0, 0)


@op(0xA2, "LOG2")
def log2(m: Machine, offset: u256, size: u256, a: u256, b: u256) -> None:
    """Log with two topics."""
    emit(m, offset, size, 2, a, b, 0, 0)


@op(0xA3, "LOG3")
def log3(m: Machine, offset: u256, size: u256, a: u256, b: u256, c: u256) -> None:
    """Log with three topics."""
    emit(m, offset, size, 3, a, b, c, 0)


@op(0xA4, "LOG4")
def log4(m: Machine, offset: u256, size: u256, a: u256, b: u256, c: u256, d: u256) -> None:
    """Log with four topics."""
    emit(m, offset, size, 4, a, b, c, d)
