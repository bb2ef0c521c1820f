"""What belongs to the kernel language: `check` says which rule a function breaks, and where.

Compilers call `check` before they translate a function, and tests call it on every op body, so that a body
that only CPython can run is found on machines without a compiler. It reads one function's source: functions
that it calls are checked on their own, and types are left to mypy and to the compilers.
`vmloom.kernel` does not import this module: the markers stay free.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import Halt, UInt

ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
BITS = (ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
BUILTINS = {"max": 2, "min": 2, "len": 1}
"""Builtins that kernels call, and how many arguments they take there."""

_NOUNS = {  # for nodes whose class name, in words, would not be what a programmer calls them
    "AsyncFor": "coroutines", "AsyncWith": "coroutines", "Await": "coroutines", "ClassDef": "classes",
    "Delete": "del statements", "DictComp": "comprehensions", "FunctionDef": "nested functions",
    "GeneratorExp": "comprehensions", "Import": "imports", "ImportFrom": "imports", "JoinedStr": "f-strings",
    "ListComp": "comprehensions", "NamedExpr": "assignments inside expressions", "SetComp": "comprehensions",
    "Starred": "starred expressions", "TryStar": "try statements", "YieldFrom": "generators", "Yield": "generators",
}  # fmt: skip


class KernelError(Exception):
    """A function leaves the kernel language: it breaks `rule` at `file`:`line`."""

    def __init__(self, file: str, line: int, rule: str) -> None:
        super().__init__(f"{file}:{line}: {rule}")
        self.file = file
        self.line = line
        self.rule = rule


def check(function: Callable[..., Any]) -> None:
    """Raise `KernelError` if `function` leaves the kernel language; `OSError` if its source is not available."""
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    if not isinstance(code, types.CodeType):
        raise KernelError("<unknown>", 0, f"{function!r} is not a Python function")
    lines, first = inspect.getsourcelines(code)
    try:
        definition = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except SyntaxError:  # a lambda in the middle of an expression has no source of its own
        definition = ast.Pass(lineno=1, col_offset=0)
    _Checker(code, names, first - 1).definition(definition)


class _Checker:
    def __init__(self, code: types.CodeType, names: dict[str, Any], offset: int) -> None:
        self.file, self.offset, self.globals = code.co_filename, offset, names
        self.locals = frozenset(code.co_varnames)

    def definition(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.FunctionDef):
            self.refuse(node, "kernel functions are defined with `def`")
        spec = node.args
        for name in (spec.vararg, spec.kwarg, *spec.kwonlyargs):
            if name is not None:
                self.refuse(name, f"parameter `{name.arg}` must be positional")
        if spec.defaults:
            self.refuse(spec.defaults[0], "parameters have no default values in the kernel language")
        for parameter in (*spec.posonlyargs, *spec.args):
            self.annotation(parameter, parameter.annotation, f"parameter `{parameter.arg}`")
        if not (isinstance(node.returns, ast.Constant) and node.returns.value is None):
            self.annotation(node, node.returns, "the result")
        documented = ast.get_docstring(node) is not None
        self.block(node.body[documented:])

    def annotation(self, node: ast.AST, annotation: ast.expr | None, what: str) -> None:
        """An integer type by its name, `bool`, or a protocol; `int` says nothing of its width."""
        if annotation is None:
            self.refuse(node, f"{what} needs a type annotation")
        kind = self.lookup(annotation, annotation.id) if isinstance(annotation, ast.Name) else None
        named = isinstance(annotation, ast.Name) and (kind is not int or annotation.id == "i64")
        if not (named and (isinstance(kind, UInt) or kind in (int, bool) or getattr(kind, "_is_protocol", False))):
            self.refuse(annotation, f"{what}: `{ast.unparse(annotation)}` is not a kernel type, `bool` or a protocol")

    def block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Call() as value):
                self.expression(value)
            case ast.Expr():
                self.refuse(node, "an expression on its own must be a call")
            case ast.Assign(targets=[target], value=value):
                self.assignment(target, value)
            case ast.Assign():
                self.refuse(node, "an assignment has one target")
            case ast.AugAssign(target=target, op=operator, value=value):
                self.operator(node, operator)
                self.assignment(target, value)
            case ast.AnnAssign(target=ast.Name() as target, annotation=annotation, value=ast.expr() as value):
                self.annotation(node, annotation, f"`{target.id}`")
                self.assignment(target, value)
            case ast.AnnAssign():
                self.refuse(node, "an annotation needs a name and a value")
            case ast.If(test=test, body=body, orelse=orelse):
                self.expression(test)
                self.block((*body, *orelse))
            case ast.While(orelse=[_, *_]) | ast.For(orelse=[_, *_]):
                self.refuse(node, "`else` after a loop is not in the kernel language")
            case ast.While(test=test, body=body):
                self.expression(test)
                self.block(body)
            case ast.For(target=ast.Name(), iter=ast.Call(func=ast.Name("range"), args=[_, *_] as bounds, keywords=[])):
                self.each(bounds)
                self.block(node.body)
            case ast.For():
                self.refuse(node, "a for loop has the form `for name in range(...)`")
            case ast.Return(value=value):
                self.each([value] if value else [])
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[reason], keywords=[]), cause=None) if (
                self.globals.get(name) is Halt
            ):
                self.expression(reason)
            case ast.Raise():
                self.refuse(node, "raise takes the form `raise Halt(reason)`")
            case ast.Break() | ast.Continue() | ast.Pass():
                pass
            case _:
                self.refuse_node(node, " statements")

    def assignment(self, target: ast.expr, value: ast.expr) -> None:
        match target:
            case ast.Name(id=name) if name not in self.locals:
                self.refuse(target, f"`{name}` is not a local: kernel functions do not assign globals")
            case ast.Name() | ast.Attribute():
                self.each((target, value))
            case _:
                self.refuse(target, "only names and attributes can be assigned")

    def each(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            self.expression(node)

    def expression(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=int()):
                pass
            case ast.Constant():
                self.refuse(node, f"constant {node.value!r} is not an integer or a boolean")
            case ast.Name(id=name):
                if name not in self.locals and not isinstance(self.lookup(node, name), int):
                    self.refuse(node, f"global `{name}` is not an integer or a boolean")
            case ast.Attribute(value=value):
                self.path(value)
            case ast.BinOp(left=left, op=operator, right=right):
                self.operator(node, operator)
                self.each((left, right))
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                self.expression(operand)
            case ast.UnaryOp(op=operator):
                self.operator(node, operator)
            case ast.BoolOp(values=values):
                self.each(values)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                if not isinstance(operator, COMPARISONS):
                    self.operator(node, operator)
                self.each((left, right))
            case ast.Compare():
                self.refuse(node, "comparisons are not chained in the kernel language")
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.each((test, body, orelse))
            case ast.Call(keywords=[_, *_]):
                self.refuse(node, "calls have positional arguments only")
            case ast.Call(func=ast.Attribute(value=value, attr="bit_length"), args=[]):
                self.expression(value)
            case ast.Call(func=ast.Attribute(value=ast.Name() as value)):
                self.each((value, *node.args)) if value.id in self.locals else self.path(value)
            case ast.Call(func=ast.Name(id=name)):
                self.callee(node, name)
                self.each(node.args)
            case ast.Call():
                self.refuse(node, "only names, and methods of a parameter or local, can be called")
            case _:
                self.refuse_node(node, " expressions")

    def path(self, node: ast.expr) -> None:
        """What stands before the dot of an attribute."""
        match node:
            case ast.Attribute(value=value):
                self.path(value)
            case ast.Name(id=name) if name in self.locals:
                pass
            case _:
                self.refuse(node, f"`{ast.unparse(node)}`: only parameters and locals have attributes in a kernel")

    def callee(self, node: ast.Call, name: str) -> None:
        target = None if name in self.locals else self.lookup(node, name)
        builtin = name in BUILTINS and target is getattr(builtins, name)
        cast = isinstance(target, UInt) or (target is int and name == "i64")
        if not (builtin or cast or isinstance(target, types.FunctionType)):
            self.refuse(node, f"`{name}` is not a kernel function, a cast, {', '.join(BUILTINS)}")
        if (builtin or cast) and len(node.args) != BUILTINS.get(name, 1):
            self.refuse(node, f"`{name}` takes {BUILTINS.get(name, 1)} arguments in the kernel language")

    def lookup(self, node: ast.AST, name: str) -> Any:
        if name not in self.globals and not hasattr(builtins, name):
            self.refuse(node, f"name `{name}` is not defined in the module")
        return self.globals.get(name, getattr(builtins, name, None))

    def operator(self, node: ast.AST, operator: ast.AST) -> None:
        if not isinstance(operator, ARITHMETIC + BITS):
            self.refuse(node, f"operator {type(operator).__name__} is not in the kernel language")

    def refuse_node(self, node: ast.AST, suffix: str) -> NoReturn:
        name = type(node).__name__
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
        self.refuse(node, f"{_NOUNS.get(name, words + suffix)} are not in the kernel language")

    def refuse(self, node: ast.AST, rule: str) -> NoReturn:
        raise KernelError(self.file, getattr(node, "lineno", 1) + self.offset, rule)
