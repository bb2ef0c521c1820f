"""Other accounts: what they own and what code they have."""

from __future__ import annotations

from vmloom.hashing import keccak256

from ..abi import offered
from ..run import Run


@offered("ii:")
def balance(run: Run, account: int, destination: int) -> None:
    """What an account owns in wei, a word."""
    address = _accessed(run, account)
    run.write_word(destination, run.state.get_balance(address))


@offered("i:i")
def code_size(run: Run, account: int) -> int:
    """Bytes of an account's code, whichever VM runs it."""
    return len(run.state.get_code(_accessed(run, account)))


@offered("ii:")
def code_hash(run: Run, account: int, destination: int) -> None:
    """keccak256 of an account's code, zeros if there is no such account or it is empty. EIP-1052."""
    address = _accessed(run, account)
    if run.state.is_empty(address):
        run.write(destination, bytes(32))
        return
    code = run.state.get_code(address)
    run.charge(run.prices.keccak256 + run.prices.keccak256_word * run.words(len(code)))
    run.write(destination, keccak256(code))


@offered("iiii:")
def code_copy(run: Run, account: int, destination: int, offset: int, size: int) -> None:
    """Copy `size` bytes of an account's code, zeros beyond its end."""
    run.charge_copy(size)
    code = run.state.get_code(_accessed(run, account))
    run.write_padded(destination, code[offset : offset + size], size)


def _accessed(run: Run, account: int) -> bytes:
    """The address, after the access to it was paid."""
    address = run.read(account, 20)
    prices = run.prices
    run.charge(prices.host_call + (prices.cold_account if run.touch_account(address) else prices.warm_account))
    return address
