"""A transaction as the kernel functions ask for it: `machine.TransactionData` over the Python object."""

from __future__ import annotations

from ..rules import Rules
from .types import Transaction


class TransactionVerbs:
    """The verbs, for a class that has the transaction as `tx`."""

    __slots__ = ()

    tx: Transaction

    def tx_type(self) -> int:
        return self.tx.type

    def tx_is_create(self) -> bool:
        return self.tx.to is None

    def tx_to(self) -> int:
        return int.from_bytes(self.tx.to or b"", "big")

    def tx_nonce(self) -> int:
        return self.tx.nonce

    def tx_gas_limit(self) -> int:
        return self.tx.gas_limit

    def tx_max_fee(self) -> int:
        return self.tx.max_fee_per_gas

    def tx_max_priority_fee(self) -> int:
        return self.tx.max_priority_fee_per_gas

    def tx_max_blob_fee(self) -> int:
        return self.tx.max_fee_per_blob_gas

    def tx_value(self) -> int:
        return self.tx.value

    def tx_data_size(self) -> int:
        return len(self.tx.data)

    def tx_zero_bytes(self) -> int:
        return self.tx.data.count(0)

    def access_accounts(self) -> int:
        return len(self.tx.access_list)

    def access_slots(self) -> int:
        return sum(len(entry.slots) for entry in self.tx.access_list)

    def authorizations(self) -> int:
        return len(self.tx.authorizations)

    def blobs(self) -> int:
        return len(self.tx.blob_hashes)

    def blob_version(self, index: int) -> int:
        return int.from_bytes(self.tx.blob_hashes[index][:1], "big")


class TransactionView(TransactionVerbs):
    """A transaction by itself, and the rules that it is held to."""

    __slots__ = ("rules", "tx")

    def __init__(self, tx: Transaction, rules: Rules) -> None:
        self.tx = tx
        self.rules = rules
