"""uvicorn's HTTP with a short way for short calls: they are answered where their last byte arrives.

A task, its event and the messages of ASGI cost more than such a call. What is not a short call, or comes with anything
out of the ordinary, goes the way of ASGI; so does all where uvicorn has become another (`server.http_protocol`).
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from .dispatcher import SHORT_BYTES
from .http import Guard, Reply, length_of

_PATIENCE: Final = 0.05
"""Seconds that the body of a short request may take after its head: many clients send them in two pieces."""


NEEDED: Final = ("data_received", "on_message_complete", "on_response_complete", "connection_lost", "_start_asgi_task")
"""What of uvicorn's protocol is built upon here; the last is none of its public names."""


class ShortcutProtocol(HttpToolsProtocol):
    """A connection. Of what arrives at a time one call is answered at once: others have their turn, too."""

    @staticmethod
    def fits() -> bool:
        """Whether this uvicorn's protocol has all that is built upon."""
        return all(callable(getattr(HttpToolsProtocol, name, None)) for name in NEEDED)

    _held: tuple[RequestResponseCycle, Any] | None = None
    """A request that is still to come in full or to be looked at, and the application for it."""
    _timer: TimerHandle | None = None
    """Begins what is held."""
    _may_hold = False

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests. What has come in full and is not answered yet, or may take longer, is begun."""
        self._may_hold = True
        super().data_received(data)
        self._may_hold = False
        if self._held is None:
            return
        cycle = self._held[0]
        if cycle.more_body and 0 < length_of(cycle.scope["headers"]) <= SHORT_BYTES:
            self._timer = self._timer or self.loop.call_later(_PATIENCE, self._begin)
        else:
            self._begin()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._may_hold and app is self.app and isinstance(self.config.app, Guard):
            self._held = cycle, app
            self._may_hold = False
        else:
            super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """Answer a request that is whole, if it is a short call."""
        super().on_message_complete()
        if self._held is None or self._held[0] is not self.cycle:
            return
        self._may_hold = False
        cycle, guard = self.cycle, self.config.app
        if cycle.waiting_for_100_continue or self.flow.write_paused or not isinstance(guard, Guard):
            return
        reply = guard.reply_at_once(cycle.scope, bytes(cycle.body))
        if reply is not None:
            self._let_go()
            self._write(cycle, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what has not begun."""
        self._let_go()
        super().connection_lost(exc)

    def _begin(self) -> None:
        held = self._held
        self._let_go()
        if held is not None:
            super()._start_asgi_task(*held)

    def _let_go(self) -> None:
        self._held = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self, cycle: RequestResponseCycle, reply: Reply) -> None:
        parts = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.all_headers()):
            parts += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", reply.body)
        self.transport.write(b"".join(parts))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
