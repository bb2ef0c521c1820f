"""The code of a container as instructions, function by function, with the offsets that they have in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from vmloom import Instruction
from vmloom.errors import CodeError

from . import cbor
from .bytecode.container import _BODY_AT as BODY_AT
from .bytecode.container import unpack
from .bytecode.opcodes import OPERATIONS, Opcode, Operand
from .bytecode.program import Bytecode
from .bytecode.verify import DEFAULT_CODE_LIMITS, CodeLimits, parse_instruction
from .values import Function, Value

_CONSTANTS: Final = 0
_CODE: Final = 1
_BODY: Final = 2
"""Where constants and code are in the list of a program, and the program in that of a function."""
_REMARK: Final = 60
"""Characters that a remark shows of a constant."""
_WITH_CONSTANT: Final = (Operand.CONSTANT, Operand.NAME, Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT)


def disassemble(code: bytes, limits: CodeLimits = DEFAULT_CODE_LIMITS) -> Iterator[Instruction]:
    """The instructions in the order of the bytes: functions before the program in whose constants they are.

    What is no container of a valid program is one line that says why.
    """
    try:
        program = unpack(code, limits)
    except CodeError as error:
        yield Instruction(min(error.offset or 0, max(len(code) - 1, 0)), "INVALID", "", str(error))
        return
    for body in bodies(program, code):
        remark, constants = body.title, [_shown(constant) for constant in body.bytecode.constants]
        for offset, entry in zip(body.offsets, body.bytecode.instructions, strict=False):  # the last is the end's
            name, operand = entry
            opcode, parts = parse_instruction(entry)
            text = "" if operand is None else " ".join(map(str, parts))
            yield Instruction(offset, name, text, "; ".join(filter(None, (remark, _operand(constants, opcode, parts)))))
            remark = ""


class Body(NamedTuple):
    """The code of a program or function in a container: where each instruction begins, and where the last one ends."""

    title: str
    bytecode: Bytecode
    offsets: tuple[int, ...]


def bodies(program: Bytecode, code: bytes) -> Iterator[Body]:
    """All bodies of the program that `code` is the container of, in the order of the bytes."""
    yield from _bodies(program, "program", code[BODY_AT:], ())


def _bodies(program: Bytecode, title: str, body: bytes, place: tuple[int, ...]) -> Iterator[Body]:
    for index, constant in enumerate(program.constants):
        if isinstance(constant, Function):
            inner = (*place, _CONSTANTS, index, _BODY)
            yield from _bodies(constant.bytecode, f"function {_shown(constant.name)}", body, inner)
    offsets: list[int] = []
    if program.instructions:
        offsets.append(BODY_AT + cbor.offset_of(body, (*place, _CODE, 0)))
        for entry in program.instructions:
            opcode, parts = parse_instruction(entry)
            offsets.append(offsets[-1] + sum(map(_encoded_size, (int(opcode), *parts))))
    yield Body(title, program, tuple(offsets))


def _operand(constants: list[str], opcode: Opcode, parts: tuple[int, ...]) -> str:
    """What the indices of the operand stand for."""
    if opcode is Opcode.STORE_CONST:
        return f"{constants[parts[0]]} = {constants[parts[1]]}"
    return constants[parts[0]] if OPERATIONS[opcode].operand in _WITH_CONSTANT else ""


def _shown(value: Value) -> str:
    """A value, or its beginning, in one line of printable characters."""
    text = f"function {value.name!r}" if isinstance(value, Function) else repr(value)
    return text if len(text) <= _REMARK else f"{text[: _REMARK - 3]}..."


def _encoded_size(number: int) -> int:
    """Bytes of an integer from 0 in deterministic CBOR. RFC 8949, 4.2.1."""
    if number < 24:
        return 1
    return 2 if number < 1 << 8 else 3 if number < 1 << 16 else 5 if number < 1 << 32 else 9
