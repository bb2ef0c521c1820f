"""Row bodies that make columns of outcomes: what a call came to goes to its places in each column.

`outcomes` are addresses, 0 of calls whose results are told by others. They need nothing but what they are given, so
that devices could run them; for now this processor does.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from vmloom.kernel import Ptr, address_of, copy, inline, pointer, u8, u64, u256
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.native.layout import EPOCH, NO_EPOCH, SLOT, Change, Log, Outcome

from ..ptx import module

if TYPE_CHECKING:
    from ..ptx import HostModule

ADDRESS = 20
TOPICS = 4
HEADER_SIZE = size_of(Outcome)
LOG_SIZE = size_of(Log)
LOG_ADDRESS = fields_of(Log)["address"].offset
CHANGE_ADDRESS = fields_of(Change)["address"].offset
ROUND_DOWN = (1 << 64) - 8
HAS_CLEARED = 1
"""A storage was cleared."""
HAS_UNLOADED = 2
"""A word was written that the state had yet to load."""


def find_codes(
    row: u64, _count: u64, outcomes: Ptr[u64], places: Ptr[u64], sizes: Ptr[u64], has_codes: Ptr[u8]
) -> None:
    """Whether there are codes behind the outcome, which is at `places[row]` of all of them."""
    if outcomes[row] != 0:
        has_codes[row] = u8(pointer(Outcome, outcomes[row])[0].end != places[row] + sizes[row])


def tell_heads(
    row: u64, _count: u64, outcomes: Ptr[u64], statuses: Ptr[u8], gas_left: Ptr[u64], sizes: Ptr[u64]
) -> None:
    """How the call ended, the gas that was left, and how many bytes it returned."""
    if outcomes[row] != 0:
        header = pointer(Outcome, outcomes[row])[0]
        statuses[row] = u8(header.status)
        gas_left[row] = u64(header.gas_left)
        sizes[row] = header.return_size


def tell_return_data(row: u64, _count: u64, outcomes: Ptr[u64], width: u64, data: Ptr[u8]) -> None:
    """The first `width` bytes of what was returned."""
    if outcomes[row] != 0:
        size = pointer(Outcome, outcomes[row])[0].return_size
        copy(data + row * width, pointer(u8, outcomes[row] + HEADER_SIZE), min(size, width))


def count_words(row: u64, _count: u64, outcomes: Ptr[u64], counts: Ptr[u64], flags: Ptr[u8]) -> None:
    """How many words of storage the call has changed, and whether that takes more than to look at them."""
    if outcomes[row] != 0:
        header = pointer(Outcome, outcomes[row])[0]
        changes = pointer(Change, changes_of(header))
        count = u64(0)
        flag = u64(0)
        for number in range(header.change_count):
            change = changes[number]
            if change.kind == EPOCH:
                flag = flag | HAS_CLEARED
            elif change.kind == SLOT:
                count += u64(former_word(change) != change.now)
                if change.epoch == NO_EPOCH:
                    flag = flag | HAS_UNLOADED
        counts[row] = count
        flags[row] = u8(flag)


def tell_words(
    row: u64,
    _count: u64,
    outcomes: Ptr[u64],
    offsets: Ptr[u64],
    addresses: Ptr[u8],
    slots: Ptr[u256],
    former: Ptr[u256],
    now: Ptr[u256],
) -> None:
    """The words that `count_words` has counted."""
    if outcomes[row] != 0:
        header = pointer(Outcome, outcomes[row])[0]
        changes = pointer(Change, changes_of(header))
        place = offsets[row]
        for number in range(header.change_count):
            change = changes[number]
            if change.kind == SLOT and former_word(change) != change.now:
                copy_address(addresses + place * ADDRESS, pointer(u8, address_of(change) + CHANGE_ADDRESS))
                slots[place] = change.key
                former[place] = former_word(change)
                now[place] = change.now
                place += 1


def count_logs(row: u64, _count: u64, outcomes: Ptr[u64], counts: Ptr[u64], sizes: Ptr[u64]) -> None:
    """How many logs there are, and the bytes of their data."""
    if outcomes[row] != 0:
        header = pointer(Outcome, outcomes[row])[0]
        counts[row] = header.log_count
        sizes[row] = header.log_bytes


def tell_logs(
    row: u64,
    _count: u64,
    outcomes: Ptr[u64],
    offsets: Ptr[u64],
    begins: Ptr[u64],
    addresses: Ptr[u8],
    topic_counts: Ptr[u8],
    topics: Ptr[u256],
    ends: Ptr[u64],
    data: Ptr[u8],
) -> None:
    """The logs, whose data begin at `begins[row]` of `data`, and where the data of each end."""
    if outcomes[row] != 0:
        header = pointer(Outcome, outcomes[row])[0]
        logs = pointer(Log, logs_of(header))
        theirs = pointer(u8, logs_of(header) + header.log_count * LOG_SIZE)
        end = begins[row]
        for number in range(header.log_count):
            log = logs[number]
            place = offsets[row] + number
            copy_address(addresses + place * ADDRESS, pointer(u8, address_of(log) + LOG_ADDRESS))
            topic_counts[place] = u8(log.count)
            for topic in range(TOPICS):
                topics[place * TOPICS + topic] = log.topics[topic] if topic < log.count else 0
            copy(data + end, theirs + log.offset, log.size)
            end += log.size
            ends[place] = end


@inline
def logs_of(header: Outcome) -> u64:
    """Where the logs of an outcome begin."""
    return address_of(header) + HEADER_SIZE + ((header.return_size + 7) & ROUND_DOWN)


@inline
def changes_of(header: Outcome) -> u64:
    """Where the changes of an outcome begin."""
    return logs_of(header) + header.log_count * LOG_SIZE + ((header.log_bytes + 7) & ROUND_DOWN)


@inline
def former_word(change: Change) -> u256:
    """As `changes.decode_changes` has it: a word of another epoch than that in which the run began was zero then."""
    return change.former if change.epoch == change.account_epoch else 0


@inline
def copy_address(target: Ptr[u8], source: Ptr[u8]) -> None:
    """Turn an address around: in native memory its last byte comes first."""
    for place in range(ADDRESS):
        target[place] = source[ADDRESS - 1 - place]


BODIES = (find_codes, tell_heads, tell_return_data, count_words, tell_words, count_logs, tell_logs)


@functools.cache
def host_bodies() -> HostModule:
    """The bodies, compiled for this processor."""
    return module({one.__name__: one for one in BODIES}).host()
