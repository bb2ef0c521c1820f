"""PTX text as a tree: variables and functions, and in these statements with their operands.

The grammar of the PTX ISA, as far as compilers use it. Whatever else stands there is a `PtxError` that names its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn, TypeAlias

from .errors import PtxError

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|//.*)
    |(?P<word>\.?[%$A-Za-z_][\w$]*(?:(?:\.|::)[\w$]+)*)
    |(?P<mark>[{}()\[\],;:+\-@!<>=|])
    |(?P<float>0[fFdD][0-9a-fA-F]+)
    |(?P<decimal>[0-9]+\.[0-9]+)
    |(?P<number>0[xX][0-9a-fA-F]+U?|[0-9]+U?)
    |(?P<string>"[^"]*")
    |(?P<wrong>.)""",
    re.VERBOSE,
)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
WIDTHS: Final = {"pred": 1} | {
    f"{kind}{bits}": bits
    for kind, all_bits in (("b", (8, 16, 32, 64, 128)), ("u", (8, 16, 32, 64)), ("s", (8, 16, 32, 64)), ("f", (32, 64)))
    for bits in all_bits
}
"""Bits of each type."""
_MOST_ELEMENTS: Final = 1 << 26
_NESTING: Final = 64
_SAME_LINE: Final = (".loc", ".file")
_LINKING: Final = (".visible", ".weak", ".internal", ".common")
_TUNING: Final = {".maxntid": 3, ".reqntid": 3, ".minnctapersm": 1, ".maxnctapersm": 1, ".maxnreg": 1, ".noreturn": 0}
_SPACES: Final = (".global", ".const")
_REFUSED_SPACES: Final = (".shared", ".tex", ".surf")


@dataclass(frozen=True, slots=True)
class Register:
    """A register, or a special one such as `%tid.x`; `negated` is `!%p`."""

    name: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Immediate:
    """A constant integer."""

    value: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable, a function, a label or a parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Address:
    """`[base + offset]`."""

    base: Register | Symbol | Immediate
    offset: int


@dataclass(frozen=True, slots=True)
class Vector:
    """`{a, b}`."""

    elements: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`(a, b)` of a call, or `p|q` of a comparison."""

    elements: tuple[Operand, ...]


Operand: TypeAlias = Register | Immediate | Symbol | Address | Vector | Group


@dataclass(frozen=True, slots=True)
class Statement:
    """An instruction, with all between dots in `parts`, and the register that guards it, if one does."""

    line: int
    parts: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: Register | None

    @property
    def text(self) -> str:
        """The instruction's name in full."""
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Variable:
    """Memory with a name: `size` bytes, and the elements that it begins with, integers or addresses of symbols."""

    line: int
    space: str
    name: str
    width: int
    count: int
    alignment: int
    values: tuple[int | Symbol, ...]

    @property
    def size(self) -> int:
        """bytes"""
        return self.width // 8 * self.count


@dataclass(slots=True)
class Function:
    """A kernel (`entry`) or a function. Its registers are declared by prefix and number, or by name, with a width."""

    line: int
    name: str
    entry: bool
    parameters: tuple[Variable, ...] = ()
    results: tuple[Variable, ...] = ()
    most_threads: int | None = None
    registers: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    locals: dict[str, Variable] = field(default_factory=dict)
    passed: dict[str, Variable] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def width(self, name: str) -> int | None:
        """Bits of a register; None for one that is not declared."""
        if name in self.registers:
            return self.registers[name]
        prefix = name.rstrip("0123456789")
        if prefix not in self.ranges or prefix == name:
            return None
        count, width = self.ranges[prefix]
        digits = name[len(prefix) :]
        return width if len(digits) < 10 and int(digits) < count and str(int(digits)) == digits else None


@dataclass(slots=True)
class Module:
    """All that stands in a text."""

    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    without_comments = _COMMENT.sub(lambda comment: " " + "\n" * comment[0].count("\n"), text)
    line = 0
    for line, content in enumerate(without_comments.split("\n"), 1):
        for found in _TOKEN.finditer(content):
            kind = found.lastgroup or ""
            if kind == "wrong":
                raise PtxError(line, f"{content[found.start() : found.start() + 20]!r} is not PTX")
            if kind != "space":
                yield _Token(kind, found[0], line)
    yield _Token("end", "the end of the text", line)


def parse(text: str) -> Module:
    """The tree of a text. Raises `PtxError`."""
    return _Parser(text).module()


class _Parser:
    """Reads token by token. `scopes` are the names that inner braces give to parameters of calls."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.place = 0
        self.tree = Module()
        self.scopes: list[dict[str, str]] = []

    # Tokens

    @property
    def now(self) -> _Token:
        return self.tokens[self.place]

    def next(self) -> _Token:
        token = self.now
        self.place += token.kind != "end"
        return token

    def fail(self, reason: str, token: _Token | None = None) -> NoReturn:
        raise PtxError((token or self.now).line, reason)

    def take(self, text: str) -> bool:
        """Go past this token, if it is the next one."""
        if self.now.text != text or self.now.kind == "string":
            return False
        self.next()
        return True

    def expect(self, text: str) -> None:
        if not self.take(text):
            self.fail(f"expected {text!r}, found {self.now.text!r}")

    def word(self) -> str:
        if self.now.kind != "word":
            self.fail(f"expected a name, found {self.now.text!r}")
        return self.next().text

    def name(self) -> str:
        found = self.word()
        if found.startswith("."):
            self.fail(f"expected a name, found {found!r}")
        return found

    def integer(self) -> int:
        negative = self.take("-")
        if self.now.kind == "float":
            self.fail("floating-point constants are not emulated")
        if self.now.kind != "number":
            self.fail(f"expected a number, found {self.now.text!r}")
        text = self.next().text.rstrip("U")
        if len(text) > 40:
            self.fail(f"{text[:20]}... is too large")
        octal = len(text) > 1 and text[0] == "0" and text.isdigit()
        if octal and set(text) & set("89"):
            self.fail(f"{text!r} is no octal number")
        value = int(text, 8) if octal else int(text, 0)
        if value >= 1 << 64:
            self.fail(f"{text} is larger than 64 bits")
        return -value if negative else value

    # The module

    def module(self) -> Module:
        while self.now.kind != "end":
            self.top_level()
        return self.tree

    def top_level(self) -> None:
        start = self.now
        if start.text in _SAME_LINE:
            self.skip_line()
            return
        while self.now.text in _LINKING:
            self.next()
        match self.word():
            case ".version" | ".target":
                self.skip_line(start.line)
            case ".address_size":
                if self.integer() != 64:
                    self.fail("only addresses of 64 bits are emulated", start)
            case ".entry" | ".func" as kind:
                self.function(start, entry=kind == ".entry")
            case ".pragma":
                self.skip_to(";")
            case ".extern":
                self.fail("what is defined elsewhere is not emulated", start)
            case space if space in _SPACES:
                self.variables(space)
            case space if space in _REFUSED_SPACES:
                self.fail(f"memory in the space {space!r} is not emulated: threads run one after the other", start)
            case other:
                self.fail(f"{other!r} is not emulated here", start)

    def skip_line(self, line: int | None = None) -> None:
        line = self.now.line if line is None else line
        while self.now.line == line and self.now.kind != "end":
            self.next()

    def skip_to(self, text: str) -> None:
        while not self.take(text):
            if self.now.kind == "end":
                self.fail(f"expected {text!r}, found {self.now.text!r}")
            self.next()

    def variables(self, space: str) -> None:
        while True:
            found = self.declared(space, initialised=True)
            if found.name in self.tree.variables or found.name in self.tree.functions:
                self.fail(f"{found.name!r} is defined twice")
            self.tree.variables[found.name] = found
            if self.take(";"):
                return
            self.fail(f"expected ';', found {self.now.text!r}")

    def declared(self, space: str, *, initialised: bool = False) -> Variable:
        """What follows a state space: `.align 8 .b8 name[16] = {...}`."""
        line, alignment, width = self.now.line, 1, 0
        while self.now.kind == "word" and self.now.text.startswith("."):
            match self.next().text:
                case ".align":
                    alignment = self.integer()
                case ".ptr":
                    continue
                case ".global" | ".local" | ".const" | ".shared" | ".attribute":
                    continue
                case type_ if type_[1:] in WIDTHS and type_ != ".pred":
                    width = WIDTHS[type_[1:]]
                case other:
                    self.fail(f"{other!r} is not emulated in a declaration")
        if not width:
            self.fail("a declaration without a type")
        if alignment <= 0 or alignment & (alignment - 1) or alignment > 1 << 16:
            self.fail(f"an alignment to {alignment}")
        name = self.name()
        count = self.dimensions()
        values = self.initial() if initialised and self.take("=") else ()
        if len(values) > count:
            self.fail(f"{name!r} has {count} elements, and {len(values)} values")
        return Variable(line, space[1:], name, width, count, max(alignment, width // 8), values)

    def dimensions(self) -> int:
        count = 1
        while self.take("["):
            if self.now.text == "]":
                self.fail("an array without a size is not emulated")
            count *= self.integer()
            self.expect("]")
            if not 0 < count <= _MOST_ELEMENTS:
                self.fail(f"an array of {count} elements")
        return count

    def initial(self) -> tuple[int | Symbol, ...]:
        if not self.take("{"):
            return (self.initial_value(),)
        values = [self.initial_value()]
        while self.take(","):
            values.append(self.initial_value())
        self.expect("}")
        return tuple(values)

    def initial_value(self) -> int | Symbol:
        if self.now.kind == "word":
            name = self.name()
            if name == "generic":
                self.expect("(")
                name = self.name()
                self.expect(")")
            return Symbol(name)
        return self.integer()

    # Functions

    def function(self, start: _Token, *, entry: bool) -> None:
        results = self.parameter_list() if self.now.text == "(" else ()
        name = self.name()
        parameters = self.parameter_list() if self.now.text == "(" else ()
        found = Function(start.line, name, entry, parameters, results)
        self.tuning(found)
        if self.take(";"):
            return  # a declaration of what is defined further down
        if name in self.tree.functions or name in self.tree.variables:
            self.fail(f"{name!r} is defined twice", start)
        self.body(found)
        self.tree.functions[name] = found

    def parameter_list(self) -> tuple[Variable, ...]:
        self.expect("(")
        found: list[Variable] = []
        while not self.take(")"):
            if found:
                self.expect(",")
            if self.word() not in (".param", ".reg"):
                self.fail("expected '.param'")
            found.append(self.declared(".param"))
        return tuple(found)

    def tuning(self, function: Function) -> None:
        while self.now.text in _TUNING:
            directive, numbers = self.next().text, []
            while self.now.kind == "number":
                numbers.append(self.integer())
                if not self.take(","):
                    break
            if len(numbers) > _TUNING[directive]:
                self.fail(f"{directive} with {len(numbers)} numbers")
            if directive in (".maxntid", ".reqntid"):
                function.most_threads = 1
                for number in numbers:
                    function.most_threads *= number

    def body(self, function: Function) -> None:
        self.expect("{")
        self.scopes = [{}]
        while self.scopes:
            if self.take("{"):
                self.scopes.append({})
                if len(self.scopes) > _NESTING:
                    self.fail("braces nested too deep")
            elif self.take("}"):
                self.scopes.pop()
            else:
                self.item(function)

    def item(self, function: Function) -> None:
        token = self.now
        if token.kind == "end":
            self.fail(f"{function.name!r} has no end")
        if token.text in _SAME_LINE:
            self.skip_line()
        elif token.text.startswith("."):
            self.declaration(function)
        elif token.kind == "word" and self.tokens[self.place + 1].text == ":":
            self.label(function)
        else:
            self.statement(function)

    def declaration(self, function: Function) -> None:
        token = self.next()
        match token.text:
            case ".reg":
                self.registers(function)
            case ".local":
                local = self.declared(".local")
                self.once(function, local.name, token)
                function.locals[local.name] = local
                self.expect(";")
            case ".param":
                passed = self.declared(".param")
                unique = f"{passed.name}@{len(function.passed)}"
                self.scopes[-1][passed.name] = unique
                function.passed[unique] = passed
                self.expect(";")
            case ".pragma":
                self.skip_to(";")
            case other:
                self.fail(f"{other!r} is not emulated in a function", token)

    def once(self, function: Function, name: str, token: _Token) -> None:
        if name in function.locals or function.width(name) is not None:
            self.fail(f"{name!r} is declared twice", token)

    def registers(self, function: Function) -> None:
        type_ = self.word()
        if type_[1:] not in WIDTHS or type_[0] != ".":
            self.fail(f"{type_!r} is no type of registers")
        while True:
            token = self.now
            name = self.name()
            if self.take("<"):
                if name in function.ranges:
                    self.fail(f"{name!r} is declared twice", token)
                function.ranges[name] = (self.integer(), WIDTHS[type_[1:]])
                self.expect(">")
            else:
                self.once(function, name, token)
                function.registers[name] = WIDTHS[type_[1:]]
            if self.take(";"):
                return
            self.expect(",")

    def label(self, function: Function) -> None:
        token = self.now
        name = self.name()
        self.expect(":")
        if self.take(".branchtargets"):
            targets = [self.name()]
            while self.take(","):
                targets.append(self.name())
            self.expect(";")
            function.tables[name] = tuple(targets)
        elif self.take(".callprototype"):
            self.skip_to(";")
            function.tables[name] = ()
        elif name in function.labels:
            self.fail(f"{name!r} is defined twice", token)
        else:
            function.labels[name] = len(function.statements)

    def statement(self, function: Function) -> None:
        guard = None
        if self.take("@"):
            negated = self.take("!")
            guard = Register(self.name(), negated)
        token = self.now
        parts = tuple(self.name().split("."))
        operands: list[Operand] = []
        while not self.take(";"):
            if operands:
                self.expect(",")
            operands.append(self.operand())
        function.statements.append(Statement(token.line, parts, tuple(operands), guard))

    def operand(self) -> Operand:
        if self.take("{"):
            return Vector(self.elements("}"))
        if self.take("("):
            return Group(() if self.take(")") else self.elements(")"))
        if self.take("["):
            return self.address()
        first = self.scalar()
        if self.take("|"):
            return Group((first, self.scalar()))
        return first

    def elements(self, end: str) -> tuple[Operand, ...]:
        found: list[Operand] = [self.scalar()]
        while self.take(","):
            found.append(self.scalar())
        self.expect(end)
        return tuple(found)

    def scalar(self) -> Register | Immediate | Symbol:
        negated = self.take("!")
        if self.now.kind == "word":
            name = self.name()
            if name.startswith("%") or negated:
                return Register(name, negated)
            return Symbol(self.renamed(name))
        return Immediate(self.integer())

    def renamed(self, name: str) -> str:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return name

    def address(self) -> Address:
        base, offset = self.scalar(), 0
        if isinstance(base, Register) and base.negated:
            self.fail("an address that is negated")
        if self.take("+") or self.now.text == "-":
            offset = self.integer()
        self.expect("]")
        return Address(base, offset)
