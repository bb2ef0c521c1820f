"""Rows that read and write storage, warm and cold, and transient storage."""

from __future__ import annotations

from vmloom_evm.assembly import (
    add,
    and_,
    balance,
    dup,
    extcodehash,
    push,
    repeat,
    ret_top,
    sload,
    sstore,
    swap,
    tload,
    tstore,
    xor,
)

from .work import TARGET, Call, Preset, Row, program

SLOTS = 0xFF
"""Warm rows use 256 slots in turn."""
FIRST = 1 << 159
"""Address of the first of many accounts."""


def warm_loads(count: int) -> Call:
    """SLOAD from 256 slots."""
    code = push(0) + repeat(count, swap(1) + add(sload(and_(SLOTS, dup(2)))) + swap(1)) + ret_top()
    return Call({TARGET: Preset(bytes(code), storage={slot: slot * slot + 1 for slot in range(SLOTS + 1)})})


def warm_stores(count: int) -> Call:
    """SSTORE to 256 slots, each time another value."""
    return program(repeat(count, sstore(and_(SLOTS, dup(1)), dup(1))) + ret_top(sload(1)))


def counters(count: int) -> Call:
    """SLOAD, ADD, SSTORE of one slot: what a counter does."""
    code = repeat(count, sstore(5, add(1, sload(5)))) + ret_top(sload(5))
    return Call({TARGET: Preset(bytes(code), storage={5: 1})})


def cold_loads(count: int) -> Call:
    """SLOAD from slots that were not touched before."""
    code = push(0) + repeat(count, swap(1) + xor(sload(dup(2))) + swap(1)) + ret_top()
    return Call({TARGET: Preset(bytes(code), storage={slot: slot * 3 + 1 for slot in range(1, count + 1)})})


def new_slots(count: int) -> Call:
    """SSTORE to slots that were zero."""
    return program(repeat(count, sstore(dup(1), dup(1))) + ret_top(sload(1)))


def cleared_slots(count: int) -> Call:
    """SSTORE of zero to slots that were not."""
    code = repeat(count, sstore(dup(2), 0)) + ret_top(sload(1))
    return Call({TARGET: Preset(bytes(code), storage={slot: slot for slot in range(1, count + 1)})})


def transient(count: int) -> Call:
    """TLOAD and TSTORE in 256 slots. EIP-1153."""
    body = tstore(and_(SLOTS, dup(2)), add(tload(and_(SLOTS, dup(2))), dup(1)))
    return program(repeat(count, body) + ret_top(tload(1)))


def accounts(count: int) -> Call:
    """BALANCE and EXTCODEHASH of accounts that were not touched before."""
    body = swap(1) + xor(balance(add(FIRST, dup(2)))) + xor(extcodehash(add(FIRST, dup(2)))) + swap(1)
    others = {(FIRST + n).to_bytes(20, "big"): Preset(balance=n) for n in range(1, count + 1)}
    return program(push(0) + repeat(count, body) + ret_top(), others=others)


GROUP = "storage"
ROWS = (
    Row("SLOAD, warm", GROUP, warm_loads, 150_000, 50),
    Row("SSTORE, warm", GROUP, warm_stores, 60_000, 50),
    Row("SLOAD and SSTORE, one slot", GROUP, counters, 60_000, 50),
    Row("SLOAD, cold", GROUP, cold_loads, 5_000, 10),
    Row("SSTORE, new slots", GROUP, new_slots, 5_000, 10),
    Row("SSTORE, cleared slots", GROUP, cleared_slots, 5_000, 10),
    Row("TLOAD and TSTORE", GROUP, transient, 60_000, 50),
    Row("BALANCE, EXTCODEHASH, cold", GROUP, accounts, 5_000, 10),
)
