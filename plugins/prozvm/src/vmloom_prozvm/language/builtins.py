"""The functions that every program has, unless a variable hides them: each is one instruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ..bytecode.opcodes import Opcode
from ..values import Value
from . import core, tree
from .diagnostics import Diagnostic


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function by its name, and the instruction that takes what it is called with.

    Where `optional` is set, the parameter of that index may be left out, and is `default` then.
    """

    name: str
    opcode: Opcode
    parameters: tuple[str, ...]
    optional: int | None = None
    default: Value = None
    about: str = ""

    @property
    def signature(self) -> str:
        """As in `range([begin], end)`."""
        shown = (f"[{name}]" if index == self.optional else name for index, name in enumerate(self.parameters))
        return f"{self.name}({', '.join(shown)})"

    def check(self, call: tree.Call, report: Callable[[Diagnostic], None]) -> None:
        """Report a wrong number of arguments."""
        most = len(self.parameters)
        fewest = most if self.optional is None else most - 1
        given = len(call.arguments)
        if not fewest <= given <= most:
            wanted = f"{most}" if fewest == most else f"{fewest} or {most}"
            plural = "" if most == 1 else "s"
            message = f"`{self.name}` takes {wanted} argument{plural}, not {given}"
            report(Diagnostic(call.span, message, f"it is {self.signature}"))

    def apply(self, arguments: tuple[core.Expression, ...], span: tree.Span) -> core.Operate:
        """The call as an instruction, which has as many `arguments` as `check` allows."""
        operands = list(arguments)
        if self.optional is not None and len(operands) < len(self.parameters):
            operands.insert(self.optional, core.Constant(span, self.default))
        return core.Operate(span, self.opcode, tuple(operands))


def _table() -> Mapping[str, Builtin]:
    rows = [
        Builtin("len", Opcode.LENGTH, ("value",), about="how many characters, bytes, items or keys there are"),
        Builtin("keys", Opcode.ITEMS, ("map",), about="a map's keys in canonical order"),
        Builtin("items", Opcode.ITEMS, ("collection",), about="what `for each` goes through, as a list"),
        Builtin("range", Opcode.RANGE, ("begin", "end"), 0, 0, "the integers from `begin` (0) to below `end`"),
        Builtin("slice", Opcode.SLICE, ("value", "begin", "end"), about="the part from `begin` to before `end`"),
        Builtin("contains", Opcode.CONTAINS, ("collection", "item"), about="whether an item, key or part is there"),
        Builtin("str", Opcode.TO_STRING, ("value",), about="as a string: integers in decimal, bytes in hex"),
        Builtin("int", Opcode.TO_INTEGER, ("value",), about="as an integer, from decimal or 0x digits, or from bytes"),
        Builtin("bytes", Opcode.TO_BYTES, ("value", "size"), 1, None, "an integer in `size` bytes; a string in UTF-8"),
        Builtin("kind", Opcode.KIND, ("value",), about='its kind: "integer", "string", "list", ...'),
        Builtin("encode", Opcode.ENCODE, ("value",), about="its canonical encoding"),
        Builtin("decode", Opcode.DECODE, ("bytes",), about="the value of a canonical encoding"),
    ]
    return MappingProxyType({row.name: row for row in rows})


BUILTINS: Final = _table()
"""Every builtin by its name."""
