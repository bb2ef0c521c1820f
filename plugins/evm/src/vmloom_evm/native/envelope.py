"""A transaction as it travels, taken apart: where its fields are, its hash, and the hash that was signed.

Kernel functions, called by `raw`. What is not as it should be is left to `transaction.codec`, which says why.
Yellow paper, appendix B; EIP-2718.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, copy, embedded, local, struct, u8, u64
from vmloom.kernel.keccak import keccak256

from .commitments import LIST, SHORT, STRING, put_head

LAST_TYPE: Final = 4
SIGNATURE_FIELDS: Final = 3
MOST_FIELDS: Final = 16
NOT_HERE: Final = 0
TAKEN: Final = 1


@struct
class Envelope:
    """`size` bytes at `data`, and what they are: `count` fields, of which `lists` has a bit for each that is a list."""

    data: Ptr[u8]
    size: u64
    scratch: Ptr[u8]
    """Room for `size` bytes and 16 more."""
    count: u64
    lists: u64
    begins: Ptr[u64] = embedded(16)
    ends: Ptr[u64] = embedded(16)
    """Of the fields' payloads; of a list its whole encoding."""
    hash: Ptr[u8] = embedded(32)
    signed: Ptr[u8] = embedded(32)
    """The hash that the sender has signed, of a typed transaction; a legacy one needs its `v` for that."""


def take_apart(envelope: Envelope) -> u64:
    """Find the fields and hash. Returns TAKEN, or NOT_HERE for what is malformed or has more fields than any."""
    data = envelope.data
    if envelope.size < 2 or (data[0] > LAST_TYPE and data[0] < LIST) or data[0] == 0:
        return NOT_HERE
    start = u64(1 if data[0] < LIST else 0)
    part = local(u64, 2)
    if payload_of(data, start, envelope.size, part) == 0 or data[start] < LIST or part[1] != envelope.size:
        return NOT_HERE
    first = part[0]
    heads = local(u64, 16)
    at = first
    count = u64(0)
    envelope.lists = 0
    while at < envelope.size:
        if count == MOST_FIELDS or payload_of(data, at, envelope.size, part) == 0:
            return NOT_HERE
        heads[count] = at
        envelope.begins[count] = part[0]
        envelope.ends[count] = part[1]
        if data[at] >= LIST:
            envelope.begins[count] = at
            envelope.lists |= u64(1) << count
        count += 1
        at = part[1]
    if count < SIGNATURE_FIELDS:
        return NOT_HERE
    envelope.count = count
    keccak256(data, envelope.size, envelope.hash)
    if start == 1:
        size = heads[count - SIGNATURE_FIELDS] - first
        envelope.scratch[0] = data[0]
        begin = put_head(envelope.scratch, 1, size, LIST)
        copy(envelope.scratch + begin, data + first, size)
        keccak256(envelope.scratch, begin + size, envelope.signed)
    return TAKEN


def payload_of(data: Ptr[u8], at: u64, end: u64, part: Ptr[u64]) -> u64:
    """Write where the payload of the item at `at`, which is before `end`, begins and ends; 0 if it is malformed."""
    head = u64(data[at])
    part[0] = at
    part[1] = at + 1
    if head < STRING:
        return TAKEN
    base = u64(LIST if head >= LIST else STRING)
    size = head - base
    begin = at + 1
    if size > SHORT:
        digits = size - SHORT
        if digits > 4 or begin + digits > end or data[begin] == 0:
            return NOT_HERE
        size = 0
        for index in range(digits):
            size = size << 8 | data[begin + index]
        begin += digits
        if size <= SHORT:
            return NOT_HERE
    if begin + size > end or (size == 1 and base == STRING and data[begin] < STRING):
        return NOT_HERE
    part[0] = begin
    part[1] = begin + size
    return TAKEN
