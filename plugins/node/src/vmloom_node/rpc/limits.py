"""What a client may ask of the node beside what `config.RpcConfig` sets: counts, time, and how fast.

The time limit reaches the methods as a deadline of the thread's context, so that loops over blocks or instructions end
in time without passing it along.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from vmloom.deadline import is_late
from vmloom_evm.table import OPS
from vmloom_evm.trace.hooks import TracedFrame, Tracer

from .protocol import Code, RpcError

MAX_LOGS: Final = 100_000
"""Logs in one answer."""
MAX_MINED_BLOCKS: Final = 100_000
"""Blocks that one request may mine."""
MAX_TOLD_BLOCKS: Final = 1_000
"""Blocks that one request may mine if it is told of all of them, or put in place of others."""
MAX_PAGE: Final = 1_000
"""Transactions of a page that ots_* tells."""
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


def check_deadline() -> None:
    """Raise `RpcError` if the time of this call is up."""
    if is_late():
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
        if is_late():
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
