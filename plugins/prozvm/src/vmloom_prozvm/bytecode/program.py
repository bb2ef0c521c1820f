"""Programs: constants, instructions and metadata, and the builder that writes them by value instead of by index.

`Bytecode` only holds: a program can be wrong in any way until `verify` has seen it. Running one is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Self, TypeAlias

from ..values import Function, Value, same
from .opcodes import OPERATIONS, Opcode, Operand

OperandValue: TypeAlias = int | tuple[int, int] | None
Instruction: TypeAlias = tuple[str, OperandValue]

_RULE: Final = "=" * 60
_PAIRS: Final = frozenset((Operand.NAME_AND_CONSTANT, Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT))

_PARTS: Final = {
    opcode: 0 if form.operand is Operand.NONE else 2 if form.operand in _PAIRS else 1
    for opcode, form in OPERATIONS.items()
}


@dataclass(eq=False)
class Bytecode:
    """A program, or the body of a function. `metadata` is for tools and does not change what the program does."""

    constants: list[Value] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    metadata: dict[str, Value] = field(default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def add_constant(self, value: Value) -> int:
        """Append a constant and return its index. One that is there already gets a second index."""
        self.constants.append(value)
        return len(self.constants) - 1

    def add_instruction(self, name: str | Opcode, operand: OperandValue = None) -> int:
        """Append an instruction and return its index.

        Raises:
            ValueError: No instruction has this name. The operand is left to `verify`.
        """
        self.instructions.append((opcode_of(name).name, operand))
        return len(self.instructions) - 1

    def disassemble(self) -> str:
        """The program as text, without a newline at the end. `assemble` reads it back."""
        return "\n".join(_listing(self))

    def __len__(self) -> int:
        """The number of instructions."""
        return len(self.instructions)

    def __bool__(self) -> bool:
        return True  # an empty program is a program

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bytecode):
            return NotImplemented
        return (
            self.instructions == other.instructions
            and len(self.constants) == len(other.constants)
            and all(map(_same_constant, self.constants, other.constants))
            and same(self.metadata, other.metadata)  # type: ignore[arg-type]
        )


def function(name: str, parameters: Iterable[str], body: Bytecode) -> Function:
    """A function as a constant: CALL_FUNC_CONST calls it, LOAD_CONST and STORE_NAME give it a name for CALL_NAME."""
    return Function(name, tuple(parameters), body)


def opcode_of(name: str | Opcode) -> Opcode:
    """The opcode of this name.

    Raises:
        ValueError: There is none; with the nearest that there is.
    """
    if isinstance(name, Opcode):
        return name
    try:
        return Opcode[name]
    except KeyError:
        near = get_close_matches(str(name), Opcode.__members__, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"{name!r}: no such instruction{hint}") from None


def operand_parts(opcode: Opcode) -> int:
    """How many integers follow the opcode: 0, 1 or 2."""
    return _PARTS[opcode]


def stack_effect(opcode: Opcode, operand: OperandValue) -> tuple[int, int]:
    """(taken, put): how many values the instruction takes from the stack, and how many it puts there afterwards.

    The operand must be of the form that the opcode has.
    """
    form = OPERATIONS[opcode]
    if opcode is Opcode.BUILD_MAP:
        return 2 * _count(operand), form.pushes
    if form.operand is Operand.COUNT:
        return form.pops + _count(operand), form.pushes
    if form.operand in (Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT):
        assert isinstance(operand, tuple)
        return form.pops + operand[1], form.pushes
    return form.pops, form.pushes


class BytecodeBuilder:
    """Writes a program with values, names and labels where instructions have indices.

    Equal constants share an index. A label may be used before it is set.
    """

    def __init__(self) -> None:
        self._program = Bytecode()
        self._indices: dict[Any, int] = {}
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def emit(self, name: str | Opcode, *operands: Any) -> Self:
        """Append an instruction: a value for a constant, a string for a name, a label for a target, an int for a count.

        Raises:
            ValueError: No such instruction, or another number of operands than it has.
            TypeError: A name or label that is no string, a count that is no int.
        """
        opcode = opcode_of(name)
        if len(operands) != operand_parts(opcode):
            raise ValueError(f"{opcode.name} has {operand_parts(opcode)} operands, not {len(operands)}")
        kind = OPERATIONS[opcode].operand
        if kind is Operand.TARGET:
            self._jumps.append((len(self._program), _typed(operands[0], str, "a label")))
            self._program.add_instruction(opcode, -1)
            return self
        parts = tuple(write(self, part) for write, part in zip(_WRITERS[kind], operands, strict=True))
        self._program.add_instruction(opcode, parts if len(parts) == 2 else parts[0] if parts else None)
        return self

    def label(self, name: str) -> Self:
        """Name the place of the next instruction, or the end of the program.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._labels:
            raise ValueError(f"label {name!r} is set twice")
        self._labels[name] = len(self._program)
        return self

    def constant(self, value: Value) -> int:
        """The index of a constant, added if none of its kind and value is there. Functions are always added."""
        key = _constant_key(value)
        if key is None:
            return self._program.add_constant(value)
        if key not in self._indices:
            self._indices[key] = self._program.add_constant(value)
        return self._indices[key]

    def build(self, **metadata: Value) -> Bytecode:
        """The program, apart from the builder.

        Raises:
            ValueError: A label that is used and not set.
        """
        built = Bytecode(list(self._program.constants), list(self._program.instructions), dict(metadata))
        for index, label in self._jumps:
            if label not in self._labels:
                raise ValueError(f"label {label!r} is used and not set")
            built.instructions[index] = (built.instructions[index][0], self._labels[label])
        return built

    def _name(self, value: object) -> int:
        return self.constant(_typed(value, str, "a name"))

    def _number(self, value: object) -> int:
        number: int = _typed(value, int, "a count")
        return number


_WRITERS: Final[dict[Operand, tuple[Callable[[BytecodeBuilder, Any], int], ...]]] = {
    Operand.NONE: (),
    Operand.CONSTANT: (BytecodeBuilder.constant,),
    Operand.NAME: (BytecodeBuilder._name,),
    Operand.NAME_AND_CONSTANT: (BytecodeBuilder._name, BytecodeBuilder.constant),
    Operand.COUNT: (BytecodeBuilder._number,),
    Operand.NAME_AND_COUNT: (BytecodeBuilder._name, BytecodeBuilder._number),
    Operand.CONSTANT_AND_COUNT: (BytecodeBuilder.constant, BytecodeBuilder._number),
    Operand.AMOUNT: (BytecodeBuilder._number,),
}


def _listing(program: Bytecode) -> list[str]:
    lines = [
        f"Bytecode Object ({len(program.instructions)} instructions, {len(program.constants)} constants)",
        _RULE,
        "",
        "Constants:",
        *(f"  {index:3d}: {_shown(value)}" for index, value in enumerate(program.constants)),
    ]
    if program.metadata:
        lines += ["", "Metadata:", *(f"  {key!r}: {value!r}" for key, value in program.metadata.items())]
    lines += ["", "Instructions:"]
    for index, (name, operand) in enumerate(program.instructions):
        line = f"  {index:4d}  {name:<20}"
        lines.append(line if operand is None else f"{line}  {operand}")
    for index, value in enumerate(program.constants):
        if isinstance(value, Function):
            lines += ["", f"Function {index}:"]
            lines += [f"    {line}" if line else "" for line in _listing(value.bytecode)]
    return lines


def _shown(value: Value) -> str:
    if isinstance(value, Function):
        return f"function({value.name!r}, {list(value.parameters)!r})"
    return repr(value)


def _same_constant(one: Value, other: Value) -> bool:
    if isinstance(one, Function) and isinstance(other, Function):
        return same(one, other) and one.bytecode == other.bytecode
    return same(one, other)


def _constant_key(value: Any) -> Any:
    """Something hashable that two constants have in common if and only if they are the same; None for functions.

    The order of a map's keys counts: it is seen when the map is printed.
    """
    kind = type(value)
    if kind is list:
        parts = tuple(map(_constant_key, value))
        return None if None in parts else (list, parts)
    if kind is dict:
        parts = tuple((_constant_key(key), _constant_key(item)) for key, item in value.items())
        return None if any(item is None for _, item in parts) else (dict, parts)
    return (kind, value) if value is None or kind in (bool, int, str, bytes) else None


def _count(operand: OperandValue) -> int:
    assert isinstance(operand, int)
    return operand


def _typed(value: object, kind: type[Any], what: str) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{what} must be {kind.__name__}, not {type(value).__name__}")
    return value
