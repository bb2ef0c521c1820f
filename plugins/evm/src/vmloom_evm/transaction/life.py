"""The life of a transaction: kernel functions that every engine shares.

An engine makes a root frame, calls `begin` (which opens the first frame, unless it is declined), runs until the root is
the current frame again, and calls `end`. `begin_message` and `begin_system_call` are for runs that nobody pays for, and
`begin_execution` for a frame that the engine opens itself; each ends with `end_state`. `checks` decides beforehand.
"""

from __future__ import annotations

from vmloom.kernel import U64_MAX, U256_MAX, i64, u64, u160, u256, u512

from ..frames import begin_call, open_contract
from ..halts import INSUFFICIENT_BALANCE, NO_CODE
from ..machine import TransactionMachine
from .checks import blob_gas, effective_gas_price, floor_gas, intrinsic_gas

# Beginning


def begin(m: TransactionMachine) -> None:
    """Take the fee, count the nonce, apply authorisations, open the first frame; `checks.refusal` accepts it."""
    m.begin_transaction()
    m.set_gas_price(effective_gas_price(m))
    buy_gas(m)
    count_transaction(m)
    if m.rules.access_lists:
        warm_up(m)
    for index in range(m.authorizations()):
        m.refund += apply_authorization(m, index)
    open_first(m, m.tx_gas_limit() - intrinsic_gas(m), True)


def begin_message(m: TransactionMachine) -> None:
    """Open the first frame with the whole gas limit, and take no fee: one call or creation by itself."""
    m.begin_transaction()
    m.set_gas_price(m.tx_max_fee())
    if m.rules.access_lists:
        warm_up(m)
    if m.tx_is_create():
        if m.balance(m.address) < m.tx_value():
            m.decline(INSUFFICIENT_BALANCE, m.tx_gas_limit())
            return
        count_transaction(m)
    open_first(m, m.tx_gas_limit(), False)


def begin_system_call(m: TransactionMachine) -> None:
    """Open the frame of a call that the protocol makes: it is free, and nothing is warm. EIP-4788.

    Where there is no code, nothing happens.
    """
    m.begin_transaction()
    m.set_gas_price(0)
    to = m.tx_to()
    if len(m.code_of(to)) == 0:
        m.decline(NO_CODE, m.tx_gas_limit())
        return
    # No value moves, not even none: that would bring the caller about, or touch it.
    begin_call(m, m.tx_gas_limit(), m.address, to, to, False, 0, False, 0, m.tx_data_size(), 0, 0, False)


def begin_execution(m: TransactionMachine, callee: u160) -> None:
    """Before a frame that acts as `callee` is opened as a transaction of its own: what is warm."""
    m.begin_transaction()
    if m.rules.access_lists:
        warm_surroundings(m)
        m.warm(m.origin())
        m.warm(m.address)
        m.warm(callee)


def buy_gas(m: TransactionMachine) -> None:
    """Take from the sender what all gas costs. A simulation may spend what it does not have."""
    cost = u512(m.gas_price()) * m.tx_gas_limit() + u512(m.blob_base_fee()) * blob_gas(m)
    funds = u512(m.balance(m.address))
    if not m.checks_balance():
        funds = max(funds, cost + m.tx_value())
    m.set_balance(m.address, u256(funds - cost))


def count_transaction(m: TransactionMachine) -> None:
    """Raise the sender's nonce, and find the address that a creation at the former one gets."""
    nonce = m.nonce(m.address)
    m.created = m.create_address(nonce) if m.tx_is_create() else 0
    # Only a simulation that does not check the nonce gets to the last one.
    m.set_nonce(m.address, nonce + 1 if nonce < U64_MAX else nonce)


def warm_up(m: TransactionMachine) -> None:
    """Note what is warm from the beginning. EIP-2929, EIP-2930, EIP-3651."""
    warm_surroundings(m)
    m.warm(m.address)
    if not m.tx_is_create():
        m.warm(m.tx_to())
    for entry in range(m.access_accounts()):
        account = m.access_account(entry)
        m.warm(account)
        for index in range(m.access_slots_of(entry)):
            m.warm_slot_of(account, m.access_slot(entry, index))


def warm_surroundings(m: TransactionMachine) -> None:
    """Precompiles, and the fee recipient."""
    m.warm_precompiles()
    if m.rules.warm_coinbase:
        m.warm(m.coinbase())


def apply_authorization(m: TransactionMachine, index: u64) -> i64:
    """Let the signer run another account's code, if the authorisation holds. Returns the gas to refund. EIP-7702."""
    chain_id = m.authorization_chain_id(index)
    nonce = m.authorization_nonce(index)
    if (chain_id != 0 and chain_id != m.chain_id()) or nonce >= U64_MAX:
        return 0
    signer = m.authority(index)
    if signer == 0:
        return 0
    authority = u160(signer)
    m.warm(authority)
    if len(m.code_of(authority)) != 0 and m.delegate_of(authority) == 0:
        return 0
    if m.nonce(authority) != nonce:
        return 0
    refund: i64 = m.rules.authorization_refund if m.exists(authority) else 0
    target = m.authorization_target(index)
    if target == 0:
        m.clear_code(authority)
    else:
        m.set_delegation(authority, target)
    m.set_nonce(authority, nonce + 1)
    return refund


def open_first(m: TransactionMachine, gas: u64, warms_delegate: bool) -> None:
    """Open the first frame: a creation, or a call, which follows a delegation one hop. EIP-7702."""
    if m.tx_is_create():
        open_contract(m, gas, m.created, m.tx_value(), 0, m.tx_data_size())
        return
    to = m.tx_to()
    code_address = to
    delegate = m.delegate_of(to) if m.rules.delegations else u256(0)
    if delegate != 0:
        code_address = u160(delegate)
        if warms_delegate:
            m.warm(code_address)
    begin_call(
        m,
        gas,
        m.address,
        to,
        code_address,
        delegate != 0,
        m.tx_value(),
        True,
        0,
        m.tx_data_size(),
        0,
        0,
        False,
    )


# Ending


def end(m: TransactionMachine) -> None:
    """Refund, pay the fee recipient, delete what is to be deleted. EIP-3529, EIP-7623."""
    limit: i64 = m.tx_gas_limit()
    floor: i64 = floor_gas(m)
    spent: i64 = limit - m.gas
    share: i64 = u64(spent) // m.rules.refund_quotient
    refunded: i64 = min(share, m.refund)
    m.gas_used = max(spent - refunded, floor)
    m.max_gas_used = max(spent, floor)
    unused = u512(m.gas_price()) * u64(limit - m.gas_used)
    m.set_balance(m.address, u256(unused + m.balance(m.address)))
    pay_fee_recipient(m, u512(tip(m)) * u64(m.gas_used))
    end_state(m)


def tip(m: TransactionMachine) -> u256:
    """wei per gas that the fee recipient gets; the base fee is burnt. EIP-1559."""
    price = m.gas_price()
    if not m.rules.base_fee:
        return price
    return (price - m.base_fee()) & U256_MAX if price > m.base_fee() else 0


def pay_fee_recipient(m: TransactionMachine, fee: u512) -> None:
    """Pay `fee` wei. Even nothing brings the account about before EIP-161, and touches it since."""
    coinbase = m.coinbase()
    if fee != 0:
        # No chain has 2**256 wei; a made-up state may, and its sum wraps as a word does.
        m.set_balance(coinbase, u256(m.balance(coinbase) + fee))
    if m.rules.state_clearing:
        m.touch(coinbase)
    else:
        m.bring_about(coinbase)


def end_state(m: TransactionMachine) -> None:
    """Delete destroyed accounts and, since EIP-161, touched ones that are empty."""
    for index in range(m.destroyed_count()):
        m.delete_account(m.destroyed(index))
    if m.rules.state_clearing:
        for index in range(m.touched_count()):
            account = m.touched(index)
            if m.exists(account) and m.is_empty(account):
                m.delete_account(account)
