"""The mempool: transactions that wait for a block, by sender and nonce, the best paid first.

It knows no state: whether a transaction may run is decided before it comes here (`admission`), and which nonce a sender
has next is asked for. Not safe to share by threads; the chain's lock guards it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from vmloom_evm.block import SignedTransaction
from vmloom_evm.transaction.types import Transaction

from .errors import PoolRefusal, PoolRefused

MAX_TRANSACTION_BYTES: Final = 128 * 1024
"""As with geth; blobs themselves never come here."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much waits at most. `price_bump` is percent, `max_gap` is how far a nonce may lie ahead of the sender's."""

    max_transactions: int = 20_000
    max_bytes: int = 1 << 26
    """Of the encodings of all that waits together; what Python makes of them takes about as much again"""
    max_per_account: int = 10_000
    max_gap: int = 10_000
    price_bump: int = 10
    min_gas_price: int = 0
    """wei per gas that a transaction must offer at least"""


class Waiting(NamedTuple):
    """A transaction that waits: what a `SignedTransaction` has, and how many came before it."""

    tx: Transaction
    sender: bytes
    encoded: bytes
    hash: bytes
    arrival: int

    @property
    def signed(self) -> SignedTransaction:
        """As blocks take it."""
        return SignedTransaction(self.tx, self.sender, self.encoded, self.hash)

    def tip(self, base_fee: int) -> int:
        """wei per gas for the fee recipient; below 0 if it does not pay the base fee. EIP-1559"""
        return min(self.tx.max_fee_per_gas - base_fee, self.tx.max_priority_fee_per_gas)


class PoolContent(NamedTuple):
    """What waits: those that could run now one after the other, and those behind a gap; by sender and nonce."""

    pending: dict[bytes, dict[int, Waiting]]
    queued: dict[bytes, dict[int, Waiting]]


class Pool:
    """The mempool. `version` rises with every change."""

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self.limits = limits or PoolLimits()
        self.version = 0
        self._by_sender: dict[bytes, dict[int, Waiting]] = {}
        self._by_hash: dict[bytes, Waiting] = {}
        self._cheapest: list[tuple[int, int, bytes]] = []
        """A heap of (most wei per gas, minus arrival, hash); it may name transactions that are gone."""
        self._arrivals = 0
        self._bytes = 0
        """Of the encodings of all that waits."""
        self._saved: tuple[int, tuple[Waiting, ...]] | None = None

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, transaction_hash: bytes) -> bool:
        return transaction_hash in self._by_hash

    def get(self, transaction_hash: bytes) -> Waiting | None:
        """The transaction with this hash, None if it does not wait here."""
        return self._by_hash.get(transaction_hash)

    def hashes(self) -> list[bytes]:
        """Of all that wait, in order of arrival."""
        return list(self._by_hash)

    # Coming and going

    def add(self, signed: SignedTransaction, nonce: int) -> Waiting:
        """Take a transaction of a sender whose next nonce is `nonce`. Raises `PoolRefused`.

        One with the nonce of another that waits replaces it if it offers `price_bump` percent more in both fees.
        """
        self.check(signed, nonce)
        tx, sender, encoded, transaction_hash = signed
        self._arrivals += 1
        waiting = Waiting(tx, sender, encoded, transaction_hash, self._arrivals)
        of_sender = self._by_sender.setdefault(sender, {})
        former = of_sender.get(tx.nonce)
        if former is not None:
            del self._by_hash[former.hash]
            self._bytes -= len(former.encoded)
        self._bytes += len(encoded)
        of_sender[tx.nonce] = waiting
        self._by_hash[transaction_hash] = waiting
        heapq.heappush(self._cheapest, (tx.max_fee_per_gas, -waiting.arrival, transaction_hash))
        if len(self._cheapest) > 2 * len(self._by_hash) + 64:
            self._cheapest = [one for one in self._cheapest if one[2] in self._by_hash]
            heapq.heapify(self._cheapest)
        self.version += 1
        return waiting

    def check(self, signed: SignedTransaction, nonce: int) -> None:
        """Raise `PoolRefused` unless `add` would take the transaction; others may have to go to make room for it."""
        tx, sender, encoded, transaction_hash = signed
        limits = self.limits
        if transaction_hash in self._by_hash:
            raise PoolRefused(PoolRefusal.ALREADY_KNOWN, f"0x{transaction_hash.hex()} waits already")
        if len(encoded) > MAX_TRANSACTION_BYTES:
            raise PoolRefused(PoolRefusal.TOO_LARGE, f"{len(encoded)} bytes, at most {MAX_TRANSACTION_BYTES} are taken")
        if tx.max_fee_per_gas < limits.min_gas_price:
            raise PoolRefused(
                PoolRefusal.UNDERPRICED, f"{tx.max_fee_per_gas} wei per gas, at least {limits.min_gas_price} needed"
            )
        of_sender = self._by_sender.get(sender, {})
        former = of_sender.get(tx.nonce)
        if former is not None:
            self._check_replacement(tx, former)
            if self._bytes + len(encoded) - len(former.encoded) > limits.max_bytes:
                raise PoolRefused(PoolRefusal.POOL_FULL, f"{self._bytes} bytes wait, at most {limits.max_bytes} may")
            return
        if tx.nonce > nonce + limits.max_gap:
            raise PoolRefused(PoolRefusal.NONCE_TOO_FAR, f"nonce {tx.nonce}, the sender's next is {nonce}")
        if len(of_sender) >= limits.max_per_account:
            raise PoolRefused(PoolRefusal.TOO_MANY_OF_SENDER, f"{len(of_sender)} transactions of 0x{sender.hex()} wait")
        while len(self._by_hash) >= limits.max_transactions or self._bytes + len(encoded) > limits.max_bytes:
            self._make_room(tx.max_fee_per_gas)

    def is_passed_by(self, signed: SignedTransaction) -> bool:
        """Whether nothing waits, and the transaction would be taken if it is its sender's next."""
        limits = self.limits
        return (
            not self._by_hash
            and signed.tx.max_fee_per_gas >= limits.min_gas_price
            and len(signed.encoded) <= min(MAX_TRANSACTION_BYTES, limits.max_bytes)
            and limits.max_transactions > 0 < limits.max_per_account
        )

    def _check_replacement(self, tx: Transaction, former: Waiting) -> None:
        bump = 100 + self.limits.price_bump
        for name in ("max_fee_per_gas", "max_priority_fee_per_gas"):
            offered, before = getattr(tx, name), getattr(former.tx, name)
            if offered * 100 < before * bump or offered <= before:
                raise PoolRefused(
                    PoolRefusal.REPLACEMENT_UNDERPRICED,
                    f"{name} {offered}, more than {before} by {self.limits.price_bump} % is needed to replace "
                    f"0x{former.hash.hex()}",
                )

    def _make_room(self, price: int) -> None:
        """Let the cheapest go, the youngest of these first. Raises `PoolRefused` if nothing is cheaper than `price`."""
        while self._cheapest and self._cheapest[0][2] not in self._by_hash:
            heapq.heappop(self._cheapest)
        if not self._cheapest or self._cheapest[0][0] >= price:
            raise PoolRefused(
                PoolRefusal.POOL_FULL,
                f"{len(self._by_hash)} transactions of {self._bytes} bytes wait, none of which pays less",
            )
        self.remove(self._cheapest[0][2])

    def remove(self, transaction_hash: bytes) -> bool:
        """Let a transaction go; False if it was not here."""
        waiting = self._by_hash.pop(transaction_hash, None)
        if waiting is None:
            return False
        self._bytes -= len(waiting.encoded)
        of_sender = self._by_sender[waiting.sender]
        del of_sender[waiting.tx.nonce]
        if not of_sender:
            del self._by_sender[waiting.sender]
        self.version += 1
        return True

    def remove_sender(self, sender: bytes) -> int:
        """Let all transactions of an account go; returns how many."""
        hashes = [waiting.hash for waiting in self._by_sender.get(sender, {}).values()]
        return sum(map(self.remove, hashes))

    def clear(self) -> None:
        """Let all go."""
        self.restore([])

    def drop_stale(self, sender: bytes, nonce: int) -> None:
        """Let those go whose nonce the sender, whose next is `nonce`, has used."""
        of_sender = self._by_sender.get(sender)
        if of_sender:
            for waiting in [one for number, one in of_sender.items() if number < nonce]:
                self.remove(waiting.hash)

    def save(self) -> tuple[Waiting, ...]:
        """All that waits, for `restore`; the same object until something changes."""
        if self._saved is None or self._saved[0] != self.version:
            self._saved = self.version, tuple(self._by_hash.values())
        return self._saved[1]

    def restore(self, saved: Sequence[Waiting]) -> None:
        """Have exactly those that `save` gave."""
        self._by_hash = {waiting.hash: waiting for waiting in saved}
        self._bytes = sum(len(waiting.encoded) for waiting in saved)
        self._by_sender = {}
        for waiting in saved:
            self._by_sender.setdefault(waiting.sender, {})[waiting.tx.nonce] = waiting
        self._cheapest = [(one.tx.max_fee_per_gas, -one.arrival, one.hash) for one in saved]
        heapq.heapify(self._cheapest)
        self.version += 1

    # What may run

    def best(self, base_fee: int, nonce_of: Callable[[bytes], int], *, by_arrival: bool = False) -> Iterator[Waiting]:
        """Those that can run one after the other and pay `base_fee`, the greatest tip first, then the oldest.

        `by_arrival` puts the oldest first, whatever they pay. Of a sender they come in order of nonce, so that a well
        paid one waits for those before it. `nonce_of` tells a sender's next nonce.
        """
        heads: list[tuple[int, int, Waiting, int]] = []

        def offer(sender: bytes, nonce: int) -> None:
            waiting = self._by_sender[sender].get(nonce)
            if waiting is not None and waiting.tip(base_fee) >= 0:
                rank = 0 if by_arrival else -waiting.tip(base_fee)
                heapq.heappush(heads, (rank, waiting.arrival, waiting, nonce))

        for sender in self._by_sender:
            offer(sender, nonce_of(sender))
        while heads:
            _, _, waiting, nonce = heapq.heappop(heads)
            yield waiting
            offer(waiting.sender, nonce + 1)

    def is_ready(self, waiting: SignedTransaction, nonce: int) -> bool:
        """Whether nothing is missing before a transaction that waits, of a sender whose next nonce is `nonce`."""
        return self.next_nonce(waiting.sender, nonce) > waiting.tx.nonce

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The nonce after those that wait without a gap from `nonce`, the sender's next, on."""
        of_sender = self._by_sender.get(sender)
        while of_sender and nonce in of_sender:
            nonce += 1
        return nonce

    def content(self, nonce_of: Callable[[bytes], int]) -> PoolContent:
        """What waits, by whether it could run now."""
        found = PoolContent({}, {})
        for sender, of_sender in self._by_sender.items():
            end = self.next_nonce(sender, nonce_of(sender))
            for nonce, waiting in sorted(of_sender.items()):
                found[0 if nonce < end else 1].setdefault(sender, {})[nonce] = waiting
        return found
