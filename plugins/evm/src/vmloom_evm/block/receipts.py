"""What a block keeps of each transaction: success or state root, gas, logs. Yellow paper, section 4.4.1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from vmloom import Event

from .. import rlp
from ..commitment import encodable_logs, logs_bloom, ordered_root
from ..rlp import RlpItem
from ..transaction.types import TransactionType


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

    def encode(self, bloom: bytes | None = None) -> bytes:
        """The receipt as the receipts root is taken over it: RLP, after the type of a typed transaction (EIP-2718).

        `bloom` spares its computation to who has it.
        """
        outcome = self.state_root or (b"\x01" if self.success else b"")
        logs = cast("RlpItem", encodable_logs(self.events))
        filtered = self.bloom if bloom is None else bloom
        payload = rlp.encode([outcome, rlp.integer(self.cumulative_gas_used), filtered, logs])
        return payload if self.type == TransactionType.LEGACY else bytes([self.type]) + payload


def receipts_root(receipts: Iterable[Receipt]) -> bytes:
    """Root of the trie of a block's receipts, 32 bytes."""
    return ordered_root(receipt.encode() for receipt in receipts)
