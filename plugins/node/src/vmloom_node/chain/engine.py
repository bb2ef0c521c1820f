"""An engine for the transactions of a chain, which may be of kinds that no other chain has.

They may create contracts of other VMs, and come from accounts that the node impersonates, contracts among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, Final

from vmloom import BlockContext, StateAccess
from vmloom.vm import VmHost
from vmloom_evm.engine import BlockOutcome, Engine, run_in_parts
from vmloom_evm.rules import Rules
from vmloom_evm.specification import Specification
from vmloom_evm.system import SystemCall
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.transaction import checks as reasons
from vmloom_evm.transaction.outcome import ALL_CHECKS, Checks, TransactionResult
from vmloom_evm.transaction.types import Signature, Transaction, TransactionRefused
from vmloom_evm.transaction.validation import Facts, refused

from .foreign import deploy, is_foreign

STAND_IN_S: Final = 1
"""s of the signature that stands in for that of an impersonated account; r is the account."""


def stand_in(sender: bytes) -> Signature:
    """What stands in for the signature of an account, 20 bytes, that the node impersonates."""
    return Signature(0, int.from_bytes(sender, "big"), STAND_IN_S)


def is_impersonated(tx: Transaction, sender: bytes) -> bool:
    """Whether `tx` has no signature but what stands in for that of `sender`. No key makes such a signature."""
    signature = tx.signature
    return signature is not None and signature.s == STAND_IN_S and signature == stand_in(sender)


class ChainEngine:
    """Implements `Engine`, which see, over another one. `creates_foreign` off leaves foreign contracts out.

    `host` is that of the transactions, a `NodeHost`.
    """

    def __init__(self, engine: Engine, host: VmHost, *, creates_foreign: bool) -> None:
        self.engine = engine
        self.host = host
        self._creates_foreign = creates_foreign

    @property
    def name(self) -> str:
        """That of the engine which runs code."""
        return self.engine.name

    def __getattr__(self, name: str) -> Any:
        # check, execute, execute_each, deploy and send know nothing of transactions.
        return getattr(self.engine, name)

    def is_special(self, tx: Transaction, sender: bytes) -> bool:
        """Whether other engines would not know what to do with `tx`."""
        if tx.to is None and self._creates_foreign and is_foreign(tx, self.host):
            return True
        return is_impersonated(tx, sender)

    def transact(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        tx: Transaction,
        sender: bytes,
        *,
        gas_available: int | None = None,
        blob_gas_available: int | None = None,
        checks: Checks = ALL_CHECKS,
        tracers: Sequence[Tracer] = (),
        host: VmHost | None = None,
    ) -> TransactionResult:
        """See `Engine.transact`."""
        if checks.nonce and is_impersonated(tx, sender):
            _check_nonce(tx, specification.rules, state, sender)
            checks = replace(checks, nonce=False)  # with which goes that a contract cannot send (EIP-3607)

        def run(one: Transaction) -> TransactionResult:
            return self.engine.transact(
                specification,
                state,
                block,
                one,
                sender,
                gas_available=gas_available,
                blob_gas_available=blob_gas_available,
                checks=checks,
                tracers=tracers,
                host=host,
            )

        if self._creates_foreign and is_foreign(tx, self.host):
            return deploy(run, specification.rules, state, tx, sender)
        return run(tx)

    def transact_all(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        *,
        gas_available: int | None = None,
        blob_gas_available: int | None = None,
        checks: Checks = ALL_CHECKS,
        host: VmHost | None = None,
    ) -> list[TransactionResult | TransactionRefused]:
        """See `Engine.transact_all`. What lies between special transactions runs as one batch."""
        gas = block.gas_limit if gas_available is None else gas_available
        outcomes: list[TransactionResult | TransactionRefused] = []
        for is_special, batch, batch_senders in self._batches(transactions, senders):
            left: dict[str, Any] = {"gas_available": gas, "blob_gas_available": blob_gas_available}
            found: list[TransactionResult | TransactionRefused]
            if is_special:
                try:
                    found = [
                        self.transact(
                            specification, state, block, batch[0], batch_senders[0], checks=checks, host=host, **left
                        )
                    ]
                except TransactionRefused as refusal:
                    found = [refusal]
            else:
                found = self.engine.transact_all(
                    specification, state, block, batch, batch_senders, checks=checks, host=host, **left
                )
            outcomes += found
            if len(outcomes) < len(transactions):
                ran = [one for one in found if isinstance(one, TransactionResult)]
                gas -= sum(one.gas_used for one in ran)
                if blob_gas_available is not None:
                    blob_gas_available -= sum(one.blob_gas_used for one in ran)
        return outcomes

    def run_block(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        transactions: Sequence[Transaction],
        senders: Sequence[bytes],
        *,
        before: Sequence[SystemCall] = (),
        after: Sequence[SystemCall] = (),
        blob_gas_available: int | None = None,
        host: VmHost | None = None,
    ) -> BlockOutcome:
        """See `Engine.run_block`. With special transactions it goes part by part."""
        is_special = any(map(self.is_special, transactions, senders))
        run: Callable[..., BlockOutcome] = partial(run_in_parts, self) if is_special else self.engine.run_block
        return run(
            specification,
            state,
            block,
            transactions,
            senders,
            before=before,
            after=after,
            blob_gas_available=blob_gas_available,
            host=host,
        )

    def _batches(
        self, transactions: Sequence[Transaction], senders: Sequence[bytes]
    ) -> Iterator[tuple[bool, list[Transaction], list[bytes]]]:
        pairs = zip(transactions, senders, strict=True)
        for is_special, group in groupby(pairs, lambda pair: self.is_special(*pair)):
            members = list(group)
            for part in ([one] for one in members) if is_special else (members,):
                yield is_special, [tx for tx, _ in part], [sender for _, sender in part]


def _check_nonce(tx: Transaction, rules: Rules, state: StateAccess, sender: bytes) -> None:
    """Raises `TransactionRefused`."""
    nonce = state.get_nonce(sender)
    if tx.nonce != nonce:
        code = reasons.NONCE_TOO_LOW if tx.nonce < nonce else reasons.NONCE_TOO_HIGH
        raise refused(code, Facts(tx, rules, sender=sender, nonce=nonce))
