"""Control flow inside a frame, and the ways to leave it."""

from __future__ import annotations

from vmloom.kernel import U64_MAX, Halt, u64, u256

from ..frames import end_revert, end_success
from ..gas import expand_memory
from ..halts import INVALID_JUMP
from ..machine import Machine
from ..table import OpKind, op


@op(0x00, "STOP", kind=OpKind.FRAME)
def stop(m: Machine) -> None:
    """End this frame with success and no output."""
    end_success(m, 0, 0)


@op(0x56, "JUMP", kind=OpKind.FLOW)
def jump(m: Machine, destination: u256) -> None:
    """Go on at `destination`."""
    if destination > U64_MAX or not m.is_jump_destination(u64(destination)):
        raise Halt(INVALID_JUMP)
    m.pc = u64(destination)


@op(0x57, "JUMPI", kind=OpKind.FLOW)
def jumpi(m: Machine, destination: u256, condition: u256) -> None:
    """Go on at `destination` if `condition` is not 0; only then must it be valid."""
    if condition:
        jump(m, destination)


@op(0x58, "PC", kind=OpKind.FLOW)
def pc(m: Machine) -> u256:
    """Offset of this instruction in the code."""
    return m.pc - 1


@op(0x5A, "GAS")
def gas(m: Machine) -> u256:
    """Gas left after this instruction."""
    return u64(m.gas)


@op(0x5B, "JUMPDEST")
def jumpdest() -> None:
    """A place that jumps may lead to; does nothing."""


@op(0xF3, "RETURN", kind=OpKind.FRAME)
def return_(m: Machine, offset: u256, size: u256) -> None:
    """End this frame with success; a range of memory is its output."""
    expand_memory(m, offset, size)
    end_success(m, u64(offset), u64(size))


@op(0xFD, "REVERT", kind=OpKind.FRAME)
def revert(m: Machine, offset: u256, size: u256) -> None:
    """End this frame undoing its changes; a range of memory is its output, unused gas is kept. EIP-140."""
    expand_memory(m, offset, size)
    end_revert(m, u64(offset), u64(size))
