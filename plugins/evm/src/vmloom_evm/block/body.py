"""What a block commits to of its transactions: their receipts, the bloom filter of their logs, and the roots of both.

Of results of native code it is made in one native call; of any others, in Python. Both give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from ..commitment import ordered_root
from ..results import LateTransactionResult
from ..transaction.outcome import TransactionResult
from ..transaction.types import Transaction
from .receipts import encode_receipt


class SignedTransaction(NamedTuple):
    """A transaction of which it is known already who sent it (20 bytes) and how it is encoded.

    Who gives it vouches for the sender: the signature is not looked at.
    """

    tx: Transaction
    sender: bytes
    encoded: bytes
    hash: bytes


class Body(NamedTuple):
    """Receipts as the receipts root is taken over them; gas in gas; the bloom filter has 256 bytes, roots have 32."""

    receipts: tuple[bytes, ...]
    gas_used: int
    bloom: bytes
    transactions_root: bytes
    receipts_root: bytes


def body(
    signed: Sequence[SignedTransaction], results: Sequence[TransactionResult], state_roots: Sequence[bytes] = ()
) -> Body:
    """The body of transactions with these results; `state_roots` are those after each of them, before Byzantium."""
    if results and not state_roots and results[0].__class__ is LateTransactionResult:
        made = _native_body()([one.tx.type for one in signed], [one.encoded for one in signed], results)
        if made is not None:
            return Body(*made)
    return body_in_python(signed, results, state_roots)


def body_in_python(
    signed: Sequence[SignedTransaction], results: Sequence[TransactionResult], state_roots: Sequence[bytes] = ()
) -> Body:
    """`body` of results of whatever engine."""
    gas, bloom = 0, 0
    receipts = []
    for number, (one, result) in enumerate(zip(signed, results, strict=True)):
        gas += result.gas_used
        root = state_roots[number] if state_roots else b""
        encoded, bits = encode_receipt(one.tx.type, root, result.success, gas, result.events)
        receipts.append(encoded)
        bloom |= bits
    transactions_root = ordered_root([one.encoded for one in signed])
    return Body(tuple(receipts), gas, bloom.to_bytes(256, "big"), transactions_root, ordered_root(receipts))


@cache
def _native_body() -> Callable[..., tuple[Any, ...] | None]:
    """`native_body`, which is there where results of native code are."""
    from ..native.bodies import native_body

    return native_body
