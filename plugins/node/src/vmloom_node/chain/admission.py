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
    code = checks.ACCEPTED
    if tx.gas_limit > block.gas_limit:
        code = checks.BLOCK_GAS_EXCEEDED
    elif tx.nonce < found.nonce:
        code = checks.NONCE_TOO_LOW
    elif needs_base_fee and rules.base_fee and tx.max_fee_per_gas < block.base_fee:
        code = checks.FEE_BELOW_BASE_FEE
    elif needs_base_fee and tx.blob_hashes and tx.max_fee_per_blob_gas < block.blob_base_fee:
        code = checks.BLOB_FEE_TOO_LOW
    elif found.code and not is_impersonated and (not rules.delegations or delegation_target(found.code) is None):
        code = checks.SENDER_NOT_EOA
    elif found.balance < tx.max_fee_per_gas * tx.gas_limit + tx.value + tx.max_fee_per_blob_gas * blob_gas(tx):
        code = checks.INSUFFICIENT_FUNDS
    if code != checks.ACCEPTED:
        raise refused(code, Facts(tx, rules, block, sender, found.nonce, found.balance, gas_available=block.gas_limit))
