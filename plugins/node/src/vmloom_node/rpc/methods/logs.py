"""`eth_*` on logs, filters and subscriptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeAlias

from vmloom.errors import InputError

from ...chain.block import Log
from ...chain.requests import BlockTag
from ..arguments import Filter, LogFilter, read_log_filter
from ..encoding import Json, log_json
from ..limits import MAX_LOGS, check_deadline
from ..parameters import Shape, read_flag
from ..protocol import Code, RpcError
from ..session import Session
from ..subscriptions import Interest, Subscriber, Topic
from ..table import method

_BYTES_OF_LOG: Final = 500
"""Of a log in an answer, without its data, at least."""
_STRIDE: Final = 1_000
"""Blocks that are searched between two looks at the clock."""


@method("eth_getLogs")
def logs(session: Session, filter: Filter) -> list[Json]:
    """The logs of a range of blocks, or of one, by address and topics. Without a range, those of the last block."""
    return _search(session, filter)


def _search(session: Session, wanted: LogFilter) -> list[Json]:
    found: list[Json] = []
    size = 0
    for log in _matching(session, wanted):
        size += _BYTES_OF_LOG + 2 * len(log.event.data)
        if len(found) >= MAX_LOGS or size > session.config.max_response_bytes:
            raise RpcError(
                Code.LIMIT_EXCEEDED,
                f"query returned more than {len(found)} results, which is too much: ask for fewer blocks",
            )
        found.append(log_json(log))
    return found


def _matching(session: Session, wanted: LogFilter) -> Iterator[Log]:
    """The logs, in order; looks at the clock every so many blocks, since those without a match are passed over."""
    first, last = _range(session, wanted)
    if isinstance(first, bytes) or isinstance(last, bytes):
        yield from session.chain.logs(wanted.query, first, last)
        return
    for begin in range(first, last + 1, _STRIDE):
        check_deadline()
        yield from session.chain.logs(wanted.query, begin, min(begin + _STRIDE - 1, last))


def _range(session: Session, wanted: LogFilter) -> tuple[int, int] | tuple[bytes, bytes]:
    """The blocks to search. Raises `RpcError` for a range that is upside down or too long."""
    if wanted.block_hash is not None:
        return wanted.block_hash, wanted.block_hash
    return block_range(session, wanted.from_block, wanted.to_block)


def block_range(
    session: Session, begin: int | BlockTag | None, end: int | BlockTag | None, *, default: int | None = None
) -> tuple[int, int]:
    """The first and the last of the blocks that are meant; without `begin` the first is `default`, or the last block.

    Raises `RpcError` for a range that is upside down or too long.
    """
    head = session.chain.head.number
    numbers = {"earliest": session.chain.block("earliest").number, None: head if default is None else default}
    first = begin if isinstance(begin, int) else numbers.get(begin, head)
    last = end if isinstance(end, int) else numbers["earliest"] if end == "earliest" else head
    if first > last and end is not None:
        raise RpcError(Code.INVALID_PARAMS, f"invalid block range params: from {first} to {last}")
    if last - first >= session.config.max_log_blocks:
        limit = session.config.max_log_blocks
        raise RpcError(Code.LIMIT_EXCEEDED, f"block range too large: {last - first + 1} blocks, the limit is {limit}")
    return first, min(last, head)


# Filters


@method("eth_newFilter")
def new_filter(session: Session, filter: Filter) -> str:
    """A filter's id: eth_getFilterChanges has the new logs that it describes, eth_getFilterLogs all of them."""
    return session.hub.add_filter(Interest(Topic.LOGS, filter))


@method("eth_newBlockFilter")
def new_block_filter(session: Session) -> str:
    """A filter's id: eth_getFilterChanges has the hashes of new blocks."""
    return session.hub.add_filter(Interest(Topic.HEADS))


@method("eth_newPendingTransactionFilter")
def new_pending_transaction_filter(session: Session) -> str:
    """A filter's id: eth_getFilterChanges has the hashes of new transactions."""
    return session.hub.add_filter(Interest(Topic.PENDING))


@method("eth_getFilterChanges")
def filter_changes(session: Session, id: str) -> list[Any]:
    """What has come since this was last asked. A filter that is not asked for five minutes ends."""
    return session.hub.changes(id)


@method("eth_getFilterLogs")
def filter_logs(session: Session, id: str) -> list[Json]:
    """All logs that a filter of logs describes."""
    return _search(session, session.hub.filter_of(id))


@method("eth_uninstallFilter")
def uninstall_filter(session: Session, id: str) -> bool:
    """End a filter; false if there is none of this id."""
    return session.hub.remove_filter(id)


# Subscriptions

Detail: TypeAlias = Annotated[Any, Shape("filter object, or true or false", lambda value, _: value)]
"""What it is depends on the topic."""


@method("eth_subscribe")
def subscribe(session: Session, topic: str, detail: Detail = None) -> str:
    """A subscription's id, over WebSocket: eth_subscription notifications follow until it is ended.

    `topic` is newHeads, logs (with a filter object), newPendingTransactions (hashes, or with true the transactions), or
    syncing, of which nothing is ever told.
    """
    subscriber = _subscriber(session)
    return session.hub.subscribe(subscriber, _interest(topic, detail))


@method("eth_unsubscribe")
def unsubscribe(session: Session, id: str) -> bool:
    """End a subscription. An id that this connection does not have is an error."""
    if not session.hub.unsubscribe(_subscriber(session), id):
        raise RpcError(Code.SERVER_ERROR, "subscription not found")
    return True


def _interest(topic: str, detail: Any) -> Interest:
    try:
        kind = Topic(topic)
    except ValueError:
        known = ", ".join(one.value for one in Topic)
        message = f'no "{topic[:40]}" subscription in eth namespace; there are {known}'
        raise RpcError(Code.METHOD_NOT_FOUND, message) from None
    try:
        if kind is Topic.LOGS:
            return Interest(kind, read_log_filter({} if detail is None else detail, "filter"))
        full = kind is Topic.PENDING and detail is not None and read_flag(detail, "full")
    except InputError as error:
        raise RpcError(Code.INVALID_PARAMS, f"invalid argument 1: {error}") from None
    return Interest(kind, full=full)


def _subscriber(session: Session) -> Subscriber:
    if session.subscriber is None:
        raise RpcError(Code.METHOD_NOT_FOUND, "notifications not supported: subscriptions need a WebSocket")
    return session.subscriber
