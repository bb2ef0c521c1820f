"""Reading parameters: strict, in geth's words, and never another exception than the one for bad input."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.errors import InputError
from vmloom_node.rpc.parameters import (
    Address,
    Data,
    Hash,
    JsonObject,
    Number,
    Percentile,
    Quantity,
    ShortQuantity,
    Slot,
    shape_of,
)


def read(annotation: Any, value: Any) -> Any:
    return shape_of(annotation).read(value, "it")


@given(st.binary(max_size=70))
def test_data_is_read_back(data: bytes) -> None:
    assert read(Data, "0x" + data.hex()) == data
    assert read(Data, "0X" + data.hex().upper()) == data


@given(st.integers(0, 2**256 - 1))
def test_quantities_are_read_back(number: int) -> None:
    assert read(Quantity, hex(number)) == number
    assert read(Number, hex(number)) == read(Number, str(number)) == read(Number, number) == number
    assert read(Slot, f"{number:#066x}") == read(Slot, hex(number)) == number


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Data, 1, "must be a hex string, got a number"),
        (Data, True, "must be a hex string, got true or false"),
        (Data, "12", "hex string without 0x prefix: '12'"),
        (Data, "0x1", "odd length"),
        (Data, "0x1 23", "invalid hex string"),
        (Data, "0x\u0661\u0662", "invalid hex string"),
        (Address, "0x12", "hex string has length 2, want 40 for an address"),
        (Address, "0x" + "g" * 40, "invalid hex string"),
        (Hash, "0x" + "0" * 66, "want 64 for a hash"),
        (Quantity, "0x", "zero is 0x0"),
        (Quantity, "0x01", "leading zero digits"),
        (Quantity, "0x1_0", "invalid hex string"),
        (Quantity, "0x-1", "invalid hex string"),
        (Quantity, "0x\u0661", "invalid hex string"),
        (Quantity, "0x1" + "0" * 64, "hex number > 256 bits"),
        (ShortQuantity, "0x1" + "0" * 16, "hex number > 64 bits"),
        (Quantity, 5, "must be a hex string, got a number"),
        (Slot, "0x" + "0" * 65, "at most 32 bytes"),
        (Number, -1, "must not be negative"),
        (Number, True, "must be a whole number"),
        (Number, 1.5, "must be a whole number"),
        (Number, "ten", "must be a decimal number"),
        (Percentile, 101, "from 0 to 100"),
        (Percentile, "5", "from 0 to 100"),
        (bool, 1, "must be true or false, got a number"),
        (bool, "true", "must be true or false, got text"),
        (str, {}, "must be text, got an object"),
        (JsonObject, [], "must be an object, got a list"),
        (list[Quantity], "0x1", "must be a list, got text"),
        (list[Quantity], ["0x1", "1"], r"it\[1\]: hex string without 0x prefix"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_the_reason(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(annotation, value)
    assert str(caught.value).startswith("it")


def test_an_optional_parameter_takes_null() -> None:
    assert read(Quantity | None, None) is None
    assert read(Quantity | None, "0x5") == 5


def test_a_long_value_is_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        read(Data, "z" * 10_000)
    assert len(str(caught.value)) < 120


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.just({}))
@pytest.mark.parametrize("annotation", [Address, Data, Hash, Number, Percentile, Quantity, Slot, list[Data], bool, str])
def test_whatever_json_is_given_only_input_errors_are_raised(annotation: Any, value: Any) -> None:
    with suppress(InputError):
        read(annotation, value)


def test_an_annotation_without_a_shape_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(TypeError, match="no JSON shape"):
        shape_of(int)
