"""Heads of requests that are alike: which are taken for one that was parsed, and where their bodies lie."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_node.rpc.heads import Head, is_begun

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\ncontent-length: %d\r\nContent-Type: application/json\r\n\r\n"
LAST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length:%d\r\n\r\n"


class Parsed:
    """What the parser of HTTP makes of one request."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ends = 0
        httptools.HttpRequestParser(self).feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() != b"content-length":
            self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("form", [HEAD, LAST])
@given(
    first=st.integers(0, 9_999), second=st.integers(0, 9_999), body=st.binary(max_size=50), more=st.binary(max_size=9)
)
def test_a_head_is_known_again_with_a_body_of_another_length(
    form: bytes, first: int, second: int, body: bytes, more: bytes
) -> None:
    known = Head.of(form % first + body)
    assert known is not None
    again = form % second
    assert known.body(again + body) == (len(again), len(again) + second)
    whole = form % len(body) + body
    place = known.body(whole + more)
    assert place == (len(whole) - len(body), len(whole))
    parsed = Parsed(whole)
    assert (parsed.ends, parsed.body) == (1, (whole + more)[slice(*place)])
    assert parsed.headers == Parsed(form % 0).headers


@pytest.mark.parametrize(
    "other",
    [
        HEAD.replace(b"localhost", b"elsewhere"),
        HEAD.replace(b"POST", b"PUT"),
        HEAD.replace(b"application/json", b"text/plain"),
        HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        HEAD.replace(b"%d", b"%d, 7"),
        HEAD.replace(b"%d", b"+%d"),
        HEAD.replace(b"%d", b"0x%d"),
        HEAD.replace(b"%d", b"%d\r\nTransfer-Encoding: chunked"),
        HEAD.replace(b"%d", b""),
        HEAD.replace(b"%d", b"12345"),
        LAST,
        b"",
        HEAD[:30],
    ],
)
def test_any_other_head_is_not_taken_for_it(other: bytes) -> None:
    known = Head.of(HEAD % 5)
    assert known is not None
    assert known.body(HEAD % 5) is not None
    assert known.body((other % 5 if b"%d" in other else other) + b"12345") is None


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        HEAD[:40],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\ncontent-length: 5\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") % 5,
        HEAD.replace(b"%d", b"5\r\nContent-Length: 5"),
        HEAD.replace(b"%d", b"12345"),
        HEAD.replace(b"%d", b"x"),
        HEAD.replace(b"localhost", b"h" * 5_000) % 5,
    ],
)
def test_what_tells_no_single_short_length_has_no_head(request_: bytes) -> None:
    assert Head.of(request_) is None


def test_only_a_post_without_its_whole_head_has_begun() -> None:
    whole: Any = HEAD % 5
    assert is_begun(whole[:-1])
    assert not is_begun(whole)
    assert not is_begun(b"GET / HTTP/1.1\r\n")
    assert not is_begun(b"POST / HTTP/1.1\r\nX: " + b"x" * 5_000)
