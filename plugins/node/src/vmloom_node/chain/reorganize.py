"""Other blocks in place of the last ones, made on command: for those who test what they do when this happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vmloom.errors import InputError
from vmloom_evm.block import SignedTransaction
from vmloom_evm.transaction.outcome import Checks

from .block import Block
from .requests import TransactionRequest

if TYPE_CHECKING:
    from .chain import Chain

_CHECKS: Final = Checks(base_fee=False)
"""What the base fee will be is known only when the blocks are made."""


def reorganize(chain: Chain, depth: int, transactions: Sequence[tuple[TransactionRequest | bytes, int]]) -> list[Block]:
    """See `Chain.reorg`; the chain's lock is held."""
    number = chain.ancestor(depth)
    late = [offset for _, offset in transactions if not 0 <= offset < depth]
    if late:
        raise InputError(f"transactions: {late[0]} is no position of a block, there are {depth} from 0 on")
    planned = _planned(chain, number, sorted(transactions, key=lambda one: one[1]))
    if not depth:
        return []
    with chain.rewound(number, with_edits=True) as accept:
        made = [chain.mine_these([one for one, offset in planned if offset == at]) for at in range(depth)]
        accept()
    return made


def _planned(
    chain: Chain, number: int, transactions: Sequence[tuple[TransactionRequest | bytes, int]]
) -> list[tuple[SignedTransaction, int]]:
    """The transactions, signed, with nonces and gas as they need them one after the other, after block `number`.

    Raises `TransactionRefused` for one that may not run there, before anything has changed.
    """
    planned: list[tuple[SignedTransaction, int]] = []
    context = chain.context(number)
    with chain.state_at(number) as state:
        for wanted, offset in transactions:
            if isinstance(wanted, bytes):
                signed = chain.signed_raw(wanted)
            else:
                sender = chain.sender_of(wanted)
                nonce = state.get_nonce(sender) if wanted.nonce is None else wanted.nonce
                request = replace(wanted, sender=sender, nonce=nonce)
                gas_limit = chain.estimate_on(state, request, context)
                signed = chain.signed_request(replace(request, gas_limit=gas_limit))
            chain.evm.apply_transaction(signed.tx, context, state, sender=signed.sender, checks=_CHECKS)
            planned.append((signed, offset))
    return planned
