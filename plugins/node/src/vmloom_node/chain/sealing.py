"""A block and its records as bytes, once it is known what came of it: kernel functions, called by `sealed`.

In Python `Header.encoded`, `block.encode_block` and `records` write the same. Yellow paper, section 4.4; EIP-2718.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, copy, embedded, struct, u8, u64, u256
from vmloom.kernel.keccak import keccak256
from vmloom_evm.native.commitments import LIST, STRING, put_head, put_string, sized, string_size
from vmloom_evm.trie.kernels import put_number

HASH: Final = 32
ADDRESS: Final = 20
BLOOM: Final = 256
HEADER_ROOM: Final = 1024
"""Bytes of a header at most, with 64 of extra data."""
MOST_EXTRA: Final = 64
FIRST_FIELDS: Final = 15
"""Those that every header has."""
SMALL: Final = 64
"""Bytes at most of what a list has beside the items that are counted: heads, a number and the zeros behind it."""


@struct
class Included:
    """A transaction of the block: how it travels, its receipt, who sent it, and its hash."""

    encoded: Ptr[u8]
    encoded_size: u64
    receipt: Ptr[u8]
    receipt_size: u64
    sender: Ptr[u8] = embedded(24)
    """20 bytes, and 4 that fill the row."""
    hash: Ptr[u8] = embedded(32)


@struct
class Sealing:
    """A header's fields, the transactions, and then where in `output` is what was asked for."""

    parent_hash: Ptr[u8] = embedded(32)
    ommers_hash: Ptr[u8] = embedded(32)
    coinbase: Ptr[u8] = embedded(20)
    state_root: Ptr[u8] = embedded(32)
    transactions_root: Ptr[u8] = embedded(32)
    receipts_root: Ptr[u8] = embedded(32)
    logs_bloom: Ptr[u8] = embedded(256)
    mix_hash: Ptr[u8] = embedded(32)
    nonce: Ptr[u8] = embedded(8)
    withdrawals_root: Ptr[u8] = embedded(32)
    parent_beacon_root: Ptr[u8] = embedded(32)
    requests_hash: Ptr[u8] = embedded(32)
    difficulty: u64
    number: u64
    gas_limit: u64
    gas_used: u64
    timestamp: u64
    extra_data: Ptr[u8]
    """`MOST_EXTRA` bytes at most."""
    extra_size: u64
    base_fee: u64
    blob_gas_used: u64
    excess_blob_gas: u64
    field_count: u64
    """Of the fields as a header has them, how many this one has."""
    has_withdrawals: u64
    """Whether there is a list of them, which is empty."""
    total_difficulty: u64
    vms: Ptr[u8]
    """Encoded: the list of who ran each transaction."""
    vms_size: u64
    included: Ptr[Included]
    count: u64
    output: Ptr[u8]
    room: u64
    """Bytes of `output`."""
    header_begin: u64
    header_end: u64
    block_end: u64
    """The block begins where the header ends, and so on."""
    record_end: u64
    receipts_end: u64
    hash: Ptr[u8] = embedded(32)


def seal(sealing: Sealing) -> u64:
    """Write header, block, record of the block and record of its receipts; returns 0, or how much room it takes."""
    transactions = u64(0)
    receipts = u64(0)
    for index in range(sealing.count):
        one = sealing.included[index]
        transactions += item_size(one.encoded, one.encoded_size)
        receipts += string_size(one.receipt, one.receipt_size)
    block = HEADER_ROOM + transactions + SMALL
    record = block + (ADDRESS + HASH + 2) * sealing.count + sealing.vms_size + SMALL
    needed = HEADER_ROOM + block + record + receipts + SMALL
    if needed > sealing.room:
        return needed
    end = put_header(sealing)
    end = put_block(sealing, end, transactions)
    end = put_record(sealing, end)
    end = put_head(sealing.output, end, receipts, LIST)
    for index in range(sealing.count):
        one = sealing.included[index]
        end = put_string(sealing.output, end, one.receipt, one.receipt_size)
    sealing.receipts_end = end
    return u64(0)


def put_header(sealing: Sealing) -> u64:
    """Write the header behind room for what says how long it is, and that; returns where it ends."""
    to = sealing.output
    begin = u64(8)
    at = put_hash(to, begin, sealing.parent_hash)
    at = put_hash(to, at, sealing.ommers_hash)
    at = put_string(to, at, sealing.coinbase, ADDRESS)
    at = put_hash(to, at, sealing.state_root)
    at = put_hash(to, at, sealing.transactions_root)
    at = put_hash(to, at, sealing.receipts_root)
    at = put_string(to, at, sealing.logs_bloom, BLOOM)
    at = put_number(to, at, u256(sealing.difficulty))
    at = put_number(to, at, u256(sealing.number))
    at = put_number(to, at, u256(sealing.gas_limit))
    at = put_number(to, at, u256(sealing.gas_used))
    at = put_number(to, at, u256(sealing.timestamp))
    at = put_string(to, at, sealing.extra_data, sealing.extra_size)
    at = put_hash(to, at, sealing.mix_hash)
    at = put_string(to, at, sealing.nonce, 8)
    added = sealing.field_count - FIRST_FIELDS
    if added > 0:
        at = put_number(to, at, u256(sealing.base_fee))
    if added > 1:
        at = put_hash(to, at, sealing.withdrawals_root)
    if added > 2:
        at = put_number(to, at, u256(sealing.blob_gas_used))
    if added > 3:
        at = put_number(to, at, u256(sealing.excess_blob_gas))
    if added > 4:
        at = put_hash(to, at, sealing.parent_beacon_root)
    if added > 5:
        at = put_hash(to, at, sealing.requests_hash)
    sealing.header_begin = begin - (sized(at - begin) - (at - begin))
    sealing.header_end = at
    put_head(to, sealing.header_begin, at - begin, LIST)
    keccak256(to + sealing.header_begin, at - sealing.header_begin, sealing.hash)
    return at


def put_block(sealing: Sealing, at: u64, transactions: u64) -> u64:
    """Write the block, the items of whose transactions take so many bytes; returns where it ends."""
    to = sealing.output
    header_size = sealing.header_end - sealing.header_begin
    at = put_head(to, at, header_size + sized(transactions) + 1 + sealing.has_withdrawals, LIST)
    copy(to + at, to + sealing.header_begin, header_size)
    at = put_head(to, at + header_size, transactions, LIST)
    for index in range(sealing.count):
        one = sealing.included[index]
        if one.encoded[0] < LIST:
            at = put_string(to, at, one.encoded, one.encoded_size)
        else:
            copy(to + at, one.encoded, one.encoded_size)
            at += one.encoded_size
    at = put_head(to, at, 0, LIST)  # ommers
    if sealing.has_withdrawals != 0:
        at = put_head(to, at, 0, LIST)
    sealing.block_end = at
    return at


def put_record(sealing: Sealing, at: u64) -> u64:
    """Write what `records.BLOCK` has; returns where it ends."""
    to = sealing.output
    block = to + sealing.header_end
    block_size = sealing.block_end - sealing.header_end
    senders = (ADDRESS + 1) * sealing.count
    hashes = (HASH + 1) * sealing.count
    number_size = put_number(to, at, u256(sealing.total_difficulty)) - at  # written over soon
    payload = sized(block_size) + sized(senders) + sized(hashes) + number_size + sealing.vms_size
    at = put_head(to, at, payload, LIST)
    at = put_string(to, at, block, block_size)
    at = put_head(to, at, senders, LIST)
    for index in range(sealing.count):
        at = put_string(to, at, sealing.included[index].sender, ADDRESS)
    at = put_head(to, at, hashes, LIST)
    for index in range(sealing.count):
        at = put_hash(to, at, sealing.included[index].hash)
    at = put_number(to, at, u256(sealing.total_difficulty))
    copy(to + at, sealing.vms, sealing.vms_size)
    sealing.record_end = at + sealing.vms_size
    return sealing.record_end


def item_size(encoded: Ptr[u8], size: u64) -> u64:
    """Bytes of a transaction in the list of a block: a legacy one is a list there, the others are strings."""
    return size if encoded[0] >= LIST else string_size(encoded, size)


def put_hash(to: Ptr[u8], at: u64, digest: Ptr[u8]) -> u64:
    """Write a hash; returns where it ends."""
    to[at] = u8(STRING + HASH)
    copy(to + (at + 1), digest, HASH)
    return at + 1 + HASH
