"""What instructions compute, against Python's own integers, strings and collections; and what they refuse."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_prozvm.bytecode.opcodes import BINARY as BINARY_OPCODES
from vmloom_prozvm.bytecode.opcodes import UNARY as UNARY_OPCODES
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.errors import DivisionByZero, IndexOutOfRange, ProzError, TypeMismatch, ValueTooLarge
from vmloom_prozvm.runtime import operations
from vmloom_prozvm.runtime.operations import BINARY, TERNARY, UNARY
from vmloom_prozvm.values import Function, Task, Value, ValueLimits, canonical, cells, check, same

SMALL = ValueLimits(integer_bits=64, string_size=8, bytes_size=8, items=4, nesting=3, cells=12)
ORDER = {Opcode.LT: operator.lt, Opcode.GT: operator.gt, Opcode.LTE: operator.le, Opcode.GTE: operator.ge}
EDGES = [0, 1, -1, 2, -2, 3, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**64), 2**4095, 2**4096 - 1, -(2**4096) + 1]

integers = st.integers() | st.integers(-(2**4096) + 1, 2**4096 - 1) | st.sampled_from(EDGES)
texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | texts | st.binary(max_size=20)
keys = st.integers() | texts | st.binary(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5), max_leaves=12
)
anything = values | st.just(Task(0))


def kinds_of(*operands: object) -> set[type]:
    return {type(operand) for operand in operands}


def exactly(result: int) -> int:
    """`result`, or the error that it is too large for."""
    if result.bit_length() > 4096:
        raise ValueTooLarge
    return result


def outcome(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except ProzError as error:
        return type(error)


# Arithmetic


@given(integers, integers)
def test_integers_are_exact(a: int, b: int) -> None:
    assert outcome(lambda: operations.add(a, b)) == outcome(lambda: exactly(a + b))
    assert outcome(lambda: operations.subtract(a, b)) == outcome(lambda: exactly(a - b))
    assert outcome(lambda: operations.multiply(a, b)) == outcome(lambda: exactly(a * b))
    assert operations.negate(a) == -a


@given(integers, integers.filter(bool))
def test_division_rounds_down_and_the_rest_has_the_divisors_sign(a: int, b: int) -> None:
    quotient, rest = operations.divide(a, b), operations.modulo(a, b)
    assert type(quotient) is type(rest) is int
    assert a == quotient * b + rest
    assert 0 <= rest < b if b > 0 else b < rest <= 0


@pytest.mark.parametrize(
    ("a", "b", "quotient", "rest"), [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1)]
)
def test_division_of_either_sign(a: int, b: int, quotient: int, rest: int) -> None:
    assert (operations.divide(a, b), operations.modulo(a, b)) == (quotient, rest)


@pytest.mark.parametrize("operation", [operations.divide, operations.modulo])
@pytest.mark.parametrize("a", EDGES)
def test_dividing_by_zero_is_an_error(operation: operations.Binary, a: int) -> None:
    with pytest.raises(DivisionByZero):
        operation(a, 0)


@given(st.integers(-40, 40) | st.sampled_from(EDGES), st.integers(0, 200) | st.sampled_from([4094, 4095, 4096, 4097]))
def test_powers_are_exact(base: int, exponent: int) -> None:
    expected = outcome(lambda: exactly(base**exponent)) if base.bit_length() * exponent < 10**6 else ValueTooLarge
    assert outcome(lambda: operations.power(base, exponent)) == expected


@pytest.mark.parametrize(("base", "result"), [(0, 0), (1, 1), (-1, 1)])
def test_powers_of_what_does_not_grow_take_any_exponent(base: int, result: int) -> None:
    assert operations.power(base, 2**4096 - 2) == result
    assert operations.power(base, 2**4096 - 1) == (-1 if base == -1 else result)
    assert operations.power(base, 0) == 1


def test_a_power_that_nobody_could_compute_is_refused_at_once() -> None:
    for base in (2, -2, 3, 2**4096 - 1):
        with pytest.raises(ValueTooLarge):
            operations.power(base, 2**4096 - 1)


@pytest.mark.parametrize("base", [0, 2])
def test_powers_below_zero_are_no_integers(base: int) -> None:
    with pytest.raises(TypeMismatch, match="exponent of 0 or more, not -1"):
        operations.power(base, -1)


def test_the_largest_power_is_computed_and_the_next_is_not() -> None:
    assert operations.power(2, 4095) == 2**4095
    with pytest.raises(ValueTooLarge):
        operations.power(2, 4096)
    assert operations.power(2, 63, SMALL) == 2**63
    with pytest.raises(ValueTooLarge):
        operations.power(2, 64, SMALL)


def test_too_large_a_product_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(operations, "_integer", lambda result, _: asked.append(result))
    with pytest.raises(ValueTooLarge):
        operations.multiply(2**4000, 2**4000)
    with pytest.raises(ValueTooLarge):
        operations.power(2**4000, 2)
    assert asked == []


def test_the_largest_product_is_computed_and_the_next_is_not() -> None:
    assert operations.multiply(2**2048, 2**2047) == 2**4095  # one bit less than both have together
    assert operations.multiply(2**4096 - 1, 0) == operations.multiply(0, 2**4096 - 1) == 0
    with pytest.raises(ValueTooLarge):
        operations.multiply(2**2048, 2**2048)
    with pytest.raises(ValueTooLarge):
        operations.multiply(2**2048 + 2**2047, 2**2047 + 2**2046 + 2**2045)  # as many bits as both have together


# Joining


@given(texts, texts)
def test_strings_are_joined(a: str, b: str) -> None:
    assert operations.add(a, b) == a + b


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_byte_strings_are_joined(a: bytes, b: bytes) -> None:
    assert operations.add(a, b) == a + b


@given(st.lists(scalars, max_size=5), st.lists(scalars, max_size=5))
def test_lists_are_joined_and_stay_as_they_are(a: list[Value], b: list[Value]) -> None:
    before = list(a), list(b)
    assert same(operations.add(a, b), a + b)
    assert (a, b) == before


@pytest.mark.parametrize(
    ("a", "b", "fits"),
    [
        ("abcd", "efgh", True),
        ("abcd", "efghi", False),
        ("éé", "éé", True),  # two bytes each
        ("éé", "éée", False),
        ("", "𝄞𝄞𝄞", False),
        (b"abcd", b"efgh", True),
        (b"abcd", b"efghi", False),
        ([1, 2], [3, 4], True),
        ([1, 2], [3, 4, 5], False),
        ([b"12345678"], [b"12345678", b"12345678"], True),
        ([[1, 2, 3], [1, 2]], [[1, 2], [3]], False),  # 13 cells
    ],
)
def test_what_is_joined_is_within_the_limits(a: Value, b: Value, fits: bool) -> None:
    assert outcome(lambda: operations.add(a, b, SMALL)) == ((a + b) if fits else ValueTooLarge)  # type: ignore[operator]


# Kinds


@given(anything, anything)
def test_arithmetic_takes_nothing_but_integers(a: Value, b: Value) -> None:
    if kinds_of(a, b) != {int}:
        for opcode in (Opcode.SUB, Opcode.MUL, Opcode.DIV, Opcode.MOD, Opcode.POW):
            with pytest.raises(TypeMismatch, match=opcode.name):
                BINARY[opcode](a, b)
        if len(kinds_of(a, b)) > 1 or not kinds_of(a, b) <= {str, bytes, list}:
            with pytest.raises(TypeMismatch, match="ADD does not take"):
                BINARY[Opcode.ADD](a, b)


@given(anything, anything)
def test_only_what_has_an_order_is_compared(a: Value, b: Value) -> None:
    for opcode, order in ORDER.items():
        if len(kinds_of(a, b)) == 1 and kinds_of(a, b) <= {int, str, bytes}:
            assert BINARY[opcode](a, b) is order(a, b)  # type: ignore[arg-type]
        else:
            with pytest.raises(TypeMismatch, match=opcode.name):
                BINARY[opcode](a, b)


def test_strings_are_ordered_by_code_point() -> None:
    assert operations.less("\uffff", "\U00010000") is True  # by UTF-16, it would be the other way round
    assert operations.less("Z", "a") is True


def test_a_bool_is_no_integer() -> None:
    assert operations.equal(True, 1) is False
    assert operations.equal([True], [1]) is False
    for opcode in (Opcode.ADD, Opcode.MUL, Opcode.LT):
        with pytest.raises(TypeMismatch, match="bool and integer"):
            BINARY[opcode](True, 1)
    with pytest.raises(TypeMismatch, match="NEG takes an integer, not bool"):
        operations.negate(True)


@given(values, values)
def test_equal_are_those_with_the_same_encoding(a: Value, b: Value) -> None:
    assert operations.equal(a, b) is (canonical(a) == canonical(b))
    assert operations.not_equal(a, b) is (canonical(a) != canonical(b))
    assert operations.equal(a, a) is True


FALSE: list[Value] = [None, False, 0, "", b"", [], {}]
TRUE: list[Value] = [True, 1, -1, "0", b"\0", [None], {"": None}, Task(0)]


@pytest.mark.parametrize("a", [*FALSE, *TRUE])
@pytest.mark.parametrize("b", [*FALSE, *TRUE])
def test_logic_is_of_truth_and_gives_bools(a: Value, b: Value) -> None:
    left, right = any(a is each for each in TRUE), any(b is each for each in TRUE)
    assert operations.conjunction(a, b) is (left and right)
    assert operations.disjunction(a, b) is (left or right)
    assert operations.negation(a) is (not left)


# Collections


@given(st.lists(values, max_size=6))
def test_lists_are_built_in_order(items: list[Value]) -> None:
    built = operations.build_list(items)
    assert same(built, items)
    assert built is not items


@given(st.lists(st.tuples(keys, scalars), max_size=6))
def test_maps_are_built_as_pythons_are(pairs: list[tuple[Any, Value]]) -> None:
    built = operations.build_map([part for pair in pairs for part in pair])
    assert list(built.items()) == list(dict(pairs).items())


def test_a_maps_key_keeps_its_place_when_its_value_changes() -> None:
    assert list(operations.build_map(["a", 1, "b", 2, "a", 3]).items()) == [("a", 3), ("b", 2)]
    changed = operations.store_index({"a": 1, "b": 2}, "a", 3)
    assert isinstance(changed, dict)
    assert list(changed.items()) == [("a", 3), ("b", 2)]


@pytest.mark.parametrize("key", [None, True, False, [1], {}, Task(0)])
def test_some_values_are_no_keys(key: Value) -> None:
    uses: list[Callable[[], Value]] = [
        lambda: operations.build_map([key, 1]),
        lambda: operations.index({0: 1, 1: 2}, key),
        lambda: operations.store_index({}, key, 1),
    ]
    for use in uses:
        with pytest.raises(TypeMismatch, match="a key is a string, bytes or an integer, not"):
            use()


@given(st.lists(scalars, max_size=5) | texts | st.binary(max_size=20), st.integers(-7, 25) | st.just(2**4095))
def test_positions_count_from_zero(collection: Any, position: int) -> None:
    expected = collection[position] if 0 <= position < len(collection) else IndexOutOfRange
    assert outcome(lambda: operations.index(collection, position)) == expected
    assert operations.length(collection) == len(collection)


@given(st.dictionaries(keys, scalars, max_size=5), keys)
def test_a_key_that_a_map_lacks_gives_none(collection: dict[Any, Value], key: Any) -> None:
    assert same(operations.index(collection, key), collection.get(key))
    assert operations.length(collection) == len(collection)


@given(st.lists(scalars, max_size=5), st.integers(-7, 7), scalars)
def test_changing_a_list_makes_another(items: list[Value], position: int, value: Value) -> None:
    before = list(items)
    if 0 <= position < len(items):
        changed = operations.store_index(items, position, value)
        items[position] = value
        assert same(changed, items)
        assert changed is not items
    else:
        with pytest.raises(IndexOutOfRange, match=f"position {position}, but there are {len(items)}"):
            operations.store_index(items, position, value)
        assert items == before


@given(st.dictionaries(keys, scalars, max_size=5), keys, scalars)
def test_changing_a_map_makes_another(collection: dict[Any, Value], key: Any, value: Value) -> None:
    before = list(collection.items())
    changed = operations.store_index(collection, key, value)
    assert list(collection.items()) == before
    assert same(changed, {**collection, key: value})


@pytest.mark.parametrize("collection", [None, True, 5, Task(0)])
def test_what_is_no_collection_has_no_items(collection: Value) -> None:
    uses: list[Callable[[], Value]] = [
        lambda: operations.index(collection, 0),
        lambda: operations.store_index(collection, 0, 0),
        lambda: operations.length(collection),
    ]
    for use in uses:
        with pytest.raises(TypeMismatch):
            use()


@pytest.mark.parametrize("collection", ["abc", b"abc"])
def test_strings_are_not_changed(collection: Value) -> None:
    with pytest.raises(TypeMismatch, match="changes a list or map"):
        operations.store_index(collection, 0, "z")


@pytest.mark.parametrize("position", [None, True, "0", b"0", [0]])
def test_positions_are_integers(position: Value) -> None:
    collections: list[Value] = [[1, 2], "ab", b"ab"]
    for collection in collections:
        with pytest.raises(TypeMismatch, match="a position is an integer"):
            operations.index(collection, position)


def test_collections_are_within_the_limits() -> None:
    with pytest.raises(ValueTooLarge):
        operations.build_list([0] * 5, SMALL)
    with pytest.raises(ValueTooLarge):
        operations.build_map([part for key in range(5) for part in (key, 0)], SMALL)
    full: Value = {0: 0, 1: 0, 2: 0, 3: 0}
    assert operations.store_index(full, 3, 1, SMALL) == {0: 0, 1: 0, 2: 0, 3: 1}
    with pytest.raises(ValueTooLarge):
        operations.store_index(full, 4, 1, SMALL)
    deep: Value = [[[]]]
    with pytest.raises(ValueTooLarge):
        operations.build_list([deep], SMALL)
    with pytest.raises(ValueTooLarge):
        operations.store_index([0], 0, deep, SMALL)
    with pytest.raises(ValueTooLarge):
        operations.build_map([0, deep], SMALL)


def test_a_list_of_itself_over_and_over_is_stopped_early() -> None:
    bomb: Value = [0] * 1000
    bomb = operations.build_list([bomb] * 100)
    with pytest.raises(ValueTooLarge):
        operations.build_list([bomb] * 100)


# All together


@given(anything, anything)
def test_every_operation_gives_a_value_or_a_typed_error(a: Value, b: Value) -> None:
    results = [outcome(lambda binary=binary: binary(a, b)) for binary in BINARY.values()]  # type: ignore[misc]
    results += [outcome(lambda unary=unary: unary(a)) for unary in UNARY.values()]  # type: ignore[misc]
    for result in results:
        if not isinstance(result, type):
            check(result)


@given(st.lists(values, min_size=2, max_size=2))
def test_no_operation_changes_its_operands(operands: list[Value]) -> None:
    before = [canonical(operand) for operand in operands]
    for binary in BINARY.values():
        outcome(lambda binary=binary: binary(*operands))  # type: ignore[misc]
    assert [canonical(operand) for operand in operands] == before


def test_the_tables_have_every_instruction_of_two_values_and_one() -> None:
    assert set(BINARY) == {*BINARY_OPCODES, Opcode.INDEX, Opcode.CONTAINS, Opcode.RANGE, Opcode.TO_BYTES}
    assert set(UNARY) == set(UNARY_OPCODES)
    assert set(TERNARY) == {Opcode.STORE_INDEX, Opcode.SLICE}


def test_functions_are_values_that_only_logic_and_equality_take() -> None:
    function = Function("f", (), None)  # type: ignore[arg-type]  # nothing looks into it
    taken = {opcode for opcode in BINARY if not isinstance(outcome(lambda: BINARY[opcode](function, function)), type)}  # noqa: B023
    assert taken == {Opcode.EQ, Opcode.NEQ, Opcode.AND, Opcode.OR}


@given(
    st.lists(st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.text("ab", max_size=30), max_size=9),
    st.one_of(st.none(), st.integers(-(2**200), 2**200), st.text("ab", max_size=40), st.just([0, [0]])),
)
def test_stored_items_are_held_to_the_limits_as_if_all_were_looked_at(items: list[Value], value: Value) -> None:
    limits = ValueLimits(integer_bits=130, string_size=30, cells=24, nesting=2)
    with suppress(ValueTooLarge):
        check(items, limits)
        for position in range(len(items)):
            expected = [*items[:position], value, *items[position + 1 :]]
            try:
                check(expected, limits)
            except ValueTooLarge:
                with pytest.raises(ValueTooLarge):
                    operations.store_index(items, position, value, limits)
            else:
                assert same(operations.store_index(items, position, value, limits), expected)


@given(st.lists(st.one_of(st.booleans(), st.none(), st.integers(-(2**65), 2**65)), max_size=40), st.integers(0, 40))
def test_cells_of_long_lists_are_those_of_their_items(items: list[Value], integers: int) -> None:
    for some in (items, [one for one in items if one is not None], [one for one in items if type(one) is bool]):
        assert cells([*some, *range(integers)]) == 1 + sum(map(cells, some)) + integers
