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
PLAIN: Final = 2
FEE_MARKET: Final = 2
"""The type that most transactions have. EIP-1559"""
FEE_MARKET_FIELDS: Final = 12
GAS_FIELD: Final = 4
TO_FIELD: Final = 5
VALUE_FIELD: Final = 6
DATA_FIELD: Final = 7
ACCESS_FIELD: Final = 8
PARITY_FIELD: Final = 9
R_FIELD: Final = 10
S_FIELD: Final = 11
ADDRESS_SIZE: Final = 20
WORD_SIZE: Final = 32


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
    # What a plain transaction says: its numbers, and where in its bytes the rest begins and ends
    chain_id: u64
    nonce: u64
    max_priority_fee: u64
    max_fee: u64
    gas_limit: u64
    y_parity: u64
    to_begin: u64
    to_end: u64
    value_begin: u64
    value_end: u64
    data_begin: u64
    data_end: u64
    r_begin: u64
    r_end: u64
    s_begin: u64
    s_end: u64


def take_apart(envelope: Envelope) -> u64:
    """Find the fields and hash. Returns TAKEN, or NOT_HERE for what is malformed or has more fields than any.

    PLAIN says that it is TAKEN, and that its fields are known, too.
    """
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
    return PLAIN if is_plain(envelope) else TAKEN


def is_plain(envelope: Envelope) -> bool:
    """Whether it is what most transactions are: of EIP-1559, in bounds, with no access list and numbers of 64 bits.

    Value and signature have 256. Writes its fields; what is not in bounds `codec` refuses.
    """
    if envelope.data[0] != FEE_MARKET or envelope.count != FEE_MARKET_FIELDS or envelope.lists != 1 << ACCESS_FIELD:
        return False
    begins = envelope.begins
    ends = envelope.ends
    if ends[ACCESS_FIELD] - begins[ACCESS_FIELD] != 1:
        return False
    to_size = ends[TO_FIELD] - begins[TO_FIELD]
    if to_size != 0 and to_size != ADDRESS_SIZE:
        return False
    for field in range(FEE_MARKET_FIELDS):
        if field < TO_FIELD or field == VALUE_FIELD or field > ACCESS_FIELD:
            most = u64(WORD_SIZE if field == VALUE_FIELD or field >= R_FIELD else 8)
            if not is_number(envelope, field, most):
                return False
    envelope.chain_id = number_at(envelope, 0)
    envelope.nonce = number_at(envelope, 1)
    envelope.max_priority_fee = number_at(envelope, 2)
    envelope.max_fee = number_at(envelope, 3)
    envelope.gas_limit = number_at(envelope, GAS_FIELD)
    envelope.y_parity = number_at(envelope, PARITY_FIELD)
    envelope.to_begin = begins[TO_FIELD]
    envelope.to_end = ends[TO_FIELD]
    envelope.value_begin = begins[VALUE_FIELD]
    envelope.value_end = ends[VALUE_FIELD]
    envelope.data_begin = begins[DATA_FIELD]
    envelope.data_end = ends[DATA_FIELD]
    envelope.r_begin = begins[R_FIELD]
    envelope.r_end = ends[R_FIELD]
    envelope.s_begin = begins[S_FIELD]
    envelope.s_end = ends[S_FIELD]
    return True


def is_number(envelope: Envelope, field: u64, most: u64) -> bool:
    """Whether a field is a number of at most so many bytes, the first of which is not zero."""
    begin = envelope.begins[field]
    size = envelope.ends[field] - begin
    return size == 0 or (size <= most and envelope.data[begin] != 0)


def number_at(envelope: Envelope, field: u64) -> u64:
    """A field that is a number of at most 8 bytes."""
    number = u64(0)
    for at in range(envelope.begins[field], envelope.ends[field]):
        number = number << 8 | envelope.data[at]
    return number


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
