"""HASH_BLOCK and MERKLE_ROOT, against definitions written another way."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_prozvm.errors import NotStorable, TypeMismatch, ValueTooLarge
from vmloom_prozvm.runtime.hashes import hash_block, merkle_root
from vmloom_prozvm.values import Function, Task, Value, ValueLimits, canonical

leaves = st.lists(st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.none() | st.booleans(), max_size=40)


def root_of(digests: list[bytes]) -> bytes:
    """From the top: on the left is the largest power of two that leaves some for the right (RFC 6962, 2.1)."""
    if len(digests) == 1:
        return digests[0]
    left = 1
    while left * 2 < len(digests):
        left *= 2
    return sha256(b"\x01" + root_of(digests[:left]) + root_of(digests[left:])).digest()


@given(leaves)
def test_the_root_is_that_of_rfc_6962(values: list[Value]) -> None:
    expected = (
        root_of([sha256(b"\x00" + canonical(value)).digest() for value in values]) if values else sha256().digest()
    )
    assert merkle_root(values) == expected.hex()


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle_root([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_root_that_was_computed_by_hand() -> None:
    # "tx1" is 63 74 78 31 in CBOR
    digests = [sha256(b"\x00\x63tx" + digit).digest() for digit in (b"1", b"2", b"3")]
    pair = sha256(b"\x01" + digests[0] + digests[1]).digest()
    assert merkle_root(["tx1", "tx2", "tx3"]) == sha256(b"\x01" + pair + digests[2]).hexdigest()


@given(leaves.filter(lambda values: len(values) > 1), st.data())
def test_order_and_every_leaf_matter(values: list[Value], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    root = merkle_root(values)
    assert merkle_root([*values[:at], "another leaf", *values[at + 1 :]]) != root
    assert merkle_root(values[:at] + values[at + 1 :]) != root
    if canonical(values[0]) != canonical(values[-1]):
        assert merkle_root([values[-1], *values[1:-1], values[0]]) != root


def test_a_doubled_last_leaf_is_another_tree() -> None:
    assert merkle_root([1, 2, 3]) != merkle_root([1, 2, 3, 3])  # as it is in Bitcoin's trees: CVE-2012-2459


def test_a_node_is_no_leaf() -> None:
    left, right = (sha256(b"\x00" + canonical(value)).digest() for value in (1, 2))
    assert merkle_root([1, 2]) not in {merkle_root([left + right]), merkle_root([b"\x01" + left + right])}


def test_the_hash_is_of_the_encoding() -> None:
    assert hash_block({"b": 1, "a": [True, None]}) == sha256(bytes.fromhex("a2616182f5f6616201")).hexdigest()


def test_the_order_of_keys_does_not_matter_and_kinds_do() -> None:
    assert hash_block({"a": 1, "b": 2}) == hash_block({"b": 2, "a": 1})
    kinds: list[Value] = [1, True, "1", b"1", [1], {1: None}, None]
    assert len({hash_block(value) for value in kinds}) == 7


@pytest.mark.parametrize("value", [Task(0), Function("f", (), None)])  # type: ignore[arg-type]
def test_functions_and_tasks_have_no_hash(value: Value) -> None:
    everywhere: list[Value] = [value, [value], {"a": [value]}]
    for nested in everywhere:
        with pytest.raises(NotStorable):
            hash_block(nested)
        with pytest.raises(NotStorable):
            merkle_root([1, nested])


def test_only_values_within_the_limits_are_hashed() -> None:
    with pytest.raises(ValueTooLarge):
        hash_block([1, 2, 3], ValueLimits(items=2))
    with pytest.raises(ValueTooLarge):
        merkle_root([[1, 2, 3]], ValueLimits(items=2))
    with pytest.raises(TypeMismatch):
        hash_block(1.5)  # type: ignore[arg-type]
