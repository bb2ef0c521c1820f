"""JSON-RPC over HTTP as an ASGI application, and the guard before it and all else that the server offers.

Every call of every client pays for what is here, so it speaks ASGI itself, without a framework. A browser is a client
that others can steer: so requests need JSON's content type, which no page may send to another origin unless that
origin allows it; a server on loopback answers to names of this machine only; and WebSockets are taken from pages of
the server itself and of allowed origins.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self, TypeAlias
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from ..config import RpcConfig
from ..explorer import page
from .desk import Desk, Room

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

_JSON_TYPES: Final = frozenset({b"application/json", b"application/json-rpc", b"application/jsonrequest"})
_JSON: Final = ((b"content-type", b"application/json"),)
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
CLOSE: Final = (b"connection", b"close")
"""For answers to a request of which more is to come: it would be taken for the next one."""


class Reply(NamedTuple):
    """What is answered over HTTP. The length of the body is told by itself."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def has_body(self) -> bool:
        """Whether there is one, be it empty: 204 means that there is none."""
        return self.status != 204

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers with the body's length."""
        return [*self.headers, *([(b"content-length", b"%d" % len(self.body))] if self.has_body else [])]

    async def send(self, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.all_headers()})
        await send({"type": "http.response.body", "body": self.body})


class _Gone(Exception):
    """The client has hung up before its request was whole."""


class HttpEndpoint:
    """`/` over HTTP: JSON-RPC for POST, and the explorer for GET if there is one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._has_page = desk.dispatcher.config.explorer
        self._limit = desk.dispatcher.config.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            reply = await self._respond(scope, receive)
        except _Gone:
            return
        await reply.send(send)

    async def _respond(self, scope: Scope, receive: Receive) -> Reply:
        method = scope["method"]
        if method != "POST":
            if method in ("GET", "HEAD") and self._has_page:
                return Reply(
                    200,
                    tuple((name.lower().encode(), value.encode()) for name, value in page().headers.items()),
                    page().body,
                )
            return _plain(405, "JSON-RPC is spoken with POST", (b"allow", b"POST"))
        headers = dict(scope["headers"])
        if not _is_json(headers):
            return _plain(415, "the content type must be application/json")
        if length_of(scope["headers"]) > self._limit:
            return self._too_large()
        with Room(self._desk) as room:
            body = await self._body(receive, room)
            if isinstance(body, Reply):
                return body
            text = await self._desk.answer(body, _client(scope))
        return _answer(text)

    def reply_at_once(self, body: bytes, client: str) -> Reply | None:
        """The reply to a JSON-RPC text that has come in full, if it is a call that is done at once."""
        if len(body) > self._limit:
            return None
        short = self._desk.short(body, client)
        if short is None:
            return None
        with self._desk.dispatcher.chain.unless_busy() as is_free:
            return _answer(short.run_short()) if is_free else None

    async def reply(self, body: bytes, client: str) -> Reply:
        """The reply to a JSON-RPC text that has come in full."""
        if len(body) > self._limit:
            return self._too_large()
        with Room(self._desk) as room:
            if not room.take(len(body)):
                return _BUSY
            return _answer(await self._desk.answer(body, client))

    async def _body(self, receive: Receive, room: Room) -> bytes | Reply:
        """The body of a request, or what is wrong with it."""
        body, goes_on = b"", True
        try:
            with _Patience(self._desk.timeout):
                while goes_on:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    chunk = message.get("body", b"")
                    body = body + chunk if body else chunk
                    if len(body) > self._limit:
                        return self._too_large()
                    if not room.take(len(chunk)):
                        return _BUSY
                    goes_on = message.get("more_body", False)
        except TimeoutError:
            return _plain(408, "the request took too long to arrive", CLOSE)
        return body

    def _too_large(self) -> Reply:
        return _plain(413, f"request too large, the limit is {self._limit} bytes", CLOSE)


class _Patience:
    """Raises `TimeoutError` where the block lasts longer than `seconds`.

    As `asyncio.timeout`, at a third of its price, which each request would pay.
    """

    __slots__ = ("_is_over", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False

    def __enter__(self) -> Self:
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        self._timer.cancel()
        if self._is_over and self._task is not None and not self._task.uncancel() and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        self._is_over = True
        if self._task is not None:
            self._task.cancel()


def _is_json(headers: dict[bytes, bytes]) -> bool:
    kind = headers.get(b"content-type", b"")
    return kind in _JSON_TYPES or kind.partition(b";")[0].strip().lower() in _JSON_TYPES


def _client(scope: Mapping[str, Any]) -> str:
    return scope["client"][0] if scope["client"] else ""


def _answer(text: bytes | None) -> Reply:
    return Reply(204, (), b"") if text is None else Reply(200, _JSON, text)


def length_of(headers: Headers) -> int:
    """The length of a body by its headers, in bytes; 0 if they do not tell it."""
    text = next((value for name, value in headers if name == b"content-length"), b"")
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _plain(status: int, text: str, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(status, (_TEXT, *headers), f"{text}\n".encode())


FAILED: Final = _plain(500, "internal error", CLOSE)
_BUSY: Final = _plain(503, "server is busy, try again later", CLOSE)


class Guard:
    """Turns away what a page in a browser may have made without leave: wrong names, and WebSockets of other origins.

    What may pass goes to `endpoint` where it is JSON-RPC over HTTP, and to `rest` where it is anything else; without
    `endpoint` all goes to `rest`.
    """

    def __init__(self, rest: ASGIApp, config: RpcConfig, endpoint: HttpEndpoint | None = None) -> None:
        self._rest = rest
        self._config = config
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._rest(scope, receive, send)
            return
        host = self._host(scope)
        if host is None:
            await _refuse(scope, receive, send, "invalid host specified")
        elif kind == "http":
            if self._endpoint is not None and scope["method"] == "POST" and scope["path"] == "/":
                await self._endpoint(scope, receive, send)
            else:
                await self._rest(scope, receive, send)
        elif not self._origin_allowed(scope["headers"], host):
            await _refuse(scope, receive, send, "this origin is not allowed; see rpc.cors_origins")
        else:
            await self._rest(scope, receive, send)

    def endpoint_of(self, scope: Mapping[str, Any]) -> HttpEndpoint | None:
        """What may answer a request over HTTP by its body alone; None if it is not JSON-RPC, or may not pass.

        It depends on the head of the request only.
        """
        if scope["method"] != "POST" or scope["path"] != "/" or self._host(scope) is None:
            return None
        headers = dict(scope["headers"])
        return self._endpoint if b"x-forwarded-for" not in headers and _is_json(headers) else None

    def _host(self, scope: Mapping[str, Any]) -> str | None:
        """The name that the server was called by; None if it is not one, or not one of its own."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else None
        return host if host is not None and host_allowed(host, self._config.host) else None

    def _origin_allowed(self, headers: Headers, host: str) -> bool:
        origin = next((value.decode("latin-1") for name, value in headers if name == b"origin"), None)
        if origin is None:  # no browser
            return True
        allowed = self._config.cors_origins
        return "*" in allowed or origin in allowed or urlsplit(origin).netloc == host


async def _refuse(scope: Scope, receive: Receive, send: Send, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text})
    else:
        await _plain(403, text).send(send)


@lru_cache(maxsize=128)
def host_allowed(header: str, bound_to: str) -> bool:
    """Whether a request with this Host header is for a server that listens at `bound_to`.

    A page whose name is made to point here (DNS rebinding) comes with that name. On loopback only `localhost`,
    addresses and the name that was configured are ours; a server that others may reach goes by names unknown to it.
    """
    if not _is_loopback(bound_to):
        return True
    try:
        name = urlsplit("//" + header).hostname or ""
    except ValueError:
        return False
    return name in ("localhost", bound_to.lower()) or name.endswith(".localhost") or _is_address(name)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
