"""Memory: loads, stores, atomic operations, and addresses of other state spaces, each as lines of Python."""

from __future__ import annotations

from typing import Final

from .errors import PtxError
from .forms import Form, Handler, only, result
from .memory import OFFSETS, SHIFT
from .scope import Scope, all_ones
from .syntax import Address, Operand, Statement, Symbol

_SPACES: Final = {"global": "G", "local": "L", "const": "C"}
"""State spaces, and how the names of their views begin; `A` are those of generic addresses."""
_ORDER: Final = ("weak", "volatile", "relaxed", "acquire", "release", "acq_rel", "sc", "cta", "cluster", "gpu", "sys")
"""What concerns only threads that run at the same time."""
_CACHING: Final = ("ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "L1::evict_last", "L1::evict_first")
_CACHING_TOO: Final = ("L1::no_allocate", "L1::evict_unchanged", "L1::evict_normal", "L2::64B", "L2::128B", "L2::256B")


# Addresses


def _to_generic(scope: Scope, it: Statement) -> list[str]:
    """`cvta`: only the generic addresses of local memory are others than in its own state space."""
    form = Form(it, 2, allowed=("to", *_SPACES))
    only(form, it, 64)
    source, space = scope.value(it.operands[1], 64, it), form.one_of(tuple(_SPACES), it)
    if space != "local":
        return result(scope, it, 64, source)
    return result(scope, it, 64, f"({source} {'-' if form.has('to') else '+'} LOCAL)", masked=True)


def _is_space(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2, types=0, allowed=(*_SPACES, "shared", "param"))
    variable, _ = scope.target(it.operands[0], 1, it)
    place = f"({scope.value(it.operands[1], 64, it)} >> {SHIFT})"
    if form.has("local"):
        return [f"{variable} = {place} - (LOCAL >> {SHIFT}) in L1"]
    space = next((_SPACES[one] for one in form.modifiers if one in _SPACES), None)
    return [f"{variable} = {place} in {space}1" if space else f"{variable} = 0"]


# Accesses


def _load(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2, allowed=(*_SPACES, *_PARAMETERS, "v2", "v4", *_ORDER, *_CACHING, *_CACHING_TOO))
    width, count = only(form, it, 8, 16, 32, 64), _elements(form)
    targets = scope.elements(it.operands[0], it, count)
    if any(one in _PARAMETERS for one in form.modifiers):
        values = _from_parameter(scope, it, width, count)
        lines: list[str] = []
    else:
        lines, values = _places(scope, it, 1, form, width, count)
    for target, expression in zip(targets, values, strict=True):
        if target == Symbol("_"):
            continue
        variable, has = scope.target(target, width, it, wider=True)
        if form.sign and has > width:
            top = hex(1 << (width - 1))
            expression = f"(({expression} ^ {top}) - {top}) & {all_ones(has)}"
        lines.append(f"{variable} = {expression}")
    return lines


def _store(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2, allowed=(*_SPACES, *_PARAMETERS, "v2", "v4", *_ORDER, *_CACHING, *_CACHING_TOO))
    width, count = only(form, it, 8, 16, 32, 64), _elements(form)
    sources = [scope.value(one, width, it, wider=True) for one in scope.elements(it.operands[1], it, count)]
    if any(one in _PARAMETERS for one in form.modifiers):
        return _to_parameter(scope, it, width, sources)
    if form.has("const"):
        raise PtxError(it.line, f"{it.text!r}: constants are not written to")
    lines, places = _places(scope, it, 0, form, width, count)
    return lines + [f"{place} = {source}" for place, source in zip(places, sources, strict=True)]


_PARAMETERS: Final = ("param", "param::entry", "param::func")


def _elements(form: Form) -> int:
    return 2 if form.has("v2") else 4 if form.has("v4") else 1


def _places(
    scope: Scope, it: Statement, operand: int, form: Form, width: int, count: int
) -> tuple[list[str], list[str]]:
    """Lines that check an address, and the places in memory that it names. `_a` is read where they fail."""
    spaces = [one for one in form.modifiers if one in _SPACES]
    if len(spaces) > 1:
        raise PtxError(it.line, f"{it.text!r} has several state spaces")
    size = width // 8
    views = f"{_SPACES[spaces[0]] if spaces else 'A'}{size}"
    lines = [f"_a = {scope.address(it.operands[operand], it)}"]
    if size * count > 1:
        lines.append(f"if _a & {size * count - 1}: raise Misaligned({size * count})")
    index = f"(_a & {OFFSETS:#x}) >> {size.bit_length() - 1}" if size > 1 else f"_a & {OFFSETS:#x}"
    if count == 1:
        return lines, [f"{views}[_a >> {SHIFT}][{index}]"]
    lines += [f"_v = {views}[_a >> {SHIFT}]", f"_i = {index}"]
    return lines, ["_v[_i]", *(f"_v[_i + {number}]" for number in range(1, count))]


def _parameter(scope: Scope, it: Statement, operand: Operand, size: int) -> tuple[str, int, int]:
    """A parameter's variable, the place in it in bytes, and its size."""
    if not isinstance(operand, Address) or not isinstance(operand.base, Symbol):
        raise PtxError(it.line, f"{it.text!r}: parameters are emulated by name only")
    variable, declared = scope.parameter(operand.base.name, it)
    if not 0 <= operand.offset <= declared.size - size or operand.offset % size:
        what = f"{size} bytes at {operand.offset} of {declared.size}"
        raise PtxError(it.line, f"{operand.base.name!r} has no {what}")
    return variable, operand.offset, declared.size


def _from_parameter(scope: Scope, it: Statement, width: int, count: int) -> list[str]:
    variable, offset, size = _parameter(scope, it, it.operands[1], width // 8 * count)
    if 8 * size == width:
        return [variable]
    places = [8 * offset + number * width for number in range(count)]
    return [f"{variable} >> {place} & {all_ones(width)}" for place in places]


def _to_parameter(scope: Scope, it: Statement, width: int, sources: list[str]) -> list[str]:
    variable, offset, size = _parameter(scope, it, it.operands[0], width // 8 * len(sources))
    if any(one.name == it.operands[0].base.name for one in scope.function.parameters):  # type: ignore[union-attr]
        raise PtxError(it.line, f"{it.text!r}: a function's own parameters are not written to")
    if 8 * size == width:
        return [f"{variable} = {sources[0]}"]
    hole = all_ones(width * len(sources))
    whole = " | ".join(f"{source} << {8 * offset + n * width}" for n, source in enumerate(sources))
    return [f"{variable} = {variable} & ~({hole} << {8 * offset}) | {whole}"]


_ATOMIC: Final = {
    "add": "_t + {0}",
    "min": "min(_t, {0})",
    "max": "max(_t, {0})",
    "and": "_t & {0}",
    "or": "_t | {0}",
    "xor": "_t ^ {0}",
    "exch": "{0}",
    "cas": "{1} if _t == {0} else _t",
    "inc": "0 if _t >= {0} else _t + 1",
    "dec": "{0} if _t == 0 or _t > {0} else _t - 1",
}


def _atomic(scope: Scope, it: Statement) -> list[str]:
    """`atom` and `red`: threads run one after the other, so nothing comes between."""
    reduces = it.parts[0] == "red"
    operator = next((part for part in it.parts[1:] if part in _ATOMIC), "")
    operands = (3 if operator == "cas" else 2) + (not reduces)
    form = Form(it, operands, allowed=("global", *_ORDER, *_ATOMIC))
    if not operator or (reduces and operator in ("exch", "cas")):
        raise PtxError(it.line, f"{it.text!r} is no instruction")
    width = only(form, it, 16, 32, 64)
    lines, (place,) = _places(scope, it, 0 if reduces else 1, form, width, 1)
    numbers = [scope.value(one, width, it) for one in it.operands[1 if reduces else 2 :]]
    before = place
    if form.sign and operator in ("min", "max"):
        top = hex(1 << (width - 1))
        before, numbers = f"({place} ^ {top}) - {top}", [f"(({one} ^ {top}) - {top})" for one in numbers]
    lines += [f"_t = {before}", f"_n = ({_ATOMIC[operator].format(*numbers)}) & {all_ones(width)}"]
    if not reduces:
        lines += [f"{scope.target(it.operands[0], width, it)[0]} = _t & {all_ones(width)}"]
    return [*lines, f"{place} = _n"]


ACCESSES: Final[dict[str, Handler]] = {
    "cvta": _to_generic,
    "isspacep": _is_space,
    "ld": _load,
    "ldu": _load,
    "st": _store,
    "atom": _atomic,
    "red": _atomic,
}
"""By the names of instructions."""
