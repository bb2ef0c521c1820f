"""Programs as instructions with the source beside them: what `disasm` and `:disasm` show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..bytecode.opcodes import OPERATIONS, Opcode, Operand
from ..bytecode.origins import original_index
from ..bytecode.program import Bytecode
from ..bytecode.verify import parse_instruction
from ..language.sourcemap import SourceMap
from ..literals import literal
from ..values import Function, Value

if TYPE_CHECKING:
    from rich.text import Text

    from ..language.tree import Source

_CONSTANT: Final = 48
"""Characters of a constant that are shown."""
_WITH_CONSTANT: Final = (Operand.CONSTANT, Operand.NAME, Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT)


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction. `function` is "" in the program; `line` counts from 1, None where the source is not known."""

    function: str
    index: int
    name: str
    operand: str
    remark: str
    line: int | None


def lines_of(program: Bytecode) -> Iterator[Line]:
    """The instructions of the program, then those of each of its functions, and theirs."""
    places = SourceMap(program)
    pending: list[tuple[str, Bytecode]] = [("", program)]
    seen: set[int] = set()
    while pending:
        function, body = pending.pop(0)
        for index, entry in enumerate(body.instructions):
            opcode, parts = parse_instruction(entry)
            line = places.line_of(function, original_index(body, index))
            operand = "" if OPERATIONS[opcode].operand is Operand.NONE else " ".join(map(str, parts))
            yield Line(function, index, opcode.name, operand, _remark(opcode, parts, body.constants), line)
        for constant in body.constants:
            if isinstance(constant, Function) and id(constant) not in seen:
                seen.add(id(constant))
                pending.append((constant.name, constant.bytecode))


def _remark(opcode: Opcode, parts: tuple[int, ...], constants: list[Any]) -> str:
    """What the indices of an operand stand for."""
    operand = OPERATIONS[opcode].operand
    if operand is Operand.NAME_AND_CONSTANT:
        return f"{constants[parts[0]]} = {literal(constants[parts[1]], _CONSTANT)}"
    if operand not in _WITH_CONSTANT:
        return ""
    value: Value = constants[parts[0]]
    is_name = operand in (Operand.NAME, Operand.NAME_AND_COUNT) and isinstance(value, str) and value.isprintable()
    return str(value)[:_CONSTANT] if is_name else literal(value, _CONSTANT)


def shown(program: Bytecode, source: Source | None = None) -> Iterator[Text]:
    """The listing for people: each line of the source, if it is given, before its first instruction."""
    from rich.text import Text

    function, last = None, None
    for one in lines_of(program):
        if one.function != function:
            if function is not None:
                yield Text()
            function, last = one.function, None
            yield Text(f"action {function}:" if function else "program:", "bold")
        if one.line != last and one.line is not None:
            last = one.line
            words = "" if source is None or one.line > source.lines else f" | {source.line(one.line).strip()}"
            yield Text(f"  ; {one.line}{words}", "green")
        remark = f" {one.remark}" if one.remark else ""
        yield Text.assemble(f"{one.index:6}  ", (f"{one.name:<16}", "cyan"), f" {one.operand:<7}", (remark, "dim"))
