"""From the surface tree to the core tree: names become registers, cells and globals, and sugar is spelled out.

The order in which a program computes is decided here, and only here. Errors of meaning are collected and raised
together, before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..errors import ProzError
from ..runtime.context import BLOCK_FIELDS
from ..values import Value, check, is_key
from . import core, tree
from .builtins import BUILTINS
from .diagnostics import Diagnostic, LanguageError, closest
from .scopes import TEMPORARY, FunctionScope, Resolution, Variable, resolve

LONGEST_LITERAL: Final = 256
"""Values of a list or map that are put on the stack."""

_SHORT_PATH: Final = 2
"""Keys of an indexed assignment that takes no temporaries for the collections on the way."""
_BINARY: Final[Mapping[str, Opcode]] = {
    "+": Opcode.ADD,
    "-": Opcode.SUB,
    "*": Opcode.MUL,
    "/": Opcode.DIV,
    "%": Opcode.MOD,
    "**": Opcode.POW,
    "==": Opcode.EQ,
    "!=": Opcode.NEQ,
    "<": Opcode.LT,
    ">": Opcode.GT,
    "<=": Opcode.LTE,
    ">=": Opcode.GTE,
}
_SHORT_CIRCUIT: Final[Mapping[str, tuple[type[core.Both | core.Either], Opcode]]] = {
    "&&": (core.Both, Opcode.AND),
    "||": (core.Either, Opcode.OR),
}
_SURROUNDINGS: Final[Mapping[str, Opcode]] = {
    "CALLER": Opcode.CALLER,
    "ADDRESS": Opcode.ADDRESS,
    "VALUE": Opcode.VALUE,
    "INPUT": Opcode.INPUT,
}
_LOUD: Final = frozenset((Opcode.AWAIT, Opcode.CALL_CONTRACT, Opcode.SPAWN))
"""Operations during which other code may run, and change variables."""


def lower(
    program: tree.Program,
    *,
    strict_names: bool = False,
    known: Iterable[str] = (),
    constants: Iterable[str] = (),
) -> core.CoreProgram:
    """The core tree of a program.

    `known` are the variables that the environment has, which hide builtins, and `constants` those of them that must not
    be assigned. With `strict_names` there are no other names but those that the program declares.

    Raises:
        LanguageError: With everything that is wrong.
    """
    lowering = Lowering(program, strict_names=strict_names, known=known, constants=constants)
    body = lowering.main_body()
    lowering.raise_errors()
    return lowering.program(body)


class Lowering:
    """The lowering of one program, which `contract` uses piece by piece. No function is named as one of `reserved`."""

    def __init__(
        self,
        program: tree.Program,
        *,
        strict_names: bool = False,
        known: Iterable[str] = (),
        constants: Iterable[str] = (),
        reserved: Iterable[str] = (),
    ) -> None:
        self.surface: Final = program
        self.errors: Final[list[Diagnostic]] = []
        self.resolution: Final = resolve(
            program,
            self.errors.append,
            strict_names=strict_names,
            known=known,
            constants=constants,
            reserved=reserved,
        )
        self.functions: Final[dict[int, core.CoreFunction]] = {}
        """Those that are lowered, by their node."""

    def raise_errors(self) -> None:
        """Raise `LanguageError` if anything is wrong."""
        if self.errors:
            raise LanguageError(self.surface.source, self.errors)

    def main_body(self) -> core.Body:
        """The program's statements, actions first; the last one gives the program's value if it is an expression."""
        return _Body(self, self.resolution.main).program(self.surface, has_result=True)

    def opening(self, *, in_function: bool) -> core.Body:
        """The program's statements for their effects alone: in the main program, or in a function that it has."""
        return _Body(self, self.resolution.main, in_function=in_function).program(self.surface, has_result=False)

    def program(self, body: core.Body) -> core.CoreProgram:
        """`body` and what was lowered as a program."""
        variables = self.resolution.globals
        return core.CoreProgram(
            body,
            tuple(self.functions.values()),
            tuple(variable.name for variable in variables),
            frozenset(variable.name for variable in variables if variable.is_fixed),
            self.surface.source,
            self.surface.span,
        )

    def function(self, node: tree.Action | tree.Lambda) -> core.CoreFunction:
        """The core tree of a function; the same one each time."""
        found = self.functions.get(id(node))
        if found is None:
            scope = self.resolution.scopes[id(node)]
            found = self.functions[id(node)] = core.CoreFunction(
                scope.name,
                tuple(scope.captured.values()),
                tuple(self.resolution.declared[id(parameter.name)].register for parameter in node.parameters),
                _Body(self, scope).function(node),
                node.span,
            )
        return found


@dataclass(slots=True)
class _Around:
    """A loop or a TX block around a statement. `label` is that of its end, `again` that of the loop's body."""

    label: int
    is_loop: bool
    again: int = 0
    goes_on: bool = False
    """Whether a `continue` goes to the end of the loop's body."""


@dataclass
class _Body:
    """Lowers the body of one function, or the main program's."""

    lowering: Lowering
    scope: FunctionScope
    in_function: bool = False
    """For the main program's statements in a function, where globals have to be stored as such."""
    labels: int = 0
    temporaries: int = 0
    around: list[_Around] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.resolution: Resolution = self.lowering.resolution
        self.is_main = self.scope is self.resolution.main and not self.in_function

    def fault(self, span: tree.Span, message: str, hint: str = "") -> None:
        self.lowering.errors.append(Diagnostic(span, message, hint))

    # Bodies

    def program(self, program: tree.Program, *, has_result: bool) -> core.Body:
        actions = [statement for statement in program.statements if isinstance(statement, tree.Action)]
        others = [statement for statement in program.statements if not isinstance(statement, tree.Action)]
        body: list[core.Statement] = []
        for action in actions:
            body += self.action(action)
        last = program.statements[-1] if has_result and program.statements else None
        for statement in others:
            if statement is last and isinstance(statement, tree.ExpressionStatement):
                body.append(core.Result(statement.span, self.expression(statement.value)))
            else:
                body += self.statement(statement)
        return tuple(body)

    def function(self, node: tree.Action | tree.Lambda) -> core.Body:
        cells: list[core.Statement] = []
        for parameter in node.parameters:
            variable = self.resolution.declared[id(parameter.name)]
            if variable.needs_cell:
                span, register = parameter.span, variable.register
                cell = core.Operate(span, Opcode.NEW_CELL, (core.Load(span, register),))
                cells.append(core.Store(span, register, cell))
        return (*cells, *self.block(node.body))

    def block(self, node: tree.Block) -> core.Body:
        body: list[core.Statement] = []
        for statement in node.statements:
            body += self.statement(statement)
        return tuple(body)

    def statement(self, node: tree.Statement) -> Iterable[core.Statement]:
        before = self.temporaries
        lowered: Iterable[core.Statement] = _STATEMENTS[type(node)](self, node)
        self.temporaries = before
        return lowered

    def label(self) -> int:
        self.labels += 1
        return self.labels

    # Variables

    def temporary(self) -> str:
        """A register for the rest of the statement."""
        self.temporaries += 1
        return f"{TEMPORARY}{self.temporaries}"

    def declare(self, name: tree.Name, value: core.Expression, span: tree.Span) -> core.Body:
        variable = self.resolution.declared[id(name)]
        if not variable.needs_cell:
            return (self.store(variable, value, span),)
        register = variable.register
        if not variable.is_captured_early:
            return (core.Store(span, register, core.Operate(span, Opcode.NEW_CELL, (value,))),)
        empty = core.Operate(span, Opcode.NEW_CELL, (core.Constant(span, None),))
        return (
            core.Store(span, register, empty),
            core.Effect(span, Opcode.CELL_WRITE, (core.Load(span, register), value)),
        )

    def store(self, variable: Variable, value: core.Expression, span: tree.Span) -> core.Statement:
        """Give a variable a value, wherever it is."""
        register = self.resolution.register(variable, self.scope)
        if variable.is_global:
            return self.store_global(register, value, span)
        if variable.needs_cell:
            return core.Effect(span, Opcode.CELL_WRITE, (core.Load(span, register), value))
        return core.Store(span, register, value)

    def store_global(self, name: str, value: core.Expression, span: tree.Span) -> core.Statement:
        return core.Store(span, name, value) if self.is_main else core.StoreGlobal(span, name, value)

    def read(self, name: tree.Name) -> core.Expression:
        variable = self.resolution.used.get(id(name))
        if variable is None:
            return core.Load(name.span, name.identifier)
        load = core.Load(name.span, self.resolution.register(variable, self.scope))
        return core.Operate(name.span, Opcode.CELL_READ, (load,)) if variable.needs_cell else load

    def write(self, name: tree.Name, value: core.Expression, span: tree.Span) -> core.Statement:
        variable = self.resolution.used.get(id(name))
        return (
            self.store_global(name.identifier, value, span) if variable is None else self.store(variable, value, span)
        )

    def is_settled(self, node: tree.Expression) -> bool:
        """Whether it is a constant, or a variable that surely has a value by now: cheap to compute, and no error."""
        if isinstance(node, tree.Literal):
            return True
        if not isinstance(node, tree.Name):
            return False
        variable = self.resolution.used.get(id(node))
        if variable is None or variable.needs_cell:
            return False
        return not variable.is_global or id(node) in self.resolution.settled

    # Statements

    def expression_statement(self, node: tree.ExpressionStatement) -> core.Body:
        return (core.Do(node.span, self.expression(node.value)),)

    def inner_block(self, node: tree.Block) -> core.Body:
        return self.block(node)

    def declaration(self, node: tree.Let | tree.Const) -> core.Body:
        return self.declare(node.name, self.expression(node.value), node.span)

    def action(self, node: tree.Action) -> core.Body:
        return self.declare(node.name, self.make_function(node), node.span)

    def assign(self, node: tree.Assign) -> core.Body:
        value = self.expression(node.value)
        if node.operator:
            value = core.Operate(node.span, _BINARY[node.operator], (self.read(node.target), value))
        return (self.write(node.target, value, node.span),)

    def index_assign(self, node: tree.IndexAssign) -> core.Body:
        """`x[j][k] = v` is: j, k, v, then x = STORE_INDEX(x, j, STORE_INDEX(INDEX(x, j), k, v)).

        `x[j][k] += v` is `x[j][k] = x[j][k] + v` with j and k computed once. What is used twice, or could be changed by
        what is computed after it, is kept.
        """
        keys = [self.expression(key) for key in node.keys]
        value = self.expression(node.value)
        is_calm = is_quiet(value) and all(map(is_quiet, keys))
        body: list[core.Statement] = []
        used_again = len(keys) if node.operator else len(keys) - 1
        for index, key in enumerate(keys):
            if not (is_calm and (index >= used_again or is_plain(key))):
                keys[index] = self.keep(key, body)
        path = self.path(node, keys, body) if is_calm or node.operator else []
        if node.operator:
            old = core.Operate(node.span, Opcode.INDEX, (path[-1], keys[-1]))
            value = core.Operate(node.span, _BINARY[node.operator], (old, value))
        if not is_calm:
            value = self.keep(value, body)
            path = self.path(node, keys, body)
        for collection, key in zip(reversed(path), reversed(keys), strict=True):
            value = core.Operate(node.span, Opcode.STORE_INDEX, (collection, key, value))
            if len(keys) > _SHORT_PATH and collection is not path[0]:  # or the tree would be as deep as there are keys
                value = self.keep(value, body)
        return (*body, self.write(node.target, value, node.span))

    def path(
        self, node: tree.IndexAssign, keys: list[core.Expression], body: list[core.Statement]
    ) -> list[core.Expression]:
        """The collections that the keys lead through, each but the first kept if that saves computing it again."""
        path = [self.read(node.target)]
        for key in keys[:-1]:
            inner: core.Expression = core.Operate(node.span, Opcode.INDEX, (path[-1], key))
            if len(keys) > _SHORT_PATH or node.operator:
                inner = self.keep(inner, body)
            path.append(inner)
        return path

    def keep(self, value: core.Expression, body: list[core.Statement]) -> core.Expression:
        """`value`, computed in `body` now; a constant needs no register for that."""
        if isinstance(value, core.Constant):
            return value
        register = self.temporary()
        body.append(core.Store(value.span, register, value))
        return core.Load(value.span, register)

    def state_assign(self, node: tree.StateAssign) -> core.Body:
        keys = [self.expression(key) for key in node.target.path]
        value = self.expression(node.value)
        body: list[core.Statement] = []
        if node.operator:
            is_calm = is_quiet(value) and all(map(is_quiet, keys))
            keys = [key if is_calm and is_plain(key) else self.keep(key, body) for key in keys]
            old = _state_read(node.target.span, keys)
            value = core.Operate(node.span, _BINARY[node.operator], (old, value))
        return (*body, _state_write(node.span, keys, value))

    def branch(self, node: tree.If) -> core.Body:
        match node.otherwise:
            case tree.If() as following:
                otherwise = self.branch(following)
            case tree.Block() as block:
                otherwise = self.block(block)
            case _:
                otherwise = ()
        return (core.If(node.span, self.expression(node.test), self.block(node.then), otherwise),)

    def loop_body(self, node: tree.Block, around: _Around) -> core.Body:
        self.around.append(around)
        body = self.block(node)
        self.around.pop()
        return (core.Labelled(node.span, around.again, body),) if around.goes_on else body

    def while_loop(self, node: tree.While) -> core.Body:
        around = _Around(self.label(), is_loop=True, again=self.label())
        test = self.expression(node.test)
        return (core.While(node.span, test, self.loop_body(node.body, around), around.label),)

    def for_each(self, node: tree.ForEach) -> core.Body:
        """The collection's items are a list from before the first round on; the counter moves before the body runs."""
        span = node.span
        items, counter = self.temporary(), self.temporary()
        around = _Around(self.label(), is_loop=True, again=self.label())
        collection = core.Operate(node.collection.span, Opcode.ITEMS, (self.expression(node.collection),))
        length = core.Operate(span, Opcode.LENGTH, (core.Load(span, items),))
        item = core.Operate(span, Opcode.INDEX, (core.Load(span, items), core.Load(span, counter)))
        following = core.Operate(span, Opcode.ADD, (core.Load(span, counter), core.Constant(span, 1)))
        body = (
            *self.declare(node.variable, item, node.variable.span),
            core.Store(span, counter, following),
            *self.loop_body(node.body, around),
        )
        return (
            core.Store(span, items, collection),
            core.Store(span, counter, core.Constant(span, 0)),
            core.While(span, core.Operate(span, Opcode.LT, (core.Load(span, counter), length)), body, around.label),
        )

    def leave_loop(self, node: tree.Break | tree.Continue) -> core.Body:
        commits: list[core.Statement] = []
        for around in reversed(self.around):
            if around.is_loop:
                goes_on = isinstance(node, tree.Continue)
                around.goes_on |= goes_on
                return (*commits, core.Leave(node.span, around.again if goes_on else around.label))
            commits.append(core.Effect(node.span, Opcode.TX_COMMIT))
        return ()  # an error was reported

    def give_back(self, node: tree.Return) -> core.Body:
        value: core.Expression = core.Constant(node.span, None)
        if node.value is not None:
            value = self.expression(node.value)
        open_ones = sum(1 for around in self.around if not around.is_loop)
        body: list[core.Statement] = []
        if open_ones:
            value = self.keep(value, body)  # it is computed inside them
        body += [core.Effect(node.span, Opcode.TX_COMMIT) for _ in range(open_ones)]
        return (*body, core.Return(node.span, value))

    def transaction(self, node: tree.Transaction) -> core.Body:
        around = _Around(self.label(), is_loop=False)
        self.around.append(around)
        body = self.block(node.body)
        self.around.pop()
        return (
            core.Effect(node.span, Opcode.TX_BEGIN),
            core.Labelled(node.span, around.label, (*body, core.Effect(node.span, Opcode.TX_COMMIT))),
        )

    def revert(self, node: tree.Revert) -> core.Body:
        innermost = next((around for around in reversed(self.around) if not around.is_loop), None)
        if node.reason is None and innermost is not None:
            return core.Effect(node.span, Opcode.TX_REVERT), core.Leave(node.span, innermost.label)
        return (self.end_with(node.span, node.reason),)

    def end_with(self, span: tree.Span, reason: tree.Expression | None) -> core.Effect:
        value = core.Constant(span, None) if reason is None else self.expression(reason)
        return core.Effect(span, Opcode.REVERT, (value,))

    def require(self, node: tree.Require) -> core.Body:
        refusal = self.end_with(node.span, node.reason)
        return (core.If(node.span, self.expression(node.condition), (), (refusal,)),)

    def gas(self, node: tree.Gas | tree.Limit) -> core.Body:
        return (core.Effect(node.span, Opcode.GAS_CHARGE, (), node.amount),)

    def limit(self, node: tree.Limit) -> core.Body:
        return (*self.gas(node), *self.block(node.body))

    def ledger(self, node: tree.Ledger) -> core.Body:
        return (core.Effect(node.span, Opcode.LEDGER_APPEND, (self.expression(node.entry),)),)

    def emit(self, node: tree.Emit) -> core.Body:
        return (core.Effect(node.span, Opcode.EMIT, (self.expression(node.topics), self.expression(node.data))),)

    # Expressions

    def expression(self, node: tree.Expression) -> core.Expression:
        lowered: core.Expression = _EXPRESSIONS[type(node)](self, node)
        return lowered

    def expressions(self, nodes: Iterable[tree.Expression]) -> tuple[core.Expression, ...]:
        return tuple(map(self.expression, nodes))

    def literal(self, node: tree.Literal) -> core.Expression:
        return core.Constant(node.span, node.value)

    def unary(self, node: tree.Unary) -> core.Expression:
        """A minus before a number makes a constant of both."""
        value = self.expression(node.operand)
        if node.operator == "!":
            return core.Operate(node.span, Opcode.NOT, (value,))
        if isinstance(value, core.Constant) and type(value.value) is int:
            return core.Constant(node.span, -value.value)
        return core.Operate(node.span, Opcode.NEG, (value,))

    def binary(self, node: tree.Binary) -> core.Expression:
        left, right = self.expression(node.left), self.expression(node.right)
        if node.operator == "??":
            return core.Coalesce(node.span, left, right)
        if node.operator in _SHORT_CIRCUIT:
            short, plain = _SHORT_CIRCUIT[node.operator]
            if self.is_settled(node.left) and self.is_settled(node.right):
                return core.Operate(node.span, plain, (left, right))
            return short(node.span, left, right)
        return core.Operate(node.span, _BINARY[node.operator], (left, right))

    def list_literal(self, node: tree.ListLiteral) -> core.Expression:
        items = self.expressions(node.items)
        made = core.Operate(node.span, Opcode.BUILD_LIST, items, len(items))
        return made if len(items) <= LONGEST_LITERAL else self.long_literal(node, made)

    def map_literal(self, node: tree.MapLiteral) -> core.Expression:
        operands = tuple(self.expression(part) for entry in node.entries for part in (entry.key, entry.value))
        made = core.Operate(node.span, Opcode.BUILD_MAP, operands, len(node.entries))
        return made if len(operands) <= LONGEST_LITERAL else self.long_literal(node, made)

    def long_literal(self, node: tree.ListLiteral | tree.MapLiteral, made: core.Operate) -> core.Expression:
        """A collection too long for the stack: one of the program's constants, if everything in it is constant."""
        try:
            value = _constant_value(made)
            check(value)
        except ProzError as error:
            self.fault(node.span, str(error))
        except ValueError:
            message = f"a list or map of more than {LONGEST_LITERAL} values that are not all constants"
            self.fault(node.span, message, "build it with a loop, or from pieces")
        else:
            return core.Constant(node.span, value)
        return made

    def index(self, node: tree.Index) -> core.Expression:
        return core.Operate(node.span, Opcode.INDEX, (self.expression(node.collection), self.expression(node.key)))

    def call(self, node: tree.Call) -> core.Expression:
        arguments = self.expressions(node.arguments)
        callee = node.callee
        if not isinstance(callee, tree.Name):
            return core.CallValue(node.span, self.expression(callee), arguments)
        if id(node) in self.resolution.builtin_calls:
            return BUILTINS[callee.identifier].apply(arguments, node.span)
        function = self.read(callee)
        if isinstance(function, core.Load):
            return core.Call(node.span, function.register, arguments)
        return core.CallValue(node.span, function, arguments)

    def make_function(self, node: tree.Lambda | tree.Action) -> core.Expression:
        captured = []
        for variable in self.resolution.scopes[id(node)].captured:
            register = self.resolution.register(variable, self.scope)
            captured.append(core.Load(node.span, register))  # the cell itself where it has one
        return core.Lambda(node.span, self.lowering.function(node), tuple(captured))

    def spawn(self, node: tree.Spawn) -> core.Expression:
        operands = (self.expression(node.call.callee), *self.expressions(node.call.arguments))
        return core.Operate(node.span, Opcode.SPAWN, operands, len(node.call.arguments))

    def wait(self, node: tree.Await) -> core.Expression:
        return core.Operate(node.span, Opcode.AWAIT, (self.expression(node.task),))

    def hash(self, node: tree.Hash) -> core.Expression:
        return core.Operate(node.span, Opcode.HASH_BLOCK, (self.expression(node.value),))

    def verify_signature(self, node: tree.VerifySignature) -> core.Expression:
        operands = self.expressions((node.signature, node.message, node.key))
        return core.Operate(node.span, Opcode.VERIFY_SIGNATURE, operands)

    def merkle(self, node: tree.Merkle) -> core.Expression:
        return core.Operate(node.span, Opcode.MERKLE_ROOT, self.expressions(node.leaves), len(node.leaves))

    def state_access(self, node: tree.StateAccess) -> core.Expression:
        return _state_read(node.span, self.expressions(node.path))

    def surrounding(self, node: tree.Surrounding) -> core.Expression:
        return core.Operate(node.span, _SURROUNDINGS[node.name], ())

    def block_field(self, node: tree.BlockField) -> core.Expression:
        field = node.name.identifier
        if field not in BLOCK_FIELDS:
            near = closest(field, BLOCK_FIELDS)
            hint = f"did you mean `{near}`?" if near else f"it has {', '.join(sorted(BLOCK_FIELDS))}"
            self.fault(node.name.span, f"a block has no field `{field}`", hint)
        return core.Operate(node.span, Opcode.BLOCK, (), field)

    def contract_call(self, node: tree.ContractCall) -> core.Expression:
        operands = self.expressions((node.address, node.input, node.value))
        return core.Operate(node.span, Opcode.CALL_CONTRACT, operands)


def is_plain(value: core.Expression) -> bool:
    """A constant or a variable: what may be computed twice."""
    return isinstance(value, core.Constant | core.Load)


def is_quiet(value: core.Expression) -> bool:
    """Whether no other code runs while it is computed, so that no variable changes."""
    pending = [value]
    while pending:
        node = pending.pop()
        match node:
            case core.Call() | core.CallValue():
                return False
            case core.Operate():
                if node.opcode in _LOUD:
                    return False
                pending += node.operands
            case core.Both() | core.Either() | core.Coalesce():
                pending += (node.left, node.right)
    return True


def _constant_value(node: core.Expression) -> Value:
    """The value of an expression that is one whatever happens. Raises `ValueError` for any other."""
    if isinstance(node, core.Constant):
        return node.value
    if not isinstance(node, core.Operate) or node.opcode not in (Opcode.BUILD_LIST, Opcode.BUILD_MAP):
        raise ValueError("not a constant")
    parts = [_constant_value(operand) for operand in node.operands]
    if node.opcode is Opcode.BUILD_LIST:
        return parts
    if not all(map(is_key, parts[::2])):
        raise ValueError("a key that is none")  # the instruction says so when it runs
    return dict(zip(parts[::2], parts[1::2], strict=True))  # type: ignore[arg-type]  # they are keys


def _state_read(span: tree.Span, keys: Iterable[core.Expression]) -> core.Expression:
    path = tuple(keys)
    key = _single_key(path)
    if key is not None:
        return core.Operate(span, Opcode.STATE_READ, (), key)
    return core.Operate(span, Opcode.STATE_READ_AT, path, len(path))


def _state_write(span: tree.Span, keys: Iterable[core.Expression], value: core.Expression) -> core.Statement:
    path = tuple(keys)
    key = _single_key(path)
    if key is not None:
        return core.Effect(span, Opcode.STATE_WRITE, (value,), key)
    return core.Effect(span, Opcode.STATE_WRITE_AT, (*path, value), len(path))


def _single_key(path: tuple[core.Expression, ...]) -> str | None:
    """The key of a record whose path is one string that the source has; None for any other path."""
    if len(path) == 1 and isinstance(path[0], core.Constant) and type(path[0].value) is str:
        return path[0].value
    return None


_STATEMENTS: Final[Mapping[type, Callable[[_Body, Any], core.Body]]] = {
    tree.Block: _Body.inner_block,
    tree.Let: _Body.declaration,
    tree.Const: _Body.declaration,
    tree.Assign: _Body.assign,
    tree.IndexAssign: _Body.index_assign,
    tree.StateAssign: _Body.state_assign,
    tree.If: _Body.branch,
    tree.While: _Body.while_loop,
    tree.ForEach: _Body.for_each,
    tree.Action: _Body.action,
    tree.Return: _Body.give_back,
    tree.Break: _Body.leave_loop,
    tree.Continue: _Body.leave_loop,
    tree.Transaction: _Body.transaction,
    tree.Revert: _Body.revert,
    tree.Gas: _Body.gas,
    tree.Limit: _Body.limit,
    tree.Ledger: _Body.ledger,
    tree.Emit: _Body.emit,
    tree.Require: _Body.require,
    tree.ExpressionStatement: _Body.expression_statement,
}
_EXPRESSIONS: Final[Mapping[type, Callable[[_Body, Any], core.Expression]]] = {
    tree.Literal: _Body.literal,
    tree.Name: _Body.read,
    tree.Unary: _Body.unary,
    tree.Binary: _Body.binary,
    tree.ListLiteral: _Body.list_literal,
    tree.MapLiteral: _Body.map_literal,
    tree.Index: _Body.index,
    tree.Call: _Body.call,
    tree.Lambda: _Body.make_function,
    tree.Spawn: _Body.spawn,
    tree.Await: _Body.wait,
    tree.Hash: _Body.hash,
    tree.VerifySignature: _Body.verify_signature,
    tree.Merkle: _Body.merkle,
    tree.StateAccess: _Body.state_access,
    tree.Surrounding: _Body.surrounding,
    tree.BlockField: _Body.block_field,
    tree.ContractCall: _Body.contract_call,
}
