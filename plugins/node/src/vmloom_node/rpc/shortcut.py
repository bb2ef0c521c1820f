"""uvicorn's HTTP with a short way for short calls: they are answered where their last byte arrives.

A task, its event and the messages of ASGI cost more than such a call, and so does parsing the head that a client sends
with each of them. So a connection remembers the head of a request: what comes with the same one again is answered
without a parser and without ASGI, at once if it is a short call, and by a task if it is not. What comes with anything
out of the ordinary goes the way of ASGI; so does all where uvicorn has become another (`server.http_protocol`).
"""

from __future__ import annotations

from asyncio import Event, TimerHandle
from typing import Any, Final, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from .dispatcher import SHORT_BYTES
from .heads import Head, is_begun
from .http import CLOSE, FAILED, Guard, HttpEndpoint, Reply

_PATIENCE: Final = 0.05
"""Seconds that a short request may take to come in full: many clients send head and body in two pieces."""


NEEDED: Final = (
    "data_received",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "connection_lost",
    "timeout_keep_alive_handler",
    "_start_asgi_task",
)
"""What of uvicorn's protocol is built upon here; the last is none of its public names."""


_NOBODY_WAITS: Final = Event()


class _Known(NamedTuple):
    """A head that has been parsed, what answers a call that comes with it, and whose calls they are."""

    head: Head
    endpoint: HttpEndpoint
    client: str


class _Cycle:
    """What uvicorn's protocol looks at of a request that is being answered, for one that has not been parsed."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self) -> None:
        self.disconnected = self.response_complete = False
        self.keep_alive = True
        self.message_event = _NOBODY_WAITS


class ShortcutProtocol(HttpToolsProtocol):
    """A connection. Of what arrives at a time one call is answered at once: others have their turn, too."""

    @staticmethod
    def fits() -> bool:
        """Whether this uvicorn's protocol has all that is built upon."""
        return all(callable(getattr(HttpToolsProtocol, name, None)) for name in NEEDED)

    _known: _Known | None = None
    """From the last request that was parsed and may be answered by its body alone."""
    _answered_at = 0.0
    """When a call was last answered without the parser, by the loop's clock."""
    _waiting: bytes = b""
    """The beginning of a request whose rest is to come before it is looked at."""
    _timer: TimerHandle | None = None
    """Has what waits parsed."""
    _parsing: bytes | None = None
    """What the parser is given, if a call that it begins with may be answered at once."""
    _is_within = False
    """Whether the parser is within a request."""
    _held: tuple[RequestResponseCycle, Any] | None = None
    """A request whose head has just been parsed, and the application for it."""
    _shared: list[tuple[bytes, bytes]] | None = None
    """The headers that uvicorn has for all answers: another list each second."""
    _openings: dict[tuple[Any, ...], bytes]
    """What answers begin with, for as long as those are the same."""

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests. What has come in full and is not answered yet, or may take longer, is begun."""
        if self._waiting:
            data = self._waiting + data
        known, body = self._known, None
        is_idle = self._is_idle()
        if is_idle and known is not None:
            body = known.head.body(data)
            if body is not None and len(data) == body[1]:
                self._let_go()
                self._answer(known, data[body[0] :])
                return
        if is_idle and _is_to_come(data, body):
            self._wait(data)
        else:
            self._let_go()
            self._parse(data, may_be_short=is_idle)

    def _is_idle(self) -> bool:
        """Whether a request may begin now and would be answered at once."""
        cycle, limit = self.cycle, self.limit_concurrency
        return (
            not self._is_within
            and (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and (limit is None or (len(self.connections) < limit and len(self.tasks) < limit))
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what has not begun."""
        self._let_go()
        super().connection_lost(exc)

    # What has not come in full

    def _wait(self, data: bytes) -> None:
        self._waiting = data
        if self._timer is None:
            self._timer = self.loop.call_later(_PATIENCE, self._wait_no_longer)

    def _wait_no_longer(self) -> None:
        data = self._waiting
        self._let_go()
        self._parse(data)

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._waiting = None, b""

    # Without the parser

    def _answer(self, known: _Known, body: bytes) -> None:
        """Answer a text that comes with a known head: at once, or by a task."""
        reply = known.endpoint.reply_at_once(body, known.client)
        if reply is None:
            self._unset_keepalive_if_required()
            self.cycle = cycle = _Cycle()  # type: ignore[assignment]
            task = self.loop.create_task(self._answer_later(known, body, cycle))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
            return
        self._write(reply)
        self._answered_at = self.loop.time()
        self.server_state.total_requests += 1

    async def _answer_later(self, known: _Known, body: bytes, cycle: _Cycle) -> None:
        try:
            reply = await known.endpoint.reply(body, known.client)
        except Exception as error:
            self.logger.error("a call failed", exc_info=error)
            reply = FAILED
        if self.flow.write_paused:
            await self.flow.drain()
        if not cycle.disconnected:
            self._write(reply, keep_alive=cycle.keep_alive)
            self._end(cycle, keep_alive=cycle.keep_alive and CLOSE not in reply.headers)

    def _end(self, cycle: RequestResponseCycle | _Cycle, *, keep_alive: bool) -> None:
        """All of an answer has been written: go on, or hang up."""
        cycle.response_complete = True
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it is idle for so long, which the timer itself does not know of the short way."""
        rest = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if rest > 0 or self._waiting:
            later = max(rest, _PATIENCE)
            self.timeout_keep_alive_task = self.loop.call_later(later, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    # With the parser

    def _parse(self, data: bytes, *, may_be_short: bool = False) -> None:
        self._parsing = data if may_be_short else None
        super().data_received(data)
        self._parsing = None
        held, self._held = self._held, None
        if held is not None:
            super()._start_asgi_task(*held)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._parsing is not None and self._held is None and app is self.app:
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        """The next request."""
        self._is_within = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Remember the head of a request that is whole, and answer it if it is a short call."""
        self._is_within = False
        super().on_message_complete()
        data, cycle, guard = self._parsing, self.cycle, self.config.app
        self._parsing = None
        if data is None or self._held is None or cycle.waiting_for_100_continue or not isinstance(guard, Guard):
            return
        endpoint, body = guard.endpoint_of(cycle.scope), bytes(cycle.body)
        if endpoint is None:
            return
        client = self.client[0] if self.client else ""
        head = Head.of(data) if cycle.keep_alive and data.endswith(body) else None
        if head is not None and head.body(data) == (len(data) - len(body), len(data)):
            self._known = _Known(head, endpoint, client)
        reply = endpoint.reply_at_once(body, client)
        if reply is not None:
            self._held = None
            self._write(reply, keep_alive=cycle.keep_alive)
            cycle.response_started = True
            self._end(cycle, keep_alive=cycle.keep_alive)

    # Answers

    def _write(self, reply: Reply, *, keep_alive: bool = True) -> None:
        if self._shared is not self.server_state.default_headers:
            self._shared, self._openings = self.server_state.default_headers, {}
        key = reply.status, reply.headers, keep_alive
        opening = self._openings.get(key)
        if opening is None:
            opening = self._openings[key] = self._opening(*key)
        length = b"content-length: %d\r\n" % len(reply.body) if reply.has_body else b""
        self.transport.write(b"%b%b\r\n%b" % (opening, length, reply.body))

    def _opening(self, status: int, headers: tuple[tuple[bytes, bytes], ...], keep_alive: bool) -> bytes:
        shared = self.server_state.default_headers
        closing = () if keep_alive or CLOSE in headers else (CLOSE,)
        lines = (b"%b: %b\r\n" % one for one in (*shared, *headers, *closing))
        return b"".join((STATUS_LINE[status], *lines))


def _is_to_come(data: bytes, body: tuple[int, int] | None) -> bool:
    """Whether a short request has begun whose rest is worth waiting for; `body` is where its body lies if known."""
    if body is None:
        head = Head.of(data)
        if head is None:
            return is_begun(data)
        body = head.body(data)
    return body is not None and len(data) < body[1] <= body[0] + SHORT_BYTES
