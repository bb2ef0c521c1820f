"""Whether the mempool may take a transaction: what can be said of it by the state and block that it would meet now."""

from __future__ import annotations

from vmloom import BlockContext
from vmloom.state import NO_ACCOUNT, Account
from vmloom_evm.delegation import delegation_target
from vmloom_evm.rules import Rules
from vmloom_evm.transaction import checks
from vmloom_evm.transaction.types import Transaction
from vmloom_evm.transaction.validation import Facts, blob_gas, refused, validate_static


def admit(
    tx: Transaction,
    sender: bytes,
    account: Account | None,
    rules: Rules,
    block: BlockContext,
    *,
    needs_base_fee: bool,
    is_impersonated: bool = False,
) -> None:
    """Raise `TransactionRefused` for a transaction that cannot run in `block`, nor in one after it as things stand.

    `account` is the sender's. A nonce that is too high is none of that: others may come. `needs_base_fee` refuses what
    does not pay the block's base fee, for a chain whose base fee moves only when it is paid. A contract may send what
    is impersonated.
    """
    validate_static(tx, rules)
    found = account or NO_ACCOUNT
    facts = Facts(tx, rules, block, sender, found.nonce, found.balance, gas_available=block.gas_limit)
    if tx.gas_limit > block.gas_limit:
        raise refused(checks.BLOCK_GAS_EXCEEDED, facts)
    if tx.nonce < found.nonce:
        raise refused(checks.NONCE_TOO_LOW, facts)
    if needs_base_fee and rules.base_fee and tx.max_fee_per_gas < block.base_fee:
        raise refused(checks.FEE_BELOW_BASE_FEE, facts)
    if needs_base_fee and tx.blob_hashes and tx.max_fee_per_blob_gas < block.blob_base_fee:
        raise refused(checks.BLOB_FEE_TOO_LOW, facts)
    if found.code and not is_impersonated and (not rules.delegations or delegation_target(found.code) is None):
        raise refused(checks.SENDER_NOT_EOA, facts)
    if found.balance < tx.max_fee_per_gas * tx.gas_limit + tx.value + tx.max_fee_per_blob_gas * blob_gas(tx):
        raise refused(checks.INSUFFICIENT_FUNDS, facts)
