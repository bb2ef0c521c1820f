"""The server over real sockets: HTTP and WebSocket, and what it does about clients that mean harm or are slow."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from vmloom.errors import ConfigError
from vmloom_node.config import RpcConfig
from vmloom_node.rpc import desk as desk_module
from vmloom_node.rpc import server as server_module
from vmloom_node.rpc import shortcut as shortcut_module
from vmloom_node.rpc import websocket as websocket_module
from vmloom_node.rpc.desk import Room
from vmloom_node.rpc.dispatcher import SHORT_BYTES, Dispatcher
from vmloom_node.rpc.http import Guard, host_allowed
from vmloom_node.rpc.server import BackgroundServer, http_protocol, listen, make_app
from vmloom_node.rpc.session import Session
from vmloom_node.rpc.shortness import always
from vmloom_node.rpc.table import METHODS
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

JSON = {"Content-Type": "application/json"}
CHAIN_ID = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
ANSWER = {"jsonrpc": "2.0", "id": 1, "result": "0x7a69"}


class Running:
    """A server, and what is sent to it."""

    def __init__(self, server: BackgroundServer, dispatcher: Dispatcher) -> None:
        self.server = server
        self.dispatcher = dispatcher
        self.port = int(server.url.rpartition(":")[2])

    def ask(
        self,
        body: Any = None,
        *,
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] = JSON,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what comes back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def rpc(self, method: str, *params: Any) -> Any:
        """The answer to a call."""
        status, _, body = self.ask({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert status == 200
        return json.loads(body)

    def connect(self, **options: Any) -> ClientConnection:
        """A WebSocket."""
        connection: ClientConnection = connect(self.server.websocket_url, **options)
        return connection


def received(client: ClientConnection, count: int) -> list[Any]:
    """The next `count` messages."""
    return [json.loads(client.recv()) for _ in range(count)]


Start = Callable[..., Running]


@pytest.fixture
def start(make_dispatcher: Callable[..., Dispatcher]) -> Iterator[Start]:
    """Start a server with a configuration of its own."""
    with ExitStack() as stack:

        def begin(ready: Callable[[], bool] = lambda: True, **config: Any) -> Running:
            dispatcher = make_dispatcher(RpcConfig(port=0, **config))
            app = make_app(dispatcher, ready=ready)
            return Running(stack.enter_context(BackgroundServer(app, dispatcher.config)), dispatcher)

        yield begin


def add_method(running: Running, monkeypatch: pytest.MonkeyPatch, name: str, function: Callable[..., Any]) -> None:
    """Let the server answer to one more name, without parameters."""
    added = replace(METHODS["eth_chainId"], function=function, is_short=None)
    monkeypatch.setattr(running.dispatcher, "methods", {**running.dispatcher.methods, name: added})


# HTTP


def test_requests_batches_and_notifications(start: Start) -> None:
    running = start()
    status, headers, body = running.ask(CHAIN_ID)
    assert (status, json.loads(body), headers["content-type"]) == (200, ANSWER, "application/json")
    assert "access-control-allow-origin" not in headers
    assert json.loads(running.ask([CHAIN_ID, CHAIN_ID])[2]) == [ANSWER, ANSWER]
    assert json.loads(running.ask(b"{")[2])["error"]["code"] == -32700
    status, _, body = running.ask({"jsonrpc": "2.0", "method": "eth_chainId"})
    assert (status, body) == (204, b"")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_content_type_that_any_page_may_send_is_refused(start: Start, kind: str) -> None:
    assert start().ask(CHAIN_ID, headers={"Content-Type": kind})[0] == 415


def test_a_content_type_may_have_a_charset(start: Start) -> None:
    assert start().ask(CHAIN_ID, headers={"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200


def test_a_browser_gets_the_explorer_and_other_ways_of_asking_are_refused(start: Start) -> None:
    running = start()
    status, headers, body = running.ask(method="GET")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"<html" in body
    for method in ("PUT", "DELETE"):
        assert running.ask(method=method)[0] == 405
    assert running.ask(method="HEAD")[0::2] == (200, b"")
    assert running.ask(method="GET", path="/elsewhere")[0] == 404
    assert running.ask(CHAIN_ID, path="/elsewhere")[0] == 404
    assert start(explorer=False).ask(method="GET")[0] == 405


def test_a_body_that_is_too_large_is_refused_whatever_its_length_says(start: Start) -> None:
    running = start(max_body_bytes=1_000)
    large = json.dumps({**CHAIN_ID, "params": ["x" * 2_000]}).encode()
    assert running.ask(large)[0] == 413
    chunked = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    chunked.request("POST", "/", iter([large[:500], large[500:]]), JSON, encode_chunked=True)
    assert chunked.getresponse().status == 413
    chunked.close()
    assert running.ask(CHAIN_ID)[0] == 200


def test_a_body_that_takes_too_long_to_arrive_is_given_up(start: Start) -> None:
    running = start(timeout_s=0.2)
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as slow:
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert b" 408 " in slow.recv(1_000)


def test_a_client_that_hangs_up_in_the_middle_leaves_nothing_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = start()
    held: list[int] = []
    leave = Room.__exit__

    def left(room: Room, *error: object) -> None:
        leave(room, *error)
        held.append(room._desk.held_bytes)

    monkeypatch.setattr(Room, "__exit__", left)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as hasty:
        hasty.sendall(f"{head}Content-Length: 10000\r\n\r\n{{".encode())
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as hastier:  # before it has begun
        hastier.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    deadline = time.monotonic() + 30
    while not held and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held == [0]
    assert running.rpc("eth_chainId") == ANSWER
    assert not caplog.records


def test_requests_that_come_together_are_answered_in_order(start: Start) -> None:
    running = start()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Type: application/json\r\n"
    bodies = [json.dumps({**CHAIN_ID, "id": number}) for number in range(5)]
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
        client.sendall("".join(f"{head}Content-Length: {len(body)}\r\n\r\n{body}" for body in bodies).encode())
        got = b""
        while got.count(b'"result"') < 5:
            got += client.recv(65_536)
    assert [int(part.partition(b",")[0]) for part in got.split(b'"id":')[1:]] == list(range(5))


class Asgi:
    """Counts what comes by ASGI."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        asked = Guard.__call__

        async def counted(guard: Guard, scope: Any, receive: Any, send: Any) -> None:
            self.count += scope["type"] == "http"
            await asked(guard, scope, receive, send)

        monkeypatch.setattr(Guard, "__call__", counted)


def exchanged(running: Running, *pieces: str, pause: float = 0.02) -> bytes:
    """What comes back for pieces that are sent one after the other on a connection that closes."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = b""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            client.sendall(piece.encode())
        while more := client.recv(65_536):
            got += more
    return got


def request_to(running: Running, body: str, *headers: str) -> str:
    """A request that is the last on its connection."""
    lines = [f"Host: 127.0.0.1:{running.port}", "Content-Type: application/json", "Connection: close", *headers]
    return "\r\n".join(["POST / HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", body])


def test_short_calls_need_no_task_whether_they_come_whole_or_not(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_module, "_PATIENCE", 30)
    asgi, running = Asgi(monkeypatch), start()
    text = request_to(running, json.dumps(CHAIN_ID))
    at = text.index("\r\n\r\n") + 4
    for pieces in ((text,), (text[:at], text[at:]), (text[:20], text[20 : at + 3], text[at + 3 :])):
        head, _, body = exchanged(running, *pieces).partition(b"\r\n\r\n")
        assert json.loads(body) == ANSWER
        assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
        assert b"connection: close" in head
    assert exchanged(running, request_to(running, '{"jsonrpc":"2.0","method":"eth_chainId"}')).startswith(
        b"HTTP/1.1 204 "
    )
    assert asgi.count == 0
    assert running.dispatcher.metrics.numbers()['vmloom_rpc_calls_total{method="eth_chainId",outcome="ok"}'] == 4


def test_all_else_goes_the_way_of_asgi(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_module, "_PATIENCE", 0.01)
    asgi, running = Asgi(monkeypatch), start(calls_per_second=3)
    call = json.dumps(CHAIN_ID)
    text = request_to(running, call)
    late = (text[: -len(call)], text[-len(call) :])  # beyond the patience
    assert b'"0x7a69"' in exchanged(running, *late, pause=0.3)
    assert b'"0x7a69"' in exchanged(running, request_to(running, call, "Expect: 100-continue"))
    assert b'"0x7a69"' in exchanged(running, request_to(running, call, "X-Forwarded-For: 10.0.0.1"))
    assert exchanged(running, text.replace("Host: 127.0.0.1", "Host: evil.example")).startswith(b"HTTP/1.1 403 ")
    assert exchanged(running, text.replace("application/json", "text/plain")).startswith(b"HTTP/1.1 415 ")
    assert exchanged(running, text.replace("POST /", "POST /health")).startswith(b"HTTP/1.1 405 ")
    assert asgi.count == 6


class Parser:
    """Counts requests that are parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        begin = shortcut_module.ShortcutProtocol.on_message_begin

        def counted(protocol: shortcut_module.ShortcutProtocol) -> None:
            self.count += 1
            begin(protocol)

        monkeypatch.setattr(shortcut_module.ShortcutProtocol, "on_message_begin", counted)


class Kept:
    """A connection that goes on."""

    def __init__(self, running: Running) -> None:
        self._socket = socket.create_connection(("127.0.0.1", running.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Type: application/json\r\n"

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def text(self, request_id: int, method: str = "eth_chainId", *headers: str) -> str:
        """A request."""
        body = json.dumps({**CHAIN_ID, "id": request_id, "method": method})
        return "\r\n".join([self._head + f"Content-Length: {len(body)}", *headers, "", body])

    def send(self, text: str) -> None:
        """Send something."""
        self._socket.sendall(text.encode())

    def receive(self) -> tuple[int, bytes]:
        """The next answer's status and body; 0 if the connection ends."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = self._socket.recv(1)
            if not more:
                return 0, got
            got += more
        lengths = [line for line in got.split(b"\r\n") if line.startswith(b"content-length: ")]
        body = b""
        for line in lengths:
            while len(body) < int(line.partition(b" ")[2]):
                body += self._socket.recv(1)
        return int(got.split()[1]), body

    def ask(self, *pieces: str, pause: float = 0.02) -> Any:
        """The answer to a request in pieces."""
        for number, piece in enumerate(pieces):
            time.sleep(pause if number else 0)
            self.send(piece)
        return json.loads(self.receive()[1])


class Slow:
    """`eth_slow`, which is answered when it is released."""

    def __init__(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        add_method(running, monkeypatch, "eth_slow", self._run)

    def _run(self, _: Session) -> str:
        self.begun.set()
        self.release.wait(30)
        return "late"


def test_a_head_that_comes_again_is_not_parsed_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_module, "_PATIENCE", 30)
    asgi, parser, running = Asgi(monkeypatch), Parser(monkeypatch), start()
    with Kept(running) as client:
        for number in (1, 12, 12_345):  # of different lengths
            assert client.ask(client.text(number)) == {**ANSWER, "id": number}
        text = client.text(7)
        at = text.index("\r\n\r\n") + 4
        for pieces in ((text[:at], text[at:]), (text[:20], text[20 : at + 3], text[at + 3 :])):
            assert client.ask(*pieces) == {**ANSWER, "id": 7}
        for number in range(2):  # which is no short call, and is made by a thread
            assert client.ask(client.text(9, "evm_mine"))["result"] == "0x0"
            assert client.ask(client.text(number)) == {**ANSWER, "id": number}
        client.send(client.text(8).replace('"id": 8,', " " * len('"id": 8,')))  # a notification
        assert client.receive() == (204, b"")
    assert (asgi.count, parser.count) == (0, 1)
    with Kept(running) as client:  # a head is known whatever came with it
        for _ in range(3):
            assert client.ask(client.text(9, "evm_mine"))["result"] == "0x0"
    assert (asgi.count, parser.count) == (1, 2)
    assert running.dispatcher.metrics.numbers()['vmloom_rpc_calls_total{method="eth_chainId",outcome="ok"}'] == 8


def test_after_a_known_head_all_else_is_parsed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_module, "_PATIENCE", 0.01)
    asgi, parser, running = Asgi(monkeypatch), Parser(monkeypatch), start()
    with Kept(running) as client:
        client.ask(client.text(1))
        assert client.ask(client.text(2, "eth_chainId", "X-Forwarded-For: 10.0.0.1")) == {**ANSWER, "id": 2}
        text = client.text(3)
        assert client.ask(text[:-4], text[-4:], pause=0.3) == {**ANSWER, "id": 3}  # beyond the patience
        assert (asgi.count, parser.count) == (2, 3)
        for number in range(4, 7):  # one after the other, and then at once
            client.send(client.text(number))
        assert [json.loads(client.receive()[1])["id"] for _ in range(3)] == [4, 5, 6]
        client.send("".join(client.text(number) for number in range(7, 10)))
        assert [json.loads(client.receive()[1])["id"] for _ in range(3)] == [7, 8, 9]
        client.send(client.text(10).replace("Host: 127.0.0.1", "Host: evil.example"))
        assert client.receive()[0] == 403
        assert client.ask(client.text(11)) == {**ANSWER, "id": 11}
        client.send(client.text(12).replace("Content-Length: ", "Content-Length: x"))
        assert client.receive()[0] == 400
        assert client.receive() == (0, b"")


def test_the_bounds_hold_for_known_heads(start: Start) -> None:
    running = start(calls_per_second=2, max_body_bytes=200)
    with Kept(running) as client:
        answers = [client.ask(client.text(number)) for number in range(4)]
        assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, -32005, -32005]
        client.send(client.text(1, "x" * 200))
        assert client.receive()[0] == 413
    running = start(max_connections=2)
    with Kept(running) as client:
        client.ask(client.text(1))
        with Kept(running):
            for _ in range(100):  # until the server has seen the second connection
                client.send(client.text(2))
                status = client.receive()[0]
                if status != 200:
                    break
                time.sleep(0.01)
            assert status == 503


def test_what_looks_like_a_known_head_within_a_request_is_none(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_module, "_PATIENCE", 0.01)
    running = start()
    with Kept(running) as client:
        client.ask(client.text(1))
        inner = client.text(2)
        client.send(f"{client.text(1).partition('Content-Length')[0]}Content-Length: {len(inner)}\r\n\r\n")
        time.sleep(0.1)
        assert client.ask(inner)["error"]["code"] == -32700
        client.send("POST /elsewhere HTTP/1.1\r\nX: ")
        time.sleep(0.1)
        client.send(inner)
        assert client.receive()[0] == 404
        assert client.ask(client.text(3)) == {**ANSWER, "id": 3}


def test_a_known_head_waits_for_the_answer_before_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    slow = Slow(running, monkeypatch)
    with Kept(running) as client:
        client.ask(client.text(1))
        client.send(client.text(2, "eth_slow"))
        assert slow.begun.wait(30)
        client.send(client.text(3))
        client.send(client.text(4) + client.text(5))
        time.sleep(0.05)
        slow.release.set()
        assert [json.loads(client.receive()[1])["id"] for _ in range(4)] == [2, 3, 4, 5]
        assert client.ask(client.text(6)) == {**ANSWER, "id": 6}


def test_a_client_may_hang_up_before_its_answer(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = start()
    slow = Slow(running, monkeypatch)
    with Kept(running) as client:
        client.ask(client.text(1))
        client.send(client.text(2, "eth_slow"))
        assert slow.begun.wait(30)
    time.sleep(0.05)
    slow.release.set()
    while running.dispatcher.metrics.numbers()["vmloom_rpc_requests_in_flight"]:
        time.sleep(0.01)
    assert running.rpc("eth_chainId") == ANSWER
    assert not caplog.records


def test_a_connection_is_not_idle_while_its_call_is_made(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_KEEP_ALIVE", 0.2)
    running = start()
    slow = Slow(running, monkeypatch)
    with Kept(running) as client:
        client.ask(client.text(1))
        client.send(client.text(2, "eth_slow"))
        assert slow.begun.wait(30)
        time.sleep(0.6)
        slow.release.set()
        assert json.loads(client.receive()[1])["result"] == "late"
        assert client.receive() == (0, b"")


def test_a_server_that_stops_lets_the_call_of_a_known_head_finish(
    make_dispatcher: Callable[..., Dispatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = make_dispatcher(RpcConfig(port=0))
    with BackgroundServer(make_app(dispatcher), dispatcher.config) as server:
        running = Running(server, dispatcher)
        slow = Slow(running, monkeypatch)
        client = Kept(running)
        client.ask(client.text(1))
        client.send(client.text(2, "eth_slow"))
        assert slow.begun.wait(30)
        threading.Timer(0.3, slow.release.set).start()
    with client:
        assert json.loads(client.receive()[1])["result"] == "late"
        assert client.receive() == (0, b"")


def test_what_is_turned_away_or_fails_ends_the_connection(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = start()
    with Kept(running) as client, monkeypatch.context() as patch:
        client.ask(client.text(1))
        patch.setattr(desk_module, "MAX_HELD_BYTES", 10)
        client.send(client.text(2, "evm_mine"))
        assert [client.receive()[0] for _ in range(2)] == [503, 0]

    async def broken(*_: object) -> None:
        raise RuntimeError("broken")

    with Kept(running) as client, monkeypatch.context() as patch:
        client.ask(client.text(1))
        assert not caplog.records
        patch.setattr(desk_module.Desk, "answer", broken)
        client.send(client.text(2, "evm_mine"))
        assert [client.receive()[0] for _ in range(2)] == [500, 0]
    assert "a call failed" in caplog.text
    assert running.rpc("eth_chainId") == ANSWER


def test_a_request_that_drips_is_waited_for_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_module, "_PATIENCE", 0.3)
    asgi, running = Asgi(monkeypatch), start(timeout_s=1)
    for is_known in (True, False):
        with Kept(running) as client:
            if is_known:
                client.ask(client.text(1))
            text = client.text(2)
            for byte in (text[:20], *text[20:-1]):
                client.send(byte)
                time.sleep(0.003)
            assert asgi.count == 1 + (not is_known)
            assert client.receive()[0] == 408


def test_a_connection_is_kept_as_long_as_it_is_used(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_KEEP_ALIVE", 0.5)
    parser, running = Parser(monkeypatch), start()
    with Kept(running) as client:
        for number in range(12):
            assert client.ask(client.text(number)) == {**ANSWER, "id": number}
            time.sleep(0.1)
        begin = time.monotonic()
        assert client.receive() == (0, b"")
        assert time.monotonic() - begin < 10
    assert parser.count == 1


@pytest.mark.parametrize("is_importable", [True, False])
def test_with_another_uvicorn_all_goes_the_way_of_asgi(
    start: Start, monkeypatch: pytest.MonkeyPatch, is_importable: bool
) -> None:
    assert http_protocol() is shortcut_module.ShortcutProtocol
    if is_importable:
        monkeypatch.setattr(shortcut_module, "NEEDED", (*shortcut_module.NEEDED, "_begin_asgi_task"))
    else:
        monkeypatch.setitem(sys.modules, shortcut_module.__name__, None)
    assert http_protocol() == "auto"
    asgi, running = Asgi(monkeypatch), start()
    assert b'"0x7a69"' in exchanged(running, request_to(running, json.dumps(CHAIN_ID)))
    assert asgi.count == 1


def test_a_call_that_takes_too_long_is_answered_so_and_holds_up_nobody(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_GRACE", 0.1)
    running = start(timeout_s=0.1, threads=2)
    release = threading.Event()

    def stuck(_: Session) -> str:
        release.wait(30)
        return "late"

    add_method(running, monkeypatch, "eth_stuck", stuck)
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(running.rpc("eth_stuck")))
    waiting.start()
    while not running.dispatcher.metrics.numbers()["vmloom_rpc_requests_in_flight"]:
        time.sleep(0.01)
    assert running.rpc("eth_chainId") == ANSWER
    waiting.join(30)
    assert answers[0] == {"jsonrpc": "2.0", "id": 1, "error": {"code": -32002, "message": "request timed out"}}
    release.set()


def test_what_would_wait_behind_too_many_is_turned_away(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    monkeypatch.setattr(desk_module, "MAX_WAITING", 0)
    assert json.loads(running.ask([CHAIN_ID])[2])["error"]["code"] == -32005
    assert running.dispatcher.metrics.numbers()['vmloom_rpc_refused_total{cause="busy"}'] == 1


def test_short_calls_are_made_at_once_and_others_in_threads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    seen: list[str] = []

    def where(_: Session) -> str:
        seen.append(threading.current_thread().name)
        return str(ANSWER["result"])

    for is_short in (always, None):
        method = replace(METHODS["eth_chainId"], function=where, is_short=is_short)
        monkeypatch.setattr(running.dispatcher, "methods", {"eth_chainId": method})
        assert running.rpc("eth_chainId") == ANSWER
        assert running.ask([CHAIN_ID])[0] == 200  # a batch is never short
    with running.dispatcher.chain.edit():  # somebody writes, and nobody waits for that in the thread of all
        monkeypatch.setattr(running.dispatcher, "methods", {"eth_chainId": replace(method, is_short=always)})
        assert running.rpc("eth_chainId") == ANSWER
    at_once = [not name.startswith("vmloom-rpc") for name in seen]
    assert at_once == [True, False, False, False, False]


def test_bodies_take_only_so_much_memory_together(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    monkeypatch.setattr(desk_module, "MAX_HELD_BYTES", 200)
    assert running.ask({**CHAIN_ID, "params": ["x" * SHORT_BYTES]})[0] == 503
    for _ in range(5):
        assert running.rpc("eth_chainId") == ANSWER


def test_a_client_that_asks_too_fast_is_told_so(start: Start) -> None:
    running = start(calls_per_second=1)
    assert running.rpc("eth_chainId") == ANSWER
    assert running.rpc("eth_chainId")["error"]["code"] == -32005


# Browsers


@pytest.mark.parametrize(
    ("header", "bound_to", "allowed"),
    [
        ("localhost:8545", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("app.localhost:8545", "127.0.0.1", True),
        ("127.0.0.1:8545", "127.0.0.1", True),
        ("[::1]:8545", "::1", True),
        ("192.168.1.5:8545", "127.0.0.1", True),
        ("evil.example:8545", "127.0.0.1", False),
        ("evil.example", "::1", False),
        ("localhost.evil.example", "localhost", False),
        ("evil.example@localhost", "127.0.0.1", True),
        ("localhost@evil.example", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("node:8545", "0.0.0.0", True),
    ],
)
def test_names_that_a_node_on_loopback_answers_to(header: str, bound_to: str, allowed: bool) -> None:
    assert host_allowed(header, bound_to) is allowed


def test_a_page_whose_name_was_made_to_point_here_is_refused(start: Start) -> None:
    running = start()
    assert running.ask(CHAIN_ID, headers={**JSON, "Host": "evil.example"})[0] == 403
    assert handshake(running, "Host: evil.example") == 403
    assert handshake(running, "Host: localhost") == 101
    assert handshake(running, "Host: localhost", "Host: evil.example") in (400, 403)
    assert handshake(running, "X-Forwarded-Host: localhost") in (400, 403)


def handshake(running: Running, *headers: str) -> int:
    """The status with which a WebSocket with these headers is answered."""
    lines = [
        "GET / HTTP/1.1",
        *headers,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(client.recv(1_000).split()[1])


def test_other_origins_read_answers_only_if_they_are_allowed(start: Start) -> None:
    running = start(cors_origins=("https://good.example",))
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = running.ask(method="OPTIONS", headers={"Origin": "https://good.example", **asking})
    refused = running.ask(method="OPTIONS", headers={"Origin": "https://evil.example", **asking})
    assert allowed[0] == 200
    assert allowed[1]["access-control-allow-origin"] == "https://good.example"
    assert refused[0] == 400
    assert "access-control-allow-origin" not in refused[1]
    status, headers, body = running.ask(CHAIN_ID, headers={**JSON, "Origin": "https://good.example"})
    assert (status, headers["access-control-allow-origin"]) == (200, "https://good.example")
    assert json.loads(body) == ANSWER
    assert (
        "access-control-allow-origin" not in running.ask(CHAIN_ID, headers={**JSON, "Origin": "https://no.example"})[1]
    )
    assert running.ask(CHAIN_ID, headers={**JSON, "Host": "evil.example"})[0] == 403
    assert start().ask(method="OPTIONS", headers={"Origin": "https://good.example", **asking})[0] == 405


def test_a_websocket_is_taken_from_programs_the_page_itself_and_allowed_origins(start: Start) -> None:
    running = start(cors_origins=("https://good.example",))
    for origin in (None, f"http://127.0.0.1:{running.port}", "https://good.example"):
        with running.connect(origin=origin) as client:
            client.send(json.dumps(CHAIN_ID))
            assert json.loads(client.recv()) == ANSWER
    for origin in ("https://evil.example", "null", "http://127.0.0.1"):
        with pytest.raises(InvalidStatus):
            running.connect(origin=origin)


# WebSocket


def test_subscriptions_come_after_the_answer_that_begins_them(start: Start) -> None:
    running = start()
    with running.connect() as client:
        batch = [
            {**CHAIN_ID, "method": "eth_subscribe", "params": ["newHeads"]},
            {**CHAIN_ID, "method": "evm_mine"},
            {**CHAIN_ID, "method": "evm_mine"},
        ]
        client.send(json.dumps(batch))
        subscribed, *mined = json.loads(client.recv())
        assert [one["result"] for one in mined] == ["0x0", "0x0"]
        heads = [message["params"] for message in received(client, 2)]
        assert [head["subscription"] for head in heads] == [subscribed["result"]] * 2
        assert [head["result"]["number"] for head in heads] == ["0x1", "0x2"]
        running.rpc("evm_mine")
        assert json.loads(client.recv())["params"]["result"]["number"] == "0x3"
        numbers = running.dispatcher.metrics.numbers()
        assert (numbers["vmloom_rpc_websockets"], numbers["vmloom_rpc_subscriptions"]) == (1, 1)
    deadline = time.monotonic() + 30
    while running.dispatcher.hub.subscriptions and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.dispatcher.hub.subscriptions == 0


def test_a_websocket_takes_text_and_bytes_in_order_and_survives_nonsense(start: Start) -> None:
    with start().connect() as client:
        client.send(b"\xff\xfe")
        client.send("[" * 100_000)
        client.send(json.dumps({"jsonrpc": "2.0", "method": "eth_chainId"}))
        for number in range(50):
            client.send(json.dumps({**CHAIN_ID, "id": number}).encode())
        answers = received(client, 52)
    assert [answer["error"]["code"] for answer in answers[:2]] == [-32700, -32700]
    assert [answer["id"] for answer in answers[2:]] == list(range(50))


def test_a_message_that_is_too_large_ends_the_connection(start: Start) -> None:
    running = start(max_body_bytes=1_000)
    with running.connect() as client:
        client.send("x" * 5_000)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    assert running.rpc("eth_chainId") == ANSWER


@pytest.mark.parametrize("bound", ["MAX_UNREAD", "MAX_UNREAD_BYTES"])
def test_a_subscriber_that_does_not_read_is_cut_off(start: Start, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(websocket_module, bound, {"MAX_UNREAD": 20, "MAX_UNREAD_BYTES": 20_000}[bound])
    running = start()
    with running.connect() as client:
        client.send(json.dumps({**CHAIN_ID, "method": "eth_subscribe", "params": ["newHeads"]}))
        client.recv()
        # While a request is answered nothing is sent: what comes in between has to wait, and is too much.
        client.send(json.dumps({**CHAIN_ID, "method": "anvil_mine", "params": [50]}))
        with pytest.raises(ConnectionClosed) as caught:
            received(client, 100)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013
    assert running.rpc("eth_chainId") == ANSWER


# Beside JSON-RPC


def test_health_readiness_and_metrics(start: Start) -> None:
    ready = False
    running = start(lambda: ready)
    assert running.ask(method="GET", path="/health")[0] == 200
    assert running.ask(method="GET", path="/ready")[0] == 503
    ready = True
    status, _, body = running.ask(method="GET", path="/ready")
    assert (status, json.loads(body)) == (200, {"ready": True, "head": 0})
    running.rpc("eth_chainId")
    status, headers, body = running.ask(method="GET", path="/metrics")
    assert headers["content-type"].startswith("text/plain; version=")
    assert b'vmloom_rpc_calls_total{method="eth_chainId",outcome="ok"} 1.0' in body
    assert start(metrics=False).ask(method="GET", path="/metrics")[0] == 404


def test_a_port_in_use_is_an_error_with_a_way_out() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: cannot listen: ") as caught:
            BackgroundServer(make_app, RpcConfig(port=port))  # type: ignore[arg-type]
    assert "--port" in caught.value.fix
    with pytest.raises(ConfigError, match="cannot listen"):
        listen("no such host", 0)


def test_a_server_that_stops_closes_its_connections(make_dispatcher: Callable[..., Dispatcher]) -> None:
    dispatcher = make_dispatcher(RpcConfig(port=0))
    with ExitStack() as stack:
        with BackgroundServer(make_app(dispatcher), dispatcher.config) as server:
            client = stack.enter_context(connect(server.websocket_url))
            client.send(json.dumps(CHAIN_ID))
            assert received(client, 1) == [ANSWER]
            port = int(server.url.rpartition(":")[2])
        with pytest.raises(ConnectionClosed):
            client.recv()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
