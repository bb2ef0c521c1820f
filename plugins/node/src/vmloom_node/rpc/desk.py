"""The desk: where texts are taken in, whatever carried them, and given to threads.

Calls run in threads, so that the event loop is never held up; but for single ones that take less time than to hand
them over, while nothing else runs. What all requests may take together of memory is counted here, too.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from .dispatcher import Dispatcher, Exchange
from .limits import MAX_HELD_BYTES, MAX_WAITING
from .protocol import Code, RpcError, answer_error
from .session import Session

_GRACE: Final = 1.0
"""Seconds beyond the time limit in which a call may notice by itself that its time is up."""


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
                    return exchange.run_short()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, exchange.run)
        self._count(1)
        work.add_done_callback(lambda _: self._count(-1))
        done, _ = await asyncio.wait({work}, timeout=self.timeout + _GRACE)
        return work.result() if done else exchange.give_up()

    def short(self, text: bytes, client: str) -> Exchange | None:
        """The exchange of a text from a client of HTTP, if it is short and nothing else runs."""
        exchange = Exchange(self.dispatcher, text, None, client)
        return exchange if not self._held and exchange.is_short() else None

    def close(self) -> None:
        """Start nothing more. What runs ends by its own time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count(self, change: int) -> None:
        self._held += change
        self.dispatcher.metrics.waiting.set(self._held)


class Room:
    """What a request's body takes of the bytes that all may take together; given back at the end of the block."""

    __slots__ = ("_desk", "_taken")

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
