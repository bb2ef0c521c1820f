"""The call and the block in which a contract runs."""

from __future__ import annotations

from ..abi import offered
from ..run import Run

HASHES = 256
"""Blocks whose hashes can be asked for."""


@offered("i:")
def address(run: Run, destination: int) -> None:
    """The account whose storage and balance the code uses, 20 bytes."""
    run.charge(run.prices.host_call)
    run.write(destination, run.context.address)


@offered("i:")
def caller(run: Run, destination: int) -> None:
    """The account that made the call, 20 bytes."""
    run.charge(run.prices.host_call)
    run.write(destination, run.context.caller)


@offered("i:")
def origin(run: Run, destination: int) -> None:
    """The account that sent the transaction, 20 bytes."""
    run.charge(run.prices.host_call)
    run.write(destination, run.context.origin)


@offered("i:")
def value(run: Run, destination: int) -> None:
    """Wei that came with the call, a word."""
    run.charge(run.prices.host_call)
    run.write_word(destination, run.context.value)


@offered("i:")
def gas_price(run: Run, destination: int) -> None:
    """Wei per gas, a word."""
    run.charge(run.prices.host_call)
    run.write_word(destination, run.context.gas_price)


@offered(":I")
def gas_left(run: Run) -> int:
    """Gas that is left after this call was paid."""
    run.charge(run.prices.host_call)
    return run.gas_left


@offered(":I")
def block_number(run: Run) -> int:
    """Number of the block, modulo 2^64."""
    run.charge(run.prices.host_call)
    return _u64(run.context.block.number)


@offered(":I")
def block_timestamp(run: Run) -> int:
    """Time of the block in UNIX seconds, modulo 2^64."""
    run.charge(run.prices.host_call)
    return _u64(run.context.block.timestamp)


@offered(":I")
def block_gas_limit(run: Run) -> int:
    """Gas limit of the block, modulo 2^64."""
    run.charge(run.prices.host_call)
    return _u64(run.context.block.gas_limit)


@offered("i:")
def block_coinbase(run: Run, destination: int) -> None:
    """Who gets the fees of the block, 20 bytes."""
    run.charge(run.prices.host_call)
    run.write(destination, run.context.block.coinbase)


@offered("Ii:")
def block_hash(run: Run, number: int, destination: int) -> None:
    """Hash of one of the last 256 blocks, 32 bytes; zeros for any other."""
    run.charge(run.prices.host_call + run.prices.block_hash)
    current = run.context.block.number
    known = number < current <= number + HASHES
    run.write(destination, run.state.get_block_hash(number) if known else bytes(32))


@offered("i:")
def chain_id(run: Run, destination: int) -> None:
    """Number of the chain, a word. EIP-1344."""
    run.charge(run.prices.host_call)
    run.write_word(destination, run.context.block.chain_id)


@offered("i:")
def base_fee(run: Run, destination: int) -> None:
    """Base fee of the block in wei per gas, a word. EIP-3198."""
    run.charge(run.prices.host_call)
    run.write_word(destination, run.context.block.base_fee)


@offered("i:")
def prev_randao(run: Run, destination: int) -> None:
    """The beacon chain's random word of the block, which everybody knows before. EIP-4399."""
    run.charge(run.prices.host_call)
    run.write_word(destination, run.context.block.prev_randao)


def _u64(number: int) -> int:
    return number & 0xFFFFFFFFFFFFFFFF
