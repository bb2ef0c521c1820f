"""A function of PTX as a function of Python: registers are its local variables, blocks the leaves of a decision tree.

`count` is how many instructions the thread has run, and `limit` how many it may. Both are looked at where control goes
on to a block that can be reached from several places, so no loop is without them. A block that can be reached from one
place only is written there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import PtxError
from .flow import ENDS, Block, blocks_of, targets_of, unset_registers
from .instructions import guard_of, translated
from .scope import Scope
from .syntax import Function, Group, Register, Statement, Symbol

_DEPTH = 12
"""Branches within branches that are written in place: Python reads no more than a hundred of them."""


@dataclass(slots=True)
class Source:
    """A function of Python, and for each of its lines the line of PTX that it is for."""

    name: str
    lines: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def add(self, indent: int, text: str, line: int) -> None:
        """Add a line."""
        self.lines.append(f"{' ' * indent}{text}")
        self.places.append(line)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"


def translate(
    function: Function,
    name: str,
    symbols: Mapping[str, int],
    functions: Mapping[str, Function],
    names: Mapping[str, str],
) -> Source:
    """The Python function `name(T, parameters...)`. `names` are those of the other functions. Raises `PtxError`."""
    return _Translation(function, name, symbols, functions, names).source


class _Translation:
    """Writes one function."""

    def __init__(
        self,
        function: Function,
        name: str,
        symbols: Mapping[str, int],
        functions: Mapping[str, Function],
        names: Mapping[str, str],
    ) -> None:
        self.function, self.functions, self.names = function, functions, names
        self.scope = Scope(function, symbols, functions)
        self.blocks = blocks_of(function)
        self.source = Source(name)
        self.heads = self._heads()
        self.within: int | None = None
        """The block whose loop is being written."""
        if len(function.results) > 1:
            raise PtxError(function.line, f"{function.name!r} has more than one result, which is not emulated")
        self.write()

    def _heads(self) -> dict[int, None]:
        """Blocks that get a leaf, in order: control comes to them from several places, or too deep in others."""
        heads, open_ = {0}, [0]
        while open_:
            pending = [(number, 1) for number in self.blocks[open_.pop()].successors] if self.blocks else []
            while pending:
                number, depth = pending.pop()
                if number in heads:
                    continue
                if self.blocks[number].entries > 1 or depth > _DEPTH:
                    heads.add(number)
                    open_.append(number)
                else:
                    pending += [(successor, depth + 1) for successor in self.blocks[number].successors]
        return dict.fromkeys(sorted(heads))

    # The function

    def write(self) -> None:
        parameters = [self.scope.parameter(one.name)[0] for one in self.function.parameters]
        line = self.function.line
        body = Source("")
        outer, self.source = self.source, body
        if self.blocks:
            self.tree(list(self.heads), 2)
        else:
            self.leave(2, line)
        self.source = outer
        outer.add(0, f"def {outer.name}({', '.join(('T', *parameters))}):", line)
        for text in self.opening():
            outer.add(1, text, line)
        outer.add(1, "while count < limit:", line)
        outer.lines += body.lines
        outer.places += body.places
        outer.add(1, "T.count = count", line)
        outer.add(1, "raise Endless()", line)

    def opening(self) -> list[str]:
        """What is set before the first block. Registers that may be read before they are written hold a pattern."""
        lines = ["count, limit = T.count, T.limit", "carry = 0", "pc = 0"]
        if self.scope.frame:
            lines.append(f"frame = T.enter({self.scope.frame})")
        for name in sorted(unset_registers(self.function, self.blocks)):
            if name.startswith("%") and "." not in name and self.function.width(name) is not None:
                variable, width = self.scope.variable(name, self.function.statements[0])
                lines.append(f"{variable} = T.unset & {(1 << width) - 1:#x}")
        names = (*self.function.passed, *(one.name for one in self.function.results))
        return lines + [f"{self.scope.parameter(name)[0]} = 0" for name in names]

    def tree(self, heads: list[int], indent: int) -> None:
        """Go to the leaf of block `pc`."""
        if len(heads) == 1:
            self.leaf(heads[0], indent)
            return
        middle = len(heads) // 2
        self.source.add(indent, f"if pc < {heads[middle]}:", self.function.line)
        self.tree(heads[:middle], indent + 1)
        self.source.add(indent, "else:", self.function.line)
        self.tree(heads[middle:], indent + 1)

    def leaf(self, number: int, indent: int) -> None:
        """A block and those within it. If one of them comes back here, the leaf is a loop of its own."""
        if self._comes_back(number):
            self.source.add(indent, "while count < limit:", self.function.statements[self.blocks[number].first].line)
            self.within = number
            self.block(number, indent + 1)
            self.within = None
        else:
            self.block(number, indent)

    def _comes_back(self, number: int) -> bool:
        open_, seen = list(self.blocks[number].successors), set()
        while open_:
            it = open_.pop()
            if it == number:
                return True
            if it not in seen and it not in self.heads:
                seen.add(it)
                open_ += self.blocks[it].successors
        return False

    # Blocks

    def block(self, number: int, indent: int) -> None:
        block = self.blocks[number]
        statements = self.function.statements[block.first : block.end]
        self.source.add(indent, f"count += {len(statements)}", statements[0].line)
        for it in statements[:-1]:
            self.statement(it, indent)
        self.last(block, statements[-1], indent)

    def statement(self, it: Statement, indent: int) -> None:
        lines = self.call(it) if it.parts[0] == "call" else translated(self.scope, it)
        if it.guard is not None:
            self.source.add(indent, f"if {guard_of(self.scope, it)}:", it.line)
            indent += 1
        for text in lines:
            self.source.add(indent, text, it.line)

    def last(self, block: Block, it: Statement, indent: int) -> None:
        """The statement that ends a block, and where control goes then."""
        name, inside = it.parts[0], indent
        if name not in ("bra", "brx", *ENDS):
            self.statement(it, indent)
        else:
            if it.guard is not None:
                self.source.add(indent, f"if {guard_of(self.scope, it)}:", it.line)
                inside += 1
            self.leap(block, it, inside)
        if block.after is not None:
            self.go(block.after, indent, it.line)

    def leap(self, block: Block, it: Statement, indent: int) -> None:
        if len(it.parts) > 1 and it.text not in ("bra.uni", "brx.idx", "brx.idx.uni", "ret.uni"):
            raise PtxError(it.line, f"the instruction {it.text!r} is not emulated")
        match it.parts[0]:
            case "bra":
                self.go(block.targets[0], indent, it.line)
            case "brx":
                self.branch_by_index(block, it, indent)
            case "trap":
                self.source.add(indent, "raise Trapped()", it.line)
            case "exit" if not self.function.entry:
                self.source.add(indent, "T.count = count", it.line)
                self.source.add(indent, "raise Exited()", it.line)
            case _:
                self.leave(indent, it.line)

    def branch_by_index(self, block: Block, it: Statement, indent: int) -> None:
        if not targets_of(self.function, it):
            raise PtxError(it.line, f"{it.text!r} with no branch targets")
        index = self.scope.value(it.operands[0], 32, it)
        self.source.add(indent, f"pc = {block.targets}[{index}]", it.line)
        self.source.add(indent, "continue" if self.within is None else "break", it.line)

    def go(self, number: int, indent: int, line: int) -> None:
        """Go on with a block: here, if it belongs to nobody else."""
        if number == self.within:
            self.source.add(indent, "continue", line)
        elif number in self.heads:
            self.source.add(indent, f"pc = {number}", line)
            self.source.add(indent, "continue" if self.within is None else "break", line)
        else:
            self.block(number, indent)

    def leave(self, indent: int, line: int) -> None:
        self.source.add(indent, "T.count = count", line)
        if self.scope.frame:
            self.source.add(indent, "T.leave()", line)
        result = self.scope.parameter(self.function.results[0].name)[0] if self.function.results else "0"
        self.source.add(indent, f"return {result}", line)

    # Calls

    def call(self, it: Statement) -> list[str]:
        """`call (result), function, (parameters), prototype`: all but the function may be left out."""
        if it.text not in ("call", "call.uni"):
            raise PtxError(it.line, f"the instruction {it.text!r} is not emulated")
        operands = list(it.operands)
        result = self.scope.group(operands.pop(0), it) if operands and isinstance(operands[0], Group) else []
        if not operands or len(result) > 1:
            raise PtxError(it.line, f"{it.text!r} calls nothing, or has several results")
        called = operands.pop(0)
        given = self.scope.group(operands.pop(0), it) if operands and isinstance(operands[0], Group) else []
        arguments = "".join(f", {variable}" for variable, _ in given)
        if isinstance(called, Symbol):
            self.check_call(it, called.name, [one.size for _, one in given], [one.size for _, one in result])
            function = self.names[called.name]
        elif isinstance(called, Register):
            function = f"T.pointed({self.scope.value(called, 64, it)}, {len(given)}, {len(result)})"
        else:
            raise PtxError(it.line, f"{it.text!r} calls nothing")
        target = f"{result[0][0]} = " if result else ""
        return ["T.count = count", f"{target}{function}(T{arguments})", "count = T.count"]

    def check_call(self, it: Statement, name: str, given: list[int], result: list[int]) -> None:
        called = self.functions.get(name)
        if called is None or called.entry:
            raise PtxError(it.line, f"{name!r} is no function that can be called")
        if [one.size for one in called.parameters] != given or [one.size for one in called.results] != result:
            raise PtxError(it.line, f"{name!r} takes and gives other parameters")
