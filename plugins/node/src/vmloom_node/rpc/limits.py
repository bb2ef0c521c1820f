"""What a client may ask of the node beside what `config.RpcConfig` sets: counts, time, and how fast.

The time limit reaches the methods as a deadline of the thread's context, so that loops over blocks or instructions end
in time without passing it along.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock
from typing import Final

from vmloom_evm.table import OPS
from vmloom_evm.trace.hooks import TracedFrame, Tracer

from .protocol import Code, RpcError

MAX_LOGS: Final = 100_000
"""Logs in one answer."""
MAX_MINED_BLOCKS: Final = 100_000
"""Blocks that one request may mine."""
MAX_PERCENTILES: Final = 100
"""Reward percentiles of eth_feeHistory; geth's."""
MAX_PROOF_KEYS: Final = 1_024
"""Slots of eth_getProof; geth's."""
MAX_FILTERS: Final = 1_000
"""Poll filters at once."""
FILTER_SECONDS: Final = 300.0
"""That a poll filter lives without being asked; geth's."""
MAX_SUBSCRIPTIONS: Final = 100
"""Of one WebSocket."""
MAX_UNREAD: Final = 10_000
MAX_UNREAD_BYTES: Final = 1 << 21
"""Notifications, and bytes of them, that a slow subscriber may leave unread before it is cut off."""
MAX_POLL_BYTES: Final = 1 << 26
"""That all poll filters together keep for those who do not ask; then the largest ends."""
MAX_HELD_BYTES: Final = 1 << 27
"""Of request bodies at a time."""
MAX_WAITING: Final = 1_000
"""Requests that may wait for a thread before others are turned away."""

_deadline: Final[ContextVar[float]] = ContextVar("vmloom_rpc_deadline", default=float("inf"))


class time_limit:  # noqa: N801 # it is called as a function is
    """Set the deadline of what runs inside the block; 0 seconds is no limit."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(time.monotonic() + self._seconds if self._seconds else float("inf"))

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


def check_deadline() -> None:
    """Raise `RpcError` if the time of this call is up."""
    if time.monotonic() > _deadline.get():
        raise timed_out()


def timed_out() -> RpcError:
    """What the client is told when its time is up."""
    return RpcError(Code.TIMED_OUT, "request timed out")


class Abort(Exception):
    """Ends a run from within a tracer; `error` is what the client is told.

    It is no `VmloomError`: engines take one for a failure of the code that runs, and go on.
    """

    def __init__(self, error: RpcError) -> None:
        super().__init__(error.message)
        self.error = error


class DeadlineTracer(Tracer):
    """Ends a traced run whose time is up: looks at the clock at every jump and call, without which no run is long."""

    opcodes = frozenset(OPS[name].code for name in ("JUMP", "JUMPI", "CALL", "DELEGATECALL", "STATICCALL", "CREATE"))

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Look at the clock. Raises `Abort`."""
        if time.monotonic() > _deadline.get():
            raise Abort(timed_out())


class RateLimit:
    """A bucket of tokens for each client. Safe from any thread; remembers a bounded number of clients."""

    _CLIENTS: Final = 10_000

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._lock = Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, client: str, count: int = 1) -> bool:
        """Whether `client` may make `count` requests now; if so they are counted.

        More than fit into a full bucket are let in when it is full, and have to be earned before the next.
        """
        if not self._rate:
            return True
        now = self._clock()
        with self._lock:
            tokens, since = self._buckets.pop(client, (self._burst, now))
            tokens = min(self._burst, tokens + (now - since) * self._rate)
            admitted = tokens >= min(count, self._burst)
            self._buckets[client] = (tokens - count if admitted else tokens, now)
            if len(self._buckets) > self._CLIENTS:
                self._buckets.popitem(last=False)
        return admitted
