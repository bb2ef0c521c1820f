"""What ERC-20 tokens tell of accounts, set by hand: the slot in which a token keeps it is found by asking it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vmloom.errors import InputError
from vmloom_evm.overrides import AccountOverride

from .requests import TransactionRequest

if TYPE_CHECKING:
    from .chain import Chain

BALANCE_OF: Final = bytes.fromhex("70a08231")
"""balanceOf(address)"""
ALLOWANCE: Final = bytes.fromhex("dd62ed3e")
"""allowance(address,address)"""
_PROBES: Final = (0x5EED_C0FF_EE15, 0x5EED_C0FF_EE16)
"""Numbers that no token tells by chance, and small enough for those that keep fewer than 256 bits."""


def set_told(chain: Chain, token: bytes, selector: bytes, accounts: tuple[bytes, ...], number: int) -> None:
    """Have `token` answer a question about `accounts` with `number`.

    Raises `InputError` if that does not depend on one slot, or if the token makes something else of the number.
    """
    question = selector + b"".join(account.rjust(32, b"\0") for account in accounts)
    for address, slot in _slots_read(chain, token, question):
        if all(_answer(chain, token, question, address, slot, probe) == probe for probe in _PROBES):
            if _answer(chain, token, question, address, slot, number) != number:
                raise InputError(f"token 0x{token.hex()}: it keeps the number, but does not tell {number} then")
            chain.set_storage(address, slot, number)
            return
    raise InputError(f"token 0x{token.hex()}: there is no slot that it just tells when it is asked")


def _slots_read(chain: Chain, token: bytes, question: bytes) -> Iterator[tuple[bytes, int]]:
    """What the token reads to answer, its own slots first."""
    entries, _ = chain.access_list(TransactionRequest(to=token, data=question))
    for entry in sorted(entries, key=lambda one: one.address != token):
        for slot in entry.slots:
            yield entry.address, slot


def _answer(chain: Chain, token: bytes, question: bytes, address: bytes, slot: int, word: int) -> int | None:
    """What it tells with `word` in the slot; None if it fails."""
    override = {address: AccountOverride(storage_diff={slot: word})}
    result = chain.call(TransactionRequest(to=token, data=question), overrides=override)
    return int.from_bytes(result.return_data[:32], "big") if result.success and len(result.return_data) >= 32 else None
