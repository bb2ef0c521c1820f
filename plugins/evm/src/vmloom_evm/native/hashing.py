"""keccak256 of bytes in memory, and the addresses of new contracts that come of it."""

from __future__ import annotations

from vmloom.kernel import Ptr, byteswap, inline, load, local, outline, store, u8, u64, u160, u256
from vmloom.kernel.keccak import keccak256

from .keys import mix, mix_word
from .layout import HASHED_PAIRS, Run

PAIR_SIZE = 64


@outline
def hash_bytes(data: Ptr[u8], size: u64) -> u256:
    """keccak256 as a big-endian number."""
    digest = local(u8, 32)
    keccak256(data, size, digest)
    return byteswap(u256, load(u256, digest))


@inline
def hash_memory(run: Run, data: Ptr[u8], size: u64) -> u256:
    """`hash_bytes`; what two words hash to, as a mapping's key and place do, is kept for a while."""
    return hash_pair(run, data) if size == PAIR_SIZE else hash_bytes(data, size)


@outline
def hash_pair(run: Run, data: Ptr[u8]) -> u256:
    """keccak256 of 64 bytes."""
    left = load(u256, data)
    right = load(u256, data + 32)
    number = mix(mix_word(run, left), mix_word(run, right) ^ run.second_secret)
    kept = run.hashed_pairs[number & (HASHED_PAIRS - 1)]
    if kept.left == left and kept.right == right and kept.digest != 0:
        return kept.digest
    digest = hash_bytes(data, PAIR_SIZE)
    kept.left = left
    kept.right = right
    kept.digest = digest
    return digest


def address_by_nonce(creator: u160, nonce: u64) -> u160:
    """The last 20 bytes of keccak256(rlp([creator, nonce]))."""
    data = local(u8, 64)
    size = (nonce.bit_length() + 7) // 8
    payload = 21 + (1 if nonce < 0x80 else 1 + size)
    data[0] = u8(0xC0 + payload)
    data[1] = 0x94
    store(u256, data + 2, byteswap(u256, u256(creator) << 96))
    if nonce == 0:
        data[22] = 0x80
    elif nonce < 0x80:
        data[22] = u8(nonce)
    else:
        data[22] = u8(0x80 + size)
        for index in range(size):
            data[23 + index] = u8(nonce >> ((size - 1 - index) * 8))
    return u160(hash_bytes(data, payload + 1))


def address_by_salt(creator: u160, salt: u256, digest: u256) -> u160:
    """EIP-1014: the last 20 bytes of keccak256(0xff, creator, salt, keccak256 of the init code)."""
    data = local(u8, 85)
    data[0] = 0xFF
    store(u256, data + 1, byteswap(u256, u256(creator) << 96))
    store(u256, data + 21, byteswap(u256, salt))
    store(u256, data + 53, byteswap(u256, digest))
    return u160(hash_bytes(data, 85))
