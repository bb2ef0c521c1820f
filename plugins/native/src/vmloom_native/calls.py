"""Calls: kernel functions, methods of structs, C functions in fields, casts, and the builtins of `vmloom.kernel`."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from vmloom.kernel import UInt, attempt, wrapping_pow

from .annotations import resolve, resolve_element
from .kinds import (
    BOOL,
    BYTES,
    I64,
    NOTHING,
    U8,
    U64,
    UNSIGNED,
    VIEW,
    CFunction,
    Integer,
    Kind,
    Pointer,
    Reference,
    memory_size,
)
from .operators import Refused, binary, cast, convert, decided, join, settle, truth
from .tree import Builtin, Constant, Expression, Frame, PointerCall, Read

if TYPE_CHECKING:
    from .expressions import Expressions

LOCAL_LIMIT: Final = 1 << 16
"""Bytes of one local array: threads have stacks of half a megabyte on some systems."""


def call(at: Expressions, node: ast.Call) -> Expression:
    """What a call computes."""
    if node.keywords:
        raise Refused("calls have positional arguments only")
    match node.func:
        case ast.Attribute(value=value, attr=name):
            return _method(at, value, name, node)
        case ast.Name(id=name) if name not in at.kinds and name not in at.function.local_names:
            return _function(at, at.lookup(name), name, node)
    raise Refused("only names, and methods of a parameter or local, can be called")


def _method(at: Expressions, value: ast.expr, name: str, node: ast.Call) -> Expression:
    base = at.expression(value)
    if name == "bit_length" and not node.args:
        return _bit_length(base, node.lineno)
    if not isinstance(base.kind, Reference):
        raise Refused(f"`{base.kind}` has no method `{name}`")
    given = [at.expression(it) for it in node.args]
    field = at.field(base, name)
    if field is not None:
        address, kind, _ = field
        if not isinstance(kind, CFunction):
            raise Refused(f"`{name}` is not a function")
        return _c_call(at.read(address, kind, node.lineno), kind, given, name, node.lineno)
    found = at.member(base.kind, name)
    if not isinstance(found, FunctionType):
        raise Refused(f"`{base.kind}` has no method `{name}`")
    return at.call_method(found, base, given, node.lineno)


def _c_call(pointer: Expression, kind: CFunction, given: list[Expression], name: str, line: int) -> Expression:
    if len(given) != len(kind.parameters):
        raise Refused(f"`{name}` takes {len(kind.parameters)} argument(s), not {len(given)}")
    for it in (*kind.parameters, kind.returns):
        if it == VIEW or (isinstance(it, Integer) and it.bits > 64):
            raise Refused(f"`{it}` is not what C functions take or return")
    arguments = tuple(convert(it, wanted) for it, wanted in zip(given, kind.parameters, strict=True))
    returns = kind.returns
    low, high = (returns.low, returns.high) if isinstance(returns, Integer) else (0, 0)
    return PointerCall(returns, low, high, line, pointer, arguments)


def _function(at: Expressions, target: Any, name: str, node: ast.Call) -> Expression:
    if isinstance(target, UInt) or (name == "i64" and target is int):
        (value,) = _given(at, node, name, 1)
        kind = UNSIGNED.get(target.bits) if isinstance(target, UInt) else I64
        if kind is None:
            raise Refused(f"`{name}` is no kernel type")
        return cast(value, kind)
    if target in (builtins.min, builtins.max):
        a, b = _given(at, node, name, 2)
        return _extreme(name, a, b, node.lineno)
    if target is builtins.len:
        (value,) = _given(at, node, name, 1)
        return Builtin(U64, 0, U64.high, node.lineno, "length", (_view(value),))
    if target is attempt:
        return _attempt(at, node)
    replacement = at.program.replacements.get(target) if callable(target) else None
    if replacement is None and target is not wrapping_pow and _is_marker(target):
        return BUILTINS[target.__name__](at, node)
    if not isinstance(target, FunctionType):
        raise Refused(f"`{name}` is not a kernel function, a cast or a builtin")
    return at.call_kernel(target, [at.expression(it) for it in node.args], node.lineno)


def _attempt(at: Expressions, node: ast.Call) -> Expression:
    first = node.args[0] if node.args else None
    target = at.lookup(first.id) if isinstance(first, ast.Name) and first.id not in at.function.local_names else None
    if not isinstance(target, FunctionType):
        raise Refused("`attempt` takes a kernel function and its arguments")
    return at.attempt(target, [at.expression(it) for it in node.args[1:]], node.lineno)


def _is_marker(target: Any) -> bool:
    module, name = getattr(target, "__module__", None) or "", getattr(target, "__name__", None)
    return module.startswith("vmloom.kernel") and name in BUILTINS


def _given(at: Expressions, node: ast.Call, name: str, count: int) -> list[Expression]:
    if len(node.args) != count:
        raise Refused(f"`{name}` takes {count} argument(s) in the kernel language")
    return [at.expression(it) for it in node.args]


def _typed(at: Expressions, node: ast.Call, count: int) -> tuple[Integer, list[Expression]]:
    """The type that is a builtin's first argument, and the other `count` arguments."""
    name = ast.unparse(node.func)
    if len(node.args) != count + 1:
        raise Refused(f"`{name}` takes {count + 1} argument(s) in the kernel language")
    kind = resolve(node.args[0], at.names, at.program.bindings)
    if not isinstance(kind, Integer) or kind.signed or kind == BOOL:
        raise Refused(f"the first argument of `{name}` is an unsigned integer type")
    return kind, [at.expression(it) for it in node.args[1:]]


def _view(value: Expression) -> Expression:
    if value.kind != VIEW:
        raise Refused(f"`{value.kind}` stands where `bytes` is needed")
    return value


# Builtins of Python


def _bit_length(value: Expression, line: int) -> Expression:
    value = settle(value)
    if not isinstance(value.kind, Integer) or value.kind.signed:
        raise Refused(f"`{value.kind}` has no bit_length here")
    low, high = value.low.bit_length(), value.high.bit_length()
    if isinstance(value, Constant):
        return Constant(U64, low, high, line, value.literal)
    return Builtin(U64, low, high, line, "bit_length", (value,))


def _extreme(name: str, a: Expression, b: Expression, line: int) -> Expression:
    choose = min if name == "min" else max
    if isinstance(a, Constant) and isinstance(b, Constant):
        value = choose(a.value, b.value)
        literal = a.literal and b.literal
        return Constant(U64 if literal else join(a, b), value, value, line, literal)
    for it, other in ((a, b), (b, a)):
        if it.kind == BOOL:
            raise Refused(f"`{name}` does not work on booleans")
        if isinstance(other, Constant) and decided("<" if name == "max" else ">", it, other.value):
            raise Refused(f"`{name}` changes no {it.kind}, which the result may leave: cast an operand")
    a, b = settle(a), settle(b)
    if a.kind != b.kind and I64 in (a.kind, b.kind) and not all(_is_literal(it) or it.kind == I64 for it in (a, b)):
        raise Refused(f"i64 and an unsigned integer meet in `{name}`: cast one of them")
    kind = join(a, b)
    low, high = choose(a.low, b.low), choose(a.high, b.high)
    return Builtin(kind, low, high, line, name, (convert(a, kind), convert(b, kind)))


def _is_literal(value: Expression) -> bool:
    return isinstance(value, Constant) and value.literal


# Builtins of vmloom.kernel


def _byteswap(at: Expressions, node: ast.Call) -> Expression:
    kind, (value,) = _typed(at, node, 1)
    value = convert(value, kind)
    return value if kind == U8 else Builtin(kind, 0, kind.high, node.lineno, "byteswap", (value,))


def _rotate(name: str) -> Callable[[Expressions, ast.Call], Expression]:
    def rotate(at: Expressions, node: ast.Call) -> Expression:
        kind, (value, count) = _typed(at, node, 2)
        if count.low < 0 or count.high >= kind.bits:
            bits = Constant(U64, kind.bits, kind.bits, node.lineno, literal=True)
            count = binary("%", count, bits, node.lineno, at.kernel)
        return Builtin(kind, 0, kind.high, node.lineno, name, (convert(value, kind), convert(count, kind)))

    return rotate


def _count(name: str) -> Callable[[Expressions, ast.Call], Expression]:
    def count(at: Expressions, node: ast.Call) -> Expression:
        kind, (value,) = _typed(at, node, 1)
        return Builtin(U64, 0, kind.bits, node.lineno, name, (convert(value, kind),))

    return count


def _load(at: Expressions, node: ast.Call) -> Expression:
    kind, (pointer,) = _typed(at, node, 1)
    return Read(kind, 0, kind.high, node.lineno, convert(pointer, BYTES), packed=True)


def _store(at: Expressions, node: ast.Call) -> Expression:
    kind, (pointer, value) = _typed(at, node, 2)
    return Builtin(NOTHING, 0, 0, node.lineno, "store", (convert(pointer, BYTES), convert(value, kind)))


def _simple(
    name: str, parameters: tuple[Kind, ...], returns: Kind = NOTHING
) -> Callable[[Expressions, ast.Call], Expression]:
    def simple(at: Expressions, node: ast.Call) -> Expression:
        given = _given(at, node, name, len(parameters))
        arguments = tuple(convert(it, kind) for it, kind in zip(given, parameters, strict=True))
        return Builtin(returns, 0, 0, node.lineno, name, arguments)

    return simple


def _of_pointer(name: str, returns: Integer) -> Callable[[Expressions, ast.Call], Expression]:
    def of_pointer(at: Expressions, node: ast.Call) -> Expression:
        (value,) = _given(at, node, name, 1)
        if not isinstance(value.kind, Pointer | Reference):
            raise Refused(f"`{value.kind}` is no pointer")
        return Builtin(returns, 0, returns.high, node.lineno, name, (value,))

    return of_pointer


def _pointer(at: Expressions, node: ast.Call) -> Expression:
    if len(node.args) != 2:
        raise Refused("`pointer` takes 2 argument(s) in the kernel language")
    kind, address = resolve_element(node.args[0], at.names, at.program.bindings), at.expression(node.args[1])
    return Builtin(Pointer(kind), 0, 0, node.lineno, "pointer", (convert(address, U64),))


def _unlikely(at: Expressions, node: ast.Call) -> Expression:
    (value,) = _given(at, node, "unlikely", 1)
    value = truth(value)
    return value if isinstance(value, Constant) else Builtin(BOOL, 0, 1, node.lineno, "unlikely", (value,))


def _local(at: Expressions, node: ast.Call) -> Expression:
    if len(node.args) != 2:
        raise Refused("`local` takes 2 argument(s) in the kernel language")
    kind, count = resolve_element(node.args[0], at.names, at.program.bindings), at.expression(node.args[1])
    if not isinstance(count, Constant) or count.value < 1:
        raise Refused("the size of a local array is a constant, 1 and up")
    size = count.value * memory_size(kind)
    if size > LOCAL_LIMIT:
        raise Refused(f"a local array takes at most {LOCAL_LIMIT} bytes, which are on the stack, not {size}")
    return Frame(Pointer(kind), 0, 0, node.lineno, size)


BUILTINS: dict[str, Callable[[Expressions, ast.Call], Expression]] = {
    "byteswap": _byteswap,
    "rotate_left": _rotate("rotate_left"),
    "rotate_right": _rotate("rotate_right"),
    "count_ones": _count("count_ones"),
    "trailing_zeros": _count("trailing_zeros"),
    "load": _load,
    "store": _store,
    "copy": _simple("copy", (BYTES, BYTES, U64)),
    "fill": _simple("fill", (BYTES, U8, U64)),
    "view": _simple("view", (BYTES, U64), VIEW),
    "start": _simple("start", (VIEW,), BYTES),
    "is_null": _of_pointer("is_null", BOOL),
    "address_of": _of_pointer("address_of", U64),
    "pointer": _pointer,
    "local": _local,
    "unlikely": _unlikely,
}
"""The markers that are not translated but known, by name."""
