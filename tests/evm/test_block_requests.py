"""Requests to the consensus layer: deposits read from logs, and the hash over all lists."""

from __future__ import annotations

from hashlib import sha256

import pytest
from vmloom import Event
from vmloom_evm.block.invalid import InvalidBlock
from vmloom_evm.block.requests import (
    DEPOSIT_CONTRACT_ADDRESS,
    DEPOSIT_EVENT,
    deposit_requests,
    requests_hash,
)

FIELDS = (bytes(range(48)), b"\x01" + bytes(31), (32 * 10**9).to_bytes(8, "little"), bytes(range(96)), bytes(8))
"""Public key, withdrawal credentials, amount, signature, index."""


def abi_encoded(fields: tuple[bytes, ...]) -> bytes:
    """Dynamic byte strings, as solidity emits them."""
    head, tail = b"", b""
    for field in fields:
        head += (len(fields) * 32 + len(tail)).to_bytes(32, "big")
        tail += len(field).to_bytes(32, "big") + field + bytes(-len(field) % 32)
    return head + tail


def deposit(
    data: bytes, *, address: bytes = DEPOSIT_CONTRACT_ADDRESS, topics: tuple[int, ...] = (DEPOSIT_EVENT,)
) -> Event:
    return Event(address, topics, data)


def test_deposits_are_the_fields_of_their_events_end_to_end() -> None:
    event = deposit(abi_encoded(FIELDS))
    assert len(event.data) == 576
    assert deposit_requests([event, event]) == b"".join(FIELDS) * 2


def test_only_deposit_events_of_the_deposit_contract_count() -> None:
    data = abi_encoded(FIELDS)
    others = [deposit(data, address=bytes(20)), deposit(data, topics=()), deposit(b"", topics=(1, DEPOSIT_EVENT))]
    assert deposit_requests(others) == b""
    assert deposit_requests([deposit(data, address=bytes(20))], contract=bytes(20)) == b"".join(FIELDS)


@pytest.mark.parametrize("word", [0, 1, 2, 3, 4, 5, 8, 10, 12, 16], ids=lambda word: f"word {word}")
def test_deposit_event_of_another_layout_makes_the_block_invalid(word: int) -> None:
    data = bytearray(abi_encoded(FIELDS))
    data[word * 32] = 1  # the greatest byte of an offset or a size
    with pytest.raises(InvalidBlock, match="deposit event"):
        deposit_requests([deposit(bytes(data))])


@pytest.mark.parametrize("size", [0, 575, 577])
def test_deposit_event_of_another_size_makes_the_block_invalid(size: int) -> None:
    with pytest.raises(InvalidBlock, match=f"{size} bytes"):
        deposit_requests([deposit((abi_encoded(FIELDS) + b"\0")[:size])])


def test_hash_of_no_requests_is_that_of_nothing() -> None:
    assert requests_hash([]) == sha256(b"").digest()
    assert requests_hash([b"\x00", b"\x01"]) == sha256(b"").digest()  # EIP-7685: a type alone is left out


def test_hash_is_over_the_digests_of_the_lists() -> None:
    lists = [b"\x00deposit", b"\x02consolidation"]
    assert requests_hash(lists) == sha256(sha256(lists[0]).digest() + sha256(lists[1]).digest()).digest()
