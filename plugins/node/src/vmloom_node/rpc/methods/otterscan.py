"""`ots_*`: what the explorer Otterscan asks of a node beside `eth_*`, as Erigon and anvil answer it.

Transactions of an address are found by running blocks again: no index is kept. https://docs.otterscan.io/api-docs/ots-api
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from vmloom.errors import InputError
from vmloom_evm.trace.parity import FlatTrace

from ...chain.block import Block
from ...chain.requests import BlockRef
from ..arguments import BlockArgument, BlockNumber
from ..encoding import Json, block_json, header_json, hexed, receipt_json, transaction_json
from ..limits import MAX_PAGE, check_deadline
from ..parameters import Address, Hash, ShortNumber
from ..parity import flat_traces, rewarded
from ..session import Session
from ..shortness import always
from ..table import method
from ..tracing import Recorder
from .blocks import find_block

API_LEVEL: Final = 8
"""Of Otterscan's API, which it asks for before anything else."""
_OPERATIONS: Final = {"CALL": 0, "SELFDESTRUCT": 1, "CREATE": 2, "CREATE2": 3}
_WITHOUT_VALUE: Final = frozenset({"STATICCALL", "DELEGATECALL"})


@method("ots_getApiLevel", is_short=always)
def api_level(_: Session) -> int:
    """Which version of Otterscan's API this is."""
    return API_LEVEL


@method("ots_hasCode")
def has_code(session: Session, address: Address, block: BlockArgument = "latest") -> bool:
    """Whether an account has code."""
    return bool(session.chain.account(address, block).code)


@method("erigon_getHeaderByNumber")
def header_by_number(session: Session, block: BlockNumber) -> Json | None:
    """A block's header; null if there is none."""
    found = find_block(session, block)
    return None if found is None else header_json(found.header)


# Transactions


@method("ots_traceTransaction")
def trace_transaction(session: Session, hash: Hash) -> list[Json]:
    """The calls of a transaction, each before those below it."""
    return [
        {
            "type": trace.frame.kind,
            "depth": len(trace.path),
            "from": hexed(trace.frame.sender),
            "to": hexed(trace.receiver or bytes(20)),
            "value": None if trace.frame.kind in _WITHOUT_VALUE else hex(trace.frame.value or 0),
            "input": hexed(trace.frame.input),
            "output": hexed(trace.frame.output),
        }
        for trace in _traces(session, hash)
    ]


@method("ots_getInternalOperations")
def internal_operations(session: Session, hash: Hash) -> list[Json]:
    """What a transaction's code did: transfers (0), destructions (1), creations (2, 3), but not what was undone."""
    found: list[Json] = []
    failed: tuple[int, ...] | None = None
    for trace in _traces(session, hash):
        if failed is not None and trace.path[: len(failed)] == failed:
            continue  # it went with the frame that failed
        failed = trace.path if trace.frame.error else None
        kind, value = _OPERATIONS.get(trace.frame.kind), trace.frame.value or 0
        if failed is None and trace.path and kind is not None and (kind or value):
            to = hexed(trace.receiver or b"")
            found.append({"type": kind, "from": hexed(trace.sender), "to": to, "value": hex(value)})
    return found


@method("ots_getTransactionError")
def transaction_error(session: Session, hash: Hash) -> str:
    """What a transaction that failed put out, such as the reason of a revert; `0x` of one that did not."""
    if session.chain.receipt(hash).success:
        return "0x"
    recorder = Recorder(lambda *_: ((), lambda result: result.return_data), session.config.max_response_bytes)
    session.chain.trace(hash, recorder)
    return hexed(recorder.results[0])


def _traces(session: Session, hash: bytes) -> list[FlatTrace]:
    recorder = Recorder(flat_traces, session.config.max_response_bytes)
    session.chain.trace(hash, recorder)
    found: list[FlatTrace] = recorder.results[0]
    return found


# Blocks


@method("ots_getBlockDetails")
def block_details(session: Session, block: BlockNumber) -> Json | None:
    """A block without its transactions, what it issued, and the fees that were paid in it; null if there is none."""
    return _details(session, block)


@method("ots_getBlockDetailsByHash")
def block_details_by_hash(session: Session, hash: Hash) -> Json | None:
    """A block without its transactions, what it issued, and the fees that were paid in it; null if there is none."""
    return _details(session, hash)


def _details(session: Session, reference: BlockRef) -> Json | None:
    block = find_block(session, reference)
    if block is None:
        return None
    fields = block_json(block, full=False)
    del fields["transactions"]
    issued = {"block": 0, "uncle": 0}
    for _, wei, kind in rewarded(session.chain, block):
        issued[kind] += wei
    receipts = session.chain.receipts(reference)
    return {
        "block": {**fields, "logsBloom": None, "transactionCount": len(block.transactions)},
        "issuance": {
            "blockReward": hex(issued["block"]),
            "uncleReward": hex(issued["uncle"]),
            "issuance": hex(sum(issued.values())),
        },
        "totalFees": hex(sum(receipt.gas_used * receipt.gas_price for receipt in receipts)),
    }


@method("ots_getBlockTransactions")
def block_transactions(session: Session, block: BlockNumber, page: ShortNumber, size: ShortNumber) -> Json | None:
    """A page of a block's transactions and their receipts; page 0 has the last ones. Null if there is no such block.

    Of inputs only the first four bytes are told, and of receipts neither logs nor their filter.
    """
    _check_page(size)
    found = find_block(session, block)
    if found is None:
        return None
    end = max(0, len(found.transactions) - page * size)
    indices = range(max(0, end - size), end)
    fields = block_json(found, full=False)
    fields["transactions"] = [transaction_json(found.entry(index), is_pending=found.is_pending) for index in indices]
    for tx in fields["transactions"]:
        tx["input"] = tx["input"][:10]
    receipts = session.chain.receipts(block)
    return {
        "fullblock": {**fields, "transactionCount": len(found.transactions)},
        "receipts": [{**receipt_json(receipts[index]), "logs": None, "logsBloom": None} for index in indices],
    }


def _check_page(size: int) -> None:
    if not 0 < size <= MAX_PAGE:
        raise InputError(f"size: a page has 1 to {MAX_PAGE} transactions, not {size}")


# Searches


@method("ots_searchTransactionsBefore")
def transactions_before(session: Session, address: Address, block: ShortNumber, size: ShortNumber) -> Json:
    """A page of transactions that have to do with an address, of blocks before `block` (0: of all), the last first.

    It has whole blocks, and ends with the one that fills it.
    """
    _check_page(size)
    chain = session.chain
    last = min(chain.head.number, block - 1) if block else chain.head.number
    numbers = range(last, chain.genesis.number, -1)
    found, is_all = _page(session, address, numbers, size)
    return {**_told(session, found), "firstPage": last == chain.head.number, "lastPage": is_all}


@method("ots_searchTransactionsAfter")
def transactions_after(session: Session, address: Address, block: ShortNumber, size: ShortNumber) -> Json:
    """A page of transactions that have to do with an address, of blocks after `block` (0: of all), the last first.

    It has whole blocks, those next to `block`, and ends with the one that fills it.
    """
    _check_page(size)
    chain = session.chain
    first = max(block, chain.genesis.number) + 1
    found, is_all = _page(session, address, range(first, chain.head.number + 1), size)
    return {**_told(session, found[::-1]), "firstPage": is_all, "lastPage": block <= chain.genesis.number}


def _page(
    session: Session, address: bytes, numbers: Iterable[int], size: int
) -> tuple[list[tuple[int, list[int]]], bool]:
    """The blocks with the transactions that are meant, the last first, until there are enough; and whether all are."""
    found: list[tuple[int, list[int]]] = []
    count = 0
    for number in numbers:
        if count >= size:
            return found, False
        indices = _concerned(session, address, number)
        if indices:
            found.append((number, indices))
            count += len(indices)
    return found, True


def _concerned(session: Session, address: bytes, number: int) -> list[int]:
    """The transactions of a block in which an account calls, is called, is created or gets what another leaves."""
    check_deadline()
    if not session.chain.block(number).transactions:
        return []
    recorder = Recorder(flat_traces, session.config.max_response_bytes)
    session.chain.trace_block(number, recorder)
    return [
        index
        for index in range(len(recorder.results) - 1, -1, -1)
        if any(address in (trace.sender, trace.receiver) for trace in recorder.results[index])
    ]


def _told(session: Session, found: list[tuple[int, list[int]]]) -> Json:
    txs: list[Json] = []
    receipts: list[Json] = []
    for number, indices in found:
        block, of_block = session.chain.block(number), session.chain.receipts(number)
        for index in indices:
            txs.append(transaction_json(block.entry(index)))
            receipts.append({**receipt_json(of_block[index]), "timestamp": block.header.timestamp})
    return {"txs": txs, "receipts": receipts}


@method("ots_getTransactionBySenderAndNonce")
def transaction_by_sender_and_nonce(session: Session, address: Address, nonce: ShortNumber) -> str | None:
    """The hash of the transaction that used an account's nonce; null if none has yet."""
    for block in _backwards(session):
        for index, (tx, sender) in enumerate(zip(block.transactions, block.senders, strict=True)):
            if sender == address and tx.nonce == nonce:
                return hexed(block.hashes[index])
    return None


@method("ots_getContractCreator")
def contract_creator(session: Session, address: Address) -> Json | None:
    """The transaction that created a contract, and the account that did; null if it is none."""
    if not session.chain.account(address).code:
        return None
    known = session.creations.get().get(address)
    if known is not None:
        return {"hash": hexed(known.transaction_hash), "creator": hexed(known.creator)}
    for block in _backwards(session):
        for index in _concerned(session, address, block.number):
            for trace in _traces(session, block.hashes[index]):
                if trace.receiver == address and trace.frame.kind in ("CREATE", "CREATE2"):
                    return {"hash": hexed(block.hashes[index]), "creator": hexed(trace.sender)}
    return None


def _backwards(session: Session) -> Iterator[Block]:
    chain = session.chain
    for number in range(chain.head.number, chain.genesis.number, -1):
        check_deadline()
        yield chain.block(number)
