"""JSON-RPC 2.0: text in, requests out, and answers back to text. https://www.jsonrpc.org/specification

Whatever the text is, `parse` returns: what is wrong with it becomes an answer. Knows no method and no chain.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from enum import IntEnum
from json.encoder import encode_basestring_ascii
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from vmloom.errors import VmloomError
from vmloom.json_text import read_json

JSONRPC: Final = "2.0"


class Code(IntEnum):
    """What kind of error an answer tells: JSON-RPC 2.0, EIP-1474, and 3, 4 and 4444 as geth has them."""

    REVERTED = 3
    """The call reverted; `data` has its output."""
    NOT_MINED = 4
    """The transaction was taken, but is in no block yet; `data` has its hash. EIP-7966"""
    HISTORY_PRUNED = 4444
    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    SERVER_ERROR = -32000
    """The request is well formed, and cannot be met."""
    TIMED_OUT = -32002
    RESPONSE_TOO_LARGE = -32003
    UNSUPPORTED = -32004
    LIMIT_EXCEEDED = -32005


class RpcError(VmloomError):
    """An error that the client is told: `code`, `message`, and JSON-ready `data`, None for none."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.data = data

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        fields: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            fields["data"] = self.data
        return fields


RequestId: TypeAlias = str | int | float | None


class Request(NamedTuple):
    """One call. A notification gets no answer."""

    id: RequestId
    method: str
    params: list[Any]
    is_notification: bool = False


class Refused(NamedTuple):
    """One call that is none, and the error to answer it with."""

    id: RequestId
    error: RpcError


Item: TypeAlias = Request | Refused


class Message(NamedTuple):
    """What a text holds: one item, or with `is_batch` the items of a batch."""

    items: tuple[Item, ...]
    is_batch: bool = False


def parse(text: bytes | str, *, batch_items: int) -> Message:
    """The requests in `text`; a batch of more than `batch_items`, or of none, is refused as a whole. Never raises."""
    try:
        value = loads(text)
    except ValueError as error:
        return _refused(Code.PARSE_ERROR, f"parse error: {error}")
    if not isinstance(value, list):
        return Message((_item(value),))
    if not value:
        return _refused(Code.INVALID_REQUEST, "empty batch")
    if len(value) > batch_items:
        limit = f"batch too large: {len(value)} requests, the limit is {batch_items}"
        return _refused(Code.INVALID_REQUEST, limit)
    return Message(tuple(_item(entry) for entry in value), is_batch=True)


MAX_DEPTH: Final = 128
"""Lists and objects within each other."""


def loads(text: bytes | str) -> Any:
    """The value of a JSON text in UTF-8 from outside. Raises `ValueError`, also for one that is nested too deeply."""
    return read_json(text, depth=MAX_DEPTH, parse_constant=_no_constant)


def _item(value: Any) -> Item:
    if not isinstance(value, dict):
        return Refused(None, RpcError(Code.INVALID_REQUEST, "invalid request: not an object"))
    request_id = value.get("id")
    if type(request_id) is not int and not _is_id(request_id):
        return Refused(None, RpcError(Code.INVALID_REQUEST, "invalid request: id must be text or a number"))
    fault = _fault(value)
    if fault is not None:
        return Refused(request_id, fault)
    return Request(request_id, value["method"], value.get("params") or [], is_notification="id" not in value)


def _is_id(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return math.isfinite(value)  # 1e999 is JSON, but infinity is not
    return value is None or isinstance(value, str | int)


def _fault(value: dict[str, Any]) -> RpcError | None:
    if value.get("jsonrpc") != JSONRPC:
        return RpcError(Code.INVALID_REQUEST, 'invalid request: jsonrpc must be "2.0"')
    if not isinstance(value.get("method"), str):
        return RpcError(Code.INVALID_REQUEST, "invalid request: method must be text")
    if not isinstance(value.get("params") or [], list):
        return RpcError(Code.INVALID_PARAMS, "non-array args: params must be an array")
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refused(code: Code, message: str) -> Message:
    return Message((Refused(None, RpcError(code, message)),))


# Answers


def answer(request_id: RequestId, result: Any) -> str:
    """The text of a success."""
    return f'{{"jsonrpc":"2.0","id":{dumps(request_id)},"result":{dumps(result)}}}'


def answer_error(request_id: RequestId, error: RpcError) -> str:
    """The text of an error."""
    return f'{{"jsonrpc":"2.0","id":{dumps(request_id)},"error":{dumps(error.to_dict())}}}'


def notification(method: str, params: Any) -> str:
    """The text of what a subscription sends."""
    return f'{{"jsonrpc":"2.0","method":{dumps(method)},"params":{dumps(params)}}}'


_encoder: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def dumps(value: Any) -> str:
    """JSON in ASCII, of any depth. Raises `ValueError` and `TypeError` for what has no JSON."""
    if type(value) is int:  # as most ids are; text is what the encoder looks for first by itself
        return str(value)
    try:
        return _encoder.encode(value)
    except RecursionError:  # calls nest up to 1,024 deep, and the tree of their traces twice as deep
        return "".join(_pieces(value))


class _Raw(str):
    """Text that is JSON already."""

    __slots__ = ()


def _pieces(value: Any) -> Iterator[str]:
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Raw):
            yield item
        elif isinstance(item, dict):
            opening = "{"
            parts: list[Any] = []
            for key, entry in item.items():
                parts += [_Raw(f"{opening}{encode_basestring_ascii(key)}:"), entry]
                opening = ","
            parts.append(_Raw("}" if item else "{}"))
            waiting += reversed(parts)
        elif isinstance(item, list | tuple):
            opening = "["
            parts = []
            for entry in item:
                parts += [_Raw(opening), entry]
                opening = ","
            parts.append(_Raw("]" if item else "[]"))
            waiting += reversed(parts)
        else:
            yield _encoder.encode(item)
