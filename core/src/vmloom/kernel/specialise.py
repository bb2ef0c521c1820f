"""Compile-time constants for CPython: one readable function, several builds of it.

`specialise(loop, TRACED=False)` is `loop` with the name `TRACED` replaced by the literal, recompiled: CPython
drops the dead branches, so a feature that is off costs nothing. Line numbers, and so tracebacks, debuggers
and coverage, still point at the source.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def specialise(function: Callable[P, R], **constants: bool | int) -> Callable[P, R]:
    """A copy of `function` with the global names in `constants` fixed to those values.

    Raises `ValueError` for a name that the function never reads (a typing error would go unnoticed), and
    `OSError` where the source of `function` is not available.
    """
    assert isinstance(function, types.FunctionType)
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    substitution = _Substitution(constants)
    tree = substitution.visit(tree)
    unused = set(constants) - substitution.used
    if unused:
        raise ValueError(f"{function.__qualname__} never reads {', '.join(sorted(unused))}")
    definition = tree.body[0]
    definition.decorator_list = []
    module = compile(ast.fix_missing_locations(tree), inspect.getsourcefile(function) or "<unknown>", "exec")
    code = next(c for c in module.co_consts if isinstance(c, types.CodeType) and c.co_name == function.__name__)
    copy = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    return copy


class _Substitution(ast.NodeTransformer):
    def __init__(self, constants: dict[str, bool | int]) -> None:
        self.constants = constants
        self.used: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.constants:
            return node
        self.used.add(node.id)
        return ast.copy_location(ast.Constant(self.constants[node.id]), node)
