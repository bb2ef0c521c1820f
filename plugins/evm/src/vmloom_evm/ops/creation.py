"""Creation and destruction of contracts. Gas, then operation."""

from __future__ import annotations

from vmloom.kernel import Halt, u64, u160, u256

from ..frames import begin_create, end_success, transfer
from ..gas import expand_memory, use_gas, words_of
from ..halts import INITCODE_TOO_LARGE, WRITE_PROTECTION
from ..machine import Machine
from ..table import OpKind, op


def charge_initcode(m: Machine, offset: u256, size: u256, word_price: u64) -> None:
    """Pay for init code in memory at `word_price` gas a word. EIP-3860."""
    if m.is_static:
        raise Halt(WRITE_PROTECTION)
    expand_memory(m, offset, size)
    if m.rules.initcode_size_limit and size > m.rules.initcode_size_limit:
        raise Halt(INITCODE_TOO_LARGE)
    use_gas(m, word_price * words_of(u64(size)))


@op(0xF0, "CREATE", kind=OpKind.FRAME, pushes=1)
def create(m: Machine, value: u256, offset: u256, size: u256) -> None:
    """Create a contract whose address follows from this account's nonce."""
    charge_initcode(m, offset, size, m.rules.initcode_word)
    address = m.create_address(m.nonce(m.address))
    begin_create(m, address, value, u64(offset), u64(size))


@op(0xF5, "CREATE2", kind=OpKind.FRAME, pushes=1)
def create2(m: Machine, value: u256, offset: u256, size: u256, salt: u256) -> None:
    """Create a contract whose address follows from `salt` and the init code, which is hashed. EIP-1014."""
    charge_initcode(m, offset, size, m.rules.initcode_word + m.rules.keccak_word)
    address = m.create2_address(salt, u64(offset), u64(size))
    begin_create(m, address, value, u64(offset), u64(size))


@op(0xFF, "SELFDESTRUCT", kind=OpKind.FRAME)
def selfdestruct(m: Machine, to: u256) -> None:
    """Send all wei to an account and end. EIP-6780: the account goes only if this transaction created it."""
    if m.is_static:
        raise Halt(WRITE_PROTECTION)
    beneficiary = u160(to)
    balance = m.balance(m.address)
    charge_beneficiary(m, beneficiary, balance)
    if not m.was_destroyed(m.address):
        m.refund += m.rules.selfdestruct_refund
    transfer(m, m.address, beneficiary, balance)
    if not m.rules.selfdestruct_only_created or m.was_created(m.address):
        m.burn_balance(m.address)
        m.destroy(m.address)
    end_success(m, 0, 0)


def charge_beneficiary(m: Machine, beneficiary: u160, balance: u256) -> None:
    """Pay for access to the heir, and for bringing it about. EIP-150, EIP-161, EIP-2929 (there is no warm price)."""
    if m.rules.access_lists and not m.is_warm(beneficiary):
        use_gas(m, m.rules.cold_account)
        m.warm(beneficiary)
    if m.rules.state_clearing:
        if balance != 0 and m.is_empty(beneficiary):
            use_gas(m, m.rules.selfdestruct_new_account)
    elif not m.exists(beneficiary):
        use_gas(m, m.rules.selfdestruct_new_account)
