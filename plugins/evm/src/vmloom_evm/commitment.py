"""Roots and hashes that blocks commit to: state root, logs hash, bloom filter. Yellow paper, sections 4 and D."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable, Mapping
from functools import lru_cache

from vmloom import Event, MemoryState
from vmloom.hashing import keccak256

from . import rlp
from .trie.built import built_root
from .trie.nodes import EMPTY_TRIE_ROOT, leaf_path, list_of, string

__all__ = [
    "EMPTY_TRIE_ROOT",
    "bloom_bits",
    "encodable_logs",
    "logs_bloom",
    "logs_hash",
    "ordered_root",
    "state_root",
    "storage_root",
    "trie_root",
]


def state_root(state: MemoryState) -> bytes:
    """Root of the trie of all accounts, 32 bytes."""
    leaves = {}
    for address, account in state.accounts():
        storage = storage_root(state.storage_of(address))
        leaves[keccak256(address)] = rlp.encode(
            [rlp.integer(account.nonce), rlp.integer(account.balance), storage, keccak256(account.code)]
        )
    return trie_root(leaves)


def storage_root(words: Mapping[int, int]) -> bytes:
    """Root of the trie of one account's words, 32 bytes."""
    if not words:
        return EMPTY_TRIE_ROOT
    return trie_root(
        {keccak256(slot.to_bytes(32, "big")): rlp.encode(rlp.integer(word)) for slot, word in words.items()}
    )


def trie_root(leaves: Mapping[bytes, bytes]) -> bytes:
    """Root of the Merkle Patricia trie that holds `leaves`, whose values are not empty; 32 bytes."""
    return built_root(leaves)


def ordered_root(items: Iterable[bytes]) -> bytes:
    """Root of the trie of a list, such as a block's transactions or receipts, keyed by RLP of the position."""
    leaves = {rlp.encode(rlp.integer(index)): item for index, item in enumerate(items)}
    if len(leaves) == 1:
        return keccak256(list_of(_ONLY_PATH + string(leaves[_FIRST_KEY])))
    return trie_root(leaves)


_FIRST_KEY = rlp.encode(rlp.integer(0))
_ONLY_PATH = leaf_path(hexlify(_FIRST_KEY))


def logs_hash(events: Iterable[Event]) -> bytes:
    """keccak256 of the RLP of the logs, 32 bytes."""
    return keccak256(rlp.encode(encodable_logs(events)))


def encodable_logs(events: Iterable[Event]) -> list[rlp.RlpItem]:
    """Logs as nested lists of bytes: address, topics, data."""
    return [[event.address, [topic.to_bytes(32, "big") for topic in event.topics], event.data] for event in events]


def logs_bloom(events: Iterable[Event]) -> bytes:
    """The 256-byte bloom filter of addresses and topics. Yellow paper, section 4.4.3."""
    bloom = 0
    for event in events:
        bloom |= bloom_bits(event.address)
        for topic in event.topics:
            bloom |= bloom_bits(topic.to_bytes(32, "big"))
    return bloom.to_bytes(256, "big")


@lru_cache(maxsize=1 << 12)
def bloom_bits(item: bytes) -> int:
    """The bits, up to three, that an address or a topic sets in a bloom filter, as a number of 2048 bits.

    Remembered, since addresses and the topics that name events return.
    """
    digest = keccak256(item)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") & 2047)
    return bits
