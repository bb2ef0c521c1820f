"""Which kind an annotation means, where it stands."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from typing import Any

from .kinds import I64, NOTHING, VIEW, CFunction, Kind, Pointer, Reference, kind_of
from .operators import Refused

Names = Mapping[str, Any]


def resolve(node: ast.expr | None, names: Names, bindings: Mapping[Any, Any]) -> Kind:
    """The kind that the annotation `node` names. Protocols stand for the structs that `bindings` gives them.

    `i64` is `int` at run time, so its name decides.
    """
    kind = _resolve(node, names, bindings)
    if kind is None:
        raise Refused(f"`{ast.unparse(node) if node else 'nothing'}` is no kernel type")
    return kind


def resolve_element(node: ast.expr | None, names: Names, bindings: Mapping[Any, Any]) -> Kind:
    """The kind of what a pointer points to: all but `bytes`, which have no place in memory."""
    kind = resolve(node, names, bindings)
    if kind == VIEW:
        raise Refused("`bytes` are not kept in memory: keep a pointer and a length")
    return kind


def resolve_result(node: ast.expr | None, names: Names, bindings: Mapping[Any, Any]) -> Kind:
    """The kind of what a function returns."""
    if isinstance(node, ast.Constant) and node.value is None:
        return NOTHING
    return resolve(node, names, bindings)


def _resolve(node: ast.expr | None, names: Names, bindings: Mapping[Any, Any]) -> Kind | None:
    match node:
        case ast.Name(id="i64"):
            return I64
        case ast.Name(id=name):
            value = names.get(name, getattr(builtins, name, None))
            return None if value is int else Reference(bindings[value]) if _bound(value, bindings) else kind_of(value)
        case ast.Constant(value=str() as text):
            return _resolve(ast.parse(text, mode="eval").body, names, bindings)
        case ast.Subscript(value=ast.Name(id="Ptr"), slice=element):
            return Pointer(resolve_element(element, names, bindings))
        case ast.Subscript(value=ast.Name(id="Callable"), slice=ast.Tuple(elts=[ast.List(elts=parameters), result])):
            kinds = tuple(resolve(it, names, bindings) for it in parameters)
            return CFunction(kinds, resolve_result(result, names, bindings))
    return None


def _bound(value: Any, bindings: Mapping[Any, Any]) -> bool:
    return isinstance(value, type) and value in bindings
