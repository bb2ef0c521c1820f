"""The server: JSON-RPC over HTTP and WebSocket on one port, with health, readiness and metrics beside it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from vmloom.errors import ConfigError

from ..config import RpcConfig
from .desk import Desk
from .dispatcher import Dispatcher
from .http import Guard, HttpEndpoint
from .metrics import CONTENT_TYPE
from .websocket import SocketEndpoint

_KEEP_ALIVE: Final = 65
"""Seconds that an idle connection is kept. Clients keep theirs for up to a minute, and should be those who end them."""
_SHUTDOWN: Final = 5
"""Seconds that running requests have to finish when the server stops."""


def make_app(dispatcher: Dispatcher, *, ready: Callable[[], bool] = lambda: True) -> Guard:
    """The application. `ready` is asked, in a thread, for `/ready`."""
    config = dispatcher.config
    desk = Desk(dispatcher)
    endpoint = HttpEndpoint(desk)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def readiness(_: Request) -> Response:
        if not ready():
            return JSONResponse({"ready": False}, 503)
        return JSONResponse({"ready": True, "head": dispatcher.chain.head.number})

    def metrics(_: Request) -> Response:
        return Response(dispatcher.metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    routes: list[BaseRoute] = [
        Route("/", endpoint),
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

    if not config.cors_origins:
        return Guard(Starlette(routes=routes, lifespan=lifespan), config, endpoint)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(config.cors_origins),
        allow_methods=["POST", "GET"],
        allow_headers=["content-type"],
    )
    return Guard(Starlette(routes=routes, middleware=[cors], lifespan=lifespan), config)


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


def http_protocol() -> Any:
    """What speaks HTTP: the protocol with the short way, or uvicorn's own where it has become another."""
    try:
        from .shortcut import ShortcutProtocol
    except ImportError:
        return "auto"
    return ShortcutProtocol if ShortcutProtocol.fits() else "auto"


def _server(app: ASGIApp, config: RpcConfig, on_start: Callable[[], None]) -> _Server:
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        http=http_protocol(),
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
