"""Typed expressions of one function: names, fields, elements, operators, and what `calls` adds."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vmloom.kernel.subset import KernelError

from .kinds import BOOL, BYTES, NOTHING, U64, VIEW, Integer, Kind, Pointer, Reference, kind_of, memory_size
from .operators import Refused, binary, choose, compare, convert, truth
from .tree import (
    Body,
    Builtin,
    Call,
    Constant,
    Element,
    Expression,
    Local,
    Logic,
    Negation,
    Read,
    TableStart,
    literal,
)

if TYPE_CHECKING:
    from .program import FunctionRef, Program

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_NO_CONSTANT = object()


class Expressions:
    """What a function's names mean, and its expressions. `kinds` are those of parameters, and of locals so far."""

    def __init__(self, program: Program, function: FunctionRef, body: Body, kinds: dict[str, Kind]) -> None:
        self.program, self.function, self.body, self.kinds = program, function, body, kinds
        self.names = function.names
        self.given = set(kinds)
        """Names that have a value wherever control comes from."""
        self.ranges: dict[str, tuple[int, int]] = {}
        self.hidden_count = 0

    def expression(self, node: ast.expr) -> Expression:
        """The typed form of `node`."""
        try:
            return self._expression(node)
        except Refused as refusal:
            raise KernelError(self.function.file, node.lineno, str(refusal)) from None

    def _expression(self, node: ast.expr) -> Expression:
        line = node.lineno
        match node:
            case ast.Name(id=name):
                return self.name(name, line)
            case ast.Constant(value=int() as value):
                return literal(value, line)
            case ast.Attribute():
                return self.attribute(node)
            case ast.Call():
                from .calls import call

                return call(self, node)
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(self.operator(op), self.expression(left), self.expression(right), node)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return compare(self.operator(op), self.expression(left), self.expression(right), line)
            case ast.Subscript(value=value, slice=index):
                return self.subscript(value, index, line)
            case ast.BoolOp():
                return self.logic(node, value=True)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.negation(self.condition(operand), line)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.binary("-", Constant(U64, 0, 0, line, literal=True), self.expression(operand), node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition = self.condition(test)
                if isinstance(condition, Constant):
                    return self.expression(body if condition.value else orelse)
                return choose(condition, self.expression(body), self.expression(orelse), line)
        raise Refused(f"`{ast.unparse(node)}` is not in the kernel language")

    # Names

    def name(self, name: str, line: int) -> Expression:
        """A local, or a constant of the module."""
        kind = self.kinds.get(name)
        if kind is not None:
            if name not in self.given:
                raise Refused(f"`{name}` may have no value here")
            low, high = self.ranges.get(name) or ((kind.low, kind.high) if isinstance(kind, Integer) else (0, 0))
            return Local(kind, low, high, line, name)
        if name in self.function.local_names:
            raise Refused(f"`{name}` has no value yet")
        value = self.lookup(name)
        if not isinstance(value, int):
            raise Refused(f"global `{name}` is not an integer or a boolean")
        return literal(value if isinstance(value, bool) else int(value), line)

    def lookup(self, name: str) -> Any:
        """What a global name means."""
        if name in self.names:
            return self.names[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise Refused(f"name `{name}` is not defined")

    def hidden(self, name: str, kind: Kind) -> str:
        """A local that no Python name can be."""
        self.hidden_count += 1
        hidden = f"{name}.{self.hidden_count}"
        self.body.locals[hidden] = kind
        return hidden

    # Operators

    def operator(self, node: ast.AST) -> str:
        """How the tree calls an operator."""
        if type(node) not in OPERATORS:
            raise Refused(f"`{type(node).__name__}` is not in the kernel language")
        return OPERATORS[type(node)]

    def binary(self, name: str, a: Expression, b: Expression, node: ast.AST) -> Expression:
        """Arithmetic, also of pointers."""
        line = getattr(node, "lineno", 0)
        if isinstance(a.kind, Pointer) and name in "+-":
            stride = memory_size(a.kind.element)
            return Element(a.kind, 0, 0, line, a, self.index(b), stride, inside=False, backwards=name == "-")
        return binary(name, a, b, line, self.kernel)

    def kernel(self, name: str, a: Expression, b: Expression) -> Expression:
        """A call of one of our division kernels."""
        module = importlib.import_module("vmloom_native.wide.divide")
        function = self.program.function(getattr(module, name))
        self.body.calls[function] = True
        given = tuple(convert(it, kind) for it, kind in zip((a, b), function.parameters, strict=True))
        return made_call(function, given, a.line)

    def condition(self, node: ast.expr) -> Expression:
        """`node` where only its truth counts."""
        try:
            if isinstance(node, ast.BoolOp):
                return self.logic(node, value=False)
            return truth(self.expression(node))
        except Refused as refusal:
            raise KernelError(self.function.file, node.lineno, str(refusal)) from None

    def logic(self, node: ast.BoolOp, value: bool) -> Expression:
        """`and`, `or`. As a value, their operands are booleans, for Python's result is one of them."""
        name = "and" if isinstance(node.op, ast.And) else "or"
        result: Expression | None = None
        for operand in node.values:
            right = self.logic(operand, value) if isinstance(operand, ast.BoolOp) else self.expression(operand)
            if value and right.kind != BOOL:
                raise Refused(f"`{name}` as a value needs booleans: compare with 0")
            right = truth(right)
            neutral = isinstance(right, Constant) and right.value == (name == "and")
            if result is None or isinstance(result, Constant):
                result = right
            elif not neutral:
                result = Logic(BOOL, 0, 1, node.lineno, name, result, right)
            if isinstance(result, Constant) and result.value == (name == "or"):
                return result
        assert result is not None
        return result

    def negation(self, value: Expression, line: int) -> Expression:
        """`not value`"""
        if isinstance(value, Constant):
            return literal(not value.value, line)
        return Negation(BOOL, 0, 1, line, value)

    # Memory

    def index(self, value: Expression) -> Expression:
        """`value` as a number of elements: an unsigned integer of at most 64 bits."""
        if isinstance(value, Constant) and value.literal and value.value < 0:
            raise Refused("a pointer is moved by an unsigned integer")
        if isinstance(value.kind, Integer) and value.kind.signed:
            raise Refused("a pointer is moved by an unsigned integer")
        return convert(value, U64)

    def subscript(self, value: ast.expr, index: ast.expr, line: int) -> Expression:
        """`p[i]`, or `K[i]` of a constant table."""
        if isinstance(value, ast.Name) and value.id not in self.kinds:
            table = self.lookup(value.id)
            if type(table).__name__ == "Table":
                return self.table_element(table, self.expression(index), line)
        base = self.expression(value)
        if base.kind == VIEW:
            base = Builtin(BYTES, 0, 0, line, "start", (base,))
        address, kind = self.element(base, self.expression(index), line)
        return address if isinstance(kind, Reference) else self.read(address, kind, line)

    def table_element(self, table: Any, index: Expression, line: int) -> Expression:
        """An element of a constant table: known now, if the index is."""
        kind = kind_of(table.kind)
        if not isinstance(kind, Integer) or not table:
            raise Refused(f"a table has elements, of a kernel type, not {len(table)} of {table.kind}")
        if isinstance(index, Constant):
            if not 0 <= index.value < len(table):
                raise Refused(f"the table has no element {index.value}")
            return Constant(kind, table[index.value], table[index.value], line, literal=False)
        start = TableStart(Pointer(kind), 0, 0, line, self.program.table(table, kind))
        address = Element(Pointer(kind), 0, 0, line, start, self.index(index), memory_size(kind), True, False)
        return Read(kind, min(table), max(table), line, address, packed=False)

    def element(self, base: Expression, index: Expression, line: int) -> tuple[Expression, Kind]:
        """The address of an element, and the kind of what is there. A reference, if that is a struct."""
        if not isinstance(base.kind, Pointer):
            raise Refused(f"`{base.kind}` has no elements")
        kind = base.kind.element
        place: Kind = kind if isinstance(kind, Reference) else base.kind
        return Element(place, 0, 0, line, base, self.index(index), memory_size(kind), True, False), kind

    def place(self, target: ast.expr) -> tuple[Expression, Kind]:
        """Where an assignment to an element or a field goes."""
        line = target.lineno
        if isinstance(target, ast.Subscript):
            address, kind = self.element(self.expression(target.value), self.expression(target.slice), line)
            if isinstance(kind, Reference):
                raise Refused("a struct is assigned field by field")
            return address, kind
        if not isinstance(target, ast.Attribute):
            raise Refused("an assignment has one target: a name, an attribute or an element")
        base = self.expression(target.value)
        field = self.field(base, target.attr)
        if field is None:
            raise Refused(f"`{base.kind}` has no field `{target.attr}`")
        address, kind, embedded = field
        if embedded:
            raise Refused(f"`{target.attr}` is an embedded array: its elements are assigned")
        return address, kind

    def read(self, address: Expression, kind: Kind, line: int) -> Expression:
        """What is in memory at `address`."""
        low, high = (kind.low, kind.high) if isinstance(kind, Integer) else (0, 0)
        return Read(kind, low, high, line, address, packed=False)

    def field(self, base: Expression, name: str) -> tuple[Expression, Kind, bool] | None:
        """A field's address, its kind, and whether it is an embedded array; None if the struct has no such field."""
        if not isinstance(base.kind, Reference):
            raise Refused(f"`{base.kind}` has no attributes")
        found = self.program.field(base.kind.struct, name)
        if found is None:
            return None
        offset, kind, embedded = found
        index = Constant(U64, offset, offset, base.line, literal=False)
        place = kind if embedded else Pointer(kind)
        return Element(place, 0, 0, base.line, base, index, 1, True, False), kind, embedded

    # Attributes

    def attribute(self, node: ast.Attribute) -> Expression:
        """A field, a property, or a compile-time constant of the machine."""
        constant = self.constant(node)
        if constant is not _NO_CONSTANT:
            if not isinstance(constant, int):
                raise Refused(f"`{ast.unparse(node)}` is not an integer or a boolean")
            return literal(constant if isinstance(constant, bool) else int(constant), node.lineno)
        base = self.expression(node.value)
        field = self.field(base, node.attr)
        if field is not None:
            address, kind, embedded = field
            return address if embedded else self.read(address, kind, node.lineno)
        found = self.member(base.kind, node.attr)
        if isinstance(found, property):
            return self.call_getter(base, found, node.lineno)
        if isinstance(found, int):
            return literal(found if isinstance(found, bool) else int(found), node.lineno)
        raise Refused(f"`{base.kind}` has no field `{node.attr}`")

    def constant(self, node: ast.expr) -> Any:
        """The object that `m.rules...` is at compile time, or a mark that it is none."""
        if not isinstance(node, ast.Attribute):
            return _NO_CONSTANT
        if isinstance(node.value, ast.Name):
            kind = self.kinds.get(node.value.id)
            known = node.attr in self.program.constants and isinstance(kind, Reference)
            return self.program.constants[node.attr] if known and self.program.is_machine(kind) else _NO_CONSTANT
        owner = self.constant(node.value)
        if owner is _NO_CONSTANT:
            return _NO_CONSTANT
        if not hasattr(owner, node.attr):
            raise Refused(f"`{ast.unparse(node.value)}` has no `{node.attr}`")
        return getattr(owner, node.attr)

    def member(self, kind: Kind, name: str) -> Any:
        """What a struct's class has under `name` besides fields, as it stands in the class."""
        return inspect.getattr_static(kind.struct, name, None) if isinstance(kind, Reference) else None

    def assigned_property(self, target: ast.expr) -> tuple[Expression, property] | None:
        """The object and the property that an assignment sets, if it sets one."""
        if not isinstance(target, ast.Attribute):
            return None
        base = self.expression(target.value)
        found = self.member(base.kind, target.attr)
        return (base, found) if isinstance(found, property) else None

    def call_getter(self, base: Expression, found: property, line: int) -> Expression:
        """Read a property."""
        if found.fget is None:
            raise Refused("the property cannot be read")
        return self.call_method(found.fget, base, [], line)

    def call_setter(self, base: Expression, found: property, value: Expression, line: int) -> Expression:
        """Assign a property."""
        if found.fset is None:
            raise Refused("the property cannot be assigned")
        return self.call_method(found.fset, base, [value], line)

    def call_method(
        self, method: Callable[..., Any], base: Expression, given: list[Expression], line: int
    ) -> Expression:
        """A call of a kernel function of a struct's class."""
        assert isinstance(base.kind, Reference)
        return self.call_kernel(method, [base, *given], line, base.kind.struct)

    def call_kernel(self, target: Callable[..., Any], given: list[Expression], line: int, owner: Any = None) -> Call:
        """A call of a kernel function."""
        function = self.program.function(target, owner)
        if len(given) != len(function.arguments):
            raise Refused(f"`{function.name}` takes {len(function.arguments)} argument(s), not {len(given)}")
        arguments = []
        for value, (name, kind) in zip(given, function.arguments, strict=True):
            try:
                arguments.append(convert(value, kind))
            except Refused as refusal:
                raise Refused(f"{refusal} (parameter `{name}` of `{function.name}`)") from None
        self.body.calls[function] = True
        return made_call(function, tuple(arguments), line)

    def attempt(self, target: Callable[..., Any], given: list[Expression], line: int) -> Call:
        """`attempt(f, ...)`: the status of a call."""
        passed_on = self.body.calls.get(self.program.function(target), False)
        call = self.call_kernel(target, given, line)
        if call.kind != NOTHING:
            raise Refused(
                f"`attempt` calls functions that return nothing; `{call.function.name}` returns `{call.kind}`"
            )
        self.body.calls[call.function] = passed_on
        return Call(U64, 0, U64.high, line, call.function, call.arguments, attempt=True)


def made_call(function: FunctionRef, arguments: tuple[Expression, ...], line: int) -> Call:
    """The call itself."""
    kind = function.result
    low, high = (kind.low, kind.high) if isinstance(kind, Integer) else (0, 0)
    return Call(kind, low, high, line, function, arguments, attempt=False)
