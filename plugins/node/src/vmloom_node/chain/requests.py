"""A transaction that somebody asks for, with as much of it left out as they like: what eth_call and the like are given.

What the chain knows better (nonce, fees, gas) is filled in by it; what the parts say together about the type is decided
here, as geth does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vmloom.errors import InputError
from vmloom_evm.transaction.types import AccessListEntry, Authorization, Transaction, TransactionType

BlockTag: TypeAlias = Literal["earliest", "latest", "pending", "safe", "finalized"]
BlockRef: TypeAlias = int | bytes | BlockTag
"""A block by number, by its 32-byte hash, or by name. `safe` and `finalized` are the last block: one node agrees."""


@dataclass(frozen=True, slots=True)
class TransactionRequest:
    """The wanted parts of a transaction; None is for the node to choose. Fees are wei per gas, `value` is wei.

    `to` None creates a contract, for the VM that `vm` names. `gas_price` excludes the two fees of EIP-1559.
    """

    sender: bytes | None = None
    to: bytes | None = None
    value: int = 0
    data: bytes = b""
    nonce: int | None = None
    gas_limit: int | None = None
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    access_list: tuple[AccessListEntry, ...] | None = None
    chain_id: int | None = None
    type: TransactionType | None = None
    max_fee_per_blob_gas: int | None = None
    blob_hashes: tuple[bytes, ...] | None = None
    authorizations: tuple[Authorization, ...] | None = None
    vm: str | None = None

    @property
    def has_fees(self) -> bool:
        """Whether it says what it pays for gas, in whichever way."""
        return self.gas_price is not None or self.max_fee_per_gas is not None

    def check(self, chain_id: int) -> None:
        """Raise `InputError` for parts that contradict each other or the chain."""
        if self.gas_price is not None:
            if self.max_fee_per_gas is not None or self.max_priority_fee_per_gas is not None:
                raise InputError("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
            if self.blob_hashes is not None or self.authorizations is not None:
                raise InputError("gasPrice is not for transactions with blobs or authorizations, give maxFeePerGas")
        fee, tip = self.max_fee_per_gas, self.max_priority_fee_per_gas
        if fee is not None and tip is not None and fee < tip:
            raise InputError(f"maxFeePerGas ({fee}) < maxPriorityFeePerGas ({tip})")
        if self.chain_id is not None and self.chain_id != chain_id:
            raise InputError(f"chainId does not match node's (have={self.chain_id}, want={chain_id})")
        if self.to is None and self.blob_hashes is not None:
            raise InputError('missing "to" in blob transaction')
        if self.blob_hashes == ():
            raise InputError("need at least 1 blob for a blob transaction")

    def kind(self, *, has_base_fee: bool) -> TransactionType:
        """The type that it is of: as asked for, or by the parts it has; `has_base_fee` since London."""
        if self.type is not None:
            return self.type
        if self.authorizations is not None:
            return TransactionType.SET_CODE
        if self.blob_hashes is not None or self.max_fee_per_blob_gas is not None:
            return TransactionType.BLOB
        if has_base_fee and self.gas_price is None:
            return TransactionType.FEE_MARKET
        return TransactionType.LEGACY if self.access_list is None else TransactionType.ACCESS_LIST

    def transaction(
        self,
        *,
        chain_id: int,
        nonce: int,
        gas_limit: int,
        max_fee: int,
        tip: int,
        has_base_fee: bool = True,
        blob_fee: int = 0,
    ) -> Transaction:
        """The transaction, unsigned; the arguments are for what it leaves out.

        Raises `InputError` for parts that contradict each other or the chain.
        """
        self.check(chain_id)
        kind = self.kind(has_base_fee=has_base_fee)
        if self.gas_price is not None:
            max_fee = tip = self.gas_price
        else:
            # A fee that is given bounds a tip that is not, and the other way round.
            wanted_tip, wanted_fee = self.max_priority_fee_per_gas, self.max_fee_per_gas
            tip = tip if wanted_tip is None else wanted_tip
            max_fee = max(max_fee, tip) if wanted_fee is None else wanted_fee
            tip = min(tip, max_fee)
        if kind < TransactionType.FEE_MARKET:
            tip = max_fee
        if self.max_fee_per_blob_gas is not None:
            blob_fee = self.max_fee_per_blob_gas
        return Transaction(
            type=kind,
            chain_id=chain_id,
            nonce=nonce if self.nonce is None else self.nonce,
            max_fee_per_gas=max_fee,
            max_priority_fee_per_gas=tip,
            gas_limit=gas_limit if self.gas_limit is None else self.gas_limit,
            to=self.to,
            value=self.value,
            data=self.data,
            access_list=self.access_list or (),
            max_fee_per_blob_gas=blob_fee if kind == TransactionType.BLOB else 0,
            blob_hashes=self.blob_hashes or (),
            authorizations=self.authorizations or (),
        )
