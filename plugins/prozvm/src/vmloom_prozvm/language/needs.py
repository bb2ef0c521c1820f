"""What running a body by direct evaluation takes, known before it runs: calls of Python, values, names.

The stack and the names are counted as they would be in bytecode, so that a program which the loader refuses for them is
refused by the evaluator, too. The other limits of code are the compiler's alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from ..errors import Unverifiable
from ..runtime.limits import Limits
from . import core

MOST_CALLS: Final = 650
"""Calls of Python within each other that one body may take; no tree from a source is so deep."""
_BEGIN: Final = 9
"""Calls of Python that beginning a call takes, and the first statement."""
_COALESCE_STACK: Final = 3
"""The left side twice, and none."""


class Needs(NamedTuple):
    """Of one body, without those of the functions that it calls, but for their names."""

    calls: int
    """Calls of Python within each other."""
    stack: int
    """Values on the stack of the bytecode."""
    names: tuple[str, ...]
    """Registers that it stores or reads, parameters first."""
    functions: tuple[core.CoreFunction, ...]
    """Those among its constants."""


_known: Final[WeakKeyDictionary[core.CoreProgram | core.CoreFunction, Needs]] = WeakKeyDictionary()
_names: Final[WeakKeyDictionary[core.CoreProgram | core.CoreFunction, tuple[str, ...]]] = WeakKeyDictionary()
_checked: Final[WeakKeyDictionary[core.CoreProgram | core.CoreFunction, Limits]] = WeakKeyDictionary()
"""The limits that a body was last found to keep to."""


def needs(body: core.CoreProgram | core.CoreFunction) -> Needs:
    """What `body` takes. Looked at once."""
    found = _known.get(body)
    if found is None:
        found = _known[body] = _measure(body)
    return found


def all_names(body: core.CoreProgram | core.CoreFunction) -> tuple[str, ...]:
    """The registers of a body and of the functions in it, each once."""
    found = _names.get(body)
    if found is None:
        found = _names[body] = tuple(dict.fromkeys(name for one in _bodies(body) for name in needs(one).names))
    return found


def check(body: core.CoreProgram | core.CoreFunction, limits: Limits) -> None:
    """Refuse what takes more values or names than a run may have, as the loader of bytecode does.

    Raises:
        Unverifiable: With the function at fault.
    """
    if _checked.get(body) is limits:  # a run after the other has them
        return
    for one in _bodies(body):
        taken = needs(one)
        name, path = (one.name, (0,)) if isinstance(one, core.CoreFunction) else ("", ())
        for what, have, most in (
            ("values on the stack", taken.stack, limits.stack),
            ("names", len(taken.names), limits.registers),
            ("calls of Python", taken.calls, MOST_CALLS),
        ):
            if have > most:
                raise Unverifiable(f"{have} {what}; at most {most} are allowed", function=name, path=path)
    if isinstance(body, core.CoreProgram) and (have := len(all_names(body))) > limits.registers:
        raise Unverifiable(f"{have} names; at most {limits.registers} are allowed")
    _checked[body] = limits


def _bodies(body: core.CoreProgram | core.CoreFunction) -> Iterator[core.CoreProgram | core.CoreFunction]:
    """`body`, the functions in it, and those in them."""
    pending: list[core.CoreProgram | core.CoreFunction] = [body]
    while pending:
        one = pending.pop()
        yield one
        pending += needs(one).functions


class _Place(NamedTuple):
    """A node, the values on the stack where it begins, and the calls of Python that it is inside of."""

    node: core.Node
    stack: int
    calls: int


def _measure(body: core.CoreProgram | core.CoreFunction) -> Needs:
    """Go through the tree, level by level."""
    parameters = (*body.captured, *body.parameters) if isinstance(body, core.CoreFunction) else ()
    names: dict[str, None] = dict.fromkeys(parameters)
    functions: dict[core.CoreFunction, None] = {}
    calls, stack = _BEGIN, 0
    level = [_Place(statement, 0, _BEGIN) for statement in body.body]
    while level:
        for node, below, within in level:
            stack, calls = max(stack, below + _width(node)), max(calls, within)
            if isinstance(node, core.Load | core.Store | core.StoreGlobal | core.Call):
                names[node.register] = None
            elif isinstance(node, core.Lambda):
                functions[node.function] = None
        level = [child for place in level for child in _children(*place)]
    return Needs(calls, stack, tuple(names), tuple(functions))


def _width(node: core.Node) -> int:
    """The most values that the node's own instructions have on the stack, above those that were there before."""
    match node:
        case core.Constant() | core.Load() | core.Both() | core.Either():
            return 1
        case core.Coalesce():
            return _COALESCE_STACK
        case core.Lambda():
            return max(1, len(node.captured))
        case core.Operate():
            return max(1, len(node.operands))
        case core.Call():
            return max(1, len(node.arguments))
    return 0


def _children(node: core.Node, stack: int, calls: int) -> Iterator[_Place]:
    """The nodes directly below."""
    pushed: tuple[core.Expression, ...] = ()
    single: tuple[core.Expression, ...] = ()
    bodies: tuple[core.Statement, ...] = ()
    match node:
        case core.Operate() | core.Effect():
            pushed = node.operands
        case core.Lambda():
            pushed = node.captured
        case core.Call():
            pushed = node.arguments
        case core.CallValue():
            pushed = (*node.arguments, node.callee)
        case core.Both() | core.Either() | core.Coalesce():
            single = node.left, node.right
        case core.Store() | core.StoreGlobal() | core.Do() | core.Return() | core.Result():
            single = (node.value,)
        case core.If():
            single, bodies = (node.test,), (*node.then, *node.otherwise)
        case core.While():
            single, bodies = (node.test,), node.body
        case core.Labelled():
            bodies = node.body
    yield from (_Place(child, stack + position, calls + 2) for position, child in enumerate(pushed))
    yield from (_Place(child, stack, calls + 1) for child in single)
    yield from (_Place(child, stack, calls + 2) for child in bodies)
