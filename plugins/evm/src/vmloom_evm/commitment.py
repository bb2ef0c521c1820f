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
    "bits_of_logs",
    "bloom_bits",
    "encode_logs",
    "logs_bloom",
    "logs_hash",
    "may_have_logged",
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
    listed = list(items)
    if not listed:
        return EMPTY_TRIE_ROOT
    if len(listed) == 1:
        return keccak256(list_of(_ONLY_PATH + string(listed[0])))
    return trie_root({rlp.encode(rlp.integer(index)): item for index, item in enumerate(listed)})


_ONLY_PATH = leaf_path(hexlify(rlp.encode(rlp.integer(0))))


def logs_hash(events: Iterable[Event]) -> bytes:
    """keccak256 of the RLP of the logs, 32 bytes."""
    return keccak256(encode_logs(events))


def encode_logs(events: Iterable[Event]) -> bytes:
    """RLP of a list of logs, each its address, topics and data. What has a fixed size has its header written here."""
    logs = []
    for event in events:
        topics = b"".join([b"\xa0" + topic.to_bytes(32, "big") for topic in event.topics])
        logs.append(list_of(b"\x94" + event.address + list_of(topics) + string(event.data)))
    return list_of(b"".join(logs))


def logs_bloom(events: Iterable[Event]) -> bytes:
    """The 256-byte bloom filter of addresses and topics. Yellow paper, section 4.4.3."""
    return bits_of_logs(events).to_bytes(256, "big")


def bits_of_logs(events: Iterable[Event]) -> int:
    """`logs_bloom` as a number of 2048 bits."""
    bloom = 0
    for event in events:
        bloom |= bloom_bits(event.address)
        for topic in event.topics:
            bloom |= bloom_bits(topic.to_bytes(32, "big"))
    return bloom


def may_have_logged(bloom: bytes, item: bytes) -> bool:
    """Whether logs with this bloom filter (256 bytes) may have an address or a topic; what they have they may."""
    bits = bloom_bits(item)
    return int.from_bytes(bloom, "big") & bits == bits


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
