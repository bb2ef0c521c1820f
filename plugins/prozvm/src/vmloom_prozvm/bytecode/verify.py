"""What a program must keep to before it may run, and the depth of the stack at each of its instructions.

Loading verifies; so generated code and the optimiser rely on every promise here. Values on the stack have no kinds yet:
an operation on wrong ones is an error when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple, TypeAlias

from ..errors import ProzError, Unverifiable
from ..values import Function, ValueLimits, check, check_storable, kind_of
from .opcodes import ENDING, OPERATIONS, Opcode, Operand
from .program import Bytecode, opcode_of, operand_parts, stack_effect

DEEPEST_FUNCTIONS: Final = 32
"""No limit of function nesting may exceed this: functions are packed and read by recursion."""
_BY_NAME: Final = {opcode.name: opcode for opcode in Opcode}
_LARGEST_AMOUNT: Final = (1 << 63) - 1
_PATHS: Final = frozenset((Opcode.STATE_READ_AT, Opcode.STATE_WRITE_AT))
"""What takes keys, of which there is at least one."""

Path: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class CodeLimits:
    """How large code may be. All are at least 1."""

    size: int = 262_144
    """Bytes of a container."""
    instructions: int = 65_536
    """Instructions of one function."""
    constants: int = 4096
    """Constants of one function."""
    functions: int = 1024
    """Functions of one program, the program itself and those inside functions included."""
    function_nesting: int = 8
    """Functions inside each other, 1 to 32."""
    parameters: int = 64
    """Parameters of one function."""
    stack: int = 1024
    """Values on the stack of one function."""
    values: ValueLimits = field(default_factory=ValueLimits)
    """Of each constant, and of the metadata."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if limit.name != "values" and getattr(self, limit.name) < 1:
                raise ValueError(f"{limit.name}: must be at least 1, got {getattr(self, limit.name)}")
        if self.function_nesting > DEEPEST_FUNCTIONS:
            raise ValueError(f"function_nesting must be at most {DEEPEST_FUNCTIONS}")


DEFAULT_CODE_LIMITS: Final = CodeLimits()


def verify(program: Bytecode, limits: CodeLimits = DEFAULT_CODE_LIMITS, *, strict: bool = True) -> None:
    """Refuse a program that could go where no instruction is, take what the stack has not, or use a constant wrongly.

    Functions among the constants are programs, too. Instructions that nothing reaches are checked for their form only.
    Without `strict`, RETURN may find the stack empty.

    Raises:
        Unverifiable: With the function and the index of the instruction or constant at fault.
    """
    pending: list[tuple[str, Path, Bytecode]] = [("", (), program)]
    functions = 0
    while pending:
        name, path, code = pending.pop()
        functions += 1
        if functions + len(pending) > limits.functions:
            raise Unverifiable(f"more than {limits.functions} functions", function=name, path=path)
        if len(path) > limits.function_nesting:
            raise Unverifiable(f"nested deeper than {limits.function_nesting}", function=name, path=path)
        _Checker(code, limits, name, path).check(strict=strict)
        pending.extend(
            (constant.name, (*path, index), constant.bytecode)
            for index, constant in enumerate(code.constants)
            if isinstance(constant, Function)
        )


def stack_depths(code: Bytecode, limits: CodeLimits = DEFAULT_CODE_LIMITS, *, strict: bool = True) -> list[int | None]:
    """The number of values on the stack before each instruction, and last at the end; None where nothing leads.

    The program itself, not functions among its constants.

    Raises:
        Unverifiable: As `verify`.
    """
    checker = _Checker(code, limits, "", ())
    return checker.depths(checker.forms(), strict=strict)


def parse_instruction(entry: object) -> tuple[Opcode, tuple[int, ...]]:
    """An instruction's opcode and the integers of its operand, which may still be out of range.

    Raises:
        ValueError: The instruction has not the form of one.
    """
    if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], str):
        raise ValueError("an instruction is a pair of a name and an operand")
    opcode = _BY_NAME.get(entry[0]) or opcode_of(entry[0])
    operand = entry[1]
    wanted = operand_parts(opcode)
    if wanted == 1 and type(operand) is int:  # most are one of these two
        return opcode, (operand,)
    if wanted == 0 and operand is None:
        return opcode, ()
    parts = () if operand is None else operand if type(operand) is tuple else (operand,)
    if (
        len(parts) != wanted
        or (type(operand) is tuple) != (wanted == 2)
        or any(type(part) is not int for part in parts)
    ):
        form = ("no operand", "an integer as operand", "a pair of integers as operand")[wanted]
        raise ValueError(f"{opcode.name} has {form}")
    return opcode, parts


class _Form(NamedTuple):
    """An instruction: what it takes from the stack and puts there, and where control goes after it."""

    opcode: Opcode
    taken: int
    put: int
    goes_on: bool
    """whether the next instruction may be next"""
    target: int | None


class _Checker:
    """The checks of one function, and where it is for messages."""

    def __init__(self, code: Bytecode, limits: CodeLimits, name: str, path: Path) -> None:
        self.code = code
        self.limits = limits
        self.name = name
        self.path = path

    def check(self, *, strict: bool) -> None:
        self.sizes()
        self.constants()
        self.metadata()
        self.depths(self.forms(), strict=strict)

    def sizes(self) -> None:
        for what, have, most in (
            ("instructions", len(self.code.instructions), self.limits.instructions),
            ("constants", len(self.code.constants), self.limits.constants),
        ):
            if have > most:
                raise self.fault(f"{have} {what}; the limit is {most}")

    def constants(self) -> None:
        for index, constant in enumerate(self.code.constants):
            try:
                if isinstance(constant, Function):
                    self.function(constant, index)
                else:
                    check_storable(constant, self.limits.values)
            except ProzError as error:
                raise self.fault(str(error), constant=index) from None

    def function(self, function: Function, index: int) -> None:
        names = (function.name, *function.parameters) if isinstance(function.parameters, tuple) else (None,)
        for name in names:
            if not isinstance(name, str):
                raise self.fault("a function's name and parameters must be strings", constant=index)
            check(name, self.limits.values)
        if len(function.parameters) > self.limits.parameters:
            reason = f"{len(function.parameters)} parameters; the limit is {self.limits.parameters}"
            raise self.fault(reason, constant=index)
        if len(set(function.parameters)) != len(function.parameters):
            raise self.fault("two parameters of one name", constant=index)
        if function.bound:
            raise self.fault("a function with bound values, which only CLOSURE makes", constant=index)
        if not isinstance(function.bytecode, Bytecode):
            raise self.fault("a function without a body", constant=index)

    def metadata(self) -> None:
        if not all(isinstance(key, str) for key in self.code.metadata):
            raise self.fault("metadata: keys must be strings")
        try:
            check_storable(self.code.metadata, self.limits.values)
        except ProzError as error:
            raise self.fault(f"metadata: {error}") from None

    def forms(self) -> list[_Form]:
        """Every instruction, with its operand in range."""
        forms: list[_Form] = []
        known: dict[int, _Form] = {}  # by identity, which equal ones of a container share
        for index, entry in enumerate(self.code.instructions):
            form = known.get(id(entry))
            if form is None:
                try:
                    opcode, parts = parse_instruction(entry)
                    self.operand(opcode, parts)
                except ValueError as error:
                    raise self.fault(str(error), instruction=index) from None
                target = parts[0] if OPERATIONS[opcode].operand is Operand.TARGET else None
                form = known[id(entry)] = _Form(
                    opcode, *stack_effect(opcode, entry[1]), goes_on=opcode not in ENDING, target=target
                )
            forms.append(form)
        return forms

    def operand(self, opcode: Opcode, parts: Sequence[int]) -> None:
        match OPERATIONS[opcode].operand:
            case Operand.CONSTANT:
                self.constant(parts[0])
            case Operand.NAME:
                self.string(parts[0])
            case Operand.NAME_AND_CONSTANT:
                self.string(parts[0])
                self.constant(parts[1])
            case Operand.TARGET:
                _in_range(parts[0], len(self.code.instructions), "target")  # the end is a target, too
            case Operand.COUNT:
                _in_range(parts[0], self.limits.stack, "count", least=1 if opcode in _PATHS else 0)
            case Operand.NAME_AND_COUNT:
                self.string(parts[0])
                _in_range(parts[1], self.limits.stack, "count")
            case Operand.CONSTANT_AND_COUNT:
                self.callee(opcode, parts[0], parts[1])
            case Operand.AMOUNT:
                _in_range(parts[0], _LARGEST_AMOUNT, "amount")

    def constant(self, index: int) -> object:
        if not 0 <= index < len(self.code.constants):
            raise ValueError(f"constant {index} of {len(self.code.constants)}")
        return self.code.constants[index]

    def string(self, index: int) -> None:
        constant = self.constant(index)
        if type(constant) is not str:
            raise ValueError(f"constant {index} must be a string, which a name is; it is {kind_of(constant)}")

    def callee(self, opcode: Opcode, index: int, count: int) -> None:
        constant = self.constant(index)
        if not isinstance(constant, Function):
            raise ValueError(f"constant {index} must be a function; it is {kind_of(constant)}")
        if opcode is Opcode.CLOSURE and 0 <= count <= len(constant.parameters):
            return
        if count != len(constant.parameters):
            raise ValueError(f"`{constant.name}` has {len(constant.parameters)} parameters, not {count}")

    def depths(self, forms: Sequence[_Form], *, strict: bool) -> list[int | None]:
        """Follow every path once. Each instruction must be reached with one depth, whichever path leads there.

        What is not a jump takes hardly more than a look: hostile code is large, and the caller pays for its bytes.
        """
        end, most = len(forms), self.limits.stack
        depths: list[int | None] = [None] * (end + 1)
        depths[0] = depth = 0
        pending = [0]
        while pending:
            index = pending.pop()
            depth = depths[index] or 0
            while index != end:
                opcode, taken, put, goes_on, target = forms[index]
                if taken > depth:
                    if strict or opcode is not Opcode.RETURN:
                        raise self.lack(index, opcode, taken, depth)
                    taken = depth
                depth += put - taken
                if depth > most:
                    raise self.fault(f"more than {most} values on the stack", instruction=index)
                if goes_on and target is None and depths[index + 1] is None:
                    index += 1
                    depths[index] = depth
                    continue
                for following in ([index + 1] if goes_on else []) + ([] if target is None else [target]):
                    if depths[following] is None:
                        depths[following] = depth
                        pending.append(following)
                    elif depths[following] != depth:
                        raise self.mismatch(index, following, depth, depths)
                break
        return depths

    def lack(self, index: int, opcode: Opcode, taken: int, depth: int) -> Unverifiable:
        if opcode is Opcode.RETURN:
            return self.fault("RETURN on an empty stack", instruction=index)
        return self.fault(f"{opcode.name} takes {taken} of {depth} values", instruction=index)

    def mismatch(self, index: int, target: int, depth: int, depths: Sequence[int | None]) -> Unverifiable:
        where = "the end" if target == len(depths) - 1 else f"instruction {target}"
        reason = f"goes on to {where} with {depth} values on the stack, where another way has {depths[target]}"
        return self.fault(reason, instruction=index)

    def fault(self, reason: str, *, instruction: int | None = None, constant: int | None = None) -> Unverifiable:
        return Unverifiable(reason, function=self.name, path=self.path, instruction=instruction, constant=constant)


def _in_range(number: int, most: int, what: str, *, least: int = 0) -> None:
    if not least <= number <= most:
        raise ValueError(f"{what} {number} is not in {least} to {most}")
