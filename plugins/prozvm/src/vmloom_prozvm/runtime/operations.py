"""What the instructions compute from values alone: arithmetic, comparison, logic and collections.

Written once, for the interpreter, for direct evaluation, for generated code and for folding constants. Pure: no
operation changes its operands, and each looks at the size of its result before making it where that would cost. The
ledger's instructions are in `hashes`, `signatures` and `transactions`; prices are in `gas`.

Every operation raises `TypeMismatch` for operands of a kind it does not take, and `ValueTooLarge` for a result
beyond the limits, which are the last argument.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from ..bytecode.opcodes import Opcode
from ..errors import DivisionByZero, IndexOutOfRange, TypeMismatch, ValueTooLarge
from ..values import DEFAULT_LIMITS, Key, Value, ValueLimits, check, is_key, kind_of, same, truth


class Unary(Protocol):
    """An operation on the top of the stack."""

    def __call__(self, value: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
        """The result, within `limits`."""


class Binary(Protocol):
    """An operation on the two values on top of the stack; `right` is the topmost."""

    def __call__(self, left: Value, right: Value, limits: ValueLimits = DEFAULT_LIMITS, /) -> Value:
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
        changed: Value = [*collection[:position], value, *collection[position + 1 :]]
    elif type(collection) is dict:
        known = _key("STORE_INDEX", key)
        _bound("STORE_INDEX: items", len(collection) + (known not in collection), limits.items)
        changed = {**collection, known: value}
    else:
        raise TypeMismatch(f"STORE_INDEX changes a list or map, not {kind_of(collection)}")
    check(changed, limits)
    return changed


def length(value: Value, _: ValueLimits = DEFAULT_LIMITS, /) -> Value:
    """LENGTH: characters of a string, bytes, items of a list, pairs of a map."""
    if type(value) is str or type(value) is bytes or type(value) is list or type(value) is dict:
        return len(value)
    raise TypeMismatch(f"LENGTH measures a list, map, string or bytes, not {kind_of(value)}")


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
    }
)
"""What takes two values and gives one."""
UNARY: Final[Mapping[Opcode, Unary]] = MappingProxyType(
    {Opcode.NEG: negate, Opcode.NOT: negation, Opcode.LENGTH: length}
)
"""What takes one value and gives one."""


# Checks


def _integer(result: int, limits: ValueLimits) -> int:
    if result.bit_length() > limits.integer_bits:
        raise ValueTooLarge(f"an integer of {result.bit_length()} bits; at most {limits.integer_bits} are allowed")
    return result


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


def _short(number: int) -> str:
    """`number`, or its size if nobody would want to read it."""
    return str(number) if number.bit_length() <= 128 else f"a number of {number.bit_length()} bits"


def _mismatch(name: str, left: Value, right: Value) -> TypeMismatch:
    return TypeMismatch(f"{name} does not take {kind_of(left)} and {kind_of(right)}")
