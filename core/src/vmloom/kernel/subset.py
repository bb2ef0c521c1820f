"""What belongs to the kernel language: `check` says which rule a function breaks, and where.

Compilers call it before they translate a function, and tests on every op body, so that a body that only CPython can
run is found without a compiler. It reads one function's source: functions that it calls are checked on their own, and
types are left to mypy and the compilers. `vmloom.kernel` does not import this module: the markers stay free.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import re
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import Halt, UInt, bits, halt, memory

BUILTINS = {"max": 2, "min": 2, "len": 1}
"""Those of Python that kernels call, and how many arguments they take there."""

MARKERS: dict[Any, int] = {
    **dict.fromkeys((memory.address_of, memory.is_null, memory.start), 1),
    **dict.fromkeys((bits.byteswap, bits.count_ones, bits.trailing_zeros), 2),
    **dict.fromkeys((memory.load, memory.local, memory.pointer, memory.view), 2),
    **dict.fromkeys((bits.rotate_left, bits.rotate_right, memory.copy, memory.fill, memory.store), 3),
}
"""Functions of `vmloom.kernel` that compilers know instead of translating them, and their arguments' number."""

TYPED: tuple[Any, ...] = (bits.byteswap, bits.count_ones, bits.trailing_zeros, bits.rotate_left, bits.rotate_right)
TYPED += (memory.load, memory.local, memory.pointer, memory.store)
"""Markers whose first argument is a type."""

_ALLOWED = (
    *(ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.If, ast.While, ast.For, ast.Return, ast.Raise),
    *(ast.Break, ast.Continue, ast.Pass),
    *(ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Call),
    *(ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp),
    *(ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.And, ast.Or, ast.Not, ast.USub, ast.Load, ast.Store),
)
_TARGETS = (ast.Name, ast.Attribute, ast.Subscript)
_NOUNS = {"function def statement": "nested functions", "class def statement": "classes", "joined str": "f-strings"}
_NOUNS |= {"named expr": "assignment expressions", "starred": "starred expressions", "uadd operator": "plus signs"}


class KernelError(Exception):
    """A function leaves the kernel language: it breaks `rule` at `file`:`line`."""

    def __init__(self, file: str, line: int, rule: str) -> None:
        super().__init__(f"{file}:{line}: {rule}")
        self.file, self.line, self.rule = file, line, rule


def check(function: Callable[..., Any]) -> None:
    """Raise `KernelError` if `function` leaves the kernel language; `OSError` if its source is not available."""
    definition, is_method = _found(function)
    _Checker(function.__code__, function.__globals__).definition(definition, is_method)


def definition_of(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function, with the lines of its file; it is shared, so nobody may change it.

    Raises `KernelError` for what `def` does not define, and `OSError` if the source is not available.
    """
    return _found(function)[0]


def _found(function: Callable[..., Any]) -> tuple[ast.FunctionDef, bool]:
    """The syntax tree, and whether it stands in the body of a class."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType) or code.co_name == "<lambda>":
        raise KernelError("<unknown>", 0, f"{function!r} is not a function defined with `def`")
    file = code.co_filename
    lines = linecache.getlines(file, function.__globals__)
    if file not in _SOURCES or _SOURCES[file][0] != lines:
        _SOURCES[file] = lines, dict(_definitions(ast.parse("".join(lines)), in_class=False))
    definition, is_method = _SOURCES[file][1].get((code.co_firstlineno, code.co_name), (None, False))
    if definition is None:
        raise OSError(f"the source of {code.co_qualname} in {file} is not available")
    if not isinstance(definition, ast.FunctionDef):
        raise KernelError(file, code.co_firstlineno, "coroutines are not in the kernel language")
    return definition, is_method


_Definitions = dict[tuple[int, str], tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]
_SOURCES: dict[str, tuple[list[str], _Definitions]] = {}
"""By file: its lines, and its functions by first line and name."""


def _definitions(tree: ast.AST, in_class: bool) -> Iterator[tuple[tuple[int, str], Any]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (min([node.lineno, *(it.lineno for it in node.decorator_list)]), node.name), (node, in_class)
        if isinstance(node, ast.stmt):
            yield from _definitions(node, isinstance(node, ast.ClassDef))


class _Checker:
    def __init__(self, code: types.CodeType, names: dict[str, Any]) -> None:
        self.code, self.globals, self.line = code, names, code.co_firstlineno
        self.locals = frozenset((*code.co_varnames, *code.co_cellvars))

    def require(self, condition: object, node: ast.AST, rule: str) -> None:
        if not condition:
            raise KernelError(self.code.co_filename, getattr(node, "lineno", self.line), rule)

    def lookup(self, node: ast.AST, name: str) -> Any:
        self.require(name not in self.code.co_freevars, node, f"`{name}` belongs to the function around this one")
        self.require(name in self.globals or hasattr(builtins, name), node, f"name `{name}` is not defined")
        return self.globals.get(name, getattr(builtins, name, None))

    def definition(self, node: ast.FunctionDef, is_method: bool) -> None:
        odd = any((node.args.vararg, node.args.kwarg, *node.args.kwonlyargs, *node.args.defaults))
        self.require(not odd, node, "parameters are positional and have no default values in the kernel language")
        for index, parameter in enumerate((*node.args.posonlyargs, *node.args.args)):
            if is_method and index == 0 and parameter.annotation is None:
                continue  # the struct itself
            self.annotation(parameter, parameter.annotation, f"parameter `{parameter.arg}`")
        if not (isinstance(node.returns, ast.Constant) and node.returns.value is None):
            self.annotation(node, node.returns, "the result")
        self.visit(node.body[ast.get_docstring(node) is not None :])

    def annotation(self, node: ast.AST, annotation: ast.expr | None, what: str) -> None:
        """A type by its name, or a pointer to one; `int` would not say how wide."""
        known = self.is_type(node, annotation)
        self.require(known, node, f"{what} needs a kernel type or a protocol as its annotation")

    def is_type(self, node: ast.AST, annotation: ast.expr | None) -> bool:
        match annotation:
            case ast.Name(id=name) if name in self.globals or name not in self.locals:
                kind = self.lookup(node, name)
                known = isinstance(kind, UInt | memory.PtrKind) or kind is bool or kind is bytes or name == "i64"
                return known or memory.is_struct(kind) or bool(getattr(kind, "_is_protocol", False))
            case ast.Subscript(value=ast.Name(id=name), slice=element):
                return self.lookup(node, name) is memory.Ptr and self.is_type(node, element)
        return False

    def visit(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.line = getattr(node, "lineno", self.line)  # an operator has no line of its own
            if rule := self.broken_rule(node):
                raise KernelError(self.code.co_filename, self.line, rule)
            self.visit(self.below(node))

    def broken_rule(self, node: ast.AST) -> str:
        """The rule that `node` itself breaks, or nothing. What is below it is looked at later."""
        match node:
            case _ if not isinstance(node, _ALLOWED):
                kind = "" if isinstance(node, ast.expr) else " statement" if isinstance(node, ast.stmt) else " operator"
                words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower() + kind
                return f"{_NOUNS.get(words, words + 's')} are not in the kernel language"
            case ast.Compare(ops=[_, _, *_]):
                return "comparisons are not chained in the kernel language"
            case ast.Expr(value=value) if not isinstance(value, ast.Call):
                return "an expression on its own must be a call"
            case ast.Constant(value=value) if not isinstance(value, int):
                return f"constant {value!r} is not an integer or a boolean"
            case ast.Name(id=name) if name not in self.locals and not isinstance(self.lookup(node, name), int):
                return f"global `{name}` is not an integer or a boolean"
            case ast.Assign(targets=[target, *more]) if more or not isinstance(target, _TARGETS):
                return "an assignment has one target: a name, an attribute or an element"
            case ast.Subscript(value=ast.Name(id=name)) if name not in self.locals:
                return "" if isinstance(self.lookup(node, name), memory.Table) else f"global `{name}` is not a `table`"
            case ast.AnnAssign(target=ast.Name() as target, annotation=annotation, value=ast.expr()):
                self.annotation(node, annotation, f"`{target.id}`")
            case ast.AnnAssign():
                return "an annotation stands where a name is assigned"
            case ast.While(orelse=[_, *_]) | ast.For(orelse=[_, *_]):
                return "`else` after a loop is not in the kernel language"
            case ast.For(ast.Name(), ast.Call(ast.Name("range"), [_, *_], [])):
                pass
            case ast.For():
                return "a for loop has the form `for name in range(...)`"
            case ast.Raise(ast.Call(ast.Name(name), [_], []), None) if self.globals.get(name) is Halt:
                pass
            case ast.Raise():
                return "raise takes the form `raise Halt(reason)`"
            case ast.Call(keywords=keywords):
                return "calls have positional arguments only" if keywords else self.broken_call_rule(node)
        return ""

    def broken_call_rule(self, node: ast.Call) -> str:
        match node.func:
            case ast.Attribute(value=base, attr=name) if self.is_place(base) or name == "bit_length":
                return ""
            case ast.Name(id=name) if name not in self.locals:
                target = self.lookup(node, name)
                if target is halt.attempt:
                    return self.broken_attempt_rule(node)
                count = self.argument_count(name, target)
                if count is None and not isinstance(target, types.FunctionType):
                    return f"`{name}` is not a kernel function, a cast or a builtin"
                if count is None and target.__code__ is self.code:
                    return "recursion is not in the kernel language"
                if count is not None and len(node.args) != count:
                    return f"`{name}` takes {count} argument(s) in the kernel language"
                if target in TYPED and not self.is_type(node, node.args[0]):
                    return f"the first argument of `{name}` is a type"
                return ""
        return "only names, and methods of a parameter or local, can be called"

    def argument_count(self, name: str, target: Any) -> int | None:
        """How many arguments a builtin or a cast takes; None for what is neither."""
        if isinstance(target, UInt) or name == "i64":
            return 1
        if target is getattr(builtins, name, None):
            return BUILTINS.get(name)
        return MARKERS.get(target) if isinstance(target, types.FunctionType) else None

    def broken_attempt_rule(self, node: ast.Call) -> str:
        match node.args:
            case [ast.Name(id=name), *_] if name not in self.locals:
                if isinstance(self.lookup(node, name), types.FunctionType):
                    return ""
        return "`attempt` takes a kernel function and its arguments"

    def is_place(self, node: ast.expr) -> bool:
        """Whether it is a parameter or local, or a field or an element of such."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Name)

    def below(self, node: ast.AST) -> Iterable[ast.AST]:
        """The nodes under `node` that are still to be looked at."""
        match node:
            case ast.Call(func=ast.Attribute(value=value), args=arguments):
                return [value, *arguments]
            case ast.Call(func=ast.Name(id=name), args=arguments):
                target = self.lookup(node, name)
                return arguments[target in TYPED or target is halt.attempt :]
            case ast.Raise(exc=ast.Call(args=arguments)):
                return arguments
            case ast.Subscript(value=ast.Name(id=name), slice=index) if name not in self.locals:
                return [index]
            case ast.For(target=target, iter=ast.Call(args=bounds), body=body):
                return [target, *bounds, *body]
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                return [target, value]
        return ast.iter_child_nodes(node)
