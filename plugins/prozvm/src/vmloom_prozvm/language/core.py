"""The core tree: a program whose names are resolved and whose conveniences are spelled out.

`lowering` makes it from the surface tree, the evaluator and the bytecode compiler walk it. Every node IS the sequence
of instructions that its docstring gives, so that both ways charge the same gas and fail at the same point. A capital
letter with a colon is a place in the code; a node's name in a sequence stands for that node's instructions.

A register is the name of a variable, unique within its function: what the source calls `x` is `x`, or `x~2` and so on
where that is taken; temporaries are `~1`, `~2`, ... The variables of the main program's outermost scope have their
plain names, and those are seen from every function; no other variable has a name that a global of the program has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..bytecode.opcodes import Opcode
from ..values import Function, Value

if TYPE_CHECKING:
    from .tree import Source, Span

OperandValue: TypeAlias = str | int | None
"""What an instruction has besides the stack: a key or a field's name, a count, an amount of gas."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Base of all nodes. Two of them are never equal: what is known of a node is kept by its identity."""

    span: Span
    """What it stems from in the source; nodes that nobody wrote have that of the construct that they serve."""


# Expressions: each leaves one value on the stack


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Node):
    """LOAD_CONST value"""

    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Lambda(Node):
    """LOAD_CONST function; or, if the function captures registers: each of `captured`, CLOSURE function n

    `captured` has one expression for each register in `function.captured`.
    """

    function: CoreFunction
    captured: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Load(Node):
    """LOAD_NAME register"""

    register: str


@dataclass(frozen=True, slots=True, eq=False)
class Operate(Node):
    """operands in order, then the instruction, which takes them all and leaves one value

    `operand` is what stands in the instruction itself: the key of STATE_READ, the field of BLOCK, the count of
    BUILD_LIST (values), BUILD_MAP (pairs), MERKLE_ROOT and STATE_READ_AT (values), SPAWN (values without the callee,
    which is the first of `operands`). AWAIT, which may run another function before it goes on, is one of these.
    """

    opcode: Opcode
    operands: tuple[Expression, ...]
    operand: OperandValue = None


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """arguments in order, CALL_NAME register n"""

    register: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CallValue(Node):
    """arguments in order, callee, CALL_TOP n"""

    callee: Expression
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Both(Node):
    """left, JUMP_IF_FALSE F, right, JUMP_IF_FALSE F, LOAD_CONST true, JUMP E, F: LOAD_CONST false, E:"""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Either(Node):
    """left, JUMP_IF_FALSE R, LOAD_CONST true, JUMP E, R: right, NOT, NOT, E:"""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Coalesce(Node):
    """left, DUP, LOAD_CONST none, NEQ, JUMP_IF_FALSE L, JUMP E, L: POP, right, E:"""

    left: Expression
    right: Expression


# Statements: the stack is after them as it was before


@dataclass(frozen=True, slots=True, eq=False)
class Store(Node):
    """value, STORE_NAME register"""

    register: str
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class StoreGlobal(Node):
    """value, STORE_GLOBAL register"""

    register: str
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Do(Node):
    """value, POP"""

    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Effect(Node):
    """operands in order, then the instruction, which takes them all and leaves nothing

    `operand` as in `Operate`: the key of STATE_WRITE, the number of keys of STATE_WRITE_AT (the value comes after
    them), the amount of GAS_CHARGE. After REVERT nothing runs.
    """

    opcode: Opcode
    operands: tuple[Expression, ...] = ()
    operand: OperandValue = None


@dataclass(frozen=True, slots=True, eq=False)
class If(Node):
    """test, JUMP_IF_FALSE O, then, O:; where `otherwise` has anything, JUMP E before O:, and after it otherwise, E:"""

    test: Expression
    then: Body
    otherwise: Body = ()


@dataclass(frozen=True, slots=True, eq=False)
class While(Node):
    """T: test, JUMP_IF_FALSE E, body, JUMP T, E:

    A `Leave` of its label goes to E.
    """

    test: Expression
    body: Body
    label: int


@dataclass(frozen=True, slots=True, eq=False)
class Labelled(Node):
    """body, E:

    A `Leave` of its label goes to E.
    """

    label: int
    body: Body


@dataclass(frozen=True, slots=True, eq=False)
class Leave(Node):
    """JUMP E, the end of the `Labelled` or `While` around it, in the same function, with its label"""

    label: int


@dataclass(frozen=True, slots=True, eq=False)
class Return(Node):
    """value, RETURN"""

    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Result(Node):
    """value, and nothing follows: the last statement of a main program that gives a value"""

    value: Expression


Expression: TypeAlias = Constant | Lambda | Load | Operate | Call | CallValue | Both | Either | Coalesce
Statement: TypeAlias = Store | StoreGlobal | Do | Effect | If | While | Labelled | Leave | Return | Result
Body: TypeAlias = tuple[Statement, ...]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CoreFunction:
    """A function. Who runs to the end of its body returns none, at no cost.

    As a value it is `Function(name, (*captured, *parameters), bytecode, tree=this)`, whose first parameters CLOSURE
    binds. `name` is unique within the program, so that functions are equal as values only if they are the same.
    """

    name: str
    captured: tuple[str, ...]
    parameters: tuple[str, ...]
    body: Body
    span: Span
    compiled: dict[bool, Function] = field(default_factory=dict, repr=False)
    """Itself as a value, with and without a source map, once it was compiled: see `bytecode_compiler`."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CoreProgram:
    """A main program. Its value is that of `Result`, where its body ends in one, else none."""

    body: Body
    functions: tuple[CoreFunction, ...]
    """Every function in it, those inside functions included."""
    globals: tuple[str, ...]
    """The registers of its outermost scope's variables, in the order of their declaration."""
    constants: frozenset[str]
    """Those of `globals` that must not be assigned again."""
    source: Source
    span: Span
