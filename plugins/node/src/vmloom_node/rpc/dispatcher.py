"""From a JSON-RPC text to its answer, whatever carries it: a socket, or a client in the same process.

Synchronous and safe from any thread. Every mistake of the client and every failure of a method becomes an error in the
answer; what nobody foresaw is logged here and told as an internal error, without particulars.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from vmloom.deadline import TimeIsUp, time_limit
from vmloom.errors import VmloomError
from vmloom.suggest import nearest

from ..config import RpcConfig
from . import methods
from .contracts import Creations
from .errors import told
from .limits import Abort, RateLimit, check_deadline, timed_out
from .metrics import UNKNOWN_METHOD, Metrics
from .protocol import Code, Item, Message, Refused, Request, RpcError, answer, answer_error, parse
from .session import RequestLog, Session
from .subscriptions import Hub, Subscriber
from .table import METHODS, Method

if TYPE_CHECKING:
    from ..chain import Chain

assert methods  # importing them fills METHODS

_log: Final = structlog.get_logger("vmloom.rpc")
SHORT_BYTES: Final = 4_096
"""A text that is longer is not looked at to find out whether it is short work."""
_SHOWN: Final = 60
"""Characters of an unknown method's name that the answer repeats."""


class Dispatcher:
    """Answers for `chain` within the bounds of `config`. `close` when done."""

    def __init__(self, chain: Chain, config: RpcConfig | None = None) -> None:
        self.chain = chain
        self.config = config or RpcConfig()
        served = frozenset[str](self.config.namespaces)
        self.methods: Mapping[str, Method] = {
            name: method for name, method in METHODS.items() if method.namespace in served
        }
        self.hub = Hub(chain)
        self._creations = Creations(chain)
        self._log_of_requests = RequestLog(self.config.log_requests)
        self.metrics = Metrics(self._gauges)
        self.metrics.subscriptions.set_function(lambda: self.hub.subscriptions)
        self._rate = RateLimit(self.config.calls_per_second)
        self._session = self.session()

    def session(self, subscriber: Subscriber | None = None) -> Session:
        """What the methods of a client work on; one with a `subscriber` can be sent notifications."""
        log = self._log_of_requests
        return Session(self.chain, self.config, self.hub, self.metrics, self._creations, log, subscriber)

    def call(self, name: str, params: list[Any], session: Session | None = None) -> Any:
        """The JSON-ready result of a method. Raises `RpcError`, and nothing else."""
        method = self.methods.get(name)
        begin = time.perf_counter()
        failed = True
        try:
            if method is None:
                raise self._unknown(name)
            result = method.function(session or self._session, *method.arguments(params))
            failed = False
        except VmloomError as error:
            raise told(error) from error
        except Abort as abort:
            raise abort.error from abort
        except TimeIsUp as late:
            raise timed_out() from late
        except Exception as error:
            _log.exception("a method failed", method=name)
            raise RpcError(Code.INTERNAL_ERROR, "internal error") from error
        finally:
            seconds = time.perf_counter() - begin
            self.metrics.call(name if method else UNKNOWN_METHOD, seconds, failed=failed)
            if self._log_of_requests.is_on:
                _log.info("call", method=name[:_SHOWN], seconds=round(seconds, 6), failed=failed)
        return result

    def is_short(self, request: Request, session: Session | None = None) -> bool:
        """Whether the call will take so little time that no other client need notice."""
        method = self.methods.get(request.method)
        return (
            method is not None
            and method.is_short is not None
            and method.is_short(session or self._session, request.params)
        )

    def handle(self, text: bytes | str, session: Session | None = None) -> bytes | None:
        """The answer to a request or a batch; None if there is nothing to answer, as with notifications."""
        return Exchange(self, text, session).run()

    def admit(self, client: str, count: int) -> bool:
        """Whether a client may make `count` calls now."""
        return self._rate.admit(client, count)

    def close(self) -> None:
        """Listen to the chain no more."""
        self.hub.close()

    def _unknown(self, name: str) -> RpcError:
        close = nearest(name[:_SHOWN], self.methods)
        hint = f" (did you mean {close}?)" if close else ""
        shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
        return RpcError(Code.METHOD_NOT_FOUND, f"the method {shown} does not exist/is not available{hint}")

    def _gauges(self) -> dict[str, tuple[str, float]]:
        head = self.chain.head.header
        return {
            "vmloom_head_number": ("Number of the last block", head.number),
            "vmloom_head_timestamp": ("UNIX time of the last block, in seconds", head.timestamp),
            "vmloom_head_gas_used": ("Gas used by the last block", head.gas_used),
            "vmloom_pool_transactions": ("Transactions that wait for a block", len(self.chain.pool)),
        }


class Exchange:
    """One text and its answer. `run` works; `give_up`, from another thread, answers for what has no answer yet."""

    __slots__ = (
        "_abandoned",
        "_answers",
        "_client",
        "_dispatcher",
        "_message",
        "_refusal",
        "_session",
        "_size",
        "_text",
    )

    def __init__(
        self, dispatcher: Dispatcher, text: bytes | str, session: Session | None = None, client: str | None = None
    ) -> None:
        self._dispatcher = dispatcher
        self._text = text
        self._session = session
        self._client = client
        self._message: Message | None = None
        self._answers: list[str | None] = []
        """In the order of the message's items; None for what gets no answer."""
        self._size = 0
        """Characters of the answers."""
        self._refusal: RpcError | None = None
        """What all items that are left are answered with."""
        self._abandoned = False

    def is_short(self) -> bool:
        """Whether this is one call that takes so little time that the thread of all clients may make it."""
        if len(self._text) > SHORT_BYTES:
            return False
        message = parse(self._text, batch_items=1)
        item = message.items[0]
        if message.is_batch or isinstance(item, Refused):
            return False
        self._message = message
        return self._dispatcher.is_short(item, self._session)

    def run(self) -> bytes | None:
        """The answer, None for none. No longer than its limits allow, but for the method that runs at the time."""
        config = self._dispatcher.config
        with time_limit(config.timeout_s):
            message = self._message or parse(self._text, batch_items=config.max_batch)
            self._message = message
            self._admit(len(message.items))
            for item in message.items:
                if self._abandoned:
                    break
                self._answers.append(self._answer(item))
            return self._joined(message, self._answers)

    def run_short(self) -> bytes | None:
        """As `run`, for what `is_short` has found to be so: it needs no deadline, and nobody waits to give it up."""
        assert self._message is not None
        self._admit(1)
        text = self._answer(self._message.items[0])
        return None if text is None else text.encode("ascii")

    def give_up(self) -> bytes | None:
        """The answer as far as it has come, and that the time is up for the rest; `run` ends after this item."""
        self._abandoned = True
        message = self._message or Message((Refused(None, timed_out()),))
        return self._joined(message, self._answers[:])

    def _admit(self, count: int) -> None:
        if self._client is not None and not self._dispatcher.admit(self._client, count):
            self._dispatcher.metrics.refused.labels("rate").inc(count)
            self._refusal = RpcError(Code.LIMIT_EXCEEDED, "rate limit exceeded, try again in a second")

    def _answer(self, item: Item) -> str | None:
        try:
            if isinstance(item, Refused):
                raise item.error
            if self._refusal is not None:
                raise self._refusal
            check_deadline()
            result = self._dispatcher.call(item.method, item.params, self._session)
            text = "" if item.is_notification else answer(item.id, result)
            if self._size + len(text) > self._dispatcher.config.max_response_bytes:
                self._refusal = RpcError(Code.RESPONSE_TOO_LARGE, "response too large")
                raise self._refusal
        except RpcError as error:
            text = answer_error(item.id, error)
        if isinstance(item, Request) and item.is_notification:
            return None
        self._size += len(text)
        return text

    def _joined(self, message: Message, answers: Sequence[str | None]) -> bytes | None:
        texts = [text for text in answers if text is not None]
        late = [item for item in message.items[len(answers) :] if isinstance(item, Refused) or not item.is_notification]
        texts += [answer_error(item.id, timed_out()) for item in late]
        if not texts:
            return None
        return (f"[{','.join(texts)}]" if message.is_batch else texts[0]).encode("ascii")
