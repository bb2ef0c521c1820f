"""What the instructions compute from values alone: arithmetic, comparison, logic and collections.

Written once, for the interpreter, for direct evaluation, for generated code and for folding constants. Pure: no
operation changes its operands, and each looks at the size of its result before making it where that would cost. The
ledger's instructions are in `hashes`, `signatures` and `transactions`; prices are in `gas`.

Every operation raises `TypeMismatch` for operands of a kind it does not take, and `ValueTooLarge` for a result
beyond the limits, which are the last argument.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from .. import cbor
from ..bytecode.opcodes import Opcode
from ..errors import DivisionByZero, IndexOutOfRange, MalformedData, NotCanonical, TypeMismatch, ValueTooLarge
from ..values import (
    DEFAULT_LIMITS,
    Function,
    Key,
    Value,
    ValueLimits,
    canonical,
    cells,
    check,
    is_key,
    kind_of,
    parse_canonical,
    same,
    too_many_integers,
    truth,
)


class Unary(Protocol):
    """An operation on the top of the stack."""

    def __call__(self, value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
        """The result, within `limits`."""


class Binary(Protocol):
    """An operation on the two values on top of the stack; `right` is the topmost."""

    def __call__(self, left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
        """The result, within `limits`."""


class Ternary(Protocol):
    """An operation on the three values on top of the stack; `third` is the topmost."""

    def __call__(self, first: Value, second: Value, third: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
        """The result, within `limits`."""


# Arithmetic


def add(left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """ADD: the sum of two integers, or two strings, byte strings or lists end to end."""
    if type(left) is int and type(right) is int:
        return _integer(left + right, limits)
    if type(left) is str and type(right) is str:
        return _joined_text(left, right, limits)
    if type(left) is bytes and type(right) is bytes:
        _bound("ADD: bytes", len(left) + len(right), limits.bytes_size)
        return left + right
    if type(left) is list and type(right) is list:
        _bound("ADD: items", len(left) + len(right), limits.items)
        joined: Value = left + right
        check(joined, limits)  # its cells: the items themselves are within the limits
        return joined
    raise _mismatch("ADD", left, right)


def subtract(left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """SUB: the difference of two integers."""
    if type(left) is int and type(right) is int:
        return _integer(left - right, limits)
    raise _mismatch("SUB", left, right)


def multiply(left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """MUL: the product of two integers."""
    if type(left) is int and type(right) is int:
        # The product has as many bits as both together, or one less: what is further off is not computed at all.
        if left and right:
            _bound("MUL: bits", left.bit_length() + right.bit_length() - 1, limits.integer_bits)
        return _integer(left * right, limits)
    raise _mismatch("MUL", left, right)


def divide(left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """DIV: the quotient of two integers, rounded down. Raises `DivisionByZero`."""
    if type(left) is int and type(right) is int:
        if not right:
            raise DivisionByZero("DIV: the divisor is 0")
        return _integer(left // right, limits)
    raise _mismatch("DIV", left, right)


def modulo(left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """MOD: what DIV leaves of the first integer; it has the sign of the second. Raises `DivisionByZero`."""
    if type(left) is int and type(right) is int:
        if not right:
            raise DivisionByZero("MOD: the divisor is 0")
        return _integer(left % right, limits)
    raise _mismatch("MOD", left, right)


def power(left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """POW: the first integer to the power of the second, which is 0 or more; 0 ** 0 is 1."""
    if type(left) is not int or type(right) is not int:
        raise _mismatch("POW", left, right)
    if right < 0:
        raise TypeMismatch(f"POW takes an exponent of 0 or more, not {_short(right)}")
    if abs(left) > 1:
        # |left| >= 2 ** (bits - 1), so this is the least number of bits that the result can have.
        _bound("POW: bits", (left.bit_length() - 1) * right + 1, limits.integer_bits)
    return _integer(left**right, limits)


def negate(value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """NEG: the integer with the other sign."""
    if type(value) is int:
        return _integer(-value, limits)
    raise TypeMismatch(f"NEG takes an integer, not {kind_of(value)}")


# Comparison


def equal(left: Value, right: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """EQ: whether both are the same value of the same kind, all the way down."""
    return same(left, right)


def not_equal(left: Value, right: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """NEQ: the opposite of EQ."""
    return not same(left, right)


_Order = Callable[[int | str | bytes, int | str | bytes], bool]


def _comparison(opcode: Opcode, order: _Order) -> Binary:
    name = opcode.name

    def compare(left: Value, right: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
        if type(left) is type(right) and type(left) in _ORDERED:
            return order(left, right)  # type: ignore[arg-type]  # both are of one kind that has an order
        raise _mismatch(name, left, right)

    compare.__doc__ = f"{name}: by number, by code point or by byte."
    return compare


_ABSENT: Final = object()
"""Where a map has no value."""
_ORDERED: Final = frozenset((int, str, bytes))

less = _comparison(Opcode.LT, operator.lt)
greater = _comparison(Opcode.GT, operator.gt)
less_or_equal = _comparison(Opcode.LTE, operator.le)
greater_or_equal = _comparison(Opcode.GTE, operator.ge)


# Logic


def conjunction(left: Value, right: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """AND: whether both are true."""
    return truth(left) and truth(right)


def disjunction(left: Value, right: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """OR: whether either is true."""
    return truth(left) or truth(right)


def negation(value: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """NOT: whether the value is false."""
    return not truth(value)


# Collections


def build_list(items: Sequence[Value], limits: ValueLimits = DEFAULT_LIMITS, /) -> list[Value]:
    """BUILD_LIST: the values in the order in which they were pushed."""
    _bound("BUILD_LIST: items", len(items), limits.items)
    built = list(items)
    check(built, limits)
    return built


def build_map(pairs: Sequence[Value], limits: ValueLimits = DEFAULT_LIMITS, /) -> dict[Key, Value]:
    """BUILD_MAP: from key, value, key, value and so on, the first pushed first.

    A later pair of the same key replaces the earlier value in its place.
    """
    _bound("BUILD_MAP: items", len(pairs) // 2, limits.items)
    if sum(type(key) is int for key in pairs[::2]) > limits.integer_keys:  # before they are put together
        raise too_many_integers(limits)
    built: dict[Key, Value] = {}
    for position in range(0, len(pairs) - 1, 2):
        built[_key("BUILD_MAP", pairs[position])] = pairs[position + 1]
    check(built, limits)
    return built


def index(collection: Value, key: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """INDEX: an item of a list, a character, a byte (an integer), or what a map has under a key, None if nothing.

    Raises `IndexOutOfRange` for a position that is not there; those below 0 never are.
    """
    if type(collection) is dict:
        return collection.get(_key("INDEX", key))
    if type(collection) is list or type(collection) is str or type(collection) is bytes:
        return collection[_position("INDEX", key, len(collection))]
    raise TypeMismatch(f"INDEX looks into a list, map, string or bytes, not into {kind_of(collection)}")


def store_index(collection: Value, key: Value, value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """STORE_INDEX: a new list or map in which `key` has `value`; a map may not have had it before.

    Raises `IndexOutOfRange` for a position that the list does not have.
    """
    if type(collection) is list:
        position = _position("STORE_INDEX", key, len(collection))
        items = collection.copy()
        items[position] = value
        changed: Value = items
        before: object = collection[position]
    elif type(collection) is dict:
        known = _key("STORE_INDEX", key)
        _bound("STORE_INDEX: items", len(collection) + (known not in collection), limits.items)
        changed = {**collection, known: value}
        before = collection.get(known, _ABSENT)  # which is no value
    else:
        raise TypeMismatch(f"STORE_INDEX changes a list or map, not {kind_of(collection)}")
    if not _is_no_larger(value, before):  # otherwise the limits hold as before, without a look at all items
        check(changed, limits)
    return changed


def length(value: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """LENGTH: characters of a string, bytes, items of a list, pairs of a map."""
    if type(value) is str or type(value) is bytes or type(value) is list or type(value) is dict:
        return len(value)
    raise TypeMismatch(f"LENGTH measures a list, map, string or bytes, not {kind_of(value)}")


def items(value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """ITEMS: a list itself; the keys of a map in canonical order; the characters of a string; the bytes as integers."""
    kind = type(value)
    if kind is list:
        return value
    if kind is not dict and kind is not str and kind is not bytes:
        raise TypeMismatch(f"ITEMS takes a list, map, string or bytes, not {kind_of(value)}")
    _bound("ITEMS: items", len(value), limits.items)  # type: ignore[arg-type]  # all of these have a length
    found: list[Value] = cbor.in_order(value) if kind is dict else list(value)  # type: ignore[arg-type]
    check(found, limits)
    return found


def contains(collection: Value, item: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """CONTAINS: whether a list has the item, a map the key, a string the string, bytes the bytes."""
    if type(collection) is list:
        return any(same(one, item) for one in collection)
    if type(collection) is dict:
        return _key("CONTAINS", item) in collection
    if type(collection) is str and type(item) is str:
        return item in collection
    if type(collection) is bytes and type(item) is bytes:
        return item in collection
    raise _mismatch("CONTAINS", collection, item)


def integer_range(begin: Value, end: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """RANGE: the integers from the first up to the second, without it; none if that is not above."""
    if type(begin) is not int or type(end) is not int:
        raise _mismatch("RANGE", begin, end)
    _bound("RANGE: items", end - begin, limits.items)
    made: Value = list(range(begin, end))
    if (end - begin) * max(cells(begin), cells(end)) >= limits.cells:
        check(made, limits)
    return made


def cut(value: Value, begin: Value, end: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """SLICE: the part of a list, string or byte string from `begin` up to `end`, without it.

    Raises `IndexOutOfRange` unless 0 <= `begin` <= `end` <= length.
    """
    if type(value) is not list and type(value) is not str and type(value) is not bytes:
        raise TypeMismatch(f"SLICE takes a list, string or bytes, not {kind_of(value)}")
    if type(begin) is not int or type(end) is not int:
        raise TypeMismatch(f"SLICE: a position is an integer, not {kind_of(begin if type(begin) is not int else end)}")
    if not 0 <= begin <= end <= len(value):
        raise IndexOutOfRange(f"SLICE: from {_short(begin)} to {_short(end)}, but there are {len(value)}")
    return value[begin:end]


# Conversions


def to_string(value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """TO_STRING: integers in decimal, strings themselves, true, false, none, and bytes as lower-case hex digits."""
    if type(value) is str:
        return value
    if type(value) is int:
        text = str(value)
    elif type(value) is bytes:
        _bound("TO_STRING: bytes of UTF-8", 2 * len(value), limits.string_size)
        return value.hex()
    elif value is None or type(value) is bool:
        text = "none" if value is None else "true" if value else "false"
    else:
        raise TypeMismatch(f"TO_STRING takes no {kind_of(value)}")
    _bound("TO_STRING: bytes of UTF-8", len(text), limits.string_size)
    return text


def to_integer(value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """TO_INTEGER: integers themselves, 0 or 1 for a bool, what a string says, bytes as an unsigned big-endian number.

    A string has decimal digits, with a minus before them or not, or 0x and hexadecimal digits; nothing else.
    """
    if type(value) is int:
        return value
    if type(value) is bool:
        return int(value)
    if type(value) is bytes:
        _bound("TO_INTEGER: bits", 8 * len(value.lstrip(b"\0")) - 7, limits.integer_bits)
        return _integer(int.from_bytes(value, "big"), limits)
    if type(value) is str:
        return _integer(_parsed(value, limits), limits)
    raise TypeMismatch(f"TO_INTEGER takes no {kind_of(value)}")


def to_bytes(value: Value, size: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """TO_BYTES: an integer of 0 or more, big-endian in `size` bytes; a string as UTF-8; bytes themselves.

    The size is none for strings and bytes.
    """
    if type(value) is int:
        if type(size) is not int or size < 0 or value < 0:
            raise TypeMismatch("TO_BYTES takes integers of 0 or more, and a size of 0 or more for them")
        _bound("TO_BYTES: bytes", size, limits.bytes_size)
        _bound("TO_BYTES: bytes", -(-value.bit_length() // 8), size)
        return value.to_bytes(size, "big")
    if type(value) is bytes:
        made = value
    elif type(value) is str:
        made = value.encode()
    else:
        raise TypeMismatch(f"TO_BYTES takes no {kind_of(value)}")
    if size is not None:
        raise TypeMismatch(f"TO_BYTES: a {kind_of(value)} is converted whole: the size must be none")
    _bound("TO_BYTES: bytes", len(made), limits.bytes_size)
    return made


def kind(value: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """KIND: the name of the value's kind."""
    return kind_of(value)


def encode(value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """ENCODE: the canonical encoding. Raises `NotStorable` for functions, tasks and cells, also inside."""
    encoded = canonical(value, limits)
    _bound("ENCODE: bytes", len(encoded), limits.bytes_size)
    return encoded


def decode(data: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """DECODE: the value that these bytes are the canonical encoding of. Raises `MalformedData`."""
    if type(data) is not bytes:
        raise TypeMismatch(f"DECODE takes bytes, not {kind_of(data)}")
    try:
        return parse_canonical(data, limits)
    except (NotCanonical, TypeMismatch) as error:  # of what is no value nothing is canonical
        raise MalformedData(f"DECODE: {error}") from None


def try_decode(data: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """TRY_DECODE: as DECODE, but None for bytes that are no value's encoding, or that of one beyond the limits."""
    if type(data) is not bytes:
        raise TypeMismatch(f"TRY_DECODE takes bytes, not {kind_of(data)}")
    try:
        return parse_canonical(data, limits)
    except (NotCanonical, TypeMismatch, ValueTooLarge):
        return None


BINARY: Final[Mapping[Opcode, Binary]] = MappingProxyType(
    {
        Opcode.ADD: add,
        Opcode.SUB: subtract,
        Opcode.MUL: multiply,
        Opcode.DIV: divide,
        Opcode.MOD: modulo,
        Opcode.POW: power,
        Opcode.EQ: equal,
        Opcode.NEQ: not_equal,
        Opcode.LT: less,
        Opcode.GT: greater,
        Opcode.LTE: less_or_equal,
        Opcode.GTE: greater_or_equal,
        Opcode.AND: conjunction,
        Opcode.OR: disjunction,
        Opcode.INDEX: index,
        Opcode.CONTAINS: contains,
        Opcode.RANGE: integer_range,
        Opcode.TO_BYTES: to_bytes,
    }
)
"""What takes two values and gives one."""
UNARY: Final[Mapping[Opcode, Unary]] = MappingProxyType(
    {
        Opcode.NEG: negate,
        Opcode.NOT: negation,
        Opcode.LENGTH: length,
        Opcode.ITEMS: items,
        Opcode.TO_STRING: to_string,
        Opcode.TO_INTEGER: to_integer,
        Opcode.KIND: kind,
        Opcode.ENCODE: encode,
        Opcode.DECODE: decode,
        Opcode.TRY_DECODE: try_decode,
    }
)
"""What takes one value and gives one."""
TERNARY: Final[Mapping[Opcode, Ternary]] = MappingProxyType({Opcode.STORE_INDEX: store_index, Opcode.SLICE: cut})
"""What takes three values and gives one."""


_NUMBER: Final = re.compile(r"(-?)([0-9]+)|0x([0-9A-Fa-f]+)")


# Checks


def _integer(result: int, limits: ValueLimits) -> int:
    if result.bit_length() > limits.integer_bits:
        raise ValueTooLarge(f"an integer of {result.bit_length()} bits; at most {limits.integer_bits} are allowed")
    return result


def _parsed(text: str, limits: ValueLimits) -> int:
    """The number that `text` is. How long it is is seen before it is read, which Python refuses for long ones."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise TypeMismatch("TO_INTEGER: a number has decimal digits, with or without a minus, or 0x and hex digits")
    sign, decimal, hexadecimal = found.groups()
    if hexadecimal is not None:
        digits = hexadecimal.lstrip("0")
        _bound("TO_INTEGER: bits", 4 * len(digits) - 3, limits.integer_bits)
        return int(digits or "0", 16)
    digits = decimal.lstrip("0")
    # A number of n digits is at least 10 ** (n - 1), which has more than 3 (n - 1) bits.
    _bound("TO_INTEGER: bits", 3 * (len(digits) - 1), limits.integer_bits)
    return int(f"{sign}{digits or 0}")


def _joined_text(left: str, right: str, limits: ValueLimits) -> str:
    # A character takes at least a byte of UTF-8, so the first look costs nothing and bounds the second.
    _bound("ADD: bytes of UTF-8", len(left) + len(right), limits.string_size)
    _bound("ADD: bytes of UTF-8", _text_size(left) + _text_size(right), limits.string_size)
    return left + right


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _bound(what: str, size: int, limit: int) -> None:
    if size > limit:
        raise ValueTooLarge(f"{what}: the result would have {_short(size)}; at most {limit} are allowed")


def _key(name: str, key: Value) -> Key:
    if is_key(key):
        return key  # type: ignore[return-value]  # it is one of the kinds that keys have
    raise TypeMismatch(f"{name}: a key is a string, bytes or an integer, not {kind_of(key)}")


def _position(name: str, key: Value, size: int) -> int:
    if type(key) is not int:
        raise TypeMismatch(f"{name}: a position is an integer, not {kind_of(key)}")
    if not 0 <= key < size:
        raise IndexOutOfRange(f"{name}: position {_short(key)}, but there are {size}")
    return key


def _is_no_larger(value: Value, before: object) -> bool:
    """Whether a value of no parts takes the place of another that has at least as many cells."""
    kind = type(value)
    if kind is list or kind is dict or kind is Function or before is _ABSENT:
        return False
    return (cells(value) if kind in _ORDERED else 1) <= (cells(before) if type(before) in _ORDERED else 1)  # type: ignore[arg-type]


def _short(number: int) -> str:
    """`number`, or its size if nobody would want to read it."""
    return str(number) if number.bit_length() <= 128 else f"a number of {number.bit_length()} bits"


def _mismatch(name: str, left: Value, right: Value) -> TypeMismatch:
    return TypeMismatch(f"{name} does not take {kind_of(left)} and {kind_of(right)}")
