"""Which transaction created which contract: found by reading receipts, and remembered as the chain grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from vmloom.state import Account
from vmloom.store import StoredState

from .encoding import Json, hexed, maybe_hexed, maybe_quantity
from .limits import check_deadline

if TYPE_CHECKING:
    from ..chain import Chain

MAX_CONTRACTS: Final = 1_000
"""In one answer."""
_STRIDE: Final = 256
"""Accounts or blocks that are read between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Creation:
    """The transaction that created a contract, who sent it, and the number of its block."""

    block_number: int
    creator: bytes
    transaction_hash: bytes


class Creations:
    """The creations of `chain` by address. What a contract created by itself is not among them."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._lock = Lock()
        self._found: dict[bytes, Creation] = {}
        self._read_to: tuple[int, bytes] | None = None
        """Number and hash of the last block that was read."""

    def get(self) -> dict[bytes, Creation]:
        """All there are. Raises `RpcError` if the time of this call is up; the next one goes on from there."""
        chain = self._chain
        with self._lock:
            head = chain.head.number
            if self._read_to is not None and not self._is_current(*self._read_to):
                self._found.clear()  # the chain has gone back
                self._read_to = None
            first = chain.genesis.number if self._read_to is None else self._read_to[0] + 1
            for number in range(first, head + 1):
                if number % _STRIDE == 0:
                    check_deadline()
                self._read(number)
            return self._found

    def _is_current(self, number: int, block_hash: bytes) -> bool:
        return number <= self._chain.head.number and self._chain.block(number).hash == block_hash

    def _read(self, number: int) -> None:
        block = self._chain.block(number)
        if any(tx.to is None for tx in block.transactions):
            for receipt in self._chain.receipts(number):
                if receipt.contract is not None and receipt.success:
                    self._found[receipt.contract] = Creation(number, receipt.sender, receipt.transaction_hash)
        self._read_to = number, block.hash


def contracts_json(chain: Chain, creations: Creations, limit: int, after: bytes | None) -> list[Json]:
    """Contracts by address, at most `limit` of those beyond `after`."""
    known = creations.get()
    found: list[Json] = []
    for address, account in _contracts(chain, after or b""):
        if len(found) == limit:
            break
        created = known.get(address)
        found.append(
            {
                "address": hexed(address),
                "vm": account.vm or chain.evm.host.default_vm,
                "codeSize": len(account.code),
                "blockNumber": created and maybe_quantity(created.block_number),
                "creator": created and maybe_hexed(created.creator),
                "transactionHash": created and maybe_hexed(created.transaction_hash),
            }
        )
    return found


def _contracts(chain: Chain, after: bytes) -> Iterator[tuple[bytes, Account]]:
    with chain.store.at(chain.store.version) as view:
        for count, (address, account) in enumerate(StoredState(view).accounts()):
            if count % _STRIDE == 0:
                check_deadline()
            if account.code and address > after:
                yield address, account
