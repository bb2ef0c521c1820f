"""`/` over WebSocket: JSON-RPC in the order in which it comes, and what subscriptions send in between.

A client that does not read what it asked for is waited for, and asks no more meanwhile; one that does not read what it
subscribed to is cut off once too much waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from .limits import MAX_UNREAD, MAX_UNREAD_BYTES
from .subscriptions import Subscriber

if TYPE_CHECKING:
    from .desk import Desk

_TOO_SLOW: Final = 1013
"""Close code: try again later."""
_UNREAD_ANSWERS: Final = 16
"""That may wait to be sent before the next request is taken."""


class Outbox:
    """What is still to be sent. `offer` may be called from any thread, all else from the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._texts: deque[tuple[str, bool]] = deque()
        """And whether each is an answer."""
        self._bytes = 0
        self._held: list[str] | None = None
        """Notifications that come while a request is answered, which has to be told first."""
        self._answers = 0
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.overflowed = False
        """Whether a notification found no room."""

    def offer(self, text: str) -> None:
        """Send a notification when its turn comes, after the answers given so far."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the client with it
            self._loop.call_soon_threadsafe(self._offer, text)

    def hold(self) -> None:
        """Keep notifications back until `put`."""
        self._held = []

    async def put(self, text: str | None) -> None:
        """Send an answer when its turn comes, if there is one; returns once there is room for the next."""
        if text is not None:
            self._texts.append((text, True))
            self._bytes += len(text)
            self._answers += 1
        self._texts += [(one, False) for one in self._held or ()]
        self._held = None
        self._changed.set()
        if self._answers >= _UNREAD_ANSWERS:
            self._has_room.clear()
        await self._has_room.wait()

    async def get(self) -> str | None:
        """What is to be sent next, when there is something; None once the client is to be cut off."""
        while not self._texts and not self.overflowed:
            self._changed.clear()
            await self._changed.wait()
        if self.overflowed:
            return None
        text, is_answer = self._texts.popleft()
        self._bytes -= len(text)
        if is_answer:
            self._answers -= 1
            self._has_room.set()
        return text

    def _offer(self, text: str) -> None:
        waiting = len(self._texts) + len(self._held or ())
        if waiting >= MAX_UNREAD or (waiting and self._bytes + len(text) > MAX_UNREAD_BYTES):
            self.overflowed = True
            self._texts.clear()
            self._held = None
            self._has_room.set()
        else:
            self._bytes += len(text)
            if self._held is not None:
                self._held.append(text)
            else:
                self._texts.append((text, False))
        self._changed.set()


class SocketEndpoint:
    """Takes connections."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection until it ends."""
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        dispatcher = self._desk.dispatcher
        outbox = Outbox(asyncio.get_running_loop())
        subscriber = Subscriber(outbox.offer)
        sending = asyncio.create_task(self._send(socket, outbox))
        dispatcher.metrics.sockets.inc()
        try:
            await self._receive(socket, outbox, subscriber)
        except WebSocketDisconnect:
            pass
        finally:
            dispatcher.metrics.sockets.dec()
            dispatcher.hub.remove(subscriber)
            sending.cancel()

    async def _receive(self, socket: WebSocket, outbox: Outbox, subscriber: Subscriber) -> None:
        session = self._desk.dispatcher.session(subscriber)
        client = socket.client.host if socket.client else ""
        while not outbox.overflowed:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            outbox.hold()
            answer = await self._desk.answer(message["bytes"] if text is None else text, client, session)
            await outbox.put(None if answer is None else answer.decode("ascii"))

    async def _send(self, socket: WebSocket, outbox: Outbox) -> None:
        while (text := await outbox.get()) is not None:
            try:
                await socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):  # it has gone meanwhile
                return
        if socket.application_state is WebSocketState.CONNECTED:
            await socket.close(_TOO_SLOW, "too many notifications were left unread")
