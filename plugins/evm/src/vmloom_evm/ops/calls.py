"""Calls of other contracts. Each pays for access, memory and value, then opens a frame with what gas it passes on."""

from __future__ import annotations

from vmloom.kernel import Halt, u64, u160, u256

from ..frames import begin_call
from ..gas import charge_account_access, expand_memory, use_gas
from ..halts import OUT_OF_GAS, WRITE_PROTECTION
from ..machine import Machine
from ..table import OpKind, op


def charge_target(m: Machine, account: u160, in_offset: u256, in_size: u256, out_offset: u256, out_size: u256) -> u160:
    """Pay for the memory of input and output and for access to `account`. Returns the account whose code runs."""
    expand_memory(m, in_offset, in_size)
    expand_memory(m, out_offset, out_size)
    charge_account_access(m, account)
    return resolve_code(m, account)


def resolve_code(m: Machine, account: u160) -> u160:
    """Whose code runs: the account's, or one hop on where it delegates, which is charged for. EIP-7702."""
    if not m.rules.delegations:
        return account
    delegate = m.delegate_of(account)
    if delegate == 0:
        return account
    target = u160(delegate)
    use_gas(m, m.rules.warm_access if m.is_warm(target) else m.rules.cold_account)
    m.warm(target)
    return target


def pass_on(m: Machine, asked: u256) -> u64:
    """Take the child's gas from this frame: what was asked for, at most all but 1/64 of what is left. EIP-150."""
    available = u64(m.gas)
    if m.rules.all_but_one_64th:
        available -= available // 64
    elif asked > available:
        raise Halt(OUT_OF_GAS)
    gas = min(asked, available)
    use_gas(m, gas)
    return gas


def charge_value(m: Machine, value: u256) -> u64:
    """Pay for sending wei. Returns the stipend that the child gets for free."""
    if value == 0:
        return 0
    use_gas(m, m.rules.call_value)
    return m.rules.call_stipend


def charge_new_account(m: Machine, account: u160, value: u256) -> None:
    """Pay for an account that the call brings about. EIP-161: only with value, and an empty one counts as new."""
    if m.rules.state_clearing:
        if value != 0 and m.is_empty(account):
            use_gas(m, m.rules.new_account)
    elif not m.exists(account):
        use_gas(m, m.rules.new_account)


@op(0xF1, "CALL", kind=OpKind.FRAME, pushes=1)
def call(
    m: Machine,
    gas: u256,
    to: u256,
    value: u256,
    in_offset: u256,
    in_size: u256,
    out_offset: u256,
    out_size: u256,
) -> None:
    """Call an account, sending it wei."""
    if m.is_static and value != 0:
        raise Halt(WRITE_PROTECTION)
    account = u160(to)
    code_address = charge_target(m, account, in_offset, in_size, out_offset, out_size)
    charge_new_account(m, account, value)
    stipend = charge_value(m, value)
    begin_call(
        m,
        pass_on(m, gas) + stipend,
        m.address,
        account,
        code_address,
        code_address != account,
        value,
        True,
        u64(in_offset),
        u64(in_size),
        u64(out_offset),
        u64(out_size),
        m.is_static,
    )


@op(0xF2, "CALLCODE", kind=OpKind.FRAME, pushes=1)
def callcode(
    m: Machine,
    gas: u256,
    to: u256,
    value: u256,
    in_offset: u256,
    in_size: u256,
    out_offset: u256,
    out_size: u256,
) -> None:
    """Run another account's code as this account, sending wei to itself."""
    account = u160(to)
    code_address = charge_target(m, account, in_offset, in_size, out_offset, out_size)
    stipend = charge_value(m, value)
    begin_call(
        m,
        pass_on(m, gas) + stipend,
        m.address,
        m.address,
        code_address,
        code_address != account,
        value,
        True,
        u64(in_offset),
        u64(in_size),
        u64(out_offset),
        u64(out_size),
        m.is_static,
    )


@op(0xF4, "DELEGATECALL", kind=OpKind.FRAME, pushes=1)
def delegatecall(
    m: Machine, gas: u256, to: u256, in_offset: u256, in_size: u256, out_offset: u256, out_size: u256
) -> None:
    """Run another account's code as this account, keeping caller and value. EIP-7."""
    account = u160(to)
    code_address = charge_target(m, account, in_offset, in_size, out_offset, out_size)
    begin_call(
        m,
        pass_on(m, gas),
        m.caller,
        m.address,
        code_address,
        code_address != account,
        m.value,
        False,
        u64(in_offset),
        u64(in_size),
        u64(out_offset),
        u64(out_size),
        m.is_static,
    )


@op(0xFA, "STATICCALL", kind=OpKind.FRAME, pushes=1)
def staticcall(
    m: Machine, gas: u256, to: u256, in_offset: u256, in_size: u256, out_offset: u256, out_size: u256
) -> None:
    """Call an account that may not change the state. EIP-214."""
    account = u160(to)
    code_address = charge_target(m, account, in_offset, in_size, out_offset, out_size)
    begin_call(
        m,
        pass_on(m, gas),
        m.address,
        account,
        code_address,
        code_address != account,
        0,
        True,
        u64(in_offset),
        u64(in_size),
        u64(out_offset),
        u64(out_size),
        True,
    )
