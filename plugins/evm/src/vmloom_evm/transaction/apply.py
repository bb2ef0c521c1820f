"""Transactions on a state, whichever engine runs them: find who sent them, then hand them over."""

from __future__ import annotations

from collections.abc import Sequence

from vmloom import BlockContext, StateAccess
from vmloom.vm import VmHost

from ..engine import Engine
from ..fees import GAS_PER_BLOB
from ..reference.engine import REFERENCE
from ..specification import Specification
from ..trace.hooks import Tracer
from .outcome import ALL_CHECKS, Checks, TransactionResult
from .signing import recover_sender
from .types import Transaction, TransactionRefused
from .validation import validate_static

__all__ = ["ALL_CHECKS", "Checks", "TransactionResult", "apply_transaction", "apply_transactions"]


def apply_transaction(
    specification: Specification,
    state: StateAccess,
    block: BlockContext,
    tx: Transaction,
    *,
    sender: bytes | None = None,
    gas_available: int | None = None,
    tracers: Sequence[Tracer] = (),
    checks: Checks = ALL_CHECKS,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
) -> TransactionResult:
    """Run `tx` on `state`, leaving its changes in the undo log.

    `sender` spares the recovery from the signature; `gas_available` is what the block has left (default: its gas
    limit). Raises `TransactionRefused`, with the state untouched, for a transaction that may not run.
    """
    return engine.transact(
        specification,
        state,
        block,
        tx,
        sender_of(specification, block, tx) if sender is None else sender,
        gas_available=gas_available,
        checks=checks,
        tracers=tracers,
        host=host,
    )


def apply_transactions(
    specification: Specification,
    state: StateAccess,
    block: BlockContext,
    transactions: Sequence[Transaction],
    *,
    senders: Sequence[bytes | None] | None = None,
    gas_available: int | None = None,
    blob_gas_available: int | None = None,
    checks: Checks = ALL_CHECKS,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
) -> list[TransactionResult | TransactionRefused]:
    """Run the transactions of a block in order, each on what those before it left of state and gas.

    One that may not run has its refusal in its place, and takes nothing. `senders` spares recoveries, wherever it is
    not None; `gas_available` and `blob_gas_available` are what the block has left before the first (default: all).
    Raises `ValueError` for another number of senders than of transactions.
    """
    if senders is None:
        senders = [None] * len(transactions)
    outcomes: list[TransactionResult | TransactionRefused | None] = []
    runnable: list[tuple[Transaction, bytes]] = []
    for tx, sender in zip(transactions, senders, strict=True):
        try:
            runnable.append((tx, sender_of(specification, block, tx) if sender is None else sender))
            outcomes.append(None)
        except TransactionRefused as cause:
            outcomes.append(cause)
    ran = iter(
        engine.transact_all(
            specification,
            state,
            block,
            [tx for tx, _ in runnable],
            [sender for _, sender in runnable],
            gas_available=gas_available,
            blob_gas_available=(
                specification.rules.blob_limit * GAS_PER_BLOB if blob_gas_available is None else blob_gas_available
            ),
            checks=checks,
            host=host,
        )
    )
    return [next(ran) if outcome is None else outcome for outcome in outcomes]


def sender_of(specification: Specification, block: BlockContext, tx: Transaction) -> bytes:
    """The 20-byte address that signed `tx`. Raises `TransactionRefused`, for what no state can make valid first."""
    try:
        return recover_sender(tx, specification.rules, block.chain_id)
    except TransactionRefused:
        validate_static(tx, specification.rules)
        raise
