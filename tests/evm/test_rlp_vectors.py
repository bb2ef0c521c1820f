"""RLP: what is one item in its only valid form is read, everything else is refused. Public vectors and properties."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time
from typing import Any

import pytest
import rlp as another_rlp
from hypothesis import example, given
from hypothesis import strategies as st
from vmloom_evm.rlp import MAX_DEPTH, RlpError, RlpItem, decode, encode

FILES = ("rlptest.json", "invalidRLPTest.json", "RandomRLPTests/example.json")

items = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def meant(value: Any) -> RlpItem:
    """The item that a vector's `in` stands for: text, a number, `#` and a decimal number, or a list of them."""
    if isinstance(value, list):
        return [meant(item) for item in value]
    if isinstance(value, str) and not value.startswith("#"):
        return value.encode("latin-1")
    number = int(value[1:]) if isinstance(value, str) else int(value)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def nested(depth: int) -> bytes:
    """Lists within lists, `depth` of them."""
    data = b""
    for _ in range(depth):
        data = another_rlp.codec.length_prefix(len(data), 0xC0) + data
    return data


@pytest.mark.parametrize("file", FILES)
def test_every_vector_is_read_or_refused_as_it_says(fixtures_folder: Path, file: str) -> None:
    vectors = json.loads((fixtures_folder / "rlp" / file).read_text())
    assert vectors
    for name, vector in vectors.items():
        data = from_hex(vector["out"])
        if vector["in"] == "INVALID":
            with pytest.raises(RlpError):
                decode(data)
        elif vector["in"] == "VALID":
            assert encode(decode(data)) == data, name
        else:
            assert decode(data) == meant(vector["in"]), name
            assert encode(meant(vector["in"])) == data, name


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "offset 0: an item is missing"),
        (b"\xbf" + b"\xff" * 8, "offset 0: 18446744073709551615 bytes announced, 0 there"),
        (b"\xff" + b"\xff" * 8, "offset 0: 18446744073709551615 bytes announced, 0 there"),
        (b"\xc2\xb8\x38", "offset 1: 56 bytes announced, 0 there"),
        (b"\xc1\x82\x01\x02", "offset 1: 2 bytes announced, 0 there"),
        (b"\xc1\xb8\x38" + bytes(56), "offset 1: the length is cut short"),
        (b"\xc3\xc2\x01\xc1\x01", "offset 3: 1 bytes announced, 0 there"),
        (b"\xc2\xc2\x01\x02", "offset 1: 2 bytes announced, 1 there"),
        (b"\xb9\x01", "offset 0: the length is cut short"),
        (b"\x80\x80", "offset 1: 1 bytes after the end of the item"),
        (b"\xc2\x81\x7f", "offset 1: a byte below 0x80 stands for itself"),
        (b"\xb8\x37" + bytes(55), "offset 0: the length takes more bytes than it needs"),
        (b"\xf9\x00\x38" + bytes(56), "offset 0: the length takes more bytes than it needs"),
    ],
)
def test_what_is_wrong_is_named_with_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(RlpError) as caught:
        decode(data)
    assert str(caught.value) == message


def test_lists_are_read_to_a_fixed_depth() -> None:
    decode(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 20_000):
        with pytest.raises(RlpError, match=f"nested deeper than {MAX_DEPTH}"):
            decode(nested(depth))


def test_time_grows_with_the_length_and_not_with_its_square() -> None:
    def seconds(count: int) -> float:
        data = encode([b""] * count)
        began = process_time()
        decode(data)
        return process_time() - began

    short = min(seconds(20_000) for _ in range(3))
    assert seconds(400_000) < 20 * short * 6  # a square would be 20 times that of 20


@given(items)
@example([b"\0", b"\x7f", b"\x80", b"", [], b"x" * 55, b"x" * 56, [b"x" * 54], [b"x" * 55], b"x" * 256])
def test_what_is_written_is_read_back_and_another_library_writes_the_same(item: RlpItem) -> None:
    assert decode(encode(item)) == item
    assert encode(item) == another_rlp.encode(item)


@given(items, st.data())
def test_damaged_data_is_read_as_another_library_reads_it(item: RlpItem, data: st.DataObject) -> None:
    damaged = bytearray(encode(item))
    for _ in range(data.draw(st.integers(1, 2))):
        position = data.draw(st.integers(0, len(damaged)))
        damaged[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        wanted: RlpItem | None = another_rlp.decode(bytes(damaged))
    except another_rlp.DecodingError:
        wanted = None
    try:
        found: RlpItem | None = decode(bytes(damaged))
    except RlpError:
        found = None
    assert found == wanted
    assert found is None or encode(found) == damaged
