"""What a program computes with: kinds of values, limits of their sizes, equality, and the canonical encoding.

A value is None, a bool, an int, a str, bytes, a list, a dict, a `Function`, a `Task` or a `Cell`; there are no floats.
Lists and dicts are values, too: nothing ever changes one in place, so that none can hold itself. Only a cell changes.
Used by everything that touches a value. Must never know what an instruction is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import cbor
from .errors import NotStorable, TypeMismatch, ValueTooLarge

if TYPE_CHECKING:
    from .bytecode.program import Bytecode

Key: TypeAlias = "str | int | bytes"
"""Keys of maps. Bools are none: to a dict, True and 1 would be one key, although they are not the same value."""

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[Key, Value] | Function | Task | Cell | None"

_LIMB_BITS: Final = 64
_CELL: Final = 8
_SMALL: Final = 1 << _LIMB_BITS
"""Integers between this and its negative have one cell, and are within every limit."""
_DEEPEST: Final = 128
"""No limit of nesting may exceed this: values are walked by recursion."""
_LONGEST_INTEGER: Final = 8192
"""Nor one of integers this: Python prints no int of much more than 14,000 bits."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function of a program. Two of them are the same value if name, parameters and bound values are the same."""

    name: str
    parameters: tuple[str, ...]
    bytecode: Bytecode = field(repr=False)
    bound: tuple[Value, ...] = ()
    """Values of the first parameters, which callers do not give."""
    tree: Any = field(default=None, repr=False)
    """The body in the form of the language that it was written in, None for a function that came as bytecode."""
    origin: Function | None = field(default=None, repr=False)
    """The function without bound values that this one was made from by `bind`, None for one that was not."""

    @property
    def arity(self) -> int:
        """How many arguments a call gives."""
        return len(self.parameters) - len(self.bound)

    def bind(self, values: Sequence[Value]) -> Function:
        """The function with the next `len(values)` of its parameters, at most `arity`, bound."""
        bound = (*self.bound, *values)
        return Function(self.name, self.parameters, self.bytecode, bound, self.tree, self.origin or self)

    def __eq__(self, other: object) -> bool:
        return same(self, other) if type(other) is Function else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.parameters, len(self.bound)))


class Cell:
    """A variable that functions share: what NEW_CELL makes. It is equal to itself alone, and nothing can store it.

    The only value that changes, so it may hold a function that holds it: nothing looks into one but CELL_READ.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


@dataclass(frozen=True)
class Task:
    """What SPAWN gives and AWAIT takes. `number` counts the tasks of one run from 0."""

    number: int


@dataclass(frozen=True)
class ValueLimits:
    """How large one value may be. `cells` are of 8 bytes, as `cells` counts them."""

    integer_bits: int = 4096
    """Bits of an integer without its sign, 64 to 8192."""
    string_size: int = 65_536
    """Bytes of a string in UTF-8."""
    bytes_size: int = 1_048_576
    """Bytes of a byte string."""
    items: int = 65_536
    """Items of one list, pairs of one map."""
    integer_keys: int = 512
    """Integer keys of one map. They can be chosen so that Python finds each only after all others."""
    nesting: int = 32
    """Lists, maps and functions with bound values inside each other, 1 to 128: a list of numbers has 1."""
    cells: int = 1_048_576

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise ValueError(f"{limit.name} must be at least 1")
        if not _LIMB_BITS <= self.integer_bits <= _LONGEST_INTEGER:
            raise ValueError(f"integer_bits must be {_LIMB_BITS} to {_LONGEST_INTEGER}")
        if self.nesting > _DEEPEST:
            raise ValueError(f"nesting must be at most {_DEEPEST}")


DEFAULT_LIMITS: Final = ValueLimits()


def is_key(value: Value) -> bool:
    """Whether a map can have `value` as a key."""
    return type(value) in (str, int, bytes)


def truth(value: Value) -> bool:
    """False for None, False, 0 and whatever is empty; functions and tasks are true."""
    return bool(value)


def same(one: Value, other: Value) -> bool:
    """Deep equality. Values of two kinds are never the same: True is not 1. The order of a map's keys is nothing."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is list:
        pairs = _list_pairs(one, other)  # type: ignore[arg-type]
    elif kind is dict:
        pairs = _map_pairs(one, other)  # type: ignore[arg-type]
    elif kind is Function:
        pairs = _function_pairs(one, other)  # type: ignore[arg-type]
    else:
        return one == other
    if pairs is None:
        return False
    for left, right in pairs:  # one frame of Python for each level
        kind = type(left)
        if kind is not type(right):
            return False
        if kind is list or kind is dict or kind is Function:
            if not same(left, right):
                return False
        elif left != right:
            return False
    return True


def cells(value: Value) -> int:
    """The size of a value in cells of 8 bytes, which gas is counted by.

    An int has one per 64 bits, a string or byte string one and one per 8 bytes, a collection one and those in it, a
    function one and those of its bound values; the rest are one each, a `Cell` with what it holds. Parts that a value
    has many times are counted as often, but looked at once, so that counting takes no longer than making them did. The
    value must be within some `ValueLimits`.
    """
    kind = type(value)
    if kind is list or kind is dict or kind is Function:
        return _collection_cells(value, {})
    return _scalar_cells(value)


def check(value: object, limits: ValueLimits = DEFAULT_LIMITS) -> None:
    """Refuse what is no value or a value too large.

    Takes time in proportion to the limits whatever it is given, and to its parts where it has one many times.

    Raises:
        ValueTooLarge: Beyond `limits`; a collection that holds itself is too deep.
        TypeMismatch: A float, a tuple, a key that is none, a string that has no UTF-8, ...
    """
    if type(value) is int and value.bit_length() <= limits.integer_bits:  # most results are these
        return
    _checked(value, limits.nesting, limits, {})


def check_storable(value: object, limits: ValueLimits = DEFAULT_LIMITS) -> None:
    """As `check`, and refuse what has no encoding.

    Raises:
        NotStorable: For a function, a task or a cell, also inside a collection.
        ValueTooLarge, TypeMismatch: As `check`.
    """
    check(value, limits)
    kind = type(value)
    if kind is list or kind is dict or kind in _UNSTORABLE:
        _refuse_unstorable(value, set())


def canonical(value: Value, limits: ValueLimits = DEFAULT_LIMITS) -> bytes:
    """The one encoding of a value: deterministic CBOR (RFC 8949, 4.2.1), integers beyond 64 bits as bignums.

    Raises:
        NotStorable: For a function, a task or a cell, also inside a collection.
        ValueTooLarge, TypeMismatch: As `check`.
    """
    check(value, limits)
    return cbor.encode(value)


def parse_canonical(data: bytes, limits: ValueLimits = DEFAULT_LIMITS) -> Value:
    """The value of which `data` are the canonical encoding.

    Raises:
        NotCanonical: For anything that `canonical` does not write: floats, tags, other orders or lengths, ...
        ValueTooLarge, TypeMismatch: As `check`.
    """
    value: Value = cbor.decode(data, depth=limits.nesting, integer_keys=limits.integer_keys)
    check(value, limits)
    return value


_Pairs: TypeAlias = "Iterable[tuple[Value, Value]] | None"
"""What must be the same for two values to be; None if they cannot be."""


def _list_pairs(one: list[Value], other: list[Value]) -> _Pairs:
    return zip(one, other, strict=True) if len(one) == len(other) else None


def _function_pairs(one: Function, other: Function) -> _Pairs:
    if one.name != other.name or one.parameters != other.parameters or len(one.bound) != len(other.bound):
        return None
    return zip(one.bound, other.bound, strict=True)


def _map_pairs(one: dict[Key, Value], other: dict[Key, Value]) -> _Pairs:
    """Integers are sorted instead of looked up: Python may find each only after all others."""
    if len(one) != len(other):
        return None
    pairs: list[tuple[Value, Value]] = []
    for key, item in one.items():
        if type(key) is not int:
            if key not in other:
                return None
            pairs.append((item, other[key]))
    if len(pairs) < len(one):
        numbered, other_numbered = _by_number(one), _by_number(other)
        if [key for key, _ in numbered] != [key for key, _ in other_numbered]:
            return None
        pairs += [(item, found) for (_, item), (_, found) in zip(numbered, other_numbered, strict=True)]
    return pairs


def _by_number(collection: dict[Key, Value]) -> list[tuple[int, Value]]:
    """The pairs with an integer as key, in the order of these."""
    pairs = [(key, item) for key, item in collection.items() if type(key) is int]
    pairs.sort(key=itemgetter(0))
    return pairs


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def too_many_integers(limits: ValueLimits) -> ValueTooLarge:
    """The error of a map with more integer keys than the limit."""
    return ValueTooLarge(f"a map of more than {limits.integer_keys} integer keys; strings and bytes have no such limit")


def _too_deep(limits: ValueLimits) -> ValueTooLarge:
    return ValueTooLarge(f"collections nested deeper than {limits.nesting}")


def _too_many_cells(limits: ValueLimits) -> ValueTooLarge:
    return ValueTooLarge(f"a value of more than {limits.cells} cells")


def _scalar_cells(value: Any) -> int:
    kind = type(value)
    if kind is int:
        return (value.bit_length() + 63) >> 6 or 1
    if kind is str:
        return 1 - (-_text_size(value) // _CELL)
    if kind is bytes:
        return 1 - (-len(value) // _CELL)
    return 1


def _collection_cells(collection: Any, known: dict[int, int]) -> int:
    """Its cells; `known` are those of its parts by identity, which holds as long as the outermost is there."""
    if type(collection) is list and len(collection) >= _LONG and _has_only_limbs(collection):
        return 1 + len(collection)
    total = 1
    for part in _parts(collection):
        kind = type(part)
        if kind is int:
            total += (part.bit_length() + 63) >> 6 or 1
        elif kind is str and part.isascii():
            total += 1 - (-len(part) // _CELL)
        elif kind is list or kind is dict or kind is str or kind is Function:
            found = known.get(id(part))
            if found is None:
                known[id(part)] = found = _scalar_cells(part) if kind is str else _collection_cells(part, known)
            total += found
        else:
            total += _scalar_cells(part)
    return total


def _has_only_limbs(items: list[Any]) -> bool:
    """Whether all are integers of 64 bits or bools, or all none or bools: found faster than each is counted."""
    kinds = set(map(type, items))
    return kinds <= _WITHOUT_SIZE or (kinds <= _NUMBERS and min(items) > -_LIMB and max(items) < _LIMB)


def _checked(item: Any, levels: int, limits: ValueLimits, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """(cells, levels that it has) of what is within the limits; `levels` more are allowed, `known` are looked at."""
    kind = type(item)
    if kind is not list and kind is not dict and not (kind is Function and item.bound):
        _check_scalar(item, limits)
        return _scalar_cells(item), 0
    _check_collection(item, levels, limits)
    total, height = 1, 0
    for part in _parts(item):
        kind = type(part)
        if kind is int and -_SMALL < part < _SMALL:
            total += 1
        elif kind is str and part.isascii():
            if len(part) > limits.string_size:
                _check_text(part, limits)
            total += 1 - (-len(part) // _CELL)
        else:
            found = known.get(id(part))
            if found is None:
                found = _checked(part, levels - 1, limits, known)
                if found[0] > 1:  # the others take no longer to look at again
                    known[id(part)] = found
            elif found[1] >= levels:
                raise _too_deep(limits)
            total += found[0]
            if found[1] > height:
                height = found[1]
        if total > limits.cells:
            raise _too_many_cells(limits)
    return total, height + 1


def _parts(whole: Any) -> Iterable[Any]:
    """The values in a list or map, keys included, or bound by a function."""
    kind = type(whole)
    return whole if kind is list else chain(whole, whole.values()) if kind is dict else whole.bound


def _check_collection(collection: Any, levels: int, limits: ValueLimits) -> None:
    if type(collection) is not Function and len(collection) > limits.items:
        raise ValueTooLarge(f"a collection of {len(collection)} items; the limit is {limits.items}")
    if levels < 1:
        raise _too_deep(limits)
    if type(collection) is dict:
        _check_keys(collection, limits)


def _check_keys(keys: Iterable[Any], limits: ValueLimits) -> None:
    integers = 0
    for key in keys:
        kind = type(key)
        if kind is int:
            integers += 1
        elif kind is not str and kind is not bytes:
            raise TypeMismatch(f"a key of kind {kind_of(key)}; keys are strings, integers and bytes")
    if integers > limits.integer_keys:
        raise too_many_integers(limits)


def _check_scalar(value: Any, limits: ValueLimits) -> None:
    kind = type(value)
    if kind is int:
        if value.bit_length() > limits.integer_bits:
            raise ValueTooLarge(f"an integer of {value.bit_length()} bits; the limit is {limits.integer_bits}")
    elif kind is str:
        _check_text(value, limits)
    elif kind is bytes:
        if len(value) > limits.bytes_size:
            raise ValueTooLarge(f"{len(value)} bytes; the limit is {limits.bytes_size}")
    elif value is not None and kind not in (bool, Function, Task, Cell):
        raise TypeMismatch(f"{kind_of(value)} is not a kind of value")


def _check_text(text: str, limits: ValueLimits) -> None:
    if len(text) > limits.string_size:  # before it is encoded
        raise ValueTooLarge(f"a string of {len(text)} characters; the limit is {limits.string_size} bytes")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise TypeMismatch("a string with a lone surrogate, which has no UTF-8") from None
    if size > limits.string_size:
        raise ValueTooLarge(f"a string of {size} bytes; the limit is {limits.string_size}")


def kind_of(value: object) -> str:
    """The name of a value's kind, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


_KINDS: Final = {
    type(None): "none",
    bool: "bool",
    int: "integer",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Function: "function",
    Task: "task",
    Cell: "cell",
}


_LONG: Final = 16
"""Items of a list from which on looking at the kinds of all of them first pays."""
_LIMB: Final = 1 << 64
_NUMBERS: Final = frozenset((int, bool))
_WITHOUT_SIZE: Final = frozenset((type(None), bool))
_UNSTORABLE: Final = frozenset((Function, Task, Cell))


def _refuse_unstorable(value: Any, seen: set[int]) -> None:
    """By identity each collection is looked at once; those in `seen` have been."""
    kind = type(value)
    if kind in _UNSTORABLE:
        raise NotStorable(f"a {kind_of(value)} has no encoding")
    if (kind is list or kind is dict) and id(value) not in seen:
        seen.add(id(value))
        for part in value if kind is list else value.values():
            kind = type(part)
            if kind is list or kind is dict or kind in _UNSTORABLE:
                _refuse_unstorable(part, seen)
