"""Requests of a block to the consensus layer: deposits, withdrawals, consolidations. EIP-7685.

A request list is its type, one byte, and its requests end to end; an empty list is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from vmloom import BlockContext, Event, StateAccess
from vmloom.vm import VmHost

from ..engine import Engine
from ..reference.engine import REFERENCE
from ..specification import Specification
from ..system import SystemCall
from .invalid import InvalidBlock
from .system_calls import CONSOLIDATION_REQUESTS_ADDRESS, WITHDRAWAL_REQUESTS_ADDRESS, call_system_contracts

DEPOSIT_REQUESTS: Final = b"\x00"
"""EIP-6110"""
WITHDRAWAL_REQUESTS: Final = b"\x01"
"""EIP-7002"""
CONSOLIDATION_REQUESTS: Final = b"\x02"
"""EIP-7251"""

_KINDS: Final = (DEPOSIT_REQUESTS, WITHDRAWAL_REQUESTS, CONSOLIDATION_REQUESTS)
REQUEST_CALLS: Final = (SystemCall(WITHDRAWAL_REQUESTS_ADDRESS, b""), SystemCall(CONSOLIDATION_REQUESTS_ADDRESS, b""))
"""The system calls with which a block ends, all of them required."""

DEPOSIT_CONTRACT_ADDRESS: Final = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
"""The deposit contract of mainnet. EIP-6110"""
DEPOSIT_EVENT: Final = 0x649BBC62D0E31342AFEA4E5CD82D4049E7E1EE912FC0889AA790803BE39038C5
"""Topic of `DepositEvent(bytes,bytes,bytes,bytes,bytes)`"""
DEPOSIT_EVENT_SIZE: Final = 576
_NO_REQUESTS_HASH: Final = sha256().digest()
_WORD = 32
_DEPOSIT_FIELDS = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Offset and size in bytes: public key, withdrawal credentials, amount, signature, index."""


def collect_requests(
    specification: Specification,
    state: StateAccess,
    block: BlockContext,
    events: Iterable[Event],
    *,
    deposit_contract: bytes = DEPOSIT_CONTRACT_ADDRESS,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
) -> tuple[bytes, ...]:
    """The request lists of a block whose transactions left `events`, in order of type.

    Dequeues those that the system contracts hold. Raises `InvalidBlock` for a system contract that is missing or
    fails, and for a deposit event of another form.
    """
    deposits = deposit_requests(events, deposit_contract)
    calls = REQUEST_CALLS
    outputs = call_system_contracts(specification, state, block, calls, required=True, host=host, engine=engine)
    return request_lists(deposits, outputs)


def request_lists(deposits: bytes, outputs: Sequence[bytes]) -> tuple[bytes, ...]:
    """The lists that there are, of `deposits` and of what the system contracts of `REQUEST_CALLS` put out."""
    return tuple(kind + requests for kind, requests in zip(_KINDS, (deposits, *outputs), strict=True) if requests)


def deposit_requests(events: Iterable[Event], contract: bytes = DEPOSIT_CONTRACT_ADDRESS) -> bytes:
    """The deposits that `contract` reports in `events`, 192 bytes each. Raises `InvalidBlock`. EIP-6110."""
    return b"".join(
        _deposit(event.data)
        for event in events
        if event.address == contract and event.topics and event.topics[0] == DEPOSIT_EVENT
    )


def _deposit(data: bytes) -> bytes:
    """The five fields, end to end. They are ABI-encoded, and may lie nowhere but where the contract puts them."""
    if len(data) != DEPOSIT_EVENT_SIZE:
        raise InvalidBlock(f"deposit event: {len(data)} bytes, not {DEPOSIT_EVENT_SIZE}")
    fields = []
    for position, (offset, size) in enumerate(_DEPOSIT_FIELDS):
        for what, at, expected in (("offset", position * _WORD, offset), ("size", offset, size)):
            word = int.from_bytes(data[at : at + _WORD], "big")
            if word != expected:
                raise InvalidBlock(f"deposit event: field {position} has {what} {word:#x}, not {expected:#x}")
        fields.append(data[offset + _WORD : offset + _WORD + size])
    return b"".join(fields)


def requests_hash(requests: Sequence[bytes]) -> bytes:
    """What a block commits to its request lists by: SHA-256 of their SHA-256 digests, 32 bytes. EIP-7685."""
    if not requests:
        return _NO_REQUESTS_HASH
    return sha256(b"".join(sha256(one).digest() for one in requests if len(one) > 1)).digest()
