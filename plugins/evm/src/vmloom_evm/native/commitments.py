"""What a block commits to of its transactions, from outcomes as native code lays them down: receipts, bloom, roots.

Kernel functions, called by `bodies`. Yellow paper, sections 4.4.1, 4.4.3 and D.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import (
    Ptr,
    address_of,
    byteswap,
    copy,
    embedded,
    fill,
    inline,
    local,
    pointer,
    store,
    struct,
    u8,
    u64,
    u256,
)
from vmloom.kernel.keccak import keccak256
from vmloom.kernel.memory import size_of

from ..halts import SUCCESS
from ..trie.kernels import put_number
from .layout import Log, Outcome

STRING: Final = 0x80
LIST: Final = 0xC0
SHORT: Final = 55
"""The longest payload, in bytes, whose length fits the first byte."""
BLOOM_SIZE: Final = 256
HASH_SIZE: Final = 32
REFERENCE: Final = 33
"""Bytes that a branch says of a child at most."""
CHILDREN: Final = 16 * 40
"""Bytes of a branch's children in memory: for each the size of its reference, and that."""
DEPTHS: Final = 8
"""Digits of a key at most: of RLP of a number of 24 bits."""
LARGEST: Final = 544
"""Bytes of a branch at most."""
OUTCOME_SIZE: Final = size_of(Outcome)
LOG_SIZE: Final = size_of(Log)


@struct
class Entry:
    """A transaction of the block: its type, how it travels, and what came of it; and then where its receipt is."""

    kind: u64
    encoded: Ptr[u8]
    encoded_size: u64
    outcome: Ptr[u8]
    receipt: Ptr[u8]
    receipt_size: u64


@struct
class Body:
    """The transactions, and what the block commits to of them."""

    entries: Ptr[Entry]
    count: u64
    output: Ptr[u8]
    """Receipts go here, and behind them what is hashed."""
    room: u64
    """Bytes of `output`."""
    gas_used: u64
    bloom: Ptr[u8] = embedded(256)
    transactions_root: Ptr[u8] = embedded(32)
    receipts_root: Ptr[u8] = embedded(32)


def commit(body: Body) -> u64:
    """Write receipts, gas, bloom filter and roots; returns 0, or how much room it takes."""
    receipts = u64(0)
    largest = u64(0)
    body.gas_used = 0
    for index in range(body.count):
        entry = body.entries[index]
        body.gas_used += u64(outcome_of(entry).gas_used)
        entry.receipt_size = receipt_size(entry, body.gas_used)
        receipts += entry.receipt_size
        largest = max(largest, max(entry.receipt_size, entry.encoded_size))
    needed = receipts + largest + LARGEST
    if needed > body.room:
        return needed
    body.gas_used = 0
    fill(body.bloom, 0, BLOOM_SIZE)
    end = body.output
    for index in range(body.count):
        entry = body.entries[index]
        body.gas_used += u64(outcome_of(entry).gas_used)
        entry.receipt = end
        end += put_receipt(entry, body.gas_used, body.bloom)
    ordered_root(body, 0, end, body.transactions_root)
    ordered_root(body, 1, end, body.receipts_root)
    return u64(0)


# Receipts


@inline
def outcome_of(entry: Entry) -> Outcome:
    """What came of a transaction."""
    return pointer(Outcome, address_of(entry.outcome))[0]


@inline
def logs_of(entry: Entry) -> Ptr[Log]:
    """Its logs."""
    return pointer(Log, address_of(entry.outcome) + OUTCOME_SIZE + ((outcome_of(entry).return_size + 7) & ROUND_DOWN))


@inline
def log_data(entry: Entry) -> Ptr[u8]:
    """The data of its logs, one behind the other."""
    outcome = outcome_of(entry)
    return entry.outcome + (OUTCOME_SIZE + ((outcome.return_size + 7) & ROUND_DOWN) + outcome.log_count * LOG_SIZE)


def logs_size(entry: Entry) -> u64:
    """Size of the payload of the list of its logs."""
    logs = logs_of(entry)
    data = log_data(entry)
    size = u64(0)
    for index in range(outcome_of(entry).log_count):
        size += sized(log_size(logs[index], data))
    return size


def receipt_size(entry: Entry, gas_used: u64) -> u64:
    """Size of a receipt with the gas of all transactions up to it."""
    payload = 1 + number_size(gas_used) + sized(BLOOM_SIZE) + sized(logs_size(entry))
    return sized(payload) + (1 if entry.kind != 0 else 0)


def put_receipt(entry: Entry, gas_used: u64, bloom: Ptr[u8]) -> u64:
    """Write a receipt with the gas of all transactions up to it; returns its size. Its logs set bits of `bloom`."""
    outcome = outcome_of(entry)
    logs = logs_of(entry)
    data = log_data(entry)
    size = logs_size(entry)
    payload = 1 + number_size(gas_used) + sized(BLOOM_SIZE) + sized(size)
    to = entry.receipt
    at = u64(0)
    if entry.kind != 0:
        to[0] = u8(entry.kind)
        at = 1
    at = put_head(to, at, payload, LIST)
    to[at] = 1 if outcome.status == SUCCESS else STRING
    at = put_number(to, at + 1, u256(gas_used))
    at = put_head(to, at, BLOOM_SIZE, STRING)
    own = to + at
    fill(own, 0, BLOOM_SIZE)
    at = put_head(to, at + BLOOM_SIZE, size, LIST)
    for index in range(outcome.log_count):
        at = put_log(to, at, logs[index], data, own)
    for index in range(BLOOM_SIZE):
        bloom[index] |= own[index]
    return at


ROUND_DOWN: Final = (1 << 64) - 8


def log_size(log: Log, data: Ptr[u8]) -> u64:
    """Size of the payload of a log."""
    return 21 + sized(REFERENCE * log.count) + string_size(data + log.offset, log.size)


def put_log(to: Ptr[u8], at: u64, log: Log, data: Ptr[u8], bloom: Ptr[u8]) -> u64:
    """Write a log, and into the filter what it has; returns where it ends."""
    at = put_head(to, at, log_size(log, data), LIST)
    to[at] = STRING + 20
    word = local(u8, 32)
    store(u256, word, byteswap(u256, u256(log.address)))
    copy(to + (at + 1), word + 12, 20)
    put_bits(bloom, to + (at + 1), 20)
    at = put_head(to, at + 21, REFERENCE * log.count, LIST)
    for index in range(log.count):
        to[at] = STRING + HASH_SIZE
        store(u256, to + (at + 1), byteswap(u256, log.topics[index]))
        put_bits(bloom, to + (at + 1), HASH_SIZE)
        at += REFERENCE
    return put_string(to, at, data + log.offset, log.size)


def put_bits(bloom: Ptr[u8], item: Ptr[u8], size: u64) -> None:
    """Set the bits of an address or a topic."""
    digest = local(u8, 32)
    keccak256(item, size, digest)
    for index in range(3):
        bit = (u64(digest[2 * index]) << 8 | digest[2 * index + 1]) & 2047
        place = BLOOM_SIZE - 1 - (bit >> 3)
        bloom[place] = bloom[place] | u8(u64(1) << (bit & 7))


# RLP


@inline
def sized(payload: u64) -> u64:
    """Size of what has a payload of that size, which is not a byte for itself."""
    return payload + head_size(payload)


def head_size(payload: u64) -> u64:
    """Bytes before a payload, which has fewer than 2**32."""
    if payload <= SHORT:
        return 1
    if payload < 1 << 8:
        return 2
    if payload < 1 << 16:
        return 3
    return 4 if payload < 1 << 24 else 5


def put_head(to: Ptr[u8], at: u64, payload: u64, base: u64) -> u64:
    """Write what stands before a payload; returns where that begins."""
    size = head_size(payload) - 1
    if size == 0:
        to[at] = u8(base + payload)
        return at + 1
    to[at] = u8(base + SHORT + size)
    for index in range(size):
        to[at + size - index] = u8(payload >> (8 * index) & 255)
    return at + 1 + size


def number_size(number: u64) -> u64:
    """Size of a number's encoding."""
    return 1 if number < STRING else 1 + ((u64(u256(number).bit_length()) + 7) >> 3)


@inline
def string_size(data: Ptr[u8], size: u64) -> u64:
    """Size of a string's encoding."""
    return 1 if size == 1 and data[0] < STRING else sized(size)


def put_string(to: Ptr[u8], at: u64, data: Ptr[u8], size: u64) -> u64:
    """Write a string; returns where it ends."""
    if size != 1 or data[0] >= STRING:
        at = put_head(to, at, size, STRING)
    copy(to + at, data, size)
    return at + size


# Roots


def ordered_root(body: Body, of_receipts: u64, scratch: Ptr[u8], root: Ptr[u8]) -> None:
    """Write the root of the trie of transactions or receipts, keyed by RLP of their places.

    Keys come in their order. Of the branches above the present one each is open that later keys may go to; they close
    from below, each into the one above it.
    """
    if body.count == 0:
        scratch[0] = STRING
        keccak256(scratch, 1, root)
        return
    keys = local(u8, 16)
    key = keys
    following = keys + DEPTHS
    children = local(u8, 5120)
    is_open = local(u8, 8)
    fill(is_open, 0, DEPTHS)
    length = put_key(following, 0, body.count)
    shared_before = u64(0)
    for rank in range(body.count):
        copy(key, following, DEPTHS)
        size = length
        is_last = u64(rank + 1 == body.count)
        shared_next = u64(0)
        if is_last == 0:
            length = put_key(following, rank + 1, body.count)
            while key[shared_next] == following[shared_next]:
                shared_next += 1
        entry = body.entries[place_of(rank, body.count)]
        data = entry.receipt if of_receipts != 0 else entry.encoded
        data_size = entry.receipt_size if of_receipts != 0 else entry.encoded_size
        if body.count == 1:
            keccak256(scratch, put_leaf(scratch, key, 0, size, data, data_size), root)
            return
        depth = max(shared_before, shared_next)
        node_size = put_leaf(scratch, key, depth + 1, size, data, data_size)
        put_child(children, is_open, depth, u64(key[depth]), scratch, node_size)
        # Branches that no later key goes to
        while depth > shared_next or is_last != 0:
            node_size = close_branch(children + depth * CHILDREN, scratch)
            is_open[depth] = 0
            above = depth
            while above > 0 and is_open[above - 1] == 0 and (is_last != 0 or above - 1 != shared_next):
                above -= 1
            if above == 0:
                if depth != 0:
                    node_size = put_extension(scratch, key, 0, depth, node_size)
                keccak256(scratch, node_size, root)
                break
            above -= 1
            if depth > above + 1:
                node_size = put_extension(scratch, key, above + 1, depth, node_size)
            put_child(children, is_open, above, u64(key[above]), scratch, node_size)
            depth = above
        shared_before = shared_next


def place_of(rank: u64, count: u64) -> u64:
    """The place of the item whose key is the one of `rank` in order: 0 is encoded as 0x80, behind 1 to 0x7f."""
    zero = min(count, 128) - 1
    if rank < zero:
        return rank + 1
    return 0 if rank == zero else rank


def put_key(path: Ptr[u8], rank: u64, count: u64) -> u64:
    """Write the digits of a key in order; returns how many there are."""
    place = place_of(rank, count)
    data = local(u8, 40)
    size = put_number(data, 0, u256(place))
    for index in range(size):
        path[2 * index] = data[index] >> 4
        path[2 * index + 1] = data[index] & 15
    return 2 * size


def put_path(to: Ptr[u8], at: u64, path: Ptr[u8], begin: u64, end: u64, flag: u64) -> u64:
    """Write the digits from `begin` to `end` as the first item of a node; returns where they end."""
    packed = local(u8, 8)
    count = end - begin
    odd = count & 1
    packed[0] = u8((flag + odd) << 4 | (u64(path[begin]) if odd == 1 else 0))
    for index in range(count >> 1):
        packed[index + 1] = path[begin + odd + 2 * index] << 4 | path[begin + odd + 2 * index + 1]
    return put_string(to, at, packed, (count >> 1) + 1)


def put_leaf(to: Ptr[u8], path: Ptr[u8], begin: u64, end: u64, data: Ptr[u8], size: u64) -> u64:
    """Write a leaf with the digits from `begin` on; returns its size."""
    first = local(u8, 16)
    first_size = put_path(first, 0, path, begin, end, 2)
    at = put_head(to, 0, first_size + string_size(data, size), LIST)
    copy(to + at, first, first_size)
    return put_string(to, at + first_size, data, size)


def put_extension(node: Ptr[u8], path: Ptr[u8], begin: u64, end: u64, size: u64) -> u64:
    """Put an extension with these digits in place of a branch of that size; returns the extension's size."""
    child = local(u8, 40)
    child_size = put_reference(child, node, size)
    first = local(u8, 16)
    first_size = put_path(first, 0, path, begin, end, 0)
    at = put_head(node, 0, first_size + child_size, LIST)
    copy(node + at, first, first_size)
    copy(node + (at + first_size), child, child_size)
    return at + first_size + child_size


def put_reference(to: Ptr[u8], node: Ptr[u8], size: u64) -> u64:
    """Write what a parent says of a node; returns its size."""
    if size < HASH_SIZE:
        copy(to, node, size)
        return size
    to[0] = STRING + HASH_SIZE
    keccak256(node, size, to + 1)
    return u64(REFERENCE)


def put_child(children: Ptr[u8], is_open: Ptr[u8], depth: u64, digit: u64, node: Ptr[u8], size: u64) -> None:
    """Put a node under a branch, which is opened if it is not yet."""
    branch = children + depth * CHILDREN
    if is_open[depth] == 0:
        fill(branch, 0, CHILDREN)
        is_open[depth] = 1
    child = branch + 40 * digit
    child[0] = u8(put_reference(child + 1, node, size))


def close_branch(branch: Ptr[u8], to: Ptr[u8]) -> u64:
    """Write a branch; returns its size."""
    payload = u64(17)
    for digit in range(16):
        size = u64(branch[40 * digit])
        payload += size - 1 if size != 0 else 0
    at = put_head(to, 0, payload, LIST)
    for digit in range(16):
        size = u64(branch[40 * digit])
        if size == 0:
            to[at] = STRING
            at += 1
        else:
            copy(to + at, branch + (40 * digit + 1), size)
            at += size
    to[at] = STRING
    return at + 1


FUNCTIONS: Final = (commit,)
