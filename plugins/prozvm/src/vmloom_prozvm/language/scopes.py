"""Which variable each name of a source stands for, and what that asks of it: a register, a global, or a shared cell.

Scopes are lexical, by block; a parameter is in the scope of its action's body, the variable of a for-each in that of
the loop's. A variable exists from its declaration on; an action that is declared, or that a `let` or `const` names at
once, sees its own name. The outermost scope is special: its actions exist from the beginning, and actions see its
variables wherever those are declared. `lowering` asks; nothing here makes code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, islice
from typing import Any, Final

from ..bytecode.verify import CodeLimits
from . import tree
from .builtins import BUILTINS
from .diagnostics import MOST, Diagnostic, Note, closest

TEMPORARY: Final = "~"
"""In every register that is no variable's plain name; no name of a source has it."""

MOST_NESTED: Final = CodeLimits().function_nesting
"""Actions inside each other: what bytecode has by default, so that no way of running takes more."""
_NAMELESS: Final = "action"
_MOST_COMPARED: Final = 1000
"""Names that are looked at for what was probably meant."""


class Kind(Enum):
    """How a variable was declared, in the words of messages."""

    LET = "variable"
    CONST = "constant"
    ACTION = "action"
    PARAMETER = "parameter"
    ITEM = "variable of the loop"


@dataclass(eq=False)
class Variable:
    """A declared name. `home` is the function that it belongs to; `register` is set once everything is known."""

    name: str
    span: tree.Span
    kind: Kind
    home: FunctionScope
    is_global: bool
    action: tree.Lambda | tree.Action | None = None
    """The action that it was declared with, if it was."""
    is_assigned: bool = False
    """Whether it is assigned after its declaration."""
    is_captured: bool = False
    is_captured_early: bool = False
    """Whether an action that it is declared with captures it, which happens before it has its value."""
    register: str = ""

    @property
    def is_fixed(self) -> bool:
        """Whether nothing may assign it."""
        return self.kind in (Kind.CONST, Kind.ACTION)

    @property
    def needs_cell(self) -> bool:
        """Whether actions share it with the function that it belongs to, and see each other's assignments."""
        return self.is_captured and (self.is_assigned or self.is_captured_early)


@dataclass(eq=False)
class FunctionScope:
    """A function, or the main program: what belongs to it. `name` is unique, empty for the main program."""

    name: str
    outer: FunctionScope | None
    depth: int = 0
    """Functions around it."""
    variables: list[Variable] = field(default_factory=list)
    captured: dict[Variable, str] = field(default_factory=dict)
    """Variables of functions around it that it uses, itself or for a function inside, and their registers here."""
    free: set[str] = field(default_factory=set)
    """Names of globals that it uses."""


@dataclass(frozen=True)
class Resolution:
    """What is known of a program's names. Nodes are looked up by identity."""

    main: FunctionScope
    scopes: Mapping[int, FunctionScope]
    """By lambda or action."""
    declared: Mapping[int, Variable]
    """By the name node of a declaration."""
    used: Mapping[int, Variable]
    """By the name node of a use; a name that is not here is a global of the environment, or a builtin."""
    globals: tuple[Variable, ...]
    settled: frozenset[int]
    """Name nodes of globals whose use cannot come before their declaration."""
    builtin_calls: frozenset[int]
    """Calls of builtins, by their node."""

    def register(self, variable: Variable, function: FunctionScope) -> str:
        """The register of a variable in a function that uses it."""
        return function.captured.get(variable, variable.register)


def resolve(
    program: tree.Program,
    report: Callable[[Diagnostic], None],
    *,
    strict_names: bool = False,
    known: Iterable[str] = (),
    constants: Iterable[str] = (),
    reserved: Iterable[str] = (),
) -> Resolution:
    """Resolve every name, and `report` what is wrong with some.

    `known` are the variables of the environment, which hide builtins, `constants` those that must not be assigned.
    With `strict_names` a name that is declared nowhere and not known is an error. No function is called as one of
    `reserved`.
    """
    resolver = _Resolver(report, strict_names, frozenset(known), frozenset(constants), reserved)
    resolver.program(program)
    _name_registers(resolver.main, resolver.scopes.values())
    return Resolution(
        resolver.main,
        resolver.scopes,
        resolver.declared,
        resolver.used,
        tuple(resolver.outermost.values()),
        frozenset(resolver.settled),
        frozenset(resolver.builtin_calls),
    )


# Resolving


class _Resolver:
    def __init__(
        self,
        report: Callable[[Diagnostic], None],
        strict: bool,
        known: frozenset[str],
        constants: frozenset[str],
        reserved: Iterable[str],
    ) -> None:
        self.report = report
        self.strict = strict
        self.known = known
        self.constants = constants
        self.main = FunctionScope("", None)
        self.function = self.main
        self.scopes: dict[int, FunctionScope] = {}
        self.declared: dict[int, Variable] = {}
        self.used: dict[int, Variable] = {}
        self.settled: set[int] = set()
        self.builtin_calls: set[int] = set()
        self.outermost: dict[str, Variable] = {}
        """The outermost scope, whose variables are all there from the beginning."""
        self.ready: set[Variable] = set()
        """Those of the outermost scope that the main program has declared by now."""
        self.blocks: list[dict[str, Variable]] = []
        """The scopes inside it, the innermost last."""
        self.loops = 0
        """Loops around, within the function."""
        self.names = _Names(reserved)
        """Of functions."""
        self.calls: list[tuple[tree.Call, Variable]] = []
        self.unknown = 0

    def fault(self, node: tree.Node, message: str, hint: str = "", note: Note | None = None) -> None:
        self.report(Diagnostic(node.span, message, hint, note))

    def program(self, program: tree.Program) -> None:
        for statement in program.statements:
            if isinstance(statement, tree.Action):
                self.ready.add(self.declare(statement.name, Kind.ACTION, statement, self.outermost))
        for statement in program.statements:
            if isinstance(statement, tree.Let | tree.Const):
                kind = Kind.LET if isinstance(statement, tree.Let) else Kind.CONST
                self.declare(statement.name, kind, _as_action(statement.value), self.outermost)
        self.exports(program)
        for statement in program.statements:
            self.visit(statement)
        for call, variable in self.calls:
            self.check_call(call, variable)

    def exports(self, program: tree.Program) -> None:
        outermost = {id(statement) for statement in program.statements}
        for node in tree.walk(program):
            if isinstance(node, tree.Action) and node.export is not None and id(node) not in outermost:
                self.fault(node.export, "only an action of the outermost scope can be exported")

    # Declarations

    def declare(
        self, name: tree.Name, kind: Kind, action: tree.Lambda | tree.Action | None, scope: dict[str, Variable]
    ) -> Variable:
        before = scope.get(name.identifier)
        if before is not None:
            self.fault(
                name,
                f"`{name.identifier}` is declared twice in one scope",
                "to change it, leave out `let`" if before.kind in (Kind.LET, Kind.ITEM) and kind is Kind.LET else "",
                Note(before.span, f"the {before.kind.value} is declared"),
            )
        variable = Variable(
            name.identifier, name.span, kind, self.function, is_global=scope is self.outermost, action=action
        )
        self.declared[id(name)] = variable
        if before is None:
            scope[name.identifier] = variable
            self.function.variables.append(variable)
        return variable

    def declare_here(self, name: tree.Name, kind: Kind, action: tree.Lambda | tree.Action | None = None) -> Variable:
        return self.declare(name, kind, action, self.blocks[-1])

    @contextmanager
    def block(self) -> Iterator[None]:
        self.blocks.append({})
        yield
        self.blocks.pop()

    # Uses

    def find(self, name: str) -> Variable | None:
        for scope in reversed(self.blocks):
            if name in scope:
                return scope[name]
        variable = self.outermost.get(name)
        if variable is not None and self.function is self.main and variable not in self.ready:
            return None  # the main program does not see it before its declaration
        return variable

    def use(self, name: tree.Name, *, assigned: bool = False) -> Variable | None:
        """The variable that a name stands for; None for one of the environment's, or a builtin."""
        variable = self.find(name.identifier)
        if variable is None:
            self.function.free.add(name.identifier)
            self.undeclared(name, assigned=assigned)
            return None
        self.used[id(name)] = variable
        if variable.is_global:
            self.function.free.add(variable.name)
            if self.function is self.main:
                self.settled.add(id(name))
        else:
            self.capture(variable)
        if assigned:
            variable.is_assigned = True
            if variable.is_fixed:
                self.fault(
                    name,
                    f"`{name.identifier}` is {_with_article(variable.kind)} and cannot be assigned",
                    "declare it with `let`" if variable.kind is Kind.CONST else "",
                    Note(variable.span, "it is declared"),
                )
        return variable

    def capture(self, variable: Variable) -> None:
        function = self.function
        while function is not variable.home:
            variable.is_captured = True
            function.captured.setdefault(variable, "")
            assert function.outer is not None
            function = function.outer

    def undeclared(self, name: tree.Name, *, assigned: bool) -> None:
        identifier = name.identifier
        if identifier in self.known:
            if assigned and identifier in self.constants:
                self.fault(name, f"`{identifier}` is a constant and cannot be assigned")
            return
        later = self.outermost.get(identifier)
        if identifier in BUILTINS and later is None:
            what = "cannot be assigned" if assigned else "can only be called"
            self.fault(name, f"`{identifier}` is a builtin and {what}")
        elif self.strict and later is not None:
            self.fault(name, f"`{identifier}` is used before its declaration", "", Note(later.span, "it is declared"))
        elif self.strict:
            self.unknown += 1
            near = closest(identifier, self.visible()) if self.unknown <= MOST else ""  # others are not shown
            self.fault(name, f"nothing is called `{identifier}`", f"did you mean `{near}`?" if near else "")

    def visible(self) -> list[str]:
        """Names that could stand here, the nearest first; all of them, unless there are very many."""
        inner = (name for scope in reversed(self.blocks) for name in scope)
        return list(islice(chain(inner, BUILTINS, self.outermost, self.known), _MOST_COMPARED))

    # Nodes

    def visit(self, node: tree.Node) -> None:
        _VISITORS.get(type(node), _Resolver.visit_children)(self, node)

    def visit_children(self, node: tree.Node) -> None:
        for child in tree.children(node):  # not by `visit`: sources are deep, and Python's calls are not many
            _VISITORS.get(type(child), _Resolver.visit_children)(self, child)

    def visit_name(self, node: tree.Name) -> None:
        self.use(node)

    def visit_block_field(self, node: tree.BlockField) -> None:
        """Its name is no variable's."""

    def visit_call(self, node: tree.Call) -> None:
        callee = node.callee
        if isinstance(callee, tree.Name):
            if self.is_builtin(callee.identifier):
                self.builtin_calls.add(id(node))
                BUILTINS[callee.identifier].check(node, self.report)
            else:
                variable = self.use(callee)
                if variable is not None:
                    self.calls.append((node, variable))
        else:
            self.visit(callee)
        for argument in node.arguments:
            self.visit(argument)

    def is_builtin(self, identifier: str) -> bool:
        return identifier in BUILTINS and identifier not in self.known and self.find(identifier) is None

    def visit_spawn(self, node: tree.Spawn) -> None:
        callee = node.call.callee
        if isinstance(callee, tree.Name) and self.is_builtin(callee.identifier):
            self.fault(callee, f"`{callee.identifier}` is a builtin and cannot be spawned", "spawn an action")
            return
        self.visit_call(node.call)

    def check_call(self, call: tree.Call, variable: Variable) -> None:
        action = variable.action
        if action is None or variable.is_assigned or len(action.parameters) == len(call.arguments):
            return
        wanted, given = len(action.parameters), len(call.arguments)
        self.fault(
            call,
            f"`{variable.name}` takes {wanted} argument{'' if wanted == 1 else 's'}, not {given}",
            note=Note(variable.span, "it is declared"),
        )

    def visit_declaration(self, node: tree.Let | tree.Const) -> None:
        kind = Kind.LET if isinstance(node, tree.Let) else Kind.CONST
        action = _as_action(node.value)
        if not self.blocks:
            self.visit(node.value)
            self.ready.add(self.declared[id(node.name)])
        elif action is not None:  # it sees its own name
            variable = self.declare_here(node.name, kind, action)
            self.visit(action)
            variable.is_captured_early = variable.is_captured
        else:
            self.visit(node.value)
            self.declare_here(node.name, kind)

    def visit_assign(self, node: tree.Assign) -> None:
        self.use(node.target, assigned=True)
        self.visit(node.value)

    def visit_index_assign(self, node: tree.IndexAssign) -> None:
        for key in node.keys:
            self.visit(key)
        self.visit(node.value)
        self.use(node.target, assigned=True)

    def visit_block(self, node: tree.Block) -> None:
        with self.block():
            self.visit_children(node)

    def visit_while(self, node: tree.While) -> None:
        self.visit(node.test)
        self.loops += 1
        self.visit(node.body)
        self.loops -= 1

    def visit_for_each(self, node: tree.ForEach) -> None:
        self.visit(node.collection)
        self.loops += 1
        with self.block():
            self.declare_here(node.variable, Kind.ITEM)
            self.visit_children(node.body)
        self.loops -= 1

    def visit_leave(self, node: tree.Break | tree.Continue) -> None:
        if not self.loops:
            self.fault(node, f"`{'break' if isinstance(node, tree.Break) else 'continue'}` outside a loop")

    def visit_return(self, node: tree.Return) -> None:
        if self.function is self.main:
            self.fault(node, "`return` outside an action", "the value of a program is its last expression")
        self.visit_children(node)

    def visit_action(self, node: tree.Action) -> None:
        if not self.blocks:
            self.visit_function(node, node.name.identifier)
            return
        variable = self.declare_here(node.name, Kind.ACTION, node)
        self.visit_function(node, node.name.identifier)
        variable.is_captured_early = variable.is_captured

    def visit_lambda(self, node: tree.Lambda) -> None:
        self.visit_function(node, _NAMELESS)

    def visit_function(self, node: tree.Action | tree.Lambda, name: str) -> None:
        outer, loops = self.function, self.loops
        self.function = self.scopes[id(node)] = FunctionScope(self.unique(name), outer, outer.depth + 1)
        if self.function.depth == MOST_NESTED + 1:
            self.fault(node, f"actions nested deeper than {MOST_NESTED}")
        self.loops = 0
        with self.block():
            for parameter in node.parameters:
                self.declare_parameter(parameter)
            self.visit_children(node.body)
        if node.result is not None:
            self.check_type(node.result)
        self.function, self.loops = outer, loops

    def declare_parameter(self, parameter: tree.Parameter) -> None:
        before = self.blocks[-1].get(parameter.name.identifier)
        if before is None:
            self.declare_here(parameter.name, Kind.PARAMETER)
        else:
            self.declared[id(parameter.name)] = before
            self.fault(parameter.name, f"two parameters are called `{parameter.name.identifier}`")
        if parameter.type is not None:
            self.check_type(parameter.type)

    def check_type(self, node: tree.TypeName) -> None:
        if node.name not in TYPES:
            near = closest(node.name, TYPES)
            hint = f"did you mean `{near}`?" if near else f"types are {', '.join(TYPES)}"
            self.fault(node, f"there is no type `{node.name}`", hint)

    def unique(self, name: str) -> str:
        """A name for a function that no other has; actions without one are `action~1` and so on."""
        return self.names.numbered(name, 1) if name == _NAMELESS else self.names.take(name)


TYPES: Final = ("int", "bool", "str", "bytes", "address", "list", "map", "any")
"""Types of parameters and results: `address` is 20 bytes, `any` is any value."""

_VISITORS: Final[dict[type, Callable[[_Resolver, Any], None]]] = {
    tree.Name: _Resolver.visit_name,
    tree.BlockField: _Resolver.visit_block_field,
    tree.Call: _Resolver.visit_call,
    tree.Spawn: _Resolver.visit_spawn,
    tree.Let: _Resolver.visit_declaration,
    tree.Const: _Resolver.visit_declaration,
    tree.Assign: _Resolver.visit_assign,
    tree.IndexAssign: _Resolver.visit_index_assign,
    tree.Block: _Resolver.visit_block,
    tree.While: _Resolver.visit_while,
    tree.ForEach: _Resolver.visit_for_each,
    tree.Break: _Resolver.visit_leave,
    tree.Continue: _Resolver.visit_leave,
    tree.Return: _Resolver.visit_return,
    tree.Action: _Resolver.visit_action,
    tree.Lambda: _Resolver.visit_lambda,
}


def _as_action(value: tree.Expression) -> tree.Lambda | None:
    return value if isinstance(value, tree.Lambda) else None


def _with_article(kind: Kind) -> str:
    return f"an {kind.value}" if kind is Kind.ACTION else f"a {kind.value}"


# Registers


def _name_registers(main: FunctionScope, functions: Iterable[FunctionScope]) -> None:
    """Give every variable a register, unique in its function, that no global has which that function uses."""
    names = _Names(())  # with a number they are no globals
    for variable in main.variables:
        variable.register = variable.name if variable.is_global else names.numbered(variable.name, 2)
    for function in functions:
        names = _Names(function.free)
        for captured in function.captured:
            function.captured[captured] = names.take(captured.name)
        for variable in function.variables:
            variable.register = names.take(variable.name)


class _Names:
    """Names that are taken. A plain name that is, is followed by `~` and a number."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """The name itself if it is free, else `name~2` and so on."""
        if name in self._taken:
            return self.numbered(name, 2)
        self._taken.add(name)
        return name

    def numbered(self, name: str, first: int) -> str:
        """`name~first` the first time, then what follows."""
        number = self._numbers[name] = self._numbers.get(name, first - 1) + 1
        return f"{name}{TEMPORARY}{number}"
