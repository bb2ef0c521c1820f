"""Programs from text: what `Bytecode.disassemble` prints, and by hand with labels and without numbers.

    Constants:
       0: 1
       1: function('next', ['n'])
    Instructions:
    again:
          LOAD_CONST            0     ; comments begin with ; or #
          JUMP_IF_FALSE         again

    Function 1:
        ...                           ; its constants and instructions, indented by four

Without any heading, all lines are instructions. For people and tests; nothing that runs contracts reads text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from vmloom.errors import InvalidCode

from ..errors import ProzError
from ..values import Function, Value, check
from .opcodes import OPERATIONS, Opcode, Operand
from .program import Bytecode, Instruction, OperandValue, opcode_of, operand_parts
from .verify import DEEPEST_FUNCTIONS

_INDENT: Final = "    "
_SECTIONS: Final = ("Constants:", "Metadata:", "Instructions:")
_FUNCTION: Final = re.compile(r"Function (\d+):")
_CONSTANT: Final = re.compile(r"(\d+):\s*(.*)")
_LABEL: Final = re.compile(r"([A-Za-z_]\w*):")
_INSTRUCTION: Final = re.compile(r"(?:(\d+)\s+)?([A-Za-z_]\w*)(?:\s+(\S.*))?")
_PAIR: Final = re.compile(r"\((.*),(.*)\)")


class _Line(NamedTuple):
    number: int
    text: str

    def fault(self, reason: str) -> InvalidCode:
        return InvalidCode(f"line {self.number}: {reason}")


def assemble(text: str) -> Bytecode:
    """The program that the text describes, not verified.

    Raises:
        InvalidCode: With the number of the line at fault, counted from 1.
    """
    lines = [_Line(number, line) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1)]
    return _Assembler(0).assemble(lines)


class _Assembler:
    """Reads one function; `level` is how many are around it."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.program = Bytecode()
        self.functions: dict[int, _Line] = {}  # constants whose body has not come yet
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[_Line, int, str]] = []

    def assemble(self, lines: Sequence[_Line]) -> Bytecode:
        section = "Instructions:"
        at = 0
        while at < len(lines):
            line = lines[at]
            text = line.text.strip()
            at += 1
            if found := _FUNCTION.fullmatch(text):
                body = _indented(lines, at)
                at += len(body)
                self.function(line, int(found[1]), body)
            elif text in _SECTIONS:
                section = text
            elif not _is_idle(text):
                self.line(section, line, text)
        for line in self.functions.values():
            raise line.fault("a function without a body")
        self.resolve()
        return self.program

    def line(self, section: str, line: _Line, text: str) -> None:
        if section == "Constants:":
            self.constant(line, text)
        elif section == "Metadata:":
            self.metadata(line, text)
        else:
            self.instruction(line, re.split("[;#]", text, maxsplit=1)[0].strip())

    def constant(self, line: _Line, text: str) -> None:
        found = _CONSTANT.fullmatch(text)
        if found is None:
            raise line.fault("a constant is written as `index: value`")
        self.numbered(line, found[1], len(self.program.constants), "constant")
        if not found[2].startswith("function("):
            self.program.add_constant(_value(line, found[2]))
            return
        head = _literal(line, found[2].removeprefix("function"))
        if not (isinstance(head, tuple) and len(head) == 2 and type(head[0]) is str and type(head[1]) is list):
            raise line.fault("a function is written as function('name', ['parameter', ...])")
        if not all(type(parameter) is str for parameter in head[1]):
            raise line.fault("parameters must be strings")
        index = self.program.add_constant(Function(head[0], tuple(head[1]), Bytecode()))
        self.functions[index] = line

    def metadata(self, line: _Line, text: str) -> None:
        entry = _literal(line, f"{{{text}}}")
        if not (isinstance(entry, dict) and len(entry) == 1 and all(type(key) is str for key in entry)):
            raise line.fault("metadata are written as `'key': value`")
        self.program.metadata.update(_checked(line, entry))

    def function(self, line: _Line, index: int, body: Sequence[_Line]) -> None:
        if index not in self.functions:
            raise line.fault(f"constant {index} is no function, or has its body already")
        if self.level == DEEPEST_FUNCTIONS:
            raise line.fault(f"functions nested deeper than {DEEPEST_FUNCTIONS}")
        del self.functions[index]
        head = self.program.constants[index]
        assert isinstance(head, Function)
        self.program.constants[index] = Function(head.name, head.parameters, _Assembler(self.level + 1).assemble(body))

    def instruction(self, line: _Line, text: str) -> None:
        here = len(self.program)
        if found := _LABEL.fullmatch(text):
            if found[1] in self.labels:
                raise line.fault(f"label `{found[1]}` is set twice")
            self.labels[found[1]] = here
            return
        found = _INSTRUCTION.fullmatch(text)
        if found is None:
            raise line.fault(f"not an instruction: {text[:60]!r}")
        if found[1] is not None:
            self.numbered(line, found[1], here, "instruction")
        try:
            opcode = opcode_of(found[2])
        except ValueError as error:
            raise line.fault(str(error)) from None
        self.program.instructions.append(self.operand(line, opcode, found[3]))

    def operand(self, line: _Line, opcode: Opcode, text: str | None) -> Instruction:
        if text is not None and OPERATIONS[opcode].operand is Operand.TARGET and text.isidentifier():
            self.jumps.append((line, len(self.program), text))
            return opcode.name, -1
        operand = _operand(line, text)
        parts = 0 if operand is None else 2 if isinstance(operand, tuple) else 1
        if parts != operand_parts(opcode):
            wanted = ("no operand", "one integer or label", "a pair of integers")[operand_parts(opcode)]
            raise line.fault(f"{opcode.name} takes {wanted}")
        return opcode.name, operand

    def resolve(self) -> None:
        for line, index, label in self.jumps:
            if label not in self.labels:
                raise line.fault(f"label `{label}` is not set")
            self.program.instructions[index] = (self.program.instructions[index][0], self.labels[label])

    def numbered(self, line: _Line, written: str, index: int, what: str) -> None:
        if written.lstrip("0") != str(index).lstrip("0"):
            raise line.fault(f"{what} {written[:20]} stands where {index} must; correct the number, or leave it out")


def _is_idle(text: str) -> bool:
    """Whether a line says nothing: it is empty, a comment, or the heading of a listing."""
    return not text or text[0] in ";#" or text.startswith("Bytecode Object (") or set(text) == {"="}


def _indented(lines: Sequence[_Line], at: int) -> list[_Line]:
    """The lines of a function's body, which begin here, without their indent."""
    body = []
    for line in lines[at:]:
        if line.text.strip() and not line.text.startswith(_INDENT):
            break
        body.append(_Line(line.number, line.text.removeprefix(_INDENT)))
    return body


def _operand(line: _Line, text: str | None) -> OperandValue:
    if text is None:
        return None
    if pair := _PAIR.fullmatch(text):
        return _integer(line, pair[1]), _integer(line, pair[2])
    return _integer(line, text)


def _integer(line: _Line, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise line.fault(f"not an integer: {text[:60]!r}") from None


def _value(line: _Line, text: str) -> Value:
    value: Value = _checked(line, _literal(line, text))
    return value


def _checked(line: _Line, value: Any) -> Any:
    try:
        check(value)
    except ProzError as error:
        raise line.fault(str(error)) from None
    return value


def _literal(line: _Line, text: str) -> Any:
    """A Python literal. What is nested too deep for Python's own parser is refused like any other mistake."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise line.fault(f"not a value: {text[:60]!r}") from None
