"""The server: JSON-RPC over HTTP and WebSocket on one port, with health, readiness and metrics beside it.

Calls run in threads, so that the event loop is never held up; but for single ones that take less time than to hand
them over, while nothing else runs. A browser is a client that others can steer: so requests
need JSON's content type, which no page may send to another origin unless that origin allows it; a server on loopback
answers to names of this machine only; and WebSockets are taken from pages of the server itself and of allowed origins.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, Self
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from vmloom.errors import ConfigError

from ..config import RpcConfig
from ..explorer import page
from .dispatcher import Dispatcher, Exchange
from .limits import MAX_HELD_BYTES, MAX_WAITING
from .metrics import CONTENT_TYPE
from .protocol import Code, RpcError, answer_error
from .session import Session
from .websocket import SocketEndpoint

_JSON_TYPES: Final = frozenset({"application/json", "application/json-rpc", "application/jsonrequest"})
_KEEP_ALIVE: Final = 65
"""Seconds that an idle connection is kept. Clients keep theirs for up to a minute, and should be those who end them."""
_CLOSE: Final = {"Connection": "close"}
"""For answers to a request of which more is to come: it would be taken for the next one."""
_GRACE: Final = 1.0
"""Seconds beyond the time limit in which a call may notice by itself that its time is up."""
_SHUTDOWN: Final = 5
"""Seconds that running requests have to finish when the server stops."""


class Desk:
    """Where texts are taken in and given to threads. Turns away what would wait behind too many others."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.timeout = dispatcher.config.timeout_s
        self._threads = ThreadPoolExecutor(dispatcher.config.threads, thread_name_prefix="vmloom-rpc")
        self._held = 0
        self.held_bytes = 0
        """Of request bodies, those that are still to come in full among them."""

    async def answer(self, text: bytes | str, client: str, session: Session | None = None) -> bytes | None:
        """The answer, None for none. A call whose time is up is answered so, and goes on until it sees it itself."""
        if self._held >= MAX_WAITING:
            self.dispatcher.metrics.refused.labels("busy").inc()
            return answer_error(None, RpcError(Code.LIMIT_EXCEEDED, "server is busy, try again later")).encode()
        exchange = Exchange(self.dispatcher, text, session, client)
        if not self._held and exchange.is_short():
            if session is not None:
                await asyncio.sleep(0)  # a socket that always has more to say does not keep others waiting
            with self.dispatcher.chain.unless_busy() as is_free:
                if is_free:
                    return exchange.run()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, exchange.run)
        self._count(1)
        work.add_done_callback(lambda _: self._count(-1))
        done, _ = await asyncio.wait({work}, timeout=self.timeout + _GRACE)
        return work.result() if done else exchange.give_up()

    def close(self) -> None:
        """Start nothing more. What runs ends by its own time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count(self, change: int) -> None:
        self._held += change
        self.dispatcher.metrics.waiting.set(self._held)


class Room:
    """What a request's body takes of the bytes that all may take together; given back at the end of the block."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.held_bytes -= self._taken

    def take(self, size: int) -> bool:
        """Take `size` bytes more; False if there are too many already."""
        self._taken += size
        self._desk.held_bytes += size
        return self._desk.held_bytes <= MAX_HELD_BYTES


class HttpEndpoint:
    """`/` over HTTP: JSON-RPC for POST, and the explorer for GET if there is one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._has_page = desk.dispatcher.config.explorer
        self._limit = desk.dispatcher.config.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        with contextlib.suppress(ClientDisconnect):
            response = await self._respond(request)
            await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD") and self._has_page:
            return Response(page().body, headers=page().headers)
        if request.method != "POST":
            return _plain(405, "JSON-RPC is spoken with POST", {"Allow": "POST"})
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _JSON_TYPES:
            return _plain(415, "the content type must be application/json")
        if _length(request) > self._limit:
            return self._too_large()
        with Room(self._desk) as room:
            return await self._answer(request, room)

    async def _answer(self, request: Request, room: Room) -> Response:
        body = b""
        try:
            async with asyncio.timeout(self._desk.timeout):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._limit:
                        return self._too_large()
                    if not room.take(len(chunk)):
                        return _plain(503, "server is busy, try again later", _CLOSE)
        except TimeoutError:
            return _plain(408, "the request took too long to arrive", _CLOSE)
        client = request.client.host if request.client else ""
        text = await self._desk.answer(body, client)
        if text is None:
            return Response(status_code=204)
        return Response(text, media_type="application/json")

    def _too_large(self) -> Response:
        return _plain(413, f"request too large, the limit is {self._limit} bytes", _CLOSE)


def _length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers)


class Guard:
    """Turns away what a page in a browser may have made without leave: wrong names, and WebSockets of other origins."""

    def __init__(self, app: ASGIApp, config: RpcConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not host_allowed(hosts[0], self._config.host):
            await self._refuse(scope, receive, send, "invalid host specified")
        elif scope["type"] == "websocket" and not self._origin_allowed(headers):
            await self._refuse(scope, receive, send, "this origin is not allowed; see rpc.cors_origins")
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, text: str) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": text})
        else:
            await _plain(403, text)(scope, receive, send)

    def _origin_allowed(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:  # no browser
            return True
        allowed = self._config.cors_origins
        return "*" in allowed or origin in allowed or urlsplit(origin).netloc == headers.get("host")


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


def make_app(dispatcher: Dispatcher, *, ready: Callable[[], bool] = lambda: True) -> Starlette:
    """The application. `ready` is asked, in a thread, for `/ready`."""
    config = dispatcher.config
    desk = Desk(dispatcher)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def readiness(_: Request) -> Response:
        if not ready():
            return JSONResponse({"ready": False}, 503)
        return JSONResponse({"ready": True, "head": dispatcher.chain.head.number})

    def metrics(_: Request) -> Response:
        return Response(dispatcher.metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    routes: list[BaseRoute] = [
        Route("/", HttpEndpoint(desk)),
        WebSocketRoute("/", SocketEndpoint(desk)),
        Route("/health", health),
        Route("/ready", readiness),
    ]
    if config.metrics:
        routes.append(Route("/metrics", metrics))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            desk.close()

    middleware = [Middleware(Guard, config)]
    if config.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(config.cors_origins),
                allow_methods=["POST", "GET"],
                allow_headers=["content-type"],
            )
        )
    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)


# Running it


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at `host` and `port`, 0 being a free one. Raises `ConfigError`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=1_024)
        # asyncio does so only for sockets that name their protocol; else each answer waits 40 ms for the client's ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        cause = error.strerror or str(error)
        raise ConfigError(f"[node.rpc] {host}:{port}: cannot listen: {cause}").with_fix(
            "choose another port with --port, or end what uses this one"
        ) from None


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where clients find the server that listens there."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Server(uvicorn.Server):
    """Tells when it takes requests."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


def _server(app: ASGIApp, config: RpcConfig, on_start: Callable[[], None]) -> _Server:
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="websockets-sansio",
        ws_max_size=config.max_body_bytes,
        ws_per_message_deflate=False,  # a small message could stand for a huge one
        limit_concurrency=config.max_connections,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_SHUTDOWN,
        server_header=False,
    )
    return _Server(settings, on_start)


def serve(app: ASGIApp, config: RpcConfig, on_start: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; running requests may finish. `on_start` gets the URL once requests are taken.

    Raises `ConfigError` if the address cannot be listened at.
    """
    listener = listen(config.host, config.port)
    with listener:
        _server(app, config, lambda: on_start(url_of(listener))).run(sockets=[listener])


class BackgroundServer:
    """A server in a thread of its own, for as long as the `with` block lasts. For tests, benchmarks and notebooks."""

    def __init__(self, app: ASGIApp, config: RpcConfig) -> None:
        self._listener = listen(config.host, config.port)
        self._started = threading.Event()
        self._server = _server(app, config, self._started.set)
        self._thread = threading.Thread(target=self._run, name="vmloom-server", daemon=True)

    @property
    def url(self) -> str:
        """Of HTTP."""
        return url_of(self._listener)

    @property
    def websocket_url(self) -> str:
        """Of the WebSocket."""
        return url_of(self._listener, "ws")

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._started.set()
