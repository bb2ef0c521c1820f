"""The code of a module as instructions, function by function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vmloom import Instruction
from vmloom.errors import CodeError

from .binary import code as binary_code
from .binary.module import VALUE_TYPES, Kind, decode
from .binary.names import function_names
from .binary.opcodes import OPCODES, Immediate

_NO_RESULT: Final = -64


def disassemble(code: bytes) -> Iterator[Instruction]:
    """The instructions of all functions in order of the functions; the first of each is marked with its name.

    What is no module is one line that says why.
    """
    try:
        module = decode(bytes(code))
    except CodeError as error:
        yield Instruction(error.offset or 0, "INVALID", "", str(error))
        return
    names = function_names(module)
    for index, body in enumerate(module.bodies, len(module.imported(Kind.FUNCTION))):
        remark = f"function {index}: {names[index]}" if index in names else f"function {index}"
        try:
            for instruction in binary_code.instructions(body.code, body.offset):
                opcode = OPCODES[instruction.code]
                operand = " ".join(map(_operand, opcode.immediates, instruction.immediates))
                called = _called(opcode.immediates, instruction.immediates, names)
                yield Instruction(instruction.at, opcode.name, operand, "; ".join(filter(None, (remark, called))))
                remark = ""
        except CodeError as error:
            yield Instruction(error.offset or body.offset, "INVALID", "", str(error))


def _operand(kind: Immediate, value: Any) -> str:
    """An immediate as the text format writes it, as far as the module's own names are not needed for it."""
    if kind is Immediate.BLOCK_TYPE:
        return "" if value == _NO_RESULT else VALUE_TYPES[value & 0x7F] if value < 0 else f"type={value}"
    if kind is Immediate.LABELS:
        return " ".join(map(str, value))
    if kind is Immediate.MEMORY_ARGUMENT:
        return f"offset={value[1]} align={1 << value[0]}"
    if kind is Immediate.VALUE_TYPES:
        return " ".join(VALUE_TYPES[item] for item in value)
    if kind is Immediate.REFERENCE_TYPE:
        return VALUE_TYPES.get(value, str(value))
    if kind in (Immediate.F32, Immediate.F64):
        return f"bits={value:#x}"
    return value.hex() if isinstance(value, bytes) else str(value)


def _called(kinds: tuple[Immediate, ...], values: tuple[Any, ...], names: dict[int, str]) -> str:
    """Name of the function that an instruction names by its index."""
    found = [names.get(value, "") for kind, value in zip(kinds, values, strict=True) if kind is Immediate.FUNCTION]
    return found[0] if found else ""
