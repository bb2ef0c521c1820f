"""Messages and typed data are signed as another library does it, and what is no typed data is refused."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account.messages import encode_defunct, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from vmloom.errors import InputError
from vmloom.hashing import keccak256
from vmloom_node.rpc.signing import message_digest, typed_data_digest

DOMAIN_TYPE = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": DOMAIN_TYPE,
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def theirs(data: dict[str, Any]) -> bytes:
    message = encode_typed_data(full_message=data)
    return keccak256(b"\x19\x01" + message.header + message.body)


def test_the_example_of_the_eip() -> None:
    expected = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    assert typed_data_digest(MAIL).hex() == theirs(MAIL).hex() == expected


@given(st.binary(max_size=80))
def test_messages(message: bytes) -> None:
    other = encode_defunct(message)
    assert message_digest(message) == keccak256(b"\x19" + other.version + other.header + other.body)


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.lists(st.lists(st.booleans(), min_size=2, max_size=2), max_size=3),
    st.text(max_size=10),
    st.binary(min_size=4, max_size=4),
)
def test_every_kind_of_field(number: int, data: bytes, flags: list[list[bool]], text: str, four: bytes) -> None:
    typed = {
        "types": {
            "EIP712Domain": DOMAIN_TYPE[:1],
            "Leaf": [{"name": "text", "type": "string"}, {"name": "four", "type": "bytes4"}],
            "Root": [
                {"name": "number", "type": "int64"},
                {"name": "data", "type": "bytes"},
                {"name": "flags", "type": "bool[2][]"},
                {"name": "leaves", "type": "Leaf[]"},
                {"name": "unsigned", "type": "uint64"},
            ],
        },
        "primaryType": "Root",
        "domain": {"name": text},
        "message": {
            "number": number,
            "data": "0x" + data.hex(),
            "flags": flags,
            "leaves": [{"text": text, "four": "0x" + four.hex()}] * 2,
            "unsigned": abs(number),
        },
    }
    assert typed_data_digest(typed) == theirs(typed)


def changed(**fields: Any) -> dict[str, Any]:
    return {**MAIL, **fields}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "domain: must be an object, got null"),
        (changed(types=5), "types: must be an object"),
        (changed(types={"Mail": [{"name": 5}]}), "types.Mail.name: must be text"),
        (changed(primaryType="Letter"), "message: type 'Letter' is not declared"),
        (changed(message={}), "message.from: missing"),
        (changed(types={"Mail": [{"name": "contents", "type": "float"}]}), "type 'float' is not declared"),
        (changed(types={"Mail": [{"name": "contents", "type": "uint7"}]}), "type 'uint7' is not declared"),
        (changed(types={"Mail": [{"name": "contents", "type": "bytes33"}]}), "type 'bytes33' is not declared"),
        (changed(types={"Mail": [{"name": "contents", "type": "string[]"}]}), "must be a list"),
        (changed(domain={**MAIL["domain"], "chainId": -1}), "domain.chainId: must not be negative"),
    ],
)
def test_what_is_no_typed_data_is_refused_with_its_place(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        typed_data_digest(data)


@pytest.mark.parametrize(("kind", "value"), [("int8", 128), ("int8", -129), ("uint8", 256), ("int8", "--1")])
def test_a_number_that_does_not_fit_is_refused(kind: str, value: Any) -> None:
    types = {"Root": [{"name": "n", "type": kind}]}
    with pytest.raises(InputError, match=r"message\.n"):
        typed_data_digest({"types": types, "primaryType": "Root", "domain": {}, "message": {"n": value}})


def test_a_type_that_contains_itself_ends_with_its_data() -> None:
    types = {"EIP712Domain": [], "Node": [{"name": "next", "type": "Node[]"}]}
    message: dict[str, Any] = {"next": []}
    for _ in range(30):
        message = {"next": [message]}
    typed = {"types": types, "primaryType": "Node", "domain": {}, "message": message}
    assert len(typed_data_digest(typed)) == 32
