"""What clients are told of new blocks, logs and transactions: by filters, which they poll, and by subscriptions.

One `Hub` listens to the chain for all of them. Filters belong to nobody and end when they are not asked for a while;
subscriptions end with their connection.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ..chain.block import Block, Log, TransactionEntry
from ..chain.events import ChainEvent, NewBlock, PendingTransaction, Reverted
from .arguments import LogFilter
from .encoding import header_json, hexed, log_json, transaction_json
from .limits import FILTER_SECONDS, MAX_FILTERS, MAX_POLL_BYTES, MAX_SUBSCRIPTIONS
from .protocol import Code, RpcError, dumps

if TYPE_CHECKING:
    from ..chain import Chain


_BYTES_OF_HASH: Final = 128
_BYTES_OF_LOG: Final = 4_096
"""What Python takes for a hash, and for a log without its data, as they are handed out."""


class Topic(Enum):
    """What one can be told of; the values are the names of eth_subscribe."""

    HEADS = "newHeads"
    LOGS = "logs"
    PENDING = "newPendingTransactions"
    SYNCING = "syncing"
    """Accepted, since clients ask for it; this node never syncs, so nothing comes."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What somebody wants to be told: a topic, which logs, and whether pending transactions come whole."""

    topic: Topic
    logs: LogFilter | None = None
    full: bool = False


class _News:
    """What an event says, each part made once, and only if somebody wants it."""

    def __init__(self, event: ChainEvent) -> None:
        self._event = event

    @property
    def head(self) -> Block | None:
        """The new head."""
        return self._event.block if isinstance(self._event, NewBlock) else None

    @property
    def pending(self) -> TransactionEntry | None:
        """The new transaction."""
        return self._event.entry if isinstance(self._event, PendingTransaction) else None

    @cached_property
    def logs(self) -> list[tuple[Log, bool]]:
        """Logs that are new, or with True no more."""
        match self._event:
            case NewBlock():
                return [(log, False) for log in _logs_of(self._event)]
            case Reverted():
                return [(log, True) for block in self._event.blocks for log in _logs_of(block)]
        return []

    @cached_property
    def head_text(self) -> str:
        """The header as JSON."""
        assert self.head is not None
        return dumps(header_json(self.head.header))

    def matching(self, wanted: LogFilter) -> Iterator[tuple[Log, bool]]:
        """The logs of which `wanted` speaks."""
        first, last = wanted.from_block, wanted.to_block
        for log, removed in self.logs:
            too_early = isinstance(first, int) and log.block_number < first
            too_late = isinstance(last, int) and log.block_number > last
            if not too_early and not too_late and wanted.query.matches(log.event):
                yield log, removed


def _logs_of(event: NewBlock) -> Iterable[Log]:
    return (log for receipt in event.receipts for log in receipt.logs)


class Subscriber:
    """A client that can be sent notifications: `send` takes a text from any thread and does not wait."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self.send = send
        self.subscriptions: dict[str, Interest] = {}


@dataclass(slots=True)
class _Poll:
    """A filter: what has come since it was last asked, and when that was."""

    interest: Interest
    asked_at: float
    changes: list[Any] = field(default_factory=list)
    size: int = 0
    """About how many bytes `changes` are."""

    def add(self, change: Any) -> None:
        """Keep something for whoever asks next."""
        self.changes.append(change)
        self.size += _BYTES_OF_HASH if isinstance(change, str) else _BYTES_OF_LOG + len(change["data"])


class Hub:
    """Listens to `chain` for filters and subscriptions. Safe from any thread. `close` when done."""

    def __init__(self, chain: Chain, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._polls: dict[str, _Poll] = {}
        self._subscribers: dict[int, Subscriber] = {}
        self._chain = chain
        self._beginning = Lock()
        self._unsubscribe: Callable[[], None] | None = None

    def close(self) -> None:
        """Listen no more."""
        with self._beginning:
            if self._unsubscribe is not None:
                self._unsubscribe()

    def _listen(self) -> None:
        """Hear of what happens from now on: a chain that nobody listens to need not tell anything.

        Not with the lock that is taken while the chain tells: its own may be held by who waits for that one.
        """
        with self._beginning:
            if self._unsubscribe is None:
                self._unsubscribe = self._chain.subscribe(self._told)

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        with self._lock:
            return sum(len(one.subscriptions) for one in self._subscribers.values())

    # Poll filters

    def add_filter(self, interest: Interest) -> str:
        """A new filter's id. Raises `RpcError` if there are too many."""
        self._listen()
        with self._lock:
            self._drop_expired()
            if len(self._polls) >= MAX_FILTERS:
                raise RpcError(Code.LIMIT_EXCEEDED, f"too many filters, the limit is {MAX_FILTERS}")
            identity = _new_id()
            self._polls[identity] = _Poll(interest, self._clock())
        return identity

    def remove_filter(self, identity: str) -> bool:
        """End a filter; False if there is none of this id."""
        with self._lock:
            return self._polls.pop(_canonical(identity), None) is not None

    def changes(self, identity: str) -> list[Any]:
        """What has come since the filter was last asked. Raises `RpcError` if there is none of this id."""
        with self._lock:
            poll = self._poll(identity)
            changes, poll.changes, poll.size = poll.changes, [], 0
            return changes

    def filter_of(self, identity: str) -> LogFilter:
        """What a log filter looks for. Raises `RpcError` if there is none of this id."""
        with self._lock:
            wanted = self._poll(identity).interest.logs
        if wanted is None:
            raise RpcError(Code.SERVER_ERROR, "filter not found: it is not a filter of logs")
        return wanted

    def _poll(self, identity: str) -> _Poll:
        self._drop_expired()
        poll = self._polls.get(_canonical(identity))
        if poll is None:
            raise RpcError(Code.SERVER_ERROR, "filter not found")
        poll.asked_at = self._clock()
        return poll

    def _drop_expired(self) -> None:
        limit = self._clock() - FILTER_SECONDS
        for identity in [one for one, poll in self._polls.items() if poll.asked_at < limit]:
            del self._polls[identity]

    def _drop_largest(self) -> None:
        """End filters that nobody asks, before they fill the memory; who asks them learns that they have ended."""
        while sum(poll.size for poll in self._polls.values()) > MAX_POLL_BYTES:
            del self._polls[max(self._polls, key=lambda identity: self._polls[identity].size)]

    # Subscriptions

    def subscribe(self, subscriber: Subscriber, interest: Interest) -> str:
        """A new subscription's id. Raises `RpcError` if the subscriber has too many."""
        self._listen()
        with self._lock:
            if len(subscriber.subscriptions) >= MAX_SUBSCRIPTIONS:
                raise RpcError(Code.LIMIT_EXCEEDED, f"too many subscriptions, the limit is {MAX_SUBSCRIPTIONS}")
            identity = _new_id()
            subscriber.subscriptions[identity] = interest
            self._subscribers[id(subscriber)] = subscriber
        return identity

    def unsubscribe(self, subscriber: Subscriber, identity: str) -> bool:
        """End a subscription; False if the subscriber has none of this id."""
        with self._lock:
            return subscriber.subscriptions.pop(_canonical(identity), None) is not None

    def remove(self, subscriber: Subscriber) -> None:
        """End all subscriptions of a client that has gone."""
        with self._lock:
            self._subscribers.pop(id(subscriber), None)

    # What the chain tells

    def _told(self, event: ChainEvent) -> None:
        if not self._polls and not self._subscribers:
            return
        news = _News(event)
        with self._lock:
            self._drop_expired()
            for poll in self._polls.values():
                for change in _changes(poll.interest, news):
                    poll.add(change)
            self._drop_largest()
            wanted = [
                (subscriber, identity, interest)
                for subscriber in self._subscribers.values()
                for identity, interest in subscriber.subscriptions.items()
            ]
        for subscriber, identity, interest in wanted:
            for text in _texts(interest, news):
                subscriber.send(
                    '{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"'
                    f'{identity}","result":{text}}}}}'
                )


def _changes(interest: Interest, news: _News) -> Iterator[Any]:
    """What a filter hands out: hashes of blocks and transactions, or logs."""
    if interest.topic is Topic.HEADS and news.head is not None:
        yield hexed(news.head.hash)
    elif interest.topic is Topic.PENDING and news.pending is not None:
        yield transaction_json(news.pending, is_pending=True) if interest.full else hexed(news.pending.hash)
    elif interest.logs is not None:
        for log, removed in news.matching(interest.logs):
            yield log_json(log, removed=removed)


def _texts(interest: Interest, news: _News) -> Iterator[str]:
    """What a subscription sends, as JSON."""
    if interest.topic is Topic.HEADS:
        if news.head is not None:
            yield news.head_text
    else:
        yield from map(dumps, _changes(interest, news))


def _new_id() -> str:
    return hex(secrets.randbits(127) | 1 << 127)


def _canonical(identity: str) -> str:
    """Ids are text to us, but some clients take them for numbers and write them their own way."""
    return identity.lower()
