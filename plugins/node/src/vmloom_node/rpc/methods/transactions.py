"""`eth_*` that send and sign transactions and messages, and `txpool_*`."""

from __future__ import annotations

import time
from binascii import unhexlify
from collections.abc import Mapping
from contextlib import suppress
from threading import Event
from typing import Any, Final

from vmloom.deadline import is_late
from vmloom.errors import InputError
from vmloom_evm.transaction.codec import transaction_hash

from ...chain.block import TransactionEntry
from ...chain.errors import UnknownAccount, UnknownTransaction
from ...chain.pool import Waiting
from ..arguments import Call
from ..encoding import Json, hexed, receipt_json, signed_json, transaction_json
from ..parameters import Address, Data, JsonObject, ShortNumber
from ..protocol import Code, RpcError
from ..session import Session
from ..shortness import always
from ..signing import message_digest, signature_of, typed_data_digest
from ..table import method

MAX_SYNC_MS: Final = 20_000
"""Milliseconds that a client may wait for a receipt at most."""
_WAIT_S: Final = 0.2
"""Seconds between two looks at the time of the call."""


@method("eth_accounts", "eth_requestAccounts", is_short=always)
def accounts(session: Session) -> list[str]:
    """The accounts that the node signs for."""
    return [hexed(address) for address in session.chain.accounts.addresses]


def _is_light(session: Session, params: list[Any]) -> bool:
    try:
        return session.chain.is_light(unhexlify(params[0][2:]))
    except (IndexError, TypeError, ValueError):
        return False


@method("eth_sendRawTransaction", is_short=_is_light)
def send_raw_transaction(session: Session, data: Data) -> str:
    """Take a signed transaction; its hash. It is in a block by then if the node mines for each transaction."""
    return hexed(session.chain.send_raw(data))


@method("eth_sendTransaction")
def send_transaction(session: Session, transaction: Call) -> str:
    """Sign and take a transaction of an account of the node's, or of one that is impersonated; its hash.

    What is left out of nonce, fees and gas is found. `vm` in the object names the VM that a creation is for.
    """
    return hexed(session.chain.send_request(transaction))


@method("eth_sendRawTransactionSync")
def send_raw_transaction_sync(session: Session, data: Data, milliseconds: ShortNumber = MAX_SYNC_MS) -> Json:
    """eth_sendRawTransaction; waits for the receipt, for at most so many milliseconds. EIP-7966"""
    return _receipt_in_time(session, session.chain.send_raw(data), milliseconds)


@method("eth_sendTransactionSync")
def send_transaction_sync(session: Session, transaction: Call, milliseconds: ShortNumber = MAX_SYNC_MS) -> Json:
    """eth_sendTransaction; waits for the receipt, for at most so many milliseconds. EIP-7966"""
    return _receipt_in_time(session, session.chain.send_request(transaction), milliseconds)


def _receipt_in_time(session: Session, digest: bytes, milliseconds: int) -> Json:
    """The receipt as soon as there is one. Raises `RpcError` if its time is up, or that of this call."""
    chain, news = session.chain, Event()
    until = time.monotonic() + min(milliseconds, MAX_SYNC_MS) / 1_000
    unsubscribe = chain.subscribe(lambda _: news.set())
    try:
        while True:
            news.clear()  # before the look, so that nothing is missed between the two
            with suppress(UnknownTransaction):
                return receipt_json(chain.receipt(digest))
            left = until - time.monotonic()
            if left <= 0 or is_late():
                raise RpcError(Code.NOT_MINED, "the transaction was taken, but is in no block yet", hexed(digest))
            news.wait(min(left, _WAIT_S))
    finally:
        unsubscribe()


@method("eth_signTransaction")
def sign_transaction(session: Session, transaction: Call) -> Json:
    """A transaction, filled in and signed by an account of the node's, but not sent."""
    if transaction.sender is None:
        raise InputError("transaction: from is missing")
    signed = session.chain.sign(session.chain.fill(transaction), transaction.sender)
    return signed_json(signed, transaction.sender, transaction_hash(signed))


@method("eth_fillTransaction")
def fill_transaction(session: Session, transaction: Call) -> Json:
    """A transaction with what it leaves out filled in, neither signed nor sent."""
    filled = session.chain.fill(transaction)
    fields = transaction_json(TransactionEntry(filled, b"", transaction.sender or b""))
    for name in ("hash", "v", "r", "s", "from"):
        fields.pop(name, None)
    return {"tx": fields}


# Messages


@method("eth_sign")
def sign(session: Session, address: Address, message: Data) -> str:
    """An account's signature of a message. EIP-191, version 0x45"""
    return _signature(session, address, message_digest(message))


@method("personal_sign")
def personal_sign(session: Session, message: Data, address: Address) -> str:
    """eth_sign, with its parameters the other way round, as wallets have it."""
    return _signature(session, address, message_digest(message))


@method("eth_signTypedData_v4", "eth_signTypedData_v3", "eth_signTypedData")
def sign_typed_data(session: Session, address: Address, data: JsonObject) -> str:
    """An account's signature of typed data. EIP-712"""
    return _signature(session, address, typed_data_digest(data))


def _signature(session: Session, address: bytes, digest: bytes) -> str:
    key = session.chain.accounts.key_of(address)
    if key is None:
        raise UnknownAccount(f"the node has no key of {hexed(address)}")
    return hexed(signature_of(digest, key))


# The mempool


def _shown(waiting: Waiting) -> Json:
    return transaction_json(TransactionEntry(waiting.tx, waiting.hash, waiting.sender))


def _summary(waiting: Waiting) -> str:
    """As geth's txpool_inspect has it."""
    tx = waiting.tx
    to = "contract creation" if tx.to is None else hexed(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas_limit} gas × {tx.max_fee_per_gas} wei"


def _grouped(content: Mapping[bytes, Mapping[int, Waiting]], show: Any) -> dict[str, dict[str, Any]]:
    """By sender and nonce, which is in decimal here."""
    return {
        hexed(sender): {str(nonce): show(waiting) for nonce, waiting in waiting_of.items()}
        for sender, waiting_of in content.items()
    }


@method("txpool_content")
def pool_content(session: Session) -> Json:
    """What waits, whole: `pending` could be mined now, `queued` waits for others before it."""
    content = session.chain.pool_content()
    return {"pending": _grouped(content.pending, _shown), "queued": _grouped(content.queued, _shown)}


@method("txpool_contentFrom")
def pool_content_from(session: Session, address: Address) -> Json:
    """What waits of one sender."""
    content = session.chain.pool_content()
    return {
        name: {str(nonce): _shown(waiting) for nonce, waiting in group.get(address, {}).items()}
        for name, group in (("pending", content.pending), ("queued", content.queued))
    }


@method("txpool_inspect")
def pool_inspect(session: Session) -> Json:
    """What waits, in a few words each."""
    content = session.chain.pool_content()
    return {"pending": _grouped(content.pending, _summary), "queued": _grouped(content.queued, _summary)}


@method("txpool_status")
def pool_status(session: Session) -> Json:
    """How many wait."""
    content = session.chain.pool_content()
    counts = (sum(len(waiting) for waiting in group.values()) for group in content)
    return dict(zip(("pending", "queued"), map(hex, counts), strict=True))
