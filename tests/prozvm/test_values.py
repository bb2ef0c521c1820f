"""Values: their equality, sizes and limits, and that each has one encoding and each encoding is of one value."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vmloom_prozvm import cbor, values
from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.errors import NotCanonical, NotStorable, ProzError, TypeMismatch, ValueTooLarge
from vmloom_prozvm.values import (
    Function,
    Task,
    Value,
    ValueLimits,
    canonical,
    cells,
    check,
    is_key,
    kind_of,
    parse_canonical,
    same,
    truth,
)

from .strategies import VALUES

FUNCTION = Function("f", ("a",), Bytecode())


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


# Equality and truth


@given(VALUES)
def test_a_value_is_the_same_as_its_copy(value: Any) -> None:
    assert same(value, parse_canonical(canonical(value)))


@given(VALUES, VALUES)
def test_two_values_are_the_same_exactly_if_their_encodings_are(one: Any, other: Any) -> None:
    assert same(one, other) == (canonical(one) == canonical(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (False, 0),
        (None, False),
        ("a", b"a"),
        ([True], [1]),
        ({"a": False}, {"a": 0}),
        ([], {}),
        ([1], [1, 1]),
        ({"a": 1}, {"b": 1}),
        (FUNCTION, Function("f", ("b",), FUNCTION.bytecode)),
        (Task(0), Task(1)),
        (Task(0), 0),
    ],
)
def test_values_that_are_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_the_order_of_keys_makes_no_other_map() -> None:
    assert same({"a": 1, "b": [2]}, {"b": [2], "a": 1})


def test_functions_are_the_same_by_name_and_parameters_so_that_optimising_one_does_not_change_it() -> None:
    assert same(FUNCTION, Function("f", ("a",), Bytecode([1])))


def test_what_is_empty_is_false() -> None:
    assert [truth(value) for value in (None, False, 0, "", b"", [], {})] == [False] * 7
    assert [truth(value) for value in (True, -1, "0", b"\0", [0], {0: 0}, FUNCTION, Task(0))] == [True] * 8


# Sizes and limits


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, 1),
        (True, 1),
        (0, 1),
        ((1 << 64) - 1, 1),
        (-(1 << 64) + 1, 1),
        (1 << 64, 2),
        (1 << 4095, 64),
        ("", 1),
        ("a", 2),
        ("12345678", 2),
        ("123456789", 3),
        ("\u20ac\u20ac\u20ac", 3),  # nine bytes
        (b"\0" * 16, 3),
        ([], 1),
        ([1, "a", [None]], 6),
        ({"a": 1}, 4),
        (FUNCTION, 1),
        (Task(3), 1),
    ],
)
def test_cells(value: Any, size: int) -> None:
    assert cells(value) == size


@given(VALUES)
def test_a_value_of_n_cells_is_within_a_limit_of_n_and_not_of_one_less(value: Any) -> None:
    size = cells(value)
    check(value, ValueLimits(cells=size))
    if size > 1 and type(value) in (list, dict):
        with pytest.raises(ValueTooLarge):
            check(value, ValueLimits(cells=size - 1))


@pytest.mark.parametrize(
    ("limits", "fits", "does_not"),
    [
        (ValueLimits(integer_bits=64), -(1 << 64) + 1, 1 << 64),
        (ValueLimits(string_size=3), "abc", "abcd"),
        (ValueLimits(string_size=3), "\u20ac", "\u20aca"),
        (ValueLimits(bytes_size=3), b"abc", b"abcd"),
        (ValueLimits(items=2), [1, 2], [1, 2, 3]),
        (ValueLimits(items=2), {1: 1, 2: 2}, {1: 1, 2: 2, 3: 3}),
        (ValueLimits(nesting=2), nested(2), nested(3)),
        (ValueLimits(nesting=1), {"a": 1}, {"a": {}}),
        (ValueLimits(integer_bits=64), {1: 1}, {1 << 64: 1}),
        (ValueLimits(), nested(32), nested(33)),
        (ValueLimits(), (1 << 4096) - 1, 1 << 4096),
    ],
)
def test_each_limit_holds_to_the_last(limits: ValueLimits, fits: Any, does_not: Any) -> None:
    check(fits, limits)
    with pytest.raises(ValueTooLarge):
        check(does_not, limits)


@pytest.mark.parametrize(
    "value", [1.0, (1,), {1}, Fraction(1), bytearray(), "\ud800", object(), {None: 1}, {True: 1}, {1.5: 1}]
)
def test_what_is_no_value_is_refused_wherever_it_is(value: Any) -> None:
    for whole in (value, [value], {"a": [value]}):
        with pytest.raises(TypeMismatch):
            check(whole)


def test_keys_are_strings_integers_and_bytes_but_not_bools_which_python_takes_for_integers() -> None:
    assert all(map(is_key, ("", 0, b"")))
    assert not any(map(is_key, (True, None, [], {}, FUNCTION)))  # type: ignore[arg-type]


def test_a_collection_that_holds_itself_is_refused() -> None:
    round_list: list[Any] = []
    round_list.append(round_list)
    round_map: dict[Any, Any] = {"a": 1}
    round_map["self"] = [round_map]
    for value in (round_list, round_map):
        with pytest.raises(ValueTooLarge):
            check(value)
        with pytest.raises(ValueTooLarge):
            canonical(value)


def test_a_list_whose_shared_parts_would_be_of_exponential_size_is_refused_soon() -> None:
    value: Any = [0]
    for _ in range(30):
        value = [value] * 1000
    with pytest.raises(ValueTooLarge, match="cells"):
        check(value)


@pytest.mark.parametrize(
    "limits", [{"items": 0}, {"integer_bits": 63}, {"integer_bits": 8193}, {"nesting": 129}, {"cells": -1}]
)
def test_limits_out_of_range_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        ValueLimits(**limits)


def test_kinds_have_names() -> None:
    assert [kind_of(value) for value in (None, True, 1, {}, FUNCTION, 1.0)] == [
        "none",
        "bool",
        "integer",
        "map",
        "function",
        "float",
    ]


# The encoding


@given(VALUES)
def test_what_is_encoded_is_read_back_and_encoded_alike(value: Any) -> None:
    data = canonical(value)
    again = parse_canonical(data)
    assert same(again, value)
    assert canonical(again) == data


@given(st.dictionaries(st.one_of(st.text(max_size=30), st.integers(), st.binary(max_size=30)), st.none()), st.randoms())
def test_the_order_of_insertion_does_not_change_the_encoding(value: dict[Any, None], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert canonical({key: value[key] for key in keys}) == canonical(value)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        # The integers, strings and collections of RFC 8949, appendix A.
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1000, "1903e8"),
        (1000000000000, "1b000000e8d4a51000"),
        (18446744073709551615, "1bffffffffffffffff"),
        (18446744073709551616, "c249010000000000000000"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (-18446744073709551617, "c349010000000000000000"),
        (-1, "20"),
        (False, "f4"),
        (True, "f5"),
        (None, "f6"),
        (b"\1\2\3\4", "4401020304"),
        ("IETF", "6449455446"),
        ("\u00fc", "62c3bc"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        # Bytewise order of encoded keys (4.2.1), which is not the order by length (4.2.3).
        ({"a": 1, 1000: 2}, "a21903e802616101"),
        ({"b": 0, "aa": 1, 10: 2, -1: 3, b"": 4}, "a50a022003400461620062616101"),
    ],
)
def test_encodings(value: Any, encoding: str) -> None:
    assert canonical(value).hex() == encoding
    assert same(parse_canonical(bytes.fromhex(encoding)), value)


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        ("", 0, "truncated"),
        ("1801", 0, "canonical form"),  # longer than it must be
        ("19", 0, "truncated"),
        ("190001", 0, "canonical form"),
        ("0000", 1, "after the end"),
        ("5f4101ff", 0, "indefinite"),
        ("9f01ff", 0, "indefinite"),
        ("bf0102ff", 0, "indefinite"),
        ("1c", 0, "reserved"),
        ("7801", 0, "canonical form"),
        ("780161", 0, "canonical form"),
        ("6261", 0, "truncated"),
        ("81", 0, "truncated"),
        ("8201", 0, "truncated"),
        ("a2020101", 0, "truncated"),
        ("a202010102", 3, "canonical form"),  # keys in the wrong order
        ("a201010102", 3, "canonical form"),  # a key twice
        ("a2016100f500", 4, "a key that is no string"),  # 1 and true as keys
        ("8181f97e00", 2, "floats"),
        ("fb3ff0000000000000", 0, "floats"),
        ("f7", 0, "floats"),
        ("e0", 0, "floats"),
        ("f8ff", 0, "floats"),
        ("ff", 0, "floats"),
        ("c00a", 0, "tag 0"),
        ("c48201 01".replace(" ", ""), 0, "tag 4"),
        ("d81c81d81d00", 0, "tag 28"),  # a list that holds itself
        ("d9010281 01".replace(" ", ""), 0, "tag 258"),
        ("c24101", 0, "canonical form"),  # a small integer as a bignum
        ("c2490001000000000000ff", 0, "canonical form"),
        ("c24a00010000000000000000", 0, "canonical form"),  # a leading zero
        ("c201", 0, "not followed by bytes"),
        ("c2", 1, "truncated"),
        ("c249", 0, "truncated"),
        ("61ff", 0, "not CBOR"),  # no UTF-8
        ("63eda080", 0, "not CBOR"),  # a lone surrogate
        ("9b7fffffffffffffff", 0, "truncated"),
        ("bbffffffffffffffff", 0, "truncated"),
        ("5bffffffffffffffff", 0, "truncated"),
        ("81" * 33 + "80", 32, "nested deeper than 32"),
        ("81" * 100_000, 32, "nested deeper than 32"),
    ],
)
def test_data_that_no_value_is_encoded_as_are_refused_with_the_offset(data: str, offset: int, reason: str) -> None:
    with pytest.raises(NotCanonical, match=reason) as caught:
        parse_canonical(bytes.fromhex(data))
    assert caught.value.offset == offset


@pytest.mark.parametrize("data", ["a1f500", "a1f600", "a18000", "a1a000", "a18100 00".replace(" ", ""), "a1a1000000"])
def test_keys_that_are_none_are_refused(data: str) -> None:
    with pytest.raises((TypeMismatch, NotCanonical)):
        parse_canonical(bytes.fromhex(data))


@given(st.binary(max_size=60))
@example(b"\xa1\xa1\x00\x00\x00")
def test_any_bytes_are_refused_or_are_the_encoding_of_what_they_are_read_as(data: bytes) -> None:
    try:
        value = parse_canonical(data)
    except (NotCanonical, ProzError):
        return
    assert canonical(value) == data


@given(VALUES, st.data())
def test_encodings_of_another_writer_are_refused_or_are_ours(value: Any, data: st.DataObject) -> None:
    other = bytearray(canonical(value))
    other[data.draw(st.integers(0, len(other) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = parse_canonical(bytes(other))
    except (NotCanonical, ProzError):
        return
    assert canonical(changed) == other
    assert not same(changed, value)


@given(VALUES)
def test_cbor2_reads_the_same(value: Any) -> None:
    assert same(cbor2.loads(canonical(value)), value)


def test_functions_and_tasks_have_no_encoding_wherever_they_are() -> None:
    for value in (FUNCTION, Task(0)):
        for whole in (value, [1, value], {"a": {"b": value}}):
            with pytest.raises(NotStorable):
                canonical(whole)  # type: ignore[arg-type]


def test_a_value_beyond_the_limits_is_neither_written_nor_read() -> None:
    small = ValueLimits(items=2)
    with pytest.raises(ValueTooLarge):
        canonical([1, 2, 3], small)
    with pytest.raises(ValueTooLarge):
        parse_canonical(canonical([1, 2, 3]), small)


def test_offset_of_finds_items_behind_items_of_every_kind() -> None:
    items: list[Any] = [1, 1000, -1, 1 << 80, "text", b"bytes" * 10, [1, [2]], {"a": {"b": 1}}, None, True]
    data = cbor.encode([items, "last"])
    for index, item in enumerate(items):
        assert data[cbor.offset_of(data, (0, index)) :].startswith(cbor.encode(item))
    assert data[cbor.offset_of(data, (1,)) :] == cbor.encode("last")
    assert cbor.offset_of(data, (0, 6, 1, 0)) == cbor.offset_of(data, (0, 7)) - 1
    assert cbor.offset_of(data, ()) == 0
    with pytest.raises(ValueError, match="lists"):
        cbor.offset_of(data, (1, 0))


def cells_one_by_one(value: Any) -> int:
    if type(value) is list:
        return 1 + sum(map(cells_one_by_one, value))
    if type(value) is dict:
        return 1 + sum(cells_one_by_one(key) + cells_one_by_one(item) for key, item in value.items())
    return cells(value)


def height(value: Any) -> int:
    if type(value) is not list and type(value) is not dict:
        return 0
    return 1 + max(map(height, value if type(value) is list else value.values()), default=0)


@given(st.data())
def test_parts_that_a_value_has_many_times_count_as_often(data: st.DataObject) -> None:
    pool: list[Any] = [1, 2**70, "é" * 9, b"x" * 20, None]
    for _ in range(data.draw(st.integers(1, 6))):
        parts = data.draw(st.lists(st.sampled_from(pool), max_size=4))
        pool.append(parts if data.draw(st.booleans()) else dict(enumerate(parts)))
    value, size, levels = pool[-1], cells_one_by_one(pool[-1]), height(pool[-1])
    assert cells(value) == size
    check(value, ValueLimits(cells=size, nesting=levels))
    if size > 1:
        with pytest.raises(ValueTooLarge):
            check(value, ValueLimits(cells=size - 1))
    if levels > 1:
        with pytest.raises(ValueTooLarge):
            check(value, ValueLimits(nesting=levels - 1))


def test_parts_that_a_value_has_many_times_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    count = values._scalar_cells

    def counted(value: Any) -> int:
        nonlocal looked_at
        looked_at += 1
        return count(value)

    monkeypatch.setattr(values, "_scalar_cells", counted)
    many: Any = [[0] * 1000] * 1000  # who made it paid for 2000 cells
    check(many)
    assert cells(many) == 1 + 1000 * 1001
    assert looked_at <= 2000


def test_values_as_deep_as_any_may_be_take_little_of_what_python_can_nest() -> None:
    """Four runs inside each other, with functions of compiled code, leave 400 frames of 1,000."""
    limits = ValueLimits(nesting=128)
    closure = FUNCTION
    listed: Value = []
    mapped: Value = {}
    for _ in range(127):
        listed, mapped, closure = [listed], {"a": mapped}, Function("f", ("a",), Bytecode(), (closure,))

    def look(frames: int) -> None:
        if frames:
            look(frames - 1)
            return
        for value in (listed, mapped):
            assert same(parse_canonical(canonical(value, limits), limits), value)
            assert cbor.size(value) == len(canonical(value, limits))
        check(closure, limits)
        assert closure == Function("f", ("a",), Bytecode(), closure.bound)

    look(550)


@given(VALUES)
def test_sizes_of_encodings_are_known_without_them(value: Any) -> None:
    assert cbor.size(value) == len(canonical(value))


def test_maps_are_the_same_whatever_their_order() -> None:
    assert same({1: 2, "a": 3, 4: 5, b"": 6}, {b"": 6, 4: 5, 1: 2, "a": 3})
    assert not same({1: 2, 4: 5}, {1: 5, 4: 2})
    assert not same({1: 2, 4: True}, {1: 2, 4: 1})
    assert not same({1: 2, 4: 5}, {1: 2, "4": 5})
