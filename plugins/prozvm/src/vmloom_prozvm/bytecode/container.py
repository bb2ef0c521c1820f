"""Programs as bytes: what contracts are deployed as.

A container is the magic, a version, the SHA-256 hash of the rest, and the rest: deterministic CBOR of the program,
    program  = [constants, code, metadata]
    constant = [value] or [name, [parameter, ...], program]
    code     = [opcode, operand's integers, opcode, ...]
so that one program has one container, and what is read is written back to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias

from vmloom.errors import CodeTooLarge, InvalidCode

from .. import cbor
from ..errors import NotCanonical, ProzError, Unverifiable, ValueTooLarge
from ..values import Function, Value, ValueLimits, check_storable
from .opcodes import Opcode
from .program import Bytecode, Instruction, operand_parts
from .verify import (
    DEEPEST_FUNCTIONS,
    DEFAULT_CODE_LIMITS,
    CodeLimits,
    Path,
    parse_instruction,
    verify,
)

MAGIC: Final = b"\0proz"
VERSION: Final = 1

_VERSION_AT: Final = len(MAGIC)
_HASH_AT: Final = _VERSION_AT + 1
_BODY_AT: Final = _HASH_AT + 32
_LEVELS: Final = 3
"""Lists from a program to what is in its constants."""
_ANY_SIZE: Final = ValueLimits(
    integer_bits=8192,
    string_size=1 << 40,
    bytes_size=1 << 40,
    items=1 << 40,
    integer_keys=1 << 40,
    nesting=128,
    cells=1 << 40,
)
"""What can be encoded at all; `verify` knows what may run."""

_Place: TypeAlias = tuple[int, ...]


class _Misshapen(Exception):
    """The item that the indices of `place` lead to is not what must be there."""

    def __init__(self, reason: str, place: _Place) -> None:
        super().__init__(reason)
        self.place = place


def pack(program: Bytecode) -> bytes:
    """The container of a program, which need not be verified.

    Raises:
        Unverifiable: For what has no encoding, such as an operand that is no integer.
    """
    body = cbor.encode(_program_tree(program, "", ()))
    return MAGIC + bytes([VERSION]) + sha256(body).digest() + body


def unpack(data: bytes, limits: CodeLimits = DEFAULT_CODE_LIMITS) -> Bytecode:
    """The program in a container, verified.

    Raises:
        CodeTooLarge: Longer than `limits.size`; nothing else has been looked at.
        InvalidCode: Not a container, of an unknown version, damaged, not as `pack` writes it, or `Unverifiable`.
    """
    if len(data) > limits.size:
        raise CodeTooLarge(f"a container of {len(data)} bytes; the limit is {limits.size}")
    body = _body(data)
    depth = _LEVELS * (limits.function_nesting + 1) + limits.values.nesting
    try:
        tree = cbor.decode(body, depth=depth, integer_keys=limits.values.integer_keys)
        program = _program(tree, ())
        verify(program, limits)
    except NotCanonical as error:
        raise InvalidCode(error.reason, offset=_BODY_AT + error.offset) from None
    except ValueTooLarge as error:
        raise InvalidCode(str(error)) from None
    except _Misshapen as error:
        raise InvalidCode(str(error), offset=_BODY_AT + cbor.offset_of(body, error.place)) from None
    except Unverifiable as error:
        raise _located(error, program, body) from None
    return program


def _body(data: bytes) -> bytes:
    if data[: len(MAGIC)] != MAGIC:
        raise InvalidCode(f"not a ProzVM container: it does not begin with {MAGIC.hex()}", offset=0)
    if len(data) < _BODY_AT:
        raise InvalidCode(f"truncated: a container has more than {_BODY_AT} bytes", offset=len(data))
    if data[_VERSION_AT] != VERSION:
        reason = f"container version {data[_VERSION_AT]} is unknown; this package reads version {VERSION}"
        raise InvalidCode(reason, offset=_VERSION_AT).with_fix("pip install --upgrade vmloom-prozvm")
    body = data[_BODY_AT:]
    if sha256(body).digest() != data[_HASH_AT:_BODY_AT]:
        raise InvalidCode("damaged: the hash is not that of the program", offset=_HASH_AT)
    return body


# Writing


def _program_tree(program: Bytecode, name: str, path: Path) -> list[Any]:
    if len(path) > DEEPEST_FUNCTIONS:
        raise Unverifiable(f"nested deeper than {DEEPEST_FUNCTIONS}", function=name, path=path)
    constants = [_constant_tree(value, name, (*path, index)) for index, value in enumerate(program.constants)]
    code: list[int] = []
    for index, entry in enumerate(program.instructions):
        try:
            opcode, parts = parse_instruction(entry)
        except ValueError as error:
            raise Unverifiable(str(error), function=name, path=path, instruction=index) from None
        code += (int(opcode), *parts)
    try:
        check_storable(program.metadata, _ANY_SIZE)
    except ProzError as error:
        raise Unverifiable(f"metadata: {error}", function=name, path=path) from None
    return [constants, code, dict(program.metadata)]


def _constant_tree(value: Value, owner: str, path: Path) -> list[Any]:
    if isinstance(value, Function):
        if value.bound:
            reason = "a function with bound values, which only CLOSURE makes"
            raise Unverifiable(reason, function=owner, path=path[:-1], constant=path[-1])
        return [value.name, list(value.parameters), _program_tree(value.bytecode, value.name, path)]
    try:
        check_storable(value, _ANY_SIZE)
    except ProzError as error:
        raise Unverifiable(str(error), function=owner, path=path[:-1], constant=path[-1]) from None
    return [value]


# Reading


def _program(tree: Any, place: _Place) -> Bytecode:
    """By recursion into functions: `depth` of decoding bounds it."""
    if not _is_list(tree, 3):
        raise _Misshapen("a program must be a list of three: constants, code, metadata", place)
    constants, code, metadata = tree
    if type(constants) is not list:
        raise _Misshapen("constants must be a list", (*place, 0))
    if type(metadata) is not dict:
        raise _Misshapen("metadata must be a map", (*place, 2))
    return Bytecode(
        [_constant(item, (*place, 0, index)) for index, item in enumerate(constants)],
        _instructions(code, (*place, 1)),
        metadata,
    )


def _constant(tree: Any, place: _Place) -> Value:
    if _is_list(tree, 1):
        value: Value = tree[0]
        return value
    if not _is_list(tree, 3):
        raise _Misshapen("a constant must be a list of one, or of three for a function", place)
    name, parameters, body = tree
    if type(name) is not str or type(parameters) is not list or not all(type(item) is str for item in parameters):
        raise _Misshapen("a function must have a string as its name and a list of strings as parameters", place)
    return Function(name, tuple(parameters), _program(body, (*place, 2)))


def _instructions(code: Any, place: _Place) -> list[Instruction]:
    if type(code) is not list:
        raise _Misshapen("code must be a list", place)
    instructions: list[Instruction] = []
    known: dict[Instruction, Instruction] = {}  # equal ones share their memory: programs can be long
    at, end = 0, len(code)
    while at < end:
        form = _FORMS.get(code[at]) if type(code[at]) is int else None
        if form is None:
            raise _Misshapen(f"instruction {len(instructions)}: no such opcode", (*place, at))
        name, count = form
        at += 1
        if not count:
            entry: Instruction = name, None
        elif at + count > end:
            raise _Misshapen(f"instruction {len(instructions)}: {name} without its operand", (*place, at - 1))
        else:
            for index in range(at, at + count):
                if type(code[index]) is not int:
                    reason = f"instruction {len(instructions)}: the operand of {name} must be of integers"
                    raise _Misshapen(reason, (*place, index))
            entry = name, code[at] if count == 1 else (code[at], code[at + 1])
            at += count
        instructions.append(known.setdefault(entry, entry))
    return instructions


_FORMS: Final = {int(opcode): (opcode.name, operand_parts(opcode)) for opcode in Opcode}
"""(name, how many integers follow) of each opcode."""


def _is_list(tree: Any, length: int) -> bool:
    return type(tree) is list and len(tree) == length


def _located(error: Unverifiable, program: Bytecode, body: bytes) -> Unverifiable:
    """The same error with its offset in the container."""
    place: list[int] = []
    for index in error.path:
        place += (0, index, 2)
        function = program.constants[index]
        assert isinstance(function, Function)
        program = function.bytecode
    if error.instruction is not None:
        place += (1, _element(program.instructions, error.instruction))
    elif error.constant is not None:
        place += (0, error.constant)
    return Unverifiable(
        error.reason,
        function=error.function,
        path=error.path,
        instruction=error.instruction,
        constant=error.constant,
        offset=_BODY_AT + cbor.offset_of(body, place),
    )


def _element(instructions: Sequence[Instruction], index: int) -> int:
    """Where an instruction begins in the list of its function's code."""
    return sum(1 + len(parse_instruction(entry)[1]) for entry in instructions[:index])
