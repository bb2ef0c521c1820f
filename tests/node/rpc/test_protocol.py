"""JSON-RPC 2.0 as text: what is a request, what is refused and how, and answers of any depth."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_node.rpc.protocol import (
    Code,
    Message,
    Refused,
    Request,
    RpcError,
    answer,
    answer_error,
    dumps,
    notification,
    parse,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(text: str | bytes, batch_items: int = 10) -> Message:
    return parse(text, batch_items=batch_items)


def only(text: str | bytes) -> Request | Refused:
    message = read(text)
    assert not message.is_batch
    (item,) = message.items
    return item


def request_text(**changed: Any) -> str:
    fields = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [], **changed}
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


def test_a_request_is_read_with_its_id_method_and_params() -> None:
    assert only(request_text(id="a", params=["0x1"])) == Request("a", "eth_chainId", ["0x1"])


@pytest.mark.parametrize("params", [..., None, []])
def test_params_may_be_missing_null_or_empty(params: Any) -> None:
    assert only(request_text(params=params)) == Request(1, "eth_chainId", [])


def test_without_id_it_is_a_notification_and_a_null_id_is_an_id() -> None:
    notified, asked = only(request_text(id=...)), only('{"jsonrpc":"2.0","id":null,"method":"m"}')
    assert isinstance(notified, Request)
    assert notified.is_notification
    assert asked == Request(None, "m", [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "parse error"),
        ("{", "parse error"),
        ('{"id": NaN}', "NaN is not JSON"),
        ("[" * 129, "nested deeper than 128"),
        ("[" * 200_000, "nested deeper than 128"),
        ('{"a":' * 200_000, "nested deeper than 128"),
        ("[{" * 60 + "]}" * 60, "parse error"),
        ('["' + '\\"' * 2_000_000, "parse error"),
        (b"\xff\xfe\xff", "parse error"),
        ('{"id": ' + "9" * 5_000 + "}", "parse error"),
    ],
)
def test_what_is_no_json_is_a_parse_error(text: str | bytes, words: str) -> None:
    item = only(text)
    assert isinstance(item, Refused)
    assert item.id is None
    assert item.error.code == Code.PARSE_ERROR
    assert words in item.error.message


@pytest.mark.parametrize(
    ("text", "code", "words", "request_id"),
    [
        ("1", Code.INVALID_REQUEST, "not an object", None),
        ("null", Code.INVALID_REQUEST, "not an object", None),
        (request_text(jsonrpc="1.0"), Code.INVALID_REQUEST, "jsonrpc", 1),
        (request_text(jsonrpc=...), Code.INVALID_REQUEST, "jsonrpc", 1),
        (request_text(method=7), Code.INVALID_REQUEST, "method", 1),
        (request_text(id={}), Code.INVALID_REQUEST, "id must be", None),
        (request_text(id=True), Code.INVALID_REQUEST, "id must be", None),
        (request_text().replace('"id": 1', '"id": 1e999'), Code.INVALID_REQUEST, "id must be", None),
        (request_text(params={"a": 1}), Code.INVALID_PARAMS, "non-array args", 1),
        (request_text(params="x"), Code.INVALID_PARAMS, "non-array args", 1),
    ],
)
def test_json_that_is_no_request_is_refused_with_its_id(text: str, code: int, words: str, request_id: Any) -> None:
    item = only(text)
    assert isinstance(item, Refused)
    assert (item.id, item.error.code) == (request_id, code)
    assert words in item.error.message


def test_a_batch_keeps_its_order_and_its_bad_items() -> None:
    message = read(f"[{request_text(id=1)}, 5, {request_text(id=2)}]")
    assert message.is_batch
    assert [type(item) for item in message.items] == [Request, Refused, Request]


@pytest.mark.parametrize("text", ["[]", f"[{','.join([request_text()] * 11)}]"])
def test_an_empty_or_too_large_batch_is_refused_as_a_whole(text: str) -> None:
    item = only(text)
    assert isinstance(item, Refused)
    assert item.error.code == Code.INVALID_REQUEST
    assert "batch" in item.error.message


def test_brackets_in_strings_do_not_count_and_many_side_by_side_are_no_nesting() -> None:
    text = request_text(params=["[{" * 1_000, '"[' * 1_000, [[]] * 1_000, [{"a": []}] * 1_000])
    assert isinstance(only(text), Request)
    deepest = "[" * 126 + "]" * 126  # with the request and its params 128
    assert isinstance(only(request_text(params=[]).replace("[]", f'["[", {deepest}]')), Request)


def test_depth_is_bounded_even_if_a_library_has_lifted_python_s_own_limit() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # as py_ecc does: the parser would run over the end of the stack
    try:
        item = only("[" * 10**6)
    finally:
        sys.setrecursionlimit(limit)
    assert isinstance(item, Refused)


@given(st.binary(max_size=40) | st.text(max_size=40) | JSON.map(json.dumps))
def test_any_text_is_parsed_without_raising(text: str | bytes) -> None:
    message = read(text)
    assert all(isinstance(item, Request | Refused) for item in message.items)


@given(JSON, st.none() | st.integers() | st.text())
def test_answers_say_what_they_were_given(value: Any, request_id: Any) -> None:
    assert json.loads(answer(request_id, value)) == {"jsonrpc": "2.0", "id": request_id, "result": value}
    assert json.loads(notification("m", value)) == {"jsonrpc": "2.0", "method": "m", "params": value}


def test_an_error_has_data_only_if_there_is_some() -> None:
    assert json.loads(answer_error(3, RpcError(Code.SERVER_ERROR, "no"))) == {
        "jsonrpc": "2.0",
        "id": 3,
        "error": {"code": -32000, "message": "no"},
    }
    assert json.loads(answer_error(3, RpcError(3, "no", "0x")))["error"]["data"] == "0x"


def test_values_of_any_depth_are_written() -> None:
    depth = 3_000
    value: Any = "bottom"
    for i in range(depth):
        value = {"calls": [value, i], "empty": [{}, []]}
    text = dumps(value)
    assert text.startswith('{"calls":[{"calls":[')
    assert text.count('"empty":[{},[]]') == depth
    # The same bytes as json writes where it can.
    inner = value
    for _ in range(depth - 20):
        inner = inner["calls"][0]
    assert json.dumps(inner, separators=(",", ":")) in text


def test_what_has_no_json_is_an_error_not_text() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        dumps(float("nan"))
    with pytest.raises(TypeError):
        dumps(b"bytes")
