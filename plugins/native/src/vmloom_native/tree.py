"""The typed tree between the front end and the lowering. Every name, type and range in it is resolved.

Expressions of integer kinds carry the range of their exact value. The lowering trusts the tree: the operands of an
operation are of one kind, conversions are explicit, and dead branches are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .kinds import BOOL, U64, Kind

if TYPE_CHECKING:
    from .program import FunctionRef


@dataclass(frozen=True, slots=True)
class Expression:
    """A value. `low` and `high` bound integers; other kinds have 0 there."""

    kind: Kind
    low: int
    high: int
    line: int


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    """A known integer, which is `low` and `high` too. A `literal` has no type of its own: it takes that of others."""

    literal: bool

    @property
    def value(self) -> int:
        """The integer."""
        return self.low


@dataclass(frozen=True, slots=True)
class Local(Expression):
    """A parameter or a local."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation(Expression):
    """Two operands of `kind`, by Python's name of the operator. No division but of at most 64 bits."""

    name: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison(Expression):
    """Two operands of one kind."""

    name: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Conversion(Expression):
    """An integer in another width: extended by its own kind's sign, or cut off."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Negation(Expression):
    """`not`"""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Logic(Expression):
    """`and` or `or` of two booleans; the right one is computed only if it decides."""

    name: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Choice(Expression):
    """`then if test else otherwise`; only one side is computed."""

    test: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A call of a kernel function. `attempt`: its value is the status, and a halt is not passed on."""

    function: FunctionRef
    arguments: tuple[Expression, ...]
    attempt: bool


@dataclass(frozen=True, slots=True)
class PointerCall(Expression):
    """A call of a C function by its address."""

    pointer: Expression
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Read(Expression):
    """A value in memory. `packed`: in exactly its bytes and at any address, as `load` reads."""

    address: Expression
    packed: bool


@dataclass(frozen=True, slots=True)
class Element(Expression):
    """The address of element `index`, `stride` bytes each. `inside`: of an object that the pointer points into."""

    base: Expression
    index: Expression
    stride: int
    inside: bool
    backwards: bool


@dataclass(frozen=True, slots=True)
class Builtin(Expression):
    """An operation that LLVM has, or nearly: the lowering has a method for each name."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Frame(Expression):
    """The address of zeroed memory of `size` bytes in the function's stack frame."""

    size: int


@dataclass(frozen=True, slots=True)
class TableStart(Expression):
    """The address of a constant table."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What a function does."""

    line: int


@dataclass(frozen=True, slots=True)
class Assign(Statement):
    """Set a local, whose kind the value has."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Write(Statement):
    """Put a value into memory."""

    address: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class Evaluate(Statement):
    """Compute for the effect."""

    value: Expression


@dataclass(frozen=True, slots=True)
class If(Statement):
    """Two branches."""

    test: Expression
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Loop(Statement):
    """Repeat `body`, then `step`, while `test`; `continue` goes to `step`."""

    test: Expression
    body: tuple[Statement, ...]
    step: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Return(Statement):
    """Leave the function."""

    value: Expression | None


@dataclass(frozen=True, slots=True)
class Stop(Statement):
    """`raise Halt(reason)`"""

    reason: Expression


@dataclass(frozen=True, slots=True)
class Break(Statement):
    """Leave the innermost loop."""


@dataclass(frozen=True, slots=True)
class Continue(Statement):
    """Go on with the innermost loop's next round."""


@dataclass(slots=True)
class Body:
    """A function's typed body. `locals` are those that are not parameters; `assigned` are parameters that change.

    `calls` says of each function that it calls whether a halt of that one is passed on.
    """

    statements: tuple[Statement, ...] = ()
    locals: dict[str, Kind] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    calls: dict[FunctionRef, bool] = field(default_factory=dict)
    raises: bool = False


def literal(value: int, line: int) -> Constant:
    """A constant without a type; that of a boolean is `bool`."""
    kind = BOOL if isinstance(value, bool) else U64
    return Constant(kind, int(value), int(value), line, not isinstance(value, bool))


def ends(statements: tuple[Statement, ...]) -> bool:
    """Whether control never comes to what follows."""
    if not statements:
        return False
    match statements[-1]:
        case Return() | Stop() | Break() | Continue():
            return True
        case If(then=then, otherwise=otherwise):
            return ends(then) and ends(otherwise)
        case Loop(test=Constant(low=1), body=body):
            return not breaks(body)
    return False


def breaks(statements: tuple[Statement, ...]) -> bool:
    """Whether one of the statements leaves the loop that they are in."""
    for statement in statements:
        match statement:
            case Break():
                return True
            case If(then=then, otherwise=otherwise) if breaks(then) or breaks(otherwise):
                return True
    return False


def halts(statements: tuple[Statement, ...]) -> bool:
    """Whether control, once here, certainly comes to a `raise`."""
    if not statements:
        return False
    match statements[-1]:
        case Stop():
            return True
        case If(then=then, otherwise=otherwise):
            return halts(then) and halts(otherwise)
    return False
