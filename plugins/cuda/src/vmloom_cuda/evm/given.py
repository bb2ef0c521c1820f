"""Calls as columns on a device, and the kernel that makes transactions of them there: the host makes none.

A column has a step, its elements from one call to the next: with a step of 0 all calls have the first ones.
"""

from __future__ import annotations

from vmloom.kernel import Ptr, address_of, inline, struct, u8, u32, u64
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.native.layout import Transaction

WORDS = size_of(Transaction) // 8
"""Words of a transaction."""
SENDER = fields_of(Transaction)["given_sender"].offset // 8
TO = fields_of(Transaction)["given_to"].offset // 8
ORIGIN = fields_of(Transaction)["given_origin"].offset // 8
VALUE = fields_of(Transaction)["value"].offset // 8
GAS_LIMIT = fields_of(Transaction)["gas_limit"].offset // 8
DATA = fields_of(Transaction)["data"].offset // 8
DATA_SIZE = fields_of(Transaction)["data_size"].offset // 8
CODE = fields_of(Transaction)["code"].offset // 8


@struct
class GivenCalls:
    """The columns of all calls of a batch."""

    template: Ptr[u64]
    """A transaction with what all have in common."""
    order: Ptr[u32]
    """Which call comes first, which next, if `is_ordered`; else they come in their own order."""
    is_ordered: u64
    data: Ptr[u8]
    width: u64
    """Bytes of each input, one behind the other, unless `is_ragged`."""
    offsets: Ptr[u64]
    """Where in `data` each input begins, and the last one ends."""
    is_ragged: u64
    callers: Ptr[u32]
    """Addresses of 20 bytes without gaps, which begin at multiples of 4 therefore."""
    caller_step: u64
    values: Ptr[u64]
    value_step: u64
    gas: Ptr[u64]
    gas_step: u64
    contract: Ptr[u32]
    """Which of the contracts is called."""
    contract_step: u64
    contracts: Ptr[u32]
    """Their addresses, as those of callers."""
    codes: Ptr[u64]
    """Rows of the codes of the contracts."""


def spread_call(row: u64, _count: u64, transactions: Ptr[u64], given: GivenCalls, first: u64) -> None:
    """Make transaction `row` of a launch, of the call that is `first + row` in order."""
    words = transactions + row * WORDS
    for word in range(WORDS):
        words[word] = given.template[word]
    call = first + row
    if given.is_ordered != 0:
        call = u64(given.order[call])
    contract = u64(given.contract[call * given.contract_step])
    put_address(words + TO, given.contracts + contract * 5)
    words[CODE] = given.codes[contract]
    put_address(words + SENDER, given.callers + call * given.caller_step)
    put_address(words + ORIGIN, given.callers + call * given.caller_step)
    for word in range(4):
        words[VALUE + word] = given.values[call * given.value_step + word]
    words[GAS_LIMIT] = given.gas[call * given.gas_step]
    begin = call * given.width
    size = given.width
    if given.is_ragged != 0:
        begin = given.offsets[call]
        size = given.offsets[call + 1] - begin
    words[DATA] = address_of(given.data) + begin
    words[DATA_SIZE] = size


@inline
def put_address(words: Ptr[u64], address: Ptr[u32]) -> None:
    """Write an address of 20 bytes to three words, in which zeros come behind it."""
    words[0] = u64(address[0]) | u64(address[1]) << 32
    words[1] = u64(address[2]) | u64(address[3]) << 32
    words[2] = u64(address[4])
