"""The tree of a source text: what the parser makes, and the formatter and the lowering read.

A node is as the source has it, sugar and all; names are not resolved and types not checked. Spans say where a node
stands and do not count when nodes are compared. Knows nothing of grammar, values or bytecode.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeAlias


class Span(NamedTuple):
    """A piece of a source: offsets of its first character and of the one after its last."""

    start: int
    end: int


class Position(NamedTuple):
    """A place as people count: both from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Source:
    """A source text and the `name` that messages call it by."""

    text: str
    name: str = "<source>"
    _line_starts: tuple[int, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        object.__setattr__(self, "_line_starts", tuple(starts))

    def position(self, offset: int) -> Position:
        """Line and column of the character at `offset`, 0 to the length of the text."""
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The line of that number, from 1, without its end."""
        starts = self._line_starts
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].removesuffix("\r")

    @property
    def lines(self) -> int:
        """How many lines there are; the end of the last one may be missing."""
        return len(self._line_starts)


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes."""

    span: Span = field(compare=False)


# Expressions


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Node):
    """A value written out: an integer, string, byte string, `true`, `false` or `none`."""

    value: int | str | bytes | bool | None

    def __eq__(self, other: object) -> bool:
        # To Python, True is 1.
        return isinstance(other, Literal) and type(other.value) is type(self.value) and other.value == self.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name, where it is declared as well as where it is used."""

    identifier: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`operator` is `-` or `!`."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`operator` is one of `+ - * / % ** == != < > <= >= && || ??`."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    """`[a, b]`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class MapEntry(Node):
    """One `key: value` of a map."""

    key: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    """`{"k": v, 1: w}`."""

    entries: tuple[MapEntry, ...]


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`collection[key]`."""

    collection: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`callee(arguments)`: of an action, a builtin, a host function or any value that is a function."""

    callee: Expression
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class TypeName(Node):
    """A type by its name, which need not be one that there is."""

    name: str


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`name` or `name: type`."""

    name: Name
    type: TypeName | None


@dataclass(frozen=True, slots=True)
class Lambda(Node):
    """`action(x) { ... }` as a value."""

    parameters: tuple[Parameter, ...]
    result: TypeName | None
    body: Block


@dataclass(frozen=True, slots=True)
class Spawn(Node):
    """`spawn f(x)`: a task that does the call."""

    call: Call


@dataclass(frozen=True, slots=True)
class Await(Node):
    """`await task`."""

    task: Expression


@dataclass(frozen=True, slots=True)
class Hash(Node):
    """`HASH(value)`."""

    value: Expression


@dataclass(frozen=True, slots=True)
class VerifySignature(Node):
    """`VERIFY_SIG(signature, message, key)`."""

    signature: Expression
    message: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class Merkle(Node):
    """`MERKLE(a, b, c)`."""

    leaves: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class StateAccess(Node):
    """`STATE.name`, `STATE["name"]`, `STATE.balances[who]`: a record by its path, which has one key or more.

    A key after a dot is a `Literal` of a string. `(STATE.name)[key]` is no path but an `Index` of what the record has.
    """

    path: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Surrounding(Node):
    """`CALLER`, `ADDRESS`, `VALUE` or `INPUT`: which of them is the `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class BlockField(Node):
    """`BLOCK.timestamp`: a field of the block, which need not be one that there is."""

    name: Name


@dataclass(frozen=True, slots=True)
class ContractCall(Node):
    """`CALL(address, input, value)`."""

    address: Expression
    input: Expression
    value: Expression


Expression: TypeAlias = (
    "Literal | Name | Unary | Binary | ListLiteral | MapLiteral | Index | Call | Lambda | Spawn | Await | Hash"
    " | VerifySignature | Merkle | StateAccess | Surrounding | BlockField | ContractCall"
)


# Statements


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ ... }`: a scope of its own."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let name = value;`."""

    name: Name
    value: Expression


@dataclass(frozen=True, slots=True)
class Const(Node):
    """`const name = value;`."""

    name: Name
    value: Expression


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`name = value;`, or `name += value;` and so on: `operator` is `+`, `-`, `*`, `/` or `%`, empty for `=`."""

    target: Name
    operator: str
    value: Expression


@dataclass(frozen=True, slots=True)
class IndexAssign(Node):
    """`name[key]...[key] = value;`: `keys` are one or more, the outermost first; `operator` as in `Assign`."""

    target: Name
    keys: tuple[Expression, ...]
    operator: str
    value: Expression


@dataclass(frozen=True, slots=True)
class StateAssign(Node):
    """`STATE.name = value;` and with longer paths; `operator` as in `Assign`."""

    target: StateAccess
    operator: str
    value: Expression


@dataclass(frozen=True, slots=True)
class If(Node):
    """`if (test) { } else ...`: `otherwise` is a block, the next `if`, or None."""

    test: Expression
    then: Block
    otherwise: Block | If | None


@dataclass(frozen=True, slots=True)
class While(Node):
    """`while (test) { }`."""

    test: Expression
    body: Block


@dataclass(frozen=True, slots=True)
class ForEach(Node):
    """`for each variable in collection { }`."""

    variable: Name
    collection: Expression
    body: Block


@dataclass(frozen=True, slots=True)
class Export(Node):
    """`export` or `export payable`: the action is part of the contract's interface."""

    payable: bool


@dataclass(frozen=True, slots=True)
class Action(Node):
    """`action name(parameters) -> result { }`, a named function."""

    name: Name
    parameters: tuple[Parameter, ...]
    result: TypeName | None
    body: Block
    export: Export | None


@dataclass(frozen=True, slots=True)
class Return(Node):
    """`return value;` or `return;`."""

    value: Expression | None


@dataclass(frozen=True, slots=True)
class Break(Node):
    """`break;`."""


@dataclass(frozen=True, slots=True)
class Continue(Node):
    """`continue;`."""


@dataclass(frozen=True, slots=True)
class Transaction(Node):
    """`TX { ... }`."""

    body: Block


@dataclass(frozen=True, slots=True)
class Revert(Node):
    """`REVERT;` or `REVERT reason;`."""

    reason: Expression | None


@dataclass(frozen=True, slots=True)
class Gas(Node):
    """`GAS amount;`."""

    amount: int


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """`LIMIT amount { ... }`."""

    amount: int
    body: Block


@dataclass(frozen=True, slots=True)
class Ledger(Node):
    """`LEDGER(entry);`."""

    entry: Expression


@dataclass(frozen=True, slots=True)
class Emit(Node):
    """`EMIT(topics, data);`."""

    topics: Expression
    data: Expression


@dataclass(frozen=True, slots=True)
class Require(Node):
    """`require(condition, reason);`; without a reason, it is None."""

    condition: Expression
    reason: Expression | None


@dataclass(frozen=True, slots=True)
class ExpressionStatement(Node):
    """`value;`: computed and dropped, unless it is what the program gives."""

    value: Expression


Statement: TypeAlias = (
    "Block | Let | Const | Assign | IndexAssign | StateAssign | If | While | ForEach | Action | Return | Break"
    " | Continue | Transaction | Revert | Gas | Limit | Ledger | Emit | Require | ExpressionStatement"
)


@dataclass(frozen=True, slots=True)
class Program(Node):
    """A whole source."""

    statements: tuple[Statement, ...]
    source: Source = field(compare=False, repr=False)


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below `node`, in the order of the source."""
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, Node):
            yield value
        elif type(value) is tuple:
            yield from value


def walk(node: Node) -> Iterator[Node]:
    """`node` and every node below it, each before those below it, in the order of the source."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(children(current))))
