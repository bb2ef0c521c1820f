"""Rows of whole transactions, with nonces, fees and refunds, from as many senders as there are transactions.

Senders and receivers are all different and known (no signature is recovered on any side), so that each transaction
costs the same gas whether or not a side keeps accounts and slots warm from one transaction to the next.
"""

from __future__ import annotations

from vmloom_evm.transaction.types import Transaction

from .contracts import artifact, token
from .work import BASE_FEE, TARGET, Block, Preset, Row

FIRST_SENDER = 0x5E4D << 144
FIRST_RECEIVER = 0x4EC1 << 144
FUNDS = 10**21
"""wei"""
TIP = 10**9
"""wei per gas"""


def _addresses(first: int, count: int) -> list[bytes]:
    return [(first + n).to_bytes(20, "big") for n in range(count)]


def _transaction(to: bytes, *, gas: int, value: int = 0, data: bytes = b"") -> Transaction:
    price = BASE_FEE + TIP
    return Transaction(
        chain_id=1,
        max_fee_per_gas=price,
        max_priority_fee_per_gas=price,
        gas_limit=gas,
        to=to,
        value=value,
        data=data,
    )


def value_transfers(count: int) -> Block:
    """Each sender pays a receiver who has something already."""
    senders, receivers = _addresses(FIRST_SENDER, count), _addresses(FIRST_RECEIVER, count)
    world = {sender: Preset(nonce=0, balance=FUNDS) for sender in senders}
    world |= {receiver: Preset(nonce=0, balance=1) for receiver in receivers}
    sent = tuple(
        (sender, _transaction(receiver, gas=21_000, value=10**15 + n))
        for n, (sender, receiver) in enumerate(zip(senders, receivers, strict=True))
    )
    return Block(world, sent, tuple((receiver, None) for receiver in receivers))


def token_transfers(count: int) -> Block:
    """Each sender sends tokens to a receiver who has none yet."""
    senders, receivers = _addresses(FIRST_SENDER, count), _addresses(FIRST_RECEIVER, count)
    contract = artifact("token")
    world = {sender: Preset(nonce=0, balance=FUNDS) for sender in senders}
    world[TARGET] = token(dict.fromkeys(senders, 10**18))
    sent = tuple(
        (sender, _transaction(TARGET, gas=100_000, data=contract.encode_call("transfer", receiver, 10**9 + n)))
        for n, (sender, receiver) in enumerate(zip(senders, receivers, strict=True))
    )
    probes = tuple((TARGET, contract.slot("balanceOf", holder)) for holder in (*senders, *receivers))
    return Block(world, sent, probes)


GROUP = "blocks"
_PARTLY = "pyrevm: one message_call each, without nonce, fee and fee recipient"
ROWS = (
    Row("1,000 value transfers", GROUP, value_transfers, 1_000, 5, _PARTLY),
    Row("1,000 ERC-20 transfers", GROUP, token_transfers, 1_000, 5, _PARTLY),
)
