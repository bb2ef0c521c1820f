"""`debug_*`: transactions run again and watched, and things as they are encoded."""

from __future__ import annotations

from ...chain.block import encode_block
from ...chain.requests import BlockRef
from ..arguments import BlockArgument, BlockNumber, Call, TraceOptions, Tracing
from ..encoding import Json, hexed
from ..parameters import Hash
from ..session import Session
from ..table import method
from ..tracing import Recorder, gethlike

DEFAULT = TraceOptions()
"""The struct logger, with stack and storage."""


@method("debug_traceTransaction")
def trace_transaction(session: Session, hash: Hash, options: Tracing = DEFAULT) -> Json:
    """A transaction of a block, run again and watched: by the struct logger, or by the tracer that is named.

    Tracers: callTracer, prestateTracer, 4byteTracer, noopTracer, and muxTracer for several.
    """
    recorder = Recorder(gethlike(options), session.config.max_response_bytes)
    session.chain.trace(hash, recorder)
    return _only(recorder)


@method("debug_traceCall")
def trace_call(
    session: Session, transaction: Call, block: BlockArgument = "latest", options: Tracing = DEFAULT
) -> Json:
    """A transaction that is not sent, run after a block and watched. `options` may have overrides as eth_call does."""
    recorder = Recorder(gethlike(options), session.config.max_response_bytes)
    session.chain.trace_call(transaction, recorder, block, overrides=options.accounts, block=options.block)
    return _only(recorder)


@method("debug_traceBlockByNumber")
def trace_block_by_number(session: Session, block: BlockNumber, options: Tracing = DEFAULT) -> list[Json]:
    """All transactions of a block, run again and watched."""
    return _trace_block(session, block, options)


@method("debug_traceBlockByHash")
def trace_block_by_hash(session: Session, hash: Hash, options: Tracing = DEFAULT) -> list[Json]:
    """All transactions of a block, run again and watched."""
    return _trace_block(session, hash, options)


def _trace_block(session: Session, block: BlockRef, options: TraceOptions) -> list[Json]:
    found = session.chain.block(block)
    recorder = Recorder(gethlike(options), session.config.max_response_bytes)
    session.chain.trace_block(found.hash, recorder)
    return [
        {"txHash": hexed(digest), "result": result}
        for digest, result in zip(found.hashes, recorder.results, strict=True)
    ]


def _only(recorder: Recorder) -> Json:
    (result,) = recorder.results
    found: Json = result
    return found


# As they are encoded


@method("debug_getRawHeader")
def raw_header(session: Session, block: BlockArgument) -> str:
    """RLP of a block's header."""
    return hexed(session.chain.block(block).header.encoded)


@method("debug_getRawBlock")
def raw_block(session: Session, block: BlockArgument) -> str:
    """RLP of a block."""
    stored = session.chain.stored_block(session.chain.block(block).number)
    found = stored.block
    return hexed(encode_block(found.header, stored.encoded, found.ommers, found.withdrawals))


@method("debug_getRawReceipts")
def raw_receipts(session: Session, block: BlockArgument) -> list[str]:
    """The receipts of a block as its receipts root is taken over them."""
    stored = session.chain.stored_block(session.chain.block(block).number)
    return [hexed(receipt) for receipt in stored.receipts]


@method("debug_getBadBlocks")
def bad_blocks(_: Session) -> list[Json]:
    """None: the node keeps no block that is invalid."""
    return []
