"""What a block keeps of each transaction: success or state root, gas, logs. Yellow paper, section 4.4.1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vmloom import Event

from ..commitment import bits_of_logs, encode_logs, logs_bloom, ordered_root
from ..rlp import list_of, number
from ..transaction.types import TransactionType
from ..trie.nodes import string

_SUCCESS = b"\x01"
_FAILURE = b"\x80"
_BLOOM = b"\xb9\x01\x00"
"""What stands before the 256 bytes of a bloom filter in RLP."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of an included transaction, and beside it what is known of the transaction but not committed to.

    Gas is in gas, prices are wei per gas. `state_root` (32 bytes) is empty since Byzantium, where `success` took its
    place (EIP-658). `contract` is the 20-byte address of the creation that the transaction tried, None for a call.
    """

    type: TransactionType
    success: bool
    state_root: bytes
    cumulative_gas_used: int
    events: tuple[Event, ...]
    transaction_hash: bytes
    gas_used: int
    gas_price: int
    contract: bytes | None = None
    blob_gas_used: int = 0
    blob_gas_price: int = 0

    @property
    def bloom(self) -> bytes:
        """The 256-byte bloom filter of the logs."""
        return logs_bloom(self.events)

    def encode(self) -> bytes:
        """The receipt as the receipts root is taken over it: RLP, after the type of a typed transaction (EIP-2718)."""
        return encode_receipt(self.type, self.state_root, self.success, self.cumulative_gas_used, self.events)[0]


def encode_receipt(
    kind: TransactionType, state_root: bytes, success: bool, cumulative_gas_used: int, events: Sequence[Event]
) -> tuple[bytes, int]:
    """A receipt as the receipts root is taken over it, and the bits of the bloom filter in it. See `Receipt`."""
    bloom = bits_of_logs(events)
    outcome = string(state_root) if state_root else _SUCCESS if success else _FAILURE
    payload = list_of((outcome, number(cumulative_gas_used), _BLOOM, bloom.to_bytes(256, "big"), encode_logs(events)))
    return (payload if kind == TransactionType.LEGACY else bytes((kind,)) + payload), bloom


def receipts_root(receipts: Iterable[Receipt]) -> bytes:
    """Root of the trie of a block's receipts, 32 bytes."""
    return ordered_root(receipt.encode() for receipt in receipts)
