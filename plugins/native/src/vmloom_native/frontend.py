"""From a function's source to its typed body: names, types, ranges, constants, dead branches, and all errors.

One `Frontend` translates one function. Statements are here, expressions in `expressions`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vmloom.kernel.subset import KernelError

from .annotations import resolve
from .expressions import Expressions
from .kinds import I64, NOTHING, U64, Integer, Kind
from .operators import Refused, compare, convert, counted, join, settle, smallest_holding
from .tree import (
    Assign,
    Body,
    Break,
    Constant,
    Continue,
    Element,
    Evaluate,
    Expression,
    If,
    Local,
    Loop,
    Return,
    Statement,
    Stop,
    Write,
    ends,
)

if TYPE_CHECKING:
    from .program import FunctionRef, Program


class Frontend(Expressions):
    """Translates the body of `function`."""

    def __init__(self, program: Program, function: FunctionRef) -> None:
        super().__init__(program, function, Body(), dict(function.arguments))
        self.parameters = frozenset(self.kinds)
        self.exits: list[list[set[str]]] = []
        """For each loop around: the names that have a value at each `break`."""
        self.out: list[Statement] = []
        self.assignments = Counter(_assigned(function.definition.body))

    def translate(self) -> Body:
        """The typed body; `KernelError` where the function breaks a rule."""
        statements = self.block(self.function.definition.body[self.function.documented :])
        if self.function.result != NOTHING and not ends(statements):
            raise self.error(self.function.definition, f"the function may end without the `{self.function.result}`")
        self.body.statements = statements
        return self.body

    def block(self, nodes: Sequence[ast.stmt]) -> tuple[Statement, ...]:
        """The statements of a block, up to one that control does not come past."""
        before, self.out = self.out, []
        for node in nodes:
            try:
                self.statement(node)
            except Refused as refusal:
                raise self.error(node, str(refusal)) from None
            if self.out and ends(tuple(self.out[-1:])):
                break
        after, self.out = self.out, before
        return tuple(after)

    def statement(self, node: ast.stmt) -> None:
        """Append what `node` does."""
        match node:
            case ast.Expr(value=ast.Call() as call):
                self.out.append(Evaluate(node.lineno, self.expression(call)))
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.assign(name, self.expression(value), node)
            case ast.Assign(targets=[target], value=value):
                self.write(target, self.expression(value), node)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value):
                kind = resolve(annotation, self.names, self.program.bindings)
                if self.kinds.setdefault(name, kind) != kind:
                    raise Refused(f"`{name}` is `{self.kinds[name]}` already")
                self.assign(name, self.expression(value), node)
            case ast.AugAssign():
                self.augment(node)
            case ast.If():
                self.branch(node)
            case ast.While(test=test, body=body):
                self.loop(self.condition(test), body, (), node)
            case ast.For():
                self.count(node)
            case ast.Return(value=value):
                self.leave(value, node)
            case ast.Raise(exc=ast.Call(args=[reason])):
                self.raise_(self.expression(reason), node)
            case ast.Break():
                self.exits[-1].append(set(self.given))
                self.out.append(Break(node.lineno))
            case ast.Continue():
                self.out.append(Continue(node.lineno))
            case ast.Pass():
                pass
            case _:
                raise Refused(f"`{ast.unparse(node)}` is not in the kernel language")

    # Assignments

    def assign(self, name: str, value: Expression, node: ast.AST) -> None:
        """Set a local. The first assignment decides its kind; a single one leaves it with the value's range."""
        kind = self.kinds.get(name) or self.first_kind(name, value)
        try:
            value = convert(value, kind)
        except Refused as refusal:
            raise Refused(f"{refusal} (`{name}` is `{kind}`)") from None
        self.kinds[name] = kind
        self.given.add(name)
        if name in self.parameters:
            self.body.assigned.add(name)
        else:
            self.body.locals[name] = kind
            if self.assignments[name] <= 1:
                self.ranges[name] = value.low, value.high
        self.out.append(Assign(getattr(node, "lineno", 0), name, value))

    def first_kind(self, name: str, value: Expression) -> Kind:
        """The kind of a local that begins with `value`."""
        if value.kind == NOTHING:
            raise Refused(f"`{name}` is given nothing")
        if isinstance(value, Constant) and value.literal:
            return smallest_holding(value.value, value.value, I64 if value.value < 0 else U64)
        return value.kind

    def write(self, target: ast.expr, value: Expression, node: ast.stmt) -> None:
        """Set an element, a field, or a property."""
        if found := self.assigned_property(target):
            if not isinstance(found[0], Local) and not isinstance(value, Constant):
                value = self.kept(settle(value), node)  # Python computes it before it looks for the object
            self.out.append(Evaluate(node.lineno, self.call_setter(*found, value, node.lineno)))
            return
        address, kind = self.place(target)
        self.out.append(Write(node.lineno, address, convert(value, kind)))

    def augment(self, node: ast.AugAssign) -> None:
        """`target <operator>= value`: the target's place is computed once, and read before the value."""
        target, name = node.target, self.operator(node.op)
        if isinstance(target, ast.Name):
            current = self.expression(ast.copy_location(ast.Name(target.id, ast.Load()), target))
            self.assign(target.id, self.binary(name, current, self.expression(node.value), node), node)
            return
        if found := self.assigned_property(target):
            base, changed = self.kept(found[0], node), found[1]
            value = self.binary(name, self.call_getter(base, changed, node.lineno), self.expression(node.value), node)
            self.out.append(Evaluate(node.lineno, self.call_setter(base, changed, value, node.lineno)))
            return
        address, kind = self.place(target)
        if not (
            isinstance(address, Element) and isinstance(address.index, Constant) and isinstance(address.base, Local)
        ):
            address = self.kept(address, node)
        current = self.read(address, kind, node.lineno)
        value = convert(self.binary(name, current, self.expression(node.value), node), kind)
        self.out.append(Write(node.lineno, address, value))

    def kept(self, value: Expression, node: ast.stmt) -> Expression:
        """A local that holds `value`, so that it is computed once."""
        if isinstance(value, Local):
            return value
        hidden = self.hidden("kept", value.kind)
        self.out.append(Assign(node.lineno, hidden, value))
        return Local(value.kind, value.low, value.high, node.lineno, hidden)

    # Control flow

    def branch(self, node: ast.If) -> None:
        """A branch whose test is constant leaves no trace of the other side, which need not even have sound types."""
        test = self.condition(node.test)
        if isinstance(test, Constant):
            self.out += self.block(node.body if test.value else node.orelse)
            return
        before = set(self.given)
        then, given = self.block(node.body), self.given
        self.given = before
        otherwise = self.block(node.orelse)
        if ends(otherwise):
            self.given = given
        elif not ends(then):
            self.given &= given
        self.out.append(If(node.lineno, test, then, otherwise))

    def loop(self, test: Expression, body: Sequence[ast.stmt], step: tuple[Statement, ...], node: ast.stmt) -> None:
        """A loop, unless its test is constantly false."""
        if isinstance(test, Constant) and not test.value:
            return
        before = set(self.given)
        self.exits.append([] if isinstance(test, Constant) else [before])
        self.out.append(Loop(node.lineno, test, self.block(body), step))
        exits = self.exits.pop()
        self.given = set.intersection(*exits) if exits else before

    def count(self, node: ast.For) -> None:
        """`for name in range(...)`: a hidden counter goes on, whatever the body does to the name."""
        if not (isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call)):
            raise Refused("a for loop has the form `for name in range(...)`")
        name, line = node.target.id, node.lineno
        bounds = [self.expression(it) for it in node.iter.args]
        step = bounds.pop() if len(bounds) == 3 else Constant(U64, 1, 1, line, literal=True)
        if not (isinstance(step, Constant) and step.value > 0):
            raise Refused("the step of a range is a positive constant")
        start, stop = bounds if len(bounds) == 2 else (Constant(U64, 0, 0, line, literal=True), bounds[0])
        kind = self.counter_kind(start, stop, name)
        start, stop = convert(start, kind), convert(stop, kind)
        counter, end = self.hidden(name, kind), self.hidden("stop", kind)
        self.out.append(Assign(line, counter, start))
        if not isinstance(stop, Constant):
            self.out.append(Assign(line, end, stop))
            stop = Local(kind, stop.low, stop.high, line, end)
        low, high = start.low, max(stop.high - 1, start.low)
        now = Local(kind, low, high, line, counter)
        again = counted(now, step.value, stop, kind, line)
        test = compare("<", now, stop, line)
        before, given, self.out = self.out, set(self.given), []
        self.assign(name, now, node)
        first, self.out = self.out, before
        self.exits.append([])
        body = (*first, *self.block(node.body))
        self.exits.pop()
        self.given = given  # for the range may be empty
        self.out.append(Loop(line, test, body, (Assign(line, counter, again),)))

    def counter_kind(self, start: Expression, stop: Expression, name: str) -> Integer:
        """The kind of a loop's counter: that of its bounds."""
        literals = [it.value for it in (start, stop) if isinstance(it, Constant) and it.literal]
        if len(literals) < 2:
            return join(start, stop)
        known = self.kinds.get(name)
        if isinstance(known, Integer) and known.holds(min(literals), max(literals)):
            return known
        return smallest_holding(min(literals), max(literals), I64 if min(literals) < 0 else U64)

    def leave(self, value: ast.expr | None, node: ast.Return) -> None:
        """`return`"""
        returns = self.function.result
        if (value is None) != (returns == NOTHING):
            raise Refused(f"the function returns `{returns}`")
        self.out.append(Return(node.lineno, None if value is None else convert(self.expression(value), returns)))

    def raise_(self, reason: Expression, node: ast.Raise) -> None:
        """`raise Halt(reason)`"""
        if isinstance(reason, Constant) and reason.value == 0:
            raise Refused("0 is no reason to halt: it is what a function returns that does not")
        self.body.raises = True
        self.out.append(Stop(node.lineno, convert(reason, U64)))

    def error(self, node: ast.AST, rule: str) -> KernelError:
        """What `node` breaks, and where."""
        return KernelError(self.function.file, getattr(node, "lineno", self.function.line), rule)


def _assigned(statements: Iterable[ast.stmt]) -> Iterable[str]:
    """Every name that the statements assign, once for each assignment."""
    for node in statements:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
                yield name
            case ast.For(target=ast.Name(id=name), body=body):
                yield name
                yield from _assigned(body)
            case ast.While(body=body):
                yield from _assigned(body)
            case ast.If(body=body, orelse=orelse):
                yield from _assigned(body)
                yield from _assigned(orelse)
