"""Hex and numbers: what is read, and where what cannot be read is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.errors import InputError
from vmloom.hexadecimal import parse_address, parse_hex, parse_number


@given(st.binary())
def test_hex_reads_what_hex_writes(data: bytes) -> None:
    assert parse_hex(data.hex()) == parse_hex("0x" + data.hex().upper()) == parse_hex(f" 0X{data.hex()}\n") == data


def test_line_breaks_inside_are_ignored() -> None:
    assert parse_hex("0x60\n01 \r\n02") == b"\x60\x01\x02"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0x6g", "x: character 4 is 'g', not a hex digit"),
        ("6g", "x: character 2 is 'g', not a hex digit"),
        ("  6g", "x: character 4 is 'g', not a hex digit"),
        ("60\nzz", "x: character 4 is 'z', not a hex digit"),
        ("0x0x60", "x: character 4 is 'x', not a hex digit"),
        ("\N{FULLWIDTH DIGIT ONE}1", "x: character 1 is '\N{FULLWIDTH DIGIT ONE}', not a hex digit"),
        ("600", "x: 3 hex digits, an odd number: two make a byte"),
        ("", "x: empty"),
        ("0x", "x: empty"),
        (" \n", "x: empty"),
    ],
)
def test_bad_hex(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_hex(text, "x", allow_empty=False)
    assert str(caught.value) == message


def test_empty_hex_may_be_meant() -> None:
    assert parse_hex("") == parse_hex("0x") == b""


@pytest.mark.parametrize("text", ["0x12", "0x" + "11" * 21, ""])
def test_addresses_have_20_bytes(text: str) -> None:
    with pytest.raises(InputError, match=r"^address: (must have 20 bytes|empty)"):
        parse_address(text)


@given(st.integers(0, 2**256 - 1))
def test_numbers_in_every_spelling(number: int) -> None:
    assert {parse_number(value) for value in (number, str(number), hex(number), f" {number:#X} ")} == {number}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "n: must not be negative, got -1"),
        ("-0x1", "n: must be a decimal number or 0x and hex digits, got '-0x1'"),
        ("-5", "n: must not be negative, got '-5'"),
        (2**256, "n: does not fit in 256 bits: 11579208923731619542... (78 characters)"),
        ("0x1" + "0" * 64, "n: does not fit in 256 bits"),
        ("9" * 5000, "n: 5000 digits are too many"),
        ("0x", "n: no digits after 0x"),
        ("0x1g", "n: character 4 is 'g', not a hex digit"),
        ("1.5", "n: must be a decimal number"),
        ("1e3", "n: must be a decimal number"),
        ("", "n: must be a decimal number"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "n: must be a decimal number"),
        (True, "n: must be a whole number, got True"),
        (1.0, "n: must be a whole number, got 1.0"),
        (None, "n: must be a whole number, got None"),
        ([], "n: must be a whole number, got []"),
    ],
)
def test_bad_numbers(value: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_number(value, "n")
    assert str(caught.value).startswith(message)


def test_a_huge_number_is_not_written_out() -> None:
    with pytest.raises(InputError, match="n: does not fit in 256 bits: a huge number"):
        parse_number(1 << 100_000, "n")


def test_numbers_have_the_bits_asked_for() -> None:
    assert parse_number(255, bits=8) == 255
    with pytest.raises(InputError, match="does not fit in 8 bits: 256"):
        parse_number(256, bits=8)
