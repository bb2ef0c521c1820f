"""The life of a transaction: buy gas, run the first frame, refund, pay, clean up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmloom import BlockContext, ExecutionState, StateAccess
from vmloom.kernel import U64_MAX, U256_MAX
from vmloom.vm import VmHost

from ..delegation import delegation_target, designator
from ..frames import begin_call, open_contract
from ..halts import HALT_NAMES, REVERT, SUCCESS
from ..hashing import create_address
from ..marks import DESTROYED, TOUCHED, WARM_ACCOUNTS, WARM_SLOTS
from ..reference.execution import Execution
from ..reference.frame import VM_NAME, EvmFrame
from ..rules import Rules
from ..specification import Specification
from ..trace.hooks import Tracer
from .outcome import ALL_CHECKS, Checks, TransactionResult
from .signing import recover_authority, recover_sender
from .types import AccessListEntry, Authorization, Transaction
from .validation import (
    blob_gas,
    effective_gas_price,
    floor_gas,
    intrinsic_gas,
    validate_in_block,
    validate_sender,
    validate_static,
)

__all__ = ["ALL_CHECKS", "Checks", "TransactionResult", "apply_transaction"]


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
) -> TransactionResult:
    """Run `tx` on `state`, leaving its changes in the undo log.

    `sender` spares the recovery from the signature; `gas_available` is what the block has left (default: its gas
    limit). Raises `TransactionRefused`, with the state untouched, for a transaction that may not run.
    """
    rules = specification.rules
    validate_static(tx, rules)
    if sender is None:
        sender = recover_sender(tx, rules, block.chain_id)
    available = block.gas_limit if gas_available is None else gas_available
    validate_in_block(tx, block, rules, gas_available=available, check_base_fee=checks.base_fee)
    validate_sender(tx, sender, state, rules, check_nonce=checks.nonce, check_balance=checks.balance)
    run = _Run(specification, state, block, tx, sender, tracers, host)
    checkpoint = state.snapshot()
    try:
        return run.apply(checks)
    except BaseException:
        state.revert(checkpoint)
        raise


class _Run:
    """One transaction on its way: the steps in order, each a method."""

    def __init__(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        tx: Transaction,
        sender: bytes,
        tracers: Sequence[Tracer],
        host: VmHost | None,
    ) -> None:
        self.specification = specification
        self.rules = specification.rules
        self.state = state
        self.block = block
        self.tx = tx
        self.sender = sender
        self.tracers = tracers
        self.host = host
        self.gas_price = effective_gas_price(tx, block.base_fee) if self.rules.base_fee else tx.max_fee_per_gas

    def apply(self, checks: Checks) -> TransactionResult:
        state, tx = self.state, self.tx
        checkpoint = state.snapshot()
        state.begin_transaction()
        self.buy_gas(checks)
        nonce = state.get_nonce(self.sender)
        state.set_nonce(self.sender, nonce + 1)
        called = [self.sender] if tx.to is None else [self.sender, tx.to]
        warm_up(state, self.specification, self.block, called, tx.access_list)
        refund = sum(apply_authorization(state, self.rules, self.block, one) for one in tx.authorizations)
        execution = Execution(
            self.specification,
            state,
            self.block,
            origin=self.sender,
            gas_price=self.gas_price,
            blob_hashes=tx.blob_hashes,
            tracers=self.tracers,
            host=self.host,
        )
        root = execution.root(self.sender, 0, tx.data)
        root.refund = refund
        created = create_address(self.sender, nonce) if tx.to is None else None
        self.open(root, tx.gas_limit - intrinsic_gas(tx, self.rules), created)
        execution.run(root)
        return self.settle(execution, root, created, checkpoint)

    def buy_gas(self, checks: Checks) -> None:
        cost = self.tx.gas_limit * self.gas_price + blob_gas(self.tx) * self.block.blob_base_fee
        balance = self.state.get_balance(self.sender)
        if not checks.balance:  # a simulation may spend what it does not have
            balance = max(balance, cost + self.tx.value)
        self.state.set_balance(self.sender, balance - cost)

    def open(self, root: EvmFrame, gas: int, created: bytes | None) -> None:
        """Open the first frame: a call, or the creation of `created`."""
        tx = self.tx
        if tx.to is None:
            assert created is not None
            open_contract(root, gas, int.from_bytes(created, "big"), tx.value, 0, len(tx.data))
            return
        to = int.from_bytes(tx.to, "big")
        delegate = delegation_target(self.state.get_code(tx.to)) if self.rules.delegations else None
        code_address = to
        if delegate is not None:
            code_address = int.from_bytes(delegate, "big")
            root.warm(code_address)
        delegated = delegate is not None
        begin_call(
            root, gas, root.address, to, code_address, delegated, tx.value, True, 0, len(tx.data), 0, 0, is_static=False
        )

    def settle(self, execution: Execution, root: EvmFrame, created: bytes | None, checkpoint: int) -> TransactionResult:
        """Refund, pay the fee recipient, delete what is to be deleted, and sum up. EIP-3529, EIP-7623."""
        tx, rules, state = self.tx, self.rules, self.state
        max_used = tx.gas_limit - root.gas
        refunded = min(max_used // rules.refund_quotient, root.refund)
        floor = floor_gas(tx, rules)
        used = max(max_used - refunded, floor)
        unused = (tx.gas_limit - used) * self.gas_price
        state.set_balance(self.sender, (state.get_balance(self.sender) + unused) & U256_MAX)
        tip = self.gas_price - self.block.base_fee if rules.base_fee else self.gas_price
        pay_fee_recipient(root, self.block.coinbase, used * max(tip, 0))
        end_transaction(state, rules)
        status = execution.status
        outcome = {SUCCESS: ExecutionState.SUCCESS, REVERT: ExecutionState.REVERTED}
        return TransactionResult(
            state=outcome.get(status, ExecutionState.FAILED),
            gas_used=used,
            gas_refunded=max_used - used if max_used > used else 0,
            max_gas_used=max(max_used, floor),
            gas_price=self.gas_price,
            blob_gas_used=blob_gas(tx),
            return_data=root.return_data,
            events=tuple(state.events),
            created=created if status == SUCCESS else None,
            state_changes=tuple(state.changes_since(checkpoint)),
            error=HALT_NAMES[status],
        )


def warm_up(
    state: StateAccess,
    specification: Specification,
    block: BlockContext,
    accounts: Iterable[bytes],
    access_list: Sequence[AccessListEntry] = (),
) -> None:
    """Mark what is warm from the beginning: `accounts`, precompiles, the fee recipient, the access list.

    EIP-2929, EIP-2930, EIP-3651.
    """
    rules = specification.rules
    if not rules.access_lists:
        return
    warm = [*accounts, *(entry.address for entry in access_list)]
    if rules.warm_coinbase:
        warm.append(block.coinbase)
    marks = state.marks(WARM_ACCOUNTS)
    marks.update(dict.fromkeys(specification.precompiles, True))
    marks.update({int.from_bytes(address, "big"): True for address in warm})
    slots = state.marks(WARM_SLOTS)
    for entry in access_list:
        address = int.from_bytes(entry.address, "big")
        slots.update({(address, slot): True for slot in entry.slots})


def apply_authorization(state: StateAccess, rules: Rules, block: BlockContext, authorization: Authorization) -> int:
    """Let the signer run another account's code, if the authorisation holds. Returns the gas to refund. EIP-7702."""
    if authorization.chain_id not in (0, block.chain_id) or authorization.nonce >= U64_MAX:
        return 0
    authority = recover_authority(authorization)
    if authority is None:
        return 0
    state.mark(WARM_ACCOUNTS, int.from_bytes(authority, "big"))
    code = state.get_code(authority)
    if code and delegation_target(code) is None:
        return 0
    if state.get_nonce(authority) != authorization.nonce:
        return 0
    refund = rules.authorization_refund if state.account_exists(authority) else 0
    if any(authorization.address):
        state.set_code(authority, designator(authorization.address), VM_NAME)
    else:
        state.set_code(authority, b"", "")
    state.set_nonce(authority, authorization.nonce + 1)
    return refund


def pay_fee_recipient(root: EvmFrame, coinbase: bytes, fee: int) -> None:
    """Pay `fee` wei. Even nothing brings the account about before EIP-161, and touches it since."""
    if fee:
        root.state.set_balance(coinbase, (root.state.get_balance(coinbase) + fee) & U256_MAX)
    if root.rules.state_clearing:
        root.touch(int.from_bytes(coinbase, "big"))
    else:
        root.bring_about(int.from_bytes(coinbase, "big"))


def end_transaction(state: StateAccess, rules: Rules) -> None:
    """Delete destroyed accounts and, since EIP-161, touched ones that are empty."""
    for address in state.marks(DESTROYED):
        assert isinstance(address, bytes)
        state.delete_account(address)
    if rules.state_clearing:
        for address in state.marks(TOUCHED):
            assert isinstance(address, bytes)
            if state.account_exists(address) and state.is_empty(address):
                state.delete_account(address)
