"""Integers: moves, conversions, arithmetic, bits and comparisons, each as lines of Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .errors import PtxError
from .forms import Form, Handler, only, result, value
from .scope import Scope, all_ones
from .syntax import WIDTHS, Group, Immediate, Statement, Symbol, Vector

_COMPARISONS: Final = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "lo": "<",
    "ls": "<=",
    "hi": ">",
    "hs": ">=",
}
_BOOLEANS: Final = {"and": "&", "or": "|", "xor": "^"}


# Moves


def _move(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width, (target, source) = form.width, it.operands
    if isinstance(target, Vector):
        size = width // len(target.elements)
        lines = [f"_t = {scope.value(source, width, it)}"]
        for number, element in enumerate(target.elements):
            if element != Symbol("_"):
                variable, _ = scope.target(element, size, it)
                lines.append(f"{variable} = _t >> {number * size} & {all_ones(size)}")
        return lines
    if isinstance(source, Vector):
        size = width // len(source.elements)
        parts = [f"{scope.value(one, size, it)} << {n * size}" for n, one in enumerate(source.elements)]
        return result(scope, it, width, " | ".join(parts))
    return result(scope, it, width, scope.value(source, width, it))


def _select(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 4)
    a, b = (scope.value(it.operands[place], form.width, it) for place in (1, 2))
    return result(scope, it, form.width, f"{a} if {scope.value(it.operands[3], 1, it)} else {b}")


def _select_by_sign(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 4, types=2)
    if form.types[1] != "s32":
        raise PtxError(it.line, f"{it.text!r}: only signs of s32 are emulated")
    width = WIDTHS[form.types[0]]
    a, b = (scope.value(it.operands[place], width, it) for place in (1, 2))
    return result(scope, it, width, f"{b} if {scope.value(it.operands[3], 32, it)} >> 31 else {a}")


def _convert(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2, types=2, allowed=("sat",))
    to, source = form.types
    width, sign = WIDTHS[to], to[0] == "s"
    if "pred" in form.types or "b128" in form.types:
        raise PtxError(it.line, f"{it.text!r} is no instruction")
    if form.has("sat") and _holds(to, source):
        raise PtxError(it.line, f"{it.text!r} is no instruction: no number is too large for it")
    read = scope.signed if source[0] == "s" else scope.value
    number = read(it.operands[1], WIDTHS[source], it, wider=True)
    variable, has = scope.target(it.operands[0], width, it, wider=True)
    if form.has("sat"):
        number = f"saturated({number}, {width}, {sign})"
    elif width < WIDTHS[source] or (source[0] == "s" and has <= width):
        number = f"{number} & {all_ones(width)}"
    if has > width and sign:
        top = hex(1 << (width - 1))
        number = f"((({number}) & {all_ones(width)} ^ {top}) - {top}) & {all_ones(has)}"
    elif has > width:
        number = f"({number}) & {all_ones(width)}"
    return [f"{variable} = {number}"]


def _holds(to: str, source: str) -> bool:
    """Whether a type has every number of another one."""
    if to[0] == source[0]:
        return WIDTHS[to] >= WIDTHS[source]
    return to[0] == "s" and WIDTHS[to] > WIDTHS[source]


# Arithmetic


def _add(scope: Scope, it: Statement) -> list[str]:
    return _sum(scope, it, "+")


def _subtract(scope: Scope, it: Statement) -> list[str]:
    return _sum(scope, it, "-")


def _sum(scope: Scope, it: Statement, sign: str) -> list[str]:
    """`add`, `addc`, `sub` and `subc`: the carry is a variable `carry` of 0 or 1."""
    form = Form(it, 3, allowed=("cc", "sat"))
    with_carry = it.parts[0][-1] == "c"
    width = only(form, it, 32, 64) if with_carry or form.has("cc") else only(form, it, 16, 32, 64)
    if form.has("sat"):
        if form.types != ["s32"] or form.has("cc") or with_carry:
            raise PtxError(it.line, f"{it.text!r} is no instruction")
        a, b = value(scope, it, 1, form), value(scope, it, 2, form)
        return result(scope, it, 32, f"saturated({a} {sign} {b}, 32, True)")
    a, b = (scope.value(it.operands[place], width, it) for place in (1, 2))
    total = f"{a} {sign} {b}" + (f" {sign} carry" if with_carry else "")
    if form.has("cc"):
        return _with_carry(scope, it, width, total)
    return result(scope, it, width, f"({total})", masked=True)


def _with_carry(scope: Scope, it: Statement, width: int, total: str) -> list[str]:
    """The result, and the carry or borrow beyond it."""
    return [f"_t = {total}", f"carry = _t >> {width} & 1", *result(scope, it, width, "_t", masked=True)]


def _multiply(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3, allowed=("lo", "hi", "wide"))
    return _product(scope, it, form, only(form, it, 16, 32, 64), None)


def _multiply_add(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 4, allowed=("lo", "hi", "wide", "cc"))
    if not form.has("cc") and it.parts[0] == "mad":
        return _product(scope, it, form, only(form, it, 16, 32, 64), 3)
    if form.has("wide"):
        raise PtxError(it.line, f"{it.text!r} is no instruction: wide products have no carry")
    return _product(scope, it, form, only(form, it, 32, 64), 3)


def _product(scope: Scope, it: Statement, form: Form, width: int, addend: int | None) -> list[str]:
    half = form.one_of(("lo", "hi", "wide"), it)
    if half == "wide" and width == 64:
        raise PtxError(it.line, f"{it.text!r} is no instruction: it has no form of 64 bits")
    made = 2 * width if half == "wide" else width
    if half == "lo":  # the lower half is the same whatever the signs
        product = " * ".join(scope.value(it.operands[place], width, it) for place in (1, 2))
    else:
        product = f"{value(scope, it, 1, form)} * {value(scope, it, 2, form)}"
    if half == "hi":
        product = f"({product} >> {width})"
    if addend is None:
        masked = half == "lo" or form.sign
        return result(scope, it, made, product, masked=masked)
    added = scope.value(it.operands[addend], made, it)
    carried = " + carry" if it.parts[0] == "madc" else ""
    if form.has("cc"):
        return _with_carry(scope, it, made, f"({product} & {all_ones(made)}) + {added}{carried}")
    return result(scope, it, made, f"({product} + {added}{carried})", masked=True)


def _multiply_24(scope: Scope, it: Statement) -> list[str]:
    """`mul24` and `mad24`: the lower or the upper 32 of 48 bits."""
    form = Form(it, 3 if it.parts[0] == "mul24" else 4, allowed=("lo", "hi"))
    only(form, it, 32)
    sign = "True" if form.sign else "False"
    a, b = (f"field({scope.value(it.operands[place], 32, it)}, 0, 24, 32, {sign})" for place in (1, 2))
    if form.sign:
        a, b = f"signed({a}, 32)", f"signed({b}, 32)"
    product = f"({a} * {b} >> {0 if form.one_of(('lo', 'hi'), it) == 'lo' else 16})"
    if it.parts[0] == "mad24":
        product = f"({product} + {scope.value(it.operands[3], 32, it)})"
    return result(scope, it, 32, product, masked=True)


def _divide(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3)
    width = only(form, it, 16, 32, 64)
    a, b = value(scope, it, 1, form), value(scope, it, 2, form)
    if form.sign:
        name = "quotient" if it.parts[0] == "div" else "remainder"
        return result(scope, it, width, f"{name}({a}, {b})", masked=True)
    return result(scope, it, width, f"{a} {'//' if it.parts[0] == 'div' else '%'} {b}")


def _extreme(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3)
    width = only(form, it, 16, 32, 64)
    number = f"{it.parts[0]}({value(scope, it, 1, form)}, {value(scope, it, 2, form)})"
    return result(scope, it, width, number, masked=form.sign)


def _negate(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width = only(form, it, 16, 32, 64)
    return result(scope, it, width, f"-{scope.value(it.operands[1], width, it)}", masked=True)


def _absolute(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width = only(form, it, 16, 32, 64)
    return result(scope, it, width, f"abs({value(scope, it, 1, form)})", masked=True)


def _absolute_difference(scope: Scope, it: Statement) -> list[str]:
    """`sad`"""
    form = Form(it, 4)
    width = only(form, it, 16, 32, 64)
    a, b = value(scope, it, 1, form), value(scope, it, 2, form)
    return result(scope, it, width, f"(abs({a} - {b}) + {scope.value(it.operands[3], width, it)})", masked=True)


def _dot_product(scope: Scope, it: Statement) -> list[str]:
    """`dp4a` and `dp2a`"""
    form = Form(it, 4, types=2, allowed=("lo", "hi"))
    if any(one not in ("u32", "s32") for one in form.types):
        raise PtxError(it.line, f"{it.text!r} is no instruction")
    numbers = ", ".join(scope.value(it.operands[place], 32, it) for place in (1, 2, 3))
    signs = tuple(one == "s32" for one in form.types)
    if it.parts[0] == "dp4a":
        return result(scope, it, 32, f"dotted({numbers}, {signs})")
    high = form.one_of(("lo", "hi"), it) == "hi"
    return result(scope, it, 32, f"dotted_pairs({numbers}, {signs}, {high})")


# Bits


def _bitwise(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3)
    width = only(form, it, 1, 16, 32, 64)
    a, b = (scope.value(it.operands[place], width, it) for place in (1, 2))
    return result(scope, it, width, f"{a} {_BOOLEANS[it.parts[0]]} {b}")


def _invert(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width = only(form, it, 1, 16, 32, 64)
    return result(scope, it, width, f"{scope.value(it.operands[1], width, it)} ^ {all_ones(width)}")


def _is_zero(scope: Scope, it: Statement) -> list[str]:
    """`cnot`"""
    form = Form(it, 2)
    width = only(form, it, 16, 32, 64)
    return result(scope, it, width, f"0 if {scope.value(it.operands[1], width, it)} else 1")


def _look_up(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 5)
    only(form, it, 32)
    table = it.operands[4]
    if not isinstance(table, Immediate) or not 0 <= table.value <= 255:
        raise PtxError(it.line, f"{it.text!r} without a table of 8 bits")
    numbers = ", ".join(scope.value(it.operands[place], 32, it) for place in (1, 2, 3))
    return result(scope, it, 32, f"looked_up({numbers}, {table.value})")


def _shift_left(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3)
    width, count = only(form, it, 16, 32, 64), it.operands[2]
    a = scope.value(it.operands[1], width, it)
    if isinstance(count, Immediate):
        places = count.value & 0xFFFFFFFF
        return result(scope, it, width, "0" if places >= width else f"{a} << {places}", masked=True)
    places_ = scope.value(count, 32, it)
    return result(scope, it, width, f"({a} << {places_} & {all_ones(width)} if {places_} < {width} else 0)")


def _shift_right(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3)
    width = only(form, it, 16, 32, 64)
    number = f"{value(scope, it, 1, form)} >> {scope.value(it.operands[2], 32, it)}"
    return result(scope, it, width, number, masked=form.sign)


def _funnel_shift(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 4, allowed=("l", "r", "wrap", "clamp"))
    only(form, it, 32)
    left = form.one_of(("l", "r"), it) == "l"
    wrap = form.one_of(("wrap", "clamp"), it) == "wrap"
    low, high, count = (scope.value(it.operands[place], 32, it) for place in (1, 2, 3))
    if isinstance(it.operands[3], Immediate):
        number = it.operands[3].value & 0xFFFFFFFF
        count = str(number & 31 if wrap else min(number, 32))
    else:
        count = f"({count} & 31)" if wrap else f"min({count}, 32)"
    shifted = f"<< {count} >> 32" if left else f">> {count}"
    return result(scope, it, 32, f"({high} << 32 | {low}) {shifted}", masked=True)


def _permute(scope: Scope, it: Statement) -> list[str]:
    modes = ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
    form = Form(it, 4, allowed=modes)
    only(form, it, 32)
    numbers = ", ".join(scope.value(it.operands[place], 32, it) for place in (1, 2, 3))
    if form.modifiers:
        return result(scope, it, 32, f"permuted_by({form.one_of(modes, it)!r}, {numbers})")
    return result(scope, it, 32, f"permuted({numbers})")


def _reverse_bits(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width = only(form, it, 32, 64)
    return result(scope, it, width, f"reverse({scope.value(it.operands[1], width, it)}, {width})")


def _extract_field(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 4)
    width = only(form, it, 32, 64)
    a = scope.value(it.operands[1], width, it)
    start, length = (scope.value(it.operands[place], 32, it) for place in (2, 3))
    return result(scope, it, width, f"field({a}, {start}, {length}, {width}, {form.sign})")


def _insert_field(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 5)
    width = only(form, it, 32, 64)
    numbers = [scope.value(it.operands[place], width, it) for place in (1, 2)]
    numbers += [scope.value(it.operands[place], 32, it) for place in (3, 4)]
    return result(scope, it, width, f"inserted({', '.join(numbers)}, {width})")


def _find_highest(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2, allowed=("shiftamt",))
    width = only(form, it, 32, 64)
    number = scope.value(it.operands[1], width, it)
    return result(scope, it, 32, f"highest({number}, {width}, {form.sign}, {form.has('shiftamt')})")


def _leading_zeros(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width = only(form, it, 32, 64)
    return result(scope, it, 32, f"{width} - ({scope.value(it.operands[1], width, it)}).bit_length()")


def _count_ones(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 2)
    width = only(form, it, 32, 64)
    return result(scope, it, 32, f"({scope.value(it.operands[1], width, it)}).bit_count()")


def _extend(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3, allowed=("wrap", "clamp"))
    only(form, it, 32)
    numbers = ", ".join(scope.value(it.operands[place], 32, it) for place in (1, 2))
    wrap = form.one_of(("wrap", "clamp"), it) == "wrap"
    return result(scope, it, 32, f"extended({numbers}, {form.sign}, {wrap})")


def _make_mask(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, 3, allowed=("wrap", "clamp"))
    only(form, it, 32)
    numbers = ", ".join(scope.value(it.operands[place], 32, it) for place in (1, 2))
    return result(scope, it, 32, f"mask({numbers}, {form.one_of(('wrap', 'clamp'), it) == 'wrap'})")


# Comparisons


def _set_predicate(scope: Scope, it: Statement) -> list[str]:
    form = Form(it, (3, 4), allowed=(*_COMPARISONS, *_BOOLEANS))
    test = _comparison(scope, it, form)
    combine = _combination(scope, it, form)
    target = it.operands[0]
    if not isinstance(target, Group):
        variable, _ = scope.target(target, 1, it)
        return [f"{variable} = {combine(test)}"]
    if len(target.elements) != 2:
        raise PtxError(it.line, f"{it.text!r} has {len(target.elements)} results")
    lines = [f"_t = {test}"]
    for element, expression in zip(target.elements, ("_t", "(_t ^ 1)"), strict=True):
        if element != Symbol("_"):
            lines.append(f"{scope.target(element, 1, it)[0]} = {combine(expression)}")
    return lines


def _set_number(scope: Scope, it: Statement) -> list[str]:
    """`set`: all ones where the comparison holds."""
    form = Form(it, (3, 4), types=2, allowed=(*_COMPARISONS, *_BOOLEANS))
    if form.types[0] not in ("u32", "s32"):
        raise PtxError(it.line, f"{it.text!r} is not emulated")
    test = _combination(scope, it, form)(_comparison(scope, it, form))
    return result(scope, it, 32, f"0xFFFFFFFF if {test} else 0")


def _comparison(scope: Scope, it: Statement, form: Form) -> str:
    """The first modifier says how two operands compare."""
    only(form, it, 16, 32, 64)
    name = form.modifiers[0] if form.modifiers else ""
    if name not in _COMPARISONS:
        raise PtxError(it.line, f"{it.text!r} compares nothing")
    unsigned = name in ("lo", "ls", "hi", "hs")
    ordered = form.sign and name not in ("eq", "ne")
    if (unsigned and form.types[-1][0] != "u") or (form.types[-1][0] == "b" and name not in ("eq", "ne")):
        raise PtxError(it.line, f"{it.text!r} is no instruction")
    a, b = ((value if ordered else _pattern)(scope, it, place, form) for place in (1, 2))
    return f"({a} {_COMPARISONS[name]} {b})"


def _pattern(scope: Scope, it: Statement, place: int, form: Form) -> str:
    return scope.value(it.operands[place], form.width, it)


def _combination(scope: Scope, it: Statement, form: Form) -> Callable[[str], str]:
    """What the comparison's result is combined with: a predicate, or nothing."""
    names = form.modifiers[1:]
    if len(names) != len(it.operands) - 3 or any(name not in _BOOLEANS for name in names):
        raise PtxError(it.line, f"{it.text!r} has {len(it.operands)} operands")
    if not names:
        return lambda test: test
    other = scope.value(it.operands[3], 1, it)
    return lambda test: f"{test} {_BOOLEANS[names[0]]} {other}"


INTEGERS: Final[dict[str, Handler]] = {
    "mov": _move,
    "selp": _select,
    "slct": _select_by_sign,
    "cvt": _convert,
    "add": _add,
    "addc": _add,
    "sub": _subtract,
    "subc": _subtract,
    "mul": _multiply,
    "mad": _multiply_add,
    "madc": _multiply_add,
    "mul24": _multiply_24,
    "mad24": _multiply_24,
    "div": _divide,
    "rem": _divide,
    "min": _extreme,
    "max": _extreme,
    "neg": _negate,
    "abs": _absolute,
    "sad": _absolute_difference,
    "dp4a": _dot_product,
    "dp2a": _dot_product,
    "and": _bitwise,
    "or": _bitwise,
    "xor": _bitwise,
    "not": _invert,
    "cnot": _is_zero,
    "lop3": _look_up,
    "shl": _shift_left,
    "shr": _shift_right,
    "shf": _funnel_shift,
    "prmt": _permute,
    "brev": _reverse_bits,
    "bfe": _extract_field,
    "bfi": _insert_field,
    "bfind": _find_highest,
    "clz": _leading_zeros,
    "popc": _count_ones,
    "szext": _extend,
    "bmsk": _make_mask,
    "setp": _set_predicate,
    "set": _set_number,
}
"""By the names of instructions."""
