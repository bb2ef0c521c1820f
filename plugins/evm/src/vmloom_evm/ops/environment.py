"""What a contract can ask of its call, other accounts and the block. Gas, then operation."""

from __future__ import annotations

from vmloom.kernel import Halt, u64, u160, u256

from ..gas import charge_account_access, charge_copy
from ..halts import RETURN_DATA_OUT_OF_BOUNDS
from ..machine import Machine
from ..table import op

BLOCK_HASH_WINDOW = 256
"""blocks"""


@op(0x30, "ADDRESS")
def address(m: Machine) -> u256:
    """The account that executes."""
    return m.address


@op(0x31, "BALANCE")
def balance(m: Machine, account: u256) -> u256:
    """Balance of an account in wei."""
    charge_account_access(m, u160(account))
    return m.balance(u160(account))


@op(0x32, "ORIGIN")
def origin(m: Machine) -> u256:
    """Sender of the transaction."""
    return m.origin()


@op(0x33, "CALLER")
def caller(m: Machine) -> u256:
    """Who made this call."""
    return m.caller


@op(0x34, "CALLVALUE")
def callvalue(m: Machine) -> u256:
    """wei sent with this call."""
    return m.value


@op(0x35, "CALLDATALOAD")
def calldataload(m: Machine, offset: u256) -> u256:
    """32 bytes of input at `offset`, with zeros beyond its end."""
    return m.read_word(m.input, offset)


@op(0x36, "CALLDATASIZE")
def calldatasize(m: Machine) -> u256:
    """Size of input in bytes."""
    return len(m.input)


@op(0x37, "CALLDATACOPY")
def calldatacopy(m: Machine, destination: u256, offset: u256, size: u256) -> None:
    """Copy input to memory, with zeros beyond its end."""
    charge_copy(m, destination, size)
    m.memory_fill(u64(destination), m.input, offset, u64(size))


@op(0x38, "CODESIZE")
def codesize(m: Machine) -> u256:
    """Size of the running code in bytes."""
    return len(m.code)


@op(0x39, "CODECOPY")
def codecopy(m: Machine, destination: u256, offset: u256, size: u256) -> None:
    """Copy the running code to memory, with zeros beyond its end."""
    charge_copy(m, destination, size)
    m.memory_fill(u64(destination), m.code, offset, u64(size))


@op(0x3A, "GASPRICE")
def gasprice(m: Machine) -> u256:
    """wei per gas that the transaction pays in effect."""
    return m.gas_price()


@op(0x3B, "EXTCODESIZE")
def extcodesize(m: Machine, account: u256) -> u256:
    """Size of an account's code in bytes. A delegation (EIP-7702) is its 23-byte designator."""
    charge_account_access(m, u160(account))
    return len(m.code_of(u160(account)))


@op(0x3C, "EXTCODECOPY")
def extcodecopy(m: Machine, account: u256, destination: u256, offset: u256, size: u256) -> None:
    """Copy an account's code to memory, with zeros beyond its end."""
    charge_copy(m, destination, size)
    charge_account_access(m, u160(account))
    m.memory_fill(u64(destination), m.code_of(u160(account)), offset, u64(size))


@op(0x3D, "RETURNDATASIZE")
def returndatasize(m: Machine) -> u256:
    """Size of the last call's output in bytes. EIP-211."""
    return len(m.return_data)


@op(0x3E, "RETURNDATACOPY")
def returndatacopy(m: Machine, destination: u256, offset: u256, size: u256) -> None:
    """Copy the last call's output to memory; reading beyond its end halts, be `size` 0. EIP-211."""
    charge_copy(m, destination, size)
    available = len(m.return_data)
    if offset > available or size > available - u64(offset):
        raise Halt(RETURN_DATA_OUT_OF_BOUNDS)
    m.memory_fill(u64(destination), m.return_data, offset, u64(size))


@op(0x3F, "EXTCODEHASH")
def extcodehash(m: Machine, account: u256) -> u256:
    """keccak256 of an account's code; 0 for an absent or empty account. EIP-1052."""
    charge_account_access(m, u160(account))
    return 0 if m.is_empty(u160(account)) else m.code_hash(u160(account))


@op(0x40, "BLOCKHASH")
def blockhash(m: Machine, number: u256) -> u256:
    """Hash of one of the last 256 blocks, 0 for any other."""
    current = m.block_number()
    if number >= current or u256(current - number) > BLOCK_HASH_WINDOW:
        return 0
    return m.block_hash(number)


@op(0x41, "COINBASE")
def coinbase(m: Machine) -> u256:
    """Fee recipient of the block."""
    return m.coinbase()


@op(0x42, "TIMESTAMP")
def timestamp(m: Machine) -> u256:
    """Seconds of UNIX time."""
    return m.timestamp()


@op(0x43, "NUMBER")
def number(m: Machine) -> u256:
    """Number of the block."""
    return m.block_number()


@op(0x44, "DIFFICULTY")
def difficulty(m: Machine) -> u256:
    """Difficulty of the block; from Paris on its randomness, PREVRANDAO. EIP-4399."""
    return m.randomness()


@op(0x45, "GASLIMIT")
def gaslimit(m: Machine) -> u256:
    """Gas limit of the block."""
    return m.block_gas_limit()


@op(0x46, "CHAINID")
def chainid(m: Machine) -> u256:
    """EIP-1344"""
    return m.chain_id()


@op(0x47, "SELFBALANCE")
def selfbalance(m: Machine) -> u256:
    """Balance of the executing account in wei. EIP-1884."""
    return m.balance(m.address)


@op(0x48, "BASEFEE")
def basefee(m: Machine) -> u256:
    """Base fee of the block, wei per gas. EIP-3198."""
    return m.base_fee()


@op(0x49, "BLOBHASH")
def blobhash(m: Machine, index: u256) -> u256:
    """Versioned hash of the transaction's blob `index`, 0 out of range. EIP-4844."""
    return m.blob_hash(index)


@op(0x4A, "BLOBBASEFEE")
def blobbasefee(m: Machine) -> u256:
    """Blob base fee of the block, wei per blob gas. EIP-7516."""
    return m.blob_base_fee()
