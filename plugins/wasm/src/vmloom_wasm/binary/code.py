"""Splits code into instructions. Core specification 2.0, section 5.4.

Used by validation, by instrumentation and for constant expressions. Checks that each instruction is complete, not
that they fit each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .opcodes import OPCODES, PREFIXES, Immediate, prefixed
from .reader import Reader


class Instruction(NamedTuple):
    """An instruction and where it is."""

    code: int
    """Key in `opcodes.OPCODES`."""
    at: int
    """Offset of its first byte in the module."""
    begin: int
    """Where it begins in the code that was split."""
    end: int
    """Where the next one begins there."""
    immediates: tuple[Any, ...]
    """One value for each of the opcode's immediates; see `opcodes.Immediate` for their types."""


def _labels(reader: Reader) -> tuple[int, ...]:
    return tuple(reader.u32() for _ in range(reader.count("labels") + 1))


def _memory_argument(reader: Reader) -> tuple[int, int]:
    begin = reader.offset
    alignment = reader.u32()
    if alignment >= 32:  # 64 and above announce the index of a memory, of which there is only one
        reader.fail(f"alignment 2**{alignment} is too large", begin)
    return alignment, reader.u32()


_READ: Mapping[Immediate, Callable[[Reader], object]] = {
    **dict.fromkeys(Immediate, Reader.u32),
    Immediate.BLOCK_TYPE: Reader.s33,
    Immediate.LABELS: _labels,
    Immediate.MEMORY_ARGUMENT: _memory_argument,
    Immediate.I32: Reader.s32,
    Immediate.I64: Reader.s64,
    Immediate.F32: Reader.f32bits,
    Immediate.F64: Reader.f64bits,
    Immediate.REFERENCE_TYPE: Reader.u8,
    Immediate.VALUE_TYPES: lambda reader: reader.take(reader.u32()),
    Immediate.BYTE: Reader.u8,
    Immediate.BYTES16: lambda reader: reader.take(16),
}
_READERS = {code: tuple(_READ[kind] for kind in opcode.immediates) for code, opcode in OPCODES.items()}
_PLAIN = bytes(_READERS.get(code) == () for code in range(256))
_ONE_INDEX = bytes(_READERS.get(code) == (Reader.u32,) for code in range(256))
_ONE_SIGNED = bytes(
    _READERS.get(code) in ((Reader.s32,), (Reader.s33,), (Reader.s64,)) and code not in PREFIXES for code in range(256)
)
_ACCESS = bytes(_READERS.get(code) == (_memory_argument,) for code in range(256))


def instructions(code: bytes, offset: int = 0) -> Iterator[Instruction]:
    """Yield the instructions of `code`, which begins at `offset` in its module, to the end of `code`.

    Raises:
        MalformedModule: an unknown opcode, or an instruction that is not complete.
    """
    size = len(code)
    at = 0
    while at < size:
        first = code[at]
        # Most instructions by far have nothing or small numbers after them: they go without a Reader.
        if _PLAIN[first]:
            yield Instruction(first, offset + at, at, at + 1, ())
            at += 1
        elif _ONE_INDEX[first] and at + 1 < size and code[at + 1] < 0x80:
            yield Instruction(first, offset + at, at, at + 2, (code[at + 1],))
            at += 2
        elif _ONE_SIGNED[first] and at + 1 < size and (value := code[at + 1]) < 0x80:
            yield Instruction(first, offset + at, at, at + 2, (value - 0x80 if value & 0x40 else value,))
            at += 2
        elif _ACCESS[first] and at + 2 < size and code[at + 1] < 32 and code[at + 2] < 0x80:
            yield Instruction(first, offset + at, at, at + 3, ((code[at + 1], code[at + 2]),))
            at += 3
        else:
            instruction = read_instruction(Reader(code, at, base=offset, section="code"))
            yield instruction
            at = instruction.end


def read_instruction(reader: Reader) -> Instruction:
    """Read one instruction.

    Raises:
        MalformedModule: an unknown opcode, or an instruction that is not complete.
    """
    begin = reader.offset
    code = reader.u8()
    name = f"{code:#04x}"
    if code in PREFIXES:
        number = reader.u32()
        name += f" {number:#04x}"
        code = prefixed(code, number)
    readers = _READERS.get(code)
    if readers is None:
        reader.fail(f"unknown opcode {name}", begin)
    immediates = tuple(read(reader) for read in readers)
    return Instruction(code, reader.base + begin, begin, reader.offset, immediates)
