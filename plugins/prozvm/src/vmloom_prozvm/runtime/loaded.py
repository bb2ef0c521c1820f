"""Programs made ready to run: verified, opcodes and operands decoded, names turned into registers.

`load` is called once for each program. A run never changes what it returns, so any number of runs, in any threads,
can share it. Here is nothing of what instructions do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..bytecode.opcodes import OPERATIONS, Opcode, Operand
from ..bytecode.origins import original_index
from ..bytecode.program import Bytecode
from ..bytecode.verify import verify
from ..errors import Unverifiable
from ..values import Function
from .limits import Limits


class Unset:
    """What a register holds before anything is stored in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""The content of a register whose name has no value yet. No program ever sees it."""

REGISTERED: Final = frozenset(
    (Opcode.LOAD_NAME, Opcode.STORE_NAME, Opcode.STORE_GLOBAL, Opcode.STORE_CONST, Opcode.CALL_NAME)
)
"""The instructions whose name is a register; the names of the others are keys of the state or fields of the block."""


class Instruction(NamedTuple):
    """An instruction with its operand decoded: constants, keys and fields stand there themselves.

    LOAD_CONST value; LOAD_NAME, STORE_NAME and STORE_GLOBAL register; STORE_CONST (register, value); CALL_NAME
    (register, count); CALL_FUNC_CONST and CLOSURE (function, count); STATE_READ, STATE_WRITE and BLOCK string; others
    as in the bytecode.
    """

    opcode: Opcode
    operand: Any


class LoadedFunction:
    """A function, or the main program, ready to run.

    `registers` are the names that it stores or reads, parameters first; `globals` has for each the register of the
    same name in the main program. `instructions` have the indices that they have in the bytecode.
    """

    __slots__ = ("bytecode", "globals", "instructions", "name", "parameters", "prepared", "registers")

    def __init__(self, name: str, parameters: tuple[str, ...], bytecode: Bytecode) -> None:
        self.name = name
        self.parameters = parameters
        self.bytecode = bytecode
        self.registers: tuple[str, ...] = tuple(dict.fromkeys((*parameters, *_names(bytecode))))
        self.globals: tuple[int, ...] = ()
        self.instructions: tuple[Instruction, ...] = ()
        self.prepared: tuple[object, list[Any]] | None = None
        """(gas schedule, what the interpreter made for it): the last one, since there is hardly ever another."""

    def original(self, index: int) -> int:
        """The index that an instruction had before the program was optimised."""
        return original_index(self.bytecode, index)

    def __repr__(self) -> str:
        return f"<{self.name or 'main program'}: {len(self.instructions)} instructions>"


Functions = dict[int, tuple[Function, LoadedFunction]]
"""Loaded functions by the identity of their constant, which is kept alive."""


class Loaded:
    """A program ready to run, within `limits` and with `strict` as it was verified."""

    def __init__(self, bytecode: Bytecode, limits: Limits, *, strict: bool, verified: bool = False) -> None:
        self.bytecode = bytecode
        self.limits = limits
        self.strict = strict
        program = Function("", (), bytecode)
        names: dict[str, int] = {}
        self._functions = link(program, names, limits, strict=strict, verified=verified)
        self.main = self._functions.pop(id(program))[1]
        self.main.registers = tuple(names)  # its own come first; the others are read by functions only
        _check_registers(self.main, limits)

    def function(self, function: Function) -> LoadedFunction | None:
        """The loaded form of a constant of this program, or of what `bind` made of one; None for one from elsewhere."""
        found = self._functions.get(id(function.origin or function))
        return found[1] if found else None

    def functions(self) -> Iterator[LoadedFunction]:
        """The main program and its functions."""
        yield self.main
        for _, loaded in self._functions.values():
            yield loaded


def load(bytecode: Bytecode, limits: Limits | None = None, *, strict: bool = True, verified: bool = False) -> Loaded:
    """Verify `bytecode`, unless it is `verified` for these limits already, and make it ready to run.

    In what is not `strict` RETURN may find the stack empty; it gives None then. Raises `CodeError`.
    """
    return Loaded(bytecode, limits or Limits(), strict=strict, verified=verified)


def link(
    function: Function, names: dict[str, int], limits: Limits, *, strict: bool, verified: bool = False
) -> Functions:
    """Verify and decode `function` and those within it.

    `names` has the registers of the main program; names that are not among them get the next ones. Raises `CodeError`.
    """
    if not verified:
        verify(function.bytecode, limits, strict=strict)
    functions: Functions = {}
    for found in _functions(function):
        loaded = LoadedFunction(found.name, found.parameters, found.bytecode)
        _check_registers(loaded, limits)
        loaded.globals = tuple(names.setdefault(name, len(names)) for name in loaded.registers)
        loaded.instructions = tuple(_decode(loaded))
        functions[id(found)] = found, loaded
    return functions


def _decode(loaded: LoadedFunction) -> Iterator[Instruction]:
    constants: list[Any] = loaded.bytecode.constants
    registers = {name: number for number, name in enumerate(loaded.registers)}
    known: dict[Any, Instruction] = {}  # equal ones share their memory: programs can be long
    for name, operand in loaded.bytecode.instructions:
        if (name, operand) in known:
            yield known[name, operand]
            continue
        opcode = Opcode[name]
        decoded: Any = operand
        match OPERATIONS[opcode].operand, operand:
            case Operand.CONSTANT, int(index):
                decoded = constants[index]
            case Operand.NAME, int(index):
                decoded = registers[constants[index]] if opcode in REGISTERED else constants[index]
            case Operand.NAME_AND_CONSTANT, (int(index), int(value)):
                decoded = registers[constants[index]], constants[value]
            case Operand.NAME_AND_COUNT, (int(index), int(count)):
                decoded = registers[constants[index]], count
            case Operand.CONSTANT_AND_COUNT, (int(index), int(count)):
                decoded = constants[index], count
        known[name, operand] = instruction = Instruction(opcode, decoded)
        yield instruction


def _names(bytecode: Bytecode) -> Iterator[str]:
    """The names that the instructions have for registers, in order."""
    constants: list[Any] = bytecode.constants
    for name, operand in bytecode.instructions:
        if Opcode[name] in REGISTERED:
            yield constants[operand[0] if isinstance(operand, tuple) else operand]  # type: ignore[index]  # verified


def _functions(function: Function) -> Iterator[Function]:
    """`function`, the functions among its constants, and those among theirs."""
    pending, seen = [function], {id(function)}
    while pending:
        found = pending.pop()
        yield found
        for constant in found.bytecode.constants:
            if isinstance(constant, Function) and id(constant) not in seen:
                seen.add(id(constant))
                pending.append(constant)


def _check_registers(loaded: LoadedFunction, limits: Limits) -> None:
    if len(loaded.registers) > limits.registers:
        raise Unverifiable(
            f"{len(loaded.registers)} names; at most {limits.registers} are allowed", function=loaded.name
        )
