"""How frames begin and end: kernel functions shared by call ops, create ops and transactions.

A transaction is a root frame whose account is the sender and whose memory is the transaction's data; it
opens the first real frame just as CALL and CREATE do, so these rules stand here once. After a frame is opened or
closed, only the returned machine may be used: the verbs switch frames.
"""

from __future__ import annotations

from vmloom.kernel import U64_MAX, u64, u160, u256

from .halts import (
    ADDRESS_COLLISION,
    CALL_DEPTH,
    CODE_STORE_OUT_OF_GAS,
    CODE_TOO_LARGE,
    INSUFFICIENT_BALANCE,
    INVALID_CODE_PREFIX,
    NONCE_OVERFLOW,
    REVERT,
    SUCCESS,
)
from .machine import Machine

EF_PREFIX = 0xEF


def transfer(m: Machine, source: u160, destination: u160, value: u256) -> None:
    """Move `value` wei. Before EIP-161 the destination comes to exist even for 0 wei, since then it is touched."""
    m.move_balance(source, destination, value)
    if m.rules.state_clearing:
        m.touch(destination)
    else:
        m.bring_about(destination)


# Beginning


def begin_call(
    m: Machine,
    gas: u64,
    caller: u160,
    address: u160,
    code_address: u160,
    delegated: bool,
    value: u256,
    moves_value: bool,
    input_offset: u64,
    input_size: u64,
    output_offset: u64,
    output_size: u64,
    is_static: bool,
) -> None:
    """Open a frame with `gas`, which the caller has paid, for the code of `code_address` acting as `address`."""
    m.clear_return_data()
    if m.depth >= m.rules.call_depth_limit:
        m.decline(CALL_DEPTH, gas)
        return
    if moves_value and m.balance(m.address) < value:
        m.decline(INSUFFICIENT_BALANCE, gas)
        return
    child = m.open_call(
        gas,
        caller,
        address,
        code_address,
        delegated,
        value,
        input_offset,
        input_size,
        output_offset,
        output_size,
        is_static,
    )
    if moves_value:
        transfer(child, caller, address, value)


def begin_create(m: Machine, address: u160, value: u256, offset: u64, size: u64) -> None:
    """Open a frame for init code in memory that creates a contract at `address`, giving it all gas it may have."""
    gas = u64(m.gas)
    if m.rules.all_but_one_64th:
        gas -= gas // 64
    m.gas -= gas
    m.clear_return_data()
    nonce = m.nonce(m.address)
    if m.depth >= m.rules.call_depth_limit:
        m.decline(CALL_DEPTH, gas)
        return
    if m.balance(m.address) < value:
        m.decline(INSUFFICIENT_BALANCE, gas)
        return
    if nonce == U64_MAX:
        m.decline(NONCE_OVERFLOW, gas)
        return
    m.set_nonce(m.address, nonce + 1)
    open_contract(m, gas, address, value, offset, size)


def open_contract(m: Machine, gas: u64, address: u160, value: u256, offset: u64, size: u64) -> None:
    """Open the frame of a creation. The address stays warm whatever happens; a collision burns the gas. EIP-684."""
    if m.rules.access_lists:
        m.warm(address)
    if collides(m, address):
        m.decline(ADDRESS_COLLISION, 0)
        return
    child = m.open_create(gas, address, value, offset, size)
    child.begin_account(address)
    if child.rules.contract_nonce:
        child.set_nonce(address, child.rules.contract_nonce)
    transfer(child, child.caller, address, value)


def collides(m: Machine, address: u160) -> bool:
    """Whether a contract may not be created at `address`, since one is there. EIP-684, EIP-7610."""
    if m.nonce(address) != 0 or len(m.code_of(address)) != 0:
        return True
    return m.rules.reject_storage_collision and m.has_storage(address)


# Ending


def end_success(m: Machine, offset: u64, size: u64) -> None:
    """Leave with a range of memory as output: of a call, for its caller; of a creation, the new contract's code."""
    if m.is_create:
        end_create(m, offset, size)
        return
    gas = m.gas
    refund = m.refund
    output_offset = m.output_offset
    output_size = m.output_size
    parent = m.close(SUCCESS, offset, size)
    parent.gas += gas
    parent.refund += refund
    copy_output(parent, output_offset, output_size)
    parent.push(1)


def end_create(m: Machine, offset: u64, size: u64) -> None:
    """Deploy a range of memory as the contract's code, if it is allowed and paid for."""
    status = deployment_status(m, offset, size)
    deployed = size
    if status == CODE_STORE_OUT_OF_GAS and not m.rules.deposit_failure_reverts:
        status = SUCCESS
        deployed = 0
    if status != SUCCESS:
        end_failure(m, status)
        return
    gas = m.gas - m.rules.code_deposit_byte * deployed
    refund = m.refund
    address = m.address
    m.set_code(address, offset, deployed)
    parent = m.close_empty(SUCCESS)
    parent.gas += gas
    parent.refund += refund
    parent.push(address)


def deployment_status(m: Machine, offset: u64, size: u64) -> u64:
    """SUCCESS, or why a range of memory cannot become code. EIP-170, EIP-3541."""
    if m.rules.code_size_limit and size > m.rules.code_size_limit:
        return CODE_TOO_LARGE
    if m.rules.reject_ef_code and size != 0 and m.memory_read_byte(offset) == EF_PREFIX:
        return INVALID_CODE_PREFIX
    return CODE_STORE_OUT_OF_GAS if m.gas < m.rules.code_deposit_byte * size else SUCCESS


def end_revert(m: Machine, offset: u64, size: u64) -> None:
    """Leave undoing every change, with a range of memory as output; unused gas goes back, refunds are dropped."""
    gas = m.gas
    output_offset = m.output_offset
    output_size = m.output_size
    m.undo(m.checkpoint)
    parent = m.close(REVERT, offset, size)
    parent.gas += gas
    copy_output(parent, output_offset, output_size)
    parent.push(0)


def end_failure(m: Machine, status: u64) -> None:
    """Leave undoing every change, with no output; the frame's gas is gone."""
    m.undo(m.checkpoint)
    parent = m.close_empty(status)
    parent.push(0)


def copy_output(m: Machine, offset: u64, size: u64) -> None:
    """Copy at most `size` bytes of the child's output to memory, which CALL has grown; the rest stays as it was."""
    m.memory_fill(offset, m.return_data, 0, min(size, len(m.return_data)))
