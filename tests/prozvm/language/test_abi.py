"""Calls and results of contracts as bytes, and the description that says what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from vmloom_prozvm.language.abi import (
    AbiError,
    decode_reason,
    decode_result,
    dump_abi,
    encode_call,
    encode_construction,
    find,
    load_abi,
)
from vmloom_prozvm.language.contract import compile_contract
from vmloom_prozvm.values import canonical

ADDRESS = bytes(range(20))
SOURCE = """
action construct(owner: address, supply: int) { }
export action transfer(to: address, amount: int) -> bool { return true; }
export payable action pay() { }
export action store(value) -> any { return value; }
export action many(a: int, b: bool, c: str, d: bytes, e: list, f: map, g: any) -> map { return {}; }
export action text() -> str { return ""; }
export action raw() -> bytes { return hex""; }
export action who() -> address { return CALLER; }
action inner() { }
"""
ABI = compile_contract(SOURCE).abi


def test_description() -> None:
    assert ABI[:3] == [
        {
            "type": "constructor",
            "name": "construct",
            "inputs": [{"name": "owner", "type": "address"}, {"name": "supply", "type": "int"}],
            "output": None,
            "payable": False,
        },
        {
            "type": "action",
            "name": "transfer",
            "inputs": [{"name": "to", "type": "address"}, {"name": "amount", "type": "int"}],
            "output": "bool",
            "payable": False,
        },
        {"type": "action", "name": "pay", "inputs": [], "output": None, "payable": True},
    ]
    assert [entry["name"] for entry in ABI[3:]] == ["store", "many", "text", "raw", "who"]


def test_parameter_without_a_type_is_any() -> None:
    assert find(ABI, "store")["inputs"] == [{"name": "value", "type": "any"}]


def test_description_is_the_same_each_time_and_can_be_read() -> None:
    text = dump_abi(ABI)
    assert text == dump_abi(compile_contract(SOURCE).abi)
    assert text.endswith("]\n")
    assert load_abi(text) == ABI == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '[{"type": "action"}]',
        '[{"type": "event", "name": "f", "inputs": [], "output": null, "payable": false}]',
        '[{"type": "action", "name": 1, "inputs": [], "output": null, "payable": false}]',
        '[{"type": "action", "name": "f", "inputs": [1], "output": null, "payable": false}]',
        '[{"type": "action", "name": "f", "inputs": [{"name": "x", "type": "f64"}], "output": null, "payable": true}]',
        '[{"type": "action", "name": "f", "inputs": [], "output": "float", "payable": false}]',
        '[{"type": "action", "name": "f", "inputs": [], "output": null, "payable": 1}]',
        "[" * 100_000,
    ],
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(AbiError, match="not a description"):
        load_abi(text)


def test_call_is_the_encoding_of_name_and_arguments() -> None:
    assert encode_call(ABI, "transfer", ADDRESS, 5) == canonical(["transfer", ADDRESS, 5])
    assert encode_call(ABI, "pay") == canonical(["pay"])
    arguments: list[Any] = [1, True, "c", b"d", [1], {"k": 2}, None]
    assert encode_call(ABI, "many", *arguments) == canonical(["many", *arguments])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("transfer", (ADDRESS,), r"`transfer` takes \(to: address, amount: int\), not 1 arguments"),
        ("transfer", (ADDRESS, True), "`amount` of `transfer` is of type int; got bool"),
        ("transfer", (b"short", 1), "`to` of `transfer` is an address of 20 bytes; got 5"),
        ("transfer", ("0x00", 1), "`to` of `transfer` is of type address; got string"),
        ("transfre", (), "no action `transfre`.*did you mean `transfer`"),
        ("construct", (ADDRESS, 1), "no action `construct`"),
        ("inner", (), "no action `inner`"),
        ("store", (1.5,), "`store`: float"),
        ("store", (2**9000,), "`store`: an integer of 9001 bits"),
    ],
)
def test_wrong_calls_are_refused(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AbiError, match=message):
        encode_call(ABI, name, *arguments)


def test_construction_is_the_encoding_of_the_arguments() -> None:
    assert encode_construction(ABI, ADDRESS, 5) == canonical([ADDRESS, 5])
    with pytest.raises(AbiError, match=r"`construct` takes \(owner: address, supply: int\)"):
        encode_construction(ABI)


def test_construction_of_nothing_is_empty() -> None:
    plain = compile_contract("export action f() { }").abi
    assert encode_construction(plain) == b""
    assert encode_construction(compile_contract("action construct() { } export action f() { }").abi) == b""
    with pytest.raises(AbiError, match="no constructor"):
        encode_construction(plain, 1)


@pytest.mark.parametrize(
    ("name", "data", "value"),
    [
        ("transfer", canonical(True), True),
        ("text", canonical("a"), "a"),
        ("raw", b"\xff\xff", b"\xff\xff"),
        ("raw", b"", b""),
        ("who", ADDRESS, ADDRESS),
        ("store", canonical(None), None),
        ("store", canonical(b"\x01"), b"\x01"),
        ("many", canonical({"a": 1}), {"a": 1}),
        ("pay", b"", None),
        ("pay", canonical([1]), [1]),
        ("pay", b"\xff\xff", b"\xff\xff"),
    ],
)
def test_results(name: str, data: bytes, value: Any) -> None:
    assert decode_result(ABI, name, data) == value


@pytest.mark.parametrize(
    ("name", "data"),
    [("transfer", canonical(1)), ("transfer", b""), ("text", b"\xff"), ("who", b"short"), ("store", b"")],
)
def test_results_of_another_type_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(AbiError, match=f"`{name}`"):
        decode_result(ABI, name, data)


def test_reasons() -> None:
    assert decode_reason(b"") is None
    assert decode_reason(canonical("no")) == "no"
    assert decode_reason(b"\xff") == b"\xff"
