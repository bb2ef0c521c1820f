"""Rows of calls between contracts and of contracts that make contracts."""

from __future__ import annotations

from vmloom_evm.assembly import (
    Bytecode,
    add,
    address,
    call,
    calldatacopy,
    calldataload,
    calldatasize,
    create2,
    delegatecall,
    deployer,
    dup,
    extcodesize,
    gas,
    iszero,
    jumpi,
    label,
    mload,
    mstore,
    mstore_bytes,
    pop,
    push,
    repeat,
    ret_top,
    return_,
    returndatacopy,
    returndatasize,
    sload,
    sstore,
    staticcall,
    stop,
    sub,
    swap,
    xor,
)

from .work import Call, Preset, Row, World, program

CALLEE = bytes.fromhex("ca11" * 10)
LOGIC = bytes.fromhex("10" * 20)
DEEP_GAS = 1 << 50
"""A call hands on 63 of 64 parts: enough to be left with something a thousand calls down. EIP-150."""


def _at_callee(code: Bytecode) -> World:
    return {CALLEE: Preset(bytes(code), storage={0: 1})}


def counting_callee(count: int) -> Call:
    """CALL of a contract that adds one to a slot."""
    body = call(CALLEE) + pop
    code = repeat(count, body) + call(CALLEE, output=(0, 32)) + pop + ret_top(mload(0))
    return program(code, others=_at_callee(sstore(0, add(sload(0), 1)) + ret_top(sload(0))))


def stopping_callee(count: int) -> Call:
    """CALL of a contract that stops at once."""
    return program(push(0) + repeat(count, swap(1) + add(call(CALLEE)) + swap(1)) + ret_top(), others=_at_callee(stop))


def answering_callee(count: int) -> Call:
    """STATICCALL with 128 bytes of input, of a contract that hands them back."""
    echo = calldatacopy(0, 0, calldatasize) + return_(0, calldatasize)
    body = mstore(0, dup(1)) + staticcall(CALLEE, input=(0, 128), output=(128, 64)) + pop + returndatacopy(32, 0, 96)
    return program(repeat(count, body) + return_(0, 192), others=_at_callee(echo))


def proxied_callee(count: int) -> Call:
    """CALL of a proxy, which hands everything on by DELEGATECALL to a contract that adds one to a slot."""
    proxy = (
        calldatacopy(0, 0, calldatasize)
        + delegatecall(LOGIC, input=(0, calldatasize))
        + pop
        + returndatacopy(0, 0, returndatasize)
        + return_(0, returndatasize)
    )
    logic = sstore(0, add(sload(0), 1)) + ret_top(sload(0))
    code = repeat(count, call(CALLEE, input=(0, 36)) + pop) + call(CALLEE, output=(0, 32)) + pop + ret_top(mload(0))
    return program(code, others={**_at_callee(proxy), LOGIC: Preset(bytes(logic))})


def deep_calls(count: int) -> Call:
    """A contract that calls itself `count` calls down; each call adds one to what the one below returns."""
    down = mstore(0, sub(dup(2), 1)) + call(address, input=(0, 32), output=(0, 32)) + pop + ret_top(add(mload(0), 1))
    deep = calldataload(0) + jumpi("bottom", iszero(dup(1))) + down + label("bottom") + ret_top(0)
    once = mstore(0, count) + call(CALLEE, input=(0, 32), output=(0, 32)) + pop
    return program(once * 10 + ret_top(mload(0)), others=_at_callee(deep), gas=DEEP_GAS)


def creations(count: int) -> Call:
    """CREATE2 of contracts with 96 bytes of code."""
    runtime = bytes(push(b"\x5b" * 32) * 2 + pop + pop + gas + gas + gas).ljust(96, b"\0")
    init = bytes(deployer(runtime))
    body = swap(1) + xor(create2(0, 0, len(init), dup(2))) + swap(1)
    return program(mstore_bytes(init) + push(0) + repeat(count, body) + add(extcodesize(dup(1))) + ret_top())


GROUP = "calls"
ROWS = (
    Row("10,000 CALLs, SLOAD, SSTORE", GROUP, counting_callee, 10_000, 10),
    Row("CALL, nothing called", GROUP, stopping_callee, 10_000, 10),
    Row("STATICCALL, 128 bytes", GROUP, answering_callee, 10_000, 10),
    Row("CALL, DELEGATECALL", GROUP, proxied_callee, 10_000, 10),
    Row("10 x 1,000 calls deep", GROUP, deep_calls, 1_000, 20),
    Row("CREATE2", GROUP, creations, 500, 5, "py-evm takes time that grows with the square of the contracts made"),
)
