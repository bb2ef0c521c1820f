"""Rows that move bytes and hash them: memory, call data, logs, keccak."""

from __future__ import annotations

from vmloom_evm.assembly import (
    add,
    and_,
    calldatacopy,
    calldataload,
    calldatasize,
    dup,
    jumpi,
    keccak256,
    label,
    log3,
    lt,
    mcopy,
    mload,
    mstore,
    mstore8,
    mul,
    pop,
    push,
    repeat,
    ret_top,
    return_,
    shl,
    swap,
    xor,
)

from .work import Call, Row, program

MASK = 0xFFF
"""Offsets in the first 4 KiB."""


def loads_and_stores(count: int) -> Call:
    """MSTORE, MLOAD and MSTORE8 at offsets of any alignment within 4 KiB."""
    body = (
        mstore(and_(MASK, mul(37, dup(1))), dup(1))
        + mstore8(and_(MASK, mul(91, dup(1))), dup(1))
        + swap(1)
        + xor(mload(and_(MASK, mul(53, dup(2)))))
        + swap(1)
    )
    return program(push(1) + repeat(count, body) + ret_top())


def copies(count: int) -> Call:
    """MCOPY of 1 KiB, overlapping."""
    body = mstore(1000, dup(1)) + mcopy(32, 0, 1024) + mcopy(2048, 32, 1024)
    return program(repeat(count, body) + return_(2048, 1024))


def growth(count: int) -> Call:
    """Memory that grows word by word, as it does when a contract builds an answer."""
    loop = label("again") + mstore(shl(5, dup(1)), dup(1)) + add(1) + jumpi("again", lt(dup(2), count)) + pop
    return program(push(0) + loop + ret_top(mload(0x40)))


def hash_chain(count: int) -> Call:
    """Keccak of 64 bytes, as mappings have it; each hash is half of the next input."""
    return program(repeat(count, mstore(0, keccak256(0, 64))) + ret_top(mload(0)))


def long_hashes(count: int) -> Call:
    """Keccak of 4 KiB."""
    return program(repeat(count, mstore(0, keccak256(0, 4096))) + ret_top(mload(0)))


def logs(count: int) -> Call:
    """LOG3 of 64 bytes."""
    return program(mstore(0, 1) + repeat(count, log3(0, 64, dup(3), dup(2), 0x70C5)) + ret_top(0))


def call_data(count: int) -> Call:
    """Sum up `count` words of call data, and copy them to memory."""
    word = add(calldataload(shl(5, dup(2))))
    loop = (
        label("again")
        + (swap(1) + word + swap(1))
        + add(1)
        + jumpi("again", lt(dup(2), count))
        + calldatacopy(32, 0, calldatasize)
        + pop
    )
    data = b"".join(mixed.to_bytes(32, "big") for mixed in (n * 0x9E3779B97F4A7C15 for n in range(count)))
    return program(push(0) + push(0) + loop + ret_top(), input=data)


GROUP = "memory and hashes"
ROWS = (
    Row("MSTORE, MLOAD, MSTORE8", GROUP, loads_and_stores, 150_000, 50),
    Row("MCOPY, 2 x 1 KiB", GROUP, copies, 50_000, 20),
    Row("memory grown to 1 MiB", GROUP, growth, 32_768, 40),
    Row("10,000 hashes", GROUP, hash_chain, 10_000, 10),
    Row("keccak, 4 KiB", GROUP, long_hashes, 500, 2),
    Row("LOG3", GROUP, logs, 10_000, 10),
    Row("call data of 64 KiB", GROUP, call_data, 2_048, 8, "pyrevm converts input bytes one by one"),
)
