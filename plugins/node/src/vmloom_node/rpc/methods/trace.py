"""`trace_*`: transactions run again and told as flat lists of calls, as Parity did it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Final

from ...chain.block import Block
from ...chain.calls import NO_OVERRIDE
from ...chain.errors import UnknownBlock, UnknownTransaction
from ...chain.requests import BlockRef
from ..arguments import (
    BlockArgument,
    BlockChanges,
    Call,
    CallAndTypes,
    Overrides,
    TraceFilter,
    TraceSearch,
    WantedTraces,
)
from ..encoding import Json, hexed
from ..limits import check_deadline
from ..parameters import Data, Hash, ShortNumber
from ..parity import flat_traces, localized, replayed, rewards
from ..session import Session
from ..table import method
from ..tracing import Budget, Recorder
from .logs import block_range

_BYTES_OF_TRACE: Final = 600
"""Of a trace in an answer, without its input and output, at least."""
ALL: Final = TraceFilter()


# Transactions of blocks


@method("trace_transaction")
def trace_transaction(session: Session, hash: Hash) -> list[Json] | None:
    """The calls of a transaction, each before those below it; null if it is in no block."""
    place = _place(session, hash)
    if place is None:
        return None
    block, index = place
    recorder = Recorder(flat_traces, session.config.max_response_bytes)
    session.chain.trace(hash, recorder)
    return [localized(trace, block, index) for trace in recorder.results[0]]


@method("trace_get")
def trace_get(session: Session, hash: Hash, path: list[ShortNumber]) -> Json | None:
    """The one call of a transaction whose traceAddress is `path`; null if there is none."""
    traces = trace_transaction(session, hash) or ()
    return next((trace for trace in traces if trace["traceAddress"] == path), None)


@method("trace_block")
def trace_block(session: Session, block: BlockArgument) -> list[Json] | None:
    """The calls of all transactions of a block, and before Paris who was rewarded; null if there is no such block."""
    found = _block(session, block)
    return None if found is None else list(_of_block(session, found))


@method("trace_filter")
def trace_filter(session: Session, filter: TraceSearch) -> list[Json]:
    """The calls in a range of blocks by who called and who was called, from the first block to the last by default.

    Both `fromAddress` and `toAddress` are met by either with the `mode` union, the default, or by both with
    intersection. `after` passes over as many, `count` is how many at most.
    """
    end = None if filter.count is None else min(filter.after + filter.count, sys.maxsize)
    budget = Budget(session.config.max_response_bytes)
    found: list[Json] = []
    for trace in islice(_matching(session, filter), min(filter.after, sys.maxsize), end):
        budget.take(_size(trace))
        found.append(trace)
    return found


def _matching(session: Session, wanted: TraceFilter) -> Iterator[Json]:
    """The calls that are meant, block by block as they are asked for."""
    chain = session.chain
    first, last = block_range(session, wanted.from_block, wanted.to_block, default=chain.genesis.number)
    for number in range(first, last + 1):
        check_deadline()
        yield from _of_block(session, chain.block(number), wanted)


def _size(trace: Json) -> int:
    parts = [*trace["action"].values(), *(trace["result"] or {}).values()]
    return _BYTES_OF_TRACE + sum(map(len, parts)) + 2 * len(trace["traceAddress"])


def _of_block(session: Session, block: Block, wanted: TraceFilter = ALL) -> Iterator[Json]:
    """The calls of a block that are meant, and the rewards."""
    if block.transactions:
        recorder = Recorder(flat_traces, session.config.max_response_bytes)
        session.chain.trace_block(block.hash, recorder)
        for index, traces in enumerate(recorder.results):
            for trace in traces:
                if wanted.matches(trace.sender, trace.receiver):
                    yield localized(trace, block, index)
    for author, reward in rewards(session.chain, block):
        if wanted.matches(None, author):
            yield reward


def _block(session: Session, ref: BlockRef) -> Block | None:
    """A block of the chain, which the pending one is not."""
    try:
        return None if ref == "pending" else session.chain.block(ref)
    except UnknownBlock:
        return None


def _place(session: Session, hash: bytes) -> tuple[Block, int] | None:
    """The block of a transaction, and where it is in it."""
    try:
        entry = session.chain.transaction(hash)
    except UnknownTransaction:
        return None
    if entry.block_hash is None or entry.index is None:
        return None
    return session.chain.block(entry.block_hash), entry.index


# Runs that are asked for


@method("trace_call")
def trace_call(
    session: Session,
    transaction: Call,
    types: WantedTraces,
    block: BlockArgument = "latest",
    overrides: Overrides | None = None,
    block_overrides: BlockChanges | None = None,
) -> Json:
    """A transaction that is not sent, run after a block: its calls, and what it would change."""
    recorder = Recorder(replayed(types), session.config.max_response_bytes)
    changes = block_overrides or NO_OVERRIDE
    session.chain.trace_call(transaction, recorder, block, overrides=overrides, block=changes)
    return _only(recorder)


@method("trace_callMany")
def trace_call_many(session: Session, calls: list[CallAndTypes], block: BlockArgument = "latest") -> list[Json]:
    """Transactions that are not sent, one after the other, each on what those before it have left."""
    if not calls:
        return []
    recorder = Recorder(replayed(*(types for _, types in calls)), session.config.max_response_bytes)
    session.chain.trace_calls([request for request, _ in calls], recorder, block)
    return recorder.results


@method("trace_rawTransaction")
def trace_raw_transaction(session: Session, data: Data, types: WantedTraces, block: BlockArgument = "pending") -> Json:
    """A signed transaction as it would run in the next block, without sending it: checked, and paid for."""
    recorder = Recorder(replayed(types), session.config.max_response_bytes)
    session.chain.trace_raw(data, recorder, block)
    return _only(recorder)


@method("trace_replayTransaction")
def trace_replay_transaction(session: Session, hash: Hash, types: WantedTraces) -> Json:
    """A transaction of a block, run again: its calls, and what it changed."""
    recorder = Recorder(replayed(types), session.config.max_response_bytes)
    session.chain.trace(hash, recorder)
    return _only(recorder)


@method("trace_replayBlockTransactions")
def trace_replay_block_transactions(session: Session, block: BlockArgument, types: WantedTraces) -> list[Json] | None:
    """All transactions of a block, run again: their calls, and what each changed; null if there is no such block."""
    found = _block(session, block)
    if found is None:
        return None
    recorder = Recorder(replayed(types), session.config.max_response_bytes)
    session.chain.trace_block(found.hash, recorder)
    return [
        {**result, "transactionHash": hexed(digest)}
        for digest, result in zip(found.hashes, recorder.results, strict=True)
    ]


def _only(recorder: Recorder) -> Json:
    (result,) = recorder.results
    found: Json = result
    return found
